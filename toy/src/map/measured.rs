//! Every cell measured, and predicted: what each way of training gains over plain maximum likelihood.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use tokensieve_base::streams::Stream;
use tokensieve_objective::Objective;

use super::config::{Cell, MapConfig, arms};
use super::predicted::Look;
use super::world::{Gains, Noise, Sample, World, WorldConfig};
use crate::{
    Error,
    domain::{DomainConfig, Model},
    finetune::{Finetune, Step, TrainConfig},
};

/// One arm in one cell under one seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Seed.
    pub seed: u64,
    /// Share of the facts that is new.
    pub shift: f64,
    /// Share of the tokens that are free choices.
    pub free_share: f64,
    /// Share of wrong labels.
    pub noise_rate: f64,
    /// Their kind.
    pub noise: Noise,
    /// Length of step.
    pub step: Step,
    /// Index of the arm.
    pub arm: usize,
    /// What the base does not know: 1 − accuracy.
    pub headroom: f64,
    /// Accuracy over plain maximum likelihood.
    pub accuracy_gain: f64,
    /// Divergence below plain maximum likelihood's.
    pub kl_gain: f64,
    /// Gain in mean probability predicted from the first step alone.
    pub accuracy_at_start: f64,
    /// Gain in divergence predicted from it.
    pub kl_at_start: f64,
    /// Gain in mean probability predicted along plain training.
    pub accuracy_on_the_way: f64,
    /// Gain in divergence predicted along it.
    pub kl_on_the_way: f64,
}

impl Outcome {
    pub(super) fn gains(&self) -> Gains {
        [self.accuracy_gain, self.kl_gain]
    }

    pub(super) fn at_start(&self) -> Gains {
        [self.accuracy_at_start, self.kl_at_start]
    }

    pub(super) fn on_the_way(&self) -> Gains {
        [self.accuracy_on_the_way, self.kl_on_the_way]
    }
}

/// All cells of one seed.
pub fn seed(config: &MapConfig, seed: u64) -> Result<Vec<Outcome>, Error> {
    config.check()?;
    let objectives: Vec<Objective> = arms()?.into_iter().map(|(_, objective)| objective).collect();
    // What the base learned does not depend on what changed since.
    let bases = config
        .free_shares
        .par_iter()
        .map(|&free_share| World::new(&WorldConfig { free_share, ..config.world.clone() }, seed)?.base());
    let bases: Vec<Model> = bases.collect::<Result<_, Error>>()?;
    let outcomes = config.cells().into_par_iter().map(|cell| {
        let domain = DomainConfig { shift: cell.shift, ..config.world.domain.clone() };
        let world = WorldConfig { domain, free_share: cell.free_share, ..config.world.clone() };
        Ground::new(config, &World::new(&world, seed)?, seed, cell, &bases[cell.base]).outcomes(&objectives)
    });
    Ok(outcomes.collect::<Result<Vec<_>, Error>>()?.concat())
}

/// One cell under one seed.
pub(super) struct Ground<'a> {
    config: &'a MapConfig,
    world: &'a World,
    seed: u64,
    cell: Cell,
    base: &'a Model,
    pub(super) train: Sample,
    labels: Vec<usize>,
    pub(super) test: Sample,
}

impl<'a> Ground<'a> {
    pub(super) fn new(
        config: &'a MapConfig,
        world: &'a World,
        seed: u64,
        cell: Cell,
        base: &'a Model,
    ) -> Self {
        let train = world.sample(config.world.domain.train_documents, "map/train");
        let test = world.sample(config.world.domain.test_documents, "map/test");
        let labels = world.labels(&train, cell.noise_rate, cell.noise, &mut Stream::new(seed, "map/noise"));
        Self { config, world, seed, cell, base, train, labels, test }
    }

    /// The base after so many epochs of an objective.
    pub(super) fn trained(
        &self,
        epochs: usize,
        reference_nv: Option<&[f64]>,
        step: Step,
        objective: &Objective,
    ) -> Result<Model, Error> {
        let finetune = Finetune {
            tokens: &self.train.tokens,
            labels: &self.labels,
            reference_nv,
            train: &TrainConfig { epochs, ..self.config.train.clone() },
            step,
            seed: self.seed,
        };
        Ok(finetune.run(self.base, objective)?.0)
    }

    fn outcomes(&self, objectives: &[Objective]) -> Result<Vec<Outcome>, Error> {
        let plain = Objective::preset("mle")?;
        let epochs = self.config.train.epochs;
        // Plain training with steps of its own length is as long as itself: one twin for both.
        let mut path = vec![self.base.clone()];
        for epochs in 1..=epochs {
            path.push(self.trained(epochs, None, Step::Own, &plain)?);
        }
        let twin = &path[epochs];
        let reference_nv = twin.probabilities(&self.train.tokens);
        let known = |model: &Model| self.world.known(model, &self.test);
        let (before, of_twin) = (known(self.base), known(twin));
        let looks: Vec<Look<'_>> =
            path[..epochs].iter().map(|model| self.look(model, &reference_nv)).collect();
        let predicted =
            |objective| looks.iter().map(|look| look.epoch(objective)).collect::<Result<Vec<_>, _>>();
        let of_plain = predicted(&plain)?;
        let mut outcomes = Vec::with_capacity(self.config.steps.len() * objectives.len());
        for (arm, objective) in objectives.iter().enumerate() {
            let of_arm = predicted(objective)?;
            for &step in &self.config.steps {
                let known = known(&self.trained(epochs, Some(&reference_nv), step, objective)?);
                let over_plain = |look: usize, measure: usize| {
                    of_arm[look].of(step)[measure] - of_plain[look].of(step)[measure]
                };
                let at_start = [0, 1].map(|measure| epochs as f64 * over_plain(0, measure));
                let on_the_way =
                    [0, 1].map(|measure| (0..epochs).map(|look| over_plain(look, measure)).sum());
                let Cell { shift, free_share, noise_rate, noise, .. } = self.cell;
                outcomes.push(Outcome {
                    seed: self.seed,
                    shift,
                    free_share,
                    noise_rate,
                    noise,
                    step,
                    arm,
                    headroom: 1.0 - before.accuracy,
                    accuracy_gain: known.accuracy - of_twin.accuracy,
                    kl_gain: of_twin.kl_nats - known.kl_nats,
                    accuracy_at_start: at_start[0],
                    kl_at_start: at_start[1],
                    accuracy_on_the_way: on_the_way[0],
                    kl_on_the_way: on_the_way[1],
                });
            }
        }
        Ok(outcomes)
    }

    /// What is predicted from, at a model on the way.
    pub(super) fn look<'b>(&'b self, model: &Model, reference_nv: &'b [f64]) -> Look<'b> {
        let ascent = self.world.ascent(model, &self.test);
        Look::new(model, ascent, &self.train.tokens, &self.labels, reference_nv, &self.config.train)
    }
}
