//! `length_constraints:…` how many sentences, words and paragraphs.

use std::sync::LazyLock;

use regex::Regex;

use super::arguments::Arguments;
use super::punkt::Punkt;
use super::python;
use crate::Result;

/// So many sentences.
pub(super) fn number_sentences(arguments: &Arguments, response: &str) -> Result<bool> {
    let found = Punkt::english()?.sentences(response).len();
    arguments.holds("relation", "num_sentences", found)
}

/// So many words.
pub(super) fn number_words(arguments: &Arguments, response: &str) -> Result<bool> {
    arguments.holds("relation", "num_words", python::words(response).count())
}

/// Exactly so many paragraphs between lines of `***`, none of them empty but one before the first or after the last.
pub(super) fn number_paragraphs(arguments: &Arguments, response: &str) -> Result<bool> {
    static DIVIDER: LazyLock<Regex> = LazyLock::new(|| python::regex(r"\s?\*\*\*\s?"));
    let blank: Vec<bool> =
        DIVIDER.split(response).map(|paragraph| python::strip(paragraph).is_empty()).collect();
    let last = blank.len() - 1;
    let (inner, outer): (Vec<usize>, Vec<usize>) =
        (0..blank.len()).filter(|place| blank[*place]).partition(|place| (1..last).contains(place));
    Ok(inner.is_empty() && blank.len() - outer.len() == arguments.count("num_paragraphs")?)
}

/// Exactly so many paragraphs between empty lines, and the n-th begins with that word.
pub(super) fn nth_paragraph_first_word(arguments: &Arguments, response: &str) -> Result<bool> {
    let wanted = arguments.count("num_paragraphs")?;
    let nth = arguments.count("nth_paragraph")?;
    let word = arguments.text("first_word")?.to_lowercase();
    if !(1..=wanted).contains(&nth) {
        return Err(arguments.wants("nth_paragraph", "one of the paragraphs"));
    }
    let paragraphs: Vec<&str> = response.split("\n\n").map(python::strip).collect();
    let filled = paragraphs.iter().filter(|paragraph| !paragraph.is_empty()).count();
    // Blank paragraphs do not count, but take a place: the n-th may be one of them.
    Ok(filled == wanted && first_word(paragraphs[nth - 1]).is_some_and(|first| first == word))
}

/// Without quotes before it, up to the first punctuation mark, in lower case.
fn first_word(paragraph: &str) -> Option<String> {
    let word = python::split(paragraph).next()?.trim_start_matches('\'').trim_start_matches('"');
    let word = word.split(['.', ',', '?', '!', '\'', '"']).next()?;
    Some(word.chars().flat_map(char::to_lowercase).collect())
}
