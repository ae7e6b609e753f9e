//! Generated arithmetic word problems with worked answers: a training set that needs no download, on which a small model
//! can improve and every answer can be graded.
//!
//! A problem is a short story of `level` steps; a step buys, gives away, multiplies, shares out, sells or spends. Numbers
//! stay whole and positive, and the answer is written as GSM8K writes it: one line per step, then `#### result`.
//! Problem i of a seed is the same on every machine, and no story of the test split occurs in the training split.
//!
//! The same stories can be answered in sentences ([`telling`]): in one way or in several, with right numbers or wrong ones.

pub mod telling;

pub use telling::Telling;

use crate::keyed::{KeyedTask, one};
use crate::{Answer, Ask, Measure, Message, Question, Result, Task, gsm8k};
use tokensieve_base::streams::HashedStream;

/// The split of a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// Seven eighths of the stories.
    Train,
    /// The remaining eighth.
    Test,
}

/// Number of problems in the task, the same number of each level.
const TEST: u64 = 1000;

/// Of answers line by line, which end in `#### ` and the number.
const LINES: &[Measure] = &measures([0, 1, 2]);
/// Of answers in sentences, which end in the number.
const WORDS: &[Measure] = &measures([2, 0, 1]);

/// The measures of GSM8K in another order, and the first of them by level.
const fn measures(order: [usize; 3]) -> [Measure; 3 + LEVELS as usize] {
    let [first, second, third] = order;
    [
        gsm8k::MEASURES[first],
        gsm8k::MEASURES[second],
        gsm8k::MEASURES[third],
        Measure::share("level 1", "the first measure, of the problems of one step"),
        Measure::share("level 2", "the first measure, of the problems of two steps"),
        Measure::share("level 3", "the first measure, of the problems of three steps"),
        Measure::share("level 4", "the first measure, of the problems of four steps"),
    ]
}

/// The task `arithmetic`: the first problems of the test split of seed 0.
pub(crate) fn lines() -> Box<dyn Task> {
    KeyedTask::task("arithmetic", items(Telling::LINES), LINES, |problem, answer| {
        let [strict, flexible, number] = verdicts(problem, answer)?;
        Ok(tallies(problem, [strict, flexible, number]))
    })
}

/// The task `arithmetic-words`: the same problems, to be answered in sentences.
pub(crate) fn words() -> Box<dyn Task> {
    KeyedTask::task("arithmetic-words", items(Telling::WORDS), WORDS, |problem, answer| {
        let [strict, flexible, number] = verdicts(problem, answer)?;
        Ok(tallies(problem, [number, strict, flexible]))
    })
}

fn items(telling: Telling) -> impl Iterator<Item = (Question, Problem)> {
    (0..TEST).map(move |index| {
        let problem = problem(0, Split::Test, index);
        let messages = vec![Message::user(telling.prompt(&problem))];
        let ask = Ask::Reply { limit: 128, stop: Vec::new() };
        (Question { id: index.to_string(), messages, ask }, problem)
    })
}

fn verdicts(problem: &Problem, answer: &Answer) -> Result<[bool; 3]> {
    Ok(gsm8k::verdicts(answer.text()?, &format!("#### {}", problem.result)))
}

/// The verdicts, and the first of them once more by level: a question adds nothing to the sums of other levels.
fn tallies(problem: &Problem, verdicts: [bool; 3]) -> Vec<Vec<f64>> {
    let of_level = |level| if level == problem.level { one(verdicts[0]) } else { vec![0.0, 0.0] };
    verdicts.into_iter().map(one).chain((1..=LEVELS).map(of_level)).collect()
}

/// A problem with its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The story and its question.
    pub question: String,
    /// The calculation.
    pub steps: Vec<Step>,
    /// The result.
    pub result: u64,
    /// Number of steps, 1 to [`LEVELS`].
    pub level: u32,
}

/// A step of the calculation: `42 * 2 = 84 dollars`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The amount before it.
    pub before: u64,
    /// `+`, `-`, `*` or `/`.
    pub sign: char,
    /// What is added, taken away, multiplied or divided by.
    pub number: u64,
    /// The amount after it.
    pub result: u64,
    /// What is counted.
    pub unit: &'static str,
}

/// The hardest level.
pub const LEVELS: u32 = 4;

const NAMES: [&str; 16] = [
    "Ada", "Ben", "Carla", "Dan", "Elif", "Femi", "Grace", "Hugo", "Ines", "Jonas", "Kira", "Liam", "Mona",
    "Nils", "Olga", "Pablo",
];
const THINGS: [&str; 12] = [
    "apples", "books", "candles", "coins", "cards", "eggs", "lemons", "marbles", "pencils", "shells",
    "stamps", "tickets",
];

/// Problem number `index` of a seed and split; levels take turns.
pub fn problem(seed: u64, split: Split, index: u64) -> Problem {
    let level = 1 + (index % u64::from(LEVELS)) as u32;
    let mut stream = HashedStream::new(seed, &format!("arithmetic/{split:?}/{index}"));
    loop {
        let problem = tell(&mut stream, level);
        if split_of(&problem.question) == split {
            return problem;
        }
    }
}

/// A story's split depends on its text alone, so that no story is in both splits, whatever the seeds.
fn split_of(question: &str) -> Split {
    use sha2::Digest;
    if sha2::Sha256::digest(question)[0] < 32 { Split::Test } else { Split::Train }
}

struct Story<'a> {
    stream: &'a mut HashedStream,
    text: String,
    steps: Vec<Step>,
    owner: &'static str,
    things: &'static str,
    amount: u64,
    /// Whether the amount counts dollars: after the things were sold.
    sold: bool,
}

fn tell(stream: &mut HashedStream, level: u32) -> Problem {
    let owner = *stream.choose(&NAMES);
    let things = *stream.choose(&THINGS);
    let amount = stream.between(3, 10 * u64::from(level) + 10);
    let text = format!("{owner} has {amount} {things}.");
    let mut story = Story { stream, text, steps: Vec::new(), owner, things, amount, sold: false };
    for _ in 0..level {
        story.step();
    }
    let Story { text, steps, owner, things, amount, sold, .. } = story;
    let unit = if sold { "dollars" } else { things };
    Problem {
        question: format!("{text} How many {unit} does {owner} have now?"),
        steps,
        result: amount,
        level,
    }
}

impl Story<'_> {
    /// Adds the next event. Events that the amount does not allow are drawn again.
    fn step(&mut self) {
        let Self { owner, things, amount, sold, .. } = *self;
        let unit = if sold { "dollars" } else { things };
        match self.stream.below(6) {
            0 => {
                let more = self.stream.between(2, 40);
                let how = if sold { "earns" } else { "buys" };
                self.happens(&format!("{owner} {how} {more} more {unit}."), '+', more, amount + more);
            }
            1 if amount > 3 => {
                let (fewer, friend) = (self.stream.between(1, amount - 1), self.friend());
                self.happens(
                    &format!("{owner} gives {fewer} {unit} to {friend}."),
                    '-',
                    fewer,
                    amount - fewer,
                );
            }
            2 if amount <= 60 => {
                let (times, friend) = (self.stream.between(2, 6), self.friend());
                self.owner = friend;
                let event = format!("{friend} has {times} times as many {unit} as {owner}.");
                self.happens(&event, '*', times, amount * times);
            }
            3 => {
                let parts: Vec<u64> =
                    (2..=9).filter(|parts| amount % parts == 0 && amount > *parts).collect();
                if parts.is_empty() {
                    return self.step();
                }
                let parts = *self.stream.choose(&parts);
                let event =
                    format!("{owner} shares all {unit} equally among {parts} people and is one of them.");
                self.happens(&event, '/', parts, amount / parts);
            }
            4 if !sold && amount <= 100 => {
                let price = self.stream.between(2, 9);
                self.sold = true;
                self.happens(
                    &format!("{owner} sells all {things} for {price} dollars each."),
                    '*',
                    price,
                    amount * price,
                );
            }
            5 if sold && amount > 3 => {
                let spent = self.stream.between(1, amount - 1);
                self.happens(&format!("{owner} spends {spent} dollars."), '-', spent, amount - spent);
            }
            _ => self.step(),
        }
    }

    fn happens(&mut self, event: &str, sign: char, number: u64, result: u64) {
        let unit = if self.sold { "dollars" } else { self.things };
        self.text += &format!(" {event}");
        self.steps.push(Step { before: self.amount, sign, number, result, unit });
        self.amount = result;
    }

    fn friend(&mut self) -> &'static str {
        loop {
            let friend = *self.stream.choose(&NAMES);
            if friend != self.owner {
                return friend;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_steps_lead_to_the_result() {
        for index in 0..2_000 {
            let problem = problem(7, Split::Train, index);
            assert_eq!(problem.steps.len() as u32, problem.level);
            let mut amount = None;
            for Step { before, sign, number, result, .. } in &problem.steps {
                assert!(amount.is_none_or(|amount| amount == before), "{problem:?}");
                let expected = match sign {
                    '+' => before + number,
                    '-' => before - number,
                    '*' => before * number,
                    _ => before / number,
                };
                assert_eq!(*result, expected, "{problem:?}");
                assert!(*result > 0);
                amount = Some(result);
            }
            assert_eq!(amount, Some(&problem.result));
        }
    }

    #[test]
    fn no_story_is_in_both_splits() {
        let stories =
            |seed, split| (0..3_000).map(move |i| problem(seed, split, i).question).collect::<HashSet<_>>();
        assert!(stories(0, Split::Train).is_disjoint(&stories(1, Split::Test)));
    }

    #[test]
    fn a_problem_is_the_same_for_ever() {
        let problem = problem(0, Split::Train, 3);
        assert_eq!(
            problem.question,
            "Olga has 42 marbles. Olga sells all marbles for 2 dollars each. Olga shares all dollars equally among 7 people \
             and is one of them. Olga spends 7 dollars. Olga earns 24 more dollars. How many dollars does Olga have now?"
        );
        let answer =
            "42 * 2 = 84 dollars\n84 / 7 = 12 dollars\n12 - 7 = 5 dollars\n5 + 24 = 29 dollars\n#### 29";
        assert_eq!(Telling::LINES.reply(&problem, 0, 3).text, answer);
    }
}
