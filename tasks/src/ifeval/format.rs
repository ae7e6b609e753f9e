//! `detectable_format:…` lists, sections, highlights, titles, JSON, and answers from a list.

use std::sync::LazyLock;

use regex::{Captures, Regex};
use serde::de::IgnoredAny;

use super::arguments::Arguments;
use super::python::{self, Pattern};
use crate::Result;

/// Exactly so many bullets of Markdown, `*` or `-`.
pub(super) fn number_bullet_lists(arguments: &Arguments, response: &str) -> Result<bool> {
    static STAR: LazyLock<Regex> = LazyLock::new(|| python::regex(r"(?m)^\s*\*[^\*].*$"));
    static DASH: LazyLock<Regex> = LazyLock::new(|| python::regex(r"(?m)^\s*-.*$"));
    let found = STAR.find_iter(response).count() + DASH.find_iter(response).count();
    Ok(found == arguments.count("num_bullets")?)
}

/// One of the three answers that the prompts offer occurs.
pub(super) fn constrained_response(_: &Arguments, response: &str) -> Result<bool> {
    const OFFERED: [&str; 3] = ["My answer is yes.", "My answer is no.", "My answer is maybe."];
    Ok(OFFERED.iter().any(|answer| response.contains(answer)))
}

/// At least so many highlights of Markdown; bold ones count, and those of the text between two bold ones too.
pub(super) fn number_highlighted_sections(arguments: &Arguments, response: &str) -> Result<bool> {
    static SINGLE: LazyLock<Regex> = LazyLock::new(|| python::regex(r"\*([^\n\*]*)\*"));
    static DOUBLE: LazyLock<Regex> = LazyLock::new(|| python::regex(r"\*\*([^\n\*]*)\*\*"));
    let filled = |highlight: &Regex| {
        highlight.captures_iter(response).filter(|found| !python::strip(&found[1]).is_empty()).count()
    };
    Ok(filled(&SINGLE) + filled(&DOUBLE) >= arguments.count("num_highlights")?)
}

/// At least so many sections, each marked by the word and a number.
pub(super) fn multiple_sections(arguments: &Arguments, response: &str) -> Result<bool> {
    let word = python::strip(arguments.text("section_spliter")?);
    let mark = Pattern::new(arguments, &format!(r"\s?{word}\s?\d+\s?"))?;
    Ok(mark.count(response)? >= arguments.count("num_sections")?)
}

/// The response is JSON, be it in a fence of Markdown.
pub(super) fn json_format(_: &Arguments, response: &str) -> Result<bool> {
    let mut text = python::strip(response);
    for fence in ["```json", "```Json", "```JSON", "```"] {
        text = text.strip_prefix(fence).unwrap_or(text);
    }
    Ok(is_json(python::strip(text.strip_suffix("```").unwrap_or(text))))
}

/// Python's reader also knows three numbers that JSON lacks.
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
