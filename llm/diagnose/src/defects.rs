//! What is wrong with the rows, as far as their text says: duplicates, leaked answers, rows that cannot be trained on,
//! and tokens that should not be trained on.

mod near;

use std::collections::HashMap;
use std::iter;
use std::ops::Range;

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
#[derive(Default)]
struct Text<'a> {
    /// All of it.
    whole: String,
    /// What is not trained on, without the answers that the row's earlier documents train on.
    prompt: String,
    /// The words of the prompt.
    words: Vec<String>,
    response: String,
    turns: Vec<Turn<'a>>,
}

/// What is trained on without a break.
struct Turn<'a> {
    /// Where it begins in the whole text.
    start: usize,
    /// How many of the prompt's words stand before.
    words_before: usize,
    response: String,
    tokens: &'a [TokenRecord],
}

impl<'a> Text<'a> {
    /// `earlier`: the documents of its row before it.
    fn of(record: &'a DocumentRecord, earlier: &[Self], markup: &Markup) -> Self {
        let written =
            |token: &'a TokenRecord| if markup.is_special(token) { " " } else { token.text.as_str() };
        let mut text = Self { whole: record.tokens.iter().map(written).collect(), ..Self::default() };
        let answers: Vec<Range<usize>> =
            earlier.iter().flat_map(|other| other.answers_in(&text.whole)).collect();
        let mut start = 0;
        for tokens in record.tokens.chunk_by(|a, b| a.response == b.response) {
            let end = start + tokens.iter().map(|token| written(token).len()).sum::<usize>();
            if tokens[0].response {
                let (words_before, response) = (text.words.len(), text.whole[start..end].to_owned());
                text.response += &response;
                text.turns.push(Turn { start, words_before, response, tokens });
            } else {
                let part = without(&text.whole, start..end, &answers);
                text.words.extend(words(&part));
                text.prompt += &part;
            }
            start = end;
        }
        // Nothing predicts the first token; it alone is no prompt but the beginning of a plain text.
        if record.tokens.iter().skip(1).all(|token| token.response) {
            text.response.insert_str(0, &std::mem::take(&mut text.prompt));
        }
        text
    }

    /// Where its answers stand in a later document of its row: after what stands before them here, and both without the
    /// reasoning, which templates leave out.
    fn answers_in(&self, later: &str) -> Vec<Range<usize>> {
        let place = |turn: &Turn| {
            let mut before = self.whole[..turn.start].trim_end();
            for mark in ["</think>", "<think>"] {
                before = before.strip_suffix(mark).unwrap_or(before).trim_end();
            }
            let rest = later.strip_prefix(before)?.trim_start();
            let answer = turn.response.rsplit("</think>").next()?.trim();
            let start = later.len() - rest.len();
            (rest.starts_with(answer) && !answer.is_empty()).then(|| start..start + answer.len())
        };
        self.turns.iter().filter_map(place).collect()
    }
}

/// A part of a text, with a space in place of each of these answers that is in it.
fn without(whole: &str, part: Range<usize>, answers: &[Range<usize>]) -> String {
    let (mut kept, mut at) = (String::new(), part.start);
    for answer in answers {
        if at <= answer.start && answer.end <= part.end {
            kept = kept + &whole[at..answer.start] + " ";
            at = answer.end;
        }
    }
    kept + &whole[at..part.end]
}

/// The findings in documents of a data set, by row; the documents of a row stand together. A row has each finding once.
pub(crate) fn find(records: &[DocumentRecord], markup: &Markup) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    let mut rows = Rows::default();
    for documents in records.chunk_by(|a, b| a.row == b.row) {
        let row = documents[0].row;
        let mut texts: Vec<Text> = Vec::new();
        for document in documents {
            texts.push(Text::of(document, &texts, markup));
        }
        let first = findings.len();
        for (defect, what) in
            texts.iter().flat_map(|text| in_text(text, markup)).chain(rows.note(row, &texts))
        {
            if findings[first..].iter().all(|finding| finding.defect != defect) {
                // What was found may quote the row.
                findings.push(Finding { defect, row, what: printable(&what) });
            }
        }
    }
    findings.extend(rows.nearly_repeated());
    findings.sort_by_key(|finding| finding.row);
    findings
}

/// What is wrong with a text by itself.
fn in_text(text: &Text, markup: &Markup) -> Vec<(Defect, String)> {
    let mut found = Vec::new();
    if let Some(answer) = text.turns.iter().find_map(|turn| leaked(turn, &text.words[..turn.words_before])) {
        found.push((Defect::Leak, format!("the prompt contains “{answer}”")));
    }
    if let Some(mark) = markup.foreign().find(|mark| text.whole.contains(mark)) {
        found.push((Defect::ForeignTemplate, format!("contains “{mark}”, which is text to this model")));
    }
    let mut pairs = text.turns.iter().flat_map(|turn| turn.tokens.windows(2));
    if let Some(pair) = pairs.find(|pair| is_mark_within(&pair[0], &pair[1], markup)) {
        found.push((Defect::Mask, format!("trains on “{}{}”", pair[0].text, pair[1].text)));
    }
    if text.turns.iter().any(has_empty_reasoning) {
        found.push((Defect::EmptyReasoning, "trains on an empty <think></think>".to_owned()));
    }
    found
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

/// The response or its final answer, if the words of the prompt contain it.
fn leaked(turn: &Turn, prompt: &[String]) -> Option<String> {
    let response = words(&turn.response);
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

/// What is remembered of rows, in numbers that equal things have in common: their texts would take too much memory.
#[derive(Default)]
struct Rows {
    /// The first row with each prompt, and with all prompts and responses.
    by_prompt: HashMap<u64, usize>,
    by_content: HashMap<u64, usize>,
    sequences: Sequences,
}

impl Rows {
    /// Notes a row with all of its documents. Whether it repeats or contradicts an earlier one: the prompts of conversations
    /// that only begin alike are equal but for the last one.
    fn note(&mut self, row: usize, texts: &[Text]) -> Option<(Defect, String)> {
        let contents: Vec<_> =
            texts.iter().map(|text| (content(&text.prompt), content(&text.response))).collect();
        let (prompt, _) = contents.last()?;
        let earlier = *self.by_content.entry(key(&contents)).or_insert(row);
        let with_prompt = *self.by_prompt.entry(key(prompt)).or_insert(row);
        if earlier != row {
            return Some((Defect::Duplicate, format!("repeats row {earlier}")));
        }
        for (prompt, response) in &contents {
            self.sequences.note(row, prompt, response);
        }
        let contradicts = with_prompt != row && !prompt.is_empty();
        contradicts.then(|| {
            (Defect::Contradiction, format!("has the prompt of row {with_prompt} and another response"))
        })
    }

    fn nearly_repeated(&self) -> impl Iterator<Item = Finding> {
        let found = self.sequences.nearly_repeated().into_iter();
        let defect = Defect::NearDuplicate;
        found.map(move |(row, other)| Finding { defect, row, what: format!("is nearly row {other}") })
    }
}

#[cfg(test)]
mod tests;
