//! Asks the questions of an exam that have no stored answer yet.

use std::ops::ControlFlow;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;

use super::answers::{Answers, Line};
use super::exam::Exam;
use super::model::Examinee;
use tokensieve_model::Error;
use tokensieve_model::Result;

/// Asks the questions without a stored answer and stores their answers. [`ControlFlow::Break`]: interrupted.
pub(super) fn ask(
    exam: &dyn Exam,
    examinee: &mut Examinee<'_>,
    answers: &mut Answers,
) -> Result<ControlFlow<()>> {
    let name = exam.name();
    let questions: Vec<usize> =
        (0..exam.count()).filter(|question| stored_answer(exam, answers, *question).is_err()).collect();
    let bar = ProgressBar::with_draw_target(Some(exam.count() as u64), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{msg} {pos}/{len} {wide_bar} {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_message(name.to_owned());
    bar.set_position((exam.count() - questions.len()) as u64);
    bar.reset_eta();
    let mut since = Instant::now();
    let mut asked = 0;
    let mut take = |question: usize, answer: Value| {
        let seconds = since.elapsed().as_secs_f64();
        since = Instant::now();
        answers.add(name, exam.id(question), &exam.content(question), seconds, answer)?;
        bar.inc(1);
        asked += 1;
        Ok(())
    };
    exam.ask(examinee, &questions, &mut take)?;
    bar.finish_and_clear();
    let all = asked == questions.len();
    Ok(if all { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
}

/// The stored answer to a question; an error if there is none.
pub(super) fn stored_answer<'a>(exam: &dyn Exam, answers: &'a Answers, question: usize) -> Result<&'a Line> {
    let (name, id) = (exam.name(), exam.id(question));
    let line = answers.get(name, id, &exam.content(question));
    line.ok_or_else(|| Error::Run(format!("{name}: question {id} was not answered")))
}
