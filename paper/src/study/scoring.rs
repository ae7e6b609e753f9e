//! Which documents are scored, how, and how many in each profile: in one place, so that figures share results.

use crate::lab::{Job, Lab, Value, Verb};
use crate::named::named;
use crate::tokens::{Document, RATE, picture, read, synthetic};
use crate::{Profile, Run, Table};
use anyhow::Result;
use std::sync::Arc;

/// Where dropout acts, as the `tokensieve` program takes it, the default first.
pub const PLACES: [&str; 3] = ["attention,residual", "attention", "embedding"];
/// The rates of figure 10.
pub const RATES: [f64; 6] = [0.05, 0.1, 0.2, 0.3, 0.4, 0.5];

/// The type of numbers that models compute with: that of the studies' plans.
const PRECISION: &str = "bf16";

/// Seconds that a pass over a document is assumed to take, until finished scorings show the real time.
const PASS: f64 = 0.12;

named! {
    /// A data set whose documents are scored.
    pub enum Dataset {
        /// Instructions with answers.
        Alpaca = "alpaca",
        /// Word problems with worked answers.
        Gsm8k = "gsm8k",
    }
}

impl Dataset {
    /// Its name in drawings.
    pub fn title(self) -> &'static str {
        match self {
            Self::Alpaca => "Alpaca",
            Self::Gsm8k => "GSM8K",
        }
    }
}

/// One scoring of documents.
#[derive(Clone, Debug, PartialEq)]
pub struct Scoring {
    /// The model, by its name in the catalogue or on the hub.
    pub model: &'static str,
    /// Which documents.
    pub dataset: Dataset,
    /// How many, from the first.
    pub documents: usize,
    /// Stochastic passes; 0 scores loss and entropy only.
    pub passes: usize,
    /// Dropout rate.
    pub rate: f64,
    /// Where dropout acts.
    pub places: &'static str,
}

impl Scoring {
    /// Uncertainties as most figures show them.
    pub fn uncertainty(
        profile: Profile,
        model: &'static str,
        dataset: Dataset,
        places: &'static str,
    ) -> Self {
        let (documents, passes) = uncertain(profile);
        Self { model, dataset, documents, passes, rate: RATE, places }
    }

    /// Losses only, of many documents.
    pub fn losses(profile: Profile, model: &'static str, dataset: Dataset) -> Self {
        let documents = match profile {
            Profile::Smoke => 6,
            Profile::Laptop => 64,
            Profile::Study => 512,
            Profile::Paper => 2048,
        };
        Self { model, dataset, documents, passes: 0, rate: 0.0, places: PLACES[0] }
    }

    /// Uncertainties at one of several rates: of fewer documents, and of a hundred passes wherever numbers count, for at
    /// large rates BALD comes near the logarithm of their number.
    #[must_use]
    pub fn at_rate(self, profile: Profile, rate: f64) -> Self {
        let (documents, passes) = match profile {
            Profile::Smoke => (2, 4),
            Profile::Laptop => (6, 100),
            Profile::Study | Profile::Paper => (32, 100),
        };
        Self { documents, passes, rate, ..self }
    }

    /// The scored documents, computed if they were not before; synthetic where no data may be read.
    pub fn documents(&self, run: &Run) -> Result<Vec<Document>> {
        if run.synthetic_data() {
            let (rate, documents) = if self.passes == 0 { (0.0, 24) } else { (self.rate, 8) };
            return Ok(synthetic::documents(self.dataset.name(), documents, rate));
        }
        let job = self.job(documents(run, self.dataset.name())?)?;
        read(&run.job(&job)?.join(job.verb.output()))
    }

    /// The work for the `tokensieve` program.
    fn job(&self, source: Value) -> Result<Job> {
        let Self { model, dataset, documents, passes, rate, places } = self;
        let name = format!("uncertainty {} {model} {documents} × {passes}, {places} {rate}", dataset.name());
        let job = work(name, source, model, *documents, *passes)?.reading(dataset.name())?;
        if *passes == 0 {
            return Ok(job);
        }
        Ok(job.set("rate", *rate).set("places", *places))
    }
}

/// The work of scoring the first documents of a source.
fn work(name: String, source: Value, model: &str, documents: usize, passes: usize) -> Result<Job> {
    Job::new(Verb::Uncertainty, name)
        .argument(source)
        .set("model", model)
        .set("n", documents as i64)
        .set("passes", passes as i64)
        .set("top", 5)
        .set("precision", PRECISION)
        // Some rows of Alpaca have no response.
        .set("skip-bad", true)
        .taking((documents * (passes + 1)) as f64 * PASS)
        .reading(model)
}

/// All scorings that a profile's figures show, so that they can run at the same time.
pub fn jobs(profile: Profile, lab: &Lab) -> Result<Vec<Arc<Job>>> {
    let mut all = Vec::new();
    for model in models(profile) {
        for dataset in Dataset::ALL.iter().copied() {
            all.push(Scoring::losses(profile, model, dataset));
            all.extend(
                places(profile).iter().map(|places| Scoring::uncertainty(profile, model, dataset, places)),
            );
        }
        for places in rated_places(profile) {
            let scoring = Scoring::uncertainty(profile, model, Dataset::Gsm8k, places);
            all.extend(RATES.map(|rate| scoring.clone().at_rate(profile, rate)));
        }
    }
    all.iter().map(|scoring| Ok(scoring.job(source(lab, scoring.dataset.name())?)?.shared())).collect()
}

/// Documents of which uncertainties are measured, and stochastic passes.
fn uncertain(profile: Profile) -> (usize, usize) {
    match profile {
        Profile::Smoke => (3, 4),
        Profile::Laptop => (10, 20),
        Profile::Study => (64, 100),
        Profile::Paper => (256, 100),
    }
}

/// The chat models that a profile measures.
pub fn models(profile: Profile) -> &'static [&'static str] {
    match profile {
        Profile::Paper => {
            &["google/gemma-2b-it", "meta-llama/Llama-3.1-8B-Instruct", "microsoft/Phi-3.5-mini-instruct"]
        }
        _ => &["smollm2-135m"],
    }
}

/// Where dropout acts in a profile's comparison of places.
pub fn places(profile: Profile) -> &'static [&'static str] {
    if profile == Profile::Smoke { &PLACES[..1] } else { &PLACES }
}

/// Where dropout acts in a profile's comparison of rates.
pub fn rated_places(profile: Profile) -> &'static [&'static str] {
    match profile {
        Profile::Smoke | Profile::Laptop => &PLACES[..1],
        Profile::Study | Profile::Paper => &PLACES,
    }
}

/// Conversations that a picture's table holds, for the token viewer.
const SHOWN: usize = 3;

/// Documents that are scored: the set of that name, or generated word problems where it cannot be obtained, which the
/// figure's title then notes.
fn documents(run: &Run, set: &str) -> Result<Value> {
    if run.lab().has(set)? {
        run.data(set)?;
    } else {
        run.replaced(set, "generated word problems");
    }
    source(run.lab(), set)
}

/// The same outside of a figure.
fn source(lab: &Lab, set: &str) -> Result<Value> {
    if lab.has(set)? {
        return Ok(set.into());
    }
    let problems = Job::new(Verb::Make, format!("make arithmetic test {REPLACING}"))
        .argument("arithmetic")
        .set("split", "test")
        .set("n", REPLACING)
        .set("seed", 0)
        .taking(1.0);
    Ok(Value::output(&problems.shared()))
}

/// How many generated word problems there are in place of a set.
const REPLACING: i64 = 100;

/// The table of the first few documents of a data set whose length suits a picture, scored together with all others.
pub fn conversations(run: &Run, dataset: Dataset) -> Result<Table> {
    let model = models(run.profile)[0];
    let documents = Scoring::uncertainty(run.profile, model, dataset, PLACES[0]).documents(run)?;
    Table::from_rows(&picture::rows(dataset.title(), 0, &documents, SHOWN)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_profiles_scorings_are_those_of_its_figures_each_once() -> Result<()> {
        for (profile, places, rated) in
            [(Profile::Smoke, 1, 1), (Profile::Laptop, 3, 1), (Profile::Study, 3, 3), (Profile::Paper, 9, 9)]
        {
            let jobs = jobs(profile, &Lab::fixture()?)?;
            let ids: BTreeSet<String> = jobs.iter().map(|job| job.id()).collect();
            assert_eq!(ids.len(), jobs.len(), "{}", profile.name());
            let losses = 2 * models(profile).len();
            assert_eq!(jobs.len(), losses + 2 * places + rated * RATES.len(), "{}", profile.name());
        }
        Ok(())
    }
}
