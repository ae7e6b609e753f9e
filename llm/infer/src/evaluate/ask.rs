//! Asks the questions of a benchmark that have no stored answer yet.

use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;

use super::answers::{Answers, Line, hash};
use super::benchmark::Benchmark;
use super::model::EvaluatedModel;
use crate::generate::report_too_long;
use crate::together::Together;
use tokensieve_model::{Error, Result};

/// Asks the questions without a stored answer, of which each process asks its part, and stores their answers in process 0,
/// which alone has `answers`. [`ControlFlow::Break`]: interrupted.
pub(super) fn ask(
    benchmark: &dyn Benchmark,
    evaluated: &mut EvaluatedModel<'_>,
    answers: Option<&mut Answers>,
    together: &Together<'_>,
) -> Result<ControlFlow<()>> {
    let questions = || -> Vec<String> {
        (0..benchmark.count()).map(|question| hash(&benchmark.asked(question))).collect()
    };
    together.same(benchmark.name(), questions)?;
    let is_missing = |answers: &Answers| {
        let all = 0..benchmark.count();
        all.filter(|question| stored_answer(benchmark, answers, *question).is_err()).collect()
    };
    let questions: Vec<usize> = together.agreed(answers.as_deref().map(is_missing).unwrap_or_default())?;
    let own = &questions[together.part(questions.len())];
    let interrupted = evaluated.interrupted();
    let stopped = || interrupted.load(Ordering::Relaxed);
    let Some(answers) = answers else {
        benchmark.ask(evaluated, own, &mut |question, answer| together.send(&(question, answer)))?;
        return together.finish(stopped, |()| Ok(()));
    };
    let (too_long, asked) = (benchmark.too_long(evaluated, &questions)?, questions.len());
    report_too_long(benchmark.name(), (too_long, asked), "questions", evaluated.context());
    let mut taking = Taking::new(benchmark, answers, asked);
    benchmark.ask(evaluated, own, &mut |question, answer| {
        taking.take(question, answer)?;
        together.received(|(question, answer)| taking.take(question, answer))
    })?;
    let ended = together.finish(stopped, |(question, answer)| taking.take(question, answer))?;
    taking.bar.finish_and_clear();
    let all = taking.asked == questions.len();
    Ok(if all { ended } else { ControlFlow::Break(()) })
}

/// Stores answers as they come.
struct Taking<'a> {
    benchmark: &'a dyn Benchmark,
    answers: &'a mut Answers,
    bar: ProgressBar,
    since: Instant,
    asked: usize,
}

impl<'a> Taking<'a> {
    fn new(benchmark: &'a dyn Benchmark, answers: &'a mut Answers, missing: usize) -> Self {
        let count = benchmark.count();
        let bar = ProgressBar::with_draw_target(Some(count as u64), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{msg} {pos}/{len} {wide_bar} {eta} left");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_message(benchmark.name().to_owned());
        bar.set_position((count - missing) as u64);
        bar.reset_eta();
        Self { benchmark, answers, bar, since: Instant::now(), asked: 0 }
    }

    fn take(&mut self, question: usize, answer: Value) -> Result<()> {
        let seconds = self.since.elapsed().as_secs_f64();
        self.since = Instant::now();
        let (id, content) = (self.benchmark.id(question), self.benchmark.content(question));
        self.answers.add(self.benchmark.name(), id, &content, seconds, answer)?;
        self.bar.inc(1);
        self.asked += 1;
        Ok(())
    }
}

/// The stored answer to a question; an error if there is none.
pub(super) fn stored_answer<'a>(
    benchmark: &dyn Benchmark,
    answers: &'a Answers,
    question: usize,
) -> Result<&'a Line> {
    let (name, id) = (benchmark.name(), benchmark.id(question));
    let line = answers.get(name, id, &benchmark.content(question));
    line.ok_or_else(|| Error::Run(format!("{name}: question {id} was not answered")))
}
