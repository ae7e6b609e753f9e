//! The remark on MNIST in section 3: which examples help, by kind of uncertainty, over the course of training.
//!
//! A classifier with dropout is trained on images whose labels are flipped at known rates. At checkpoints each
//! example of a probe set (never trained on) is given three numbers: the *aleatoric* uncertainty, known from its
//! flip rate; the *epistemic* one, BALD by Monte-Carlo dropout; and its *benefit*, by how much a small step on
//! it (with its noisy label) lowers the loss on clean test images. The figure is their rank correlations.
//!
//! The flip rate belongs to the class (so that the noise can be seen from the image, as a token's can from its
//! context) or, as a control, to the single example (so that nothing in the image tells it).

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use tokensieve_objective::{Objective, Plan};

use crate::{
    error::{Error, positive, refuse},
    images::{CLASSES, DataSet, Images},
    mlp::{Batch, Dropout, Fleet, H1, H2, Learner, Network, SparseImages, Weights},
    softmax::entropy,
};
use tokensieve_base::statistics;
use tokensieve_base::streams::Stream;

/// This module's name in errors.
const NAME: &str = "label_noise_uncertainty";

/// Everything that determines the result, but for the images. The paper gives no protocol: all are choices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LabelNoiseConfig {
    /// Number of seeds: 0, 1, … They determine weights, noise, order and dropout.
    pub seeds: u64,
    /// Number of training images: the first of the set.
    pub train_images: usize,
    /// Number of probe images: those after the training images.
    pub probe_images: usize,
    /// Number of clean images on which the benefit is measured: the first of the test set.
    pub held_out_images: usize,
    /// Largest flip rate; 0.9 would leave no information.
    pub highest_flip_rate: f64,
    /// Share of hidden units dropped, in both hidden layers.
    pub dropout: f64,
    /// Stochastic passes behind each uncertainty.
    pub passes: usize,
    /// Images per step.
    pub batch: usize,
    /// Step size of plain gradient descent.
    pub learning_rate: f64,
    /// Steps after which the probe is measured, ascending.
    pub checkpoints: Vec<u64>,
}

impl Default for LabelNoiseConfig {
    fn default() -> Self {
        Self {
            seeds: 10,
            train_images: 50_000,
            probe_images: 1_000,
            held_out_images: 2_000,
            highest_flip_rate: 0.8,
            dropout: 0.2,
            passes: 100,
            batch: 64,
            learning_rate: 0.05,
            checkpoints: vec![0, 30, 100, 300, 1_000, 3_000, 10_000],
        }
    }
}

impl LabelNoiseConfig {
    /// All steps of the experiment in about a second.
    pub fn smoke() -> Self {
        Self {
            seeds: 2,
            train_images: 4_000,
            probe_images: 200,
            held_out_images: 200,
            passes: 20,
            checkpoints: vec![0, 30, 300],
            ..Self::default()
        }
    }

    fn check(&self, data: &DataSet) -> Result<(), Error> {
        let enough = |key, found: usize, least: usize, most: usize| {
            let range = format!("{least}..={most}");
            if (least..=most).contains(&found) { Ok(()) } else { refuse(NAME, key, found, &range) }
        };
        enough("seeds", self.seeds as usize, 1, usize::MAX)?;
        enough("passes", self.passes, 2, usize::MAX)?;
        enough("batch", self.batch, 1, usize::MAX)?;
        enough("held_out_images", self.held_out_images, 1, data.test.len())?;
        enough("train_images", self.train_images, 1, data.train.len())?;
        enough("probe_images", self.probe_images, 10, data.train.len() - self.train_images)?;
        if !self.checkpoints.is_sorted_by(|a, b| a < b) || self.checkpoints.is_empty() {
            return refuse(NAME, "checkpoints", format!("{:?}", self.checkpoints), "ascending steps");
        }
        for (key, value) in [("dropout", self.dropout), ("highest_flip_rate", self.highest_flip_rate)] {
            if !(value > 0.0 && value < 0.9) {
                return refuse(NAME, key, value, "between 0 and 0.9");
            }
        }
        positive(NAME, [("learning_rate", self.learning_rate)])
    }
}

/// The unit that has a flip rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Noise {
    /// The class: evenly spaced rates, dealt to the classes by the seed.
    Class,
    /// The example: uniform, independent of the image.
    Example,
}

/// The probe at one checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LabelNoiseRow {
    /// Name of the set of images.
    pub dataset: String,
    /// The unit that has a flip rate.
    pub noise: Noise,
    /// Seed.
    pub seed: u64,
    /// Training steps so far.
    pub step: u64,
    /// Share of the clean held-out images put in the right class.
    pub test_accuracy: f64,
    /// Spearman of benefit with the flip rate (the label's entropy has the same ranks).
    pub benefit_aleatoric_rho: f64,
    /// Spearman of benefit with BALD.
    pub benefit_epistemic_rho: f64,
    /// Spearman of benefit with BALD among the third of the probe with the lowest flip rates.
    pub benefit_epistemic_low_noise_rho: f64,
    /// Spearman of benefit with the aleatoric uncertainty that the model reports (mean entropy of its passes).
    pub benefit_model_aleatoric_rho: f64,
    /// Spearman of BALD with the flip rate.
    pub epistemic_aleatoric_rho: f64,
    /// Standard deviation of BALD over the probe, divided by its mean.
    pub epistemic_spread: f64,
    /// Mean BALD in nats among the third of the probe with the lowest flip rates.
    pub epistemic_low_noise_nats: f64,
    /// Mean BALD in nats among the third of the probe with the highest flip rates.
    pub epistemic_high_noise_nats: f64,
}

/// The whole experiment on one set of images: rows by kind of noise, seed, step.
pub fn run(config: &LabelNoiseConfig, data: &DataSet) -> Result<Vec<LabelNoiseRow>, Error> {
    config.check(data)?;
    let units: Vec<(Noise, u64)> = [Noise::Class, Noise::Example]
        .iter()
        .flat_map(|noise| (0..config.seeds).map(|seed| (*noise, seed)))
        .collect();
    let rows: Vec<Vec<LabelNoiseRow>> = units
        .into_par_iter()
        .map(|(noise, seed)| run_seed(config, data, noise, seed))
        .collect::<Result<_, _>>()?;
    Ok(rows.concat())
}

/// One training run of the experiment.
pub fn run_seed(
    config: &LabelNoiseConfig,
    data: &DataSet,
    noise: Noise,
    seed: u64,
) -> Result<Vec<LabelNoiseRow>, Error> {
    config.check(data)?;
    let total = config.train_images + config.probe_images;
    let labelled = Noisy::new(&data.train.first(total), config, noise, seed);
    let sparse = SparseImages::new(&labelled.images);
    let probe: Vec<usize> = (config.train_images..total).collect();
    let held_out = data.test.first(config.held_out_images);
    let held_out_batches = SparseImages::new(&held_out).batches(256);

    let objective = Objective::preset("mle")?;
    let steps = *config.checkpoints.last().unwrap_or(&0);
    let mut learner = Learner::new(objective.begin(Plan { steps, seed }), config.learning_rate);
    let mut fleet = Fleet::new(&[Weights::random(seed)]);
    let mut masks = Masks::new(config.dropout, seed, "train");
    let (mut batch, mut step, mut rows) = (Batch::default(), 0, Vec::new());
    for epoch in 0.. {
        let order = Stream::new(seed, &format!("label-noise/order/{epoch}")).permutation(config.train_images);
        for indices in order.chunks(config.batch) {
            if config.checkpoints.contains(&step) {
                let accuracy = fleet.clone().accuracy(&held_out_batches)[0];
                let network = Network::new(&fleet.weights(0));
                let benefit = benefits(&network, &labelled.images, &probe, &held_out);
                let uncertainty = uncertainties(config, &mut fleet, &sparse, &probe, (seed, step));
                let measured =
                    Measured { flip_rate: &labelled.flip_rate[config.train_images..], benefit, uncertainty };
                rows.push(measured.row((data.name.clone(), noise, seed, step), accuracy)?);
            }
            if step == steps {
                return Ok(rows);
            }
            batch.gather(&sparse, indices);
            fleet.forward_dropout(&batch, masks.draw(indices.len()));
            learner.step(&mut fleet, 0, &batch)?;
            step += 1;
        }
    }
    Ok(rows)
}

/// Images with flipped labels.
struct Noisy {
    images: Images,
    flip_rate: Vec<f64>,
}

impl Noisy {
    fn new(clean: &Images, config: &LabelNoiseConfig, noise: Noise, seed: u64) -> Self {
        let mut stream = Stream::new(seed, "label-noise/flips");
        let rank = stream.permutation(CLASSES);
        let by_class =
            |class: u8| config.highest_flip_rate * rank[usize::from(class)] as f64 / (CLASSES - 1) as f64;
        let mut flipped = Self { images: clean.clone(), flip_rate: Vec::with_capacity(clean.len()) };
        for label in &mut flipped.images.labels {
            let rate = match noise {
                Noise::Class => by_class(*label),
                Noise::Example => stream.uniform_in(0.0, config.highest_flip_rate),
            };
            flipped.flip_rate.push(rate);
            if stream.chance(rate) {
                // One of the other nine, each as likely.
                *label = (*label + 1 + stream.below(CLASSES - 1) as u8) % CLASSES as u8;
            }
        }
        flipped
    }
}

/// Dropout masks, drawn anew for every image and pass.
struct Masks {
    rate: f64,
    stream: Stream,
    drawn: Dropout,
}

impl Masks {
    fn new(rate: f64, seed: u64, name: &str) -> Self {
        let stream = Stream::new(seed, &format!("label-noise/dropout/{name}"));
        Self { rate, stream, drawn: Dropout::default() }
    }

    fn draw(&mut self, images: usize) -> &Dropout {
        let (rate, stream) = (self.rate, &mut self.stream);
        let kept = (1.0 / (1.0 - rate)) as f32;
        let mut unit = || if stream.chance(rate) { 0.0 } else { kept };
        self.drawn.h1.clear();
        self.drawn.h2.clear();
        for _ in 0..images {
            self.drawn.h1.push(std::array::from_fn::<f32, H1, _>(|_| unit()));
            self.drawn.h2.push(std::array::from_fn::<f32, H2, _>(|_| unit()));
        }
        &self.drawn
    }
}

/// ⟨gradient of the held-out loss, gradient of the example's noisy loss⟩, without dropout.
fn benefits(network: &Network, noisy: &Images, probe: &[usize], held_out: &Images) -> Vec<f64> {
    let mut gradient = Network::zero();
    for i in 0..held_out.len() {
        let slopes = network.slopes(held_out.image(i), held_out.labels[i]).1;
        gradient.add(1.0 / held_out.len() as f64, &slopes);
    }
    probe.iter().map(|&i| gradient.inner(&network.slopes(noisy.image(i), noisy.labels[i]).1)).collect()
}

/// Epistemic (BALD) and aleatoric uncertainty that the model reports, in nats, per probe image.
fn uncertainties(
    config: &LabelNoiseConfig,
    fleet: &mut Fleet<1>,
    sparse: &SparseImages,
    probe: &[usize],
    (seed, step): (u64, u64),
) -> [Vec<f64>; 2] {
    let mut masks = Masks::new(config.dropout, seed, &format!("probe/{step}"));
    let batch = sparse.batch(probe);
    let mut mean = vec![[0.0; CLASSES]; probe.len()];
    let mut aleatoric = vec![0.0; probe.len()];
    let share = 1.0 / config.passes as f64;
    for _ in 0..config.passes {
        fleet.forward_dropout(&batch, masks.draw(probe.len()));
        let predictions = fleet.predictions(0);
        for (image, (mean, aleatoric)) in mean.iter_mut().zip(&mut aleatoric).enumerate() {
            let p = predictions.probabilities(image).map(f64::from);
            mean.iter_mut().zip(p).for_each(|(mean, p)| *mean += share * p);
            *aleatoric += share * entropy(&p);
        }
    }
    let epistemic = mean.iter().zip(&aleatoric).map(|(mean, aleatoric)| (entropy(mean) - aleatoric).max(0.0));
    [epistemic.collect(), aleatoric]
}

/// The three numbers of each probe example.
struct Measured<'a> {
    flip_rate: &'a [f64],
    benefit: Vec<f64>,
    uncertainty: [Vec<f64>; 2],
}

impl Measured<'_> {
    fn row(
        &self,
        (dataset, noise, seed, step): (String, Noise, u64, u64),
        test_accuracy: f64,
    ) -> Result<LabelNoiseRow, Error> {
        let [epistemic, aleatoric] = &self.uncertainty;
        let missing = |quantity| Error::Undefined { experiment: NAME, quantity };
        let rho = |x: &[f64], y: &[f64], quantity| statistics::spearman(x, y).ok_or(missing(quantity));
        // A third of the probe by flip rate; ties (all of one class) stay in the order of the images.
        let mut order: Vec<usize> = (0..self.flip_rate.len()).collect();
        order.sort_by(|a, b| self.flip_rate[*a].total_cmp(&self.flip_rate[*b]));
        let third = order.len() / 3;
        let of = |values: &[f64], part: &[usize]| -> Vec<f64> { part.iter().map(|i| values[*i]).collect() };
        let (low, high) = (&order[..third], &order[order.len() - third..]);
        let mean = |values: &[f64]| statistics::mean(values).ok_or(missing("mean BALD"));
        let average = mean(epistemic)?;
        let variance = mean(&epistemic.iter().map(|e| (e - average) * (e - average)).collect::<Vec<_>>())?;
        Ok(LabelNoiseRow {
            dataset,
            noise,
            seed,
            step,
            test_accuracy,
            benefit_aleatoric_rho: rho(&self.benefit, self.flip_rate, "benefit_aleatoric_rho")?,
            benefit_epistemic_rho: rho(&self.benefit, epistemic, "benefit_epistemic_rho")?,
            benefit_epistemic_low_noise_rho: rho(
                &of(&self.benefit, low),
                &of(epistemic, low),
                "benefit_epistemic_low_noise_rho",
            )?,
            benefit_model_aleatoric_rho: rho(&self.benefit, aleatoric, "benefit_model_aleatoric_rho")?,
            epistemic_aleatoric_rho: rho(epistemic, self.flip_rate, "epistemic_aleatoric_rho")?,
            epistemic_spread: libm::sqrt(variance) / average,
            epistemic_low_noise_nats: mean(&of(epistemic, low))?,
            epistemic_high_noise_nats: mean(&of(epistemic, high))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> LabelNoiseConfig {
        LabelNoiseConfig {
            train_images: 600,
            probe_images: 100,
            held_out_images: 50,
            passes: 5,
            ..LabelNoiseConfig::smoke()
        }
    }

    #[test]
    fn rows_do_not_depend_on_the_number_of_threads() {
        let data = DataSet::synthetic(1, 700, 50);
        let rows = |threads| crate::on_threads(threads, || run(&config(), &data)).unwrap();
        let one = rows(1);
        assert_eq!(one.len(), 2 * 2 * 3);
        assert_eq!(one, rows(4));
        // Noise of the single example cannot be told from its image: no correlation beyond chance (1/√100).
        let control = one.iter().filter(|row| row.noise == Noise::Example);
        assert!(
            control.clone().count() == 6
                && control.clone().all(|row| row.epistemic_aleatoric_rho.abs() < 0.4)
        );
    }

    #[test]
    fn labels_flip_at_their_rates() {
        let data = DataSet::synthetic(2, 20_000, 1);
        for noise in [Noise::Class, Noise::Example] {
            let labelled = Noisy::new(&data.train, &LabelNoiseConfig::default(), noise, 3);
            let mut by_rate = [(0.0, 0.0, 0.0); 4];
            for ((clean, label), rate) in
                data.train.labels.iter().zip(&labelled.images.labels).zip(&labelled.flip_rate)
            {
                let bin = &mut by_rate[((rate / 0.8 * 4.0) as usize).min(3)];
                *bin = (bin.0 + 1.0, bin.1 + rate, bin.2 + f64::from(u8::from(clean != label)));
            }
            for (n, expected, flipped) in by_rate {
                // Three standard errors of about 5,000 flips.
                assert!((expected - flipped).abs() / n < 0.025, "{noise:?} {n} {expected} {flipped}");
            }
        }
    }

    #[test]
    fn senseless_configurations_are_refused() {
        let data = DataSet::synthetic(1, 700, 50);
        let refused = |config: LabelNoiseConfig| run(&config, &data).unwrap_err().to_string();
        assert!(refused(LabelNoiseConfig { probe_images: 101, ..config() }).contains("probe_images is 101"));
        assert!(refused(LabelNoiseConfig { checkpoints: vec![3, 3], ..config() }).contains("checkpoints"));
        assert!(refused(LabelNoiseConfig { dropout: 0.0, ..config() }).contains("dropout"));
    }
}
