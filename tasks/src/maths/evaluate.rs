//! Evaluation of expressions in LaTeX or plain text, by which equal expressions are told from different ones.
//!
//! Variables get their values from a [`Point`]. `i` is the imaginary unit, `e` Euler's number.

use num_bigint::BigInt;
use num_traits::{Pow, ToPrimitive};

use super::budget::Budget;
use super::contents::Contents;
use super::functions::{self, binomial, ceiling, factorial, root};
use super::points::Point;
use super::value::{LARGEST, Rational, Value};

/// The value of a text in plain spelling (see `plain`) at a point, and what it contains. No value if the text is not an
/// expression, has none there, or is beyond the budget.
pub(super) fn evaluate(text: &str, point: &Point, budget: &Budget) -> (Option<Value>, Contents) {
    let mut reader = Reader {
        text: without_blanks(text),
        at: 0,
        point,
        budget,
        contents: Contents::default(),
        uses: 0,
        angles: 0,
        in_absolute: false,
        depth: 0,
    };
    let affordable = budget.spend(reader.text.len() as u64 / 64);
    let value = affordable.and_then(|()| reader.sum()).filter(|_| reader.at == reader.text.len());
    (value, reader.contents)
}

/// Blanks stay only where they part a command from a letter or a number from a number.
fn without_blanks(text: &str) -> Vec<char> {
    let mut out: Vec<char> = Vec::new();
    let (mut blank, mut in_command) = (false, false);
    for c in text.chars() {
        if c.is_whitespace() {
            blank = true;
            continue;
        }
        let last = out.last().copied().unwrap_or(' ');
        let parts_letters = c.is_alphabetic() && in_command && last.is_ascii_alphabetic();
        if blank && (parts_letters || (is_of_number(c) && is_of_number(last))) {
            out.push(' ');
            in_command = false;
        }
        blank = false;
        in_command = c == '\\' || (in_command && c.is_ascii_alphabetic());
        out.push(c);
    }
    out
}

pub(super) fn is_of_number(c: char) -> bool {
    c.is_ascii_digit() || c == '.'
}

/// Maximum nesting, deeper than any real answer, so that no reply can exhaust the stack.
const DEPTH: u32 = 60;

pub(super) struct Reader<'a> {
    pub(super) text: Vec<char>,
    pub(super) at: usize,
    pub(super) point: &'a Point,
    pub(super) budget: &'a Budget,
    pub(super) contents: Contents,
    /// How many times a variable was read.
    pub(super) uses: usize,
    /// How many functions of an angle the reader is in, where a degree sign counts.
    pub(super) angles: u32,
    /// Whether the reader is in an absolute value, and in no bracket in that.
    in_absolute: bool,
    depth: u32,
}

impl Reader<'_> {
    pub(super) fn peek(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }

    pub(super) fn take(&mut self, wanted: &str) -> bool {
        let length = wanted.chars().count();
        let there = self.at_command(wanted);
        // A command ends where its letters end: `\in` is not the beginning of `\infty`.
        let end = self.at + length;
        let whole = !wanted.starts_with('\\') || !self.text.get(end).is_some_and(char::is_ascii_alphabetic);
        if there && whole {
            self.at = end;
            self.skip_blank();
        }
        there && whole
    }

    /// The position after a command, or after a digit that is an argument.
    pub(super) fn skip_blank(&mut self) {
        self.at += usize::from(self.peek() == Some(' '));
    }

    fn at_command(&self, command: &str) -> bool {
        let rest = &self.text[self.at..];
        let mut rest = rest.iter().copied();
        command.chars().all(|c| rest.next() == Some(c))
    }

    /// One level down, if that is not too deep.
    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        self.depth += 1;
        let read = if self.depth > DEPTH { None } else { read(self) };
        self.depth -= 1;
        read
    }

    fn sum(&mut self) -> Option<Value> {
        self.deeper(|reader| {
            let mut total = reader.product()?;
            loop {
                reader.budget.spend(1)?;
                if reader.take("+") {
                    total = total.plus(&reader.product()?, reader.budget)?;
                } else if reader.take("-") {
                    total = total.minus(&reader.product()?, reader.budget)?;
                } else {
                    return Some(total);
                }
            }
        })
    }

    fn product(&mut self) -> Option<Value> {
        let mut total = self.signed()?;
        loop {
            self.budget.spend(1)?;
            if self.take("*") || self.take("\\cdot") || self.take("\\times") {
                total = total.times(&self.signed()?, self.budget)?;
            } else if self.take("/") || self.take("\\div") {
                total = total.over(&self.signed()?, self.budget)?;
            } else if self.begins_factor() {
                // Two adjacent numbers are not a product.
                if self.peek()?.is_ascii_digit() && self.text[self.at - 1].is_ascii_digit() {
                    return None;
                }
                total = total.times(&self.power()?, self.budget)?;
            } else {
                return Some(total);
            }
        }
    }

    fn signed(&mut self) -> Option<Value> {
        if self.take("-") {
            // Long runs of signs count as nesting too.
            return self.deeper(|reader| reader.signed().map(Value::negated));
        }
        self.take("+");
        self.power()
    }

    /// Whether a factor follows that is multiplied without a sign.
    fn begins_factor(&self) -> bool {
        match self.peek() {
            Some('\\') => !["\\cdot", "\\times", "\\div", "\\rceil", "\\rfloor"]
                .iter()
                .any(|command| self.at_command(command)),
            Some('|') => !self.in_absolute,
            Some(c) => c.is_alphanumeric() || "([{.".contains(c),
            None => false,
        }
    }

    fn power(&mut self) -> Option<Value> {
        let before = self.uses;
        let mut base = self.factor()?;
        loop {
            self.budget.spend(1)?;
            if self.take("!") {
                base = factorial(&base, self.budget)?;
            } else if self.take("°") {
                if self.angles > 0 {
                    let degree = Value::pi().over(&Value::from(180), self.budget)?;
                    base = base.times(&degree, self.budget)?;
                }
            } else if self.take("^") || self.take("**") {
                let is_constant = self.uses == before;
                let exponent = self.exponent()?;
                self.contents.is_whole |= is_constant && self.uses > before && base.is_negative();
                return base.power(&exponent, self.budget);
            } else {
                return Some(base);
            }
        }
    }

    fn exponent(&mut self) -> Option<Value> {
        match self.peek()? {
            '{' | '(' => self.bracketed(),
            '-' => self.signed(),
            c if c.is_ascii_digit() => self.digits(),
            _ => self.factor(),
        }
    }

    fn factor(&mut self) -> Option<Value> {
        match self.peek()? {
            '(' | '[' | '{' => self.bracketed(),
            '|' => self.absolute(),
            '\\' => self.command(),
            c if c.is_ascii_digit() || c == '.' => self.number(),
            c if c.is_alphabetic() => self.word(),
            _ => None,
        }
    }

    fn bracketed(&mut self) -> Option<Value> {
        let close = match self.peek()? {
            '(' => ")",
            '[' => "]",
            '{' => "}",
            _ => return None,
        };
        self.at += 1;
        let number = self.inside(false)?;
        self.take(close).then_some(number)
    }

    /// A sum in brackets, or between the bars of an absolute value.
    fn inside(&mut self, is_absolute: bool) -> Option<Value> {
        let around = std::mem::replace(&mut self.in_absolute, is_absolute);
        let number = self.sum();
        self.in_absolute = around;
        number
    }

    fn absolute(&mut self) -> Option<Value> {
        self.contents.has_absolute = true;
        self.at += 1;
        let number = self.inside(true)?;
        if self.take("|") { number.magnitude() } else { None }
    }

    /// How many digits stand at an offset.
    fn run(&self, offset: usize) -> usize {
        self.text.iter().skip(self.at + offset).take_while(|c| c.is_ascii_digit()).count()
    }

    /// A whole or decimal number, exactly. `0.1\overline{6}` repeats the digits under the line for ever.
    fn digits(&mut self) -> Option<Value> {
        let start = self.at;
        self.at += self.run(0);
        let mut places = 0;
        let mut digits: String = self.text[start..self.at].iter().collect();
        let mut repeating = 0;
        if self.peek() == Some('.') {
            self.at += 1;
            places = self.run(0);
            digits.extend(&self.text[self.at..self.at + places]);
            self.at += places;
            if self.take("\\overline{") {
                repeating = self.run(0);
                digits.extend(&self.text[self.at..self.at + repeating]);
                self.at += repeating;
                if repeating == 0 || !self.take("}") {
                    return None;
                }
            }
        }
        let mut power = 0i64;
        if let Some('e' | 'E') = self.peek() {
            let sign = usize::from(matches!(self.text.get(self.at + 1), Some('+' | '-')));
            let length = self.run(1 + sign);
            if length > 0 {
                let end = self.at + 1 + sign + length;
                let text: String = self.text[self.at + 1..end].iter().collect();
                power = text.parse().ok()?;
                self.at = end;
            }
        }
        // A full stop alone is no number.
        if digits.is_empty() || digits.len() as u64 * 4 > LARGEST {
            return None;
        }
        self.budget.spend(digits.len() as u64 / 16)?;
        // Digits after the point lower the power of ten that an exponent names.
        let power = power.checked_sub(i64::try_from(places).ok()?)?;
        let whole =
            |digits: &str| Value::Exact(Rational::from_integer(digits.parse::<BigInt>().unwrap_or_default()));
        let ten = |power: i64| Value::from(10).power(&Value::from(power), self.budget);
        let number = if repeating == 0 {
            whole(&digits).times(&ten(power)?, self.budget)?
        } else {
            // 0.1\overline{6} = (16 − 1) / 90
            let (before, length) = (&digits[..digits.len() - repeating], u32::try_from(repeating).ok()?);
            let nines = Pow::pow(BigInt::from(10), length) - 1;
            let above = whole(&digits).minus(&whole(before), self.budget)?;
            let above = above.times(&ten(power)?, self.budget)?;
            above.over(&Value::Exact(Rational::from_integer(nines)), self.budget)?
        };
        Some(number)
    }

    /// A number. Followed by a fraction of digits it is a mixed number; with a subscript it is written in another base.
    fn number(&mut self) -> Option<Value> {
        let start = self.at;
        let number = self.digits()?;
        if self.peek() == Some('_') {
            self.at += 1;
            let base = self.name_of_subscript()?;
            let digits: String = self.text[start..self.at].iter().take_while(|c| **c != '_').collect();
            return Some(self.variable(&format!("{digits}_{base}")));
        }
        let is_whole = self.text[start..self.at].iter().all(char::is_ascii_digit);
        if is_whole && self.at_command("\\frac") && self.is_fraction_of_digits() {
            return number.plus(&self.command()?, self.budget);
        }
        Some(number)
    }

    /// Whether the arguments of the `\frac` that follows are digits. Only looks: reading nested ones twice takes time that
    /// doubles with each level.
    fn is_fraction_of_digits(&self) -> bool {
        let mut rest =
            self.text[self.at..].iter().skip("\\frac".len()).copied().filter(|c| *c != ' ').peekable();
        (0..2).all(|_| match rest.next() {
            Some('{') => {
                let mut digits = 0;
                while rest.next_if(char::is_ascii_digit).is_some() {
                    digits += 1;
                }
                digits > 0 && rest.next() == Some('}')
            }
            first => first.is_some_and(|c| c.is_ascii_digit()),
        })
    }

    /// The argument of a command: a group in braces, a command, or one character.
    pub(super) fn argument(&mut self) -> Option<Value> {
        self.skip_blank();
        let argument = match self.peek()? {
            '{' => self.bracketed(),
            '\\' => self.command(),
            c if c.is_ascii_digit() => {
                self.at += 1;
                Some(Value::from(i64::from(c.to_digit(10)?)))
            }
            c if c.is_alphabetic() => {
                self.at += 1;
                Some(self.letter(c))
            }
            _ => None,
        };
        self.skip_blank();
        argument
    }

    fn command(&mut self) -> Option<Value> {
        self.deeper(Self::read_command)
    }

    fn read_command(&mut self) -> Option<Value> {
        self.budget.spend(1)?;
        self.at += 1;
        let start = self.at;
        while self.peek().is_some_and(|c| c.is_ascii_alphabetic()) {
            self.at += 1;
        }
        let name: String = self.text[start..self.at].iter().collect();
        self.skip_blank();
        match name.as_str() {
            "frac" => {
                let above = self.argument()?;
                above.over(&self.argument()?, self.budget)
            }
            "sqrt" if self.peek() == Some('[') => {
                let index = self.bracketed()?;
                let radicand = self.argument()?;
                match index.whole().and_then(|index| index.to_u32()) {
                    Some(0) => None,
                    Some(index) => root(&radicand, index, self.budget),
                    None => radicand.power(&Value::from(1).over(&index, self.budget)?, self.budget),
                }
            }
            "sqrt" => root(&self.argument()?, 2, self.budget),
            "binom" => {
                let n = self.argument()?;
                binomial(&n, &self.argument()?, self.budget)
            }
            "pi" => Some(Value::pi()),
            "lfloor" => self.rounded("\\rfloor", Value::floor),
            "lceil" => self.rounded("\\rceil", ceiling),
            "log" if self.peek() == Some('_') => {
                self.at += 1;
                let base = self.argument()?;
                let exponent = self.exponent_of_function()?;
                let log = functions::apply("ln", &self.operand()?, self.budget)?;
                let log = log.over(&functions::apply("ln", &base, self.budget)?, self.budget)?;
                log.power(&exponent, self.budget)
            }
            _ if functions::is_function(&name) => self.apply(&name),
            _ => self.symbol(&name),
        }
    }

    fn rounded(&mut self, close: &str, round: fn(&Value) -> Option<Value>) -> Option<Value> {
        self.contents.is_whole = true;
        let number = self.inside(false)?;
        if self.take(close) { round(&number) } else { None }
    }

    /// A function applied to what follows. A power may precede the argument; the power −1 means the inverse function.
    pub(super) fn apply(&mut self, name: &str) -> Option<Value> {
        self.contents.is_whole |= matches!(name, "floor" | "ceil");
        self.contents.has_absolute |= name == "abs";
        let exponent = self.exponent_of_function()?;
        let is_inverse = exponent == Value::from(-1);
        let is_of_angle = !is_inverse && ["sin", "cos", "tan", "cot", "sec", "csc"].contains(&name);
        self.angles += u32::from(is_of_angle);
        let operand = self.deeper(Self::operand)?;
        self.angles -= u32::from(is_of_angle);
        // A function takes three values for the error.
        self.budget.spend(6)?;
        if is_inverse {
            return functions::apply(&format!("arc{name}"), &operand, self.budget);
        }
        functions::apply(name, &operand, self.budget)?.power(&exponent, self.budget)
    }

    /// The power between a function's name and its argument; 1 if there is none.
    fn exponent_of_function(&mut self) -> Option<Value> {
        let exponent = if self.take("^") { self.exponent()? } else { Value::from(1) };
        self.skip_blank();
        Some(exponent)
    }

    /// The argument of a function: a group, or the factors multiplied without a sign up to the next function.
    fn operand(&mut self) -> Option<Value> {
        if matches!(self.peek()?, '(' | '{' | '[' | '|') {
            return self.factor();
        }
        let mut total = self.signed()?;
        while self.begins_factor()
            && !matches!(self.peek(), Some('(' | '[' | '{' | '|'))
            && !self.at_function()
        {
            self.budget.spend(1)?;
            total = total.times(&self.power()?, self.budget)?;
        }
        Some(total)
    }

    fn at_function(&self) -> bool {
        let letters = self.text[self.at..].iter().skip_while(|c| **c == '\\');
        // No name is longer.
        let letters = letters.take(8).take_while(|c| c.is_ascii_alphabetic());
        functions::is_function(&letters.collect::<String>())
    }
}

#[cfg(test)]
#[path = "evaluate_tests.rs"]
mod tests;
