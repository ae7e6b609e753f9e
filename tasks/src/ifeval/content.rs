//! `detectable_content:…`: placeholders and postscripts.

use std::sync::LazyLock;

use regex::Regex;

use super::arguments::Arguments;
use super::python::{self, Pattern};
use crate::Result;

/// There are at least the given number of placeholders, `[…]` on one line.
pub(super) fn number_placeholders(arguments: &Arguments, response: &str) -> Result<bool> {
    static PLACEHOLDER: LazyLock<Regex> = LazyLock::new(|| python::regex(r"\[.*?\]"));
    Ok(PLACEHOLDER.find_iter(response).count() >= arguments.count("num_placeholders")?)
}

/// The postscript's marker occurs, with or without a space within it.
pub(super) fn postscript(arguments: &Arguments, response: &str) -> Result<bool> {
    let marker = match python::strip(arguments.text("postscript_marker")?) {
        "P.P.S" => r"p\.\s?p\.\s?s".to_owned(),
        "P.S." => r"p\.\s?s\.".to_owned(),
        other => other.to_lowercase(),
    };
    Pattern::new(arguments, &marker)?.occurs(&response.to_lowercase())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::ifeval::follows;

    #[test]
    fn placeholders_stay_on_a_line() {
        let asks = |n: u32| json!({"num_placeholders": n});
        assert!(follows("detectable_content:number_placeholders", asks(2), "[a] and [[b]"));
        assert!(!follows("detectable_content:number_placeholders", asks(1), "[a\n]"));
    }

    #[test]
    fn postscripts_are_marked() {
        let asks = |marker: &str| json!({"postscript_marker": marker});
        let id = "detectable_content:postscript";
        assert!(follows(id, asks("P.S."), "Bye.\n\np. s. Call!"));
        assert!(!follows(id, asks("P.S."), "Bye.\nPS Call!"));
        assert!(follows(id, asks("P.P.S"), "P.P.S call"));
        assert!(!follows(id, asks("P.P.S"), "P.S. call"));
        assert!(follows(id, asks("PS:"), "ps: call"));
    }
}
