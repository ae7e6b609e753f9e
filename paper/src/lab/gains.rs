//! The rows that the training figures share: how much better one way of training is than another, by every outcome.

use super::corpus::{Corpus, REPLACEMENT};
use super::outcome::{Better, Draws, Evaluation, Tallies, gain};
use super::preference::preference;
use super::study::{Arm, Outcome, Study, short};
use crate::{Claim, Column, Run};
use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use tokensieve_toy::statistics::Estimate;

/// Fewer seeds say nothing of another training run: claims about objectives are then not tested.
pub const ENOUGH_SEEDS: u64 = 3;
/// What a claim says that is not tested for want of seeds.
pub const TOO_FEW_SEEDS: &str =
    "not tested at this scale: fewer than three seeds say nothing of another training run";

/// One comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Base model.
    pub model: String,
    /// Corpus trained on.
    pub trained_on: String,
    /// The way of training.
    pub arm: String,
    /// What it is compared with.
    pub versus: String,
    /// What is measured: an outcome, or `mean` or `won` of several.
    pub outcome: String,
    /// `in` the trained corpus' distribution, `out` of it, or `all`.
    pub distribution: String,
    /// `nats` (of loss), `share` (of right answers), `preference` (above half) or `tasks` (share of them).
    pub unit: String,
    /// Training runs of each.
    pub seeds: u64,
    /// Questions or documents.
    pub questions: usize,
    /// The outcome itself; empty for means.
    pub value: Option<f64>,
    /// The same of what it is compared with.
    pub versus_value: Option<f64>,
    /// The difference, positive when better.
    pub gain: f64,
    /// Lower end of the 95 % interval.
    pub gain_low: f64,
    /// Upper end of the 95 % interval.
    pub gain_high: f64,
}

impl Row {
    /// The gain with its interval; `n` are seeds.
    pub fn estimate(&self) -> Estimate {
        Estimate { value: self.gain, low: self.gain_low, high: self.gain_high, n: self.seeds as usize }
    }
}

/// The columns of [`Row`].
pub fn columns() -> Vec<Column> {
    vec![
        Column::new("model", "", "base model"),
        Column::new("trained_on", "", "corpus trained on"),
        Column::new("arm", "", "way of training"),
        Column::new("versus", "", "way of training that it is compared with"),
        Column::new(
            "outcome",
            "",
            "what is measured; `mean` of all outcomes of the unit and distribution, `won`: share of all outcomes on which the gain is positive",
        ),
        Column::new("distribution", "", "`in` the trained corpus' distribution, `out` of it, or `all`"),
        Column::new(
            "unit",
            "",
            "`nats`: mean loss per response token; `share` of right answers; `preference`: length-controlled win rate by a stand-in for a judge; `tasks`: share of outcomes",
        ),
        Column::new("seeds", "", "training runs of each"),
        Column::new("questions", "", "questions, or held-out documents"),
        Column::new("value", "", "the outcome itself, over all seeds"),
        Column::new("versus_value", "", "the same of what it is compared with"),
        Column::new("gain", "", "difference of the two, positive when better"),
        Column::new(
            "gain_low",
            "",
            "lower end of the 95 % bootstrap interval over questions and seeds, paired",
        ),
        Column::new("gain_high", "", "its upper end"),
    ]
}

/// The rows of these comparisons on every model and corpus of the run's profile.
pub fn rows(run: &Run, contrasts: impl Fn(&Study) -> Vec<(Arm, Arm)>) -> Result<Vec<Row>> {
    let study = study(run);
    let mut rows = Vec::new();
    for model in study.scale.models {
        for corpus in &study.corpora {
            for (arm, versus) in contrasts(&study) {
                rows.extend(compare(run, &study, model, *corpus, &arm, &versus)?);
            }
        }
    }
    Ok(rows)
}

/// The grid of a run; what could not be had is named in the figure's title.
pub fn study(run: &Run) -> Study {
    let study = Study::new(run.profile, run.lab());
    for set in &study.missing {
        run.replaced(set, REPLACEMENT);
    }
    study
}

/// One comparison by every outcome, then the means of in- and out-of-distribution gains and the share of wins.
fn compare(
    run: &Run,
    study: &Study,
    model: &str,
    corpus: Corpus,
    arm: &Arm,
    versus: &Arm,
) -> Result<Vec<Row>> {
    let seeds = study.seeds(arm).min(study.seeds(versus));
    let mut evaluations = Vec::new();
    for arm in [arm, versus] {
        let mut of_seeds = Vec::new();
        for seed in 0..seeds {
            let job = study.evaluated(model, corpus, arm, seed)?;
            of_seeds.push(Evaluation::read(&run.job(&job)?.join(job.verb.output()))?);
        }
        evaluations.push(of_seeds);
    }
    let row = |outcome: &str, distribution: &str, unit: &str, draws: &Draws, values: [Option<f64>; 2]| {
        let gain = draws.estimate().with_context(|| format!("{} on {outcome}: no gain", arm.name))?;
        anyhow::Ok(Row {
            model: short(model).into(),
            trained_on: corpus.name().into(),
            arm: arm.name.clone(),
            versus: versus.name.clone(),
            outcome: outcome.into(),
            distribution: distribution.into(),
            unit: unit.into(),
            seeds,
            questions: gain.n,
            value: values[0],
            versus_value: values[1],
            gain: gain.value,
            gain_low: gain.low,
            gain_high: gain.high,
        })
    };
    let mut rows = Vec::new();
    let mut gains: Vec<(&Outcome, Draws)> = Vec::new();
    for outcome in &study.outcomes {
        let key = study.key(outcome, run.lab())?;
        let mut sides: Vec<Vec<&Tallies>> = Vec::new();
        for of_seeds in &evaluations {
            sides.push(of_seeds.iter().map(|evaluation| evaluation.headline(&key)).collect::<Result<_>>()?);
        }
        let draws = gain(&sides[0], &sides[1], outcome.better, outcome.name)?;
        let value = |side: &[&Tallies]| {
            let pairs = side.iter().flat_map(|t| t.pairs.clone()).collect();
            Tallies { pairs, ..Tallies::default() }.value()
        };
        let values = [value(&sides[0]), value(&sides[1])];
        let place = distribution(outcome, corpus);
        rows.push(row(outcome.name, place, unit(outcome), &draws, values)?);
        if let Some(preferred) = preference(&sides[0], &sides[1]) {
            rows.push(row(outcome.name, place, "preference", &preferred, [None, None])?);
        }
        gains.push((outcome, draws));
    }
    for place in ["in", "out"] {
        for counted in ["nats", "share"] {
            let here = gains.iter().filter(|(o, _)| distribution(o, corpus) == place && unit(o) == counted);
            let here: Vec<Draws> = here.map(|(_, draws)| draws.clone()).collect();
            if let Some(mean) = Draws::mean(&here) {
                rows.push(row("mean", place, counted, &mean, [None, None])?);
            }
        }
    }
    let wins: Vec<Draws> = gains.iter().map(|(_, draws)| draws.won()).collect();
    if let Some(won) = Draws::mean(&wins) {
        rows.push(row("won", "all", "tasks", &won, [None, None])?);
    }
    Ok(rows)
}

/// A claim that the arm does better than what it is compared with on this corpus, by the mean of the outcomes of a
/// distribution and unit. Without such a row, or with too few seeds, it is not tested.
pub fn better(
    rows: &[Row],
    claim: Claim,
    corpus: Corpus,
    (arm, versus): (&str, &str),
    (place, unit): (&str, &str),
) -> Claim {
    tested(rows, claim, corpus, (arm, versus), (place, unit), Claim::above)
}

/// The claim that it does worse.
pub fn worse(
    rows: &[Row],
    claim: Claim,
    corpus: Corpus,
    (arm, versus): (&str, &str),
    (place, unit): (&str, &str),
) -> Claim {
    tested(rows, claim, corpus, (arm, versus), (place, unit), Claim::below)
}

fn tested(
    rows: &[Row],
    claim: Claim,
    corpus: Corpus,
    (arm, versus): (&str, &str),
    (place, unit): (&str, &str),
    test: fn(Claim, f64, Option<Estimate>, &str) -> Claim,
) -> Claim {
    let claim = claim.on_data(&corpus.set().into_iter().collect::<Vec<_>>());
    let row = rows.iter().find(|row| {
        row.outcome == "mean"
            && (row.trained_on.as_str(), row.arm.as_str(), row.versus.as_str())
                == (corpus.name(), arm, versus)
            && (row.distribution.as_str(), row.unit.as_str()) == (place, unit)
    });
    match row {
        None => {
            claim.not_tested(&format!("not tested at this scale: nothing is trained on {}", corpus.name()))
        }
        Some(row) if row.seeds < ENOUGH_SEEDS => claim.not_tested(TOO_FEW_SEEDS),
        Some(row) => {
            let what =
                if unit == "nats" { "held-out loss in nats per token" } else { "share of right answers" };
            let text = format!(
                "{what}, {place}-of-distribution mean, {arm} against {versus}; bootstrap over questions and seeds, \
                 paired, 95 %"
            );
            test(claim, 0.0, Some(row.estimate()), &text.replace("in-of", "in"))
        }
    }
}

fn distribution(outcome: &Outcome, corpus: Corpus) -> &'static str {
    if outcome.of == Some(corpus) { "in" } else { "out" }
}

fn unit(outcome: &Outcome) -> &'static str {
    match outcome.better {
        Better::Less => "nats",
        Better::More => "share",
    }
}
