//! Figure 12: a classifier trained on one tenth of each batch, by the rank of its loss.
//!
//! In each batch the images are ranked by loss, and only those between two quantiles are trained on. Ten
//! networks take one tenth each; two more are the controls: one trains on everything, one on a random tenth
//! (as many images as each band, without the ranking). All networks of a seed start from the same weights and
//! see the same batches, so that what differs between them is the selection alone.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use tokensieve_objective::{Criterion, Objective, Plan, Selection};

use crate::{
    error::{Error, at_least, positive},
    images::DataSet,
    mlp::{Batch, Fleet, Learner, SparseImages, Weights},
    over_seeds,
};
use tokensieve_base::streams::Stream;

/// Everything that determines the result, but for the images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BandsConfig {
    /// Number of seeds: 0, 1, … They determine initial weights and order of the data. (The paper shows one run.)
    pub seeds: u64,
    /// Passes over the training images (paper).
    pub epochs: u32,
    /// Images per step (paper). The last batch of an epoch is shorter.
    pub batch: usize,
    /// Step size (paper); the gradient is the mean over the images trained on.
    pub learning_rate: f64,
    /// Number of bands of equal width that the losses are divided into (paper: 10).
    pub bands: u32,
    /// Number of training images: the first of the set.
    pub train_images: usize,
    /// Number of test images: the first of the set.
    pub test_images: usize,
}

impl Default for BandsConfig {
    fn default() -> Self {
        Self {
            seeds: 5,
            epochs: 20,
            batch: 256,
            learning_rate: 0.01,
            bands: 10,
            train_images: 60_000,
            test_images: 10_000,
        }
    }
}

impl BandsConfig {
    /// All steps of the experiment in about a second.
    pub fn smoke() -> Self {
        Self { seeds: 2, epochs: 2, train_images: 5_000, test_images: 1_000, ..Self::default() }
    }

    fn check(&self) -> Result<(), Error> {
        let least = [
            ("seeds", self.seeds as usize, 1),
            ("epochs", self.epochs as usize, 1),
            ("batch", self.batch, 1),
            ("bands", self.bands as usize, 1),
            ("train_images", self.train_images, 1),
            ("test_images", self.test_images, 1),
        ];
        at_least("bands", least)?;
        positive("bands", [("learning_rate", self.learning_rate)])
    }

    /// The networks of one seed: the two controls, then the bands from the lowest losses to the highest.
    fn trained_on(&self) -> Result<Vec<TrainedOn>, Error> {
        let everything = Objective::preset("mle")?;
        let selective = Objective::preset("masked-mle")?;
        let share = 1.0 / f64::from(self.bands);
        let random = selective.select(Selection::band(Criterion::Random, 0.0, share)?)?;
        let mut all = vec![
            TrainedOn { name: "all".into(), objective: everything },
            TrainedOn { name: "random".into(), objective: random },
        ];
        for band in 0..self.bands {
            let edge = |k: u32| f64::from(k) / f64::from(self.bands);
            let selection = Selection::band(Criterion::loss(), edge(band), edge(band + 1))?;
            let percent = |k: u32| f64::from(100 * k) / f64::from(self.bands);
            let name = format!("{}-{}", percent(band), percent(band + 1));
            all.push(TrainedOn { name, objective: selective.select(selection)? });
        }
        Ok(all)
    }
}

/// One point of the figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BandsRow {
    /// Name of the set of images.
    pub dataset: String,
    /// Seed of initial weights and order.
    pub seed: u64,
    /// What was trained on: `all`, `random` (as many as a band), or a band of loss quantiles in percent, `90-100`.
    pub trained_on: String,
    /// Passes over the training images so far.
    pub epoch: u32,
    /// Share of the test images put in the right class.
    pub test_accuracy: f64,
    /// Mean loss of **all** images of the epoch's batches, each before its step, in nats.
    pub train_loss_nats: f64,
}

impl BandsRow {
    /// The middle of its band as a quantile in [0, 1]; `None` for the controls.
    pub fn quantile(&self) -> Option<f64> {
        let (low, high) = self.trained_on.split_once('-')?;
        Some((low.parse::<f64>().ok()? + high.parse::<f64>().ok()?) / 200.0)
    }
}

struct TrainedOn {
    name: String,
    objective: Objective,
}

/// The images, without their zeros.
#[derive(Clone, Debug)]
pub struct Prepared {
    name: String,
    train: SparseImages,
    test: Vec<Batch>,
}

impl Prepared {
    /// The number of images that the configuration asks for, or all if there are fewer.
    pub fn new(config: &BandsConfig, data: &DataSet) -> Self {
        let part = |images: &crate::images::Images, n| SparseImages::new(&images.first(n));
        Self {
            name: data.name.clone(),
            train: part(&data.train, config.train_images),
            test: part(&data.test, config.test_images).batches(256),
        }
    }
}

/// The whole experiment on one set of images: rows by seed, network, epoch.
pub fn run(config: &BandsConfig, data: &DataSet) -> Result<Vec<BandsRow>, Error> {
    config.check()?;
    let prepared = Prepared::new(config, data);
    Ok(over_seeds(0..config.seeds, |seed| run_seed(config, &prepared, seed))?.concat())
}

/// One seed of the experiment: all networks that start from the same weights and see the same batches.
pub fn run_seed(config: &BandsConfig, data: &Prepared, seed: u64) -> Result<Vec<BandsRow>, Error> {
    config.check()?;
    let networks = config.trained_on()?;
    let groups: Vec<Vec<BandsRow>> = networks
        .par_chunks(4)
        .map(|group| match group {
            [a, b, c, d] => train(config, data, seed, [a, b, c, d]),
            [a, b, c] => train(config, data, seed, [a, b, c]),
            [a, b] => train(config, data, seed, [a, b]),
            rest => rest
                .iter()
                .try_fold(Vec::new(), |rows, one| Ok([rows, train(config, data, seed, [one])?].concat())),
        })
        .collect::<Result<_, _>>()?;
    Ok(groups.concat())
}

/// The training loop.
fn train<const G: usize>(
    config: &BandsConfig,
    data: &Prepared,
    seed: u64,
    networks: [&TrainedOn; G],
) -> Result<Vec<BandsRow>, Error> {
    let images = data.train.len();
    let steps = u64::from(config.epochs) * images.div_ceil(config.batch) as u64;
    let mut learners = networks
        .map(|network| Learner::new(network.objective.begin(Plan { steps, seed }), config.learning_rate));
    let weights = Weights::random(seed);
    let mut fleet = Fleet::<G>::new(&std::array::from_fn(|_| weights.clone()));
    let mut rows: [Vec<BandsRow>; G] = std::array::from_fn(|_| Vec::new());
    let mut batch = Batch::default();
    for epoch in 1..=config.epochs {
        let order = Stream::new(seed, &format!("bands/order/{epoch}")).permutation(images);
        let mut loss = [0.0; G];
        for indices in order.chunks(config.batch) {
            batch.gather(&data.train, indices);
            fleet.forward(&batch);
            for (g, learner) in learners.iter_mut().enumerate() {
                loss[g] += learner.step(&mut fleet, g, &batch)?;
            }
        }
        for (g, test_accuracy) in fleet.accuracy(&data.test).into_iter().enumerate() {
            rows[g].push(BandsRow {
                dataset: data.name.clone(),
                seed,
                trained_on: networks[g].name.clone(),
                epoch,
                test_accuracy,
                train_loss_nats: loss[g] / images as f64,
            });
        }
    }
    Ok(rows.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(threads: usize) -> Vec<BandsRow> {
        let config = BandsConfig {
            seeds: 2,
            epochs: 2,
            train_images: 700,
            test_images: 100,
            ..BandsConfig::default()
        };
        let data = DataSet::synthetic(1, 700, 100);
        crate::on_threads(threads, || run(&config, &data)).unwrap()
    }

    #[test]
    fn rows_are_in_order_and_do_not_depend_on_the_number_of_threads() {
        let one = rows(1);
        assert_eq!(one.len(), 2 * 12 * 2);
        let names: Vec<&str> = one.iter().step_by(2).take(12).map(|row| row.trained_on.as_str()).collect();
        assert_eq!(names[..4], ["all", "random", "0-10", "10-20"]);
        assert_eq!(names[11], "90-100");
        assert_eq!(one[47].quantile(), Some(0.95));
        assert_eq!(one, rows(3));
        // Before the first step all networks of a seed are equal.
        assert!(one.iter().all(|row| row.train_loss_nats.is_finite() && row.test_accuracy <= 1.0));
    }

    #[test]
    fn senseless_configurations_are_refused() {
        let data = DataSet::synthetic(1, 10, 10);
        let error = run(&BandsConfig { batch: 0, ..BandsConfig::smoke() }, &data).unwrap_err();
        assert!(error.to_string().contains("batch is 0"), "{error}");
        let rate = BandsConfig { learning_rate: f64::NAN, ..BandsConfig::smoke() };
        assert!(run(&rate, &data).unwrap_err().to_string().contains("learning_rate"));
    }
}
