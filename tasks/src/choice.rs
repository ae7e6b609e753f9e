//! Multiple choice by likelihood: the model's choice is its most likely option, so it need not follow a format.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use tokensieve_data::Catalogue;

use crate::task::{one, value};
use crate::{Answer, Ask, Error, Measure, Message, Question, Result, Task, rows};

/// The text whose likelihood decides the model's choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// The likelihood of each option's text; the question is asked without options.
    Text,
    /// The likelihood of each option's letter; the options stand in the question.
    Letter,
}

/// A question's options, by letter in the order of the alphabet.
#[derive(Deserialize)]
struct ChoiceRow {
    realidx: Value,
    question: String,
    options: BTreeMap<String, String>,
    answer_idx: String,
}

struct Key {
    right: usize,
    /// Of each option's text.
    lengths: Vec<Length>,
}

#[derive(Clone, Copy)]
struct Length {
    characters: usize,
    bytes: usize,
}

const ACC: Measure = Measure::share("acc", "the right option's tokens have the largest likelihood");
const PROBABILITY: Measure =
    Measure::share("probability", "mean share of the right option in the options' likelihoods");
pub(crate) const BY_TEXT: &[Measure] = &[
    ACC,
    Measure::share("acc_norm", "the right option has the largest log-likelihood per character of its text"),
    Measure::share("acc_bytes", "the right option has the largest log-likelihood per byte of its text"),
    PROBABILITY,
];
pub(crate) const BY_LETTER: &[Measure] = &[ACC, PROBABILITY];

pub(crate) fn open(set: &str, by: By) -> Result<Task> {
    let files = Catalogue::load()?.fetch(set)?;
    let path = files.path("test");
    let rows: Vec<ChoiceRow> = rows::json_lines(path)?;
    let items = rows.into_iter().enumerate().map(|(index, row)| {
        let Some(right) = row.options.keys().position(|letter| *letter == row.answer_idx) else {
            return Err(Error::line(
                path,
                index + 1,
                format!("`{}` is not one of the options", row.answer_idx),
            ));
        };
        Ok(item(&row, right, by))
    });
    let items = items.collect::<Result<Vec<_>>>()?;
    Ok(match by {
        By::Text => Task::new(set, items, BY_TEXT, by_text),
        By::Letter => Task::new(format!("{set}-letter"), items, BY_LETTER, by_letter),
    })
}

fn item(row: &ChoiceRow, right: usize, by: By) -> (Question, Key) {
    let mut question = row.question.clone();
    let replies: Vec<String> = match by {
        By::Text => row.options.values().cloned().collect(),
        By::Letter => {
            question += "\n";
            for (letter, text) in &row.options {
                question += &format!("\n{letter}. {text}");
            }
            question += "\n\nAnswer with the letter of the right option.";
            row.options.keys().cloned().collect()
        }
    };
    let length = |text: &String| Length { characters: text.chars().count(), bytes: text.len() };
    let lengths = replies.iter().map(length).collect();
    let id = row.realidx.as_str().map_or_else(|| row.realidx.to_string(), str::to_owned);
    (
        Question { id, messages: vec![Message::user(question)], ask: Ask::Likelihood { replies } },
        Key { right, lengths },
    )
}

fn by_text(key: &Key, answer: &Answer) -> Result<Vec<Vec<f64>>> {
    let sums = answer.log_likelihoods(key.lengths.len())?;
    let is_largest_per = |size: fn(&Length) -> usize| {
        let per: Vec<f64> =
            sums.iter().zip(&key.lengths).map(|(sum, length)| sum / size(length).max(1) as f64).collect();
        is_largest(&per, key.right)
    };
    Ok(vec![
        one(is_largest(&sums, key.right)),
        one(is_largest_per(|length| length.characters)),
        one(is_largest_per(|length| length.bytes)),
        value(share(&sums, key.right)),
    ])
}

fn by_letter(key: &Key, answer: &Answer) -> Result<Vec<Vec<f64>>> {
    let sums = answer.log_likelihoods(key.lengths.len())?;
    Ok(vec![one(is_largest(&sums, key.right)), value(share(&sums, key.right))])
}

/// Whether this number is the largest; of equal ones the first counts as chosen.
fn is_largest(numbers: &[f64], at: usize) -> bool {
    numbers[..at].iter().all(|other| *other < numbers[at])
        && numbers[at..].iter().all(|other| *other <= numbers[at])
}

/// Softmax: this number's share in the sum of the exponentials.
fn share(logs: &[f64], at: usize) -> f64 {
    1.0 / logs.iter().map(|other| (other - logs[at]).exp()).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn row() -> ChoiceRow {
        let json = r#"{"realidx": 7, "question": "Which?", "options": {"A": "a long one", "B": "it"}, "answer_idx": "B"}"#;
        serde_json::from_str(json).unwrap()
    }

    fn likelihood(probabilities: &[&[f32]]) -> Answer {
        Answer::Likelihood { probabilities: probabilities.iter().map(|tokens| tokens.to_vec()).collect() }
    }

    #[test]
    fn a_long_option_is_less_likely_and_likelier_per_character() {
        let (question, key) = item(&row(), 1, By::Text);
        assert_eq!(question.ask, Ask::Likelihood { replies: vec!["a long one".into(), "it".into()] });
        let answer = likelihood(&[&[0.5, 0.5, 0.5], &[0.25]]);
        assert_eq!(by_text(&key, &answer).unwrap(), [[1.0, 1.0], [0.0, 1.0], [0.0, 1.0], [2.0 / 3.0, 1.0]]);
    }

    #[test]
    fn a_character_may_be_several_bytes() {
        // 3 characters of 2 bytes each against 4 of 1 byte.
        let lengths = vec![Length { characters: 3, bytes: 6 }, Length { characters: 4, bytes: 4 }];
        let answer = likelihood(&[&[0.5], &[0.45]]);
        let marks = by_text(&Key { right: 1, lengths }, &answer).unwrap();
        assert_eq!(marks[1..3], [[1.0, 1.0], [0.0, 1.0]]);
    }

    #[test]
    fn letters_are_asked_with_the_options_in_sight() {
        let (question, key) = item(&row(), 1, By::Letter);
        let text = "Which?\n\nA. a long one\nB. it\n\nAnswer with the letter of the right option.";
        assert_eq!(question.messages, [Message::user(text)]);
        assert_eq!(by_letter(&key, &likelihood(&[&[0.1], &[0.3]])).unwrap()[0], [1.0, 1.0]);
        assert!(by_letter(&key, &likelihood(&[&[0.1]])).is_err());
        assert!(by_letter(&key, &Answer::Reply { text: "B".into(), tokens: 1, ended: true }).is_err());
    }

    proptest! {
        #[test]
        fn exactly_one_option_is_chosen(options in prop::collection::vec(prop::collection::vec(0f32..=1.0, 0..4), 1..6)) {
            let answer = Answer::Likelihood { probabilities: options.clone() };
            let marks: Vec<_> = (0..options.len())
                .map(|right| by_text(&Key { right, lengths: vec![Length { characters: 3, bytes: 3 }; options.len()] }, &answer).unwrap())
                .collect();
            let total = |measure: usize| marks.iter().map(|mark| mark[measure][0]).sum::<f64>();
            prop_assert_eq!((total(0), total(1), total(2)), (1.0, 1.0, 1.0));
            prop_assert!((total(3) - 1.0).abs() < 1e-9);
        }
    }
}
