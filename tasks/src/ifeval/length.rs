//! `length_constraints:…`: numbers of sentences, words and paragraphs.

use std::sync::LazyLock;

use regex::Regex;

use super::arguments::Arguments;
use super::punkt::Punkt;
use super::python;
use crate::Result;

/// The number of sentences satisfies the relation.
pub(super) fn number_sentences(arguments: &Arguments, response: &str) -> Result<bool> {
    let found = Punkt::english()?.sentences(response).len();
    arguments.holds("relation", "num_sentences", found)
}

/// The number of words satisfies the relation.
pub(super) fn number_words(arguments: &Arguments, response: &str) -> Result<bool> {
    arguments.holds("relation", "num_words", python::words(response).count())
}

/// There are exactly the given number of paragraphs separated by lines of `***`. Empty paragraphs are accepted only before
/// the first and after the last.
pub(super) fn number_paragraphs(arguments: &Arguments, response: &str) -> Result<bool> {
    static DIVIDER: LazyLock<Regex> = LazyLock::new(|| python::regex(r"\s?\*\*\*\s?"));
    let blank: Vec<bool> =
        DIVIDER.split(response).map(|paragraph| python::strip(paragraph).is_empty()).collect();
    let last = blank.len() - 1;
    let (inner, outer): (Vec<usize>, Vec<usize>) =
        (0..blank.len()).filter(|place| blank[*place]).partition(|place| (1..last).contains(place));
    Ok(inner.is_empty() && blank.len() - outer.len() == arguments.count("num_paragraphs")?)
}

/// There are exactly the given number of paragraphs separated by empty lines, and the n-th begins with the given word.
pub(super) fn nth_paragraph_first_word(arguments: &Arguments, response: &str) -> Result<bool> {
    let wanted = arguments.count("num_paragraphs")?;
    let nth = arguments.count("nth_paragraph")?;
    let word = arguments.text("first_word")?.to_lowercase();
    if !(1..=wanted).contains(&nth) {
        return Err(arguments.wants("nth_paragraph", "one of the paragraphs"));
    }
    let paragraphs: Vec<&str> = response.split("\n\n").map(python::strip).collect();
    let filled = paragraphs.iter().filter(|paragraph| !paragraph.is_empty()).count();
    // Blank paragraphs do not count towards the number, but towards n: the n-th can be one of them.
    Ok(filled == wanted && first_word(paragraphs[nth - 1]).is_some_and(|first| first == word))
}

/// Without quotes before it, up to the first punctuation mark, in lower case.
fn first_word(paragraph: &str) -> Option<String> {
    let word = python::split(paragraph).next()?.trim_start_matches('\'').trim_start_matches('"');
    let word = word.split(['.', ',', '?', '!', '\'', '"']).next()?;
    Some(word.chars().flat_map(char::to_lowercase).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::ifeval::follows;

    #[test]
    fn sentences_are_counted() {
        let asks = |n: u32| json!({"relation": "at least", "num_sentences": n});
        let text = "Mr. Smith paid $3.50 to Dr. No (of the U.S. Army). \"Why?\" he asked. Nobody knows";
        assert!(follows("length_constraints:number_sentences", asks(4), text));
        assert!(!follows("length_constraints:number_sentences", asks(5), text));
    }

    #[test]
    fn words_are_counted() {
        let asks = |n: u32| json!({"relation": "less than", "num_words": n});
        assert!(follows("length_constraints:number_words", asks(5), "It's well-done."));
        assert!(!follows("length_constraints:number_words", asks(4), "It's well-done."));
    }

    #[test]
    fn paragraphs_lie_between_dividers() {
        let asks = || json!({"num_paragraphs": 2});
        let id = "length_constraints:number_paragraphs";
        assert!(follows(id, asks(), "one\n***\ntwo"));
        assert!(follows(id, asks(), "***\none\n***\ntwo\n***"));
        assert!(!follows(id, asks(), "one\n***\n \n***\ntwo"));
        assert!(!follows(id, asks(), "one\n\ntwo"));
    }

    #[test]
    fn the_nth_paragraph_begins_with_the_word() {
        let asks = |nth: u32| json!({"num_paragraphs": 2, "nth_paragraph": nth, "first_word": "Word"});
        let id = "length_constraints:nth_paragraph_first_word";
        assert!(follows(id, asks(2), "one\n\n'\"WORD, two"));
        assert!(!follows(id, asks(1), "one\n\nword two"));
        assert!(!follows(id, asks(2), "one\n\nword\n\nthree"));
        // Two paragraphs count, but the second place is empty.
        assert!(!follows(id, asks(2), "one\n\n \n\nword"));
        let error = crate::ifeval::check(id, &asks(3), "", "a").unwrap_err().to_string();
        assert!(error.contains("`nth_paragraph` is 3"), "{error}");
    }
}
