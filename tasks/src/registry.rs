//! All tasks by name.

use crate::choice::{self, By};
use crate::{
    Error, Measure, Result, Task, alpaca_eval, arithmetic, cipher, figfont, gsm8k, ifeval, instructions,
    maths, overlap, paired,
};
use tokensieve_base::streams::HashedStream;

/// Which questions of a task are asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Maximum number of questions: the first of a random order, so that a smaller limit asks a subset of a larger one's.
    pub limit: Option<usize>,
    /// Seed of that order.
    pub seed: u64,
}

type Open = fn() -> Result<Task>;

/// Name, measures and opener; one line per task.
const TASKS: &[(&str, &[Measure], Open)] = &[
    ("gsm8k", gsm8k::MEASURES, || gsm8k::open(gsm8k::Shots::None)),
    ("gsm8k-8shot", gsm8k::MEASURES, || gsm8k::open(gsm8k::Shots::Eight)),
    ("gsm8k-paired", paired::MEASURES, paired::gsm8k),
    ("arithmetic", arithmetic::OF_LINES, || Ok(arithmetic::lines())),
    ("arithmetic-words", arithmetic::OF_WORDS, || Ok(arithmetic::words())),
    ("arithmetic-paired", paired::MEASURES, || Ok(paired::arithmetic())),
    ("instructions", instructions::MEASURES, instructions::open),
    ("cipher", cipher::MEASURES, cipher::open),
    ("figfont", figfont::MEASURES, || figfont::open("figfont", figfont::Split::Test)),
    ("figfont-unseen", figfont::MEASURES, || figfont::open("figfont-unseen", figfont::Split::Unseen)),
    ("alpaca-eval", alpaca_eval::MEASURES, alpaca_eval::open),
    ("alpaca-overlap", overlap::MEASURES, overlap::open),
    ("math-500", maths::MEASURES, || maths::open("math-500")),
    ("minerva-math", maths::MEASURES, || maths::open("minerva-math")),
    ("olympiadbench", maths::MEASURES, || maths::open("olympiadbench")),
    ("aime24", maths::MEASURES, || maths::open("aime24")),
    ("amc23", maths::MEASURES, || maths::open("amc23")),
    ("medqa", choice::BY_TEXT, || choice::open("medqa", By::Text)),
    ("medqa-letter", choice::BY_LETTER, || choice::open("medqa", By::Letter)),
    ("medmcqa", choice::BY_TEXT, || choice::open("medmcqa", By::Text)),
    ("medmcqa-letter", choice::BY_LETTER, || choice::open("medmcqa", By::Letter)),
    ("mmlu-medical", choice::BY_TEXT, || choice::open("mmlu-medical", By::Text)),
    ("mmlu-medical-letter", choice::BY_LETTER, || choice::open("mmlu-medical", By::Letter)),
    ("mmlu-pro-health", choice::BY_TEXT, || choice::open("mmlu-pro-health", By::Text)),
    ("mmlu-pro-health-letter", choice::BY_LETTER, || choice::open("mmlu-pro-health", By::Letter)),
    ("pubmedqa", choice::BY_TEXT, || choice::open("pubmedqa", By::Text)),
    ("pubmedqa-letter", choice::BY_LETTER, || choice::open("pubmedqa", By::Letter)),
    ("ifeval", ifeval::MEASURES, ifeval::open),
];

/// The names of all tasks.
pub fn names() -> impl Iterator<Item = &'static str> {
    TASKS.iter().map(|(name, ..)| *name)
}

/// Opens the task of this name; its data are fetched if necessary.
pub fn open(name: &str, options: &Options) -> Result<Task> {
    let (.., open) = task(name)?;
    let task = open()?;
    let all = task.questions().len();
    Ok(match options.limit {
        Some(limit) if limit < all => {
            let mut chosen: Vec<usize> = (0..all).collect();
            HashedStream::new(options.seed, "limit").shuffle(&mut chosen);
            chosen.truncate(limit);
            task.choosing(chosen)
        }
        _ => task,
    })
}

/// The measures of the task of this name; no data are read.
pub fn measures(name: &str) -> Result<&'static [Measure]> {
    task(name).map(|(_, measures, _)| *measures)
}

fn task(name: &str) -> Result<&'static (&'static str, &'static [Measure], Open)> {
    TASKS.iter().find(|(known, ..)| *known == name).ok_or_else(|| Error::Setting(unknown(name)))
}

fn unknown(name: &str) -> String {
    let nearest =
        names().max_by(|a, b| strsim::jaro_winkler(name, a).total_cmp(&strsim::jaro_winkler(name, b)));
    let all = names().collect::<Vec<_>>().join(", ");
    format!(
        "there is no task `{name}`; the nearest name is `{}`, and there are {all}",
        nearest.unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Answer;

    #[test]
    fn a_wrong_name_is_answered_with_the_nearest() {
        let error = open("gsm8", &Options::default()).err().unwrap().to_string();
        assert!(error.contains("`gsm8`") && error.contains("nearest name is `gsm8k`"), "{error}");
    }

    #[test]
    fn a_smaller_limit_asks_some_of_the_larger_ones_questions() {
        let ids = |limit, seed| {
            let task = open("arithmetic", &Options { limit: Some(limit), seed }).unwrap();
            task.questions().iter().map(|question| question.id.clone()).collect::<Vec<_>>()
        };
        assert_eq!(ids(20, 1)[..7], ids(7, 1));
        assert_ne!(ids(20, 1), ids(20, 2));
        assert_eq!(ids(100_000, 1), ids(200_000, 2), "all of them, in their own order");
    }

    #[test]
    fn answers_are_graded_as_those_of_the_question_asked() {
        let task = open("arithmetic", &Options { limit: Some(5), seed: 3 }).unwrap();
        let whole = open("arithmetic", &Options::default()).unwrap();
        for (index, question) in task.questions().iter().enumerate() {
            let at = whole.questions().iter().position(|other| other.id == question.id).unwrap();
            let answer = Answer::Reply { text: format!("#### {index}"), tokens: 3, ended: true };
            assert_eq!(task.tally(index, &answer).unwrap(), whole.tally(at, &answer).unwrap());
        }
    }
}
