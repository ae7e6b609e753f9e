//! Stories with their calculations.

use tokensieve_base::streams::HashedStream;

/// The split of a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// Seven eighths of the stories.
    Train,
    /// The remaining eighth.
    Test,
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
}
