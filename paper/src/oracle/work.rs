//! The runs that the plan asks for, as jobs of the lab.

use super::plan::{Arm, Group, Plan, Rate, Reference, Seeds, Size};
use crate::Profile;
use crate::lab::{Job, Value, Verb, job::MODEL};
use crate::tokens::RATE;
use anyhow::{Context as _, Result};
use clap::ValueEnum;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

/// Tokens of a document on average, and tokens per second of training on one core: for estimates of time.
const TOKENS: f64 = 90.0;
const SPEED: f64 = 30_000.0;

/// What runs are for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Stage {
    /// Choosing sizes and numbers of seeds; part of no result
    Pilot,
    /// Choosing learning rates; part of no result
    Tuning,
    /// The results
    #[default]
    Main,
}

/// One post-training run.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// The seed of world, data, initial weights and order.
    pub seed: u64,
    /// The capability that it starts from, from 1.
    pub from: usize,
    /// The name of its data.
    pub data: String,
    /// The name of its arm.
    pub arm: String,
    /// How large its steps are.
    pub rate: Rate,
    /// The step after which the model is measured; the last if none is named.
    pub look: Option<u64>,
}

impl Cell {
    /// Plain training in its place.
    fn plain(&self) -> Self {
        Self { arm: PLAIN.into(), rate: Rate::Tuned, look: None, ..self.clone() }
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, from, data, arm, rate, look } = self;
        write!(formatter, "oracle {data} {arm} {rate} from {from}")?;
        if let Some(step) = look {
            write!(formatter, " after {step}")?;
        }
        write!(formatter, " seed {seed}")
    }
}

/// The plan in one size.
#[derive(Clone, Debug)]
pub struct Work {
    /// The plan.
    pub plan: Plan,
    name: String,
    size: Size,
}

impl Work {
    /// The committed plan at a profile's size.
    pub fn of(profile: Profile) -> Result<Self> {
        let plan = Plan::load()?;
        let (name, size) = plan.size(profile)?;
        let (name, size) = (name.to_owned(), size.clone());
        Ok(Self { plan, name, size })
    }

    /// The post-training runs of a stage, each once.
    pub fn cells(&self, stage: Stage) -> Vec<Cell> {
        let mut seen = BTreeSet::new();
        let mut cells = Vec::new();
        for group in &self.plan.groups {
            for cell in self.of_group(group, stage) {
                if seen.insert(cell.to_string()) {
                    cells.push(cell);
                }
            }
        }
        cells
    }

    fn of_group(&self, group: &Group, stage: Stage) -> Vec<Cell> {
        let count = group.seeds.get(&self.name).copied().unwrap_or(0);
        let seeds = match stage {
            Stage::Pilot => Seeds::all(self.plan.seeds.pilot).collect(),
            Stage::Tuning => Seeds::all(self.plan.seeds.tuning).collect(),
            Stage::Main => Seeds::all(self.plan.seeds.main).take(count as usize).collect::<Vec<_>>(),
        };
        let rates = match stage {
            Stage::Tuning => self.plan.tuning.rates.iter().map(|rate| Rate::Tried(*rate)).collect(),
            _ if group.matched => vec![Rate::Tuned, Rate::Matched],
            _ => vec![Rate::Tuned],
        };
        let kept = group.looks.then_some(&self.size.looks).into_iter().flatten().map(|step| Some(*step));
        let looks: Vec<Option<u64>> = kept.chain([None]).collect();
        let mut cells = Vec::new();
        for seed in seeds {
            for from in &group.from {
                for data in &group.data {
                    for arm in &group.arms {
                        for rate in &rates {
                            let (data, arm) = (data.clone(), arm.clone());
                            let cell = Cell { seed, from: *from, data, arm, rate: *rate, look: None };
                            cells.extend(looks.iter().map(|look| Cell { look: *look, ..cell.clone() }));
                        }
                    }
                }
            }
        }
        cells
    }

    /// The jobs of a stage: each run with its measures.
    pub fn jobs(&self, stage: Stage) -> Result<Vec<Arc<Job>>> {
        self.cells(stage).iter().map(|cell| self.measured(cell)).collect()
    }

    /// So many documents of a split of a seed's language, from one on.
    fn documents(split: &str, seed: u64, first: u64, rows: u64) -> Arc<Job> {
        Job::new(Verb::Make, format!("make oracle {split} {rows} from {first} seed {seed}"))
            .argument("oracle")
            .set("split", split)
            .set("first", first as i64)
            .set("n", rows as i64)
            .set("seed", seed as i64)
            .taking(1.0)
            .shared()
    }

    /// Pretraining, which leaves a model for each capability.
    pub fn pretrained(&self, seed: u64) -> Arc<Job> {
        let Size { pretraining_rows: rows, checkpoints, .. } = &self.size;
        let steps = checkpoints.last().copied().unwrap_or(1);
        let data = Self::documents("pretrain", seed, 0, *rows);
        let mut job = Self::training(
            format!("oracle pretraining seed {seed}"),
            data,
            steps,
            self.plan.pretraining.batch,
        )
        .set("train.lr", self.plan.pretraining.rate)
        .set("train.seed", seed as i64)
        .set("train.save_at", checkpoints.iter().map(|step| *step as i64).collect::<Vec<_>>());
        for (key, value) in &self.plan.model {
            job = job.set(&format!("model.init.{key}"), value.clone());
        }
        job.set("model.init.seed", seed as i64).shared()
    }

    fn training(name: String, data: Arc<Job>, steps: u64, batch: u64) -> Job {
        Job::new(Verb::Train, name)
            .set("train.full", true)
            .set("data.train", Value::Result(data, Verb::Make.output().into()))
            .set("data.format", "text")
            .set("train.steps", steps as i64)
            .set("train.batch_size", batch as i64)
            .set("log.tensorboard", false)
            .taking((steps * batch) as f64 * TOKENS / SPEED)
    }

    /// The model that post-training starts from.
    fn start(&self, seed: u64, from: usize) -> Result<Value> {
        let step = self.size.checkpoints.get(from - 1).with_context(|| format!("no capability {from}"))?;
        Ok(Value::Result(self.pretrained(seed), format!("step-{step}").into()))
    }

    /// Post-training data: the split, and the number of rows that are trained on.
    fn data(&self, name: &str) -> Result<(&str, u64)> {
        let data = self.plan.data.get(name).with_context(|| format!("no data are called `{name}`"))?;
        Ok((&data.split, data.rows.unwrap_or(self.size.rows).min(self.size.rows)))
    }

    /// The documents that a run trains on.
    fn training_data(&self, cell: &Cell) -> Result<Arc<Job>> {
        let (split, rows) = self.data(&cell.data)?;
        Ok(Self::documents(split, cell.seed, 0, rows))
    }

    /// A post-training run, without measures.
    fn trained(&self, cell: &Cell) -> Result<Job> {
        self.trained_on(self.training_data(cell)?, cell)
    }

    fn trained_on(&self, data: Arc<Job>, cell: &Cell) -> Result<Job> {
        let arm = self.plan.arms.get(&cell.arm).with_context(|| format!("no arm `{}`", cell.arm))?;
        let steps = (arm.steps * (self.size.rows / self.plan.post_training.batch) as f64).round() as u64;
        let plain = &self.plan.arms[PLAIN];
        let rate = match cell.rate {
            Rate::Tuned => arm.rate,
            Rate::Matched => plain.rate,
            Rate::Tried(rate) => rate,
        };
        let mut job = Self::training(format!("train {cell}"), data, steps, self.plan.post_training.batch)
            .set("model.source", self.start(cell.seed, cell.from)?)
            .set("train.lr", rate)
            .set("train.seed", cell.seed as i64);
        for (key, value) in &arm.objective {
            job = job.set(&format!("objective.{key}"), value.clone());
        }
        if self.is_looked_at(cell) {
            let looks: Vec<i64> = self.size.looks.iter().map(|step| *step as i64).collect();
            job = job.set("train.save_at", looks);
        }
        if cell.rate == Rate::Matched {
            job = job.set("objective.match", "grad-norm");
        }
        if arm.estimates {
            let estimates = self.estimates(cell)?.shared();
            job = job.set("data.uncertainty", Value::Result(estimates, Verb::Uncertainty.output().into()));
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
            Reference::Clean => {
                let rows = self.size.rows;
                let clean = Self::documents("train", cell.seed, rows, rows);
                let mut model = self.trained_on(clean, &cell.plain())?;
                model.name.push_str(" on clean rows");
                job.set("reference.model", Value::Result(model.shared(), MODEL.into()))
            }
            Reference::Truth => {
                let (split, _) = self.data(&cell.data)?;
                let data = self.training_data(cell)?;
                let Cell { seed, from, data: name, .. } = cell;
                let truth = Job::new(Verb::Truth, format!("truth of {name} from {from} seed {seed}"))
                    .argument("--oracle")
                    .argument(split)
                    .argument("--seed")
                    .argument(cell.seed.to_string())
                    .set("model.source", self.start(cell.seed, cell.from)?)
                    .set("data.train", Value::Result(data, Verb::Make.output().into()))
                    .set("data.format", "text")
                    .taking(1.0);
                job.set("reference.topk", Value::Result(truth.shared(), Verb::Truth.output().into()))
            }
        })
    }

    /// Uncertainty of the rows of a set, by a model before post-training.
    fn estimates(&self, cell: &Cell) -> Result<Job> {
        let (_, rows) = self.data(&cell.data)?;
        let data = self.training_data(cell)?;
        let passes = self.size.passes;
        let Cell { seed, from, data: name, .. } = cell;
        Ok(Job::new(Verb::Uncertainty, format!("uncertainty of {name} from {from} seed {seed}"))
            .argument(Value::Result(data, Verb::Make.output().into()))
            .set("model", self.start(*seed, *from)?)
            .set("format", "text")
            .set("passes", passes as i64)
            .set("rate", RATE)
            .set("places", "attention")
            .taking((rows * (passes + 1)) as f64 * TOKENS / (3.0 * SPEED)))
    }

    /// Whether a figure follows the run's way.
    fn is_looked_at(&self, cell: &Cell) -> bool {
        let follows = |group: &&Group| {
            let has = |all: &[String], one: &str| all.iter().any(|known| known == one);
            group.looks && has(&group.arms, &cell.arm) && has(&group.data, &cell.data)
        };
        cell.rate == Rate::Tuned && self.plan.groups.iter().any(|group| follows(&group))
    }

    /// A post-training run with its measures. Models that others distil from, or that are measured on their way, are kept.
    pub fn measured(&self, cell: &Cell) -> Result<Arc<Job>> {
        let trained = self.trained(cell)?;
        let evaluation = self.evaluation(cell)?;
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
            .taking(4.0 * self.size.evaluation_rows as f64 * TOKENS / (3.0 * SPEED)))
    }

    /// The sets of documents that a model is measured on, by name.
    pub fn sets(&self, cell: &Cell) -> Result<[(&'static str, Arc<Job>); 4]> {
        let rows = self.size.evaluation_rows;
        let held_out = |split, first| Self::documents(split, cell.seed, first, rows);
        let (split, trained_on) = self.data(&cell.data)?;
        let training = Self::documents(split, cell.seed, 0, rows.min(trained_on));
        Ok([
            ("test", held_out("test", 0)),
            ("deep", held_out("deep", 0)),
            ("former", held_out("pretrain", self.size.pretraining_rows)),
            ("training", training),
        ])
    }
}

/// The arm of plain training.
const PLAIN: &str = "mle";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::{Lab, queue::with_needs};
    use std::collections::BTreeMap;

    #[test]
    fn each_run_of_the_plan_has_a_name_and_an_identity_of_its_own() -> Result<()> {
        let work = Work::of(Profile::Study)?;
        let cells = work.cells(Stage::Main);
        let jobs = work.jobs(Stage::Main)?;
        let names: BTreeSet<String> = cells.iter().map(ToString::to_string).collect();

        assert_eq!((names.len(), jobs.len()), (cells.len(), cells.len()));
        let all = with_needs(&jobs);
        let by_name: BTreeMap<&str, String> = all.iter().map(|job| (job.name.as_str(), job.id())).collect();
        assert_eq!(by_name.len(), all.len());
        Ok(())
    }

    #[test]
    fn stages_have_seeds_of_their_own() -> Result<()> {
        let work = Work::of(Profile::Study)?;
        let seeds = |stage| work.cells(stage).iter().map(|cell| cell.seed).collect::<BTreeSet<u64>>();
        let all = [Stage::Pilot, Stage::Tuning, Stage::Main].map(seeds);
        assert!(all[0].is_disjoint(&all[1]) && all[1].is_disjoint(&all[2]) && all[0].is_disjoint(&all[2]));
        assert_eq!(all[2].len(), 24);
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
        let lab = Lab::fixture();
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
                for rate in [Rate::Tuned, Rate::Matched, Rate::Tried(1e-3)] {
                    let (data, arm) = (data.clone(), arm.clone());
                    let cell = Cell { seed: 1, from: 1, data, arm, rate, look: None };
                    assert!(with_needs(&[work.measured(&cell)?]).len() > 4, "{cell}");
                }
            }
        }
        Ok(())
    }
}
