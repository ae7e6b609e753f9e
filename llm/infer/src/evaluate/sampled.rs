//! Several sampled replies to each question of a task, in place of the most probable one: `math-500@16`.
//!
//! A question's tallies are the sums over its replies, so that a share becomes the mean over replies ("avg@16") and the
//! intervals are still those of a sample of questions.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tokensieve_base::streams::HashedStream;
use tokensieve_tasks::{Answer, Ask, Measure, Task};

use super::benchmark::{Benchmark, stored, tally};
use super::judge;
use super::model::EvaluatedModel;
use crate::generate::Sampling;
use tokensieve_model::{Error, Result};

/// Between the name of a task and the number of replies to each question.
const SIGN: char = '@';

/// Largest number of replies to a question (choice: more than anybody reports).
const MOST: usize = 1000;

/// How replies are sampled: from the model's own distribution.
const SAMPLING: Sampling =
    Sampling { temperature: 1.0, top_k: None, top_p: 1.0, min_p: 0.0, repetition_penalty: 1.0 };

/// A task with a number of sampled replies to each question.
pub(super) struct Sampled {
    name: String,
    task: Task,
    replies: usize,
    seed: u64,
}

/// The name of the task in `math-500@16`, and the number of replies, if the name has one.
pub(super) fn parts(name: &str) -> Result<(&str, Option<usize>)> {
    let Some((task, number)) = name.rsplit_once(SIGN) else { return Ok((name, None)) };
    // Said before the judge's data are fetched.
    if task == judge::TASK {
        return Err(refused(name, "a judge compares one reply to each question"));
    }
    match number.parse() {
        Ok(replies) if (1..=MOST).contains(&replies) => Ok((task, Some(replies))),
        _ => {
            let why =
                format!("behind {SIGN} stands the number of replies to each question, from 1 to {MOST}");
            Err(refused(name, &why))
        }
    }
}

fn refused(name: &str, why: &str) -> Error {
    Error::setting("--suite", format!("{name}: {why}"))
}

impl Sampled {
    /// The task with so many replies to each question. `name` is what both are called together.
    pub(super) fn new(name: &str, task: Task, replies: usize, seed: u64) -> Result<Self> {
        if task.questions().iter().any(|question| !matches!(question.ask, Ask::Reply { .. })) {
            return Err(refused(name, "its questions ask for likelihoods, and nothing is sampled"));
        }
        Ok(Self { name: name.to_owned(), task, replies, seed })
    }

    /// The seed of a reply. It depends on nothing but the question, so that a smaller `--limit` has the same replies.
    fn reply_seed(&self, question: usize, reply: usize) -> u64 {
        let name = format!("reply/{}/{}/{reply}", self.task.name(), self.id(question));
        HashedStream::new(self.seed, &name).bits()
    }
}

impl Benchmark for Sampled {
    fn name(&self) -> &str {
        &self.name
    }

    fn measures(&self) -> &[Measure] {
        self.task.measures()
    }

    fn count(&self) -> usize {
        self.task.questions().len()
    }

    fn id(&self, question: usize) -> &str {
        &self.task.questions()[question].id
    }

    fn content(&self, question: usize) -> String {
        let question = &self.task.questions()[question];
        json!({ "question": question, "replies": self.replies, "seed": self.seed }).to_string()
    }

    fn asked(&self, question: usize) -> String {
        self.task.asked(question)
    }

    fn too_long(&self, evaluated: &EvaluatedModel<'_>, questions: &[usize]) -> Result<usize> {
        self.task.too_long(evaluated, questions)
    }

    fn ask(
        &self,
        evaluated: &mut EvaluatedModel<'_>,
        questions: &[usize],
        take: &mut dyn FnMut(usize, Value) -> Result<()>,
    ) -> Result<()> {
        let of_place =
            |place: usize| (0..self.replies).map(move |reply| (place, self.reply_seed(place, reply)));
        let asked: Vec<(usize, u64)> = questions.iter().copied().flat_map(of_place).collect();
        // The replies to a question are stored together, in their order.
        let mut incomplete: BTreeMap<usize, Vec<Option<Answer>>> = BTreeMap::new();
        evaluated.reply(&self.name, self.task.questions(), &asked, &SAMPLING, &mut |index, answer| {
            let (place, _) = asked[index];
            let replies = incomplete.entry(place).or_insert_with(|| vec![None; self.replies]);
            replies[index % self.replies] = Some(answer);
            if replies.iter().any(Option::is_none) {
                return Ok(());
            }
            take(place, stored(&incomplete.remove(&place)))
        })
    }

    fn tally(&self, question: usize, answers: &Value) -> Result<Vec<Vec<f64>>> {
        let mut sums: Vec<Vec<f64>> = Vec::new();
        for answer in answers.as_array().into_iter().flatten() {
            let numbers = tally(&self.task, question, answer)?;
            if sums.is_empty() {
                sums = numbers;
                continue;
            }
            let pairs = sums.iter_mut().flatten().zip(numbers.iter().flatten());
            pairs.for_each(|(sum, number)| *sum += number);
        }
        if sums.is_empty() {
            return Err(Error::Run(format!("{}, question {}: no replies", self.name, self.id(question))));
        }
        Ok(sums)
    }
}

#[cfg(test)]
mod tests {
    use tokensieve_tasks::{Options, open};

    use super::*;

    #[test]
    fn other_seeds_ask_the_same() {
        let sampled = |seed: u64| {
            let options = Options { limit: Some(2), ..Options::default() };
            Sampled::new("arithmetic@2", open("arithmetic", &options).unwrap(), 2, seed).unwrap()
        };
        let [one, other] = [sampled(0), sampled(1)];
        assert_eq!(one.asked(1), other.asked(1));
        assert_ne!(one.asked(0), one.asked(1));
        // Their replies are others, and none is reused.
        assert_ne!(one.content(1), other.content(1));
    }
}
