//! GSM8K: word problems whose answers end in `#### number`.

use serde::Deserialize;
use tokensieve_data::Catalogue;

use crate::task::one;
use crate::{Answer, Ask, Measure, Message, Question, Result, Task, number, rows};

/// Worked examples before the question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shots {
    /// Zero-shot: the question alone, as in training.
    None,
    /// The first eight problems of the training set, each as a user's turn and the assistant's.
    Eight,
}

/// Maximum number of new tokens, as in lm-evaluation-harness.
const LIMIT: usize = 256;

/// The measures of every task whose replies end in a number.
pub(crate) const MEASURES: &[Measure] = &[
    Measure::share(
        "strict",
        "the number after `#### ` is the key, as lm-evaluation-harness's strict match finds it",
    ),
    Measure::share(
        "flexible",
        "the last number is the key, as lm-evaluation-harness's flexible match finds it",
    ),
    Measure::share("number", "the number that the reply ends on has the key's value, however it is written"),
];

/// A row of the set.
#[derive(Deserialize)]
pub(crate) struct Problem {
    /// The question.
    pub(crate) question: String,
    /// The worked answer.
    pub(crate) answer: String,
}

/// The problems of a split.
pub(crate) fn split(name: &str) -> Result<Vec<Problem>> {
    rows::json_lines(Catalogue::load()?.fetch("gsm8k")?.path(name))
}

pub(crate) fn open(shots: Shots) -> Result<Task> {
    let (name, examples) = match shots {
        Shots::None => ("gsm8k", Vec::new()),
        Shots::Eight => ("gsm8k-8shot", examples()?),
    };
    let items = split("test")?.into_iter().enumerate().map(|(index, row)| {
        let mut messages = examples.clone();
        messages.push(Message::user(row.question));
        let ask = Ask::Reply { limit: LIMIT, stop: Vec::new() };
        (Question { id: index.to_string(), messages, ask }, row.answer)
    });
    Ok(Task::new(name, items, MEASURES, mark))
}

fn examples() -> Result<Vec<Message>> {
    let turns = |row: Problem| [Message::user(row.question), Message::assistant(row.answer)];
    Ok(split("train")?.into_iter().take(8).flat_map(turns).collect())
}

/// The key is a worked answer that ends in `#### number`.
#[expect(clippy::ptr_arg, reason = "every grading function takes a reference to the key")]
pub(crate) fn mark(key: &String, answer: &Answer) -> Result<Vec<Vec<f64>>> {
    Ok(verdicts(answer.text()?, key).map(one).to_vec())
}

/// The tallies of the strict rule, the flexible rule, and equality by value.
pub fn verdicts(reply: &str, key: &str) -> [bool; 3] {
    let is_key = |found: Option<&str>| found.is_some_and(|found| number::same_text(found, key));
    let by_value = number::last(reply).zip(number::last(key)).is_some_and(|(found, key)| found == key);
    [is_key(number::strict(reply)), is_key(number::flexible(reply)), by_value]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_compared_digit_by_digit() {
        for (reply, key, same) in [
            ("#### 1,234.50", "#### 1234.5", true),
            ("#### 1234567891", "#### 1234567890", false),
            ("#### 1,2345", "#### 5", false),
            ("none", "#### 5", false),
        ] {
            assert_eq!(verdicts(reply, key)[2], same, "{reply} {key}");
        }
    }
}
