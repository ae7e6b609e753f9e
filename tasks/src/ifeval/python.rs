//! Python's text functions. The recorded verdicts come from a checker in Python, whose white space, word characters and
//! upper case differ from Rust's in a few characters.

use std::sync::LazyLock;

use regex::Regex;

use super::arguments::Arguments;
use crate::{Error, Result};

/// `\w`: letters, numbers and the underscore. Rust's has marks too, which would glue Hindi syllables together.
pub(super) const WORD: &str = r"[\p{L}\p{N}_]";

/// `\s` and `str.isspace`. Rust's lacks the four separators of ASCII.
pub(super) const SPACE: &str = r"[\s\x1c-\x1f]";

/// `\b`, which depends on `\w`; only for a [`Pattern`].
const EDGE: &str = r"(?:(?<=[\p{L}\p{N}_])(?![\p{L}\p{N}_])|(?<![\p{L}\p{N}_])(?=[\p{L}\p{N}_]))";

/// `str.isspace` of one character.
pub(super) fn is_space(character: char) -> bool {
    character.is_whitespace() || ('\x1c'..='\x1f').contains(&character)
}

/// `str.strip`.
pub(super) fn strip(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// `str.split` without arguments.
pub(super) fn split(text: &str) -> impl Iterator<Item = &str> {
    text.split(is_space).filter(|part| !part.is_empty())
}

/// `re.findall(r"\w+", …)`.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    static WORDS: LazyLock<Regex> = LazyLock::new(|| regex(r"\w+"));
    WORDS.find_iter(text).map(|word| word.as_str())
}

/// `str.isupper`: there is an upper-case letter and none of another case.
pub(super) fn is_upper(text: &str) -> bool {
    text.chars().any(char::is_uppercase) && !text.chars().any(|c| c.is_lowercase() || is_title(c))
}

/// `str.islower`: there is a lower-case letter and none of another case.
pub(super) fn is_lower(text: &str) -> bool {
    text.chars().any(char::is_lowercase) && !text.chars().any(|c| c.is_uppercase() || is_title(c))
}

/// Digraphs of which only the first letter is a capital, as `ǅ`: of neither case, but with a lower-case form.
fn is_title(character: char) -> bool {
    !character.is_uppercase() && !character.is_lowercase() && !character.to_lowercase().eq([character])
}

/// A pattern written here, with Python's `\w` and `\s`.
pub(super) fn regex(pattern: &str) -> Regex {
    let pattern = pattern.replace(r"\w", WORD).replace(r"\s", SPACE);
    Regex::new(&pattern).expect("patterns in the source are well-formed")
}

/// A pattern from an argument: the checker treats the words that an instruction names as patterns.
pub(super) struct Pattern<'a> {
    of: &'a Arguments<'a>,
    regex: fancy_regex::Regex,
}

impl<'a> Pattern<'a> {
    /// Upper and lower case are one.
    pub(super) fn ignoring_case(of: &'a Arguments<'a>, pattern: &str) -> Result<Self> {
        Self::new(of, &format!("(?i){pattern}"))
    }

    /// As it stands.
    pub(super) fn new(of: &'a Arguments<'a>, pattern: &str) -> Result<Self> {
        let python = pattern.replace(r"\w", WORD).replace(r"\s", SPACE).replace(r"\b", EDGE);
        let regex = fancy_regex::Regex::new(&python).map_err(|error| unusable(of, pattern, &error))?;
        Ok(Self { of, regex })
    }

    /// How often it occurs.
    pub(super) fn count(&self, text: &str) -> Result<usize> {
        let count = self.regex.find_iter(text).try_fold(0, |count, found| found.map(|_| count + 1));
        count.map_err(|error| unusable(self.of, self.regex.as_str(), &error))
    }

    /// Whether it occurs.
    pub(super) fn occurs(&self, text: &str) -> Result<bool> {
        self.regex.is_match(text).map_err(|error| unusable(self.of, self.regex.as_str(), &error))
    }
}

fn unusable(of: &Arguments, pattern: &str, error: &fancy_regex::Error) -> Error {
    Error::Setting(format!("instruction `{}`: the pattern `{pattern}`: {error}", of.instruction))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_end_at_marks() {
        // A letter and a vowel sign, which is a mark.
        assert_eq!(words("नमस्ते a_1 b-c").collect::<Vec<_>>(), ["नमस", "त", "a_1", "b", "c"]);
    }

    #[test]
    fn case_is_that_of_all_letters() {
        assert!(is_upper("A1! Ⓐ") && is_lower("a1! ß"));
        assert!(!is_upper("12") && !is_lower("12") && !is_upper("Ab") && !is_lower("Ab"));
        assert!(!is_upper("Aǅ") && !is_lower("aǅ"));
        assert!(is_upper("A漢字") && is_lower("a漢字"));
    }

    #[test]
    fn separators_are_white_space() {
        assert_eq!(strip("\x1c\u{a0} a\u{feff}\x1f"), "a\u{feff}");
        assert_eq!(split(" a\x1db  c\n").collect::<Vec<_>>(), ["a", "b", "c"]);
    }
}
