//! `startend:…` and `punctuation:…`: the end of the response, quotation marks around it, and no commas.

use super::arguments::Arguments;
use super::python;
use crate::Result;

/// The response ends with the phrase, in either case, possibly before a quotation mark.
pub(super) fn end_checker(arguments: &Arguments, response: &str) -> Result<bool> {
    let phrase = python::strip(arguments.text("end_phrase")?).to_lowercase();
    Ok(python::strip(response).trim_matches('"').to_lowercase().ends_with(&phrase))
}

/// The whole response is in double quotation marks.
pub(super) fn quotation(_: &Arguments, response: &str) -> Result<bool> {
    let inside = python::strip(response).strip_prefix('"');
    Ok(inside.is_some_and(|rest| rest.ends_with('"')))
}

/// There is no comma.
pub(super) fn no_comma(_: &Arguments, response: &str) -> Result<bool> {
    Ok(!response.contains(','))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::ifeval::follows;

    #[test]
    fn the_phrase_comes_last() {
        let asks = || json!({"end_phrase": " Peace! "});
        assert!(follows("startend:end_checker", asks(), "\"So be it. PEACE!\"\n"));
        assert!(!follows("startend:end_checker", asks(), "Peace! So be it."));
    }

    #[test]
    fn quotation_marks_are_around_it() {
        for (text, quoted) in
            [(" \"a\"\n", true), ("\"\"", true), ("\"", false), ("\"a", false), ("“a”", false)]
        {
            assert_eq!(follows("startend:quotation", json!({}), text), quoted, "{text}");
        }
    }

    #[test]
    fn commas_are_of_ascii() {
        assert!(follows("punctuation:no_comma", json!({}), "a; b、c，d"));
        assert!(!follows("punctuation:no_comma", json!({}), "a, b"));
    }
}
