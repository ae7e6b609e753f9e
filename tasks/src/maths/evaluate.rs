//! Evaluation of expressions in LaTeX or plain text, by which equal expressions are told from different ones.
//!
//! A variable's value depends on its name and on the number of the point. Two expressions that agree at several points
//! count as equal. `i` is the imaginary unit, `e` Euler's number.

use super::functions::{self, factorial, raise, root};
use num_complex::Complex64 as Number;

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

/// Maximum nesting, deeper than any real answer, so that no reply can exhaust the stack.
const DEPTH: u32 = 60;

pub(super) struct Reader {
    pub(super) text: Vec<char>,
    pub(super) at: usize,
    pub(super) point: u8,
    pub(super) is_constant: bool,
    depth: u32,
}

impl Reader {
    pub(super) fn peek(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }

    pub(super) fn take(&mut self, wanted: &str) -> bool {
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

    /// The position after a command.
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
                // Two adjacent numbers are not a product.
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
            // Long runs of signs count as nesting too.
            self.depth += 1;
            let number = (self.depth <= DEPTH).then(|| self.signed()).flatten().map(|number| -number);
            self.depth -= 1;
            return number;
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

    /// A number. Followed by a fraction of digits it is a mixed number; with a subscript it is written in another base.
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

    /// The argument of a command: a group in braces, a command, or one character.
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
            _ if functions::named(&name).is_some() => self.apply(&name),
            _ => self.symbol(&name),
        };
        self.depth -= 1;
        value
    }

    fn between(&mut self, close: &str, round: fn(f64) -> f64) -> Option<Number> {
        let number = self.sum()?;
        self.take(close).then(|| round(number.re).into())
    }

    /// A function applied to what follows. A power may precede the argument; the power −1 means the inverse function.
    pub(super) fn apply(&mut self, name: &str) -> Option<Number> {
        let function = functions::named(name)?;
        if !self.take("^") {
            return self.operand().map(function);
        }
        let exponent = self.exponent()?;
        if exponent == Number::from(-1.0) {
            return self.operand().map(functions::named(&format!("arc{name}"))?);
        }
        Some(raise(self.operand().map(function)?, exponent))
    }

    /// The argument of a function: a group, or the factors multiplied without a sign up to the next function.
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
        functions::named(&letters.collect::<String>()).is_some()
    }
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
