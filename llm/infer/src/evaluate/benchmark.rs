//! A benchmark: questions for a model, and the measures of its answers.

use serde::Serialize;
use serde_json::Value;
use tokensieve_tasks::{Answer, Ask, Measure, Question, Task};

use super::model::EvaluatedModel;
use tokensieve_model::{Error, Result};

/// Questions for a model, and the measures of its answers.
pub trait Benchmark {
    /// Name of the benchmark in a suite.
    fn name(&self) -> &str;

    /// The measures of the answers.
    fn measures(&self) -> &[Measure];

    /// Number of questions.
    fn count(&self) -> usize;

    /// Id of a question.
    fn id(&self, question: usize) -> &str;

    /// The content of a question, on which its answer depends. An answer to other content is not reused.
    fn content(&self, question: usize) -> String;

    /// The part of the content that is the question's own, without how it is answered. Evaluations are compared
    /// where it is the same.
    fn asked(&self, question: usize) -> String {
        self.content(question)
    }

    /// How many of some questions are too long for the model's context.
    fn too_long(&self, _: &EvaluatedModel<'_>, _: &[usize]) -> Result<usize> {
        Ok(0)
    }

    /// Asks some of the questions. `take` receives the number of a question and its answer, in the form in which it is stored.
    fn ask(
        &self,
        evaluated: &mut EvaluatedModel<'_>,
        questions: &[usize],
        take: &mut dyn FnMut(usize, Value) -> Result<()>,
    ) -> Result<()>;

    /// What an answer adds to the sums of each measure.
    fn tally(&self, question: usize, answer: &Value) -> Result<Vec<Vec<f64>>>;
}

impl Benchmark for Task {
    fn name(&self) -> &str {
        self.name()
    }

    fn measures(&self) -> &[Measure] {
        self.measures()
    }

    fn count(&self) -> usize {
        self.questions().len()
    }

    fn id(&self, question: usize) -> &str {
        &self.questions()[question].id
    }

    fn content(&self, question: usize) -> String {
        serde_json::to_string(&self.questions()[question]).expect("a question serialises")
    }

    fn asked(&self, question: usize) -> String {
        let Question { messages, ask, .. } = &self.questions()[question];
        let replies = match ask {
            Ask::Likelihood { replies } => replies.as_slice(),
            Ask::Reply { .. } => &[],
        };
        serde_json::json!([messages, replies]).to_string()
    }

    fn too_long(&self, evaluated: &EvaluatedModel<'_>, questions: &[usize]) -> Result<usize> {
        evaluated.too_long(self.questions(), questions)
    }

    fn ask(
        &self,
        evaluated: &mut EvaluatedModel<'_>,
        questions: &[usize],
        take: &mut dyn FnMut(usize, Value) -> Result<()>,
    ) -> Result<()> {
        let mut take = |question: usize, answer: Answer| take(question, stored(&answer));
        evaluated.answer(self.name(), self.questions(), questions, &mut take)
    }

    fn tally(&self, question: usize, answer: &Value) -> Result<Vec<Vec<f64>>> {
        tally(self, question, answer)
    }
}

/// An answer, or several, in the form in which they are stored.
pub(super) fn stored(answer: &impl Serialize) -> Value {
    serde_json::to_value(answer).expect("an answer serialises")
}

/// What a stored answer adds to the sums of each measure of a task.
pub(super) fn tally(task: &Task, question: usize, answer: &Value) -> Result<Vec<Vec<f64>>> {
    let answer: Answer = serde_json::from_value(answer.clone()).map_err(|error| {
        let id = &task.questions()[question].id;
        Error::Run(format!("{}, question {id}: not an answer: {error}", task.name()))
    })?;
    task.tally(question, &answer).map_err(Error::other)
}
