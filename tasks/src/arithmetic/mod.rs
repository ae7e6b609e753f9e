//! Generated arithmetic word problems with worked answers: a training set that needs no download, on which a small model
//! can improve and every answer can be graded.
//!
//! A problem is a short story of `level` steps; a step buys, gives away, multiplies, shares out, sells or spends. Numbers
//! stay whole and positive, and the answer is written as GSM8K writes it: one line per step, then `#### result`.
//! Problem i of a seed is the same on every machine, and no story of the test split occurs in the training split.
//!
//! The same stories can be answered in sentences ([`telling`]): in one way or in several, with right numbers or wrong ones.

mod story;
pub mod telling;

pub use story::{LEVELS, Problem, Split, Step, problem};
pub use telling::Telling;

use crate::task::one;
use crate::{Answer, Measure, Question, Result, Task, gsm8k};

/// Number of problems in the task, the same number of each level.
const TEST: u64 = 1000;

/// The measures of GSM8K in the order of a task's.
type Order = [usize; 3];
/// Of answers line by line, which end in `#### ` and the number.
const LINES: Order = [0, 1, 2];
/// Of answers in sentences, which end in the number.
const WORDS: Order = [2, 0, 1];

/// The measures of GSM8K in that order, and the first of them by level.
const fn measures(order: Order) -> [Measure; 3 + LEVELS as usize] {
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

pub(crate) const OF_LINES: &[Measure] = &measures(LINES);
pub(crate) const OF_WORDS: &[Measure] = &measures(WORDS);

/// The task `arithmetic`: the first problems of the test split of seed 0.
pub(crate) fn lines() -> Task {
    let items = items(Telling::LINES);
    Task::new("arithmetic", items, OF_LINES, |problem, answer| grade(problem, answer, LINES))
}

/// The task `arithmetic-words`: the same problems, to be answered in sentences.
pub(crate) fn words() -> Task {
    let items = items(Telling::WORDS);
    Task::new("arithmetic-words", items, OF_WORDS, |problem, answer| grade(problem, answer, WORDS))
}

fn items(telling: Telling) -> impl Iterator<Item = (Question, Problem)> {
    (0..TEST).map(move |index| {
        let problem = problem(0, Split::Test, index);
        (Question::reply(index.to_string(), telling.prompt(&problem), 128), problem)
    })
}

/// The verdicts, and the first of them once more by level: a question adds nothing to the sums of other levels.
fn grade(problem: &Problem, answer: &Answer, order: Order) -> Result<Vec<Vec<f64>>> {
    let verdicts = gsm8k::verdicts(answer.text()?, &format!("#### {}", problem.result));
    let verdicts = order.map(|measure| verdicts[measure]);
    let of_level = |level| if level == problem.level { one(verdicts[0]) } else { vec![0.0, 0.0] };
    Ok(verdicts.into_iter().map(one).chain((1..=LEVELS).map(of_level)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

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
