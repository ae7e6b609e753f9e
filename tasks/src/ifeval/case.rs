//! `change_case:…` capitals: none, all, or so many words of them.

use super::arguments::Arguments;
use super::punkt::Punkt;
use super::{language, python, treebank};
use crate::Result;

/// So many words are in capitals.
pub(super) fn capital_word_frequency(arguments: &Arguments, response: &str) -> Result<bool> {
    let sentences = Punkt::english()?.sentences(response);
    let capitals =
        |sentence: &str| treebank::words(sentence).iter().filter(|word| python::is_upper(word)).count();
    arguments.holds("capital_relation", "capital_frequency", sentences.into_iter().map(capitals).sum())
}

/// English, in capitals.
pub(super) fn english_capital(_: &Arguments, response: &str) -> Result<bool> {
    Ok(python::is_upper(response) && language::is(response, "en"))
}

/// English, without a capital.
pub(super) fn english_lowercase(_: &Arguments, response: &str) -> Result<bool> {
    Ok(python::is_lower(response) && language::is(response, "en"))
}
