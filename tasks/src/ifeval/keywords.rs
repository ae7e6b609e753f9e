//! `keywords:…`: which words and letters occur, and how often.

use super::arguments::Arguments;
use super::python::{self, Pattern};
use crate::Result;

/// All keywords occur, possibly within other words.
pub(super) fn existence(arguments: &Arguments, response: &str) -> Result<bool> {
    for keyword in arguments.texts("keywords")? {
        if !Pattern::ignoring_case(arguments, keyword)?.occurs(response)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The keyword occurs the given number of times, possibly within other words.
pub(super) fn frequency(arguments: &Arguments, response: &str) -> Result<bool> {
    let keyword = Pattern::ignoring_case(arguments, python::strip(arguments.text("keyword")?))?;
    arguments.holds("relation", "frequency", keyword.count(response)?)
}

/// None of the words occurs as a word of its own.
pub(super) fn forbidden_words(arguments: &Arguments, response: &str) -> Result<bool> {
    for word in arguments.texts("forbidden_words")? {
        let occurs = |pattern: &str| Pattern::ignoring_case(arguments, pattern)?.occurs(response);
        // Most words do not occur at all, and a plain search finds that out in a hundredth of the time.
        if occurs(word)? && occurs(&format!(r"\b{word}\b"))? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The letter occurs the given number of times, in either case.
pub(super) fn letter_frequency(arguments: &Arguments, response: &str) -> Result<bool> {
    let letter = arguments.text("letter")?;
    if letter.chars().count() != 1 {
        return Err(arguments.wants("letter", "a single character"));
    }
    let found = response.to_lowercase().matches(&letter.to_lowercase()).count();
    arguments.holds("let_relation", "let_frequency", found)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::ifeval::follows;

    #[test]
    fn keywords_occur_within_words_too() {
        let id = "keywords:existence";
        assert!(follows(id, json!({"keywords": ["cat", "Dog"]}), "CATS and hotdogs"));
        assert!(!follows(id, json!({"keywords": ["cat", "dog"]}), "cats and birds"));
    }

    #[test]
    fn frequencies_are_compared() {
        let asks = |relation: &str, frequency: u32| json!({"keyword": " war ", "relation": relation, "frequency": frequency});
        let text = "War, warm, WAR";
        assert!(follows("keywords:frequency", asks("at least", 3), text));
        assert!(!follows("keywords:frequency", asks("at least", 4), text));
        assert!(follows("keywords:frequency", asks("less than", 4), text));
        assert!(!follows("keywords:frequency", asks("less than", 3), text));
    }

    #[test]
    fn forbidden_words_are_whole_words() {
        let asks = || json!({"forbidden_words": ["rock", "le café"]});
        assert!(follows("keywords:forbidden_words", asks(), "rocks_ shamrock le cafés"));
        assert!(!follows("keywords:forbidden_words", asks(), "They ROCK!"));
        assert!(!follows("keywords:forbidden_words", asks(), "Le CAFÉ."));
        // A combining mark ends a word, as it does in the recorded verdicts.
        assert!(!follows("keywords:forbidden_words", asks(), "rock\u{301}s"));
    }

    #[test]
    fn letters_count_in_either_case() {
        let asks =
            |letter: &str, n: u32| json!({"letter": letter, "let_relation": "at least", "let_frequency": n});
        assert!(follows("keywords:letter_frequency", asks("a", 3), "A banal"));
        assert!(!follows("keywords:letter_frequency", asks("A", 4), "A banal"));
        assert!(follows("keywords:letter_frequency", asks("#", 2), "#a #b"));
    }
}
