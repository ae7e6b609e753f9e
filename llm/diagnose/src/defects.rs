//! What is wrong with the rows, as far as their text says: duplicates, leaked answers, rows that cannot be trained on,
//! and tokens that should not be trained on.

mod near;

use std::collections::HashMap;
use std::iter;

use serde::Serialize;
use tokensieve_base::terminal::printable;
use tokensieve_documents::estimates::{DocumentRecord, TokenRecord};

use crate::markup::Markup;
use near::{Sequences, key};

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Defect {
    /// The row gives nothing to train on.
    Untrainable,
    /// The document is cut at the longest length.
    Truncated,
    /// Prompt and response repeat an earlier row's.
    Duplicate,
    /// The words are nearly an earlier row's.
    NearDuplicate,
    /// Another row has the same prompt and another response.
    Contradiction,
    /// The prompt contains the answer.
    Leak,
    /// The text contains marks of another model's chat template.
    ForeignTemplate,
    /// Marks of the chat template within a response are trained on.
    Mask,
    /// An empty block of reasoning is trained on.
    EmptyReasoning,
}

impl Defect {
    /// Every defect, worst first.
    pub const ALL: [Self; 9] = [
        Self::Untrainable,
        Self::Leak,
        Self::Mask,
        Self::EmptyReasoning,
        Self::ForeignTemplate,
        Self::Contradiction,
        Self::Duplicate,
        Self::NearDuplicate,
        Self::Truncated,
    ];

    /// What it means.
    pub fn about(self) -> &'static str {
        match self {
            Self::Untrainable => "rows that cannot be trained on and are skipped",
            Self::Truncated => "documents cut at the longest length, whose responses have no end",
            Self::Duplicate => "rows that repeat an earlier one",
            Self::NearDuplicate => "rows that are nearly an earlier one",
            Self::Contradiction => "prompts that an earlier row answers differently",
            Self::Leak => "answers in the prompt, which the model learns to copy",
            Self::ForeignTemplate => "marks of another chat template, which are text to the model",
            Self::Mask => "marks of the chat template trained on within a response",
            Self::EmptyReasoning => "empty blocks of reasoning trained on, which teach not to reason",
        }
    }
}

/// A row with a defect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What is wrong.
    pub defect: Defect,
    /// The row, counted from 0.
    pub row: usize,
    /// What was found.
    pub what: String,
}

/// Fewer words or letters than this are found in a prompt by chance. Letters, since a character may be a word.
const LEAKED_WORDS: usize = 4;
const LEAKED_LETTERS: usize = 8;

/// Marks that end a sentence or its parts, and marks that say nothing.
const ENDING: &str = ".,;:?!";
const QUIET: &str = "\"'“”‘’„‚«»‹›—…·•¿¡、。，．！？：；「」『』";

/// A document as text.
struct Text<'a> {
    row: usize,
    prompt: String,
    response: String,
    turns: Vec<Turn<'a>>,
}

/// What is trained on without a break.
struct Turn<'a> {
    /// What stands before and is not trained on.
    prompt: String,
    response: String,
    tokens: &'a [TokenRecord],
}

impl<'a> Text<'a> {
    fn of(record: &'a DocumentRecord, markup: &Markup) -> Self {
        let mut text =
            Self { row: record.row, prompt: String::new(), response: String::new(), turns: Vec::new() };
        for tokens in record.tokens.chunk_by(|a, b| a.response == b.response) {
            let written =
                |token: &'a TokenRecord| if markup.is_special(token) { " " } else { token.text.as_str() };
            let part: String = tokens.iter().map(written).collect();
            if tokens[0].response {
                text.response += &part;
                text.turns.push(Turn { prompt: text.prompt.clone(), response: part, tokens });
            } else {
                text.prompt += &part;
            }
        }
        // Nothing predicts the first token; it alone is no prompt but the beginning of a plain text.
        if record.tokens.iter().skip(1).all(|token| token.response) {
            text.response.insert_str(0, &std::mem::take(&mut text.prompt));
        }
        text
    }
}

/// The findings in documents of a data set, by row.
pub(crate) fn find(records: &[DocumentRecord], markup: &Markup) -> Vec<Finding> {
    let texts: Vec<Text> = records.iter().map(|record| Text::of(record, markup)).collect();
    let mut findings = Vec::new();
    for text in &texts {
        // What was found may quote the row.
        let mut found = |defect: Defect, what: String| {
            findings.push(Finding { defect, row: text.row, what: printable(&what) });
        };
        if let Some(answer) = text.turns.iter().find_map(leaked) {
            found(Defect::Leak, format!("the prompt contains “{answer}”"));
        }
        let whole = [&text.prompt, &text.response];
        if let Some(mark) = markup.foreign().find(|mark| whole.iter().any(|part| part.contains(mark))) {
            found(Defect::ForeignTemplate, format!("contains “{mark}”, which is text to this model"));
        }
        let mut pairs = text.turns.iter().flat_map(|turn| turn.tokens.windows(2));
        if let Some(pair) = pairs.find(|pair| is_mark_within(&pair[0], &pair[1], markup)) {
            found(Defect::Mask, format!("trains on “{}{}”", pair[0].text, pair[1].text));
        }
        if text.turns.iter().any(has_empty_reasoning) {
            found(Defect::EmptyReasoning, "trains on an empty <think></think>".to_owned());
        }
    }
    findings.extend(repeated(&texts));
    findings.sort_by_key(|finding| finding.row);
    findings
}

/// Whether a mark stands where a template has none: twice, or before a role. Other marks may well be neighbours, such as
/// those that begin the call of a tool or end a turn.
fn is_mark_within(mark: &TokenRecord, next: &TokenRecord, markup: &Markup) -> bool {
    let is_role = ["assistant", "user", "system", "model"].contains(&next.text.trim());
    markup.is_special(mark) && (mark.text == next.text || is_role)
}

fn has_empty_reasoning(turn: &Turn) -> bool {
    let all: String = turn.tokens.iter().map(|token| token.text.as_str()).collect();
    all.split("<think>").skip(1).any(|rest| {
        rest.split("</think>").next().is_some_and(|inner| inner.len() < rest.len() && inner.trim().is_empty())
    })
}

/// The words of a text and every other sign but spaces, each with the text after it.
fn parts(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = text;
    iter::from_fn(move || {
        rest = rest.trim_start();
        let length = match rest.char_indices().find(|(at, c)| !is_in_word(rest, *at, *c)) {
            Some((0, alone)) => alone.len_utf8(),
            Some((end, _)) => end,
            None => rest.len(),
        };
        let (part, after) = rest.split_at(length);
        rest = after;
        (!part.is_empty()).then_some((part, after))
    })
}

/// Whether a character belongs to a word with the one before it: letters, digits, and the marks between two digits.
fn is_in_word(text: &str, at: usize, c: char) -> bool {
    let is_digit = |c: char| c.is_ascii_digit();
    let in_number =
        || ".,".contains(c) && text[..at].ends_with(is_digit) && text[at + 1..].starts_with(is_digit);
    (c.is_alphanumeric() && !is_without_spaces(c)) || in_number()
}

/// Thai, Lao, Burmese, Khmer, Japanese and Chinese, whose words are not divided: each character counts as a word.
fn is_without_spaces(c: char) -> bool {
    matches!(c, '\u{0e00}'..='\u{0eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}')
        || matches!(c, '\u{3005}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

/// Words and numbers in lower case, everything else left out.
fn words(text: &str) -> Vec<String> {
    let words = parts(text).filter(|(part, _)| part.starts_with(char::is_alphanumeric));
    words.map(|(word, _)| word.to_lowercase()).collect()
}

/// What counts where rows are compared: everything but punctuation, spaces and the capital that a word begins with.
/// `7 + 3` is not `7 - 3`, nor `!x` the same as `x`.
fn content(text: &str) -> Vec<String> {
    let counted = parts(text).filter(|(part, after)| !is_punctuation(part, after));
    counted.map(|(part, _)| without_capital(part)).collect()
}

/// Whether a sign is for the eye alone. `.`, `!` and their like are it where something ends, not in `a.b` or `!=`.
fn is_punctuation(sign: &str, after: &str) -> bool {
    let is_quiet = |c: char| c.is_control() || QUIET.contains(c);
    let is_ending = |c: char| ENDING.contains(c);
    let ends = |next: char| next.is_whitespace() || is_quiet(next) || is_ending(next);
    sign.starts_with(is_quiet) || (sign.starts_with(is_ending) && after.chars().next().is_none_or(ends))
}

fn without_capital(word: &str) -> String {
    let mut letters = word.chars();
    let first = letters.next().into_iter().flat_map(char::to_lowercase);
    first.chain(letters).collect()
}

/// The response or its final answer, if the prompt contains it.
fn leaked(turn: &Turn) -> Option<String> {
    let (prompt, response) = (words(&turn.prompt), words(&turn.response));
    let letters: usize = response.iter().map(|word| word.chars().count()).sum();
    if response.len() >= LEAKED_WORDS
        && letters >= LEAKED_LETTERS
        && prompt.windows(response.len()).any(|window| window == response)
    {
        return Some(shortened(turn.response.trim()));
    }
    // A number alone is there by chance; right after the word it is meant.
    let last = final_answer(&turn.response)?;
    let is_answer = |word: &str| ["answer", "solution", "result"].contains(&word);
    let quoted = |at: usize| {
        let next = (at + 1..prompt.len()).find(|next| prompt[*next] != "is")?;
        (prompt[next] == last).then(|| prompt[at..=next].join(" "))
    };
    (0..prompt.len()).filter(|at| is_answer(&prompt[*at])).find_map(quoted)
}

/// What follows `####`, or the last number of a response.
fn final_answer(response: &str) -> Option<String> {
    let last = response.rsplit("####").next().unwrap_or(response);
    words(last).into_iter().rev().find(|word| word.chars().all(|c| c.is_ascii_digit() || ".,".contains(c)))
}

fn shortened(text: &str) -> String {
    let mut short: String = text.chars().take(60).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

/// The first two rows with each key: whichever row asks, the first that is another is among them.
#[derive(Default)]
struct FirstRows(HashMap<u64, Vec<usize>>);

impl FirstRows {
    /// The first row with this key besides one's own.
    fn other(&self, key: u64, own: usize) -> Option<usize> {
        self.0.get(&key)?.iter().copied().find(|row| *row != own)
    }

    fn note(&mut self, key: u64, row: usize) {
        let rows = self.0.entry(key).or_default();
        if rows.len() < 2 && !rows.contains(&row) {
            rows.push(row);
        }
    }
}

/// Rows that repeat or contradict earlier ones.
fn repeated(texts: &[Text]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut by_prompt = FirstRows::default();
    let mut by_both = FirstRows::default();
    let mut sequences = Sequences::default();
    for text in texts {
        let (prompt, response) = (content(&text.prompt), content(&text.response));
        let (key_of_prompt, key_of_both) = (key(&prompt), key(&(&prompt, &response)));
        let mut found = |defect, what: String| findings.push(Finding { defect, row: text.row, what });
        if let Some(row) = by_both.other(key_of_both, text.row) {
            found(Defect::Duplicate, format!("repeats row {row}"));
        } else {
            if let Some(row) = by_prompt.other(key_of_prompt, text.row).filter(|_| !prompt.is_empty()) {
                found(Defect::Contradiction, format!("has the prompt of row {row} and another response"));
            }
            sequences.note(text.row, &prompt, &response);
        }
        by_prompt.note(key_of_prompt, text.row);
        by_both.note(key_of_both, text.row);
    }
    let near = |(row, other): (usize, usize)| Finding {
        defect: Defect::NearDuplicate,
        row,
        what: format!("is nearly row {other}"),
    };
    findings.extend(sequences.nearly_repeated().into_iter().map(near));
    findings
}

#[cfg(test)]
mod tests;
