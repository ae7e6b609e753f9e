//! Right worked answers against the same with another result: `gsm8k-paired`, `arithmetic-paired`.
//!
//! A small model hardly ever writes a right answer to GSM8K, but it may well find the right one more likely than a wrong one.
//! The wrong answers have the right calculation but for its last line and the final number, so that all are equally fluent.

use regex::Captures;
use tokensieve_base::streams::HashedStream;

use crate::arithmetic::{Split, Telling, problem};
use crate::pattern::pattern;
use crate::task::{one, value};
use crate::{Answer, Ask, Measure, Message, Question, Result, Task, gsm8k};

/// Wrong answers to a question.
const WRONG: usize = 3;

/// Questions of `arithmetic-paired`.
const STORIES: u64 = 1000;

pub(crate) const MEASURES: &[Measure] = &[
    Measure::share("acc", "the right answer is likelier than each of three with another result"),
    Measure {
        more_is_better: Some(true),
        least: f64::NEG_INFINITY,
        ..Measure::nats("margin", "log-likelihood of the right answer minus the mean of the wrong ones'")
    },
];

pub(crate) fn gsm8k() -> Result<Task> {
    let rows = gsm8k::split("test")?.into_iter().enumerate();
    Ok(task("gsm8k-paired", rows.map(|(index, row)| (index as u64, row.question, row.answer))))
}

pub(crate) fn arithmetic() -> Task {
    let rows = (0..STORIES).map(|index| {
        let problem = problem(0, Split::Test, index);
        (index, Telling::LINES.prompt(&problem), Telling::LINES.reply(&problem, 0, index).text)
    });
    task("arithmetic-paired", rows)
}

fn task(name: &str, rows: impl Iterator<Item = (u64, String, String)>) -> Task {
    let items = rows.filter_map(|(index, question, right)| {
        let mut replies = vec![right.clone()];
        replies.extend(wrong(&right, &format!("{name}/{index}"))?);
        let ask = Ask::Likelihood { replies };
        Some((Question { id: index.to_string(), messages: vec![Message::user(question)], ask }, ()))
    });
    Task::new(name, items, MEASURES, mark)
}

/// The right answer comes first.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "every grading function takes a reference to the key")]
fn mark((): &(), answer: &Answer) -> Result<Vec<Vec<f64>>> {
    let logs = answer.log_likelihoods(1 + WRONG)?;
    let (right, wrong) = (logs[0], &logs[1..]);
    Ok(vec![
        one(wrong.iter().all(|other| *other < right)),
        value(right - wrong.iter().sum::<f64>() / WRONG as f64),
    ])
}

/// An answer with other results; `None` where the result is no positive whole number.
fn wrong(right: &str, name: &str) -> Option<Vec<String>> {
    pattern!(NUMBER, r"[0-9][0-9,]*(?:\.[0-9]+)?");
    let result: u64 = right.rsplit_once("#### ")?.1.trim().replace(',', "").parse().ok()?;
    let mut others: Vec<u64> =
        [1, 2, 10].iter().flat_map(|by| [result + by, result.saturating_sub(*by)]).collect();
    others.extend([2 * result, result / 2]);
    others.retain(|other| *other > 0 && *other != result);
    others.sort_unstable();
    others.dedup();
    HashedStream::new(0, name).shuffle(&mut others);
    // The last line of the calculation and the line of the result.
    let lines: Vec<usize> = right.match_indices('\n').map(|(at, _)| at).collect();
    let (before, last) = right.split_at(lines.len().checked_sub(2).map_or(0, |at| lines[at]));
    let with = |other: &u64| {
        let replace = |found: &Captures<'_>| {
            let is_result = found[0].replace(',', "") == result.to_string();
            if is_result { other.to_string() } else { found[0].to_owned() }
        };
        format!("{before}{}", NUMBER.replace_all(last, replace))
    };
    (others.len() >= WRONG).then(|| others[..WRONG].iter().map(with).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_result_is_another() {
        let right = "She sold 48/2 = <<48/2=24>>24 clips in May.\nTogether 48+24 = <<48+24=72>>72 clips, not 720.\n#### 72";
        let wrong = wrong(right, "x").unwrap();
        assert_eq!(wrong.len(), WRONG);
        for one in &wrong {
            let (_, result) = one.rsplit_once("#### ").unwrap();
            assert_ne!(result, "72");
            assert_eq!(one.matches(result).count(), 3, "{one}");
            assert_eq!(one.replace(result, "72"), right);
        }
        assert_eq!(super::wrong("no result", "x"), None);
        assert_eq!(super::wrong("1 - 2 = -1\n#### -1", "x"), None);
        let thousands = super::wrong("It is $1,200.\n#### 1,200", "x").unwrap();
        assert!(thousands.iter().all(|one| !one.contains("1,200")), "{thousands:?}");
    }

    #[test]
    fn the_right_answer_has_to_be_ahead_of_each() {
        let mark = |logs: [f32; 4]| {
            let probabilities = logs.iter().map(|log| vec![1.0, log.exp()]).collect();
            mark(&(), &Answer::Likelihood { probabilities }).unwrap()
        };
        let found = mark([-1.0, -2.0, -3.0, -4.0]);
        assert_eq!(found[0], [1.0, 1.0]);
        assert!((found[1][0] - 2.0).abs() < 1e-6);
        assert_eq!(mark([-2.0, -1.0, -9.0, -9.0])[0], [0.0, 1.0]);
    }

    #[test]
    fn stories_have_four_answers() {
        let task = arithmetic();
        assert!(task.questions().len() > 990);
        for question in task.questions() {
            let Ask::Likelihood { replies } = &question.ask else { panic!("likelihoods") };
            assert_eq!(
                replies.iter().collect::<std::collections::BTreeSet<_>>().len(),
                1 + WRONG,
                "{replies:?}"
            );
        }
    }
}
