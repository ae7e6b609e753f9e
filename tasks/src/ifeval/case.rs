//! `change_case:…`: no capital letters, only capitals, or a number of words in capitals.

use super::arguments::Arguments;
use super::punkt::Punkt;
use super::{language, python, treebank};
use crate::Result;

/// The number of words in capitals satisfies the relation.
pub(super) fn capital_word_frequency(arguments: &Arguments, response: &str) -> Result<bool> {
    let sentences = Punkt::english()?.sentences(response);
    let capitals =
        |sentence: &str| treebank::words(sentence).iter().filter(|word| python::is_upper(word)).count();
    arguments.holds("capital_relation", "capital_frequency", sentences.into_iter().map(capitals).sum())
}

/// The response is English, in capitals only.
pub(super) fn english_capital(_: &Arguments, response: &str) -> Result<bool> {
    Ok(python::is_upper(response) && language::is(response, "en"))
}

/// The response is English, without capitals.
pub(super) fn english_lowercase(_: &Arguments, response: &str) -> Result<bool> {
    Ok(python::is_lower(response) && language::is(response, "en"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::ifeval::follows;

    #[test]
    fn words_in_capitals_are_counted() {
        let asks = |n: u32| json!({"capital_relation": "at least", "capital_frequency": n});
        let id = "change_case:capital_word_frequency";
        // I, NASA, TOP-SECRET, CAN and NOT, U.S.
        let text = "I saw NASA's TOP-SECRET plan. We CANNOT tell the U.S. of it";
        assert!(follows(id, asks(6), text));
        assert!(!follows(id, asks(7), text));
    }

    #[test]
    fn english_is_in_one_case() {
        let text = "the weather is fine today, and all of the children are playing outside.";
        assert!(follows("change_case:english_lowercase", json!({}), text));
        assert!(!follows("change_case:english_lowercase", json!({}), &text.replace("the", "The")));
        assert!(follows("change_case:english_capital", json!({}), &text.to_uppercase()));
        assert!(!follows("change_case:english_capital", json!({}), text));
        let german = "das wetter ist heute schön, und alle kinder spielen draußen auf der straße.";
        assert!(!follows("change_case:english_lowercase", json!({}), german));
    }
}
