//! What a model can be measured by: a task of the registry, or held-out text.

use serde_json::Value;
use tokensieve_tasks::{self as tasks, Answer, Measure, Options, Question, Task};

use super::held_out::{self, HeldOut};
use super::judge;
use super::model::Examinee;
use tokensieve_model::Error;
use tokensieve_model::Result;
use tokensieve_model::text::Tokenizer;

/// Questions for a model, and what its answers count.
pub trait Exam {
    /// As in the suite.
    fn name(&self) -> &str;

    /// What the answers are measured by.
    fn measures(&self) -> &[Measure];

    /// How many questions it has.
    fn count(&self) -> usize;

    /// A question's name.
    fn id(&self, question: usize) -> &str;

    /// All that an answer depends on, of the question: an answer to anything else is none.
    fn content(&self, question: usize) -> String;

    /// Asks some of the questions. `take` gets each answer, in the form in which it is kept, with the question's number.
    fn ask(
        &self,
        examinee: &mut Examinee<'_>,
        questions: &[usize],
        take: &mut dyn FnMut(usize, Value) -> Result<()>,
    ) -> Result<()>;

    /// For each measure what this answer adds to it.
    fn tally(&self, question: usize, answer: &Value) -> Result<Vec<Vec<f64>>>;
}

/// The exam of that name.
pub(super) fn open(
    name: &str,
    options: &Options,
    tokenizer: &Tokenizer,
    longest: usize,
    skip_bad: bool,
) -> Result<Box<dyn Exam>> {
    if name.starts_with(held_out::PREFIX) {
        return Ok(Box::new(HeldOut::open(name, options, tokenizer, longest, skip_bad)?));
    }
    let task = tasks::open(name, options).map_err(|error| match error {
        tasks::Error::Setting(what) => Error::setting(
            "--suite",
            format!("{what}; nll:SET, nll:SET/SPLIT and nll:FILE measure a data set's responses"),
        ),
        other => Error::other(other),
    })?;
    Ok(Box::new(task))
}

/// The measures of an exam, whose tallies lie in a file.
pub(super) fn measures(name: &str) -> Result<Vec<Measure>> {
    if name.starts_with(held_out::PREFIX) {
        return Ok(held_out::MEASURES.to_vec());
    }
    let mut measures = tasks::open(name, &Options::default()).map_err(Error::other)?.measures().to_vec();
    if name == judge::TASK {
        measures.insert(0, judge::WIN_RATE);
    }
    Ok(measures)
}

impl Exam for Box<dyn Task> {
    fn name(&self) -> &str {
        self.as_ref().name()
    }

    fn measures(&self) -> &[Measure] {
        self.as_ref().measures()
    }

    fn count(&self) -> usize {
        self.questions().len()
    }

    fn id(&self, question: usize) -> &str {
        &self.questions()[question].id
    }

    fn content(&self, question: usize) -> String {
        serde_json::to_string(&self.questions()[question]).expect("a question is plain data")
    }

    fn ask(
        &self,
        examinee: &mut Examinee<'_>,
        questions: &[usize],
        take: &mut dyn FnMut(usize, Value) -> Result<()>,
    ) -> Result<()> {
        let asked: Vec<&Question> = questions.iter().map(|question| &self.questions()[*question]).collect();
        examinee.answer(&asked, &mut |place, answer| {
            take(questions[place], serde_json::to_value(answer).expect("an answer is plain data"))
        })
    }

    fn tally(&self, question: usize, answer: &Value) -> Result<Vec<Vec<f64>>> {
        let answer: Answer = serde_json::from_value(answer.clone()).map_err(|error| {
            Error::Run(format!(
                "{}, question {}: not an answer: {error}",
                Exam::name(self),
                self.id(question)
            ))
        })?;
        self.as_ref().tally(question, &answer).map_err(Error::other)
    }
}
