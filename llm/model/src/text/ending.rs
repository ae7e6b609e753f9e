//! What a chat template writes after an assistant's message.

use serde_json::Value;

use super::template::Template;
use super::trial::WORD;

/// The text that a template writes after an assistant's message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ending {
    /// Up to and including the end-of-turn token; trained on.
    pub(super) turn: String,
    /// The rest; not trained on.
    pub(super) after: String,
}

impl Ending {
    /// Determined by rendering a made-up turn of a conversation with these tools; `None` if the template refuses any.
    /// `special` lists the texts that can end a turn; a later list is used only if no text of the earlier ones occurs.
    pub(super) fn of(template: &Template, tools: &[Value], special: &[Vec<String>]) -> Option<Self> {
        let text = template.examples(tools).next()?;
        let at = text.rfind(WORD)?;
        let rest = &text[at + WORD.len()..];
        let first = |texts: &Vec<String>| {
            let found = texts.iter().filter_map(|text| Some((rest.find(text.as_str())?, text.len())));
            // Of two at the same position, the longer.
            found.min_by_key(|(at, length)| (*at, usize::MAX - length))
        };
        let end = special.iter().find_map(first).map_or(rest.len(), |(at, length)| at + length);
        Some(Self { turn: rest[..end].to_owned(), after: rest[end..].to_owned() })
    }
}
