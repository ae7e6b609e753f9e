//! A study's runs: which of them are done, kept, tuned by and tested.

use super::{Candidates, Decided, Declared, Outcomes, Power, Seeds, Stage};
use crate::Run;
use crate::lab::{Job, Lab};
use anyhow::Result;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::Path;
use std::sync::Arc;

/// The runs of a committed plan in one size.
pub trait PlannedRuns {
    /// What is measured of a run.
    type Found: Serialize + DeserializeOwned;

    /// The file of the repository that keeps what came of the runs.
    const KEPT: &'static str;

    /// What it keeps.
    fn recorded() -> Result<Outcomes<Self::Found>>;

    /// Whether this is the size whose outcomes it keeps.
    fn is_kept(&self) -> bool;

    /// The plan's seeds.
    fn seeds(&self) -> Seeds;

    /// The plan's primary claims.
    fn claims(&self) -> &[Declared];

    /// Adds what a lab has of a stage's runs that are not among the outcomes yet.
    fn add(&self, outcomes: &mut Outcomes<Self::Found>, stage: Stage, lab: &Lab) -> Result<()>;

    /// The jobs of a stage's runs that are not among the outcomes, seed by seed.
    fn absent(&self, outcomes: &Outcomes<Self::Found>, stage: Stage) -> Result<Vec<Arc<Job>>>;

    /// What the candidates of each arm's learning rate came to.
    fn tried(&self, outcomes: &Outcomes<Self::Found>) -> Result<Vec<Candidates>>;

    /// The values of both terms of a claim in the runs of some seeds, as far as there are both.
    fn pairs(
        &self,
        outcomes: &Outcomes<Self::Found>,
        claim: &Declared,
        seeds: [u64; 2],
    ) -> Result<Vec<[f64; 2]>>;

    /// What the repository keeps of this size.
    fn known(&self) -> Result<Outcomes<Self::Found>> {
        if self.is_kept() { Self::recorded() } else { Ok(Outcomes::default()) }
    }

    /// The jobs of a stage's runs of which nothing is kept.
    fn missing(&self, stage: Stage) -> Result<Vec<Arc<Job>>> {
        self.absent(&self.known()?, stage)
    }

    /// The outcomes of the results' runs: those that are kept are read, others are done first.
    fn done(&self, run: &Run) -> Result<Outcomes<Self::Found>> {
        let mut outcomes = self.known()?;
        let jobs = self.absent(&outcomes, Stage::Main)?;
        run.jobs(&jobs.iter().map(AsRef::as_ref).collect::<Vec<_>>())?;
        self.add(&mut outcomes, Stage::Main, run.lab())?;
        Ok(outcomes)
    }

    /// Adds what a lab has of finished runs to a file.
    fn collect(&self, lab: &Lab, file: &Path) -> Result<Collected> {
        let mut outcomes = if file.exists() { Outcomes::read(file)? } else { Outcomes::default() };
        let mut stage = |stage: Stage| -> Result<_> {
            let before = outcomes.len();
            self.add(&mut outcomes, stage, lab)?;
            let missing = self.absent(&outcomes, stage)?.len();
            Ok(OfStage { stage, added: outcomes.len() - before, missing })
        };
        let stages = [stage(Stage::Tuning)?, stage(Stage::Main)?];
        outcomes.write(file)?;
        Ok(Collected { stages, total: outcomes.len() })
    }

    /// What tuning found, of the runs that are kept.
    fn candidates(&self) -> Result<Vec<Candidates>> {
        self.tried(&Self::recorded()?)
    }

    /// What the primary claims' tests will find, by the pilot's runs in a lab.
    fn power(&self, lab: &Lab) -> Result<Vec<Power>> {
        let mut outcomes = Outcomes::default();
        self.add(&mut outcomes, Stage::Pilot, lab)?;
        let seeds = self.seeds();
        let pairs = |claim: &Declared| self.pairs(&outcomes, claim, seeds.pilot);
        Power::all(self.claims(), Seeds::all(seeds.main).count(), pairs)
    }

    /// The primary claims, decided by the runs.
    fn decided(&self, outcomes: &Outcomes<Self::Found>) -> Result<Vec<Decided>> {
        Decided::all(self.claims(), |claim| self.pairs(outcomes, claim, self.seeds().main))
    }
}

/// What [`PlannedRuns::collect`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collected {
    /// Of tuning and of the results.
    pub stages: [OfStage; 2],
    /// Runs in the file.
    pub total: usize,
}

/// What it did for a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OfStage {
    /// The stage.
    pub stage: Stage,
    /// Runs that were added.
    pub added: usize,
    /// Jobs that are missing.
    pub missing: usize,
}
