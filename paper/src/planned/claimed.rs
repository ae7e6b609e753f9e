//! Runs that primary claims compare, with learning rates of their own: how these are chosen, what the claims' tests will find,
//! and what they come to.

use super::{Candidates, Decided, Declared, Outcomes, PlannedRuns, Power, Seeds, Stage};
use crate::lab::Lab;
use anyhow::Result;
use serde::de::DeserializeOwned;

/// A plan's runs with its primary claims.
pub trait Claimed: PlannedRuns {
    /// What a claim compares.
    type Term: DeserializeOwned;

    /// The plan's seeds.
    fn seeds(&self) -> &Seeds;

    /// The plan's primary claims.
    fn claims(&self) -> &[Declared];

    /// The run of a seed that a claim compares.
    fn cell(term: &Self::Term, seed: u64) -> Self::Cell;

    /// The value of a term in the run of a seed.
    fn value(outcomes: &Outcomes<Self::Found>, term: &Self::Term, seed: u64) -> Option<f64>;

    /// What the candidates of each arm's learning rate came to.
    fn tried(&self, outcomes: &Outcomes<Self::Found>) -> Result<Vec<Candidates>>;

    /// Whether there are data for a run.
    fn can_run(&self, _: &Self::Cell) -> bool {
        true
    }

    /// What the primary claims compare, on a stage's seeds.
    fn compared(&self, stage: Stage) -> Result<Vec<Self::Cell>> {
        let mut cells = Vec::new();
        for seed in self.seeds().of(stage) {
            for claim in self.claims() {
                let terms: [Self::Term; 2] = claim.terms()?;
                cells.extend(
                    terms.iter().map(|term| Self::cell(term, seed)).filter(|cell| self.can_run(cell)),
                );
            }
        }
        Ok(cells)
    }

    /// The values of both terms of a claim in the runs of a stage's seeds, as far as there are both.
    fn pairs(
        &self,
        outcomes: &Outcomes<Self::Found>,
        claim: &Declared,
        stage: Stage,
    ) -> Result<Vec<[f64; 2]>> {
        let [of, versus] = claim.terms()?;
        let value = |term, seed| Self::value(outcomes, term, seed);
        let both = |seed| Some([value(&of, seed)?, value(&versus, seed)?]);
        Ok(self.seeds().of(stage).into_iter().filter_map(both).collect())
    }

    /// What tuning found, of the runs that are kept.
    fn candidates(&self) -> Result<Vec<Candidates>> {
        self.tried(&Self::recorded()?)
    }

    /// What the primary claims' tests will find, by the pilot's runs in a lab.
    fn power(&self, lab: &Lab) -> Result<Vec<Power>> {
        let mut outcomes = Outcomes::default();
        self.add(&mut outcomes, Stage::Pilot, lab)?;
        let main = self.seeds().of(Stage::Main);
        let seeds = |claim: &Declared| -> Result<usize> {
            let terms: [Self::Term; 2] = claim.terms()?;
            let can_run = |seed: &&u64| terms.iter().all(|term| self.can_run(&Self::cell(term, **seed)));
            Ok(main.iter().filter(can_run).count())
        };
        Power::all(self.claims(), seeds, |claim| self.pairs(&outcomes, claim, Stage::Pilot))
    }

    /// The primary claims, decided by the runs.
    fn decided(&self, outcomes: &Outcomes<Self::Found>) -> Result<Vec<Decided>> {
        Decided::all(self.claims(), |claim| self.pairs(outcomes, claim, Stage::Main))
    }
}
