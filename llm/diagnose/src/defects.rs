//! What is wrong with the rows, as far as their text says: duplicates, leaked answers, rows that cannot be trained on,
//! and tokens that should not be trained on.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher as _};

use serde::Serialize;
use tokensieve_documents::estimates::{DocumentRecord, TokenRecord};

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

/// Marks of chat templates. One that is a token of the model's own is no text to the model, and is not looked for.
const MARKS: [&str; 16] = [
    "<|im_start|>",
    "<|im_end|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
    "<|begin_of_text|>",
    "<|endoftext|>",
    "<start_of_turn>",
    "<end_of_turn>",
    "[INST]",
    "[/INST]",
    "<<SYS>>",
    "<|assistant|>",
    "<|user|>",
    "### Response:",
    "### Instruction:",
];

/// Words in a sequence by which texts are compared, and the share of equal ones that makes a near duplicate (choices).
const SEQUENCE: usize = 5;
const NEAR: f64 = 0.8;

/// A sequence in more rows than this is the data's own phrase and identifies no row.
const COMMON: usize = 50;

/// Fewer words than this are found in a prompt by chance.
const LEAKED_WORDS: usize = 4;

/// A document as text.
struct Text<'a> {
    row: usize,
    prompt: String,
    response: String,
    /// The response's tokens.
    predicted: Vec<&'a TokenRecord>,
}

impl<'a> Text<'a> {
    fn of(record: &'a DocumentRecord) -> Self {
        // Nothing predicts the first token; it alone is no prompt but the beginning of a plain text.
        let is_plain = record.tokens.iter().skip(1).all(|token| token.response);
        let of = |response: bool| {
            let own = record.tokens.iter().filter(move |token| (token.response || is_plain) == response);
            own.filter(|token| token.class.as_deref() != Some("special"))
                .map(|token| token.text.as_str())
                .collect()
        };
        let predicted = record.tokens.iter().filter(|token| token.response).collect();
        Self { row: record.row, prompt: of(false), response: of(true), predicted }
    }
}

/// The findings in documents of a data set, by row. `is_own` says whether a text is one special token of the model.
pub(crate) fn find(records: &[DocumentRecord], is_own: &dyn Fn(&str) -> bool) -> Vec<Finding> {
    let texts: Vec<Text> = records.iter().map(Text::of).collect();
    let mut findings = Vec::new();
    let marks: Vec<&str> = MARKS.into_iter().filter(|mark| !is_own(mark)).collect();
    for text in &texts {
        let mut found = |defect: Defect, what: String| findings.push(Finding { defect, row: text.row, what });
        if let Some(answer) = leaked(text) {
            found(Defect::Leak, format!("the prompt contains “{answer}”"));
        }
        let whole = [&text.prompt, &text.response];
        if let Some(mark) = marks.iter().find(|mark| whole.iter().any(|part| part.contains(**mark))) {
            found(Defect::ForeignTemplate, format!("contains “{mark}”, which is text to this model"));
        }
        let within = text.predicted.len().saturating_sub(1);
        let inner = text.predicted[..within].windows(2).find(|pair| {
            // The end of a turn is trained on where the next response is another turn's.
            pair.iter().all(|token| token.class.as_deref() == Some("special"))
                || (pair[0].class.as_deref() == Some("special") && is_role(&pair[1].text))
        });
        if let Some(pair) = inner {
            found(Defect::Mask, format!("trains on “{}{}”", pair[0].text, pair[1].text));
        }
        if has_empty_reasoning(text) {
            found(Defect::EmptyReasoning, "trains on an empty <think></think>".to_owned());
        }
    }
    findings.extend(repeated(&texts));
    findings.sort_by_key(|finding| finding.row);
    findings
}

fn is_role(text: &str) -> bool {
    ["assistant", "user", "system", "model"].contains(&text.trim())
}

fn has_empty_reasoning(text: &Text) -> bool {
    let all: String = text.predicted.iter().map(|token| token.text.as_str()).collect();
    all.split("<think>").skip(1).any(|rest| {
        rest.split("</think>").next().is_some_and(|inner| inner.len() < rest.len() && inner.trim().is_empty())
    })
}

/// Words and numbers in lower case, everything else left out.
fn words(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

/// What counts where rows are compared: words, and the signs that say something: `7 + 3` is not `7 - 3`, nor one symbol
/// another.
fn content(text: &str) -> Vec<String> {
    let mut content = Vec::new();
    let mut word = String::new();
    let mut after_digit = false;
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c.is_alphanumeric() {
            word.extend(c.to_lowercase());
            after_digit = c.is_ascii_digit();
            continue;
        }
        content.extend((!word.is_empty()).then(|| std::mem::take(&mut word)));
        let before_digit = || rest.clone().find(|c| !c.is_whitespace()).is_some_and(|c| c.is_ascii_digit());
        let is_sign = "+-−–*/=<>^%".contains(c) && (after_digit || before_digit());
        if is_sign || is_symbol(c) {
            content.push(c.to_string());
        }
        after_digit &= c.is_whitespace();
    }
    content.extend((!word.is_empty()).then_some(word));
    content
}

/// Emoji, arrows and their like; marks of punctuation are none.
fn is_symbol(c: char) -> bool {
    !c.is_ascii()
        && !c.is_whitespace()
        && !c.is_control()
        && !"“”‘’„‚«»‹›–—−…·•¿¡、。，．！？：；（）「」『』".contains(c)
}

/// The response or its final answer, if the prompt contains it.
fn leaked(text: &Text) -> Option<String> {
    let (prompt, response) = (words(&text.prompt), words(&text.response));
    let contains = |part: &[String]| prompt.windows(part.len().max(1)).any(|window| window == part);
    if response.len() >= LEAKED_WORDS && contains(&response) {
        return Some(shortened(text.response.trim()));
    }
    // A number alone is there by chance; beside the word it is meant.
    let last = final_answer(&text.response)?;
    let of_answer = |word: &str| ["answer", "solution", "result"].contains(&word);
    let found = prompt.iter().enumerate().find(|(i, word)| {
        let after = prompt.iter().skip(i + 1).take(3);
        of_answer(word) && after.take_while(|next| !of_answer(next)).any(|next| *next == last)
    });
    found.map(|(i, _)| prompt[i..prompt.len().min(i + 4)].join(" "))
}

/// What follows `####`, or the last number of a response.
fn final_answer(response: &str) -> Option<String> {
    let last = response.rsplit("####").next().unwrap_or(response);
    words(last).into_iter().rev().find(|word| word.chars().all(|c| c.is_ascii_digit()))
}

fn shortened(text: &str) -> String {
    let mut short: String = text.chars().take(60).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

fn key(of: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
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
    let mut by_sequence: HashMap<u64, Vec<usize>> = HashMap::new();
    let mut sequences: Vec<HashSet<u64>> = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        let (prompt, response) = (content(&text.prompt), content(&text.response));
        let both = [prompt.as_slice(), &response].concat();
        let own: HashSet<u64> = both.windows(SEQUENCE).map(|window| key(&window)).collect();
        let (key_of_prompt, key_of_both) = (key(&prompt), key(&(&prompt, &response)));
        let mut found = |defect, what: String| findings.push(Finding { defect, row: text.row, what });
        if let Some(row) = by_both.other(key_of_both, text.row) {
            found(Defect::Duplicate, format!("repeats row {row}"));
        } else {
            if let Some(row) = by_prompt.other(key_of_prompt, text.row).filter(|_| !prompt.is_empty()) {
                found(Defect::Contradiction, format!("has the prompt of row {row} and another response"));
            }
            let near = nearest(&own, &by_sequence, &sequences).map(|other| texts[other].row);
            if let Some(row) = near.filter(|row| *row != text.row) {
                found(Defect::NearDuplicate, format!("is nearly row {row}"));
            }
        }
        by_prompt.note(key_of_prompt, text.row);
        by_both.note(key_of_both, text.row);
        for sequence in &own {
            let rows = by_sequence.entry(*sequence).or_default();
            if rows.len() < COMMON {
                rows.push(index);
            }
        }
        sequences.push(own);
    }
    findings
}

/// The earlier document with which this one shares most of its sequences, if that is enough.
fn nearest(
    own: &HashSet<u64>,
    by_sequence: &HashMap<u64, Vec<usize>>,
    all: &[HashSet<u64>],
) -> Option<usize> {
    let mut shared: HashMap<usize, usize> = HashMap::new();
    for sequence in own {
        for other in by_sequence.get(sequence).into_iter().flatten() {
            *shared.entry(*other).or_default() += 1;
        }
    }
    let (other, _) = shared.into_iter().max_by_key(|(other, count)| (*count, std::cmp::Reverse(*other)))?;
    let common = own.intersection(&all[other]).count() as f64;
    (common >= NEAR * (own.len() + all[other].len()) as f64 / (1.0 + NEAR)).then_some(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(row: usize, prompt: &str, response: &[&str]) -> DocumentRecord {
        let token = |text: &str, response: bool| TokenRecord {
            text: text.to_owned(),
            response,
            class: text.starts_with("<|").then(|| "special".to_owned()),
            ..TokenRecord::default()
        };
        let before = ["<|im_start|>", prompt].map(|text| token(text, false));
        let tokens = before.into_iter().chain(response.iter().map(|text| token(text, true)));
        DocumentRecord { row, tokens: tokens.collect() }
    }

    fn found(documents: &[DocumentRecord]) -> Vec<(Defect, usize)> {
        let own = |mark: &str| mark == "<|im_end|>" || mark == "<|im_start|>";
        find(documents, &own).into_iter().map(|finding| (finding.defect, finding.row)).collect()
    }

    const LONG: &str =
        "Mary buys five apples and gives two of them to her brother who eats one at once on the way home";

    #[test]
    fn rows_that_repeat_or_contradict_others() {
        let end = "<|im_end|>";
        let near = LONG.replace("Mary", "Maria");
        let documents = [
            document(0, "What is it?", &["A cat", end]),
            document(1, "what is it", &["a  cat.", end]),
            document(2, "What is it?", &["A dog", end]),
            document(3, LONG, &["She has three.", end]),
            document(4, &near, &["She has three.", end]),
            document(5, "Something else?", &["A cat", end]),
        ];
        assert_eq!(
            found(&documents),
            [(Defect::Duplicate, 1), (Defect::Contradiction, 2), (Defect::NearDuplicate, 4)]
        );
    }

    #[test]
    fn signs_and_symbols_make_other_rows() {
        let documents = [
            document(0, "What is 7 + 3?", &["10"]),
            document(1, "What is 7 - 3?", &["4"]),
            document(2, "Is 5 > 3?", &["yes"]),
            document(3, "Is 5 < 3?", &["no"]),
            document(4, "-4 + 4", &["0"]),
            document(5, "4 + 4", &["8"]),
            document(6, "Rate: great film", &["👍"]),
            document(7, "Rate: great film", &["👎"]),
            document(8, "A well-known fact - or not?", &["Yes!"]),
            document(9, "“A well known fact”: or not", &["yes"]),
        ];
        assert_eq!(found(&documents), [(Defect::Contradiction, 7), (Defect::Duplicate, 9)]);
    }

    #[test]
    fn a_row_may_contradict_another_and_nearly_repeat_it() {
        let near = LONG.replace("home", "back");
        let documents = [document(0, "Go on.", &[LONG]), document(1, "Go on.", &[&near])];
        assert_eq!(found(&documents), [(Defect::Contradiction, 1), (Defect::NearDuplicate, 1)]);
    }

    /// So many that comparing each with all before it would take minutes.
    #[test]
    fn many_rows_with_one_prompt_name_the_first_other_row() {
        let mut documents: Vec<DocumentRecord> =
            (0..20_000).map(|row| document(row, "What is it?", &[&format!("It is {row}")])).collect();
        // A row that repeats itself and an earlier one.
        documents.extend([0, 1].map(|_| document(20_000, "What is it?", &["it is 7."])));
        documents.push(document(7, "What is it?", &["It is 7"]));
        let found = find(&documents, &|_| false);
        let of_row = |row: usize| -> Vec<&str> {
            found.iter().filter(|finding| finding.row == row).map(|finding| finding.what.as_str()).collect()
        };
        assert_eq!(of_row(0), [""; 0]);
        assert_eq!(of_row(19_999), ["has the prompt of row 0 and another response"]);
        assert_eq!(of_row(20_000), ["repeats row 7"; 2]);
        assert_eq!(of_row(7), ["has the prompt of row 0 and another response", "repeats row 20000"]);
    }

    #[test]
    fn plain_texts_have_no_prompt() {
        let text = |row, words: &[&str]| {
            let mut text = document(row, "", words);
            text.tokens.drain(..2);
            text.tokens[0].response = false;
            text
        };
        let documents = [
            text(0, &["The", " cat", " sat"]),
            text(1, &["The", " dog", " ran"]),
            text(2, &["The", " cat", " sat"]),
        ];
        assert_eq!(found(&documents), [(Defect::Duplicate, 2)]);
    }

    #[test]
    fn answers_in_the_prompt() {
        let documents = [
            document(0, "Add 3 and 4. The answer is 7.", &["3 + 4 = 7", " #### 7"]),
            document(1, "Add 3 and 4 to get 7 apples?", &["3 + 4 = 7", " #### 7"]),
            document(2, "Say: the cat sat on it. Answer", &["The cat sat on it."]),
            document(3, "The answer is not known: add 2 and 5", &["7"]),
        ];
        assert_eq!(found(&documents), [(Defect::Leak, 0), (Defect::Leak, 2)]);
    }

    #[test]
    fn tokens_that_should_not_be_trained_on() {
        let documents = [
            document(0, "a", &["<think>", "\n\n", "</think>", "ja", "<|im_end|>"]),
            document(1, "b", &["<think>", "so", "</think>", "ja", "<|im_end|>"]),
            document(2, "c", &["one", "<|im_end|>", "two", "<|im_end|>"]),
            document(3, "d", &["one", "<|im_start|>", "assistant", "two", "<|im_end|>"]),
            document(4, "### Instruction: e", &["one", "<|im_end|>"]),
        ];
        let wanted = [(Defect::EmptyReasoning, 0), (Defect::Mask, 3), (Defect::ForeignTemplate, 4)];
        assert_eq!(found(&documents), wanted);
    }
}
