//! From text to tree, by recursive descent; every error knows its column.

use super::{Function, MAX_DEPTH, MAX_LENGTH, Node, Operator, Variable, derive};
use crate::{Error, error::hint};

/// A subtree and its depth.
type Parsed = Result<(Node, usize), Error>;

struct Parser<'a> {
    text: &'a str,
    characters: Vec<char>,
    /// Index of the next character.
    next: usize,
    /// How many brackets, calls and signs are open around it.
    open: usize,
    parameter: &'a mut dyn FnMut(&str) -> Option<f64>,
}

pub(super) fn parse(text: &str, parameter: &mut dyn FnMut(&str) -> Option<f64>) -> Result<Node, Error> {
    let characters: Vec<char> = text.chars().take(MAX_LENGTH + 1).collect();
    let mut parser = Parser { text, characters, next: 0, open: 0, parameter };
    if parser.characters.len() > MAX_LENGTH {
        let start: String = parser.characters.iter().take(40).collect();
        return Err(Error::Syntax {
            text: format!("{start}…"),
            column: MAX_LENGTH + 1,
            problem: format!("an expression has at most {MAX_LENGTH} characters"),
        });
    }
    let (node, _) = parser.comparison()?;
    match parser.peek() {
        None => Ok(node),
        Some(found) => Err(parser.error(format!("expected an operator or the end, found `{found}`"))),
    }
}

impl Parser<'_> {
    fn error(&self, problem: impl Into<String>) -> Error {
        self.error_at(self.next, problem)
    }

    fn error_at(&self, index: usize, problem: impl Into<String>) -> Error {
        Error::Syntax { text: self.text.to_owned(), column: index + 1, problem: problem.into() }
    }

    /// The next character that is not white space.
    fn peek(&mut self) -> Option<char> {
        while self.characters.get(self.next).is_some_and(|c| c.is_whitespace()) {
            self.next += 1;
        }
        self.characters.get(self.next).copied()
    }

    fn take(&mut self, wanted: &str) -> bool {
        self.peek();
        let found = wanted.chars().enumerate().all(|(i, c)| self.characters.get(self.next + i) == Some(&c));
        if found {
            self.next += wanted.chars().count();
        }
        found
    }

    fn expect(&mut self, wanted: &str) -> Result<(), Error> {
        if self.take(wanted) {
            return Ok(());
        }
        let found = self.peek().map_or("the end".to_owned(), |c| format!("`{c}`"));
        Err(self.error(format!("expected `{wanted}`, found {found}")))
    }

    /// The first of these operators that matches at this position.
    fn operator(&mut self, known: &[(&str, Operator)]) -> Option<Operator> {
        known.iter().find(|(sign, _)| self.take(sign)).map(|(_, operator)| *operator)
    }

    fn join(&self, operator: Operator, left: (Node, usize), right: (Node, usize)) -> Parsed {
        let node = Node::Binary(operator, Box::new(left.0), Box::new(right.0));
        self.checked(node, left.1.max(right.1) + 1)
    }

    fn checked(&self, node: Node, depth: usize) -> Parsed {
        if depth > MAX_DEPTH {
            return Err(
                self.error(format!("an expression nests at most {MAX_DEPTH} operations; bracket it evenly"))
            );
        }
        Ok((node, depth))
    }

    /// Runs `inner` one level deeper.
    fn nested(&mut self, inner: fn(&mut Self) -> Parsed) -> Parsed {
        self.open += 1;
        if self.open > MAX_DEPTH {
            return Err(self.error(format!("an expression nests at most {MAX_DEPTH} operations")));
        }
        let result = inner(self);
        self.open -= 1;
        result
    }

    fn comparison(&mut self) -> Parsed {
        const SIGNS: [(&str, Operator); 8] = [
            ("<=", Operator::LessEqual),
            (">=", Operator::GreaterEqual),
            ("≤", Operator::LessEqual),
            ("≥", Operator::GreaterEqual),
            ("==", Operator::Equal),
            ("!=", Operator::NotEqual),
            ("<", Operator::Less),
            (">", Operator::Greater),
        ];
        let left = self.sum()?;
        match self.operator(&SIGNS) {
            Some(operator) => {
                let right = self.sum()?;
                self.join(operator, left, right)
            }
            None => Ok(left),
        }
    }

    fn sum(&mut self) -> Parsed {
        let mut left = self.product()?;
        let signs = [("+", Operator::Add), ("-", Operator::Subtract), ("−", Operator::Subtract)];
        while let Some(operator) = self.operator(&signs) {
            let right = self.product()?;
            left = self.join(operator, left, right)?;
        }
        Ok(left)
    }

    fn product(&mut self) -> Parsed {
        let mut left = self.signed()?;
        let signs = [("*", Operator::Multiply), ("·", Operator::Multiply), ("/", Operator::Divide)];
        while let Some(operator) = self.operator(&signs) {
            let right = self.signed()?;
            left = self.join(operator, left, right)?;
        }
        Ok(left)
    }

    fn signed(&mut self) -> Parsed {
        if self.take("-") || self.take("−") {
            let (node, depth) = self.nested(Self::signed)?;
            return self.checked(Node::Negate(Box::new(node)), depth + 1);
        }
        self.power()
    }

    fn power(&mut self) -> Parsed {
        let base = self.atom()?;
        if self.take("^") {
            let exponent = self.nested(Self::signed)?;
            return self.join(Operator::Power, base, exponent);
        }
        Ok(base)
    }

    fn atom(&mut self) -> Parsed {
        let start = match self.peek() {
            Some(_) => self.next,
            None => return Err(self.error("expected a number, a variable or a bracket, found the end")),
        };
        let first = self.characters[start];
        if first == '(' {
            self.next += 1;
            let inner = self.nested(Self::comparison)?;
            self.expect(")")?;
            Ok(inner)
        } else if first.is_ascii_digit() || first == '.' {
            self.number(start)
        } else if first.is_ascii_alphabetic() {
            self.name(start)
        } else {
            Err(self.error(format!("expected a number, a variable or a bracket, found `{first}`")))
        }
    }

    fn number(&mut self, start: usize) -> Parsed {
        let mut end = start;
        while let Some(c) = self.characters.get(end) {
            let exponent = matches!(self.characters.get(end.wrapping_sub(1)), Some('e' | 'E')) && end > start;
            if c.is_ascii_digit()
                || *c == '.'
                || matches!(c, 'e' | 'E')
                || (exponent && matches!(c, '+' | '-'))
            {
                end += 1;
            } else {
                break;
            }
        }
        let text: String = self.characters[start..end].iter().collect();
        self.next = end;
        match text.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok((Node::Number(value), 1)),
            _ => Err(self.error_at(start, format!("`{text}` is not a finite number"))),
        }
    }

    fn name(&mut self, start: usize) -> Parsed {
        let mut end = start;
        while self.characters.get(end).is_some_and(|c| c.is_ascii_alphanumeric() || *c == '_') {
            end += 1;
        }
        let name: String = self.characters[start..end].iter().collect();
        self.next = end;
        if let Some((function, arity)) = Function::named(&name) {
            return self.call(function, arity);
        }
        if name == "pow" {
            let (mut arguments, depth) = self.arguments("pow", 2)?;
            let (exponent, base) = (arguments.pop(), arguments.pop());
            if let (Some(base), Some(exponent)) = (base, exponent) {
                return self.join(Operator::Power, (base, depth), (exponent, depth));
            }
        }
        if let Some(value) = (self.parameter)(&name) {
            return Ok((Node::Number(value), 1));
        }
        if let Some(variable) = Variable::named(&name) {
            return Ok((Node::Variable(variable), 1));
        }
        let known = Variable::ALL.iter().map(|(_, name, ..)| *name);
        let known = known.chain(Function::ALL.iter().map(|(_, name, _)| *name));
        Err(self.error_at(start, format!("unknown name `{name}`{}", hint(&name, known))))
    }

    fn call(&mut self, function: Function, arity: usize) -> Parsed {
        let bracketed = self.peek() == Some('(');
        let (arguments, depth) = if arity == 1 && !bracketed {
            let (argument, depth) = self.nested(Self::power)?;
            (vec![argument], depth)
        } else {
            self.arguments(function.name(), arity)?
        };
        if function == Function::FAlpha && derive::euler(&arguments[0]) != Node::Number(0.0) {
            let problem = "the α of f_alpha(α) is held constant: it may not read p or the loss outside sg(…) and mean(…)";
            return Err(self.error(problem));
        }
        self.checked(Node::Call(function, arguments), depth + 1)
    }

    fn arguments(&mut self, name: &str, arity: usize) -> Result<(Vec<Node>, usize), Error> {
        self.expect("(")?;
        let (mut arguments, mut deepest) = (Vec::with_capacity(arity), 0);
        loop {
            let (argument, depth) = self.nested(Self::comparison)?;
            arguments.push(argument);
            deepest = deepest.max(depth);
            if !self.take(",") {
                break;
            }
        }
        if arguments.len() != arity {
            let plural = if arity == 1 { "" } else { "s" };
            return Err(
                self.error(format!("`{name}` takes {arity} argument{plural}, not {}", arguments.len()))
            );
        }
        self.expect(")")?;
        Ok((arguments, deepest))
    }
}
