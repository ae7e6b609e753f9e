//! Competition and university mathematics: the last `\boxed` answer must equal the key, however it is written.

mod beside;
mod budget;
mod contents;
mod equality;
mod evaluate;
mod functions;
mod plain;
mod points;
mod shape;
mod symbols;
mod value;

use std::path::Path;

pub use equality::equal;
use serde_json::Value;
use tokensieve_data::Catalogue;

use crate::pattern::pattern;
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

/// The final answer of a reply.
pub fn found(reply: &str) -> Option<&str> {
    pattern!(
        SAID,
        r"(?i)(?:answer\s*(?:is|:)|####)(?:[\s:*$]|\\[\[(])*([^\n]*?)(?:[.*$]*\s*\n|\.\s|[.*$]*\s*$)"
    );
    pattern!(NUMBER, r"-?\d[\d,]*(?:\.\d+)?|-?\.\d+");
    let stated = || {
        SAID.captures_iter(reply)
            .last()?
            .get(1)
            .map(|found| found.as_str())
            .filter(|found| !found.trim().is_empty())
    };
    boxed(reply).or_else(stated).or_else(|| NUMBER.find_iter(reply).last().map(|found| found.as_str()))
}

/// The content of the last `\boxed` (or `\fbox`) whose braces are balanced.
pub fn boxed(text: &str) -> Option<&str> {
    pattern!(BOX, r"\\(?:boxed|fbox|framebox)\s*(\{?)");
    let opening = BOX.captures_iter(text).last()?;
    let inside = &text[opening.get(0)?.end()..];
    if opening[1].is_empty() {
        // `\boxed 5`: up to the end of the word.
        return inside.split(|c: char| c.is_whitespace() || c == '$').next().filter(|word| !word.is_empty());
    }
    let mut depth = 1;
    let end = inside.char_indices().find(|(_, c)| {
        depth += i32::from(*c == '{') - i32::from(*c == '}');
        depth == 0
    });
    end.map(|(at, _)| inside[..at].trim())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_last_box_is_the_answer() {
        for (reply, answer) in [
            ("\\boxed{1} no, \\boxed{\\frac{1}{2}} it is {", Some("\\frac{1}{2}")),
            ("$\\boxed{ \\{1, 2\\} }$", Some("\\{1, 2\\}")),
            ("\\boxed 7$ done", Some("7")),
            ("\\fbox{x}", Some("x")),
            ("\\boxed{cut off", None),
            ("none", None),
        ] {
            assert_eq!(boxed(reply), answer, "{reply}");
        }
        assert_eq!(found("So 3 + 4 = 7. The answer is $7$."), Some("7"));
        assert_eq!(found("Final Answer: x = 2.5\nbye 3"), Some("x = 2.5"));
        assert_eq!(found("first 3 and then 1,200."), Some("1,200"));
    }

    #[test]
    fn an_answer_in_display_brackets_is_found() {
        for reply in [
            "The answer is \\[5\\].",
            "The answer is:\n\\[\n5\n\\]",
            "The answer is:\n\n\\[ 5 \\]\n",
            "The answer is: \\(5\\).",
        ] {
            assert!(found(reply).is_some_and(|found| equal(found, "5")), "{reply}: {:?}", found(reply));
        }
    }

    proptest! {
        #[test]
        fn no_reply_is_too_odd(reply in "(\\\\boxed|\\{|\\}|answer is|####|\\$|[0-9.,é \n])*", any in any::<String>()) {
            for reply in [reply, any] {
                if let Some(found) = found(&reply) {
                    equal(found, "1");
                }
            }
        }
    }
}
