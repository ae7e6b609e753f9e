//! The runs that the plan asks for, as jobs of the lab.

use super::plan::{Arm, Cell, Data, Group, Looks, Plan, Pretraining, Size, Tuning};
use crate::Profile;
use crate::lab::{Job, Value, Verb, job::MODEL};
use crate::planned::{PLAIN, Rate, Reference, Stage, size};
use crate::tokens::RATE;
use anyhow::{Context as _, Result};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Tokens of a document on average, and tokens per second of training on one core: for estimates of time.
const TOKENS: f64 = 60.0;
const SPEED: f64 = 15_000.0;

/// The plan in one size.
#[derive(Clone, Debug)]
pub struct Work {
    /// The plan.
    pub plan: Plan,
    /// The name of the size.
    pub(super) name: String,
    pub(super) size: Size,
}

impl Work {
    /// The committed plan at a profile's size.
    pub fn of(profile: Profile) -> Result<Self> {
        let plan = Plan::load()?;
        let (name, size) = size::of(&plan.sizes, profile)?;
        let (name, size) = (name.to_owned(), size.clone());
        Ok(Self { plan, name, size })
    }

    /// The same with more data to train on, each called as its split.
    #[must_use]
    pub fn with_splits(mut self, splits: &[String]) -> Self {
        let data = splits.iter().map(|split| (split.clone(), Data { split: split.clone(), rows: None }));
        self.plan.data.extend(data);
        self
    }

    /// The same with models that are pretrained no further than to a capability.
    #[must_use]
    pub fn pretrained_to(&self, from: usize) -> Self {
        let mut work = self.clone();
        work.size.checkpoints.truncate(from);
        work
    }

    /// Every arm at every candidate of its learning rate.
    pub(super) fn tuned(&self) -> Vec<Cell> {
        let Tuning { rates, from, data, .. } = &self.plan.tuning;
        let mut cells = Vec::new();
        for seed in self.plan.seeds.of(Stage::Tuning) {
            for from in from {
                for data in data {
                    let tuned = self.plan.arms.iter().filter(|(_, arm)| !arm.fixed_rate);
                    for (arm, _) in tuned {
                        cells.extend(rates.iter().map(|rate| Cell {
                            seed,
                            from: *from,
                            data: data.clone(),
                            arm: arm.clone(),
                            rate: Rate::Tried(*rate),
                            look: None,
                        }));
                    }
                }
            }
        }
        cells
    }

    /// What a group runs.
    pub(super) fn of_group(&self, group: &Group) -> Vec<Cell> {
        let looks: Vec<Option<u64>> = match group.looks {
            Looks::Last => vec![None],
            Looks::Way => self.looks().into_iter().map(|(look, _)| look).collect(),
            Looks::Before => vec![Some(0)],
        };
        let mut cells = Vec::new();
        for seed in self.seeds(&group.seeds) {
            for from in self.run_of(&group.from) {
                for data in self.run_of(&group.data) {
                    for arm in &group.arms {
                        let (data, arm) = (data.clone(), arm.clone());
                        let cell = Cell { seed, from: *from, data, arm, rate: group.rate, look: None };
                        cells.extend(looks.iter().map(|look| Cell { look: *look, ..cell.clone() }));
                    }
                }
            }
        }
        cells
    }

    /// When a group that looks on the way measures, with the step that this is.
    pub fn looks(&self) -> Vec<(Option<u64>, u64)> {
        let on_the_way = self.size.looks.iter().copied().filter(|step| *step < self.steps());
        let mut looks: Vec<_> = std::iter::once(0).chain(on_the_way).map(|step| (Some(step), step)).collect();
        looks.push((None, self.steps()));
        looks
    }

    /// Steps of post-training.
    fn steps(&self) -> u64 {
        self.size.rows / self.plan.post_training.batch
    }

    /// What this size runs of a group's capabilities or data.
    pub(super) fn run_of<'a, T>(&self, all: &'a [T]) -> &'a [T] {
        if self.size.first_only { &all[..all.len().min(1)] } else { all }
    }

    /// As many of the main seeds as `counts` says for this size.
    pub(super) fn seeds(&self, counts: &BTreeMap<String, u64>) -> impl Iterator<Item = u64> + use<> {
        self.plan.seeds.first(counts.get(&self.name).copied().unwrap_or(0)).into_iter()
    }

    /// So many documents of a split of a seed's language, from one on.
    fn documents(split: &str, seed: u64, first: u64, rows: u64) -> Arc<Job> {
        Job::made("oracle", split, seed, first, rows).shared()
    }

    /// Pretraining, which leaves a model for each capability.
    pub fn pretrained(&self, seed: u64) -> Arc<Job> {
        let Size { pretraining_rows: rows, checkpoints, .. } = &self.size;
        let steps = checkpoints.last().copied().unwrap_or(1);
        let data = Self::documents("pretrain", seed, 0, *rows);
        let Pretraining { batch, rate } = self.plan.pretraining;
        self.training(format!("oracle pretraining seed {seed}"), &data, steps, batch)
            .set("train.full", true)
            .set("train.lr", rate)
            .set("train.seed", seed as i64)
            .saving_at(checkpoints)
            .set_table("model.init", &self.plan.model)
            .set("model.init.seed", seed as i64)
            .shared()
    }

    pub(super) fn training(&self, name: String, data: &Arc<Job>, steps: u64, batch: u64) -> Job {
        Job::new(Verb::Train, name)
            .set("data.train", Value::output(data))
            .set("data.format", "text")
            .set("model.dtype", self.plan.dtype.as_str())
            .set("train.steps", steps as i64)
            .set("train.batch_size", batch as i64)
            .set("log.tensorboard", false)
            .taking((steps * batch) as f64 * TOKENS / SPEED)
    }

    /// The model that post-training starts from.
    pub(crate) fn start(&self, seed: u64, from: usize) -> Result<Value> {
        let step = from.checked_sub(1).and_then(|at| self.size.checkpoints.get(at));
        let step = step.with_context(|| format!("no capability {from}"))?;
        Ok(Value::Result(self.pretrained(seed), format!("step-{step}").into()))
    }

    /// Post-training data: the split, and the number of rows that are trained on.
    fn data(&self, name: &str) -> Result<(&str, u64)> {
        let data = self.plan.data.get(name).with_context(|| format!("no data are called `{name}`"))?;
        Ok((&data.split, data.rows.unwrap_or(self.size.rows).min(self.size.rows)))
    }

    /// The documents that a run trains on.
    pub(crate) fn training_data(&self, cell: &Cell) -> Result<Arc<Job>> {
        let (split, rows) = self.data(&cell.data)?;
        Ok(Self::documents(split, cell.seed, 0, rows))
    }

    /// A post-training run, without measures.
    pub(super) fn trained(&self, cell: &Cell) -> Result<Job> {
        self.trained_on(&self.training_data(cell)?, cell)
    }

    fn trained_on(&self, data: &Arc<Job>, cell: &Cell) -> Result<Job> {
        let arm = self.plan.arms.get(&cell.arm).with_context(|| format!("no arm `{}`", cell.arm))?;
        let steps = (arm.steps * self.steps() as f64).round() as u64;
        let rate = match cell.rate {
            Rate::Tried(rate) => rate,
            rate => self.plan.arms[rate.arm_of(&cell.arm)].rate,
        };
        let batch = self.plan.post_training.batch;
        let mut job = self
            .training(format!("train {cell}"), data, steps, batch)
            .set("model.source", self.start(cell.seed, cell.from)?)
            .set("train.lr", rate)
            .set("train.seed", cell.seed as i64)
            .with_objective(&arm.objective, cell.rate);
        job = match arm.ranks.as_slice() {
            [] => job.set("train.full", true),
            ranks => job.with_ranks(ranks, steps as usize),
        };
        if self.is_looked_at(cell) {
            job = job.saving_at(&self.size.looks);
        }
        if arm.estimates {
            job = job.set("data.uncertainty", Value::output(&self.estimates(cell)?.shared()));
        }
        self.with_reference(job, cell, arm)
    }

    fn with_reference(&self, job: Job, cell: &Cell, arm: &Arm) -> Result<Job> {
        Ok(match arm.reference {
            Reference::None => job,
            Reference::Start => job.set("reference.model", self.start(cell.seed, cell.from)?),
            Reference::Twin => {
                let twin = self.trained(&cell.plain())?.shared();
                job.set("reference.model", Value::Result(twin, MODEL.into()))
            }
            Reference::Clean => job.set("reference.model", Value::Result(self.clean(cell)?, MODEL.into())),
            Reference::Truth => {
                let (split, _) = self.data(&cell.data)?;
                let Cell { seed, from, data: name, .. } = cell;
                let truth = Job::new(Verb::Truth, format!("truth of {name} from {from} seed {seed}"))
                    .argument("--oracle")
                    .argument(split)
                    .argument("--seed")
                    .argument(cell.seed.to_string())
                    .set("model.source", self.start(cell.seed, cell.from)?)
                    .set("data.train", Value::output(&self.training_data(cell)?))
                    .set("data.format", "text")
                    .taking(1.0);
                job.set("reference.topk", Value::output(&truth.shared()))
            }
        })
    }

    /// Plain training on other rows without wrong values.
    pub(super) fn clean(&self, cell: &Cell) -> Result<Arc<Job>> {
        let rows = self.size.rows;
        let documents = Self::documents("train", cell.seed, rows, rows);
        let mut job = self.trained_on(&documents, &cell.plain())?;
        job.name.push_str(" on clean rows");
        Ok(job.shared())
    }

    /// Uncertainty of the rows that a run trains on, by the model that it starts from.
    fn estimates(&self, cell: &Cell) -> Result<Job> {
        let (_, rows) = self.data(&cell.data)?;
        let Cell { seed, from, data, .. } = cell;
        let name = format!("uncertainty of {data} from {from} seed {seed}");
        Ok(self.dropout(name, &self.training_data(cell)?, rows, self.start(*seed, *from)?, "attention"))
    }

    /// Uncertainty of some rows by dropout in a place.
    pub(super) fn dropout(&self, name: String, data: &Arc<Job>, rows: u64, model: Value, place: &str) -> Job {
        let passes = self.size.passes;
        self.uncertainty(name, data, model)
            .set("passes", passes as i64)
            .set("rate", RATE)
            .set("places", place)
            .taking((rows * (passes + 1)) as f64 * TOKENS / (3.0 * SPEED))
    }

    /// Uncertainty of some rows, from what the job says further.
    pub(super) fn uncertainty(&self, name: String, data: &Arc<Job>, model: Value) -> Job {
        Job::new(Verb::Uncertainty, name)
            .argument(Value::output(data))
            .set("model", model)
            .set("format", "text")
            .set("precision", self.plan.dtype.as_str())
    }

    /// Whether a figure follows the run's way.
    fn is_looked_at(&self, cell: &Cell) -> bool {
        let has = |all: &[String], one: &str| all.iter().any(|known| known == one);
        let follows = |group: &Group| {
            group.looks == Looks::Way
                && has(&group.arms, &cell.arm)
                && has(&group.data, &cell.data)
                && group.from.contains(&cell.from)
        };
        cell.rate == Rate::Tuned && self.plan.groups.iter().any(follows)
    }

    /// A post-training run with its measures. Models that others distil from, or that are measured on their way, are kept.
    pub fn measured(&self, cell: &Cell) -> Result<Arc<Job>> {
        let evaluation = self.evaluation(cell)?;
        if cell.look == Some(0) {
            return Ok(evaluation.set("model", self.start(cell.seed, cell.from)?).shared());
        }
        let trained = self.trained(cell)?;
        if !self.plan.arms[&cell.arm].ranks.is_empty() {
            let start = self.start(cell.seed, cell.from)?;
            let evaluation = evaluation.set("model", start).set("adapter", Value::Own("adapter".into()));
            return Ok(trained.then(evaluation).shared());
        }
        if cell.arm != PLAIN && !self.is_looked_at(cell) {
            return Ok(trained.then(evaluation.set("model", Value::Own(MODEL.into()))).shared());
        }
        let model = cell.look.map_or_else(|| MODEL.into(), |step| format!("step-{step}").into());
        Ok(evaluation.set("model", Value::Result(trained.shared(), model)).shared())
    }

    fn evaluation(&self, cell: &Cell) -> Result<Job> {
        let sets = self.sets(cell)?.into_iter().map(|(_, documents)| Value::Task("oracle", documents));
        Ok(Job::new(Verb::Evaluate, format!("evaluate {cell}"))
            .set("suite", Value::List(sets.collect()))
            .set("precision", self.plan.dtype.as_str())
            .taking(4.0 * self.size.evaluation_rows as f64 * TOKENS / (3.0 * SPEED)))
    }

    /// The sets of documents that a model is measured on, by name.
    pub fn sets(&self, cell: &Cell) -> Result<[(&'static str, Arc<Job>); 4]> {
        let rows = self.size.evaluation_rows;
        let held_out = |split, first| Self::documents(split, cell.seed, first, rows);
        Ok([
            ("test", self.held_out(cell, 0, rows)?),
            ("deep", held_out("deep", 0)),
            ("former", held_out("pretrain", self.size.pretraining_rows)),
            ("training", self.measured_rows(cell)?),
        ])
    }

    /// So many held-out documents, from one on. Where a fact has several right spellings in what is trained on, they have them,
    /// too.
    fn held_out(&self, cell: &Cell, first: u64, rows: u64) -> Result<Arc<Job>> {
        let (split, trained_on) = self.data(&cell.data)?;
        let (split, first) =
            if split == "paraphrase" { (split, trained_on + first) } else { ("test", first) };
        Ok(Self::documents(split, cell.seed, first, rows))
    }

    /// As many of these as are wanted, besides those that models are measured on.
    pub(crate) fn more_held_out(&self, cell: &Cell, rows: u64) -> Result<Arc<Job>> {
        self.held_out(cell, self.size.evaluation_rows, rows)
    }

    /// The rows among those that a run trains on that it is measured on.
    pub(super) fn measured_rows(&self, cell: &Cell) -> Result<Arc<Job>> {
        let (split, rows) = self.data(&cell.data)?;
        Ok(Self::documents(split, cell.seed, 0, rows.min(self.size.evaluation_rows)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::{Lab, queue::with_needs};
    use crate::planned::{PlannedRuns as _, Stage};
    use std::collections::BTreeMap;
    use std::collections::BTreeSet;

    #[test]
    fn each_run_of_the_plan_has_a_name_and_an_identity_of_its_own() -> Result<()> {
        let work = Work::of(Profile::Study)?;
        let cells = work.cells(Stage::Main)?;
        let jobs: Vec<Arc<Job>> = cells.iter().map(|cell| work.measured(cell)).collect::<Result<_>>()?;
        let names: BTreeSet<String> = cells.iter().map(ToString::to_string).collect();

        assert_eq!(names.len(), cells.len());
        let all = with_needs(&jobs);
        let by_name: BTreeMap<&str, String> = all.iter().map(|job| (job.name.as_str(), job.id())).collect();
        assert_eq!(by_name.len(), all.len());
        Ok(())
    }

    #[test]
    fn results_have_seeds_of_their_own() -> Result<()> {
        let work = Work::of(Profile::Study)?;
        let seeds = |stage| -> Result<BTreeSet<u64>> {
            Ok(work.cells(stage)?.iter().map(|cell| cell.seed).collect())
        };
        let main = seeds(Stage::Main)?;
        assert!(main.is_disjoint(&seeds(Stage::Pilot)?) && main.is_disjoint(&seeds(Stage::Tuning)?));
        assert_eq!(main.len(), 20);
        Ok(())
    }

    #[test]
    fn a_measured_run_keeps_no_model_unless_others_need_it() -> Result<()> {
        let work = Work::of(Profile::Smoke)?;
        let cell = |arm: &str| Cell {
            seed: 0,
            from: 2,
            data: "uniform-30".into(),
            arm: arm.into(),
            rate: Rate::Tuned,
            look: None,
        };
        let masked = work.measured(&cell("entropy"))?;
        assert_eq!(masked.verb, Verb::Train);
        assert!(masked.following().is_some());
        let plain = work.measured(&cell("mle"))?;
        assert_eq!(plain.verb, Verb::Evaluate);
        // The twin that the student distils from is plain training's own run.
        let student = work.measured(&cell("masked-distill"))?;
        let needed = |job: &Arc<Job>| with_needs(std::slice::from_ref(job));
        let trained = |job: &Arc<Job>| {
            let plain = needed(job)
                .into_iter()
                .find(|job| job.name == "train oracle uniform-30 mle tuned from 2 seed 0");
            plain.map(|job| job.id())
        };
        assert!(trained(&student).is_some());
        assert_eq!(trained(&student), trained(&plain));
        let lab = Lab::fixture()?;
        let place = |job: &Job| lab.place(job);
        let text = student.configuration(std::path::Path::new("x"), &place);
        assert!(text.contains("reference.model = ") && text.contains("step-2\""), "{text}");
        Ok(())
    }

    #[test]
    fn every_arm_has_jobs_on_all_data() -> Result<()> {
        let work = Work::of(Profile::Smoke)?;
        for arm in work.plan.arms.keys() {
            for data in work.plan.data.keys() {
                for rate in [Rate::Tuned, Rate::Plain, Rate::Matched, Rate::Tried(1e-3)] {
                    let (data, arm) = (data.clone(), arm.clone());
                    let cell = Cell { seed: 1, from: 1, data, arm, rate, look: None };
                    assert!(with_needs(&[work.measured(&cell)?]).len() > 4, "{cell}");
                }
            }
        }
        Ok(())
    }
}
