//! `detectable_format:…`: lists, sections, highlights, titles, JSON, and answers from a list.

use std::sync::LazyLock;

use regex::{Captures, Regex};
use serde::de::IgnoredAny;

use super::arguments::Arguments;
use super::python::{self, Pattern};
use crate::Result;

/// There are exactly the given number of Markdown bullets, `*` or `-`.
pub(super) fn number_bullet_lists(arguments: &Arguments, response: &str) -> Result<bool> {
    static STAR: LazyLock<Regex> = LazyLock::new(|| python::regex(r"(?m)^\s*\*[^\*].*$"));
    static DASH: LazyLock<Regex> = LazyLock::new(|| python::regex(r"(?m)^\s*-.*$"));
    let found = STAR.find_iter(response).count() + DASH.find_iter(response).count();
    Ok(found == arguments.count("num_bullets")?)
}

/// The response contains one of the three answers that the prompts offer.
pub(super) fn constrained_response(_: &Arguments, response: &str) -> Result<bool> {
    const OFFERED: [&str; 3] = ["My answer is yes.", "My answer is no.", "My answer is maybe."];
    Ok(OFFERED.iter().any(|answer| response.contains(answer)))
}

/// There are at least the given number of Markdown highlights. Bold text counts, and so does text between two bold parts.
pub(super) fn number_highlighted_sections(arguments: &Arguments, response: &str) -> Result<bool> {
    static SINGLE: LazyLock<Regex> = LazyLock::new(|| python::regex(r"\*([^\n\*]*)\*"));
    static DOUBLE: LazyLock<Regex> = LazyLock::new(|| python::regex(r"\*\*([^\n\*]*)\*\*"));
    let filled = |highlight: &Regex| {
        highlight.captures_iter(response).filter(|found| !python::strip(&found[1]).is_empty()).count()
    };
    Ok(filled(&SINGLE) + filled(&DOUBLE) >= arguments.count("num_highlights")?)
}

/// There are at least the given number of sections, each marked by the given word and a number.
pub(super) fn multiple_sections(arguments: &Arguments, response: &str) -> Result<bool> {
    let word = python::strip(arguments.text("section_spliter")?);
    let mark = Pattern::new(arguments, &format!(r"\s?{word}\s?\d+\s?"))?;
    Ok(mark.count(response)? >= arguments.count("num_sections")?)
}

/// The response is JSON, possibly in a Markdown code fence.
pub(super) fn json_format(_: &Arguments, response: &str) -> Result<bool> {
    let mut text = python::strip(response);
    for fence in ["```json", "```Json", "```JSON", "```"] {
        text = text.strip_prefix(fence).unwrap_or(text);
    }
    Ok(is_json(python::strip(text.strip_suffix("```").unwrap_or(text))))
}

/// Python's parser also accepts three numbers that JSON lacks.
fn is_json(text: &str) -> bool {
    static TOKEN: LazyLock<Regex> = LazyLock::new(|| python::regex(r#""(?:[^"\\]|\\.)*"|NaN|-?Infinity"#));
    let standard = TOKEN.replace_all(text, |token: &Captures| {
        let text = token.get_match().as_str();
        if text.starts_with('"') { text.to_owned() } else { "null".to_owned() }
    });
    serde_json::from_str::<IgnoredAny>(&standard).is_ok()
}

/// There is a title, `<<…>>`.
pub(super) fn title(_: &Arguments, response: &str) -> Result<bool> {
    static TITLE: LazyLock<Regex> = LazyLock::new(|| python::regex(r"<<[^\n]+>>"));
    let filled = |title: &str| !python::strip(title.trim_start_matches('<').trim_end_matches('>')).is_empty();
    Ok(TITLE.find_iter(response).any(|title| filled(title.as_str())))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::is_json;
    use crate::ifeval::follows;

    #[test]
    fn bullets_are_stars_and_dashes() {
        let asks = |n: u32| json!({"num_bullets": n});
        let id = "detectable_format:number_bullet_lists";
        assert!(follows(id, asks(3), "* a\n  * b\n- c\n** bold\n1. d"));
        assert!(!follows(id, asks(4), "* a\n  * b\n- c\n** bold\n1. d"));
    }

    #[test]
    fn one_of_three_answers_is_given() {
        let id = "detectable_format:constrained_response";
        assert!(follows(id, json!({}), "Well. My answer is maybe. Or not."));
        assert!(!follows(id, json!({}), "My answer is: yes."));
    }

    #[test]
    fn highlights_are_filled() {
        let asks = |n: u32| json!({"num_highlights": n});
        let id = "detectable_format:number_highlighted_sections";
        assert!(follows(id, asks(2), "*a* and *b c*"));
        assert!(!follows(id, asks(2), "*a* and * *, **"));
        assert!(follows(id, asks(1), "**bold**"));
        assert!(!follows(id, asks(1), "*a\nb*"));
    }

    #[test]
    fn sections_are_numbered() {
        let asks = |n: u32| json!({"section_spliter": "Section", "num_sections": n});
        let id = "detectable_format:multiple_sections";
        assert!(follows(id, asks(2), "Section 1\na\nSection 2\nb"));
        assert!(!follows(id, asks(2), "Section 1\na\nsection 2\nSection two"));
    }

    #[test]
    fn json_may_be_fenced() {
        let id = "detectable_format:json_format";
        assert!(follows(id, json!({}), " ```json\n{\"a\": [1, 2.5e3, null]}\n``` "));
        assert!(follows(id, json!({}), "\"text\""));
        assert!(!follows(id, json!({}), "Here it is: {\"a\": 1}"));
        assert!(!follows(id, json!({}), "{'a': 1}"));
    }

    #[test]
    fn json_is_what_python_reads() {
        for valid in ["NaN", "[-Infinity, Infinity]", "1e999", r#""\ud800""#, r#"{"NaN": "\"Infinity"}"#] {
            assert!(is_json(valid), "{valid}");
        }
        for invalid in ["", "-NaN", "NaNNaN", "1NaN", "nan", "\"a\nb\"", "[1,]", "01", "{NaN: 1}", "\"NaN"] {
            assert!(!is_json(invalid), "{invalid}");
        }
        assert!(is_json(&("[".repeat(100_000) + &"]".repeat(100_000))));
    }

    #[test]
    fn titles_are_filled() {
        assert!(follows("detectable_format:title", json!({}), "a\n<<<joy>>>\nb"));
        assert!(!follows("detectable_format:title", json!({}), "<< >> <joy> <<a\nb>>"));
    }
}
