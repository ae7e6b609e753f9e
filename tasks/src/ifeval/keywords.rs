//! `keywords:…` which words and letters occur, and how often.

use super::arguments::Arguments;
use super::python::{self, Pattern};
use crate::Result;

/// All of the keywords occur, be it within other words.
pub(super) fn existence(arguments: &Arguments, response: &str) -> Result<bool> {
    for keyword in arguments.texts("keywords")? {
        if !Pattern::ignoring_case(arguments, keyword)?.occurs(response)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The keyword occurs so often, be it within other words.
pub(super) fn frequency(arguments: &Arguments, response: &str) -> Result<bool> {
    let keyword = Pattern::ignoring_case(arguments, python::strip(arguments.text("keyword")?))?;
    arguments.holds("relation", "frequency", keyword.count(response)?)
}

/// None of the words occurs as a word of its own.
pub(super) fn forbidden_words(arguments: &Arguments, response: &str) -> Result<bool> {
    for word in arguments.texts("forbidden_words")? {
        if Pattern::ignoring_case(arguments, &format!(r"\b{word}\b"))?.occurs(response)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The letter occurs so often, in either case.
pub(super) fn letter_frequency(arguments: &Arguments, response: &str) -> Result<bool> {
    let letter = arguments.text("letter")?;
    if letter.chars().count() != 1 {
        return Err(arguments.wants("letter", "a single character"));
    }
    let found = response.to_lowercase().matches(&letter.to_lowercase()).count();
    arguments.holds("let_relation", "let_frequency", found)
}
