//! The 805 instructions.

use serde::Deserialize;
use tokensieve_data::Catalogue;

use crate::task::{one, value};
use crate::{Answer, Measure, Question, Result, Task, Unit, rows};

/// Maximum number of new tokens. Published outputs average about 500 and may take 2048; the smallest models have no more than 2048
/// for prompt and reply together (choice).
const LIMIT: usize = 1024;

pub(crate) const MEASURES: &[Measure] = &[
    Measure {
        name: "characters",
        meaning: "the mean length of a reply; what replies are worth takes a judge to say",
        unit: Unit::Number,
        more_is_better: Some(false),
        least: 0.0,
        of: crate::task::ratio,
    },
    Measure::share("ended", "the reply came to an end by itself, within the limit of tokens"),
];

/// The instructions in order.
pub fn instructions(catalogue: &Catalogue) -> Result<Vec<String>> {
    #[derive(Deserialize)]
    struct Prompt {
        instruction: String,
    }
    let prompts: Vec<Prompt> = rows::json_lines(catalogue.fetch("alpaca-eval")?.path("prompts"))?;
    Ok(prompts.into_iter().map(|prompt| prompt.instruction).collect())
}

/// The instructions as a task, which measures its replies' length and whether they end. A question's name is its place in
/// [`instructions`].
pub(crate) fn open() -> Result<Task> {
    let instructions = instructions(&Catalogue::load()?)?;
    let items = instructions
        .into_iter()
        .enumerate()
        .map(|(index, instruction)| (Question::reply(index.to_string(), instruction, LIMIT), ()));
    Ok(Task::new("alpaca-eval", items, MEASURES, mark))
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "every grading function takes a reference to the key")]
fn mark((): &(), answer: &Answer) -> Result<Vec<Vec<f64>>> {
    let ended = matches!(answer, Answer::Reply { ended: true, .. });
    Ok(vec![value(answer.text()?.chars().count() as f64), one(ended)])
}
