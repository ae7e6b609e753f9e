//! Classes of tokens by their text, as the log of selected tokens counts them.

use std::collections::HashMap;

/// A class of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Digits, optionally with a sign, currency symbol, commas or decimal point: `42`, ` $3`.
    Number,
    /// Arithmetic and comparison signs: `+`, ` =`, `>>`.
    Operator,
    /// Other punctuation marks: `.`, `,`, `(`.
    Punctuation,
    /// Letters after a space: ` the`.
    Word,
    /// Letters without a space before them: `ing`.
    Continuation,
    /// Only whitespace.
    Space,
    /// A special token, which has no text: the end of a turn, for example.
    Special,
    /// Everything else: parts of characters, mixtures.
    Other,
}

impl Class {
    /// Every class.
    pub const ALL: [Self; 8] = [
        Self::Number,
        Self::Operator,
        Self::Punctuation,
        Self::Word,
        Self::Continuation,
        Self::Space,
        Self::Special,
        Self::Other,
    ];

    /// The name of the class in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Operator => "operator",
            Self::Punctuation => "punctuation",
            Self::Word => "word",
            Self::Continuation => "continuation",
            Self::Space => "space",
            Self::Special => "special",
            Self::Other => "other",
        }
    }

    /// The class of a token with this text. `None`: a special token.
    pub fn of(text: Option<&str>) -> Self {
        let Some(text) = text else { return Self::Special };
        let core = text.trim();
        let all = |test: fn(char) -> bool| core.chars().all(test);
        if core.is_empty() {
            return Self::Space;
        }
        if core.contains(char::is_numeric) && all(|c| c.is_numeric() || "$€£.,%-+".contains(c)) {
            return Self::Number;
        }
        if all(|c| "+-*/=<>×÷^%".contains(c)) {
            return Self::Operator;
        }
        if all(|c| c.is_alphabetic() || c == '\'' || c == '’') && core.contains(char::is_alphabetic) {
            return if text.starts_with(char::is_whitespace) { Self::Word } else { Self::Continuation };
        }
        if all(|c| c.is_ascii_punctuation() || "“”‘’…–—€£".contains(c)) {
            Self::Punctuation
        } else {
            Self::Other
        }
    }
}

/// A cache of the classes of tokens.
#[derive(Debug, Default)]
pub struct Classes(HashMap<u32, Class>);

impl Classes {
    /// The class of a token; `text` returns the token's text.
    pub fn of(&mut self, token: u32, text: impl FnOnce(u32) -> Option<String>) -> Class {
        *self.0.entry(token).or_insert_with(|| Class::of(text(token).as_deref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_of_common_tokens() {
        for (text, class) in [
            (" $3", Class::Number),
            ("42", Class::Number),
            (" =", Class::Operator),
            (">>", Class::Operator),
            (".", Class::Punctuation),
            (" (", Class::Punctuation),
            (" the", Class::Word),
            ("ing", Class::Continuation),
            ("\n\n", Class::Space),
            ("\u{fffd}", Class::Other),
            ("x2", Class::Other),
        ] {
            assert_eq!(Class::of(Some(text)), class, "{text:?}");
        }
        assert_eq!(Class::of(None), Class::Special);
    }
}
