//! What the study's figures share: what they say of its runs, and panels.

use super::measures::Quantity;
use super::plan::Plan;
use super::row::SeedMean;
use crate::About;
use crate::picture::{Mark, marks};
use anyhow::Result;
use tokensieve_plot::{Axis, Panel};

/// What every figure of the study says of its runs, where they depart from the papers, and the columns that most have.
pub fn of_study() -> About {
    About {
        protocol: "SmolLM2-135M-Instruct is fine-tuned by adapters of rank 32 on all linear modules, on documents \
                   that each run goes over once, 32 a step, cut at 512 tokens (conversations: 4 a step, 1,024 \
                   tokens; paper/plans/study.toml, docs/plans/study.md). Each seed trains on documents of its own \
                   and is measured on held-out documents of its own (Alpaca's suffice for ten seeds: the last four \
                   have the first four's again) and by questions drawn for it from the task's (of instructions the \
                   same 500 for all). Learning rates are tuned for each way of training on another seed. Profiles \
                   smoke and laptop run a small part with few seeds; profile study reads the outcomes that the \
                   repository keeps (paper/recorded/study.jsonl.gz) and runs what is missing. The primary claims \
                   are decided by the whole study, each once all its seeds are there: for them profile laptop reads \
                   what is kept and runs nothing. Where column `seeds` is 1, there is no interval.",
        deviations: &[
            "Fitted losses in the study's kept outcomes, but for those on arithmetic word problems, were taken from a \
             parabola and are off by up to 0.06 nats (docs/plans/study.md, departures).",
            "The learning rates of minus-p-10, log-one-minus-p, top-10 and rho, and all of those on gsm8k-answers, are \
             the plan's first guesses: their runs for tuning are still to be done.",
            "One model of 135 million parameters that was tuned to instructions before, read from 4-bit weights; the \
             papers fine-tune base models of 1 to 14 billion.",
            "Each seed trains on at most 1,024 documents (GSM8K 736, conversations 104), the papers on 7,500 to \
             67,000.",
            "Paper A has one learning rate, 1e-4; here rates from 3e-5 to 3e-3 are tuned.",
            "Paper B trains all weights, in batches of 256, with β₂ 0.95, a weight decay of 0.01 and a warm-up of 10 %; \
             here adapters are trained as in paper A, with β₂ 0.999, no weight decay and a warm-up of 3 %.",
            "There is no judge: free replies are measured by the likelihood of references alone.",
        ],
        columns: SeedMean::columns(),
        ..About::default()
    }
}

/// The axis of gains by a measure.
pub fn gain_axis(of: Quantity) -> Axis {
    match of {
        Quantity::Right | Quantity::Likeness | Quantity::Accuracy | Quantity::Probability => {
            Axis::linear("gain, points").points()
        }
        _ => Axis::linear("gain, nats per token"),
    }
}

/// The rows of what decides about their data: the answers to the first task.
pub fn headlines(rows: &[SeedMean]) -> Result<Vec<&SeedMean>> {
    let plan = Plan::load()?;
    let decides = |row: &&SeedMean| {
        plan.data
            .get(&row.data)
            .is_some_and(|data| data.tasks.first() == Some(&row.set) && row.measure == plan.answers(data))
    };
    Ok(rows.iter().filter(decides).collect())
}

/// Gains of some rows: a place for each category, a mark for each series.
pub fn gains<'a>(
    title: &str,
    rows: &[&'a SeedMean],
    category: impl Fn(&'a SeedMean) -> &'a str,
    series: impl Fn(&'a SeedMean) -> &'a str,
    names: &[&str],
) -> Panel {
    let mark =
        |row: &&'a SeedMean| Mark { category: category(row), series: series(row), estimate: row.gain() };
    let axis = gain_axis(rows.first().map_or(Quantity::Fitted, |row| row.measure));
    marks(title, axis, &rows.iter().map(mark).collect::<Vec<_>>(), names)
}

/// What a set and measure are called in titles.
pub fn words(row: &SeedMean) -> String {
    match (row.measure, row.set.as_str()) {
        (Quantity::Right, "instructions") => "constraints met".to_owned(),
        (Quantity::Right, "gsm8k-paired") => "right answer likeliest".to_owned(),
        (Quantity::Right, _) => "right answers".to_owned(),
        (Quantity::Likeness, _) => "likeness to the solution".to_owned(),
        (_, "test") => "held-out loss".to_owned(),
        (_, other) => format!("loss on {other}"),
    }
}
