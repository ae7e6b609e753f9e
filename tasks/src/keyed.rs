//! Tasks whose every question has a key, against which its answer is graded.

use crate::{Answer, Error, Measure, Question, Result, Task};

/// Grades an answer against a question's key: for each measure the numbers that it adds.
pub(crate) type Grade<K> = fn(&K, &Answer) -> Result<Vec<Vec<f64>>>;

/// Questions with their keys, and the function that grades answers.
pub(crate) struct KeyedTask<K> {
    name: String,
    questions: Vec<Question>,
    keys: Vec<K>,
    measures: &'static [Measure],
    grade: Grade<K>,
}

impl<K: Send + Sync + 'static> KeyedTask<K> {
    pub(crate) fn task(
        name: impl Into<String>,
        items: impl IntoIterator<Item = (Question, K)>,
        measures: &'static [Measure],
        grade: Grade<K>,
    ) -> Box<dyn Task> {
        let (questions, keys) = items.into_iter().unzip();
        Box::new(Self { name: name.into(), questions, keys, measures, grade })
    }
}

impl<K: Send + Sync> Task for KeyedTask<K> {
    fn name(&self) -> &str {
        &self.name
    }

    fn questions(&self) -> &[Question] {
        &self.questions
    }

    fn measures(&self) -> &[Measure] {
        self.measures
    }

    fn tally(&self, question: usize, answer: &Answer) -> Result<Vec<Vec<f64>>> {
        (self.grade)(&self.keys[question], answer)
    }
}

/// The tally of a share for one question, answered rightly or not.
pub(crate) fn one(right: bool) -> Vec<f64> {
    vec![f64::from(u8::from(right)), 1.0]
}

/// The tally of a mean for one question.
pub(crate) fn value(value: f64) -> Vec<f64> {
    vec![value, 1.0]
}

impl Answer {
    /// The reply's text.
    pub(crate) fn text(&self) -> Result<&str> {
        match self {
            Self::Reply { text, .. } => Ok(text),
            Self::Likelihood { .. } => Err(Error::Setting(
                "the question asks for a text reply, but the answer holds likelihoods".into(),
            )),
        }
    }

    /// The log-likelihood of each of `replies` replies.
    pub(crate) fn log_likelihoods(&self, replies: usize) -> Result<Vec<f64>> {
        // A probability that was rounded to 0 counts as the smallest positive number, not as impossible.
        let log = |p: &f32| f64::from(p.max(f32::MIN_POSITIVE)).ln();
        Ok(self.probabilities(replies)?.iter().map(|tokens| tokens.iter().map(log).sum()).collect())
    }

    /// The probabilities of each of `replies` replies' tokens.
    fn probabilities(&self, replies: usize) -> Result<&[Vec<f32>]> {
        match self {
            Self::Likelihood { probabilities } if probabilities.len() == replies => Ok(probabilities),
            Self::Likelihood { probabilities } => Err(Error::Setting(format!(
                "likelihoods of {} replies, where those of {replies} were asked for",
                probabilities.len()
            ))),
            Self::Reply { .. } => Err(Error::Setting(
                "the question asks for likelihoods, but the answer is a text reply".into(),
            )),
        }
    }
}
