//! Paper B, the continuum: fine-tuning on noisy labels from a weak, a middling and a strong base.

use super::b_gradient_weight::pretty;
use crate::claim::least;
use crate::{About, Claim, Column, Estimate, Run, Table, exact};
use anyhow::{Context as _, Result};
use tokensieve_plot::{Axis, Drawing, Ink, Panel, Series, Shape};
use tokensieve_toy::continuum::{self, ContinuumConfig, ContinuumRow};

/// The figure.
pub(super) struct Figure;

/// The objectives that the upper rows draw; the α grid has its own panels.
const DRAWN: [&str; 4] = ["-p", "-p^10", "-log p, p >= 0.2", "log(1-p)"];
/// Noise of the α panels and of the OpenBookQA-like claims.
const NOISE: f64 = 0.3;

impl crate::Figure for Figure {
    fn about(&self) -> About {
        About {
            id: "b-continuum",
            title: "Fine-tuning on noisy labels, from a weak to a strong model",
            source: "B, the model-capability continuum (tables 1–3, figure 6, OpenBookQA check)",
            caption: "Clean held-out accuracy over −log *p* after fine-tuning on the same noisy labels, against the capability of \
                      the base (its mean probability of the truth). Upper row: the same learning rate for all. Middle row: \
                      every step as long as that of −log *p*. Ribbons: 95 % intervals over seeds, paired; the accuracy axes are \
                      linear within ±5 points. Lower row, at 30 % wrong labels: accuracy, −log *p*, and mean \
                      probability of the training labels along the family *f*_{α}, for three bases.",
            protocol: "Tokens have 16 features and one true label of 32 (the largest score under a random matrix), 16 tokens to a \
                       document that share 30 % of their features' variance. A linear softmax model is pre-trained by −log *p* on fresh \
                       clean tokens of a neighbouring domain (1 % of the truth's variance differs) until the mean probability of \
                       held-out truth is 0.03 (untrained), 0.1, 0.3, 0.55 or 0.75. Then 64 documents with wrong labels at the given rate (any of \
                       the 31 others) are fine-tuned on: 4 epochs, 8 documents a step, plain gradient descent at rate 16, the best of \
                       {2, 4, 8, 16, 32, 64} for −log *p* in mean accuracy over the map. 1,024 clean held-out tokens; 16 seeds, each \
                       with its own domain, base and training set; all objectives of a seed share them.\n\nEvery step's gradient is \
                       divided by the number of tokens with a pull. grad-norm: the step has the objective's direction and the \
                       length of −log *p*'s step on the same batch at the same weights.",
            deviations: &[
                "A softmax regression instead of a language model; the capability is set by how long it was pre-trained, \
                 the domain shift leaves a strong base something to learn.",
                "Plain gradient descent instead of AdamW, which would hide part of an objective's step length.",
            ],
            columns: vec![
                Column::new("objective", "", "name of the objective"),
                Column::new("alpha", "", "α, where it is one of *f*_{α}"),
                Column::new("step", "", "own: rate × gradient; grad-norm: as long as −log *p*'s step"),
                Column::new("capability", "", "mean probability of held-out truth before"),
                Column::new("noise_rate", "", "share of wrong labels in the training set"),
                Column::new("seeds", "", "seeds behind every number"),
                Column::new("accuracy_before", "", "clean held-out accuracy before"),
                Column::new(
                    "accuracy",
                    "",
                    "clean held-out accuracy after; _low, _high: 95 % interval (Student)",
                ),
                Column::new("accuracy_low", "", "lower end"),
                Column::new("accuracy_high", "", "upper end"),
                Column::new("accuracy_change", "", "after minus before, paired by seed"),
                Column::new("accuracy_change_low", "", "lower end"),
                Column::new("accuracy_change_high", "", "upper end"),
                Column::new("accuracy_gain", "", "accuracy minus that of −log *p*, paired by seed"),
                Column::new("accuracy_gain_low", "", "lower end"),
                Column::new("accuracy_gain_high", "", "upper end"),
                Column::new("nll_before_nats", "nats", "clean held-out −log *p* before"),
                Column::new("nll_nats", "nats", "clean held-out −log *p* after"),
                Column::new("nll_low_nats", "nats", "lower end"),
                Column::new("nll_high_nats", "nats", "upper end"),
                Column::new(
                    "nll_gain_nats",
                    "nats",
                    "−log *p* after training with −log *p*, minus with this: above 0 is better",
                ),
                Column::new("nll_gain_low_nats", "nats", "lower end"),
                Column::new("nll_gain_high_nats", "nats", "upper end"),
                Column::new(
                    "training_likelihood_before",
                    "",
                    "mean probability of the training labels before",
                ),
                Column::new("training_likelihood", "", "the same after"),
                Column::new("step_length", "", "mean length of a step in the weights"),
            ],
        }
    }

    fn table(&self, run: &Run) -> Result<Table> {
        let config = run.profile.pick(ContinuumConfig::smoke(), ContinuumConfig::default());
        let units: Vec<(String, (ContinuumConfig, u64))> =
            (0..config.seeds).map(|seed| (format!("seed {seed}"), (config.clone(), seed))).collect();
        let outcomes = run.units(&units, |(config, seed)| continuum::seed(config, *seed))?;
        let seeds: Vec<_> = outcomes.chunk_by(|a, b| a.seed == b.seed).map(<[_]>::to_vec).collect();
        Table::from_rows(&continuum::summarise(&config, &seeds)?)
    }

    fn draw(&self, table: &Table) -> Result<Drawing> {
        let rows: Vec<ContinuumRow> = table.rows()?;
        let noises = ascending(rows.iter().map(|row| row.noise_rate));
        let mut panels = Vec::new();
        for (step, title) in [("own", "same rate"), ("grad-norm", "same step length")] {
            for (column, noise) in noises.iter().enumerate() {
                let y = Axis::symlog("accuracy over −log *p*", 0.05).range(-0.7, 0.3).ticks(
                    [-0.5, -0.2, -0.05, 0.0, 0.05, 0.2].map(|v: f64| (v, tokensieve_plot::number(v, 1))),
                );
                let y = if column == 0 { y } else { y.quiet() };
                let x = Axis::linear("capability of the base").range(0.0, 0.84);
                let title = format!("{:.0} % wrong, {title}", 100.0 * noise);
                let mut panel = Panel::new(&title, x, y).with(Series::horizontal(0.0));
                for (index, objective) in DRAWN.iter().enumerate() {
                    let line: Vec<&ContinuumRow> = rows
                        .iter()
                        .filter(|r| r.objective == *objective && r.step == step && same(r.noise_rate, *noise))
                        .collect();
                    panel = panel.with_all(curve(
                        line.iter().map(|r| {
                            (r.capability, r.accuracy_gain, r.accuracy_gain_low, r.accuracy_gain_high)
                        }),
                        index,
                        &pretty(objective),
                    ));
                }
                panels.push(panel);
            }
        }
        panels.extend(family(&rows));
        Ok(Drawing::new(panels).columns(noises.len().max(1)).width(1040.0).panel_height(185.0))
    }

    fn claims(&self, table: &Table) -> Result<Vec<Claim>> {
        let cells = Cells::new(table.rows()?)?;
        Ok([cells.ends(), cells.between(), cells.published()].concat())
    }
}

/// The table with its two ends named.
struct Cells {
    rows: Vec<ContinuumRow>,
    weak: f64,
    middle: f64,
    strong: f64,
}

const PAIRED: &str =
    "clean held-out accuracy minus that of −log *p*, paired by seed; mean, Student's 95 % interval";
const PAIRED_NLL: &str = "clean held-out −log *p* (nats) of the model trained with −log *p* minus of this one, paired by \
                          seed; mean, Student's 95 % interval";

impl Cells {
    fn new(rows: Vec<ContinuumRow>) -> Result<Self> {
        let capabilities = ascending(rows.iter().map(|row| row.capability));
        let (weak, strong) = capabilities.first().zip(capabilities.last()).context("an empty table")?;
        // The base next to the strong one: the paper's medical domain, 0.50 to 0.59.
        let middle = capabilities[capabilities.len().saturating_sub(2)];
        Ok(Self { weak: *weak, middle, strong: *strong, rows })
    }

    fn cell(&self, objective: &str, step: &str, capability: f64, noise: f64) -> Option<&ContinuumRow> {
        self.rows.iter().find(|r| {
            r.objective == objective
                && r.step == step
                && same(r.capability, capability)
                && same(r.noise_rate, noise)
        })
    }

    fn gain(&self, objective: &str, step: &str, capability: f64, noise: f64) -> Option<Estimate> {
        self.cell(objective, step, capability, noise).map(accuracy_gain)
    }

    /// −p against −log p at the two ends, at either length of step.
    fn ends(&self) -> Vec<Claim> {
        let mut claims = Vec::new();
        for (step, words) in [("own", "at the same learning rate"), ("grad-norm", "at the same step length")]
        {
            // The paper trains at one learning rate and says nothing of the length of a step.
            let source = if step == "own" { "B, the continuum" } else { ON_B };
            for noise in [0.3, 0.5] {
                let percent = 100.0 * noise;
                let statement =
                    format!("Strong base, {percent:.0} % wrong labels, {words}: −*p* beats −log *p*.");
                let id = format!("strong-noise-{percent:.0}-{step}");
                let gain = self.gain("-p", step, self.strong, noise);
                claims.push(claim(&id, source, &statement).above(0.0, gain, PAIRED));
                let statement = format!("{statement} Measured in −log *p*.");
                let gain = self.cell("-p", step, self.strong, noise).map(nll_gain);
                // The paper measures answers.
                claims.push(claim(&format!("{id}-nll"), ON_B, &statement).above(0.0, gain, PAIRED_NLL));
            }
            for noise in [0.0, 0.3] {
                let percent = 100.0 * noise;
                let statement =
                    format!("Weak base, {percent:.0} % wrong labels, {words}: −log *p* beats −*p*.");
                let gain = self.gain("-p", step, self.weak, noise);
                let id = format!("weak-noise-{percent:.0}-{step}");
                claims.push(claim(&id, source, &statement).below(0.0, gain, PAIRED));
            }
            let statement =
                format!("Strong base, clean labels, {words}: −*p* beats −log *p* even without noise.");
            let gain = self.gain("-p", step, self.strong, 0.0);
            claims.push(claim(&format!("strong-clean-{step}"), source, &statement).above(0.0, gain, PAIRED));
            let statement = format!(
                "Strong base, 30 % wrong labels, {words}: leaving out p < 0.2 beats −log *p* on all tokens."
            );
            let gain = self.gain("-log p, p >= 0.2", step, self.strong, NOISE);
            claims.push(claim(&format!("threshold-{step}"), source, &statement).above(0.0, gain, PAIRED));
        }
        claims
    }

    /// Neither objective prevails in between.
    fn between(&self) -> Vec<Claim> {
        let tie = self.gain("-p", "own", self.middle, 0.1);
        let statement = "In between, at 10 % wrong labels, neither prevails: −*p* and −log *p* are less than 2 points apart.";
        let within = tie.and_then(|tie| within(tie, POINTS));
        let test = format!("{PAIRED}; its distance to the nearer of ±0.02, positive between them");
        vec![claim("middle-neither", "B, the continuum", statement).above(0.0, within, &test)]
    }

    /// Shapes of published numbers: the wrong-label check, the α sweep, the training likelihood.
    fn published(&self) -> Vec<Claim> {
        let named = |id: &str, source: &str, statement: &str| {
            Claim::new(&format!("b-continuum/{id}"), source, statement)
        };
        let change = |objective| self.cell(objective, "own", self.strong, NOISE).map(accuracy_change);
        let against_base =
            "clean held-out accuracy after minus before, paired by seed; mean, Student's 95 % interval";
        let wrong = "B, OpenBookQA with 30 % wrong labels (27.2 against 85.0)";
        // Not paired in the table: the ends of the two gains' intervals are put together, which is wider.
        let rise = |capability| {
            let at = |objective| self.gain(objective, "own", capability, NOISE);
            at("f_alpha(0.1)").zip(at("-p")).map(|(low, high)| Estimate {
                value: high.value - low.value,
                low: high.low - low.high,
                high: high.high - low.low,
                n: high.n,
            })
        };
        let apart = "accuracy at α = 1 minus at α = 0.1, 30 % wrong labels; the 95 % intervals of the two gains over \
                     −log *p*, their ends put together";
        let likelihood =
            |objective| self.cell(objective, "own", self.weak, 0.0).map(|r| r.training_likelihood);
        let lead = likelihood("-log p").zip(likelihood("-p")).map(|(log, linear)| exact(log - linear));
        vec![
            named(
                "wrong-30-log",
                wrong,
                "Training on 30 % wrong labels with −log *p* makes a strong model worse than its base.",
            )
            .below(0.0, change("-log p"), against_base),
            named("wrong-30-p", wrong, "… and with −*p* does not cost it a point.").above(
                -0.01,
                change("-p"),
                against_base,
            ),
            named("alpha-weak", "B, figure 6", "At the weak end accuracy falls from α = 0.1 to α = 1.")
                .below(0.0, rise(self.weak), apart),
            named("alpha-strong", "B, figure 6", "At the strong end accuracy rises from α = 0.1 to α = 1.")
                .above(0.0, rise(self.strong), apart),
            named(
                "training-likelihood",
                "B, mean training likelihood (0.65 against 0.32)",
                "At the weak end −log *p* raises the training labels' probability further than −*p* does.",
            )
            .above(
                0.0,
                lead,
                "mean probability of the training labels after training on clean labels, −log *p* minus −*p*",
            ),
        ]
    }
}

fn claim(id: &str, source: &str, statement: &str) -> Claim {
    Claim::new(&format!("b-continuum/{id}"), source, statement)
}

/// The source of what we measure or hold equal beside the paper.
const ON_B: &str = "ours, on B, the continuum";

/// From how large a difference in accuracy on one of two objectives prevails (choice).
const POINTS: f64 = 0.02;

/// How far an estimate lies within two bounds around zero: one claim, by the nearer of them.
fn within(estimate: Estimate, bound: f64) -> Option<Estimate> {
    let Estimate { value, low, high, .. } = estimate;
    let above = Estimate { value: value + bound, low: low + bound, high: high + bound, ..estimate };
    let below = Estimate { value: bound - value, low: bound - high, high: bound - low, ..estimate };
    least([above, below])
}

/// What a panel along α shows of a cell: value, lower and upper end.
type Shown = fn(&ContinuumRow) -> (f64, f64, f64);

/// The lower row: accuracy, −log p and training likelihood along α, for a weak, a middling and a strong base.
fn family(rows: &[ContinuumRow]) -> Vec<Panel> {
    let capabilities = ascending(rows.iter().map(|row| row.capability));
    let Some((weak, strong)) = capabilities.first().zip(capabilities.last()) else { return Vec::new() };
    let middle = capabilities[capabilities.len() / 2];
    let mut bases = vec![*weak, middle, *strong];
    bases.dedup();
    let values: [(&str, &str, Shown); 4] = [
        ("Same rate", "accuracy", |r| (r.accuracy, r.accuracy_low, r.accuracy_high)),
        ("Same rate", "−log *p* (nats)", |r| (r.nll_nats, r.nll_low_nats, r.nll_high_nats)),
        ("Same step length", "accuracy", |r| (r.accuracy, r.accuracy_low, r.accuracy_high)),
        ("Same rate", "*p* of training labels", |r| (r.training_likelihood, f64::NAN, f64::NAN)),
    ];
    values
        .into_iter()
        .map(|(title, label, value)| {
            let step = if title == "Same rate" { "own" } else { "grad-norm" };
            // α = 0 has no place on a logarithm's axis: it stands at 0.05.
            let ticks = [(0.05, "0"), (0.1, "0.1"), (0.5, "0.5"), (1.0, "1"), (2.0, "2"), (10.0, "10")];
            let y = Axis::linear(label);
            let y = if label == "accuracy" { y.range(0.0, 1.0) } else { y };
            let mut panel = Panel::new(title, Axis::log("α, 30 % wrong labels").ticks(ticks), y);
            for (index, base) in bases.iter().enumerate() {
                let mut line: Vec<&ContinuumRow> = rows
                    .iter()
                    .filter(|r| {
                        r.step == step
                            && same(r.noise_rate, NOISE)
                            && same(r.capability, *base)
                            && r.alpha.is_some()
                    })
                    .collect();
                line.sort_by(|a, b| a.alpha.unwrap_or_default().total_cmp(&b.alpha.unwrap_or_default()));
                let points = line.iter().map(|r| {
                    let (value, low, high) = value(r);
                    (r.alpha.unwrap_or_default().max(0.05), value, low, high)
                });
                // Categories 4 to 6: not the colours of the objectives above.
                panel = panel.with_all(curve(points, index + 4, &format!("base {base:.2}")));
            }
            panel
        })
        .collect()
}

/// A line with markers and its interval's ribbon: (x, value, low, high).
fn curve(points: impl Iterator<Item = (f64, f64, f64, f64)>, index: usize, name: &str) -> [Series; 3] {
    let points: Vec<_> = points.collect();
    let ink = Ink::Category(index);
    [
        Series::band(points.iter().filter(|p| p.2.is_finite()).map(|p| (p.0, p.2, p.3))).ink(ink),
        Series::line(points.iter().map(|p| (p.0, p.1))).ink(ink).label(name),
        Series::points(points.iter().map(|p| (p.0, p.1))).ink(ink).shape(Shape::of(index)).label(name),
    ]
}

fn accuracy_gain(row: &ContinuumRow) -> Estimate {
    Estimate {
        value: row.accuracy_gain,
        low: row.accuracy_gain_low,
        high: row.accuracy_gain_high,
        n: row.seeds,
    }
}

fn accuracy_change(row: &ContinuumRow) -> Estimate {
    Estimate {
        value: row.accuracy_change,
        low: row.accuracy_change_low,
        high: row.accuracy_change_high,
        n: row.seeds,
    }
}

fn nll_gain(row: &ContinuumRow) -> Estimate {
    Estimate {
        value: row.nll_gain_nats,
        low: row.nll_gain_low_nats,
        high: row.nll_gain_high_nats,
        n: row.seeds,
    }
}

fn same(a: f64, b: f64) -> bool {
    a.to_bits() == b.to_bits()
}

fn ascending(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.dedup();
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Verdict;

    #[test]
    fn neither_prevails_where_the_whole_interval_lies_within_both_bounds() {
        let verdict = |low: f64, high: f64| {
            let tie = Estimate { value: f64::midpoint(low, high), low, high, n: 16 };
            Claim::new("x/y", "B", "s").above(0.0, within(tie, 0.02), "t").verdict
        };
        assert_eq!(verdict(-0.01, 0.015), Verdict::Holds);
        assert_eq!(verdict(-0.03, 0.01), Verdict::Undecided);
        assert_eq!(verdict(0.01, 0.03), Verdict::Undecided);
        assert_eq!(verdict(0.03, 0.04), Verdict::DoesNotHold);
        assert_eq!(verdict(-0.04, -0.03), Verdict::DoesNotHold);
    }
}
