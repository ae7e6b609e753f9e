//! Runs that primary claims compare, with learning rates of their own: how these are chosen, what the claims' tests will find,
//! and what they come to.

use super::outcomes::Measured;
use super::{Candidates, Decided, Declared, Outcomes, PlannedRuns, Power, Seeds, Stage};
use crate::lab::Lab;
use anyhow::Result;
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;
use std::fmt;

/// What a claim compares: a measure of the runs that seeds have of something, of which `F` is found.
pub trait ClaimTerm<F>: DeserializeOwned {
    /// A run.
    type Cell: fmt::Display;

    /// The run of a seed.
    fn cell(&self, seed: u64) -> Self::Cell;

    /// The measure in what was found of a run.
    fn value(&self, found: &F) -> Option<f64>;
}

impl<F: Measured> Outcomes<F> {
    /// The value of a term in the run of a seed.
    pub fn value(&self, term: &impl ClaimTerm<F>, seed: u64) -> Option<f64> {
        term.value(self.get(&term.cell(seed).to_string())?)
    }
}

/// A plan's runs with its primary claims.
pub trait Claimed: PlannedRuns {
    /// What a claim compares.
    type Term: ClaimTerm<Self::Found, Cell = Self::Cell>;

    /// The plan's seeds.
    fn seeds(&self) -> &Seeds;

    /// The plan's primary claims.
    fn claims(&self) -> &[Declared];

    /// What the candidates of each arm's learning rate came to.
    fn tried(&self, outcomes: &Outcomes<Self::Found>) -> Result<Vec<Candidates>>;

    /// Whether there are rows for a run.
    fn can_run(&self, _: &Self::Cell) -> bool {
        true
    }

    /// What the primary claims compare, on a stage's seeds.
    fn compared(&self, stage: Stage) -> Result<Vec<Self::Cell>> {
        let mut cells = Vec::new();
        for seed in self.seeds().of(stage) {
            for claim in self.claims() {
                let terms: [Self::Term; 2] = claim.terms()?;
                cells.extend(terms.iter().map(|term| term.cell(seed)).filter(|cell| self.can_run(cell)));
            }
        }
        Ok(cells)
    }

    /// The seeds of a stage on which both runs that a claim compares are planned.
    fn planned(&self, claim: &Declared, stage: Stage) -> Result<Vec<u64>> {
        let planned: BTreeSet<String> = self.cells(stage)?.iter().map(ToString::to_string).collect();
        let terms: [Self::Term; 2] = claim.terms()?;
        let both = |seed: &u64| terms.iter().all(|term| planned.contains(&term.cell(*seed).to_string()));
        Ok(self.seeds().of(stage).into_iter().filter(both).collect())
    }

    /// The values of both terms of a claim on each of these seeds, where there are both.
    fn pairs(
        &self,
        outcomes: &Outcomes<Self::Found>,
        claim: &Declared,
        stage: Stage,
    ) -> Result<Vec<Option<[f64; 2]>>> {
        let [of, versus]: [Self::Term; 2] = claim.terms()?;
        let both = |seed| Some([outcomes.value(&of, seed)?, outcomes.value(&versus, seed)?]);
        Ok(self.planned(claim, stage)?.into_iter().map(both).collect())
    }

    /// What tuning found, of the runs that are kept.
    fn candidates(&self) -> Result<Vec<Candidates>> {
        self.tried(&self.known()?)
    }

    /// What the primary claims' tests will find, by the pilot's runs in a lab.
    fn power(&self, lab: &Lab) -> Result<Vec<Power>> {
        let mut outcomes = Outcomes::default();
        self.add(&mut outcomes, Stage::Pilot, lab)?;
        let seeds = |claim: &Declared| Ok(self.planned(claim, Stage::Main)?.len());
        let pairs = |claim: &Declared| {
            Ok(self.pairs(&outcomes, claim, Stage::Pilot)?.into_iter().flatten().collect())
        };
        Power::all(self.claims(), seeds, pairs)
    }

    /// The primary claims, decided by the runs.
    fn decided(&self, outcomes: &Outcomes<Self::Found>) -> Result<Vec<Decided>> {
        Decided::all(self.claims(), |claim| self.pairs(outcomes, claim, Stage::Main))
    }
}
