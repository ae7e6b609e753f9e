//! The seam of both papers: which band of token probability to train on, by capability and label noise.

use crate::claim::{OURS, apart, estimate};
use crate::table::same;
use crate::{About, Claim, Declared, Estimate, Evidence, Expected, Run, Table, columns, exact};
use anyhow::{Context as _, Result};
use tokensieve_base::statistics;
use tokensieve_plot::{Axis, Cell, Colours, Drawing, Ink, Panel, Series, Shape};
use tokensieve_toy::finetune::Step;
use tokensieve_toy::seam::{self, SeamConfig, SeamRow};

/// The figure.
pub(super) struct Figure;

const QUARTERS: [&str; 4] =
    ["lowest quarter of *p*", "second quarter", "third quarter", "highest quarter of *p*"];

impl crate::Figure for Figure {
    fn about(&self) -> About {
        About {
            id: "seam",
            title: "Which tokens to train on, by capability and label noise",
            source: "A (hardest quarter, rest distilled) and B (improbable tokens harm) in one map; ours",
            caption: "Clean held-out accuracy minus that of plain maximum likelihood when only one quarter of each \
                      batch, by the label's probability, is trained on. A–D: the rest is not trained on. E–H: the \
                      rest is distilled from the model trained on everything. Orange is a gain, blue a loss (beyond \
                      0.2 the colours are as at 0.2); rings mark cells whose 95 % interval includes 0. I, J: the \
                      lowest quarter, which paper A trains on, against noise, for every base. K: the noise rate up \
                      to which it gains, by base (95 % intervals). L: the quarter that does best, where its interval \
                      lies above 0 (curves offset for legibility); the grey line marks a band that begins where the \
                      wrong labels end.",
            protocol: "Domain, model, bases and fine-tuning are those of b-continuum. For every base and noise rate, \
                       plain maximum likelihood is trained first: it is both the baseline and, where the rest is \
                       distilled, the reference. Every arm then starts from the same base on the same batches. It \
                       trains with −log *p* on the quarter of the batch's 128 tokens whose label probability under \
                       the current model lies between the given quantiles, and with nothing or with the \
                       cross-entropy to the reference on the rest. Gains are paired by seed; 24 seeds, Student's 95 \
                       % intervals. The gradient is divided by the number of tokens with a non-zero pull. grad-norm: \
                       the step is as long as the step of −log *p* on all tokens of the same batch at the same \
                       weights.",
            deviations: &[
                "No published work has this map. Model, sizes and rates are ours, and so are all its claims: neither \
                 paper trains a softmax regression on wrong labels.",
            ],
            columns: columns! {
                "band_low": "lower quantile of the band trained on; empty: pure distillation",
                "band_high": "upper quantile",
                "rest": "training on the rest: none or distil",
                "step": "own: rate × gradient; grad-norm: as long as plain −log *p*'s step",
                "capability": "mean probability of held-out true labels before fine-tuning",
                "noise_rate": "share of wrong labels in the training set",
                "seeds": "number of seeds",
                "wrong_share": "share of wrong labels among those trained on",
                "accuracy_before": "clean held-out accuracy before fine-tuning",
                "accuracy_mle": "clean held-out accuracy of plain maximum likelihood",
                "accuracy": "clean held-out accuracy of the arm",
                "accuracy_gain": "accuracy − accuracy_mle, paired by seed",
                "accuracy_gain_low": "lower end of its 95 % interval",
                "accuracy_gain_high": "upper end",
                "nll_mle_nats" in "nats": "clean held-out −log *p* of plain maximum likelihood",
                "nll_nats" in "nats": "clean held-out −log *p* of the arm",
                "nll_gain_nats" in "nats": "nll_mle_nats − nll_nats, paired by seed: above 0 is better",
                "nll_gain_low_nats" in "nats": "lower end of its 95 % interval",
                "nll_gain_high_nats" in "nats": "upper end",
            },
        }
    }

    fn table(&self, run: &Run) -> Result<Table> {
        let mut config = run.profile.pick(SeamConfig::smoke(), SeamConfig::default());
        config.domain = run.sized(config.domain);
        let seeds = run.seeds(&config, config.seeds, seam::seed)?;
        Table::from_rows(&seam::summarise(&config, &seeds)?)
    }

    fn draw(&self, table: &Table) -> Result<Drawing> {
        let map = Map::new(table)?;
        let mut panels = Vec::new();
        for rest in ["none", "distil"] {
            for band in 0..QUARTERS.len() {
                panels.push(map.heat(band, rest));
            }
        }
        panels.push(map.lowest("none", "Lowest quarter alone"));
        panels.push(map.lowest("distil", "Lowest quarter, rest distilled"));
        panels.push(map.crossovers());
        panels.push(map.best());
        let colours = Colours::diverging("accuracy over plain maximum likelihood", 0.2);
        Ok(Drawing::new(panels).columns(4).width(1120.0).panel_height(190.0).colours(colours))
    }

    fn claims(&self, table: &Table) -> Result<Vec<Claim>> {
        let map = Map::new(table)?;
        let mut claims = Vec::new();
        for (rest, words) in [("none", "the rest not trained on"), ("distil", "the rest distilled")] {
            claims.extend(map.gains_when_clean(rest, words));
            claims.extend(map.harms(rest, words));
        }
        claims.extend(COMPARED.iter().map(|claim| claim.tested("seam", &map)));
        // Cells of a design are no sample: they have no interval to decide by.
        let described = FOLLOWS_NOISE.tested("seam", &map);
        let reason = "a description and not a test: the cells of the map were chosen and not drawn at random";
        claims.extend([described.not_tested(reason), LOWEST_IS_NOISE.tested("seam", &map)]);
        Ok(claims)
    }
}

const ON_A_3: &str = "ours, on A, figure 3";
const ON_A_5: &str = "ours, on A, figure 5";
const PAIRED: &str =
    "clean held-out accuracy minus plain maximum likelihood's, paired by seed; mean, Student's 95 % interval";
const APART: &str = "difference of the two gains; their 95 % intervals are combined to the widest difference";
/// The share of wrong labels at which harm is asked for.
const NOISE: f64 = 0.3;

const COMPARED: [Declared<Map>; 4] = [
    Declared {
        id: "top-over-bottom",
        source: ON_B,
        evidence: Evidence::Check,
        statement: "Strong model, 30 % wrong labels: the highest quarter alone beats the lowest quarter alone.",
        test: APART,
        expected: Expected::Above(0.0),
        effect: |map| map.difference((3, "none"), (0, "none"), map.strong, NOISE),
    },
    Declared {
        id: "bottom-over-top",
        source: ON_A_3,
        evidence: Evidence::Ours,
        statement: "Weak model, clean labels: the lowest quarter alone beats the highest quarter alone.",
        test: APART,
        expected: Expected::Above(0.0),
        effect: |map| map.difference((0, "none"), (3, "none"), map.weak, 0.0),
    },
    Declared {
        id: "distil-protects-weak",
        source: ON_A_5,
        evidence: Evidence::Ours,
        statement: "Distilling the rest lessens the harm of the lowest quarter at 30 % wrong labels (weak model).",
        test: APART,
        expected: Expected::Above(0.0),
        effect: |map| map.difference((0, "distil"), (0, "none"), map.weak, NOISE),
    },
    Declared {
        id: "distil-protects-strong",
        source: ON_A_5,
        evidence: Evidence::Check,
        statement: "Distilling the rest lessens the harm of the lowest quarter at 30 % wrong labels (strong model).",
        test: APART,
        expected: Expected::Above(0.0),
        effect: |map| map.difference((0, "distil"), (0, "none"), map.strong, NOISE),
    },
];

const FOLLOWS_NOISE: Declared<Map> = Declared {
    id: "best-band-follows-noise",
    source: OURS,
    evidence: Evidence::Ours,
    statement: "The quarter that does best moves up with the share of wrong labels.",
    test: "Spearman's correlation of the noise rate with the best quarter's middle quantile over bases and noise rates",
    expected: Expected::Above(0.0),
    effect: |map| {
        let (noise, middle): (Vec<f64>, Vec<f64>) = map.best_bands("none", Step::Own).into_iter().unzip();
        statistics::spearman(&noise, &middle).map(exact)
    },
};

const LOWEST_IS_NOISE: Declared<Map> = Declared {
    id: "lowest-is-noise",
    source: OURS,
    evidence: Evidence::Check,
    statement: "A strong model's lowest quarter at 30 % wrong labels is nearly all wrong labels.",
    test: "share of wrong labels among those trained on, mean over seeds",
    expected: Expected::Above(0.9),
    effect: |map| map.cell(0, "none", Step::Own, map.strong, NOISE).map(|row| exact(row.wrong_share)),
};

impl Map {
    /// That paper A's choice gains on clean labels, for every base, at the same rate and at the same length of step.
    fn gains_when_clean(&self, rest: &str, words: &str) -> Vec<Claim> {
        let mut claims = Vec::new();
        for capability in &self.capabilities {
            for (step, suffix, how) in
                [(Step::Own, "", "rate"), (Step::GradNorm, "-grad-norm", "step length")]
            {
                let statement = format!(
                    "Base of capability {capability:.2}, clean labels: at the same {how}, training on the lowest quarter, \
                     {words}, beats plain maximum likelihood."
                );
                let id = format!("seam/clean-{rest}-{:.0}{suffix}", 100.0 * capability);
                let gain = self.cell(0, rest, step, *capability, 0.0).map(|row| gain(&row));
                claims.push(Claim::new(&id, ON_A_3, &statement).above(0.0, gain, PAIRED));
            }
        }
        claims
    }

    /// That it harms under noise, at the same rate and at the same length of step.
    fn harms(&self, rest: &str, words: &str) -> Vec<Claim> {
        let mut claims = Vec::new();
        // More labels are wrong than the quarter has: nearly all of a strong model's lowest quarter are.
        for (name, capability, evidence) in
            [("weak", self.weak, Evidence::Ours), ("strong", self.strong, Evidence::Check)]
        {
            for (step, suffix, statement) in [
                (
                    Step::Own,
                    "",
                    format!("With 30 % wrong labels the lowest quarter harms a {name} model ({words})."),
                ),
                (
                    Step::GradNorm,
                    "-grad-norm",
                    format!(
                        "At the same step length, too, the lowest quarter harms a {name} model with 30 % wrong labels ({words})."
                    ),
                ),
            ] {
                let id = format!("seam/harm-{rest}-{name}{suffix}");
                let gain = self.cell(0, rest, step, capability, NOISE).map(|row| gain(&row));
                let claim = Claim::new(&id, ON_B, &statement).by(evidence);
                claims.push(claim.below(0.0, gain, PAIRED));
            }
        }
        claims
    }
}

/// The source of claims that paper B makes about language models and we test on a toy.
const ON_B: &str = "ours, on B, figure 5";

/// The table by its dimensions.
struct Map {
    rows: Vec<SeamRow>,
    capabilities: Vec<f64>,
    noises: Vec<f64>,
    /// The least and the most capable base.
    weak: f64,
    strong: f64,
}

impl Map {
    fn new(table: &Table) -> Result<Self> {
        let rows: Vec<SeamRow> = table.rows()?;
        // By its full path: the imports of this file are in the cache's key.
        let capabilities = crate::table::distinct(rows.iter().map(|row| row.capability));
        let noises = crate::table::distinct(rows.iter().map(|row| row.noise_rate));
        let (weak, strong) = capabilities.first().zip(capabilities.last()).context("an empty table")?;
        Ok(Self { weak: *weak, strong: *strong, rows, capabilities, noises })
    }

    /// All noise rates of one arm, ascending.
    fn arm(&self, band: usize, rest: &str, step: Step, capability: f64) -> Vec<SeamRow> {
        let low = band as f64 / QUARTERS.len() as f64;
        let here = self.rows.iter().filter(|row| {
            row.band_low.is_some_and(|from| same(from, low))
                && row.rest == rest
                && row.step == step
                && same(row.capability, capability)
        });
        here.cloned().collect()
    }

    fn cell(&self, band: usize, rest: &str, step: Step, capability: f64, noise: f64) -> Option<SeamRow> {
        self.arm(band, rest, step, capability).into_iter().find(|row| same(row.noise_rate, noise))
    }

    /// Gain of one arm over another.
    fn difference(
        &self,
        one: (usize, &str),
        other: (usize, &str),
        capability: f64,
        noise: f64,
    ) -> Option<Estimate> {
        let of = |(band, rest)| self.cell(band, rest, Step::Own, capability, noise).map(|row| gain(&row));
        Some(apart(of(one)?, of(other)?))
    }

    /// (noise rate, middle quantile of the quarter with the largest mean accuracy) of every base and noise rate.
    fn best_bands(&self, rest: &str, step: Step) -> Vec<(f64, f64)> {
        let cells = self.capabilities.iter().flat_map(|c| self.noises.iter().map(move |n| (*c, *n)));
        cells
            .filter_map(|(capability, noise)| {
                Some((noise, middle(&self.best_band(rest, step, capability, noise)?)?))
            })
            .collect()
    }

    fn best_band(&self, rest: &str, step: Step, capability: f64, noise: f64) -> Option<SeamRow> {
        let bands = (0..QUARTERS.len()).filter_map(|band| self.cell(band, rest, step, capability, noise));
        bands.max_by(|a, b| a.accuracy_gain.total_cmp(&b.accuracy_gain))
    }

    fn capability_axis(&self) -> Axis {
        Axis::categories("capability of the base", self.capabilities.iter().map(|c| format!("{c:.2}")))
    }

    fn noise_axis(&self) -> Axis {
        Axis::categories("wrong labels", self.noises.iter().map(|n| format!("{:.0} %", 100.0 * n)))
    }

    /// One quarter's map over base and noise.
    fn heat(&self, band: usize, rest: &str) -> Panel {
        let mut cells = Vec::new();
        let mut unclear = Vec::new();
        for (x, capability) in self.capabilities.iter().enumerate() {
            for (y, noise) in self.noises.iter().enumerate() {
                let Some(row) = self.cell(band, rest, Step::Own, *capability, *noise) else { continue };
                let (x, y) = (x as f64, y as f64);
                cells.push(Cell { x: (x - 0.5, x + 0.5), y: (y - 0.5, y + 0.5), value: row.accuracy_gain });
                if row.accuracy_gain_low <= 0.0 && row.accuracy_gain_high >= 0.0 {
                    unclear.push((x, y));
                }
            }
        }
        let y = if band == 0 { self.noise_axis() } else { self.noise_axis().quiet() };
        let x = self.capability_axis();
        let title = if rest == "none" {
            QUARTERS[band].to_owned()
        } else {
            format!("{}, rest distilled", short(band))
        };
        Panel::new(&title, x, y).with(Series::cells(cells)).with(
            Series::points(unclear)
                .ink(Ink::Muted)
                .shape(Shape::Ring)
                .size(3.5)
                .label("95 % interval includes 0"),
        )
    }

    /// The lowest quarter's gain against noise, one curve per base.
    fn lowest(&self, rest: &str, title: &str) -> Panel {
        let y = Axis::linear("accuracy over plain");
        let mut panel =
            Panel::new(title, Axis::linear("wrong labels").percent(), y).with(Series::horizontal(0.0));
        let last = self.capabilities.len().saturating_sub(1).max(1) as f64;
        for (index, capability) in self.capabilities.iter().enumerate() {
            let rows = self.arm(0, rest, Step::Own, *capability);
            let ink = Ink::Sequence(index as f64 / last);
            let band = rows.iter().map(|row| (row.noise_rate, row.accuracy_gain_low, row.accuracy_gain_high));
            let line = rows.iter().map(|row| (row.noise_rate, row.accuracy_gain));
            panel = panel
                .with(Series::band(band).ink(ink))
                .with(Series::line(line).ink(ink).label(&format!("base {capability:.2}")));
        }
        panel
    }

    /// The noise rate up to which the lowest quarter gains, by base.
    fn crossovers(&self) -> Panel {
        let arms = [
            ("none", Step::Own, "alone, same rate"),
            ("none", Step::GradNorm, "alone, same step length"),
            ("distil", Step::Own, "rest distilled, same rate"),
            ("distil", Step::GradNorm, "rest distilled, same step length"),
        ];
        let y = Axis::linear("wrong labels").percent();
        let mut panel = Panel::new("Lowest quarter gains up to", self.capability_axis(), y);
        for (index, (rest, step, name)) in arms.into_iter().enumerate() {
            let ink = Ink::Category(index);
            // Side by side, so that intervals do not hide each other.
            let place = |x: usize| x as f64 + 0.16 * (index as f64 - 1.5);
            let estimates: Vec<(f64, Estimate)> = (self.capabilities.iter().enumerate())
                .filter_map(|(x, c)| Some((place(x), seam::crossover(&self.arm(0, rest, step, *c))?)))
                .collect();
            panel = panel
                .with(Series::error_bars(estimates.iter().map(|(x, e)| (*x, e.low, e.high))).ink(ink))
                .with(
                    Series::points(estimates.iter().map(|(x, e)| (*x, e.value)))
                        .ink(ink)
                        .shape(Shape::of(index))
                        .label(name),
                );
        }
        panel
    }

    /// The best quarter against noise, one curve per base; drawn only where it beats training on everything.
    fn best(&self) -> Panel {
        let ticks = [(0.125, "1st"), (0.375, "2nd"), (0.625, "3rd"), (0.875, "4th")];
        let y = Axis::linear("best quarter").range(0.0, 1.0).ticks(ticks);
        let ends = [0.0, self.noises.last().copied().unwrap_or(1.0)];
        let rule = Series::line(ends.map(|noise| (noise, noise))).ink(Ink::Muted).dashed();
        let mut panel = Panel::new("Best quarter, alone", Axis::linear("wrong labels").percent(), y)
            .with(rule.label("quantile = share of wrong labels"));
        let last = self.capabilities.len().saturating_sub(1).max(1) as f64;
        for (index, capability) in self.capabilities.iter().enumerate() {
            let ink = Ink::Sequence(index as f64 / last);
            // Curves of different bases often coincide: each is drawn a little above the one before.
            let lift = 0.03 * (index as f64 - last / 2.0);
            let line = self.noises.iter().map(|noise| {
                let best = self
                    .best_band("none", Step::Own, *capability, *noise)
                    .filter(|best| best.accuracy_gain_low > 0.0);
                (*noise, best.as_ref().and_then(middle).map_or(f64::NAN, |middle| middle + lift))
            });
            panel =
                panel.with(Series::line(line.clone()).ink(ink)).with(Series::points(line).ink(ink).size(3.5));
        }
        panel
    }
}

/// Middle quantile of a row's band.
fn middle(row: &SeamRow) -> Option<f64> {
    Some(f64::midpoint(row.band_low?, row.band_high?))
}

fn short(band: usize) -> &'static str {
    ["lowest", "second", "third", "highest"][band]
}

fn gain(row: &SeamRow) -> Estimate {
    estimate([row.accuracy_gain, row.accuracy_gain_low, row.accuracy_gain_high], row.seeds)
}
