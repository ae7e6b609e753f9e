//! The runs that the plan asks for, as jobs of the lab.

use super::plan::{BEFORE, Base, Cell, Data, Group, Plan, Size, TEST, TRAINING, sets_of};
use crate::Profile;
use crate::lab::{Job, Lab, Value, Verb, evaluation, job::MODEL};
use crate::planned::size::{self, FULL};
use crate::planned::{PLAIN, Rate, Reference, Stage};
use anyhow::{Context as _, Result, bail};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Tokens of a training document on average, tokens per second of training and of reading, and questions per second of
/// answering, on two cores: for estimates of time.
pub(super) const TOKENS: f64 = 120.0;
const TRAINING_SPEED: f64 = 670.0;
pub(super) const READING_SPEED: f64 = 2000.0;
const ANSWERING_SPEED: f64 = 20.0;

/// Steps of a timed run.
const TIMED_STEPS: u64 = 8;

/// Seeds of made-up results.
const MADE_UP: u64 = 3;

/// The plan in one size.
#[derive(Clone, Debug)]
pub struct Work {
    /// The plan.
    pub plan: Plan,
    /// The name of the size.
    pub(super) name: String,
    pub(super) size: Size,
    /// Sets that cannot be had.
    pub missing: BTreeSet<&'static str>,
    pub(super) is_made_up: bool,
}

impl Work {
    /// The committed plan at a profile's size.
    pub fn of(profile: Profile) -> Result<Self> {
        let plan = Plan::load()?;
        let (name, size) = size::of(&plan.sizes, profile)?;
        let (name, size) = (name.to_owned(), size.clone());
        Ok(Self { plan, name, size, missing: BTreeSet::new(), is_made_up: false })
    }

    /// The same with data that a lab can have. Made-up results have few seeds, and none is kept.
    pub fn available(profile: Profile, lab: &Lab) -> Result<Self> {
        if lab.is_fixture() {
            let mut work = Self { is_made_up: true, ..Self::of(Profile::Study)? };
            for count in work.plan.groups.iter_mut().filter_map(|group| group.seeds.get_mut(FULL)) {
                *count = MADE_UP;
            }
            work.size.claimed = MADE_UP;
            return Ok(work);
        }
        let mut work = Self::of(profile)?;
        let sets: BTreeSet<&'static str> = work.plan.data.values().flat_map(Data::sets).copied().collect();
        for set in sets {
            if !lab.has(set)? {
                work.missing.insert(set);
            }
        }
        Ok(work)
    }

    /// Only the runs of some groups, without the further seeds of what claims compare.
    #[must_use]
    pub fn only(mut self, groups: &[&str]) -> Self {
        self.plan.groups.retain(|group| groups.contains(&group.name.as_str()));
        self.size.claimed = 0;
        self
    }

    /// Only the runs that the primary claims and the exploratory ones beside them compare.
    #[must_use]
    pub fn only_compared(mut self) -> Self {
        let beside = self.plan.beside();
        let is = |value: Option<&toml::Value>, name: &str| value.and_then(toml::Value::as_str) == Some(name);
        for group in &mut self.plan.groups {
            group.arms.retain(|arm| arm == BEFORE);
            group.seeds.values_mut().for_each(|seeds| *seeds = self.size.claimed.min(*seeds));
            group.data.retain(|data| {
                beside
                    .iter()
                    .any(|claim| is(claim.of.get("data"), data) && is(claim.versus.get("arm"), BEFORE))
            });
        }
        self
    }

    /// Whether data can be had.
    pub(super) fn has(&self, data: &str) -> bool {
        self.plan.data[data].sets().iter().all(|set| !self.missing.contains(set))
    }

    /// The model that is fine-tuned.
    pub fn model(&self) -> &str {
        self.size.model.as_deref().unwrap_or(&self.plan.model)
    }

    /// Steps of a run on some data.
    pub fn steps(&self, data: &str) -> Result<u64> {
        let data = self.plan.data(data)?;
        Ok(self.rows(data).div_ceil(self.batch(data)))
    }

    /// Arms whose steps are timed against each other.
    pub const TIMED: [&str; 4] = [PLAIN, "masked", "loss-documents", "masked-distill"];

    /// A few steps of each of them, which want the machine to themselves.
    pub fn timed(&self) -> Result<Vec<Arc<Job>>> {
        let seed = self.plan.seeds.of(Stage::Main)[0];
        let timed = |arm: &str| {
            let (data, arm) = (self.plan.scored.data[0].clone(), arm.to_owned());
            let cell = Cell { seed, data, arm, rate: Rate::Tuned };
            let mut job = self.trained(&cell, &self.training_data(&cell)?)?;
            job.name = format!("time {cell}");
            let steps = TIMED_STEPS.min(self.steps(&cell.data)?);
            Ok(job.without("train.save_at").set("train.steps", steps as i64).shared())
        };
        Self::TIMED.into_iter().map(timed).collect()
    }

    /// Every arm at every candidate of its learning rate.
    pub(super) fn tuned(&self) -> Vec<Cell> {
        let mut cells = Vec::new();
        for seed in self.plan.seeds.of(Stage::Tuning) {
            for (data, tuned) in &self.plan.tuning.on {
                let rates = tuned.rates.as_ref().unwrap_or(&self.plan.tuning.rates);
                for arm in &tuned.arms {
                    cells.extend(rates.iter().map(|rate| Cell {
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

    /// What a group runs.
    pub(super) fn of_group(&self, group: &Group) -> Vec<Cell> {
        let first = |all: usize| if self.size.first_only { all } else { usize::MAX };
        let count = group.seeds.get(&self.name).copied().unwrap_or(0);
        let mut cells = Vec::new();
        for seed in self.plan.seeds.first(count) {
            for data in group.data.iter().take(first(1)) {
                for arm in group.arms.iter().take(first(2)) {
                    // There is no step whose length could be matched.
                    let rate = if arm == BEFORE { Rate::Tuned } else { group.rate };
                    cells.push(Cell { seed, data: data.clone(), arm: arm.clone(), rate });
                }
            }
        }
        cells
    }

    /// Documents of a split: the first `rows` of the `own` ones of a seed. Of held-out rows there may be fewer than seeds; they
    /// are then measured on again.
    fn documents(data: &Data, split: &str, seed: u64, own: u64, rows: u64) -> Result<Arc<Job>> {
        let (seed, first) = data.seeds.map_or((seed, 0), |seeds| (0, seed % seeds * own));
        Self::made(data, split, seed, first, rows)
    }

    fn made(data: &Data, split: &str, seed: u64, first: u64, rows: u64) -> Result<Arc<Job>> {
        Ok(Job::made(&data.make, split, seed, first, rows).reading_all(data.sets())?.shared())
    }

    /// How many documents a run goes over.
    fn rows(&self, data: &Data) -> u64 {
        data.rows.unwrap_or(self.size.rows).min(self.size.rows)
    }

    /// Documents per step.
    fn batch(&self, data: &Data) -> u64 {
        let most = self.size.batch.unwrap_or(u64::MAX);
        data.batch.unwrap_or(self.plan.training.batch).min(most)
    }

    pub(crate) fn training_data(&self, cell: &Cell) -> Result<Arc<Job>> {
        let data = self.plan.data(&cell.data)?;
        Self::documents(data, &data.split, cell.seed, self.rows(data), self.rows(data))
    }

    /// The documents of other rows than a run's, for a reference: of finite data the next seed's.
    fn clean_data(&self, cell: &Cell) -> Result<Arc<Job>> {
        let data = self.plan.data(&cell.data)?;
        let rows = self.rows(data);
        let (seed, first) = data.seeds.map_or((cell.seed, rows), |seeds| (0, (cell.seed + 1) % seeds * rows));
        Self::made(data, &data.split, seed, first, rows)
    }

    /// Held-out documents of some data for a seed.
    pub(crate) fn held_out(&self, data: &Data, seed: u64) -> Result<Arc<Job>> {
        let rows = self.held_out_rows(data);
        Self::documents(data, &data.test, seed, rows, rows)
    }

    /// As many of those that are trained on.
    fn seen(&self, data: &Data, seed: u64) -> Result<Arc<Job>> {
        let rows = self.rows(data);
        Self::documents(data, &data.split, seed, rows, rows.min(self.held_out_rows(data)))
    }

    pub(super) fn held_out_rows(&self, data: &Data) -> u64 {
        data.held_out.unwrap_or(self.size.held_out).min(self.size.held_out)
    }

    fn training(&self, name: String, data: &Data, documents: &Arc<Job>, rows: u64) -> Job {
        let max_tokens = self.plan.training.max_tokens;
        Job::new(Verb::Train, name)
            .set("data.train", Value::output(documents))
            .set("data.max_length", data.max_tokens.unwrap_or(max_tokens) as i64)
            .set("data.truncate", "end")
            .set("data.skip_bad", true)
            .set("model.dtype", self.plan.dtype.as_str())
            .set("train.batch_size", self.batch(data) as i64)
            .set("log.tensorboard", false)
            .taking(rows as f64 * TOKENS / TRAINING_SPEED)
    }

    /// The model that a run on some data starts from.
    pub(crate) fn base(&self, data: &Data) -> Result<Value> {
        let Some(name) = &data.base else { return Ok(self.model().into()) };
        let Base { data, seed, rate, rows } = &self.plan.bases[name];
        let rows =
            rows.get(&self.name).copied().with_context(|| format!("base {name}: no size {}", self.name))?;
        let data = self.plan.data(data)?;
        let documents = Self::documents(data, &data.split, *seed, rows, rows)?;
        let job = self
            .training(format!("finetune base {name}"), data, &documents, rows)
            .set("model.source", self.model())
            .reading(self.model())?
            .set("train.full", true)
            .set("train.lr", *rate)
            .set("train.seed", *seed as i64);
        Ok(Value::Result(job.shared(), MODEL.into()))
    }

    /// A job with the model that a run on some data starts from; a published one is read by its name.
    pub(super) fn starting(&self, job: Job, key: &str, data: &Data) -> Result<Job> {
        let job = job.set(key, self.base(data)?);
        if data.base.is_none() { job.reading(self.model()) } else { Ok(job) }
    }

    /// A run, without measures.
    pub(super) fn trained(&self, cell: &Cell, documents: &Arc<Job>) -> Result<Job> {
        let arm = self.plan.arm(&cell.arm)?;
        let data = self.plan.data(&cell.data)?;
        let rate = match cell.rate {
            Rate::Tried(rate) => rate,
            rate => self.plan.rate(rate.arm_of(&cell.arm), &cell.data)?,
        };
        let rows = self.rows(data);
        let mut job = self
            .training(format!("train {cell}"), data, documents, rows)
            .with_ranks(&arm.ranks, rows.div_ceil(self.batch(data)) as usize)
            .set("train.lr", rate)
            .set("train.seed", cell.seed as i64)
            .with_objective(&arm.objective, cell.rate);
        job = self.starting(job, "model.source", data)?;
        if self.is_followed(cell) {
            job = job.saving_at(&self.size.looks);
        }
        let adapter = |job: Arc<Job>| Value::Result(job, "adapter".into());
        Ok(match arm.reference {
            Reference::None => job,
            Reference::Start => job.set("reference.model", self.base(data)?),
            Reference::Twin => {
                let twin = self.trained(&cell.plain(), &self.training_data(cell)?)?;
                job.set("reference.adapter", adapter(twin.shared()))
            }
            Reference::Clean => {
                let mut clean = self.trained(&cell.plain(), &self.clean_data(cell)?)?;
                clean.name.push_str(" on other rows");
                job.set("reference.adapter", adapter(clean.shared()))
            }
            Reference::Truth => bail!("arm {}: no truth is known of these data", cell.arm),
        })
    }

    /// The tasks and sets of documents that a model is measured by: names, and what an evaluation calls them. Of a tuning run
    /// only what decides is asked.
    pub fn sets(&self, cell: &Cell) -> Result<Vec<(String, Value)>> {
        let data = self.plan.data(&cell.data)?;
        let mut sets: Vec<(String, Value)> =
            data.tasks.iter().map(|task| (task.clone(), task.as_str().into())).collect();
        let nll = |documents| Value::Task("nll", documents);
        sets.push((TEST.into(), nll(self.held_out(data, cell.seed)?)));
        sets.push((TRAINING.into(), nll(self.seen(data, cell.seed)?)));
        for former in data.former.iter().filter(|former| self.has(former)) {
            sets.push((former.clone(), nll(self.held_out(self.plan.data(former)?, cell.seed)?)));
        }
        if let (Rate::Tried(_), Some(tuned)) = (cell.rate, self.plan.tuning.on.get(&cell.data)) {
            sets.retain(|(name, _)| *name == tuned.set);
        }
        Ok(sets)
    }

    /// A run with its measures; the adapters that others compare with or that are scored are kept.
    pub fn measured(&self, cell: &Cell) -> Result<Arc<Job>> {
        let data = self.plan.data(&cell.data)?;
        let questions = data.questions.unwrap_or(self.size.questions).min(self.size.questions);
        let sets = self.sets(cell)?;
        let asked: Vec<String> =
            sets.iter().map(|(name, _)| name).filter(|name| data.tasks.contains(name)).cloned().collect();
        let documents = (sets.len() - asked.len()) as f64 * self.size.held_out as f64;
        let answers: u64 = asked.iter().map(|name| questions * evaluation::replies(name)).sum();
        let seconds = documents * TOKENS / READING_SPEED + answers as f64 / ANSWERING_SPEED;
        let evaluation = Job::new(Verb::Evaluate, format!("evaluate {cell}"))
            .set("suite", Value::List(sets.into_iter().map(|(_, task)| task).collect()))
            .set("limit", questions.max(self.size.held_out) as i64)
            .set("seed", cell.seed as i64)
            .set("precision", self.plan.dtype.as_str())
            .taking(seconds);
        let evaluation = self.starting(evaluation, "model", data)?;
        let evaluation =
            asked.iter().try_fold(evaluation, |evaluation, task| evaluation.reading_all(sets_of(task)))?;
        if cell.arm == BEFORE {
            return Ok(evaluation.shared());
        }
        let trained = self.trained(cell, &self.training_data(cell)?)?;
        if (cell.arm == PLAIN && cell.rate == Rate::Tuned) || self.is_scored(cell) {
            return Ok(evaluation.set("adapter", Value::Result(trained.shared(), "adapter".into())).shared());
        }
        Ok(trained.then(evaluation.set("adapter", Value::Own("adapter".into()))).shared())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finetune::Outcomes;
    use crate::lab::queue::with_needs;
    use crate::planned::{PlannedRuns as _, Stage};
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
    fn a_run_reads_the_sets_that_its_rows_and_questions_are_made_of() -> Result<()> {
        let work = Work::of(Profile::Study)?;
        let reads = |job: &Job| job.describe()["reads"].to_string();
        for (data, sets) in [
            ("cipher", r#"["pyfiglet","words3to10"]"#),
            ("figfont", r#"["pyfiglet","words3to10"]"#),
            ("gsm8k", r#"["gsm8k"]"#),
            ("arithmetic", "[]"),
        ] {
            let cell = Cell { seed: 0, data: data.into(), arm: BEFORE.into(), rate: Rate::Tuned };
            assert_eq!(reads(&*work.training_data(&cell)?), sets, "{data}");
            let model_and_sets = sets.replace('[', r#"["smollm2-135m","#).replace(",]", "]");
            assert_eq!(reads(&*work.measured(&cell)?), model_and_sets, "{data}");
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
        assert!(made("arithmetic", 3)?.contains("-n 1024 --seed 3 "), "{}", made("arithmetic", 3)?);
        assert!(made("gsm8k", 3)?.contains("--first 2208"), "{}", made("gsm8k", 3)?);
        // There are held-out rows of Alpaca for ten seeds.
        let held_out = |seed| work.held_out(&work.plan.data["alpaca"], seed).map(|job| job.id());
        assert_eq!(held_out(12)?, held_out(2)?);
        assert_ne!(held_out(3)?, held_out(2)?);
        let data = &work.plan.data["gsm8k"];
        assert!(data.seeds.unwrap() * data.rows.unwrap() <= 7473, "GSM8K has no more problems");
        Ok(())
    }

    #[test]
    fn nothing_is_run_on_data_that_cannot_be_had_and_what_is_kept_of_them_counts() -> Result<()> {
        let all = Work::of(Profile::Laptop)?;
        let work = Work { missing: ["gsm8k", "alpaca", "pyfiglet"].into(), ..all.clone() };
        let none = Outcomes::default();
        for stage in [Stage::Pilot, Stage::Tuning, Stage::Main] {
            assert_eq!(work.cells(stage)?.len(), all.cells(stage)?.len());
            let jobs = with_needs(&work.absent(&none, stage)?);
            assert!(jobs.iter().any(|job| job.name.contains(" arithmetic ")));
            for job in jobs {
                let lacks = ["gsm8k", "alpaca", "cipher", "figfont"].iter().any(|of| job.name.contains(of));
                assert!(!lacks, "{}", job.name);
            }
        }
        Ok(())
    }

    #[test]
    fn what_is_tuned_is_what_the_groups_run() -> Result<()> {
        let plan = Plan::load()?;
        let mut used = BTreeSet::new();
        for Group { arms, data, rate, .. } in &plan.groups {
            for (arm, data) in arms.iter().flat_map(|arm| data.iter().map(move |data| (arm, data))) {
                let arm = rate.arm_of(arm);
                if arm != BEFORE {
                    used.insert(plan.tuned_as(arm, data)?);
                }
            }
        }
        let tuned = &plan.tuning.on;
        let on =
            tuned.iter().flat_map(|(on, tuned)| tuned.arms.iter().map(|arm| (on.as_str(), arm.as_str())));
        assert_eq!(on.collect::<BTreeSet<_>>(), used);
        Ok(())
    }

    #[test]
    fn only_the_adapter_that_others_compare_with_is_kept() -> Result<()> {
        let work = Work::of(Profile::Smoke)?;
        let job = |arm: &str| {
            work.measured(&Cell { seed: 0, data: "arithmetic".into(), arm: arm.into(), rate: Rate::Tuned })
        };
        assert_eq!((job(BEFORE)?.verb, job(PLAIN)?.verb), (Verb::Evaluate, Verb::Evaluate));
        let student = job("distill")?;
        assert!(student.verb == Verb::Train && student.following().is_some());
        let plain = |job: &Arc<Job>| {
            let all = with_needs(std::slice::from_ref(job));
            all.into_iter()
                .find(|job| job.name == "train finetune arithmetic mle tuned seed 0")
                .map(|job| job.id())
        };
        assert!(plain(&student).is_some());
        assert_eq!(plain(&student), plain(&job(PLAIN)?));
        let lab = Lab::fixture()?;
        let text = student.configuration("x".as_ref(), &|job| lab.place(job));
        assert!(
            text.contains("reference.adapter = ") && text.contains("model.source = \"smollm2-135m\""),
            "{text}"
        );
        Ok(())
    }
}
