//! Fine-tuning under label noise along the model-capability continuum: models from untrained to strong, a small
//! training set with wrong labels, many objectives, at one learning rate and at one length of step.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{
    domain::{Domain, DomainConfig, Model, Score},
    error::{Error, refuse},
    finetune::{Finetune, Step, TrainConfig},
    objectives::{Named, alpha, named},
};
use tokensieve_base::statistics::Estimate;
use tokensieve_base::streams::Stream;

/// Everything that determines the result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContinuumConfig {
    /// Labels, features, documents, pre-training.
    pub domain: DomainConfig,
    /// Fine-tuning, equal for all objectives.
    pub train: TrainConfig,
    /// Mean probability of held-out truth before fine-tuning, ascending.
    pub capabilities: Vec<f64>,
    /// Shares of wrong labels in the training set.
    pub noise_rates: Vec<f64>,
    /// Objectives; the first is the baseline of the gains.
    pub objectives: Vec<Named>,
    /// Lengths of step.
    pub steps: Vec<Step>,
    /// Seeds 0 … seeds − 1, each a domain, a base model and a training set of its own.
    pub seeds: u64,
}

impl Default for ContinuumConfig {
    fn default() -> Self {
        let objectives = ["-log p", "-p", "-p^10", "-log p, p >= 0.2", "log(1-p)"]
            .map(named)
            .into_iter()
            .chain([0.1, 0.25, 0.5, 0.75, 1.5, 2.0, 5.0, 10.0].map(alpha))
            .collect();
        Self {
            domain: DomainConfig::default(),
            train: TrainConfig { epochs: 4, batch_documents: 8, rate: 16.0 },
            // The first is 1/V: the model that knows nothing.
            capabilities: vec![0.03125, 0.1, 0.3, 0.55, 0.75],
            noise_rates: vec![0.0, 0.1, 0.3, 0.5],
            objectives,
            steps: vec![Step::Own, Step::GradNorm],
            seeds: 16,
        }
    }
}

impl ContinuumConfig {
    /// A small version: both ends of the continuum, clean and noisy labels, few objectives and seeds.
    pub fn smoke() -> Self {
        Self {
            domain: DomainConfig { test_documents: 16, ..DomainConfig::default() },
            train: TrainConfig { epochs: 2, ..Self::default().train },
            capabilities: vec![0.03125, 0.75],
            noise_rates: vec![0.0, 0.3],
            objectives: ["-log p", "-p"].map(named).to_vec(),
            seeds: 3,
            ..Self::default()
        }
    }
}

/// One run: one seed of one cell.
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
    /// Index of the objective.
    pub objective: usize,
    /// Clean held-out accuracy before.
    pub accuracy_before: f64,
    /// Clean held-out accuracy after.
    pub accuracy: f64,
    /// Clean held-out −log p before.
    pub nll_before_nats: f64,
    /// Clean held-out −log p after.
    pub nll_nats: f64,
    /// Mean probability of the training labels, including wrong ones, before.
    pub training_likelihood_before: f64,
    /// Mean probability of the training labels, including wrong ones, after.
    pub training_likelihood: f64,
    /// Mean length of a step.
    pub step_length: f64,
}

/// One cell over all seeds, with 95 % intervals (Student). Gains are paired by seed, against the first objective.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContinuumRow {
    /// Name of the objective.
    pub objective: String,
    /// α, where the objective is one of `f_α`.
    pub alpha: Option<f64>,
    /// Length of step: `own` or `grad-norm`.
    pub step: Step,
    /// Mean probability of held-out truth before fine-tuning.
    pub capability: f64,
    /// Share of wrong labels in the training set.
    pub noise_rate: f64,
    /// Seeds behind every number.
    pub seeds: usize,
    /// Clean held-out accuracy before.
    pub accuracy_before: f64,
    /// Clean held-out accuracy after.
    pub accuracy: f64,
    /// Lower end.
    pub accuracy_low: f64,
    /// Upper end.
    pub accuracy_high: f64,
    /// Accuracy after minus before.
    pub accuracy_change: f64,
    /// Lower end.
    pub accuracy_change_low: f64,
    /// Upper end.
    pub accuracy_change_high: f64,
    /// Accuracy minus that of the first objective.
    pub accuracy_gain: f64,
    /// Lower end.
    pub accuracy_gain_low: f64,
    /// Upper end.
    pub accuracy_gain_high: f64,
    /// Clean held-out −log p before, nats.
    pub nll_before_nats: f64,
    /// Clean held-out −log p after, nats.
    pub nll_nats: f64,
    /// Lower end.
    pub nll_low_nats: f64,
    /// Upper end.
    pub nll_high_nats: f64,
    /// −log p of the first objective minus that of this one, nats: above 0 is better.
    pub nll_gain_nats: f64,
    /// Lower end.
    pub nll_gain_low_nats: f64,
    /// Upper end.
    pub nll_gain_high_nats: f64,
    /// Mean probability of the training labels before.
    pub training_likelihood_before: f64,
    /// Mean probability of the training labels after.
    pub training_likelihood: f64,
    /// Mean length of a step.
    pub step_length: f64,
}

/// All cells of one seed: capability, noise rate, step, objective, in this order.
pub fn seed(config: &ContinuumConfig, seed: u64) -> Result<Vec<Outcome>, Error> {
    let domain = Domain::new(&config.domain, seed)?;
    let test = domain.tokens(config.domain.test_documents, "continuum/test");
    let train = domain.tokens(config.domain.train_documents, "continuum/train");
    let bases = domain.pretrained(&config.capabilities, &test)?;
    let objectives = config.objectives.iter().map(Named::build).collect::<Result<Vec<_>, _>>()?;
    let scenes: Vec<Scene> = bases
        .iter()
        .zip(&config.capabilities)
        .flat_map(|(base, &capability)| {
            let on_test = base.score(&test, &test.truth);
            let train = &train;
            config.noise_rates.iter().map(move |&noise_rate| {
                let mut stream = Stream::new(seed, "continuum/noise");
                let labels = train.noisy_labels(noise_rate, config.domain.vocabulary, &mut stream);
                let on_train = base.score(train, &labels);
                Scene { base, capability, noise_rate, labels, on_test, on_train }
            })
        })
        .collect();
    let mut cells = Vec::new();
    for scene in &scenes {
        for &step in &config.steps {
            cells.extend((0..objectives.len()).map(|objective| (scene, step, objective)));
        }
    }
    cells
        .par_iter()
        .map(|&(scene, step, objective)| {
            let finetune = Finetune {
                tokens: &train,
                labels: &scene.labels,
                reference_nv: None,
                train: &config.train,
                step,
                seed,
            };
            let (model, travel) = finetune.run(scene.base, &objectives[objective])?;
            let on_test = model.score(&test, &test.truth);
            let on_train = model.score(&train, &scene.labels);
            Ok(Outcome {
                seed,
                capability: scene.capability,
                noise_rate: scene.noise_rate,
                step,
                objective,
                accuracy_before: scene.on_test.accuracy,
                accuracy: on_test.accuracy,
                nll_before_nats: scene.on_test.nll_nats,
                nll_nats: on_test.nll_nats,
                training_likelihood_before: scene.on_train.likelihood,
                training_likelihood: on_train.likelihood,
                step_length: travel.step_length,
            })
        })
        .collect()
}

/// The common start of all objectives: a base model, labels, and its results before training.
struct Scene<'a> {
    base: &'a Model,
    capability: f64,
    noise_rate: f64,
    labels: Vec<usize>,
    on_test: Score,
    on_train: Score,
}

/// The table from all seeds' outcomes, cell by cell.
pub fn summarise(config: &ContinuumConfig, seeds: &[Vec<Outcome>]) -> Result<Vec<ContinuumRow>, Error> {
    let cells = seeds.first().map_or(0, Vec::len);
    if seeds.len() < 2 {
        return refuse("continuum", "seeds", seeds.len(), "at least 2: one seed has no interval");
    }
    (0..cells)
        .map(|cell| {
            let here = &seeds[0][cell];
            let baseline = cell - here.objective;
            let over = |value: &dyn Fn(&[Outcome]) -> f64| {
                let values: Vec<f64> = seeds.iter().map(|outcomes| value(outcomes)).collect();
                config.train.mean("continuum", &values)
            };
            let accuracy = over(&|o| o[cell].accuracy)?;
            let change = over(&|o| o[cell].accuracy - o[cell].accuracy_before)?;
            let accuracy_gain = over(&|o| o[cell].accuracy - o[baseline].accuracy)?;
            let nll = over(&|o| o[cell].nll_nats)?;
            let nll_gain = over(&|o| o[baseline].nll_nats - o[cell].nll_nats)?;
            let mean = |value: &dyn Fn(&[Outcome]) -> f64| over(value).map(|e: Estimate| e.value);
            Ok(ContinuumRow {
                objective: config.objectives[here.objective].name.clone(),
                alpha: config.objectives[here.objective].alpha,
                step: here.step,
                capability: here.capability,
                noise_rate: here.noise_rate,
                seeds: seeds.len(),
                accuracy_before: mean(&|o| o[cell].accuracy_before)?,
                accuracy: accuracy.value,
                accuracy_low: accuracy.low,
                accuracy_high: accuracy.high,
                accuracy_change: change.value,
                accuracy_change_low: change.low,
                accuracy_change_high: change.high,
                accuracy_gain: accuracy_gain.value,
                accuracy_gain_low: accuracy_gain.low,
                accuracy_gain_high: accuracy_gain.high,
                nll_before_nats: mean(&|o| o[cell].nll_before_nats)?,
                nll_nats: nll.value,
                nll_low_nats: nll.low,
                nll_high_nats: nll.high,
                nll_gain_nats: nll_gain.value,
                nll_gain_low_nats: nll_gain.low,
                nll_gain_high_nats: nll_gain.high,
                training_likelihood_before: mean(&|o| o[cell].training_likelihood_before)?,
                training_likelihood: mean(&|o| o[cell].training_likelihood)?,
                step_length: mean(&|o| o[cell].step_length)?,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::float_cmp, reason = "a cell is found by the very number that it was made from")]
    use super::*;
    use crate::over_seeds;

    fn run(config: &ContinuumConfig) -> Result<Vec<ContinuumRow>, Error> {
        summarise(config, &over_seeds(0..config.seeds, |number| seed(config, number))?)
    }

    fn cell<'a>(
        rows: &'a [ContinuumRow],
        objective: &str,
        capability: f64,
        noise_rate: f64,
    ) -> &'a ContinuumRow {
        rows.iter()
            .find(|row| {
                row.objective == objective
                    && row.capability == capability
                    && row.noise_rate == noise_rate
                    && row.step == Step::Own
            })
            .unwrap()
    }

    #[test]
    fn both_ends_behave_as_the_continuum_says() {
        let rows = run(&ContinuumConfig {
            seeds: 8,
            noise_rates: vec![0.3, 0.5],
            train: ContinuumConfig::default().train,
            domain: DomainConfig::default(),
            ..ContinuumConfig::smoke()
        })
        .unwrap();
        let weak = cell(&rows, "-p", 0.03125, 0.3);
        assert!(weak.accuracy_gain_high < 0.0, "{weak:?}");
        let strong = cell(&rows, "-p", 0.75, 0.5);
        assert!(strong.nll_gain_low_nats > 0.0 && strong.accuracy_gain_low > 0.0, "{strong:?}");
        // The first objective is its own baseline.
        assert!(rows.iter().filter(|r| r.objective == "-log p").all(|r| r.accuracy_gain == 0.0));
    }

    #[test]
    fn matched_steps_are_as_long_as_those_of_log_likelihood() {
        // One step, from the same weights: after that the two paths differ.
        let config = ContinuumConfig {
            train: TrainConfig { epochs: 1, batch_documents: 1000, ..ContinuumConfig::default().train },
            ..ContinuumConfig::smoke()
        };
        let outcomes = seed(&config, 0).unwrap();
        let length = |step, objective| {
            outcomes.iter().find(|o| o.step == step && o.objective == objective).unwrap().step_length
        };
        let plain = length(Step::Own, 0);
        assert!((length(Step::GradNorm, 1) - plain).abs() < 1e-12 * plain);
        assert!((length(Step::GradNorm, 0) - plain).abs() < 1e-12 * plain);
        // At the uniform prediction −p pulls with p = 1/V.
        assert!((length(Step::Own, 1) * 32.0 - plain).abs() < 1e-9 * plain);
    }

    #[test]
    fn any_number_of_threads_gives_the_same_bits() {
        let config = ContinuumConfig::smoke();
        let on = |threads| crate::on_threads(threads, || run(&config).unwrap());
        assert_eq!(on(1), on(3));
    }

    #[test]
    fn one_seed_has_no_interval() {
        let message = run(&ContinuumConfig { seeds: 1, ..ContinuumConfig::smoke() }).unwrap_err().to_string();
        assert!(message.contains("seeds is 1"), "{message}");
    }
}
