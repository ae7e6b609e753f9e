//! What determines the map: its world, its cells, its ways of training.

use serde::{Deserialize, Serialize};
use tokensieve_objective::Objective;

use super::world::{Noise, WorldConfig};
use crate::{
    domain::DomainConfig,
    error::{Error, refuse},
    finetune::{Step, TrainConfig},
    objectives::{alpha, named},
    seam,
};

/// Everything that determines the map.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MapConfig {
    /// The world; its share of new facts and of free choices are those of the cells.
    pub world: WorldConfig,
    /// Fine-tuning, the same for all arms.
    pub train: TrainConfig,
    /// Shares of the facts that are new.
    pub shifts: Vec<f64>,
    /// Shares of the tokens that are free choices.
    pub free_shares: Vec<f64>,
    /// Shares of wrong labels in the training set, ascending from 0.
    pub noise_rates: Vec<f64>,
    /// Kinds of wrong labels.
    pub noises: Vec<Noise>,
    /// Lengths of step.
    pub steps: Vec<Step>,
    /// Seeds 0 … choosing − 1 say which arm looks best in a cell.
    pub choosing: usize,
    /// Seeds 0 … seeds − 1, each a world, a base and a training set of its own.
    pub seeds: u64,
}

impl Default for MapConfig {
    fn default() -> Self {
        Self {
            world: WorldConfig {
                domain: DomainConfig { pretrain_steps: 16_000, ..DomainConfig::default() },
                kinds: 4,
                choices: 8,
                free_share: 0.0,
                certainty: 0.75,
            },
            train: TrainConfig { epochs: 4, batch_documents: 8, rate: 16.0 },
            shifts: vec![0.01, 0.1, 0.3, 0.6],
            free_shares: vec![0.0, 0.25, 0.5],
            noise_rates: vec![0.0, 0.1, 0.2, 0.3, 0.4],
            noises: vec![Noise::Uniform, Noise::Confusable],
            steps: vec![Step::Own, Step::GradNorm],
            choosing: 8,
            seeds: 24,
        }
    }
}

impl MapConfig {
    /// Corners of the map, few seeds.
    pub fn smoke() -> Self {
        let full = Self::default();
        Self {
            world: WorldConfig {
                domain: DomainConfig { train_documents: 16, test_documents: 16, ..full.world.domain },
                certainty: 0.5,
                ..full.world
            },
            train: TrainConfig { epochs: 2, ..full.train },
            shifts: vec![0.01, 0.6],
            free_shares: vec![0.0, 0.5],
            noise_rates: vec![0.0, 0.3],
            choosing: 2,
            seeds: 4,
            ..full
        }
    }

    /// All cells: what is new, free, wrong, and how.
    pub(super) fn cells(&self) -> Vec<Cell> {
        let mut cells = Vec::new();
        for &shift in &self.shifts {
            for (base, &free_share) in self.free_shares.iter().enumerate() {
                for &noise_rate in &self.noise_rates {
                    // Without wrong labels their kinds are the same.
                    let noises = if noise_rate == 0.0 { &self.noises[..1] } else { &self.noises[..] };
                    cells.extend(noises.iter().map(|&noise| Cell {
                        shift,
                        base,
                        free_share,
                        noise_rate,
                        noise,
                    }));
                }
            }
        }
        cells
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        if self.choosing < 2 || self.seeds < self.choosing as u64 + 2 {
            let found = format!("{} of {} seeds", self.choosing, self.seeds);
            return refuse("map", "choosing", found, "at least 2, and leave at least 2");
        }
        if self.noises.is_empty() {
            return refuse("map", "noises", "empty", "at least one kind");
        }
        Ok(())
    }
}

const QUARTERS: usize = 4;

/// All ways of training that are compared with plain maximum likelihood, with the names that tables give them.
pub(super) fn arms() -> Result<Vec<(String, Objective)>, Error> {
    let quarters = [false, true].into_iter().flat_map(|distil| {
        (0..QUARTERS).map(move |k| {
            let band = (k as f64 / QUARTERS as f64, (k + 1) as f64 / QUARTERS as f64);
            let rest = if distil { ", rest distilled" } else { "" };
            let objective = seam::Arm { band: Some(band), distil }.objective();
            objective.map(|objective| (format!("quarter {}{rest}", k + 1), objective))
        })
    });
    let weighted = ["-p", "-p^10", "log(1-p)", "-log p, p >= 0.2"].map(named).into_iter().chain([alpha(0.5)]);
    let weighted = weighted.map(|named| named.build().map(|objective| (named.name.clone(), objective)));
    quarters.chain(weighted).collect()
}

/// One place of the map.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cell {
    /// Share of the facts that is new.
    pub shift: f64,
    /// Place of the share of free choices, by which bases differ.
    pub base: usize,
    /// Share of the tokens that are free choices.
    pub free_share: f64,
    /// Share of wrong labels.
    pub noise_rate: f64,
    /// Their kind.
    pub noise: Noise,
}
