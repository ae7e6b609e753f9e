//! Paper A, section 3: which examples help as training goes on, by kind of uncertainty.

use crate::claim::OURS;
use crate::{About, Claim, Declared, Evidence, Expected, Run, Table, columns};
use anyhow::{Context as _, Result};
use std::collections::BTreeSet;
use tokensieve_base::statistics::{Estimate, mean_interval};
use tokensieve_plot::{Axis, Drawing, Ink, Panel, Series, Shape};
use tokensieve_toy::images::DataSet;
use tokensieve_toy::label_noise_uncertainty::{LabelNoiseConfig, LabelNoiseRow, Noise, run as measure};

/// The figure.
pub(super) struct Figure;

/// One of the table's columns.
type Quantity = fn(&LabelNoiseRow) -> f64;

impl crate::Figure for Figure {
    fn about(&self) -> About {
        About {
            id: "a-mnist-uncertainty",
            title: "Which examples help early and late: label noise, uncertainty and benefit",
            source: "A, section 3 and appendix C",
            caption: "A, B: rank correlation, over the probe examples, between the benefit of an example (how much a \
                      small step on it lowers the loss on clean images) and its uncertainty, during training. Labels \
                      are flipped at a rate that belongs to the class (A) or to the single example (B). C: mean \
                      epistemic uncertainty of the third of the examples with the least and with the most label \
                      noise (by class). D: spread of epistemic uncertainty over examples (standard deviation divided \
                      by mean). Mean and 95 % interval over seeds.",
            protocol: "Network 784-32-16-10 with ReLU and dropout 0.2 on both hidden layers; plain gradient descent, \
                       learning rate 0.05, batch 64, on 50,000 training images. Each label is flipped to one of the \
                       other nine with a known probability of 0 to 0.8. The rates are spaced evenly and assigned to \
                       the classes by the seed; in the control they are drawn per example.\n\nAt each checkpoint \
                       1,000 probe images, which are never trained on, are scored by three quantities. Aleatoric \
                       uncertainty is the flip rate (the label's entropy has the same ranks). Epistemic uncertainty \
                       is BALD over 100 passes with dropout. The benefit is the inner product of the gradient of the \
                       loss on 2,000 clean test images with the gradient of the example's loss on its noisy label: \
                       to first order, the decrease of the loss by a small step.",
            deviations: &[
                "The paper states the observation without a protocol: network, noise, dropout, checkpoints and the \
                 measure of benefit are our choices.",
                "We interpret the paper's \"beginning\" in two ways (before the first step; the first hundred \
                 steps), its \"later\" as the last checkpoint, and its decrease in two ways (between the last two \
                 checkpoints; over all of training). These interpretations were fixed after a first look at the \
                 data. They disagree, so all of them are reported.",
                "Noise by example is a control: nothing in the image indicates it, so no uncertainty can follow it.",
            ],
            columns: columns! {
                "dataset": "set of images",
                "noise": "what a flip rate belongs to: `class` or `example`",
                "seed": "seed of weights, noise, order and dropout",
                "step": "training steps so far",
                "test_accuracy": "share of the clean test images classified correctly",
                "benefit_aleatoric_rho": "Spearman of benefit and flip rate",
                "benefit_epistemic_rho": "Spearman of benefit and BALD",
                "benefit_epistemic_low_noise_rho": "the same among the third of the examples with the lowest flip \
                                                    rates",
                "benefit_model_aleatoric_rho": "Spearman of benefit and the model's own aleatoric uncertainty, mean \
                                                entropy over passes",
                "epistemic_aleatoric_rho": "Spearman of BALD and flip rate",
                "epistemic_spread": "standard deviation of BALD over examples, divided by its mean",
                "epistemic_low_noise_nats" in "nats": "mean BALD, third with the lowest flip rates",
                "epistemic_high_noise_nats" in "nats": "mean BALD, third with the highest flip rates",
            },
        }
    }

    fn table(&self, run: &Run) -> Result<Table> {
        let config = run.profile.pick(LabelNoiseConfig::smoke(), LabelNoiseConfig::default());
        if run.synthetic_data() {
            // As many as of real images are minutes on an emulated processor.
            let (train_images, probe_images, held_out_images) = (400, 60, 30);
            let (passes, checkpoints) = (5, vec![0, 5, 15]);
            let config = LabelNoiseConfig {
                train_images,
                probe_images,
                held_out_images,
                passes,
                checkpoints,
                ..config
            };
            let images = config.train_images + config.probe_images;
            let data = DataSet::synthetic(3, images, config.held_out_images);
            return Table::from_rows(&run.cached("synthetic", &config, || measure(&config, &data))?);
        }
        let files = run.data("mnist")?;
        let rows = run.cached(files.name(), &config, || {
            let folder = files.path("train-images").parent().context("a file lies in a folder")?;
            anyhow::Ok(measure(&config, &DataSet::load(files.name(), folder)?)?)
        })?;
        Table::from_rows(&rows)
    }

    fn draw(&self, table: &Table) -> Result<Drawing> {
        let rows: Vec<LabelNoiseRow> = table.rows()?;
        let by_class = |row: &&LabelNoiseRow| row.noise == Noise::Class;
        let class: Vec<&LabelNoiseRow> = rows.iter().filter(by_class).collect();
        let example: Vec<&LabelNoiseRow> = rows.iter().filter(|row| row.noise == Noise::Example).collect();
        // The first decade and the start of training share the axis.
        let steps = || {
            let ticks = [
                (0.0, "0"),
                (30.0, "30"),
                (100.0, "100"),
                (300.0, "300"),
                (1e3, "1 k"),
                (3e3, "3 k"),
                (1e4, "10 k"),
            ];
            Axis::symlog("training steps", 30.0).ticks(ticks)
        };
        let correlations = |rows: &[&LabelNoiseRow], title: &str| {
            let mut panel =
                Panel::new(title, steps(), Axis::linear("rank correlation with benefit").range(-0.5, 0.5))
                    .with(Series::horizontal(0.0).ink(Ink::Muted));
            let curves: [(&str, Quantity); 3] = [
                ("aleatoric (flip rate)", |row| row.benefit_aleatoric_rho),
                ("epistemic (BALD)", |row| row.benefit_epistemic_rho),
                ("epistemic, low-noise third", |row| row.benefit_epistemic_low_noise_rho),
            ];
            for (index, (name, of)) in curves.into_iter().enumerate() {
                panel = with_curve(panel, &along(rows, of), index, name);
            }
            panel
        };
        let mut levels = Panel::new("noise by class", steps(), Axis::log("mean BALD (nats)"));
        levels =
            with_curve(levels, &along(&class, |row| row.epistemic_low_noise_nats), 3, "least label noise");
        levels =
            with_curve(levels, &along(&class, |row| row.epistemic_high_noise_nats), 4, "most label noise");
        let mut spread = Panel::new(
            "both kinds of noise",
            steps(),
            Axis::linear("relative spread of BALD").range(0.0, 0.9),
        );
        spread = with_curve(spread, &along(&class, |row| row.epistemic_spread), 5, "noise by class");
        spread = with_curve(spread, &along(&example, |row| row.epistemic_spread), 6, "noise by example");
        let panels = [
            correlations(&class, "noise by class"),
            correlations(&example, "noise by example"),
            levels,
            spread,
        ];
        Ok(Drawing::new(panels).columns(2).panel_height(210.0))
    }

    fn claims(&self, table: &Table) -> Result<Vec<Claim>> {
        let rows: Vec<LabelNoiseRow> = table.rows()?;
        let mut claims = Vec::new();
        for noise in [Noise::Class, Noise::Example] {
            let runs = rows.chunk_by(|a, b| (a.noise, a.seed) == (b.noise, b.seed));
            let of_noise = runs.filter(|run| run[0].noise == noise && run.len() > 1);
            let runs = Runs(of_noise.map(<[LabelNoiseRow]>::to_vec).collect());
            let tested = |claim: &Declared<Runs>| claim.tested("a-mnist-uncertainty", &runs);
            if noise == Noise::Class {
                let all = OF_ALL_NOISE.iter().chain(&OF_CLASSES);
                claims.extend(all.map(|claim| tested(claim).of_case("by-class", "noise by class")));
            } else {
                // A control, which the paper does not mention.
                let ours = |claim| tested(claim).ours(OURS);
                claims.extend(
                    OF_ALL_NOISE.iter().map(|claim| ours(claim).of_case("by-example", "noise by example")),
                );
            }
        }
        Ok(claims)
    }
}

/// The runs under one kind of noise, each with its checkpoints.
struct Runs(Vec<Vec<LabelNoiseRow>>);

impl Runs {
    /// A quantity of each run: mean and interval over seeds.
    fn over(&self, of: fn(&[LabelNoiseRow]) -> f64) -> Option<Estimate> {
        mean_interval(&self.0.iter().map(|run| of(run)).collect::<Vec<f64>>())
    }
}

const SOURCE: &str = "A, section 3";

const OF_ALL_NOISE: [Declared<Runs>; 4] = [
    Declared {
        id: "low-noise-first",
        source: SOURCE,
        evidence: Evidence::Paper,
        statement: "Before the first step, examples with little label noise help most.",
        test: "Spearman of benefit and flip rate before the first step; mean over seeds, Student's 95 % interval",
        expected: Expected::Below(0.0),
        effect: |runs| runs.over(|run| run[0].benefit_aleatoric_rho),
    },
    Declared {
        id: "low-noise-early",
        source: SOURCE,
        evidence: Evidence::Paper,
        statement: "In the first hundred steps, examples with little label noise still help most.",
        test: "Spearman of benefit and flip rate, mean of the checkpoints from step 1 to step 100; mean over seeds, Student's 95 % \
               interval",
        expected: Expected::Below(0.0),
        effect: |runs| runs.over(early),
    },
    Declared {
        id: "early-uniform",
        source: SOURCE,
        evidence: Evidence::Paper,
        statement: "Epistemic uncertainty is more uniform over examples at the start than at the end.",
        test: "log ratio of BALD's relative spread, first to last checkpoint, paired by seed",
        expected: Expected::Below(0.0),
        effect: |runs| runs.over(|run| libm::log(run[0].epistemic_spread / last(run).epistemic_spread)),
    },
    Declared {
        id: "late-epistemic",
        source: SOURCE,
        evidence: Evidence::Paper,
        statement: "At the end, more than at the start, examples with high epistemic uncertainty help most.",
        test: "Spearman of benefit and BALD, last checkpoint minus first, paired by seed",
        expected: Expected::Above(0.0),
        effect: |runs| runs.over(|run| last(run).benefit_epistemic_rho - run[0].benefit_epistemic_rho),
    },
];

const OF_CLASSES: [Declared<Runs>; 2] = [
    Declared {
        id: "falls-faster-late",
        source: SOURCE,
        evidence: Evidence::Paper,
        statement: "Late, epistemic uncertainty decreases faster where there is little label noise.",
        test: "change of log(mean BALD of the low-noise third / of the high-noise third) between the last two checkpoints, \
               paired by seed",
        expected: Expected::Below(0.0),
        effect: |runs| runs.over(|run| contrast(last(run)) - contrast(&run[run.len() - 2])),
    },
    Declared {
        id: "falls-faster-overall",
        source: SOURCE,
        evidence: Evidence::Paper,
        statement: "Over all of training, epistemic uncertainty decreases more, or rises less, where there is little label noise.",
        test: "change of log(mean BALD of the low-noise third / of the high-noise third) between the first and the last checkpoint, \
               paired by seed",
        expected: Expected::Below(0.0),
        effect: |runs| runs.over(|run| contrast(last(run)) - contrast(&run[0])),
    },
];

fn last(run: &[LabelNoiseRow]) -> &LabelNoiseRow {
    &run[run.len() - 1]
}

/// Mean correlation of benefit and flip rate over the checkpoints of the first hundred steps.
fn early(run: &[LabelNoiseRow]) -> f64 {
    let early: Vec<f64> =
        run.iter().filter(|row| (1..=100).contains(&row.step)).map(|row| row.benefit_aleatoric_rho).collect();
    early.iter().sum::<f64>() / early.len() as f64
}

/// How much more epistemic uncertainty there is where labels are clean than where they are noisy.
fn contrast(row: &LabelNoiseRow) -> f64 {
    libm::log(row.epistemic_low_noise_nats / row.epistemic_high_noise_nats)
}

/// Mean and interval over seeds at each step.
fn along(rows: &[&LabelNoiseRow], of: Quantity) -> Vec<(f64, Estimate)> {
    let steps: BTreeSet<u64> = rows.iter().map(|row| row.step).collect();
    let at = |step: u64| {
        let values: Vec<f64> = rows.iter().filter(|row| row.step == step).map(|row| of(row)).collect();
        Some((step as f64, mean_interval(&values)?))
    };
    steps.into_iter().filter_map(at).collect()
}

fn with_curve(panel: Panel, points: &[(f64, Estimate)], index: usize, name: &str) -> Panel {
    let ink = Ink::Category(index);
    panel
        .with(Series::band(points.iter().map(|(step, e)| (*step, e.low, e.high))).ink(ink))
        .with(Series::line(points.iter().map(|(step, e)| (*step, e.value))).ink(ink))
        .with(
            Series::points(points.iter().map(|(step, e)| (*step, e.value)))
                .ink(ink)
                .shape(Shape::of(index))
                .label(name),
        )
}
