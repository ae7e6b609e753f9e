//! Documents of the kind that a model is trained on, held out from training: scored before, during and after it.

use super::arm::Arm;
use super::corpus::{Corpus, is_available};
use super::grid::Study;
use super::models::short;
use super::scoring::{self, PLACES};
use crate::lab::{Job, Lab, Value};
use crate::tokens::{Document, RATE, read};
use crate::{Profile, Run};
use anyhow::{Context as _, Result};
use std::fs;
use std::sync::Arc;

/// The first held-out documents of a corpus, for a model of the study and the models trained from it.
#[derive(Clone, Copy, Debug)]
pub struct HeldOut<'a> {
    study: &'a Study,
    model: &'a str,
    corpus: Corpus,
    documents: usize,
    passes: usize,
}

/// Corpora of the study with held-out documents that are available.
pub fn corpora(study: &Study, lab: &Lab) -> Vec<Corpus> {
    let scored = |corpus: &Corpus| corpus.unseen_set().is_none_or(|set| is_available(lab, set));
    study.corpora.iter().copied().filter(scored).collect()
}

impl<'a> HeldOut<'a> {
    /// So many documents, and stochastic passes.
    pub fn new(
        study: &'a Study,
        model: &'a str,
        corpus: Corpus,
        (documents, passes): (usize, usize),
    ) -> Self {
        Self { study, model, corpus, documents, passes }
    }

    /// The scoring by the base model.
    pub fn before(&self) -> Result<Job> {
        let job = self.scoring("before training")?;
        // What is trained brings its own along.
        let template = self.study.scale.template;
        Ok(template.into_iter().fold(job, |job, template| job.set("chat-template", template)))
    }

    /// The scoring after training.
    pub fn after(&self, arm: Arm, seed: u64) -> Result<Job> {
        let trained = self.study.trained(self.model, self.corpus, arm, seed)?;
        let job = self.scoring(&format!("after {arm} seed {seed}"))?;
        Ok(job.set("adapter", Value::Result(trained, "adapter".into())))
    }

    /// `of` applied to the documents as scored before masked training and at each of its checkpoints, with the steps so far.
    pub fn during<T>(
        &self,
        run: &Run,
        seed: u64,
        of: impl Fn(&[Document]) -> Result<T>,
    ) -> Result<Vec<(u64, T)>> {
        run.job(self.masked(seed)?.as_ref())?;
        let mut found = vec![(0, of(&documents(run, &self.before()?)?)?)];
        for (step, job) in self.checkpoints(run.lab(), seed)? {
            found.push((step, of(&documents(run, &job)?)?));
        }
        Ok(found)
    }

    fn masked(&self, seed: u64) -> Result<Arc<Job>> {
        self.study.trained(self.model, self.corpus, Arm::Masked, seed)
    }

    /// Those scorings of several seeds that can be named: which checkpoints a run kept is known when it is done.
    fn known(&self, lab: &Lab, seeds: u64) -> Result<Vec<Job>> {
        let mut all = vec![self.before()?];
        for seed in 0..seeds {
            if lab.done(self.masked(seed)?.as_ref()).is_some() {
                all.extend(self.checkpoints(lab, seed)?.into_iter().map(|(_, job)| job));
            }
        }
        Ok(all)
    }

    /// The scorings at the checkpoints of masked training, which is done, by their steps.
    fn checkpoints(&self, lab: &Lab, seed: u64) -> Result<Vec<(u64, Job)>> {
        let masked = self.masked(seed)?;
        let parent = lab.place(&masked).join("checkpoints");
        let mut found = Vec::new();
        for entry in fs::read_dir(&parent).with_context(|| format!("reading {}", parent.display()))? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if let Some(step) = name.strip_prefix("step-").and_then(|step| step.parse().ok()) {
                let job = self.scoring(&format!("after {step} steps of {} seed {seed}", Arm::Masked))?;
                let adapter = Value::Result(masked.clone(), format!("checkpoints/{name}").into());
                found.push((step, job.set("adapter", adapter)));
            }
        }
        found.sort_by_key(|(step, _)| *step);
        Ok(found)
    }

    fn scoring(&self, when: &str) -> Result<Job> {
        let Self { study, model, corpus, documents, passes } = *self;
        let name = format!("score {} {} {documents} × {passes} {when}", short(model), corpus.name());
        let mut job = scoring::work(name, corpus.unseen(documents)?, model, documents, passes)?
            // Cut as in training.
            .set("max-length", study.scale.longest(corpus) as i64);
        if let Some(set) = corpus.unseen_set() {
            job = job.reading(set)?;
        }
        if passes == 0 {
            return Ok(job);
        }
        Ok(job.set("rate", RATE).set("places", PLACES[0]))
    }
}

/// The documents that a scoring wrote; it is run first if need be.
pub fn documents(run: &Run, job: &Job) -> Result<Vec<Document>> {
    read(&run.job(job)?.join(job.verb.output()))
}

/// The documents and model of figure 4's conversation.
pub fn conversation(profile: Profile, study: &Study) -> HeldOut<'_> {
    HeldOut::new(study, study.scale.models[0], study.corpora[0], scoring::pictured(profile))
}

/// All such scorings that a profile's figures show and that can be named yet.
pub fn jobs(profile: Profile, study: &Study, lab: &Lab) -> Result<Vec<Arc<Job>>> {
    let mut all = conversation(profile, study).known(lab, 1)?;
    for model in study.scale.models {
        for corpus in corpora(study, lab) {
            let selected = HeldOut::new(study, model, corpus, scoring::selected(profile));
            all.extend(selected.known(lab, study.scale.seeds)?);
            let uncertain = HeldOut::new(study, model, corpus, scoring::uncertain(profile));
            all.push(uncertain.before()?);
            for arm in Study::UNCERTAIN {
                for seed in 0..study.scale.seeds {
                    all.push(uncertain.after(arm, seed)?);
                }
            }
        }
    }
    Ok(all.into_iter().map(Job::shared).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn checkpoints_are_scored_when_their_runs_are_done_and_every_scoring_has_a_name() -> Result<()> {
        let lab = Lab::fixture();
        let study = Study::new(Profile::Study, &lab);
        let before = jobs(Profile::Study, &study, &lab)?.len();
        let (corpora, seeds) = (5, 3);
        assert_eq!(before, 1 + corpora * (1 + 1 + 3 * seeds));
        let run = study.trained("smollm2-135m", Corpus::Chat, Arm::Masked, 1)?;
        lab.make(&run, &|_| ())?;
        let found = jobs(Profile::Study, &study, &lab)?;
        let names: BTreeSet<&str> = found.iter().map(|job| job.name.as_str()).collect();
        assert_eq!(names.len(), found.len());
        let steps: Vec<&&str> = names.iter().filter(|name| name.contains(" steps of ")).collect();
        assert_eq!(found.len(), before + steps.len());
        assert_eq!(*steps[0], "score smollm2-135m chat 200 × 0 after 2 steps of loss token seed 1");
        Ok(())
    }
}
