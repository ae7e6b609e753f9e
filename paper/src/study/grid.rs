//! The study's grid: which models are trained how on what, and by what they are measured.

use super::arm::{Arm, Criterion, Granularity, Reference};
use super::corpus::{Corpus, is_available};
use super::models::short;
use super::outcome::{Better, Outcome};
use super::scale::Scale;
use crate::Profile;
use crate::lab::evaluation::JUDGED;
use crate::lab::{Job, Lab, Value, Verb};
use anyhow::{Context as _, Result};
use std::sync::Arc;

/// Tokens of a training document, prompt included, on average: for estimates of time.
const TOKENS: f64 = 180.0;
/// Tokens per second of training and of evaluation: for estimates of time.
const SPEEDS: [f64; 2] = [600.0, 1500.0];

/// Where an evaluation's result has the replies.
const ANSWERS: &str = "evaluation.answers.jsonl";

/// The grid at one profile's size, on the data sets that are available.
#[derive(Clone, Debug)]
pub struct Study {
    /// Sizes.
    pub scale: Scale,
    /// What is trained on.
    pub corpora: Vec<Corpus>,
    /// What models are measured by.
    pub outcomes: Vec<Outcome>,
    /// Who compares replies with plain training's.
    pub judge: Option<&'static str>,
    /// Sets that could not be had.
    pub missing: Vec<&'static str>,
}

impl Study {
    /// A profile's grid. What needs a set that is not available is left out, and generated problems are trained on where
    /// nothing else is left.
    pub fn new(profile: Profile, lab: &Lab) -> Self {
        Self::of(Scale::of(profile), lab)
    }

    /// The grid of these sizes.
    pub(super) fn of(scale: Scale, lab: &Lab) -> Self {
        let corpora = scale.corpora.iter().filter_map(|corpus| corpus.set());
        let sets = corpora.chain(scale.outcomes.iter().filter_map(|outcome| outcome.set()));
        let sets = sets.chain(scale.judge.map(|_| JUDGED));
        let mut missing: Vec<&'static str> = sets.filter(|set| !is_available(lab, set)).collect();
        missing.sort_unstable();
        missing.dedup();
        let mut corpora: Vec<Corpus> =
            scale.corpora.iter().copied().filter(|corpus| corpus.is_available(lab)).collect();
        if corpora.is_empty() {
            corpora.push(Corpus::Arithmetic);
        }
        let is_there = |outcome: &Outcome| outcome.set().is_none_or(|set| !missing.contains(&set));
        let outcomes = scale.outcomes.iter().copied().filter(is_there).collect();
        let judge = scale.judge.filter(|_| !missing.contains(&JUDGED));
        Self { scale, corpora, outcomes, judge, missing }
    }

    /// Seeds of an arm.
    pub fn seeds(&self, arm: Arm) -> u64 {
        if self.of_the_paper(arm) { self.scale.seeds } else { self.scale.other_seeds }
    }

    /// Whether the arm is trained on the corpus.
    pub fn trains(&self, corpus: Corpus, arm: Arm) -> bool {
        self.of_the_paper(arm) || !self.scale.only_objectives_on.contains(&corpus)
    }

    fn of_the_paper(&self, arm: Arm) -> bool {
        arm == Arm::Mle || self.objectives().contains(&arm)
    }

    /// The training run of an arm.
    pub fn trained(&self, model: &str, corpus: Corpus, arm: Arm, seed: u64) -> Result<Arc<Job>> {
        self.run(model, corpus, arm, seed, false)
    }

    /// The reference that RHO compares with: plain maximum likelihood on the rows held out from training.
    fn clean(&self, model: &str, corpus: Corpus, seed: u64) -> Result<Arc<Job>> {
        self.run(model, corpus, Arm::Mle, seed, true)
    }

    fn run(&self, model: &str, corpus: Corpus, arm: Arm, seed: u64, clean: bool) -> Result<Arc<Job>> {
        let scale = &self.scale;
        let documents = scale.documents(corpus)?;
        let (skip, rows) = match (clean, scale.rows) {
            (true, _) => (0, Some(scale.clean_rows)),
            (false, wanted) => (scale.clean_rows, wanted.map(|_| documents)),
        };
        let rows_of = if clean { " on clean rows" } else { "" };
        let name = format!("train {} {corpus} {arm}{rows_of} seed {seed}", short(model));
        // The same file for all: the clean rows come first.
        let read = scale.rows.map(|rows| rows + scale.clean_rows);
        let mut job = Job::new(Verb::Train, name)
            .set("model.source", model)
            .set("data.train", corpus.training(read)?)
            .set("data.skip", skip as i64)
            .set("data.max_length", scale.longest(corpus) as i64)
            .set("data.truncate", "end")
            .set("data.skip_bad", true)
            .set("train.batch_size", scale.batch as i64)
            .set("train.lr", scale.lr)
            .set("train.seed", seed as i64)
            .set("log.tensorboard", false)
            .reading(model)?
            .taking(rows.unwrap_or(20_000) as f64 * TOKENS / SPEEDS[0]);
        if let Some(template) = scale.template {
            job = job.set("model.chat_template", template);
        }
        if let Some(rows) = rows {
            job = job.set("data.limit", rows as i64);
        }
        if let Some(set) = corpus.set() {
            job = job.reading(set)?;
        }
        for (key, value) in arm.settings().0 {
            job = job.set(&key, value);
        }
        job = match arm.reference() {
            Reference::None => job,
            Reference::Twin => {
                let twin = self.trained(model, corpus, Arm::Mle, seed)?;
                job.set("reference.adapter", Value::Result(twin, "adapter".into()))
            }
            Reference::Clean => job
                .set("reference.adapter", Value::Result(self.clean(model, corpus, seed)?, "adapter".into())),
        };
        if arm == Arm::Masked && !clean {
            // Figure 4 looks into these.
            job = job.keeping_checkpoints(scale.checkpoint_every);
        }
        Ok(job.with_ranks(arm.ranks(), scale.steps(documents)).shared())
    }

    /// The evaluation of a training run by every outcome.
    pub fn evaluated(&self, model: &str, corpus: Corpus, arm: Arm, seed: u64) -> Result<Arc<Job>> {
        let trained = self.trained(model, corpus, arm, seed)?;
        let mut suite =
            self.outcomes.iter().map(|outcome| self.task(*outcome)).collect::<Result<Vec<_>>>()?;
        suite.extend(self.judge.map(|_| JUDGED.into()));
        let tokens = (suite.len() * self.scale.questions) as f64 * TOKENS;
        let mut job = Job::new(Verb::Evaluate, trained.name.replace("train ", "evaluate "))
            .set("suite", Value::List(suite))
            .set("model", model)
            .set("adapter", Value::Result(trained, "adapter".into()))
            .set("limit", self.scale.questions as i64)
            .set("seed", 0)
            .reading(model)?
            .taking(tokens / SPEEDS[1]);
        for set in self.outcomes.iter().filter_map(|outcome| outcome.set()) {
            job = job.reading(set)?;
        }
        if let Some(judge) = self.judge {
            job = job.reading(JUDGED)?;
            if arm != Arm::Mle {
                let plain = self.evaluated(model, corpus, Arm::Mle, seed)?;
                job = job
                    .set("judge", judge)
                    .set("yes", true)
                    .set("baseline-outputs", Value::Result(plain, ANSWERS.into()));
            }
        }
        Ok(job.shared())
    }

    fn task(&self, outcome: Outcome) -> Result<Value> {
        if outcome.better() == Better::More {
            return Ok(outcome.name().into());
        }
        outcome.of().context("held-out text is of some corpus")?.held_out(self.scale.questions)
    }

    /// The name of an outcome in an evaluation's file.
    pub fn key(&self, outcome: Outcome, lab: &Lab) -> Result<String> {
        Ok(match self.task(outcome)? {
            Value::Task(kind, job) => format!("{kind}:{}", lab.place(&job).join(job.verb.output()).display()),
            Value::Plain(toml::Value::String(name)) => name,
            other => anyhow::bail!("{other:?} names no task"),
        })
    }

    /// Arms of figure 3.
    pub fn selections(&self) -> Vec<Arm> {
        let criteria = if self.scale.thin { &[Criterion::Loss, Criterion::Rho] } else { Criterion::ALL };
        let of =
            |by: &Criterion| Granularity::ALL.iter().map(|of| Arm::selected(*by, *of)).collect::<Vec<_>>();
        criteria.iter().flat_map(of).collect()
    }

    /// Arms of figures 5 and 6.
    pub fn objectives(&self) -> Vec<Arm> {
        vec![Arm::Masked, Arm::Distill, Arm::MaskedDistill]
    }

    /// Arms of the threshold's ablation.
    pub fn thresholds(&self) -> Vec<Arm> {
        if self.scale.thin {
            return vec![Arm::Top10, Arm::Masked, Arm::Adaptive];
        }
        vec![Arm::Top10, Arm::Masked, Arm::Top50, Arm::Top75, Arm::Adaptive]
    }

    /// Arms of the joint curriculum of data and capacity.
    pub fn capacities(&self) -> Vec<Arm> {
        if self.scale.thin {
            return vec![Arm::Masked, Arm::GrowingBoth];
        }
        vec![Arm::Masked, Arm::Rank4, Arm::GrowingRank, Arm::GrowingShare, Arm::GrowingBoth]
    }

    /// Arms of the comparison of curricula.
    pub fn curricula(&self) -> Vec<Arm> {
        if self.scale.thin {
            return vec![Arm::Masked, Arm::Explicit];
        }
        vec![Arm::Masked, Arm::Explicit, Arm::Reversed]
    }

    /// Arms whose models' uncertainty is measured beside the base's.
    pub const UNCERTAIN: [Arm; 3] = [Arm::Mle, Arm::Masked, Arm::MaskedDistill];

    /// Arms whose steps are timed against each other.
    pub const TIMED: [Arm; 4] = [Arm::Mle, Arm::Masked, Arm::LossDocuments, Arm::MaskedDistill];

    /// The run of such an arm.
    pub fn timed_run(&self, model: &str, arm: Arm) -> Result<Arc<Job>> {
        self.trained(model, self.corpora[0], arm, 0)
    }

    /// All of these runs, which want the machine to themselves.
    pub fn timed(&self) -> Result<Vec<Arc<Job>>> {
        let runs = self.scale.models.iter().flat_map(|model| Self::TIMED.map(|arm| (model, arm)));
        runs.map(|(model, arm)| self.timed_run(model, arm)).collect()
    }

    /// Every arm, the baseline first, each once.
    pub fn arms(&self) -> Vec<Arm> {
        let groups =
            [self.selections(), self.objectives(), self.thresholds(), self.capacities(), self.curricula()];
        let mut all = vec![Arm::Mle];
        for arm in groups.into_iter().flatten() {
            if !all.contains(&arm) {
                all.push(arm);
            }
        }
        all
    }

    /// Every job of the grid; what these need is not listed.
    pub fn jobs(&self) -> Result<Vec<Arc<Job>>> {
        let mut jobs = Vec::new();
        for model in self.scale.models {
            for corpus in &self.corpora {
                for arm in self.arms().into_iter().filter(|arm| self.trains(*corpus, *arm)) {
                    for seed in 0..self.seeds(arm) {
                        jobs.push(self.evaluated(model, *corpus, arm, seed)?);
                    }
                }
            }
        }
        Ok(jobs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::queue;
    use std::collections::BTreeSet;
    use std::path::Path;

    #[test]
    fn every_profile_has_a_grid_whose_jobs_have_names_of_their_own() -> Result<()> {
        for profile in [Profile::Smoke, Profile::Laptop, Profile::Evening, Profile::Study, Profile::Paper] {
            let study = Study::new(profile, &Lab::fixture());
            let jobs = queue::with_needs(&study.jobs()?);
            let names: BTreeSet<&str> = jobs.iter().map(|job| job.name.as_str()).collect();
            assert_eq!(names.len(), jobs.len(), "{}", profile.name());
            assert_eq!(study.missing, Vec::<&str>::new());
            for corpus in &study.corpora {
                assert!(corpus.rows()? > study.scale.clean_rows, "{} {}", profile.name(), corpus.name());
            }
            assert_eq!(study.outcomes.len(), study.scale.outcomes.len(), "{}", profile.name());
            let arms: BTreeSet<Arm> = study.arms().into_iter().collect();
            assert_eq!(arms.len(), study.arms().len());
        }
        Ok(())
    }

    #[test]
    fn only_held_out_text_of_the_corpus_itself_is_in_its_distribution() {
        for corpus in Corpus::ALL {
            let losses_and_shares = Outcome::ALL.iter().filter(|outcome| **outcome != Outcome::AlpacaEval);
            let at_home = losses_and_shares.filter(|outcome| outcome.is_in_distribution(*corpus)).count();
            // ShareGPT's sample holds nothing out: OpenAssistant's threads are another's conversations.
            assert_eq!(at_home, if *corpus == Corpus::Chat { 0 } else { 2 }, "{}", corpus.name());
        }
    }

    #[test]
    fn references_are_trained_first_and_on_the_right_rows() -> Result<()> {
        let study = Study::new(Profile::Laptop, &Lab::fixture());
        let job = |arm: Arm| study.trained("smollm2-135m", Corpus::Arithmetic, arm, 0);
        let needs = |arm: Arm| -> Result<Vec<String>> {
            Ok(job(arm)?
                .needs()
                .map(|needed| needed.name.clone())
                .filter(|name| !name.starts_with("make"))
                .collect())
        };
        assert_eq!(needs(Arm::Mle)?, Vec::<String>::new());
        assert_eq!(needs(Arm::MaskedDistill)?, ["train smollm2-135m arithmetic mle seed 0"]);
        assert_eq!(needs(Arm::RhoTokens)?, ["train smollm2-135m arithmetic mle on clean rows seed 0"]);
        let judged = Study::new(Profile::Paper, &Lab::fixture());
        let command = |arm: Arm| -> Result<String> {
            let job = judged.evaluated("google/gemma-2b", Corpus::Alpaca, arm, 0)?;
            Ok(job.command("x".as_ref(), &|needed| needed.name.clone().into()).join(" "))
        };
        assert!(!command(Arm::Mle)?.contains("--judge"));
        let both = command(Arm::MaskedDistill)?;
        let against = "--judge local:Qwen/Qwen2.5-7B-Instruct --yes --baseline-outputs evaluate gemma-2b alpaca mle seed 0/\
                       evaluation.answers.jsonl";
        assert!(both.contains(against), "{both}");
        let growing = judged.trained("google/gemma-2b", Corpus::Gsm8k, Arm::GrowingRank, 0)?;
        let text = growing.configuration(Path::new(""), &|_| "x".into());
        // 7073 rows are 222 steps: the ranks rise after each quarter of them.
        assert!(["step = 55", "step = 111", "step = 166"].iter().all(|step| text.contains(step)), "{text}");
        let chat = judged.trained("google/gemma-2b", Corpus::Chat, Arm::Mle, 0)?;
        let text = chat.configuration(Path::new(""), &|_| "x".into());
        assert!(text.contains("data.max_length = 2048\n"), "{text}");
        assert!(text.contains("model.chat_template = \"plain\"\n"), "base models have none: {text}");
        let short = Study::new(Profile::Study, &Lab::fixture());
        let chat = short.trained("smollm2-135m", Corpus::Chat, Arm::Mle, 0)?;
        assert!(chat.configuration(Path::new(""), &|_| "x".into()).contains("data.limit = 578\n"));
        let text = job(Arm::Mle)?.configuration(Path::new(""), &|_| "x".into());
        assert!(text.contains("data.skip = 32\n") && text.contains("data.limit = 64\n"), "{text}");
        Ok(())
    }
}
