//! Paper A's open question on compute: what selection saves or costs, measured here and projected to 70B.

use crate::claim::OURS;
use crate::named::named;
use crate::study::models::{each_model, short};
use crate::study::{Arm, Study, compare, steps};
use crate::table::distinct;
use crate::{About, Claim, Column, Run, Table, exact};
use anyhow::Result;
use serde::{Deserialize, Serialize};
use tokensieve_base::statistics::Estimate;
use tokensieve_plot::{Axis, Drawing, Ink, Panel, Series, Shape};

/// The figure.
pub(super) struct Figure;

named! {
    /// Where a cost comes from.
    enum Kind {
        /// Steps of real runs, timed.
        Measured = "measured",
        /// Floating-point operations, counted.
        Counted = "counted",
    }
}

/// What one way of training costs on one model.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Cost {
    kind: Kind,
    model: String,
    objective: String,
    seconds_per_1000_tokens: Option<f64>,
    low: Option<f64>,
    high: Option<f64>,
    reference_seconds: Option<f64>,
    backward_seconds: Option<f64>,
    flops_per_token: Option<f64>,
    relative_to_mle: f64,
}

/// What a way of training costs in passes through a model.
#[derive(Clone, Copy, Debug)]
struct Passes {
    /// Forward passes of all tokens.
    forward: f64,
    /// Share of the tokens that are gone through backwards.
    backward: f64,
    /// Share of the response tokens at which the head is.
    head_backward: f64,
}

const PLAIN: Passes = Passes { forward: 1.0, backward: 1.0, head_backward: 1.0 };

/// What is counted: a name, a training arm, its passes.
fn objectives() -> [(&'static str, Arm, Passes); 4] {
    let [plain, tokens, documents, both] = Study::TIMED;
    [
        ("mle", plain, PLAIN),
        ("masked, tokens", tokens, Passes { head_backward: 0.25, ..PLAIN }),
        ("masked, documents", documents, Passes { backward: 0.25, head_backward: 0.25, ..PLAIN }),
        ("masked + distill", both, Passes { forward: 2.0, ..PLAIN }),
    ]
}

/// Parameters that a token goes through, embeddings left out, and those of the head, with the model's name.
const MODELS: [(&str, f64, f64); 2] = [("SmolLM2-135M", 106.2e6, 28.3e6), ("Llama-3.1-70B", 68.5e9, 1.05e9)];
/// Share of all tokens that are response tokens, on which alone the head works: of the timed runs, on generated word problems
/// under a chat template (measured: tokens of `metrics.jsonl` over those of `timing.jsonl`).
const RESPONSE: f64 = 0.27;

/// One of a row's times.
type Part = fn(&Cost) -> Option<f64>;

/// Floating-point operations per token with an adapter: 2 per parameter forward and 2 backward to the activations; the
/// weights themselves have no gradient, and the adapter is too small to count.
fn flops(body: f64, head: f64, passes: Passes) -> f64 {
    let head = RESPONSE * head;
    2.0 * ((body + head) * passes.forward + body * passes.backward + head * passes.head_backward)
}

impl crate::Figure for Figure {
    fn about(&self) -> About {
        About {
            id: "a-compute",
            title: "What selection costs and saves",
            source: "A, section 5: granularity and computational savings",
            caption: "Training on generated word problems. A: measured time per thousand tokens by phase, median over steps. B: the same relative to plain maximum \
                      likelihood, measured and counted in floating-point operations for this model and for 70B.",
            protocol: "Measured: seconds of each optimizer step of the runs of figures 3 and 5 on generated word problems over the tokens that it read. \
                       Counted: two operations per parameter and token forward, two backward (LoRA: weights have no gradient); \
                       the head on response tokens only, 27 % of all. Selecting tokens saves the head's backward pass for three quarters of \
                       them and nothing below it, for a token's gradient runs through all tokens before it; selecting a quarter of the documents leaves out three quarters of the \
                       backward passes; distillation adds the reference's forward pass to each step; the reference's own training, as long as plain training, comes before it and is not in \
                       these numbers.\n\nThe 70B rows are counted, not \
                       measured.",
            deviations: &[
                "The paper measures nothing: it says that selecting tokens saves in the last layer alone, and that selecting \
                 documents is substantially cheaper. \"Substantially\" is read as more than a fifth.",
                "The projection to 70B is ours, and so is the share of response tokens, which is another in another corpus.",
            ],
            columns: vec![
                Column::new("kind", "", "`measured` or `counted`"),
                Column::new("model", "", "base model"),
                Column::new("objective", "", "way of training"),
                Column::new("seconds_per_1000_tokens", "s", "median over steps, prompts included"),
                Column::new("low", "s", "lower end of its 95 % bootstrap interval over steps"),
                Column::new("high", "s", "its upper end"),
                Column::new(
                    "reference_seconds",
                    "s",
                    "of these: the reference's forward pass and other scoring",
                ),
                Column::new("backward_seconds", "s", "of these: the backward pass"),
                Column::new("flops_per_token", "", "floating-point operations per token"),
                Column::new("relative_to_mle", "", "time, or operations, over plain maximum likelihood's"),
            ],
        }
    }

    fn table(&self, run: &Run) -> Result<Table> {
        let study = compare::study(run);
        let mut rows = Vec::new();
        for model in study.scale.models {
            let mut plain = None;
            for (objective, arm, ..) in objectives() {
                let folder = run.job(study.timed_run(model, arm)?.as_ref())?;
                let phases = steps::per_thousand_tokens(&folder.join("timing.jsonl"))?;
                let of = |phase: &str| phases.get(phase).map(|found| found.value);
                let step = phases["step"];
                let base = *plain.get_or_insert(step.value);
                rows.push(Cost {
                    kind: Kind::Measured,
                    model: short(model).into(),
                    objective: objective.into(),
                    seconds_per_1000_tokens: Some(step.value),
                    low: Some(step.low),
                    high: Some(step.high),
                    reference_seconds: of("reference"),
                    backward_seconds: of("backward"),
                    flops_per_token: None,
                    relative_to_mle: step.value / base,
                });
            }
        }
        for (model, body, head) in MODELS {
            for (objective, _, passes) in objectives() {
                let counted = flops(body, head, passes);
                rows.push(Cost {
                    kind: Kind::Counted,
                    model: model.into(),
                    objective: objective.into(),
                    seconds_per_1000_tokens: None,
                    low: None,
                    high: None,
                    reference_seconds: None,
                    backward_seconds: None,
                    flops_per_token: Some(counted),
                    relative_to_mle: counted / flops(body, head, PLAIN),
                });
            }
        }
        Table::from_rows(&rows)
    }

    fn draw(&self, table: &Table) -> Result<Drawing> {
        let rows: Vec<Cost> = table.rows()?;
        let names = objectives().map(|(name, ..)| name);
        let place = |row: &Cost| names.iter().position(|name| *name == row.objective).unwrap_or(0) as f64;
        let parts: [(&str, Part); 3] = [
            ("whole step", |row| row.seconds_per_1000_tokens),
            ("backward", |row| row.backward_seconds),
            ("reference", |row| row.reference_seconds),
        ];
        let marks = |points: Vec<(f64, f64)>, index| {
            Series::points(points).ink(Ink::Category(index)).shape(Shape::of(index))
        };
        let times = |measured: &[Cost]| {
            let y = Axis::linear("seconds per 1,000 tokens");
            let points = parts.iter().enumerate().map(|(index, (label, of))| {
                let points = measured.iter().filter_map(|row| Some((place(row), of(row)?)));
                marks(points.collect(), index).label(label)
            });
            let bars = measured.iter().filter_map(|row| Some((place(row), row.low?, row.high?)));
            let bars = Series::error_bars(bars).ink(Ink::Category(0));
            vec![Panel::new("Measured", Axis::categories("", names), y).with_all(points).with(bars)]
        };
        let mut panels = each_model(&measured(&rows), |row| &row.model, times, Panel::of);
        let mut ratios = Panel::new("Relative to plain", Axis::categories("", names), Axis::linear("ratio"))
            .with(Series::horizontal(1.0));
        let series = rows.iter().map(|row| format!("{}, {}", row.model, row.kind)).collect::<Vec<_>>();
        for (index, label) in distinct(&series).into_iter().enumerate() {
            let shift = 0.12 * (index as f64 - 1.0);
            let points = rows
                .iter()
                .zip(&series)
                .filter(|(_, name)| *name == label)
                .map(|(row, _)| (place(row) + shift, row.relative_to_mle));
            // One legend for both panels: no colour twice.
            ratios = ratios.with(marks(points.collect(), parts.len() + index).label(label));
        }
        panels.push(ratios);
        Ok(Drawing::new(panels).columns(2).width(860.0))
    }

    fn claims(&self, table: &Table) -> Result<Vec<Claim>> {
        let rows: Vec<Cost> = table.rows()?;
        let mut claims = each_model(&measured(&rows), |row| &row.model, claims, Claim::of_model);
        let of_70b = |row: &&Cost| row.model == MODELS[1].0 && row.objective == objectives()[1].0;
        claims.push(
            claim(
                "tokens-save-nothing-when-large",
                PAPER,
                "What selecting tokens saves is negligible for a very large model: less than a hundredth, of 70B.",
            )
            .above(
                0.99,
                rows.iter().find(of_70b).map(|row| exact(row.relative_to_mle)),
                "floating-point operations per token over plain training's, counted",
            ),
        );
        Ok(claims)
    }
}

const PAPER: &str = "A, section 5";

fn claim(id: &str, source: &str, text: &str) -> Claim {
    Claim::new(&format!("a-compute/{id}"), source, text)
}

fn measured(rows: &[Cost]) -> Vec<Cost> {
    rows.iter().filter(|row| row.kind == Kind::Measured).cloned().collect()
}

/// What is claimed of one model, measured.
fn claims(measured: &[Cost]) -> Vec<Claim> {
    let time = |objective: &str| {
        let row = measured.iter().find(|row| row.objective == objective)?;
        // Of the steps of one run, not of runs.
        Some(Estimate { value: row.seconds_per_1000_tokens?, low: row.low?, high: row.high?, n: 1 })
    };
    let test = "time per token over plain training's, medians over the steps of one run each; bootstrap over steps, 95 %, \
                intervals' ends put together";
    let [plain, of_tokens, of_documents, of_both] = objectives().map(|(objective, ..)| time(objective));
    let [tokens, documents, both] = [of_tokens, of_documents, of_both].map(|time| Some(over(time?, plain?)));
    let with_twin = both.map_or_else(String::new, |both| {
        format!("; with the twin's training, which is plain training, {:.2} times in all", both.value + 1.0)
    });
    let with_twin = format!("{test}{with_twin}");
    let apart = of_documents.zip(of_tokens).map(|(documents, tokens)| over(documents, tokens));
    vec![
        claim("tokens-save-little", PAPER, "Selecting tokens saves less than a tenth of a step's time.")
            .above(0.9, tokens, test),
        claim("documents-save", PAPER, "Selecting documents is faster than plain training.")
            .below(1.0, documents, test),
        claim(
            "documents-over-tokens",
            PAPER,
            "Selecting documents is substantially cheaper than selecting tokens: by more than a fifth.",
        )
        .below(0.8, apart, "time per token with documents selected over that with tokens selected, intervals' ends put together"),
        claim(
            "distill-costs",
            OURS,
            "A step of masked training with distillation costs at most 1.55 times a step of plain training (counted: 1.5), the training of \
             the twin that it distils from left out.",
        )
        .below(1.55, both, &with_twin),
    ]
}

/// One time over another, their runs timed apart: the widest that the two intervals allow.
fn over(time: Estimate, other: Estimate) -> Estimate {
    Estimate {
        value: time.value / other.value,
        low: time.low / other.high,
        high: time.high / other.low,
        n: 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_knows_that_plain_training_is_measured_too() -> Result<()> {
        let row = |objective: &str, [seconds, low, high]: [f64; 3]| Cost {
            kind: Kind::Measured,
            model: String::new(),
            objective: objective.into(),
            seconds_per_1000_tokens: Some(seconds),
            low: Some(low),
            high: Some(high),
            reference_seconds: None,
            backward_seconds: None,
            flops_per_token: None,
            relative_to_mle: seconds / 2.0,
        };
        let rows = [row("mle", [2.0, 1.6, 2.5]), row("masked, documents", [1.8, 1.7, 1.9])];
        let claims = crate::Figure::claims(&Figure, &Table::from_rows(&rows)?)?;
        let saved = claims.iter().find(|claim| claim.id == "a-compute/documents-save");
        let found = saved.and_then(|claim| claim.estimate);
        // Its own interval ends below plain training's median, and above its interval.
        assert_eq!(found.map(|of| [of.value, of.low, of.high]), Some([1.8 / 2.0, 1.7 / 2.5, 1.9 / 1.6]));
        Ok(())
    }
}
