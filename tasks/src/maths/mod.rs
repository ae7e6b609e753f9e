//! Competition and university mathematics: the last `\boxed` answer must equal the key, however it is written.

mod beside;
mod budget;
mod contents;
mod equality;
mod evaluate;
mod functions;
mod plain;
mod points;
mod reply;
mod shape;
mod spelling;
mod symbols;
mod value;

use std::path::Path;

pub use equality::equal;
pub use reply::{boxed, found};
use serde_json::Value;
use tokensieve_data::Catalogue;

use crate::task::one;
use crate::{Answer, Error, Measure, Question, Result, Task, rows};

/// Maximum number of new tokens; the published protocol allows more to models that use them.
const LIMIT: usize = 512;

pub(crate) const MEASURES: &[Measure] = &[
    Measure::share(
        "correct",
        "the reply's answer equals the key: the last boxed one, else what it calls its answer, else its last number",
    ),
    Measure::share("boxed", "the last boxed answer equals the key"),
];

pub(crate) fn open(set: &str) -> Result<Task> {
    let files = Catalogue::load()?.fetch(set)?;
    let path = files.path("test");
    let rows: Vec<Value> = rows::json_lines(path)?;
    let item = |(index, row): (usize, &Value)| item(path, index, row);
    let items = rows.iter().enumerate().map(item).collect::<Result<Vec<_>>>()?;
    Ok(Task::new(set, items, MEASURES, mark))
}

/// A row of a set. The sets name their columns differently; the key is a column, or boxed in the solution.
fn item(path: &Path, index: usize, row: &Value) -> Result<(Question, String)> {
    let text = |name: &str| row[name].as_str();
    let problem = text("problem").or(text("question"));
    let key = match (&row["answer"], &row["final_answer"]) {
        (Value::String(answer), _) => Some(answer.clone()),
        (Value::Number(answer), _) => Some(answer.to_string()),
        (_, Value::Array(answers)) => {
            Some(answers.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "))
        }
        _ => text("solution").and_then(boxed).map(str::to_owned),
    };
    let (Some(problem), Some(key)) = (problem, key) else {
        return Err(Error::line(
            path,
            index + 1,
            "needs `problem` or `question`, and `answer`, `final_answer` or a boxed answer in `solution`",
        ));
    };
    let prompt = format!("{problem}\n\nPut your final answer in \\boxed{{}}.");
    Ok((Question::reply(index.to_string(), prompt, LIMIT), key))
}

#[expect(clippy::ptr_arg, reason = "the shape of every mark: a reference to the key")]
fn mark(key: &String, answer: &Answer) -> Result<Vec<Vec<f64>>> {
    let reply = answer.text()?;
    let is_key = |found: Option<&str>| found.is_some_and(|found| equal(found, key));
    Ok(vec![one(is_key(found(reply))), one(is_key(boxed(reply)))])
}
