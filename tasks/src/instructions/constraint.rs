//! Constraints on a text; `ifeval`'s checks decide whether a text satisfies them.

use serde_json::{Value, json};

use super::topic::Topic;
use tokensieve_base::streams::HashedStream;

/// One constraint with its numbers and words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Constraint {
    AtLeast(usize),
    LessThan(usize),
    Sentences(usize),
    Bullets(usize),
    Paragraphs(usize),
    Words(Vec<&'static str>),
    Forbidden(Vec<&'static str>),
    Often(&'static str, usize),
    Highlights(usize),
    Placeholders(usize),
    End(&'static str),
    Postscript,
    Title,
    Lower,
    Capitals,
    NoComma,
    Quotes,
    Json,
}

/// Number of kinds.
pub(super) const KINDS: usize = 18;

const WORDS: [&str; 16] = [
    "summer",
    "money",
    "silence",
    "colour",
    "history",
    "weather",
    "music",
    "courage",
    "travel",
    "winter",
    "family",
    "science",
    "sport",
    "language",
    "morning",
    "neighbour",
];
const COMMON: [&str; 10] =
    ["many", "like", "good", "time", "first", "people", "best", "easy", "reason", "year"];
const ENDS: [&str; 5] = [
    "That is all I know.",
    "I hope this helps.",
    "What do you think?",
    "Ask me for more.",
    "Have a nice day.",
];

impl Constraint {
    /// A random constraint of a kind from 0 to [`KINDS`] − 1.
    pub(super) fn of_kind(kind: usize, topic: &Topic, stream: &mut HashedStream) -> Self {
        let mut number = |low, high| stream.between(low, high) as usize;
        match kind {
            0 => Self::AtLeast(10 * number(2, 6)),
            1 => Self::LessThan(10 * number(2, 6)),
            2 => Self::Sentences(number(3, 6)),
            3 => Self::Bullets(number(2, 5)),
            4 => Self::Paragraphs(number(2, 4)),
            5 => Self::Words(one_or_two(&WORDS, stream)),
            6 => Self::Forbidden(one_or_two(&COMMON, stream)),
            7 => Self::Often(topic.name, number(2, 4)),
            8 => Self::Highlights(number(2, 3)),
            9 => Self::Placeholders(number(2, 4)),
            10 => Self::End(stream.choose::<&str>(&ENDS)),
            11 => Self::Postscript,
            12 => Self::Title,
            13 => Self::Lower,
            14 => Self::Capitals,
            15 => Self::NoComma,
            16 => Self::Quotes,
            _ => Self::Json,
        }
    }

    /// The constraint as a sentence of the prompt, in one of two wordings.
    pub(super) fn phrase(&self, stream: &mut HashedStream) -> String {
        let words =
            |words: &[&str]| words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(" and ");
        let (one, other) = match self {
            Self::AtLeast(n) => {
                (format!("Use at least {n} words."), format!("It must have {n} words or more."))
            }
            Self::LessThan(n) => (format!("Use less than {n} words."), format!("Stay below {n} words.")),
            Self::Sentences(n) => (
                format!("Write less than {n} sentences."),
                format!("There must be fewer than {n} sentences."),
            ),
            Self::Bullets(n) => (
                format!("Answer with exactly {n} bullet points that begin with \"* \"."),
                format!(
                    "Your answer must be a list of exactly {n} bullets in markdown, each beginning with \"* \"."
                ),
            ),
            Self::Paragraphs(n) => (
                format!("Write {n} paragraphs separated by ***."),
                format!("There should be {n} paragraphs, with the divider *** between them."),
            ),
            Self::Words(list) => {
                (format!("Use {}.", words(list)), format!("Your answer must contain {}.", words(list)))
            }
            Self::Forbidden(list) => {
                (format!("Do not use {}.", words(list)), format!("Avoid {} anywhere.", words(list)))
            }
            Self::Often(word, n) => (
                format!("The word \"{word}\" should appear at least {n} times."),
                format!("Use \"{word}\" {n} times or more."),
            ),
            Self::Highlights(n) => (
                format!("Highlight at least {n} parts with markdown, like *this part*."),
                format!("At least {n} parts must stand between asterisks: *like this*."),
            ),
            Self::Placeholders(n) => (
                format!("Leave at least {n} placeholders in square brackets, such as [name]."),
                format!("Your answer must contain {n} or more placeholders like [address]."),
            ),
            Self::End(phrase) => (
                format!("End with exactly this sentence: {phrase} Nothing may follow it."),
                format!("The last words must be \"{phrase}\""),
            ),
            Self::Postscript => (
                "Add a postscript that begins with P.S.".into(),
                "At the end, put a line starting with P.S.".into(),
            ),
            Self::Title => (
                "Give it a title in double angular brackets, like <<title>>.".into(),
                "It needs a title, wrapped as <<title>>.".into(),
            ),
            Self::Lower => ("Use small letters only.".into(), "No capital letters are allowed.".into()),
            Self::Capitals => {
                ("Write everything in capital letters.".into(), "Only capital letters are allowed.".into())
            }
            Self::NoComma => ("Do not use any commas.".into(), "Commas are forbidden.".into()),
            Self::Quotes => (
                "Wrap the whole answer in double quotation marks.".into(),
                "Begin and end your answer with a double quotation mark.".into(),
            ),
            Self::Json => {
                ("The whole answer must be JSON.".into(), "Answer in JSON format and nothing else.".into())
            }
        };
        if stream.below(2) == 0 { one } else { other }
    }

    /// The check's name and arguments.
    pub(super) fn check(&self) -> (&'static str, Value) {
        match self {
            Self::AtLeast(n) => {
                ("length_constraints:number_words", json!({ "relation": "at least", "num_words": n }))
            }
            Self::LessThan(n) => {
                ("length_constraints:number_words", json!({ "relation": "less than", "num_words": n }))
            }
            Self::Sentences(n) => (
                "length_constraints:number_sentences",
                json!({ "relation": "less than", "num_sentences": n }),
            ),
            Self::Bullets(n) => ("detectable_format:number_bullet_lists", json!({ "num_bullets": n })),
            Self::Paragraphs(n) => ("length_constraints:number_paragraphs", json!({ "num_paragraphs": n })),
            Self::Words(words) => ("keywords:existence", json!({ "keywords": words })),
            Self::Forbidden(words) => ("keywords:forbidden_words", json!({ "forbidden_words": words })),
            Self::Often(word, n) => {
                ("keywords:frequency", json!({ "relation": "at least", "keyword": word, "frequency": n }))
            }
            Self::Highlights(n) => {
                ("detectable_format:number_highlighted_sections", json!({ "num_highlights": n }))
            }
            Self::Placeholders(n) => {
                ("detectable_content:number_placeholders", json!({ "num_placeholders": n }))
            }
            Self::End(phrase) => ("startend:end_checker", json!({ "end_phrase": phrase })),
            Self::Postscript => ("detectable_content:postscript", json!({ "postscript_marker": "P.S." })),
            Self::Title => ("detectable_format:title", json!({})),
            Self::Lower => ("change_case:english_lowercase", json!({})),
            Self::Capitals => ("change_case:english_capital", json!({})),
            Self::NoComma => ("punctuation:no_comma", json!({})),
            Self::Quotes => ("startend:quotation", json!({})),
            Self::Json => ("detectable_format:json_format", json!({})),
        }
    }
}

/// One or two of the words, at random.
fn one_or_two(among: &[&'static str], stream: &mut HashedStream) -> Vec<&'static str> {
    let mut words = among.to_vec();
    stream.shuffle(&mut words);
    words.truncate(stream.between(1, 2) as usize);
    words
}
