//! The map at the seam of the two papers: which band of token probability to train on, by capability of the
//! model, label noise, and whether the rest is distilled from a model trained on everything.
//!
//! One paper trains the lowest-probability quarter of each batch and gains; the other finds that the
//! lowest-probability tokens do the harm. Every arm here starts from the same base and sees the same batches
//! as plain maximum likelihood; its gain is counted over that twin, seed by seed. Where an arm distils, the
//! twin itself is the reference, trained first on the same noisy labels, as a practitioner would have it.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use tokensieve_objective::Objective;

use crate::{
    domain::{Domain, DomainConfig, Model, Tokens},
    error::{Error, at_least, refuse},
    finetune::{Finetune, Step, TrainConfig},
};
use tokensieve_base::statistics::Estimate;
use tokensieve_base::streams::Stream;

/// Everything that determines the map.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeamConfig {
    /// Labels, features, documents, pre-training.
    pub domain: DomainConfig,
    /// Fine-tuning, the same for all arms.
    pub train: TrainConfig,
    /// Mean probability of held-out truth before fine-tuning, ascending.
    pub capabilities: Vec<f64>,
    /// Shares of wrong labels in the training set, ascending.
    pub noise_rates: Vec<f64>,
    /// Equal bands of the label's probability in the batch.
    pub bands: usize,
    /// Lengths of step.
    pub steps: Vec<Step>,
    /// Seeds 0 … seeds − 1, each a domain, a base model and a training set of its own.
    pub seeds: u64,
}

impl Default for SeamConfig {
    fn default() -> Self {
        Self {
            domain: DomainConfig::default(),
            train: TrainConfig { epochs: 4, batch_documents: 8, rate: 16.0 },
            // The first is 1/V: the model that knows nothing.
            capabilities: vec![0.03125, 0.1, 0.3, 0.55, 0.75],
            noise_rates: vec![0.0, 0.05, 0.1, 0.2, 0.3, 0.5],
            bands: 4,
            steps: vec![Step::Own, Step::GradNorm],
            seeds: 24,
        }
    }
}

impl SeamConfig {
    /// Both ends, clean and noisy, few seeds.
    pub fn smoke() -> Self {
        Self {
            domain: DomainConfig { test_documents: 16, ..DomainConfig::default() },
            train: TrainConfig { epochs: 2, ..Self::default().train },
            capabilities: vec![0.03125, 0.75],
            noise_rates: vec![0.0, 0.3],
            seeds: 3,
            ..Self::default()
        }
    }

    /// All arms: pure distillation; every band alone; every band with the rest distilled.
    pub fn arms(&self) -> Vec<Arm> {
        let band = |k: usize| (k as f64 / self.bands as f64, (k + 1) as f64 / self.bands as f64);
        let arm = |distil| (0..self.bands).map(move |k| Arm { band: Some(band(k)), distil });
        arm(false).chain(arm(true)).chain([Arm { band: None, distil: true }]).collect()
    }
}

/// What is trained, and what becomes of the rest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Arm {
    /// Quantiles [low, high) of the label's probability in the batch that are trained on; `None`: no token is.
    pub band: Option<(f64, f64)>,
    /// Whether the other tokens are pulled towards the twin's prediction.
    pub distil: bool,
}

impl Arm {
    /// Its objective: −log p inside the band, the twin's cross-entropy or nothing outside.
    pub fn objective(self) -> Result<Objective, Error> {
        let otherwise = if self.distil { "distill(mle)" } else { "none" };
        let Some((low, high)) = self.band else {
            return Ok(Objective::loss(otherwise)?);
        };
        // The selection needs a table of its own in the text: an `otherwise` without one is refused.
        let text = format!(
            "selected = \"-log p\"\notherwise = \"{otherwise}\"\n\
             [select]\nby = \"probability\"\nkeep = \"{}%..{}%\"\nof = \"tokens\"\nwithin = \"batch\"",
            100.0 * low,
            100.0 * high
        );
        Ok(Objective::from_toml(&text)?)
    }
}

/// One arm of one cell under one seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Seed.
    pub seed: u64,
    /// Mean probability of held-out truth before fine-tuning.
    pub capability: f64,
    /// Share of wrong labels.
    pub noise_rate: f64,
    /// Length of step.
    pub step: Step,
    /// Index of the arm.
    pub arm: usize,
    /// Clean held-out accuracy of the base.
    pub accuracy_before: f64,
    /// Clean held-out accuracy of the twin.
    pub accuracy_mle: f64,
    /// Clean held-out accuracy of the arm.
    pub accuracy: f64,
    /// Clean held-out −log p of the twin.
    pub nll_mle_nats: f64,
    /// Clean held-out −log p of the arm.
    pub nll_nats: f64,
    /// Share of wrong labels among those trained on.
    pub wrong_share: f64,
}

/// One cell over all seeds, with 95 % intervals (Student) of the gains, paired by seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeamRow {
    /// Lower quantile of the band trained on; empty where no token is.
    pub band_low: Option<f64>,
    /// Upper quantile of the band.
    pub band_high: Option<f64>,
    /// What becomes of the rest: `none` or `distil`.
    pub rest: String,
    /// Length of step: `own` or `grad-norm`.
    pub step: Step,
    /// Mean probability of held-out truth before fine-tuning.
    pub capability: f64,
    /// Share of wrong labels in the training set.
    pub noise_rate: f64,
    /// Seeds behind every number.
    pub seeds: usize,
    /// Share of wrong labels among those trained on.
    pub wrong_share: f64,
    /// Clean held-out accuracy before.
    pub accuracy_before: f64,
    /// Clean held-out accuracy of plain maximum likelihood.
    pub accuracy_mle: f64,
    /// Clean held-out accuracy of the arm.
    pub accuracy: f64,
    /// Accuracy over plain maximum likelihood.
    pub accuracy_gain: f64,
    /// Lower end.
    pub accuracy_gain_low: f64,
    /// Upper end.
    pub accuracy_gain_high: f64,
    /// Clean held-out −log p of plain maximum likelihood, nats.
    pub nll_mle_nats: f64,
    /// Clean held-out −log p of the arm, nats.
    pub nll_nats: f64,
    /// −log p of plain maximum likelihood minus that of the arm, nats: above 0 is better.
    pub nll_gain_nats: f64,
    /// Lower end.
    pub nll_gain_low_nats: f64,
    /// Upper end.
    pub nll_gain_high_nats: f64,
}

/// What all cells of one seed share.
struct Ground<'a> {
    config: &'a SeamConfig,
    seed: u64,
    train: Tokens,
    test: Tokens,
    arms: Vec<Objective>,
    plain: Objective,
}

impl Ground<'_> {
    fn cell(&self, base: &Model, capability: f64, noise_rate: f64) -> Result<Vec<Outcome>, Error> {
        let mut stream = Stream::new(self.seed, "seam/noise");
        let labels = self.train.noisy_labels(noise_rate, self.config.domain.vocabulary, &mut stream);
        let finetune = |reference_nv, step, objective| {
            let finetune = Finetune {
                tokens: &self.train,
                labels: &labels,
                reference_nv,
                train: &self.config.train,
                step,
                seed: self.seed,
            };
            finetune.run(base, objective)
        };
        let score = |model: &Model| model.score(&self.test, &self.test.truth);
        let (twin, _) = finetune(None, Step::Own, &self.plain)?;
        let reference_nv = twin.probabilities(&self.train);
        let (of_base, of_twin) = (score(base), score(&twin));
        let mut outcomes = Vec::with_capacity(self.config.steps.len() * self.arms.len());
        for &step in &self.config.steps {
            for (arm, objective) in self.arms.iter().enumerate() {
                let (model, travel) = finetune(Some(&reference_nv), step, objective)?;
                let of_arm = score(&model);
                outcomes.push(Outcome {
                    seed: self.seed,
                    capability,
                    noise_rate,
                    step,
                    arm,
                    accuracy_before: of_base.accuracy,
                    accuracy_mle: of_twin.accuracy,
                    accuracy: of_arm.accuracy,
                    nll_mle_nats: of_twin.nll_nats,
                    nll_nats: of_arm.nll_nats,
                    wrong_share: travel.wrong_share,
                });
            }
        }
        Ok(outcomes)
    }
}

/// The whole map of one seed: capability, noise rate, step, arm, in this order.
pub fn seed(config: &SeamConfig, seed: u64) -> Result<Vec<Outcome>, Error> {
    at_least("seam", [("bands", config.bands, 2)])?;
    let domain = Domain::new(&config.domain, seed)?;
    let test = domain.tokens(config.domain.test_documents, "seam/test");
    let bases = domain.pretrained(&config.capabilities, &test)?;
    let ground = Ground {
        config,
        seed,
        train: domain.tokens(config.domain.train_documents, "seam/train"),
        test,
        arms: config.arms().into_iter().map(Arm::objective).collect::<Result<_, _>>()?,
        plain: Objective::preset("mle")?,
    };
    let cells: Vec<(&Model, f64, f64)> = bases
        .iter()
        .zip(&config.capabilities)
        .flat_map(|(base, capability)| {
            config.noise_rates.iter().map(move |noise| (base, *capability, *noise))
        })
        .collect();
    let outcomes: Vec<Vec<Outcome>> = cells
        .par_iter()
        .map(|(base, capability, noise_rate)| ground.cell(base, *capability, *noise_rate))
        .collect::<Result<_, _>>()?;
    Ok(outcomes.into_iter().flatten().collect())
}

/// The table from all seeds' maps, cell by cell.
pub fn summarise(config: &SeamConfig, seeds: &[Vec<Outcome>]) -> Result<Vec<SeamRow>, Error> {
    if seeds.len() < 2 {
        return refuse("seam", "seeds", seeds.len(), "at least 2: one seed has no interval");
    }
    let arms = config.arms();
    (0..seeds[0].len())
        .map(|cell| {
            let here = &seeds[0][cell];
            let arm = arms[here.arm];
            let over = |value: &dyn Fn(&Outcome) -> f64| {
                let values: Vec<f64> = seeds.iter().map(|outcomes| value(&outcomes[cell])).collect();
                config.train.mean("seam", &values)
            };
            let mean = |value: &dyn Fn(&Outcome) -> f64| Ok::<_, Error>(over(value)?.value);
            let accuracy_gain = over(&|o| o.accuracy - o.accuracy_mle)?;
            let nll_gain = over(&|o| o.nll_mle_nats - o.nll_nats)?;
            Ok(SeamRow {
                band_low: arm.band.map(|band| band.0),
                band_high: arm.band.map(|band| band.1),
                rest: if arm.distil { "distil" } else { "none" }.into(),
                step: here.step,
                capability: here.capability,
                noise_rate: here.noise_rate,
                seeds: seeds.len(),
                wrong_share: mean(&|o| o.wrong_share)?,
                accuracy_before: mean(&|o| o.accuracy_before)?,
                accuracy_mle: mean(&|o| o.accuracy_mle)?,
                accuracy: mean(&|o| o.accuracy)?,
                accuracy_gain: accuracy_gain.value,
                accuracy_gain_low: accuracy_gain.low,
                accuracy_gain_high: accuracy_gain.high,
                nll_mle_nats: mean(&|o| o.nll_mle_nats)?,
                nll_nats: mean(&|o| o.nll_nats)?,
                nll_gain_nats: nll_gain.value,
                nll_gain_low_nats: nll_gain.low,
                nll_gain_high_nats: nll_gain.high,
            })
        })
        .collect()
}

/// The noise rate at which a gain turns from above to below zero: of the mean, and of both ends of its interval.
///
/// The rows are those of one arm, noise ascending; between them the three curves are straight. A curve that is
/// never above zero crosses at the first noise rate, one that never falls below it at the last.
pub fn crossover(rows: &[SeamRow]) -> Option<Estimate> {
    let (first, last) = (rows.first()?, rows.last()?);
    let crossing = |gain: &dyn Fn(&SeamRow) -> f64| {
        if gain(first) <= 0.0 {
            return first.noise_rate;
        }
        let pair = rows.windows(2).find(|pair| gain(&pair[1]) <= 0.0);
        pair.map_or(last.noise_rate, |pair| {
            let (before, after) = (gain(&pair[0]), gain(&pair[1]));
            pair[0].noise_rate + (pair[1].noise_rate - pair[0].noise_rate) * before / (before - after)
        })
    };
    Some(Estimate {
        value: crossing(&|row| row.accuracy_gain),
        low: crossing(&|row| row.accuracy_gain_low),
        high: crossing(&|row| row.accuracy_gain_high),
        n: first.seeds,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::float_cmp, reason = "a cell is found by the very number that it was made from")]
    use super::*;
    use crate::over_seeds;

    fn run(config: &SeamConfig) -> Result<Vec<SeamRow>, Error> {
        summarise(config, &over_seeds(0..config.seeds, |number| seed(config, number))?)
    }

    #[test]
    fn bands_hold_the_wrong_labels_where_a_strong_model_puts_them() {
        let rows = run(&SeamConfig::smoke()).unwrap();
        let wrong = |capability: f64, band: Option<f64>| {
            let row = rows
                .iter()
                .find(|r| {
                    r.band_low == band
                        && r.rest == "none"
                        && r.capability == capability
                        && r.noise_rate == 0.3
                })
                .unwrap();
            row.wrong_share
        };
        // 30 % wrong labels do not fit into a quarter: a strong model's lowest quarter is nearly all wrong.
        assert!(wrong(0.75, Some(0.0)) > 0.9, "{}", wrong(0.75, Some(0.0)));
        assert!(wrong(0.75, Some(0.75)) < 0.05);
        let clean = rows.iter().filter(|r| r.noise_rate == 0.0);
        assert!(clean.clone().count() > 0 && clean.clone().all(|r| r.wrong_share == 0.0));
    }

    #[test]
    fn the_whole_band_is_plain_maximum_likelihood() {
        let config = SeamConfig { seeds: 2, steps: vec![Step::Own], ..SeamConfig::smoke() };
        let whole = Arm { band: Some((0.0, 1.0)), distil: true };
        let domain = Domain::new(&config.domain, 0).unwrap();
        let test = domain.tokens(4, "test");
        let ground = Ground {
            config: &config,
            seed: 0,
            train: domain.tokens(8, "train"),
            test,
            arms: vec![whole.objective().unwrap()],
            plain: Objective::preset("mle").unwrap(),
        };
        let base = Model::uniform(config.domain.features, config.domain.vocabulary);
        let outcome = ground.cell(&base, 0.03125, 0.3).unwrap().remove(0);
        assert_eq!(outcome.accuracy.to_bits(), outcome.accuracy_mle.to_bits());
        assert_eq!(outcome.nll_nats.to_bits(), outcome.nll_mle_nats.to_bits());
    }

    #[test]
    fn crossovers_interpolate_and_saturate() {
        let template =
            run(&SeamConfig { seeds: 2, steps: vec![Step::Own], ..SeamConfig::smoke() }).unwrap().remove(0);
        let row = |noise_rate, gain: f64, half: f64| SeamRow {
            noise_rate,
            accuracy_gain: gain,
            accuracy_gain_low: gain - half,
            accuracy_gain_high: gain + half,
            ..template.clone()
        };
        let close = |rows: &[SeamRow], expected: [f64; 3]| {
            let found = crossover(rows).unwrap();
            for (found, expected) in [found.value, found.low, found.high].into_iter().zip(expected) {
                assert!((found - expected).abs() < 1e-12, "{found} {expected}");
            }
        };
        close(&[row(0.0, 0.1, 0.05), row(0.2, -0.1, 0.05)], [0.1, 0.05, 0.15]);
        close(&[row(0.0, 0.1, 0.0), row(0.4, 0.1, 0.2)], [0.4, 0.2, 0.4]);
        assert_eq!(crossover(&[row(0.0, -0.1, 0.0), row(0.4, 0.1, 0.0)]).unwrap().value, 0.0);
        assert_eq!(crossover(&[]), None);
    }

    #[test]
    fn any_number_of_threads_gives_the_same_bits() {
        let config = SeamConfig { seeds: 2, ..SeamConfig::smoke() };
        let on = |threads| crate::on_threads(threads, || run(&config).unwrap());
        assert_eq!(on(1), on(3));
    }

    #[test]
    fn wrong_settings_are_refused() {
        let message = run(&SeamConfig { bands: 1, ..SeamConfig::smoke() }).unwrap_err().to_string();
        assert!(message.contains("bands is 1"), "{message}");
        let message = run(&SeamConfig { seeds: 1, ..SeamConfig::smoke() }).unwrap_err().to_string();
        assert!(message.contains("seeds is 1"), "{message}");
    }
}
