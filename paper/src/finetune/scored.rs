//! Runs whose held-out tokens are scored one by one: after them, and on their way.

use super::plan::{BEFORE, Cell, Scored};
use super::work::{READING_SPEED, TOKENS, Work};
use crate::lab::{Job, Value, Verb};
use crate::planned::{Rate, Stage};
use crate::tokens::RATE;
use anyhow::{Context as _, Result};
use std::sync::Arc;

/// What the scoring after so many steps is called.
pub fn after(step: u64) -> String {
    format!("after {step}")
}

impl Work {
    /// The steps on their way after which models are scored.
    pub fn looks(&self) -> &[u64] {
        &self.size.looks
    }

    /// The scorings of the first seed's run of an arm, before training, on its way and after it, by steps.
    pub fn way_of(&self, arm: &str, data: &str) -> Result<Vec<(u64, Arc<Job>)>> {
        let seed = self.plan.seeds.of(Stage::Main)[0];
        let cell = Cell { seed, data: data.to_owned(), arm: arm.to_owned(), rate: Rate::Tuned };
        let place = &self.plan.scored.places[0];
        let find = |cell: &Cell, name: &str| -> Result<Arc<Job>> {
            let found = self.scorings(cell)?.into_iter().find(|(known, _)| known == name);
            found.map(|(_, job)| job).with_context(|| format!("{cell} is not scored"))
        };
        let mut way = vec![(0, find(&cell.before(), place)?)];
        for step in &self.size.looks {
            way.push((*step, find(&cell, &after(*step))?));
        }
        way.push((self.steps(data)?, find(&cell, place)?));
        Ok(way)
    }

    /// Whether the tokens of held-out documents are scored one by one.
    pub(super) fn is_scored(&self, cell: &Cell) -> bool {
        let Scored { data, arms, seeds, .. } = &self.plan.scored;
        cell.rate == Rate::Tuned
            && self.plan.seeds.first(*seeds).contains(&cell.seed)
            && data.contains(&cell.data)
            && arms.contains(&cell.arm)
    }

    /// Whether they are on the way, too.
    pub(super) fn is_followed(&self, cell: &Cell) -> bool {
        self.is_scored(cell) && self.plan.scored.way.contains(&cell.arm) && !self.size.looks.is_empty()
    }

    /// The scorings of a run, by their names: by dropout in each place, and without after so many steps.
    pub fn scorings(&self, cell: &Cell) -> Result<Vec<(String, Arc<Job>)>> {
        let mut scorings = Vec::new();
        if !self.is_scored(cell) {
            return Ok(scorings);
        }
        let run = match cell.arm.as_str() {
            BEFORE => None,
            _ => Some(self.trained(cell, &self.training_data(cell)?)?.shared()),
        };
        let adapter = |file: String| run.clone().map(|run| Value::Result(run, file.into()));
        for place in &self.plan.scored.places {
            let job = self.scoring(place, cell, adapter("adapter".to_owned()), self.size.passes)?;
            let job = job.set("rate", RATE).set("places", place.as_str());
            scorings.push((place.clone(), job.shared()));
        }
        if self.is_followed(cell) {
            for step in &self.size.looks {
                let name = after(*step);
                let job = self.scoring(&name, cell, adapter(format!("step-{step}")), 0)?;
                scorings.push((name, job.shared()));
            }
        }
        Ok(scorings)
    }

    fn scoring(&self, name: &str, cell: &Cell, adapter: Option<Value>, passes: u64) -> Result<Job> {
        let data = self.plan.data(&cell.data)?;
        let documents = self.size.scored.min(self.held_out_rows(data));
        let job = Job::new(Verb::Uncertainty, format!("score {cell}: {name}"))
            .argument(Value::output(&self.held_out(data, cell.seed)?))
            .set("n", documents as i64)
            .set("passes", passes as i64)
            .set("max-length", data.max_tokens.unwrap_or(self.plan.training.max_tokens) as i64)
            .set("skip-bad", true)
            .set("precision", self.plan.dtype.as_str())
            .taking((documents * (passes + 1)) as f64 * TOKENS / READING_SPEED);
        let job = self.starting(job, "model", data)?;
        Ok(adapter.into_iter().fold(job, |job, adapter| job.set("adapter", adapter)))
    }
}
