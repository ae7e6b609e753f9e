//! `startend:…` and `punctuation:…` how the response ends, what is around it, and what it does without.

use super::arguments::Arguments;
use super::python;
use crate::Result;

/// The response ends with the phrase, in either case and be it before a quotation mark.
pub(super) fn end_checker(arguments: &Arguments, response: &str) -> Result<bool> {
    let phrase = python::strip(arguments.text("end_phrase")?).to_lowercase();
    Ok(python::strip(response).trim_matches('"').to_lowercase().ends_with(&phrase))
}

/// The whole response is between double quotation marks.
pub(super) fn quotation(_: &Arguments, response: &str) -> Result<bool> {
    let inside = python::strip(response).strip_prefix('"');
    Ok(inside.is_some_and(|rest| rest.ends_with('"')))
}

/// There is no comma.
pub(super) fn no_comma(_: &Arguments, response: &str) -> Result<bool> {
    Ok(!response.contains(','))
}
