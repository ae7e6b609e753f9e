//! Paper A's open question on compute: what selection saves or costs, measured here and projected to 70B.

use crate::claim::{OURS, estimate};
use crate::finetune::Work;
use crate::named::named;
use crate::study::models::each_model;
use crate::study::steps;
use crate::table::distinct;
use crate::{About, Claim, Declared, Evidence, Expected, Run, Table, exact, row};
use anyhow::{Result, ensure};
use std::collections::BTreeSet;
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

row! {
    /// What one way of training costs on one model.
    struct Cost {
        kind: Kind = "`measured` or `counted`",
        model: String = "base model",
        objective: String = "way of training",
        seconds_per_1000_tokens in "s": Option<f64> = "median over steps, prompts included",
        low in "s": Option<f64> = "lower end of its 95 % bootstrap interval over steps",
        high in "s": Option<f64> = "its upper end",
        reference_seconds in "s": Option<f64> = "part of it: the reference's forward pass and other scoring",
        backward_seconds in "s": Option<f64> = "part of it: the backward pass",
        flops_per_token: Option<f64> = "floating-point operations per token",
        relative_to_mle: f64 = "time, or operations, over plain maximum likelihood's",
    }
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
fn objectives() -> [(&'static str, &'static str, Passes); 4] {
    let [plain, tokens, documents, both] = Work::TIMED;
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
            caption: "Training on generated word problems. A: measured time per thousand tokens by phase, median \
                      over steps, bars: 95 % intervals over the steps of one run. B: the same relative to plain maximum likelihood, measured, and counted in \
                      floating-point operations for this model and for a model of 70B parameters.",
            protocol: "Measured: seconds of each optimizer step of a timed run of each way of training on generated word \
                       problems, divided by the tokens that the step reads. Counted: two operations per parameter \
                       and token forward and two backward (with LoRA the base weights have no gradient); the head \
                       works on response tokens only, 27 % of all tokens.\n\nSelecting tokens saves the head's \
                       backward pass for three quarters of them and nothing below the head, because a token's \
                       gradient runs through all tokens before it. Selecting a quarter of the documents saves three \
                       quarters of the backward passes. Distillation adds the forward pass of the reference to each \
                       step. The training of the reference, which takes as long as plain training, precedes the run \
                       and is not included.\n\nThe 70B rows are counted, not measured.",
            deviations: &[
                "The paper measures nothing. It says that selecting tokens saves in the last layer only and that \
                 selecting documents is substantially cheaper. We take \"substantially\" to mean more than a fifth.",
                "The projection to 70B is ours, and so is the share of response tokens, which differs between \
                 corpora.",
            ],
            columns: Cost::columns(),
        }
    }

    fn table(&self, run: &Run) -> Result<Table> {
        let work = Work::available(run.profile, run.lab())?;
        let (mut rows, mut plain, mut machines) = (Vec::new(), None, BTreeSet::new());
        for ((objective, ..), job) in objectives().into_iter().zip(work.timed()?) {
            let folder = run.job(&job)?;
            machines.extend(run.lab().done(&job).map(|done| done.host.computed_on()));
            ensure!(
                machines.len() < 2,
                "the timed runs are of different machines ({}): move {} away, and it is done here; the others likewise",
                machines.into_iter().collect::<Vec<_>>().join(", "),
                folder.display()
            );
            let phases = steps::per_thousand_tokens(&folder.join("timing.jsonl"))?;
            let of = |phase: &str| phases.get(phase).map(|found| found.value);
            let step = phases["step"];
            let base = *plain.get_or_insert(step.value);
            rows.push(Cost {
                kind: Kind::Measured,
                model: work.plan.model.clone(),
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
        let mut claims = each_model(&measured(&rows), |row| &row.model, of_model, Claim::of_model);
        claims.push(AT_70B.tested("a-compute", &rows));
        Ok(claims)
    }
}

const PAPER: &str = "A, section 5";

const AT_70B: Declared<[Cost]> = Declared {
    id: "tokens-save-nothing-when-large",
    source: PAPER,
    evidence: Evidence::Check,
    statement: "Selecting tokens saves next to nothing in a very large model: less than a hundredth at 70B parameters.",
    test: "floating-point operations per token over plain training's, counted",
    expected: Expected::Above(0.99),
    effect: |rows| {
        let of_70b = |row: &&Cost| row.model == MODELS[1].0 && row.objective == objectives()[1].0;
        rows.iter().find(of_70b).map(|row| exact(row.relative_to_mle))
    },
};

fn measured(rows: &[Cost]) -> Vec<Cost> {
    rows.iter().filter(|row| row.kind == Kind::Measured).cloned().collect()
}

/// What is claimed of one model, measured.
fn of_model(measured: &[Cost]) -> Vec<Claim> {
    let times = Times::of(measured);
    let tested = |claim: &Declared<Times>| claim.tested("a-compute", &times);
    let costs = tested(&DISTILLING);
    let in_all = costs.estimate.map(|ratio| {
        format!(
            "with the training of that model, which is plain training, {:.2} times in all",
            ratio.value + 1.0
        )
    });
    let costs = in_all.iter().fold(costs, |claim, remark| claim.remarking(remark));
    SELECTING.iter().map(tested).chain([costs]).collect()
}

/// Time per token of each way of training, where it was measured.
struct Times {
    plain: Option<Estimate>,
    tokens: Option<Estimate>,
    documents: Option<Estimate>,
    both: Option<Estimate>,
}

impl Times {
    fn of(measured: &[Cost]) -> Self {
        let time = |objective: &str| {
            let row = measured.iter().find(|row| row.objective == objective)?;
            // The interval is over the steps of one run, not over runs.
            Some(estimate([row.seconds_per_1000_tokens?, row.low?, row.high?], 1))
        };
        let [plain, tokens, documents, both] = objectives().map(|(objective, ..)| time(objective));
        Self { plain, tokens, documents, both }
    }
}

const OVER_PLAIN: &str = "time per token over plain training's, medians over the steps of one run each; 95 % bootstrap \
                          intervals over steps, combined to the widest ratio";

const SELECTING: [Declared<Times>; 3] = [
    Declared {
        id: "tokens-save-little",
        source: PAPER,
        evidence: Evidence::Paper,
        statement: "Selecting tokens saves less than a tenth of a step's time.",
        test: OVER_PLAIN,
        expected: Expected::Above(0.9),
        effect: |times| Some(over(times.tokens?, times.plain?)),
    },
    Declared {
        id: "documents-save",
        source: PAPER,
        evidence: Evidence::Paper,
        statement: "Selecting documents is faster than plain training.",
        test: OVER_PLAIN,
        expected: Expected::Below(1.0),
        effect: |times| Some(over(times.documents?, times.plain?)),
    },
    Declared {
        id: "documents-over-tokens",
        source: PAPER,
        evidence: Evidence::Paper,
        statement: "Selecting documents is substantially cheaper than selecting tokens: by more than a fifth.",
        test: "time per token with documents selected over that with tokens selected; 95 % bootstrap intervals over steps, \
               combined to the widest ratio",
        expected: Expected::Below(0.8),
        effect: |times| Some(over(times.documents?, times.tokens?)),
    },
];

const DISTILLING: Declared<Times> = Declared {
    id: "distill-costs",
    source: OURS,
    evidence: Evidence::Ours,
    statement: "A step of masked training with distillation costs at most 1.55 times a step of plain training (counted: 1.5), \
                without the training of the model that it distils from.",
    test: OVER_PLAIN,
    expected: Expected::Below(1.55),
    effect: |times| Some(over(times.both?, times.plain?)),
};

/// One time over another, their runs timed apart: the widest that the two intervals allow.
fn over(time: Estimate, other: Estimate) -> Estimate {
    estimate([time.value / other.value, time.low / other.high, time.high / other.low], 1)
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
