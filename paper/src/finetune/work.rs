//! The runs that the plan asks for, as jobs of the lab.

use super::plan::{BEFORE, Base, Cell, Data, Group, PLAIN, Plan, Size, TEST, TRAINING, Term, Training};
use crate::Profile;
use crate::lab::{Job, Value, Verb, job::MODEL};
use crate::planned::{Rate, Reference, Seeds, Stage};
use anyhow::{Context as _, Result, bail};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Tokens of a training document on average, tokens per second of training and of reading, and questions per second of
/// answering, on two cores: for estimates of time.
const TOKENS: f64 = 120.0;
const TRAINING_SPEED: f64 = 670.0;
const READING_SPEED: f64 = 2000.0;
const ANSWERING_SPEED: f64 = 20.0;

/// The plan in one size.
#[derive(Clone, Debug)]
pub struct Work {
    /// The plan.
    pub plan: Plan,
    name: String,
    size: Size,
    /// Sets that cannot be had.
    missing: BTreeSet<&'static str>,
}

impl Work {
    /// The committed plan at a profile's size.
    pub fn of(profile: Profile) -> Result<Self> {
        let plan = Plan::load()?;
        let (name, size) = plan.size(profile)?;
        let name = name.to_owned();
        Ok(Self { plan, name, size, missing: BTreeSet::new() })
    }

    /// Without data that come from these sets.
    #[must_use]
    pub fn without(self, sets: BTreeSet<&'static str>) -> Self {
        Self { missing: sets, ..self }
    }

    /// The sets that the data come from.
    pub fn sets_of_data(&self) -> BTreeSet<&'static str> {
        self.plan.data.values().filter_map(Data::set).collect()
    }

    /// Whether data can be had.
    fn has(&self, data: &str) -> bool {
        self.plan.data[data].set().is_none_or(|set| !self.missing.contains(set))
    }

    /// Whether this is the largest size, whose outcomes the repository keeps.
    pub(super) fn is_full(&self) -> bool {
        self.name == "study"
    }

    /// The runs of a stage, each once, in order of their seeds.
    pub fn cells(&self, stage: Stage) -> Result<Vec<Cell>> {
        let mut cells = match stage {
            Stage::Pilot => self.piloted()?,
            Stage::Tuning => self.tuned(),
            Stage::Main => self.plan.groups.iter().flat_map(|group| self.of_group(group)).collect(),
        };
        let mut seen = BTreeSet::new();
        cells.retain(|cell| self.has(&cell.data) && seen.insert(cell.to_string()));
        // What waits for a base of its own, which takes long, comes first.
        cells.sort_by_key(|cell| (cell.seed, self.plan.data[&cell.data].base.is_none()));
        Ok(cells)
    }

    /// What the primary claims compare.
    fn piloted(&self) -> Result<Vec<Cell>> {
        let mut cells = Vec::new();
        for seed in Seeds::all(self.plan.seeds.pilot) {
            for claim in &self.plan.claims {
                cells.extend(claim.terms::<Term>()?.map(|term| term.cell(seed)));
            }
        }
        Ok(cells)
    }

    /// Every arm at every candidate of its learning rate.
    fn tuned(&self) -> Vec<Cell> {
        let mut cells = Vec::new();
        for seed in Seeds::all(self.plan.seeds.tuning) {
            for (data, tuned) in &self.plan.tuning.on {
                for arm in &tuned.arms {
                    cells.extend(self.plan.tuning.rates.iter().map(|rate| Cell {
                        seed,
                        data: data.clone(),
                        arm: arm.clone(),
                        rate: Rate::Tried(*rate),
                    }));
                }
            }
        }
        cells
    }

    fn of_group(&self, group: &Group) -> Vec<Cell> {
        let first = |all: usize| if self.size.first_only { all } else { usize::MAX };
        let rate = if group.matched { Rate::Matched } else { Rate::Tuned };
        let count = group.seeds.get(&self.name).copied().unwrap_or(0) as usize;
        let mut cells = Vec::new();
        for seed in Seeds::all(self.plan.seeds.main).take(count) {
            for data in group.data.iter().take(first(1)) {
                for arm in group.arms.iter().take(first(2)) {
                    // There is no step whose length could be matched.
                    let rate = if arm == BEFORE { Rate::Tuned } else { rate };
                    cells.push(Cell { seed, data: data.clone(), arm: arm.clone(), rate });
                }
            }
        }
        cells
    }

    /// Documents of a split: the first `rows` of the `own` ones of a seed.
    fn documents(data: &Data, split: &str, seed: u64, own: u64, rows: u64) -> Arc<Job> {
        let (seed, first) = if data.finite { (0, seed * own) } else { (seed, 0) };
        Self::made(&data.make, split, seed, first, rows)
    }

    fn made(of: &str, split: &str, seed: u64, first: u64, rows: u64) -> Arc<Job> {
        Job::new(Verb::Make, format!("make {of} {split} {rows} from {first} seed {seed}"))
            .argument(of)
            .set("split", split)
            .set("first", first as i64)
            .set("n", rows as i64)
            .set("seed", seed as i64)
            .taking(1.0)
            .shared()
    }

    /// How many documents a run goes over.
    fn rows(&self, data: &Data) -> u64 {
        data.rows.unwrap_or(self.size.rows).min(self.size.rows)
    }

    fn training_data(&self, cell: &Cell) -> Result<Arc<Job>> {
        let data = self.plan.data(&cell.data)?;
        Ok(Self::documents(data, &data.split, cell.seed, self.rows(data), self.rows(data)))
    }

    /// The documents of other rows than a run's, for a reference: of finite data the next seed's.
    fn clean_data(&self, cell: &Cell) -> Result<Arc<Job>> {
        let data = self.plan.data(&cell.data)?;
        let rows = self.rows(data);
        let (seed, first) = if data.finite { (0, (cell.seed + 1) * rows) } else { (cell.seed, rows) };
        Ok(Self::made(&data.make, &data.split, seed, first, rows))
    }

    /// Held-out documents of some data for a seed.
    fn held_out(&self, data: &Data, seed: u64) -> Arc<Job> {
        let rows = self.held_out_rows(data);
        Self::documents(data, &data.test, seed, rows, rows)
    }

    /// As many of those that are trained on.
    fn seen(&self, data: &Data, seed: u64) -> Arc<Job> {
        let rows = self.rows(data);
        Self::documents(data, &data.split, seed, rows, rows.min(self.held_out_rows(data)))
    }

    fn held_out_rows(&self, data: &Data) -> u64 {
        data.held_out.unwrap_or(self.size.held_out).min(self.size.held_out)
    }

    fn training(&self, name: String, data: &Data, documents: Arc<Job>, rows: u64) -> Job {
        let Training { batch, max_tokens } = self.plan.training;
        Job::new(Verb::Train, name)
            .set("data.train", Value::Result(documents, Verb::Make.output().into()))
            .set("data.max_length", data.max_tokens.unwrap_or(max_tokens) as i64)
            .set("data.truncate", "end")
            .set("data.skip_bad", true)
            .set("model.dtype", self.plan.dtype.as_str())
            .set("train.batch_size", data.batch.unwrap_or(batch) as i64)
            .set("log.tensorboard", false)
            .taking(rows as f64 * TOKENS / TRAINING_SPEED)
    }

    /// The model that a run on some data starts from.
    fn base(&self, data: &Data) -> Result<Value> {
        let Some(name) = &data.base else { return Ok(self.plan.model.as_str().into()) };
        let Base { data, seed, rate, rows } = &self.plan.bases[name];
        let rows =
            rows.get(&self.name).copied().with_context(|| format!("base {name}: no size {}", self.name))?;
        let data = self.plan.data(data)?;
        let documents = Self::documents(data, &data.split, *seed, rows, rows);
        let job = self
            .training(format!("finetune base {name}"), data, documents, rows)
            .set("model.source", self.plan.model.as_str())
            .reading(&self.plan.model)?
            .set("train.full", true)
            .set("train.lr", *rate)
            .set("train.seed", *seed as i64);
        Ok(Value::Result(job.shared(), MODEL.into()))
    }

    /// A run, without measures.
    fn trained(&self, cell: &Cell, documents: Arc<Job>) -> Result<Job> {
        let arm = self.plan.arm(&cell.arm)?;
        let data = self.plan.data(&cell.data)?;
        let rate = match cell.rate {
            Rate::Tuned => self.plan.rate(&cell.arm, &cell.data)?,
            Rate::Matched => self.plan.rate(PLAIN, &cell.data)?,
            Rate::Tried(rate) => rate,
        };
        let (rows, batch) = (self.rows(data), data.batch.unwrap_or(self.plan.training.batch));
        let mut job = self
            .training(format!("train {cell}"), data, documents, rows)
            .with_ranks(&arm.ranks, rows.div_ceil(batch) as usize)
            .set("model.source", self.base(data)?)
            .set("train.lr", rate)
            .set("train.seed", cell.seed as i64);
        if data.base.is_none() {
            job = job.reading(&self.plan.model)?;
        }
        for (key, value) in &arm.objective {
            job = job.set(&format!("objective.{key}"), value.clone());
        }
        if cell.rate == Rate::Matched {
            job = job.set("objective.match", "grad-norm");
        }
        let adapter = |job: Arc<Job>| Value::Result(job, "adapter".into());
        Ok(match arm.reference {
            Reference::None => job,
            Reference::Start => job.set("reference.model", self.base(data)?),
            Reference::Twin => {
                let twin = self.trained(&cell.plain(), self.training_data(cell)?)?;
                job.set("reference.adapter", adapter(twin.shared()))
            }
            Reference::Clean => {
                let mut clean = self.trained(&cell.plain(), self.clean_data(cell)?)?;
                clean.name.push_str(" on other rows");
                job.set("reference.adapter", adapter(clean.shared()))
            }
            Reference::Truth => bail!("arm {}: no truth is known of these data", cell.arm),
        })
    }

    /// The tasks and sets of documents that a model is measured by: names, and what an evaluation calls them.
    pub fn sets(&self, cell: &Cell) -> Result<Vec<(String, Value)>> {
        let data = self.plan.data(&cell.data)?;
        let mut sets: Vec<(String, Value)> =
            data.tasks.iter().map(|task| (task.clone(), task.as_str().into())).collect();
        let nll = |documents| Value::Task("nll", documents);
        sets.push((TEST.into(), nll(self.held_out(data, cell.seed))));
        sets.push((TRAINING.into(), nll(self.seen(data, cell.seed))));
        for former in data.former.iter().filter(|former| self.has(former)) {
            sets.push((former.clone(), nll(self.held_out(self.plan.data(former)?, cell.seed))));
        }
        Ok(sets)
    }

    /// A run with its measures; plain training's adapter is kept, for others to compare with.
    pub fn measured(&self, cell: &Cell) -> Result<Arc<Job>> {
        let data = self.plan.data(&cell.data)?;
        let questions = data.questions.unwrap_or(self.size.questions).min(self.size.questions);
        let sets = self.sets(cell)?;
        let documents = (sets.len() - data.tasks.len()) as f64 * self.size.held_out as f64;
        let seconds = documents * TOKENS / READING_SPEED
            + (data.tasks.len() as u64 * questions) as f64 / ANSWERING_SPEED;
        let evaluation = Job::new(Verb::Evaluate, format!("evaluate {cell}"))
            .set("suite", Value::List(sets.into_iter().map(|(_, task)| task).collect()))
            .set("model", self.base(data)?)
            .set("limit", questions.max(self.size.held_out) as i64)
            .set("seed", cell.seed as i64)
            .taking(seconds);
        let evaluation = if data.base.is_none() { evaluation.reading(&self.plan.model)? } else { evaluation };
        if cell.arm == BEFORE {
            return Ok(evaluation.shared());
        }
        let trained = self.trained(cell, self.training_data(cell)?)?;
        if cell.arm == PLAIN && cell.rate == Rate::Tuned {
            return Ok(evaluation.set("adapter", Value::Result(trained.shared(), "adapter".into())).shared());
        }
        Ok(trained.then(evaluation.set("adapter", Value::Own("adapter".into()))).shared())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::{Lab, queue::with_needs};
    use std::collections::BTreeMap;

    #[test]
    fn each_run_of_the_plan_has_a_name_and_an_identity_of_its_own() -> Result<()> {
        let work = Work::of(Profile::Study)?;
        for stage in [Stage::Main, Stage::Tuning, Stage::Pilot] {
            let cells = work.cells(stage)?;
            let jobs: Vec<Arc<Job>> = cells.iter().map(|cell| work.measured(cell)).collect::<Result<_>>()?;
            let names: BTreeSet<String> = cells.iter().map(ToString::to_string).collect();
            assert_eq!(names.len(), cells.len());
            let mut by_name: BTreeMap<String, String> = BTreeMap::new();
            for job in with_needs(&jobs) {
                let former = by_name.insert(job.name.clone(), job.id());
                assert_eq!(former, None, "{}", job.name);
            }
        }
        Ok(())
    }

    #[test]
    fn seeds_have_documents_of_their_own() -> Result<()> {
        let work = Work::of(Profile::Study)?;
        let cell = |data: &str, seed| Cell { seed, data: data.into(), arm: PLAIN.into(), rate: Rate::Tuned };
        let place = |_: &Job| "x".into();
        let made = |data: &str, seed| -> Result<String> {
            let job = work.training_data(&cell(data, seed))?;
            Ok(job.command("".as_ref(), &place).join(" "))
        };
        assert!(
            made("arithmetic", 3)?.contains("--first 0 --n 1024 --seed 3")
                || made("arithmetic", 3)?.contains("-n 1024")
        );
        assert!(made("gsm8k", 3)?.contains("--first 2208"), "{}", made("gsm8k", 3)?);
        let last = *work.plan.seeds.pilot.iter().max().unwrap();
        assert!((last + 1) * 736 <= 7473, "GSM8K has no more problems");
        Ok(())
    }

    #[test]
    fn data_that_cannot_be_had_are_left_out() -> Result<()> {
        let work = Work::of(Profile::Study)?;
        assert_eq!(
            work.sets_of_data().into_iter().collect::<Vec<_>>(),
            ["alpaca", "gsm8k", "sharegpt-sample"]
        );
        let work = work.without(["gsm8k", "alpaca"].into());
        let needs = |cell: &Cell| -> Result<bool> {
            let all = with_needs(&[work.measured(cell)?]);
            Ok(all.iter().any(|job| job.name.contains("gsm8k") || job.name.contains("alpaca")))
        };
        for stage in [Stage::Pilot, Stage::Tuning, Stage::Main] {
            for cell in work.cells(stage)? {
                assert!(!needs(&cell)?, "{cell}");
            }
        }
        Ok(())
    }

    #[test]
    fn what_is_tuned_is_what_the_groups_run() -> Result<()> {
        let plan = Plan::load()?;
        let mut used = BTreeSet::new();
        for Group { arms, data, matched, .. } in &plan.groups {
            for (arm, data) in arms.iter().flat_map(|arm| data.iter().map(move |data| (arm, data))) {
                let arm = if *matched { PLAIN } else { arm };
                if arm != BEFORE {
                    let tuned = plan.arm(arm)?.rate_of.clone().unwrap_or_else(|| arm.to_owned());
                    used.insert((plan.data(data)?.rates.clone(), tuned));
                }
            }
        }
        let on = |(name, tuned): (&String, &super::super::plan::TunedOn)| {
            tuned.arms.iter().map(|arm| (name.clone(), arm.clone())).collect::<Vec<_>>()
        };
        assert_eq!(plan.tuning.on.iter().flat_map(on).collect::<BTreeSet<_>>(), used);
        Ok(())
    }

    #[test]
    fn only_the_adapter_that_others_compare_with_is_kept() -> Result<()> {
        let work = Work::of(Profile::Smoke)?;
        let job = |arm: &str| {
            work.measured(&Cell { seed: 0, data: "arithmetic".into(), arm: arm.into(), rate: Rate::Tuned })
        };
        assert_eq!((job(BEFORE)?.verb, job(PLAIN)?.verb), (Verb::Evaluate, Verb::Evaluate));
        let student = job("masked-distill")?;
        assert!(student.verb == Verb::Train && student.following().is_some());
        let plain = |job: &Arc<Job>| {
            let all = with_needs(std::slice::from_ref(job));
            all.into_iter()
                .find(|job| job.name == "train finetune arithmetic mle tuned seed 0")
                .map(|job| job.id())
        };
        assert!(plain(&student).is_some());
        assert_eq!(plain(&student), plain(&job(PLAIN)?));
        let lab = Lab::fixture();
        let text = student.configuration("x".as_ref(), &|job| lab.place(job));
        assert!(
            text.contains("reference.adapter = ") && text.contains("model.source = \"smollm2-135m\""),
            "{text}"
        );
        Ok(())
    }
}
