//! Paper B, the continuum: fine-tuning on noisy labels from a weak, a middling and a strong base.

use super::b_gradient_weight::pretty;
use crate::claim::{apart, estimate, least};
use crate::picture::curve;
use crate::table::{ascending, same};
use crate::{About, Claim, Declared, Estimate, Evidence, Expected, Run, Table, columns, exact};
use anyhow::{Context as _, Result};
use tokensieve_plot::{Axis, Drawing, Panel, Series};
use tokensieve_toy::continuum::{self, ContinuumConfig, ContinuumRow};
use tokensieve_toy::finetune::Step;

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
            caption: "Clean held-out accuracy minus that of −log *p* after fine-tuning on the same noisy labels, \
                      against the capability of the base model (its mean probability of the true label). Upper row: \
                      the same learning rate for all objectives. Middle row: every step as long as that of −log *p*. \
                      Ribbons: 95 % intervals over seeds, paired; the accuracy axes are linear within ±5 points. \
                      Lower row, at 30 % wrong labels: accuracy, −log *p*, and mean probability of the training \
                      labels for the family *f*_{α}, for three base models.",
            protocol: "A token has 16 features and one true label of 32 (the largest score under a random matrix). A \
                       document has 16 tokens, which share 30 % of the variance of their features. A linear softmax \
                       model is pre-trained with −log *p* on fresh clean tokens of a neighbouring domain (1 % of the \
                       variance of the true scores differs) until its mean probability of held-out true labels is \
                       0.03 (untrained), 0.1, 0.3, 0.55 or 0.75. It is then fine-tuned on 64 documents with wrong \
                       labels at the given rate (any of the 31 others): 4 epochs, 8 documents a step, plain gradient \
                       descent at rate 16, the rate of {2, 4, 8, 16, 32, 64} with the best mean accuracy of −log *p* \
                       over the map. 1,024 clean held-out tokens; 16 seeds, each with its own domain, base and \
                       training set, shared by all objectives.\n\nThe gradient of every step is divided by the \
                       number of tokens with a non-zero pull. grad-norm: the step has the objective's direction and \
                       the length that −log *p*'s step has on the same batch at the same weights.",
            deviations: &[
                "A softmax regression instead of a language model. The length of pre-training sets the capability; \
                 the domain shift leaves a strong base something to learn.",
                "Plain gradient descent instead of AdamW, which would hide part of the difference in step length \
                 between objectives.",
            ],
            columns: columns! {
                "objective": "name of the objective",
                "alpha": "α, where it is one of *f*_{α}",
                "step": "own: rate × gradient; grad-norm: as long as −log *p*'s step",
                "capability": "mean probability of held-out true labels before fine-tuning",
                "noise_rate": "share of wrong labels in the training set",
                "seeds": "number of seeds",
                "accuracy_before": "clean held-out accuracy before fine-tuning",
                "accuracy": "clean held-out accuracy after fine-tuning; _low, _high: 95 % interval (Student)",
                "accuracy_low": "lower end",
                "accuracy_high": "upper end",
                "accuracy_change": "after minus before, paired by seed",
                "accuracy_change_low": "lower end",
                "accuracy_change_high": "upper end",
                "accuracy_gain": "accuracy minus that of −log *p*, paired by seed",
                "accuracy_gain_low": "lower end",
                "accuracy_gain_high": "upper end",
                "nll_before_nats" in "nats": "clean held-out −log *p* before fine-tuning",
                "nll_nats" in "nats": "clean held-out −log *p* after fine-tuning",
                "nll_low_nats" in "nats": "lower end",
                "nll_high_nats" in "nats": "upper end",
                "nll_gain_nats" in "nats": "nll_nats of −log *p* minus that of this objective: above 0 is better",
                "nll_gain_low_nats" in "nats": "lower end",
                "nll_gain_high_nats" in "nats": "upper end",
                "training_likelihood_before": "mean probability of the training labels before",
                "training_likelihood": "the same after",
                "step_length": "mean length of a step in the weights",
            },
        }
    }

    fn table(&self, run: &Run) -> Result<Table> {
        let mut config = run.profile.pick(ContinuumConfig::smoke(), ContinuumConfig::default());
        config.domain = run.sized(config.domain);
        let seeds = run.seeds(&config, config.seeds, continuum::seed)?;
        Table::from_rows(&continuum::summarise(&config, &seeds)?)
    }

    fn draw(&self, table: &Table) -> Result<Drawing> {
        let rows: Vec<ContinuumRow> = table.rows()?;
        let noises = ascending(rows.iter().map(|row| row.noise_rate));
        let mut panels = Vec::new();
        for (step, title) in [(Step::Own, "same rate"), (Step::GradNorm, "same step length")] {
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
        let rows: Vec<ContinuumRow> = table.rows()?;
        let at = |step| Cells::new(rows.iter().filter(|row| row.step == step).cloned().collect());
        let (own, same_length) = (at(Step::Own)?, at(Step::GradNorm)?);
        let mut claims = Vec::new();
        for (suffix, claim) in &ENDS {
            claims.push(of_step(
                claim.tested(ID, &own),
                &format!("own{suffix}"),
                "at the same learning rate",
            ));
        }
        for (suffix, claim) in &ENDS {
            // The paper trains at one learning rate and does not discuss the length of a step.
            let claim = claim.tested(ID, &same_length).ours(ON_B);
            claims.push(of_step(claim, &format!("grad-norm{suffix}"), "at the same step length"));
        }
        claims.extend(OWN_STEP.iter().map(|claim| claim.tested(ID, &own)));
        Ok(claims)
    }
}

const ID: &str = "b-continuum";

/// A claim at one length of step, which is a claim of its own.
fn of_step(claim: Claim, id: &str, words: &str) -> Claim {
    let claim = claim.of_case(id, words);
    Claim { question: claim.id.clone(), ..claim }
}

/// The rows of one length of step, with the ends of the continuum named.
struct Cells {
    rows: Vec<ContinuumRow>,
    weak: f64,
    middle: f64,
    strong: f64,
}

impl Cells {
    fn new(rows: Vec<ContinuumRow>) -> Result<Self> {
        let capabilities = ascending(rows.iter().map(|row| row.capability));
        let (weak, strong) = capabilities.first().zip(capabilities.last()).context("an empty table")?;
        // The base next to the strong one: the paper's medical domain, 0.50 to 0.59.
        let middle = capabilities[capabilities.len().saturating_sub(2)];
        Ok(Self { weak: *weak, middle, strong: *strong, rows })
    }

    fn cell(&self, objective: &str, capability: f64, noise: f64) -> Option<&ContinuumRow> {
        let is = |row: &&ContinuumRow| {
            row.objective == objective && same(row.capability, capability) && same(row.noise_rate, noise)
        };
        self.rows.iter().find(is)
    }

    fn gain(&self, objective: &str, capability: f64, noise: f64) -> Option<Estimate> {
        self.cell(objective, capability, noise).map(accuracy_gain)
    }

    /// Accuracy at α = 1 minus accuracy at α = 0.1.
    fn rise(&self, capability: f64) -> Option<Estimate> {
        let at = |objective| self.gain(objective, capability, NOISE);
        Some(apart(at("-p")?, at("f_alpha(0.1)")?))
    }
}

const PAIRED: &str =
    "clean held-out accuracy minus that of −log *p*, paired by seed; mean, Student's 95 % interval";
const PAIRED_NLL: &str = "clean held-out −log *p* (nats) after training with −log *p*, minus the same after training with \
                          −*p*, paired by seed; mean, Student's 95 % interval";
const BEFORE_AFTER: &str =
    "clean held-out accuracy after minus before, paired by seed; mean, Student's 95 % interval";
const ALONG_ALPHA: &str = "accuracy at α = 1 minus at α = 0.1, 30 % wrong labels; the 95 % intervals of the two gains over \
                           −log *p*, combined to the widest difference";

/// −p against −log p at the two ends, at either length of step, which the id of a claim names before the suffix given here.
const ENDS: [(&str, Declared<Cells>); 10] = [
    gains(
        "strong-noise-30",
        "B, the continuum",
        "Strong base, 30 % wrong labels: −*p* beats −log *p*.",
        Expected::Above(0.0),
        |cells| cells.gain("-p", cells.strong, 0.3),
    ),
    (
        "-nll",
        Declared {
            id: "strong-noise-30",
            source: ON_B,
            evidence: Evidence::Ours,
            statement: "Strong base, 30 % wrong labels: −*p* beats −log *p*, measured in −log *p*.",
            test: PAIRED_NLL,
            expected: Expected::Above(0.0),
            effect: |cells| cells.cell("-p", cells.strong, 0.3).map(nll_gain),
        },
    ),
    gains(
        "strong-noise-50",
        "B, the continuum",
        "Strong base, 50 % wrong labels: −*p* beats −log *p*.",
        Expected::Above(0.0),
        |cells| cells.gain("-p", cells.strong, 0.5),
    ),
    (
        "-nll",
        Declared {
            id: "strong-noise-50",
            source: ON_B,
            evidence: Evidence::Ours,
            statement: "Strong base, 50 % wrong labels: −*p* beats −log *p*, measured in −log *p*.",
            test: PAIRED_NLL,
            expected: Expected::Above(0.0),
            effect: |cells| cells.cell("-p", cells.strong, 0.5).map(nll_gain),
        },
    ),
    gains(
        "strong-noise-30-p10",
        "B, abstract",
        "Strong base, 30 % wrong labels: −*p*^{10} beats −log *p*.",
        Expected::Above(0.0),
        |cells| cells.gain("-p^10", cells.strong, NOISE),
    ),
    gains(
        "strong-clean-p10",
        "B, abstract",
        "Strong base, clean labels: −*p*^{10} beats −log *p* even without noise.",
        Expected::Above(0.0),
        |cells| cells.gain("-p^10", cells.strong, 0.0),
    ),
    gains(
        "weak-noise-0",
        "B, the continuum",
        "Weak base, 0 % wrong labels: −log *p* beats −*p*.",
        Expected::Below(0.0),
        |cells| cells.gain("-p", cells.weak, 0.0),
    ),
    gains(
        "weak-noise-30",
        "B, the continuum",
        "Weak base, 30 % wrong labels: −log *p* beats −*p*.",
        Expected::Below(0.0),
        |cells| cells.gain("-p", cells.weak, 0.3),
    ),
    gains(
        "strong-clean",
        "B, the continuum",
        "Strong base, clean labels: −*p* beats −log *p* even without noise.",
        Expected::Above(0.0),
        |cells| cells.gain("-p", cells.strong, 0.0),
    ),
    gains(
        "threshold",
        "B, the continuum",
        "Strong base, 30 % wrong labels: leaving out p < 0.2 beats −log *p* on all tokens.",
        Expected::Above(0.0),
        |cells| cells.gain("-log p, p >= 0.2", cells.strong, NOISE),
    ),
];

/// A claim of the paper's about the accuracy over −log *p*'s.
const fn gains(
    id: &'static str,
    source: &'static str,
    statement: &'static str,
    expected: Expected,
    effect: fn(&Cells) -> Option<Estimate>,
) -> (&'static str, Declared<Cells>) {
    ("", Declared { id, source, evidence: Evidence::Proxy, statement, test: PAIRED, expected, effect })
}

/// Claims about training at the same learning rate: the middle of the continuum, the check with wrong labels, the sweep of α,
/// the training likelihood.
const OWN_STEP: [Declared<Cells>; 6] = [
    Declared {
        id: "middle-neither",
        source: "B, the continuum",
        evidence: Evidence::Proxy,
        statement: "In between neither prevails, whatever the share of wrong labels: −*p* and −log *p* are less than 2 points apart.",
        test: "clean held-out accuracy minus that of −log *p*, paired by seed, its distance to the nearer of ±0.02, positive between \
               them, the least over all shares of wrong labels; mean, Student's 95 % interval, its upper end corrected for their \
               number (Bonferroni)",
        expected: Expected::Above(0.0),
        effect: |cells| {
            let noises = ascending(cells.rows.iter().map(|row| row.noise_rate));
            let gain = |noise| cells.gain("-p", cells.middle, noise);
            least(noises.into_iter().filter_map(gain).map(|gain| within(gain, POINTS)))
        },
    },
    Declared {
        id: "wrong-30-log",
        source: "B, OpenBookQA with 30 % wrong labels (27.2 against 85.0)",
        evidence: Evidence::Proxy,
        statement: "Training on 30 % wrong labels with −log *p* makes a strong model worse than its base.",
        test: BEFORE_AFTER,
        expected: Expected::Below(0.0),
        effect: |cells| cells.cell("-log p", cells.strong, NOISE).map(accuracy_change),
    },
    Declared {
        id: "wrong-30-p",
        source: "B, OpenBookQA with 30 % wrong labels (27.2 against 85.0)",
        evidence: Evidence::Proxy,
        statement: "Training on 30 % wrong labels with −*p* costs a strong model less than a point of accuracy.",
        test: BEFORE_AFTER,
        expected: Expected::Above(-0.01),
        effect: |cells| cells.cell("-p", cells.strong, NOISE).map(accuracy_change),
    },
    Declared {
        id: "alpha-weak",
        source: "B, figure 6",
        evidence: Evidence::Proxy,
        statement: "At the weak end accuracy falls from α = 0.1 to α = 1.",
        test: ALONG_ALPHA,
        expected: Expected::Below(0.0),
        effect: |cells| cells.rise(cells.weak),
    },
    Declared {
        id: "alpha-strong",
        source: "B, figure 6",
        evidence: Evidence::Proxy,
        statement: "At the strong end accuracy rises from α = 0.1 to α = 1.",
        test: ALONG_ALPHA,
        expected: Expected::Above(0.0),
        effect: |cells| cells.rise(cells.strong),
    },
    Declared {
        id: "training-likelihood",
        source: "B, mean training likelihood (0.65 against 0.32)",
        evidence: Evidence::Check,
        statement: "At the weak end −log *p* raises the training labels' probability further than −*p* does.",
        test: "mean probability of the training labels after training on clean labels, −log *p* minus −*p*",
        expected: Expected::Above(0.0),
        effect: |cells| {
            let likelihood = |objective| Some(cells.cell(objective, cells.weak, 0.0)?.training_likelihood);
            Some(exact(likelihood("-log p")? - likelihood("-p")?))
        },
    },
];

/// The source of what we measure or hold equal beside the paper.
const ON_B: &str = "ours, on B, the continuum";

/// From how large a difference in accuracy on one of two objectives prevails (choice).
const POINTS: f64 = 0.02;

/// How far an estimate lies within two bounds around zero: one claim, by the nearer of them.
fn within(estimate: Estimate, bound: f64) -> Estimate {
    let Estimate { value, low, high, .. } = estimate;
    Estimate {
        value: bound - value.abs(),
        low: (low + bound).min(bound - high),
        high: (high + bound).min(bound - low),
        ..estimate
    }
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
            let step = if title == "Same rate" { Step::Own } else { Step::GradNorm };
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

fn accuracy_gain(row: &ContinuumRow) -> Estimate {
    estimate([row.accuracy_gain, row.accuracy_gain_low, row.accuracy_gain_high], row.seeds)
}

fn accuracy_change(row: &ContinuumRow) -> Estimate {
    estimate([row.accuracy_change, row.accuracy_change_low, row.accuracy_change_high], row.seeds)
}

fn nll_gain(row: &ContinuumRow) -> Estimate {
    estimate([row.nll_gain_nats, row.nll_gain_low_nats, row.nll_gain_high_nats], row.seeds)
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
