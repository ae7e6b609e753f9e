//! Asks the questions of a benchmark that have no stored answer yet.

use std::ops::ControlFlow;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;

use super::answers::{Answers, Line};
use super::benchmark::Benchmark;
use super::model::EvaluatedModel;
use tokensieve_model::Error;
use tokensieve_model::Result;

/// Asks the questions without a stored answer and stores their answers. [`ControlFlow::Break`]: interrupted.
pub(super) fn ask(
    benchmark: &dyn Benchmark,
    evaluated: &mut EvaluatedModel<'_>,
    answers: &mut Answers,
) -> Result<ControlFlow<()>> {
    let name = benchmark.name();
    let questions: Vec<usize> = (0..benchmark.count())
        .filter(|question| stored_answer(benchmark, answers, *question).is_err())
        .collect();
    let bar = ProgressBar::with_draw_target(Some(benchmark.count() as u64), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{msg} {pos}/{len} {wide_bar} {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_message(name.to_owned());
    bar.set_position((benchmark.count() - questions.len()) as u64);
    bar.reset_eta();
    let mut since = Instant::now();
    let mut asked = 0;
    let mut take = |question: usize, answer: Value| {
        let seconds = since.elapsed().as_secs_f64();
        since = Instant::now();
        answers.add(name, benchmark.id(question), &benchmark.content(question), seconds, answer)?;
        bar.inc(1);
        asked += 1;
        Ok(())
    };
    benchmark.ask(evaluated, &questions, &mut take)?;
    bar.finish_and_clear();
    let all = asked == questions.len();
    Ok(if all { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
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
