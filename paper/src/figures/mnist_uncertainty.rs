//! Paper A, section 3: which examples help as training goes on, by kind of uncertainty.

use crate::plot::{Axis, Drawing, Ink, Panel, Series, Shape};
use crate::{About, Claim, Column, Run, Table};
use anyhow::{Context as _, Result};
use tokensieve_toy::images::DataSet;
use tokensieve_toy::label_noise_uncertainty::{Config, Noise, Row, run as measure};
use tokensieve_toy::statistics::{Estimate, mean_interval};

/// The figure.
pub(super) struct Figure;

impl crate::Figure for Figure {
    fn about(&self) -> About {
        About {
            id: "a-mnist-uncertainty",
            title: "What helps early and late: noise, uncertainty and the benefit of an example",
            source: "A, section 3 and appendix C",
            caption: "A, B: rank correlation over the probe examples between an example's benefit (by how much a \
                      small step on it lowers the loss on clean images) and its uncertainty, along training; the \
                      flip rate of labels belongs to the class (A) or to the single example (B). C: mean epistemic \
                      uncertainty of the third of the examples with the least and with the most label noise (by \
                      class). D: its spread over examples (standard deviation divided by mean). Mean and 95 % \
                      interval over seeds.",
            protocol: "Network 784-32-16-10 with ReLU and dropout 0.2 on both hidden layers; plain gradient \
                       descent, learning rate 0.05, batch 64, on 50,000 training images whose labels are flipped to \
                       one of the other nine with a known probability of 0 to 0.8. The rates are spaced evenly over \
                       the classes, dealt by the seed; in the control they are drawn per example.\n\n\
                       At each checkpoint 1,000 probe images, never trained on, get: the flip rate (aleatoric; \
                       the label's entropy has the same ranks); BALD from 100 dropout passes (epistemic); and the \
                       benefit, the inner product of the gradient of the loss on 2,000 clean test images with the \
                       gradient of the example's loss on its noisy label: the decrease by a small step, to first \
                       order.",
            deviations: &[
                "The paper states the observation without a protocol: network, noise, dropout, checkpoints and the \
                 measure of benefit are our choices.",
                "Early means before the first step, late means the last checkpoint.",
            ],
            columns: vec![
                Column::new("dataset", "", "set of images"),
                Column::new("noise", "", "to what a flip rate belongs: `class` or `example`"),
                Column::new("seed", "", "seed of weights, noise, order and dropout"),
                Column::new("step", "", "training steps so far"),
                Column::new("test_accuracy", "", "share of the clean test images put in the right class"),
                Column::new("benefit_aleatoric_rho", "", "Spearman of benefit and flip rate"),
                Column::new("benefit_epistemic_rho", "", "Spearman of benefit and BALD"),
                Column::new(
                    "benefit_epistemic_low_noise_rho",
                    "",
                    "the same among the third of the examples with the lowest flip rates",
                ),
                Column::new(
                    "benefit_model_aleatoric_rho",
                    "",
                    "Spearman of benefit and the model's own aleatoric uncertainty, mean entropy over passes",
                ),
                Column::new("epistemic_aleatoric_rho", "", "Spearman of BALD and flip rate"),
                Column::new("epistemic_spread", "", "standard deviation of BALD over examples, divided by its mean"),
                Column::new("epistemic_low_noise_nats", "nats", "mean BALD, third with the lowest flip rates"),
                Column::new("epistemic_high_noise_nats", "nats", "mean BALD, third with the highest flip rates"),
            ],
        }
    }

    fn table(&self, run: &Run) -> Result<Table> {
        let config = run.profile.pick(Config::smoke(), Config::default());
        if run.synthetic_data() {
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
        let rows: Vec<Row> = table.rows()?;
        let by_class = |row: &&Row| row.noise == Noise::Class;
        let class: Vec<&Row> = rows.iter().filter(by_class).collect();
        let example: Vec<&Row> = rows.iter().filter(|row| row.noise == Noise::Example).collect();
        // The first decade and the start of training share the axis.
        let steps = || {
            let ticks = [(0.0, "0"), (30.0, "30"), (100.0, "100"), (300.0, "300"), (1e3, "1 k"), (3e3, "3 k"), (1e4, "10 k")];
            Axis::symlog("training steps", 30.0).ticks(ticks)
        };
        let correlations = |rows: &[&Row], title: &str| {
            let mut panel = Panel::new(title, steps(), Axis::linear("rank correlation with benefit").range(-0.5, 0.5))
                .with(Series::horizontal(0.0).ink(Ink::Muted));
            let curves: [(&str, fn(&Row) -> f64); 3] = [
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
        levels = with_curve(levels, &along(&class, |row| row.epistemic_low_noise_nats), 3, "least label noise");
        levels = with_curve(levels, &along(&class, |row| row.epistemic_high_noise_nats), 4, "most label noise");
        let mut spread = Panel::new("", steps(), Axis::linear("relative spread of BALD").range(0.0, 0.9));
        spread = with_curve(spread, &along(&class, |row| row.epistemic_spread), 5, "noise by class");
        spread = with_curve(spread, &along(&example, |row| row.epistemic_spread), 6, "noise by example");
        let panels = [correlations(&class, "noise by class"), correlations(&example, "noise by example"), levels, spread];
        Ok(Drawing::new(panels).columns(2).panel_height(210.0))
    }

    fn claims(&self, table: &Table) -> Result<Vec<Claim>> {
        let rows: Vec<Row> = table.rows()?;
        let source = "A, section 3";
        let runs: Vec<&[Row]> = rows
            .chunk_by(|a, b| (a.noise, a.seed) == (b.noise, b.seed))
            .filter(|run| run[0].noise == Noise::Class && run.len() > 1)
            .collect();
        let over = |of: &dyn Fn(&[Row]) -> f64| mean_interval(&runs.iter().map(|run| of(run)).collect::<Vec<f64>>());
        let (first, last) = (|run: &[Row]| run[0].clone(), |run: &[Row]| run[run.len() - 1].clone());
        let ratio = |row: &Row| libm::log(row.epistemic_low_noise_nats / row.epistemic_high_noise_nats);
        Ok(vec![
            Claim::new(
                "a-mnist-uncertainty/early-low-noise",
                source,
                "At the start, examples with little label noise are the ones to prefer.",
            )
            .below(
                0.0,
                over(&|run| first(run).benefit_aleatoric_rho),
                "Spearman of benefit and flip rate before the first step; mean over seeds, Student's 95 % interval",
            ),
            Claim::new(
                "a-mnist-uncertainty/early-uniform",
                source,
                "At the start, epistemic uncertainty is more uniform over examples than at the end.",
            )
            .below(
                0.0,
                over(&|run| libm::log(first(run).epistemic_spread / last(run).epistemic_spread)),
                "log ratio of BALD's relative spread, first to last checkpoint, paired by seed",
            ),
            Claim::new(
                "a-mnist-uncertainty/falls-faster",
                source,
                "Later, epistemic uncertainty decreases faster for examples with little label noise.",
            )
            .below(
                0.0,
                over(&|run| ratio(&run[run.len() - 1]) - ratio(&run[run.len() - 2])),
                "change of log(mean BALD of the low-noise third / of the high-noise third) between the last two \
                 checkpoints, paired by seed",
            ),
            Claim::new(
                "a-mnist-uncertainty/lower-at-the-end",
                source,
                "Over all of training, it decreases more (or rises less) for examples with little label noise.",
            )
            .below(
                0.0,
                over(&|run| ratio(&run[run.len() - 1]) - ratio(&run[0])),
                "the same change between the first and the last checkpoint",
            ),
            Claim::new(
                "a-mnist-uncertainty/late-epistemic",
                source,
                "Late, the examples that help most are those with high epistemic uncertainty, more so than at the start.",
            )
            .above(
                0.0,
                over(&|run| last(run).benefit_epistemic_rho - first(run).benefit_epistemic_rho),
                "Spearman of benefit and BALD, last checkpoint minus first, paired by seed",
            ),
        ])
    }
}

/// Mean and interval over seeds at each step.
fn along(rows: &[&Row], of: fn(&Row) -> f64) -> Vec<(f64, Estimate)> {
    let mut steps: Vec<u64> = rows.iter().map(|row| row.step).collect();
    steps.sort_unstable();
    steps.dedup();
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
        .with(Series::points(points.iter().map(|(step, e)| (*step, e.value))).ink(ink).shape(Shape::of(index)).label(name))
}
