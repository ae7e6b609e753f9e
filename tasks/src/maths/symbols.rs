//! Constants, variables and the rules that distinguish them.

use super::evaluate::Reader;
use super::functions;
use super::value::Value;

impl Reader<'_> {
    /// A function or constant by its full name, else a single letter.
    pub(super) fn word(&mut self) -> Option<Value> {
        let rest = self.text[self.at..].iter().take(8).collect::<String>();
        if rest.starts_with("pi") {
            self.at += 2;
            return Some(Value::pi());
        }
        if let Some(name) = functions::names().find(|name| rest.starts_with(name) && rest.len() > name.len())
        {
            self.at += name.len();
            return self.apply(name);
        }
        let letter = self.peek()?;
        self.at += 1;
        Some(self.letter(letter))
    }

    pub(super) fn letter(&mut self, letter: char) -> Value {
        let plain = !matches!(self.peek(), Some('_' | '\''));
        match letter {
            'i' if plain => Value::i(),
            'e' if plain => Value::e(),
            'π' => Value::pi(),
            _ => {
                let name = self.with_marks(letter.to_string());
                let name = name + &self.at_a_number();
                self.variable(&name)
            }
        }
    }

    /// `(0)` after a name: a function's value, not a product.
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
    pub(super) fn symbol(&mut self, name: &str) -> Option<Value> {
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

    /// The argument as text: a group in braces, a command, or a character.
    pub(super) fn name_of_subscript(&mut self) -> Option<String> {
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
        let name = without_braces(&rest[..length]);
        let is_command = rest[0] == '\\';
        self.at += length;
        if is_command {
            self.skip_blank();
        }
        Some(name)
    }

    /// The value of a variable.
    pub(super) fn variable(&mut self, name: &str) -> Value {
        self.uses += 1;
        self.contents.has_plain_variable |= self.angles == 0;
        if !self.contents.variables.contains(name) {
            self.contents.variables.insert(name.to_owned());
        }
        self.point.value(name)
    }
}

fn without_braces(text: &[char]) -> String {
    text.iter().filter(|c| !"{}".contains(**c)).collect()
}
