//! A local model as a judge.

use std::cell::RefCell;

use serde_json::json;
use tokensieve_tasks::judge::{Judge, LABELS, Pair, Verdict, question};
use tokensieve_tasks::{self as tasks, Ask, Question, Task};

use super::answers::{Answers, hash};
use super::ask::{ask, stored_answer};
use super::judging::JUDGE;
use super::model::{EvaluatedModel, documents};
use crate::together::Together;
use tokensieve_model::text::Tokenizer;
use tokensieve_model::{Document, Error, Result};

/// A local model that judges by the probabilities of the two labels as the first token of its reply.
#[derive(Debug)]
pub struct LocalJudge<'a> {
    /// Includes the hashes of weights and tokenizer, so that verdicts of another model are not reused.
    name: String,
    state: RefCell<(EvaluatedModel<'a>, &'a mut Answers)>,
}

impl<'a> LocalJudge<'a> {
    /// A judge whose verdicts are stored among the answers under this name.
    pub fn new(name: String, evaluated: EvaluatedModel<'a>, answers: &'a mut Answers) -> Self {
        Self { name, state: RefCell::new((evaluated, answers)) }
    }
}

impl Judge for LocalJudge<'_> {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn prefer(&self, pairs: &[Pair<'_>]) -> tasks::Result<Vec<Verdict>> {
        let failed =
            |error: Error| tasks::Error::Service { address: self.name.clone(), what: error.to_string() };
        // Asked and stored like any other task, but nothing is graded.
        let items = pairs.iter().map(|pair| (question_of(pair), ()));
        let task = Task::new(self.name.clone(), items, &[], |(), _| Ok(Vec::new()));
        let (evaluated, answers) = &mut *self.state.borrow_mut();
        // Process 0 alone judges.
        let asked = ask(&task, evaluated, Some(answers), &Together::alone());
        if asked.map_err(failed)?.is_break() {
            return Err(failed(Error::Run("interrupted".to_owned())));
        }
        let verdict = |number: usize| -> Result<Verdict> {
            let answer = stored_answer(&task, answers, number)?.answer.clone();
            let first = |label: usize| {
                let p = answer["probabilities"][label][0].as_f64();
                p.map(f64::ln).ok_or_else(|| Error::Run(format!("verdict {number} is not a likelihood")))
            };
            Ok(Verdict::of_labels([first(0)?, first(1)?]))
        };
        (0..pairs.len()).map(|number| verdict(number).map_err(failed)).collect()
    }
}

/// Named by what it shows: a pair's place among the others depends on --limit and on the other replies.
fn question_of(pair: &Pair<'_>) -> Question {
    Question {
        id: hash(&json!([pair.instruction, pair.first, pair.second]).to_string()),
        messages: question(pair),
        ask: Ask::Likelihood { replies: LABELS.map(str::to_owned).to_vec() },
    }
}

/// Checks that the judge's own chat template writes its questions.
pub(super) fn check(source: &str, tokenizer: &Tokenizer) -> Result<()> {
    if tokenizer.template().is_none() {
        let what = format!(
            "`{source}` has no chat template, and --chat-template is the evaluated model's; the judge's own folder must \
             hold one: chat_template.jinja"
        );
        return Err(Error::setting(JUDGE, what));
    }
    let pair = Pair { instruction: "What is 2 + 2?", first: "3", second: "4" };
    let wrong = |what: String| Error::setting(JUDGE, format!("`{source}` cannot be asked: {what}"));
    let written = documents(tokenizer, &question_of(&pair)).map_err(|error| wrong(error.to_string()))?;
    let first = |document: &Document| {
        let own = document.weights.iter().position(|weight| *weight != 0.0);
        own.map(|at| document.tokens[at])
    };
    if first(&written[0]) == first(&written[1]) {
        let [one, other] = LABELS;
        return Err(wrong(format!(
            "its tokenizer begins `{one}` and `{other}`, by which it would choose, with the same token"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokensieve_model::text::Extras;

    #[test]
    fn a_judge_that_does_not_tell_the_labels_apart_is_refused() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/tokenizer/tokenizer.json");
        let template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}";
        let checked = |is_lowercase: bool| {
            let mut inner = tokenizers::Tokenizer::from_file(path).unwrap();
            if is_lowercase {
                inner.with_normalizer(Some(tokenizers::normalizers::Lowercase)).unwrap();
            }
            let extras = Extras { template: Some(template.to_owned()), ..Extras::default() };
            check("uncased", &Tokenizer::new(inner, extras, path).unwrap())
        };
        checked(false).unwrap();
        let error = checked(true).unwrap_err().to_string();
        assert!(error.contains("`uncased` cannot be asked: its tokenizer begins `m` and `M`"), "{error}");
    }
}
