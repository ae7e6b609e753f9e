//! Generated instructions with constraints that a program can check, each with a response that satisfies them.
//!
//! An instruction asks for a short text on a topic under one to three constraints of eighteen kinds. The test split has
//! topics that do not occur in training, and two or three constraints in a combination of kinds that does not occur there.
//! The checks of `ifeval` decide whether a response satisfies a constraint; a generated response must satisfy all.

mod constraint;
mod topic;
mod write;

use constraint::{Constraint, KINDS};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::arithmetic::Split;
use crate::task::one;
use crate::{Answer, Measure, Question, Result, Task, ifeval};
use tokensieve_base::streams::HashedStream;

/// An instruction with a response that satisfies it.
#[derive(Clone, Debug, PartialEq)]
pub struct Instruction {
    /// The user's turn.
    pub prompt: String,
    /// Checks of `ifeval` with their arguments.
    pub checks: Vec<(&'static str, Value)>,
    /// The assistant's turn.
    pub response: String,
}

/// Number of instructions in the task.
const TEST: u64 = 500;

pub(crate) const MEASURES: &[Measure] = &[
    Measure::share("all", "responses that meet all their constraints"),
    Measure::share("each", "constraints that are met"),
    Measure::share("all-loose", "responses that meet all their constraints, checked loosely as IFEval does"),
];

/// Instruction number `index` of a seed and split.
pub fn instruction(seed: u64, split: Split, index: u64) -> Result<Instruction> {
    let mut stream = HashedStream::new(seed, &format!("instructions/{split:?}/{index}"));
    let is_test = split == Split::Test;
    loop {
        let mut kinds: Vec<usize> = (0..KINDS).collect();
        stream.shuffle(&mut kinds);
        kinds.truncate(stream.between(if is_test { 2 } else { 1 }, 3) as usize);
        if is_kept(&kinds) != is_test {
            continue;
        }
        let topic = stream.choose(topic::topics(is_test));
        let constraints: Vec<Constraint> =
            kinds.iter().map(|kind| Constraint::of_kind(*kind, topic, &mut stream)).collect();
        let response = write::write(&mut stream, topic, &constraints);
        let phrases: Vec<String> =
            constraints.iter().map(|constraint| constraint.phrase(&mut stream)).collect();
        let prompt = format!("{} {}", topic.request(&mut stream), phrases.join(" "));
        let checks: Vec<_> = constraints.iter().map(Constraint::check).collect();
        // Constraints that contradict each other, or that the text does not satisfy, are drawn again.
        if satisfied(&checks, &prompt, &response, ifeval::check)?.iter().all(|satisfied| *satisfied) {
            return Ok(Instruction { prompt, checks, response });
        }
    }
}

/// Whether a combination of kinds is kept for the test split: one in five of those with several.
fn is_kept(kinds: &[usize]) -> bool {
    let mut kinds: Vec<u8> = kinds.iter().map(|kind| *kind as u8).collect();
    kinds.sort_unstable();
    kinds.len() > 1 && Sha256::digest(kinds)[0] < 51
}

type Check = fn(&str, &Value, &str, &str) -> Result<bool>;

fn satisfied(
    checks: &[(&'static str, Value)],
    prompt: &str,
    response: &str,
    check: Check,
) -> Result<Vec<bool>> {
    checks.iter().map(|(name, arguments)| check(name, arguments, prompt, response)).collect()
}

pub(crate) fn open() -> Result<Task> {
    let items = (0..TEST).map(|index| {
        let instruction = instruction(0, Split::Test, index)?;
        Ok((Question::reply(index.to_string(), instruction.prompt.clone(), 256), instruction))
    });
    Ok(Task::new("instructions", items.collect::<Result<Vec<_>>>()?, MEASURES, mark))
}

fn mark(instruction: &Instruction, answer: &Answer) -> Result<Vec<Vec<f64>>> {
    let Instruction { prompt, checks, .. } = instruction;
    let response = answer.text()?;
    let strict = satisfied(checks, prompt, response, ifeval::check)?;
    let loose = satisfied(checks, prompt, response, ifeval::check_loosely)?;
    let all = |met: &[bool]| one(met.iter().all(|satisfied| *satisfied));
    let each = vec![strict.iter().filter(|met| **met).count() as f64, strict.len() as f64];
    Ok(vec![all(&strict), each, all(&loose)])
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet, HashSet};

    use super::*;

    fn made(split: Split, n: u64) -> Vec<Instruction> {
        (0..n).map(|index| instruction(3, split, index).unwrap()).collect()
    }

    #[test]
    fn every_kind_is_asked_and_alone_and_in_many_words() {
        let made = made(Split::Train, 400);
        let mut alone = BTreeMap::<&str, usize>::new();
        for instruction in made.iter().filter(|instruction| instruction.checks.len() == 1) {
            *alone.entry(instruction.checks[0].0).or_default() += 1;
        }
        assert_eq!(alone.len(), KINDS - 1, "two kinds count words: {alone:?}");
        let prompts: HashSet<&str> = made.iter().map(|instruction| instruction.prompt.as_str()).collect();
        let responses: HashSet<&str> = made.iter().map(|instruction| instruction.response.as_str()).collect();
        assert!(prompts.len() > 390 && responses.len() > 390, "{} {}", prompts.len(), responses.len());
    }

    #[test]
    fn the_test_split_combines_what_training_does_not() {
        let combinations = |split| -> BTreeSet<Vec<(&'static str, String)>> {
            let kinds = |instruction: Instruction| {
                // At least and less than are two kinds with one check.
                let kind =
                    |(name, arguments): &(&'static str, Value)| (*name, arguments["relation"].to_string());
                let mut kinds: Vec<_> = instruction.checks.iter().map(kind).collect();
                kinds.sort();
                kinds
            };
            made(split, 250).into_iter().map(kinds).collect()
        };
        let (train, test) = (combinations(Split::Train), combinations(Split::Test));
        assert!(train.is_disjoint(&test) && test.len() > 50, "{}", test.len());
    }
}
