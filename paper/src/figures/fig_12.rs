//! Paper A, figure 12: which tenth of each batch, ranked by loss, a classifier should be trained on.

use crate::claim::OURS;
use crate::{About, Claim, Declared, Evidence, Expected, Run, Table, columns};
use anyhow::{Context as _, Result};
use tokensieve_base::statistics::{Estimate, mean_interval, spearman};
use tokensieve_plot::{Axis, Drawing, Ink, Panel, Series, Shape};
use tokensieve_toy::bands::{BandsConfig, BandsRow, run as train};
use tokensieve_toy::images::DataSet;

/// The figure.
pub(super) struct Figure;

/// The paper's images, and others to see whether the finding carries over; with their titles.
const SETS: [(&str, &str); 3] =
    [("mnist", "MNIST"), ("fashion-mnist", "Fashion-MNIST"), ("synthetic", "generated images")];

impl crate::Figure for Figure {
    fn about(&self) -> About {
        About {
            id: "a-12",
            title: "Training on one tenth of each batch, by rank of loss",
            source: "A, figure 12 and appendix C.2",
            caption: "Curves: test accuracy of a small classifier when each step uses only the images whose loss lies \
                      between two quantiles of the batch (coloured, mean and range over seeds), all images, or a \
                      random tenth. Last panel: accuracy after the last epoch, with 95 % intervals over seeds; horizontal \
                      lines: all images (solid) and a random tenth (dashed).",
            protocol: "Network 784-32-16-10 with ReLU; plain gradient descent, learning rate 0.01, batch 256, 20 \
                       epochs on all 60,000 training images (pixels divided by 255); accuracy on all 10,000 test \
                       images after each epoch.\n\nIn each batch the losses are ranked, and the step follows the \
                       mean gradient over the ranks round(0.1·k·n) to round(0.1·(k + 1)·n). The last batch of an \
                       epoch has 96 images. All networks of a seed share initial weights and batches.",
            deviations: &[
                "Five seeds; the paper shows one run.",
                "Initial weights and biases are uniform on ±1/√(inputs); the paper does not state them.",
                "The step follows the mean over the selected images, so training on a band does not take shorter \
                 steps than training on all images.",
                "Two controls: all images, and a random tenth of each batch.",
                "Fashion-MNIST is added to MNIST. The claims about Fashion-MNIST and about a random tenth are ours.",
                "We take \"almost monotone\" to mean a rank correlation above 0.9. This bound, and the claim about \
                 the band from 80 to 90 %, were set after a first look at MNIST and before any look at \
                 Fashion-MNIST.",
            ],
            columns: columns! {
                "dataset": "set of images",
                "seed": "seed of initial weights and order of the images",
                "trained_on": "`all`, `random` (a tenth), or the band of loss quantiles in percent",
                "epoch": "passes over the training images so far",
                "test_accuracy": "share of the test images classified correctly",
                "train_loss_nats" in "nats": "mean of −log p(label) over all images of the epoch, each before the \
                                              step that its batch led to",
            },
        }
    }

    fn table(&self, run: &Run) -> Result<Table> {
        let config = run.profile.pick(BandsConfig::smoke(), BandsConfig::default());
        if run.synthetic_data() {
            // As many as of real images are minutes on an emulated processor.
            let config = BandsConfig { train_images: 100, test_images: 50, ..config };
            let data = DataSet::synthetic(12, config.train_images, config.test_images);
            return Table::from_rows(&run.cached("synthetic", &config, || train(&config, &data))?);
        }
        let mut rows: Vec<BandsRow> = Vec::new();
        for (name, _) in &SETS[..2] {
            let files = run.data(name)?;
            // Where MNIST cannot be had, Fashion-MNIST stands in for it, and is drawn once.
            if rows.iter().any(|row| row.dataset == files.name()) {
                continue;
            }
            rows.extend(run.cached(files.name(), &config, || {
                let folder = files.path("train-images").parent().context("a file lies in a folder")?;
                anyhow::Ok(train(&config, &DataSet::load(files.name(), folder)?)?)
            })?);
        }
        Table::from_rows(&rows)
    }

    fn draw(&self, table: &Table) -> Result<Drawing> {
        let rows: Vec<BandsRow> = table.rows()?;
        let mut panels = Vec::new();
        let epochs = rows.iter().map(|row| row.epoch).max().unwrap_or(1);
        let mut last = Panel::new(
            "last epoch",
            Axis::linear("middle of the loss band, quantile").range(0.0, 1.0).ticks([
                (0.0, "0"),
                (0.25, "¼"),
                (0.5, "½"),
                (0.75, "¾"),
                (1.0, "1"),
            ]),
            Axis::linear("test accuracy").range(0.0, 1.0).percent(),
        );
        for (index, (name, title)) in
            SETS.iter().filter(|(name, _)| rows.iter().any(|row| row.dataset == *name)).enumerate()
        {
            let rows: Vec<BandsRow> = rows.iter().filter(|row| row.dataset == *name).cloned().collect();
            panels.push(curves(&rows, title));
            let ink = Ink::Category(index);
            let last_of = |trained_on: &str| mean_interval(&accuracies(&rows, trained_on, epochs));
            let points: Vec<(f64, Estimate)> = names(&rows)
                .into_iter()
                .filter_map(|row| Some((row.quantile()?, last_of(&row.trained_on)?)))
                .collect();
            last = last
                .with(Series::line(points.iter().map(|(q, e)| (*q, e.value))).ink(ink))
                .with(Series::error_bars(points.iter().map(|(q, e)| (*q, e.low, e.high))).ink(ink))
                .with(
                    Series::points(points.iter().map(|(q, e)| (*q, e.value)))
                        .ink(ink)
                        .shape(Shape::of(index))
                        .label(title),
                );
            for (control, dashed) in [("all", false), ("random", true)] {
                if let Some(level) = last_of(control) {
                    let line = Series::line([(0.0, level.value), (1.0, level.value)]).ink(ink).stroke(1.0);
                    last = last.with(if dashed { line.dashed() } else { line });
                }
            }
        }
        panels.push(last);
        Ok(Drawing::new(panels).width(860.0).panel_height(260.0))
    }

    fn claims(&self, table: &Table) -> Result<Vec<Claim>> {
        let rows: Vec<BandsRow> = table.rows()?;
        let mut claims = Vec::new();
        for (name, title) in &SETS[..2] {
            let rows: Vec<BandsRow> = rows.iter().filter(|row| row.dataset == *name).cloned().collect();
            let tested = |claim: &Declared<[BandsRow]>| {
                let claim = claim.tested("a-12", &rows).of_case(name, title).on_data(&[name]);
                // The paper's images are MNIST's.
                if *name == SETS[0].0 { claim } else { claim.ours(OURS) }
            };
            claims.extend(CLAIMS.iter().map(tested));
        }
        Ok(claims)
    }
}

const CLAIMS: [Declared<[BandsRow]>; 3] = [
    Declared {
        id: "accuracy-rises",
        source: "A, figure 12 and appendix C.2",
        evidence: Evidence::Paper,
        statement: "Test accuracy rises almost monotonically with the quantile of the loss trained on.",
        test: "Spearman of the band's quantile with test accuracy after the last epoch, per seed; mean over seeds with \
               Student's 95 % interval, against 0.9",
        expected: Expected::Above(0.9),
        effect: rises,
    },
    Declared {
        id: "top-beats-random",
        source: OURS,
        evidence: Evidence::Ours,
        statement: "The tenth with the largest losses teaches more than a random tenth.",
        test: PAIRED,
        expected: Expected::Above(0.0),
        effect: |rows| difference(rows, "90-100", "random"),
    },
    Declared {
        id: "second-beats-random",
        source: OURS,
        evidence: Evidence::Ours,
        statement: "The tenth below the largest losses (80-90 %) teaches more than a random tenth.",
        test: PAIRED,
        expected: Expected::Above(0.0),
        effect: |rows| difference(rows, "80-90", "random"),
    },
];

const PAIRED: &str = "difference of test accuracy after the last epoch, paired by seed; mean with Student's 95 % interval, \
                      against 0";

/// One row of each network, in the table's order.
fn names(rows: &[BandsRow]) -> Vec<&BandsRow> {
    let mut first: Vec<&BandsRow> = Vec::new();
    for row in rows {
        if first.iter().all(|known| known.trained_on != row.trained_on) {
            first.push(row);
        }
    }
    first
}

/// Test accuracies of a network at an epoch, seed after seed.
fn accuracies(rows: &[BandsRow], trained_on: &str, epoch: u32) -> Vec<f64> {
    let here = rows.iter().filter(|row| row.trained_on == trained_on && row.epoch == epoch);
    here.map(|row| row.test_accuracy).collect()
}

fn last_epoch(rows: &[BandsRow]) -> u32 {
    rows.iter().map(|row| row.epoch).max().unwrap_or(0)
}

/// Accuracy against epoch, one curve per network: mean, and range over seeds.
fn curves(rows: &[BandsRow], title: &str) -> Panel {
    let epochs = last_epoch(rows);
    let mut panel = Panel::new(
        title,
        Axis::linear("epoch").range(0.0, epochs.into()),
        Axis::linear("test accuracy").range(0.0, 1.0).percent(),
    );
    // The controls last, on top.
    let (controls, bands): (Vec<_>, Vec<_>) =
        names(rows).into_iter().partition(|row| row.quantile().is_none());
    for network in bands.into_iter().chain(controls) {
        let points: Vec<(f64, Vec<f64>)> =
            (1..=epochs).map(|epoch| (epoch.into(), accuracies(rows, &network.trained_on, epoch))).collect();
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let low = |values: &[f64]| values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = |values: &[f64]| values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let ink = network.quantile().map_or(Ink::Strong, Ink::Sequence);
        let line = Series::line(points.iter().map(|(epoch, values)| (*epoch, mean(values)))).ink(ink);
        let line = match network.trained_on.as_str() {
            "all" => line.label("all"),
            "random" => line.label("random tenth").dashed(),
            band => line.label(&format!("{} %", band.replace('-', "–"))),
        };
        let range = points.iter().map(|(epoch, values)| (*epoch, low(values), high(values)));
        panel = panel.with(Series::band(range).ink(ink)).with(line);
    }
    panel
}

/// Per seed the rank correlation of quantile and final accuracy over the bands; over seeds mean and interval.
fn rises(rows: &[BandsRow]) -> Option<Estimate> {
    let epoch = last_epoch(rows);
    let last: Vec<&BandsRow> =
        rows.iter().filter(|row| row.epoch == epoch && row.quantile().is_some()).collect();
    let per_seed = last.chunk_by(|a, b| a.seed == b.seed).map(|seed| {
        let quantiles: Vec<f64> = seed.iter().filter_map(|row| row.quantile()).collect();
        let accuracies: Vec<f64> = seed.iter().map(|row| row.test_accuracy).collect();
        spearman(&quantiles, &accuracies)
    });
    mean_interval(&per_seed.collect::<Option<Vec<f64>>>()?).map(possible)
}

/// Of a correlation no value beyond ±1 is possible, whatever Student says.
fn possible(correlation: Estimate) -> Estimate {
    Estimate { low: correlation.low.max(-1.0), high: correlation.high.min(1.0), ..correlation }
}

fn difference(rows: &[BandsRow], better: &str, worse: &str) -> Option<Estimate> {
    let epoch = last_epoch(rows);
    let pairs = accuracies(rows, better, epoch).into_iter().zip(accuracies(rows, worse, epoch));
    mean_interval(&pairs.map(|(better, worse)| better - worse).collect::<Vec<f64>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn correlations_end_at_one() {
        let of = |low, high| possible(Estimate { value: 0.99, low, high, n: 5 });
        assert_eq!((of(0.98, 1.001).low, of(0.98, 1.001).high), (0.98, 1.0));
        assert_eq!((of(-1.2, 0.5).low, of(-1.2, 0.5).high), (-1.0, 0.5));
    }
}
