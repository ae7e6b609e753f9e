//! What an expression in LaTeX, or in plain text, is worth: the means to tell equal ones from different ones.
//!
//! Variables are given values by their names and a point's number; two expressions that agree at several points are taken
//! for equal. `i` is the imaginary unit, `e` Euler's number.

use num_complex::Complex64 as Number;
use sha2::{Digest, Sha256};

/// A value, and whether it depends on the point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Value {
    pub(super) number: Number,
    pub(super) is_constant: bool,
}

/// The value of a text in plain spelling (see `plain`) at a point; `None` if it is not an expression or has none there.
pub(super) fn evaluate(text: &str, point: u8) -> Option<Value> {
    let mut reader = Reader { text: without_blanks(text), at: 0, point, is_constant: true, depth: 0 };
    let number = reader.sum()?;
    let value = Value { number, is_constant: reader.is_constant };
    (reader.at == reader.text.len() && number.is_finite()).then_some(value)
}

/// Blanks stay only where they part a command from a letter or a number from a number.
fn without_blanks(text: &str) -> Vec<char> {
    let mut out: Vec<char> = Vec::new();
    let mut blank = false;
    for c in text.chars() {
        if c.is_whitespace() {
            blank = true;
            continue;
        }
        let after_command = || out.iter().rev().find(|c| !c.is_ascii_alphabetic()) == Some(&'\\');
        let ends = |is: fn(&char) -> bool| out.last().is_some_and(is) && is(&c);
        if blank
            && ((c.is_alphabetic() && ends(char::is_ascii_alphabetic) && after_command())
                || ends(char::is_ascii_digit))
        {
            out.push(' ');
        }
        blank = false;
        out.push(c);
    }
    out
}

/// Nested deeper than any answer; a reply is no reason to run out of stack.
const DEPTH: u32 = 60;

struct Reader {
    text: Vec<char>,
    at: usize,
    point: u8,
    is_constant: bool,
    depth: u32,
}

const FUNCTIONS: [(&str, fn(Number) -> Number); 22] = [
    ("arcsin", Number::asin),
    ("arccos", Number::acos),
    ("arctan", Number::atan),
    ("asin", Number::asin),
    ("acos", Number::acos),
    ("atan", Number::atan),
    ("sinh", Number::sinh),
    ("cosh", Number::cosh),
    ("tanh", Number::tanh),
    ("sin", Number::sin),
    ("cos", Number::cos),
    ("tan", Number::tan),
    ("cot", |x| x.cos() / x.sin()),
    ("sec", |x| x.cos().inv()),
    ("csc", |x| x.sin().inv()),
    ("exp", Number::exp),
    ("ln", Number::ln),
    ("lg", |x| x.log(10.0)),
    ("log", Number::ln),
    ("sqrt", |x| root(x, 2.0)),
    ("abs", |x| x.norm().into()),
    ("floor", |x| x.re.floor().into()),
];

/// Whether it is a function's name, as a command or as a word.
fn function(name: &str) -> Option<fn(Number) -> Number> {
    FUNCTIONS.iter().find(|(known, _)| *known == name).map(|(_, function)| *function)
}

impl Reader {
    fn peek(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }

    fn take(&mut self, wanted: &str) -> bool {
        let there = wanted.chars().eq(self.text[self.at..].iter().copied().take(wanted.chars().count()));
        // A command ends where its letters end: `\in` is not the beginning of `\infty`.
        let end = self.at + wanted.chars().count();
        let whole = !wanted.starts_with('\\') || !self.text.get(end).is_some_and(char::is_ascii_alphabetic);
        if there && whole {
            self.at = end;
            self.skip_blank();
        }
        there && whole
    }

    /// Behind a command.
    fn skip_blank(&mut self) {
        self.at += usize::from(self.peek() == Some(' '));
    }

    fn at_command(&self, command: &str) -> bool {
        command.chars().eq(self.text[self.at..].iter().copied().take(command.len()))
    }

    fn sum(&mut self) -> Option<Number> {
        self.depth += 1;
        if self.depth > DEPTH {
            return None;
        }
        let mut total = self.product()?;
        loop {
            if self.take("+") {
                total += self.product()?;
            } else if self.take("-") {
                total -= self.product()?;
            } else {
                self.depth -= 1;
                return Some(total);
            }
        }
    }

    fn product(&mut self) -> Option<Number> {
        let mut total = self.signed()?;
        loop {
            if self.take("*") || self.take("\\cdot") || self.take("\\times") {
                total *= self.signed()?;
            } else if self.take("/") || self.take("\\div") {
                total /= self.signed()?;
            } else if self.begins_factor() {
                // Two numbers side by side are no product.
                if self.peek()?.is_ascii_digit() && self.text[self.at - 1].is_ascii_digit() {
                    return None;
                }
                total *= self.power()?;
            } else {
                return Some(total);
            }
        }
    }

    fn signed(&mut self) -> Option<Number> {
        if self.take("-") {
            // Deep rows of signs are no answer either.
            self.depth += 1;
            let number = (self.depth <= DEPTH).then(|| self.signed()).flatten().map(|number| -number);
            self.depth -= 1;
            return number;
        }
        self.take("+");
        self.power()
    }

    /// Whether what comes can be multiplied to what was, without a sign.
    fn begins_factor(&self) -> bool {
        match self.peek() {
            Some('\\') => !["\\cdot", "\\times", "\\div", "\\rceil", "\\rfloor"]
                .iter()
                .any(|command| self.at_command(command)),
            Some(c) => c.is_alphanumeric() || "([{.".contains(c),
            None => false,
        }
    }

    fn power(&mut self) -> Option<Number> {
        let mut base = self.factor()?;
        loop {
            if self.take("!") {
                base = factorial(base)?;
            } else if self.take("^") || self.take("**") {
                let exponent = self.exponent()?;
                return Some(raise(base, exponent));
            } else {
                return Some(base);
            }
        }
    }

    fn exponent(&mut self) -> Option<Number> {
        match self.peek()? {
            '{' | '(' => self.bracketed(),
            '-' => self.signed(),
            c if c.is_ascii_digit() => self.digits(),
            _ => self.factor(),
        }
    }

    fn factor(&mut self) -> Option<Number> {
        match self.peek()? {
            '(' | '[' | '{' => self.bracketed(),
            '|' => self.absolute(),
            '\\' => self.command(),
            c if c.is_ascii_digit() || c == '.' => self.number(),
            c if c.is_alphabetic() => self.word(),
            _ => None,
        }
    }

    fn bracketed(&mut self) -> Option<Number> {
        let close = match self.peek()? {
            '(' => ")",
            '[' => "]",
            '{' => "}",
            _ => return None,
        };
        self.at += 1;
        let number = self.sum()?;
        self.take(close).then_some(number)
    }

    fn absolute(&mut self) -> Option<Number> {
        self.at += 1;
        let number = self.sum()?;
        self.take("|").then(|| number.norm().into())
    }

    fn digits(&mut self) -> Option<Number> {
        let start = self.at;
        while self.peek().is_some_and(|c| c.is_ascii_digit()) {
            self.at += 1;
        }
        if self.peek() == Some('.') {
            self.at += 1;
            while self.peek().is_some_and(|c| c.is_ascii_digit()) {
                self.at += 1;
            }
        }
        let exponent = &self.text[self.at..];
        if let ['e' | 'E', rest @ ..] = exponent {
            let sign = usize::from(matches!(rest.first(), Some('+' | '-')));
            let digits = rest[sign..].iter().take_while(|c| c.is_ascii_digit()).count();
            if digits > 0 {
                self.at += 1 + sign + digits;
            }
        }
        let text: String = self.text[start..self.at].iter().collect();
        text.parse::<f64>().ok().map(Number::from)
    }

    /// A number; one with a fraction of digits behind it is a mixed one, one with a subscript is written in another base.
    fn number(&mut self) -> Option<Number> {
        let start = self.at;
        let number = self.digits()?;
        if self.peek() == Some('_') {
            self.at += 1;
            let base = self.name_of_subscript()?;
            let digits: String = self.text[start..self.at].iter().take_while(|c| **c != '_').collect();
            return Some(self.variable(&format!("{digits}_{base}")));
        }
        let before = self.at;
        if number.re.fract() == 0.0 && self.take("\\frac") {
            if let Some([above, below]) = self.plain_fraction() {
                return Some(number + above / below);
            }
            self.at = before;
        }
        Some(number)
    }

    /// The arguments of `\frac` if both are digits.
    fn plain_fraction(&mut self) -> Option<[Number; 2]> {
        let start = self.at;
        let (above, below) = (self.argument()?, self.argument()?);
        let is_plain = self.text[start..self.at].iter().all(|c| c.is_ascii_digit() || "{}".contains(*c));
        is_plain.then_some([above, below])
    }

    /// What a command is applied to: a group in braces, a command, one character.
    fn argument(&mut self) -> Option<Number> {
        match self.peek()? {
            '{' => self.bracketed(),
            '\\' => self.command(),
            c if c.is_ascii_digit() => {
                self.at += 1;
                Some(f64::from(c.to_digit(10)?).into())
            }
            c if c.is_alphabetic() => {
                self.at += 1;
                Some(self.letter(c))
            }
            _ => None,
        }
    }

    fn command(&mut self) -> Option<Number> {
        self.depth += 1;
        if self.depth > DEPTH {
            return None;
        }
        self.at += 1;
        let start = self.at;
        while self.peek().is_some_and(|c| c.is_ascii_alphabetic()) {
            self.at += 1;
        }
        let name: String = self.text[start..self.at].iter().collect();
        self.skip_blank();
        let value = match name.as_str() {
            "frac" => {
                let above = self.argument()?;
                Some(above / self.argument()?)
            }
            "sqrt" if self.peek() == Some('[') => {
                let index = self.bracketed()?;
                Some(root(self.argument()?, index.re))
            }
            "sqrt" => self.argument().map(|x| root(x, 2.0)),
            "binom" => {
                let (n, k) = (self.argument()?, self.argument()?);
                Some(factorial(n)? / (factorial(k)? * factorial(n - k)?))
            }
            "pi" => Some(std::f64::consts::PI.into()),
            "lfloor" => self.between("\\rfloor", f64::floor),
            "lceil" => self.between("\\rceil", f64::ceil),
            "log" if self.peek() == Some('_') => {
                self.at += 1;
                let base = self.argument()?;
                Some(self.operand()?.ln() / base.ln())
            }
            _ => match function(&name) {
                Some(function) => self.apply(function),
                None => self.symbol(&name),
            },
        };
        self.depth -= 1;
        value
    }

    fn between(&mut self, close: &str, round: fn(f64) -> f64) -> Option<Number> {
        let number = self.sum()?;
        self.take(close).then(|| round(number.re).into())
    }

    /// A function of what comes, perhaps to a power that stands before it; to −1, the inverse.
    fn apply(&mut self, function: fn(Number) -> Number) -> Option<Number> {
        if !self.take("^") {
            return self.operand().map(function);
        }
        let exponent = self.exponent()?;
        if exponent == Number::from(-1.0) {
            let inverse = [
                (Number::sin as fn(Number) -> Number, Number::asin as fn(Number) -> Number),
                (Number::cos, Number::acos),
                (Number::tan, Number::atan),
            ];
            let probe = Number::new(0.3, 0.0);
            let (_, inverse) = inverse.into_iter().find(|(known, _)| known(probe) == function(probe))?;
            return self.operand().map(inverse);
        }
        Some(raise(self.operand().map(function)?, exponent))
    }

    /// What a function is applied to: a group, or what is multiplied without a sign, up to the next function.
    fn operand(&mut self) -> Option<Number> {
        if matches!(self.peek()?, '(' | '{' | '[' | '|') {
            return self.factor();
        }
        let mut total = self.signed()?;
        while self.begins_factor() && !matches!(self.peek(), Some('(' | '[' | '{')) && !self.at_function() {
            total *= self.power()?;
        }
        Some(total)
    }

    fn at_function(&self) -> bool {
        let letters =
            self.text[self.at..].iter().skip_while(|c| **c == '\\').take_while(|c| c.is_ascii_alphabetic());
        function(&letters.collect::<String>()).is_some()
    }

    /// A function or constant written out, else one letter.
    fn word(&mut self) -> Option<Number> {
        let rest = self.text[self.at..].iter().take(8).collect::<String>();
        if rest.starts_with("pi") {
            self.at += 2;
            return Some(std::f64::consts::PI.into());
        }
        let written = |(name, _): &&(&str, _)| rest.starts_with(name) && rest.len() > name.len();
        if let Some((name, function)) = FUNCTIONS.iter().find(written) {
            self.at += name.len();
            return self.apply(*function);
        }
        let letter = self.peek()?;
        self.at += 1;
        Some(self.letter(letter))
    }

    fn letter(&mut self, letter: char) -> Number {
        let plain = !matches!(self.peek(), Some('_' | '\''));
        match letter {
            'i' if plain => Number::i(),
            'e' if plain => std::f64::consts::E.into(),
            'π' => std::f64::consts::PI.into(),
            _ => {
                let name = self.with_marks(letter.to_string());
                let name = name + &self.at_a_number();
                self.variable(&name)
            }
        }
    }

    /// `(0)` behind a name: what a function is there, and no product.
    fn at_a_number(&mut self) -> String {
        let rest = &self.text[self.at..];
        let digits = rest.iter().skip(1).take_while(|c| c.is_ascii_digit()).count();
        if rest.first() != Some(&'(') || digits == 0 || rest.get(digits + 1) != Some(&')') {
            return String::new();
        }
        self.at += digits + 2;
        without_braces(&self.text[self.at - digits - 2..self.at])
    }

    /// A Greek letter, an accent over something, or any other command: a variable.
    fn symbol(&mut self, name: &str) -> Option<Number> {
        let mut name = format!("\\{name}");
        if matches!(
            name.as_str(),
            "\\bar" | "\\hat" | "\\dot" | "\\ddot" | "\\vec" | "\\tilde" | "\\overline"
        ) {
            name += &self.name_of_subscript()?;
        }
        let known = name.len() > 1
            && !matches!(name.as_str(), "\\begin" | "\\end" | "\\infty" | "\\cup" | "\\pm" | "\\mp");
        let name = self.with_marks(name);
        known.then(|| self.variable(&name))
    }

    /// Subscripts and primes are part of a name.
    fn with_marks(&mut self, mut name: String) -> String {
        loop {
            if self.take("'") || self.take("^\\prime") || self.take("^{\\prime}") {
                name.push('\'');
            } else if self.peek() == Some('_') {
                self.at += 1;
                let Some(subscript) = self.name_of_subscript() else { return name };
                name += &format!("_{subscript}");
            } else {
                return name;
            }
        }
    }

    /// As text: what is in braces, or one command or character.
    fn name_of_subscript(&mut self) -> Option<String> {
        let rest = &self.text[self.at..];
        let length = match rest.first()? {
            '{' => {
                let mut depth = 0;
                1 + rest.iter().position(|c| {
                    depth += i32::from(*c == '{') - i32::from(*c == '}');
                    depth == 0
                })?
            }
            '\\' => 1 + rest[1..].iter().take_while(|c| c.is_ascii_alphabetic()).count(),
            c if c.is_ascii_digit() => rest.iter().take_while(|c| c.is_ascii_digit()).count(),
            _ => 1,
        };
        self.at += length;
        Some(without_braces(&self.text[self.at - length..self.at]))
    }

    /// A positive number by the name and the point.
    fn variable(&mut self, name: &str) -> Number {
        self.is_constant = false;
        let hash = Sha256::new().chain_update([self.point]).chain_update(name).finalize();
        let bits = u32::from_le_bytes([hash[0], hash[1], hash[2], hash[3]]);
        (0.5 + 2.0 * f64::from(bits) / f64::from(u32::MAX)).into()
    }
}

fn without_braces(text: &[char]) -> String {
    text.iter().filter(|c| !"{}".contains(**c)).collect()
}

fn raise(base: Number, exponent: Number) -> Number {
    if exponent.im == 0.0 && exponent.re.fract() == 0.0 && exponent.re.abs() < 1e6 {
        return base.powi(exponent.re as i32);
    }
    if base.im == 0.0 && exponent.im == 0.0 && base.re >= 0.0 {
        base.re.powf(exponent.re).into()
    } else {
        base.powc(exponent)
    }
}

/// The real root where there is one.
fn root(x: Number, index: f64) -> Number {
    if x.im == 0.0 && x.re < 0.0 && index.rem_euclid(2.0) == 1.0 {
        return Number::from(-(-x.re).powf(1.0 / index));
    }
    if index == 2.0 { x.sqrt() } else { raise(x, (1.0 / index).into()) }
}

/// Of whole numbers exactly; between them a function that continues it, so that variables may stand under it.
fn factorial(n: Number) -> Option<Number> {
    let x = n.re;
    if n.im != 0.0 || !(-0.5..=170.0).contains(&x) {
        return None;
    }
    // Γ(x + 1) by Stirling's series at x + 20, brought back by Γ's recurrence; exact products for whole numbers.
    if x.fract() == 0.0 {
        return Some((1..=x as u32).map(f64::from).product::<f64>().into());
    }
    let z = x + 20.0;
    let series = 1.0 / (12.0 * z) - 1.0 / (360.0 * z.powi(3)) + 1.0 / (1260.0 * z.powi(5));
    let log = z * z.ln() - z + 0.5 * (2.0 * std::f64::consts::PI * z).ln() + series;
    let down: f64 = (1..=20).map(|k| (x + f64::from(k)).ln()).sum();
    Some((log - down).exp().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Number {
        evaluate(text, 0).unwrap_or_else(|| panic!("{text}")).number
    }

    #[test]
    fn constants() {
        for (text, expected) in [
            ("2\\sqrt{3}+1/2", 2.0 * 3f64.sqrt() + 0.5),
            ("\\frac43", 4.0 / 3.0),
            ("1\\frac{4}{5}", 1.8),
            ("-\\frac{\\pi}{6}", -std::f64::consts::PI / 6.0),
            ("\\sqrt[3]{-8}", -2.0),
            ("2^{10}-2^3", 1016.0),
            ("4.5e3", 4500.0),
            ("1.6\\times10^{-3}", 0.0016),
            (".5", 0.5),
            ("-1./2", -0.5),
            ("5!", 120.0),
            ("\\binom{5}{2}", 10.0),
            ("\\log_{2}8", 3.0),
            ("\\sin^2\\frac{\\pi}{6}", 0.25),
            ("\\sin^{-1}1", std::f64::consts::FRAC_PI_2),
            ("|2-5|", 3.0),
            ("-2^2", -4.0),
            ("i^2", -1.0),
            ("sqrt(2)sqrt(2)", 2.0),
            ("2pi", 2.0 * std::f64::consts::PI),
            ("\\lfloor2.5\\rfloor", 2.0),
            ("\\sin\\pi\\cos\\pi", 0.0),
        ] {
            assert!((value(text) - expected).norm() < 1e-12, "{text}: {}", value(text));
            assert!(evaluate(text, 0).unwrap().is_constant);
        }
        // Γ(3.5) = 15 √π / 8
        let half = factorial(Number::from(2.5)).unwrap().re;
        assert!((half - 15.0 * std::f64::consts::PI.sqrt() / 8.0).abs() < 1e-10, "{half}");
    }

    #[test]
    fn variables() {
        for (one, other) in [
            ("(a+5)(b+2)", "ab+2a+5b+10"),
            ("\\cot x", "\\frac{\\cos x}{\\sin x}"),
            ("\\frac{11+9a}{20}", "0.05(9a+11)"),
            ("2x_{1}", "x_1+x_1"),
            ("y^{\\prime}", "y'"),
            ("e^{-2t}", "\\frac{1}{e^{2t}}"),
            ("\\frac{d!}{2k(d-k)!}", "\\frac{d!}{(d-k)!2k}"),
        ] {
            assert!((value(one) - value(other)).norm() < 1e-9, "{one} {other}");
            assert!(!evaluate(one, 0).unwrap().is_constant);
        }
        assert_ne!(value("x_1"), value("x_2"));
        assert_ne!(value("52_8"), value("52"));
        assert_ne!(evaluate("x", 0), evaluate("x", 1));
    }

    #[test]
    fn what_is_no_expression_has_no_value() {
        for text in [
            "",
            "2 3",
            "(1",
            "1/0",
            "+",
            "a,b",
            "\\frac{1}",
            "\\infty",
            &"(".repeat(10_000),
            &"-".repeat(10_000),
            &"\\sin".repeat(10_000),
        ] {
            assert_eq!(evaluate(text, 0), None, "{}", &text[..text.len().min(20)]);
        }
    }
}
