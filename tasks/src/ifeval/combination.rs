//! `combination:…`: repeating the prompt, and giving two responses.

use super::arguments::Arguments;
use super::python;
use crate::Result;

/// The response begins with the request in the arguments, or with the whole prompt where there is none.
pub(super) fn repeat_prompt(arguments: &Arguments, response: &str) -> Result<bool> {
    let request = arguments.text_if_any("prompt_to_repeat")?.unwrap_or(arguments.prompt);
    Ok(python::strip(response).to_lowercase().starts_with(&python::strip(request).to_lowercase()))
}

/// Two different responses with six asterisks between them.
pub(super) fn two_responses(_: &Arguments, response: &str) -> Result<bool> {
    let parts: Vec<&str> = response.split("******").map(python::strip).collect();
    // Asterisks before the first response and after the last are accepted.
    let from = usize::from(parts[0].is_empty());
    let to = parts.len() - usize::from(parts[parts.len() - 1].is_empty());
    Ok(
        matches!(parts.get(from..to), Some([one, other]) if !one.is_empty() && !other.is_empty() && one != other),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::ifeval::{check, follows};

    #[test]
    fn the_request_comes_first() {
        let id = "combination:repeat_prompt";
        assert!(follows(id, json!({"prompt_to_repeat": "Tell me. "}), "\nTELL me. Well"));
        assert!(!follows(id, json!({"prompt_to_repeat": "Tell me."}), "\"Tell me.\" Well"));
        assert!(check(id, &json!({}), "Say it.", "say it. It.").unwrap());
    }

    #[test]
    fn responses_are_two_and_differ() {
        let id = "combination:two_responses";
        assert!(follows(id, json!({}), "one\n******\ntwo"));
        assert!(follows(id, json!({}), "******one******two******"));
        for other in ["one", "one******one ", "one******two******three", "one************two", "******"] {
            assert!(!follows(id, json!({}), other), "{other}");
        }
    }
}
