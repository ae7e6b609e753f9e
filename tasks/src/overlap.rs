//! Overlap of a free text with a reference: chrF and chrF++.
//!
//! Popović 2015 and 2017, as sacrebleu computes them by default: n-grams of up to six characters without white space
//! (chrF++: and of up to two words), β = 2, precision and recall averaged over the orders that occur. Over several texts
//! the counts are added up, so that a set's score is a function of sums.

use std::collections::HashMap;
use std::hash::Hash;

use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokensieve_data::Catalogue;

use crate::task::Unit;
use crate::{Answer, Measure, Question, Result, Task, rows};

const CHARACTERS: usize = 6;
const WORDS: usize = 2;
const BETA: f64 = 2.0;

pub(crate) const MEASURES: &[Measure] = &[
    Measure {
        name: "chrf",
        meaning: "overlap of character n-grams with the reference, over the set",
        unit: Unit::Share,
        more_is_better: Some(true),
        least: 0.0,
        of: score,
    },
    Measure {
        name: "chrf++",
        meaning: "overlap of character and word n-grams with the reference, over the set",
        unit: Unit::Share,
        more_is_better: Some(true),
        least: 0.0,
        of: score,
    },
];

/// For each order the number of n-grams in the reply, in the reference, and in both: characters first, then words.
pub fn counts(reply: &str, reference: &str) -> Vec<f64> {
    let characters = |text: &str| text.chars().filter(|c| !is_space(*c)).collect::<Vec<_>>();
    let mut counts = Vec::with_capacity(3 * (CHARACTERS + WORDS));
    count(&characters(reply), &characters(reference), CHARACTERS, &mut counts);
    count(&words(reply), &words(reference), WORDS, &mut counts);
    counts
}

fn count<T: Eq + Hash>(reply: &[T], reference: &[T], orders: usize, counts: &mut Vec<f64>) {
    for order in 1..=orders {
        let mut left: HashMap<&[T], u32> = HashMap::new();
        for gram in reference.windows(order) {
            *left.entry(gram).or_default() += 1;
        }
        let mut shared = 0;
        for gram in reply.windows(order) {
            if let Some(left @ 1..) = left.get_mut(gram) {
                *left -= 1;
                shared += 1;
            }
        }
        let grams = |text: &[T]| (text.len() + 1).saturating_sub(order);
        let of_reference = grams(reference);
        // An order that the reference is too short for does not count against the reply.
        let of_reply = if of_reference == 0 { 0 } else { grams(reply) };
        counts.extend([of_reply as f64, of_reference as f64, f64::from(shared)]);
    }
}

/// Words; a punctuation mark at a word's end (or else at its beginning) is a word of its own.
fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    for word in text.split(is_space).filter(|word| !word.is_empty()) {
        let first = word.chars().next().map_or(0, char::len_utf8);
        let last = word.char_indices().next_back().map_or(0, |(at, _)| at);
        let is_mark = |part: &str| part.chars().all(|c| c.is_ascii_punctuation());
        if last > 0 && is_mark(&word[last..]) {
            words.extend([&word[..last], &word[last..]]);
        } else if last > 0 && is_mark(&word[..first]) {
            words.extend([&word[..first], &word[first..]]);
        } else {
            words.push(word);
        }
    }
    words
}

/// White space as in Python's `str.split`: Unicode's, and four ASCII separators.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

/// The score of counts, or of sums of them: from 0 to 1.
pub fn score(counts: &[f64]) -> f64 {
    let (mut precision, mut recall, mut orders) = (0.0, 0.0, 0.0);
    for order in counts.chunks_exact(3).filter(|order| order[0] > 0.0 && order[1] > 0.0) {
        precision += order[2] / order[0];
        recall += order[2] / order[1];
        orders += 1.0;
    }
    if precision + recall == 0.0 {
        return 0.0;
    }
    let (precision, recall, weight) = (precision / orders, recall / orders, BETA * BETA);
    (1.0 + weight) * precision * recall / (weight * precision + recall)
}

/// A row of Alpaca.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Instruction {
    #[serde(rename = "instruction")]
    request: String,
    input: String,
    output: String,
}

impl Instruction {
    pub(crate) fn prompt(&self) -> String {
        let Self { request, input, .. } = self;
        if input.is_empty() { request.clone() } else { format!("{request}\n\n{input}") }
    }

    pub(crate) fn output(&self) -> &str {
        &self.output
    }

    /// Whether the prompt is held out from training: one prompt in 64, by its hash, in all rows where it occurs.
    pub(crate) fn is_held_out(&self) -> bool {
        Sha256::digest(self.prompt())[0] < 4
    }
}

pub(crate) fn alpaca() -> Result<Vec<Instruction>> {
    rows::json(Catalogue::load()?.fetch("alpaca")?.path("train"))
}

pub(crate) fn open() -> Result<Task> {
    let rows = alpaca()?.into_iter().enumerate();
    let held_out = rows.filter(|(_, row)| row.is_held_out() && !row.output.trim().is_empty());
    let items =
        held_out.map(|(index, row)| (Question::reply(index.to_string(), row.prompt(), 256), row.output));
    Ok(Task::new("alpaca-overlap", items, MEASURES, mark))
}

#[expect(clippy::ptr_arg, reason = "every grading function takes a reference to the key")]
fn mark(reference: &String, answer: &Answer) -> Result<Vec<Vec<f64>>> {
    let counts = counts(answer.text()?, reference);
    Ok(vec![counts[..3 * CHARACTERS].to_vec(), counts])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_text_overlaps_with_itself_wholly_and_with_others_less(a in any::<String>(), b in any::<String>()) {
            let itself = score(&counts(&a, &a));
            let expected = if a.chars().all(is_space) { 0.0 } else { 1.0 };
            prop_assert!((itself - expected).abs() < 1e-12, "{:?}: {}", a, itself);
            prop_assert!((0.0..=1.0 + 1e-12).contains(&score(&counts(&a, &b))));
        }
    }

    #[test]
    fn marks_beside_words_are_words() {
        assert_eq!(
            words(" \"Hello, world!\" (he said) . ab é"),
            ["\"Hello", ",", "world!", "\"", "(", "he", "said", ")", ".", "ab", "é"]
        );
    }
}
