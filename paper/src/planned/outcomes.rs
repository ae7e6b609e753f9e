//! What came of each run, by the run's name: a compressed file of the repository with one line per run.

use crate::cache::key;
use crate::lab::{Job, Provenance};
use crate::provenance::KeptOrigin;
use anyhow::{Context as _, Result, ensure};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::io::{BufReader, Read, Write as _};
use std::path::Path;
use std::sync::Arc;
use tokensieve_base::files::read_line;

/// What a study measures of a run.
pub trait Measured: Clone + Serialize + DeserializeOwned + Send + 'static {
    /// Takes over what another outcome of the same run has and this one lacks. Returns whether that is anything.
    fn complete(&mut self, _other: Self) -> bool {
        false
    }

    /// Whether another outcome of the same run says the same, as far as both go.
    fn agrees(&self, other: &Self) -> Result<bool> {
        Ok(serde_json::to_value(self)? == serde_json::to_value(other)?)
    }
}

/// One run's outcome, with measures `F` of the study.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome<F> {
    /// The run's name, which ends in its seed.
    pub run: String,
    /// The hash of the settings that it was done with ([`settings_of`]); empty where nobody kept it.
    #[serde(default)]
    pub settings: String,
    /// Seconds of its training and evaluation.
    pub seconds: f64,
    /// Commit of the program.
    pub commit: String,
    /// When it was finished (UTC).
    pub date: String,
    /// The processor or GPU that finished it, where it is known: the last bits of a model's numbers are a processor's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processor: Option<String>,
    /// What was measured.
    #[serde(flatten)]
    pub found: F,
}

impl<F> Outcome<F> {
    /// Of a run that is done.
    pub fn new(run: String, settings: String, provenance: Provenance, found: F) -> Self {
        let Provenance { seconds, commit, date, host, .. } = provenance;
        let processor = Some(host.computed_on());
        Self { run, settings, seconds: rounded(seconds, 4), commit, date, processor, found }
    }
}

/// The hash of a run's settings: those of its jobs and of all that they need, whatever code does them.
pub fn settings_of<'a>(jobs: impl IntoIterator<Item = &'a Arc<Job>>) -> String {
    let ids: Vec<String> = jobs.into_iter().map(|job| job.settings_id()).collect();
    key(&[&ids.join("\n")])[..16].to_owned()
}

/// The runs of a study that are done, by name.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcomes<F>(BTreeMap<String, Outcome<F>>);

impl<F> Default for Outcomes<F> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<F: Measured> Outcomes<F> {
    /// Those of a file.
    pub fn read(path: &Path) -> Result<Self> {
        let context = || format!("reading {}", path.display());
        Self::parse(File::open(path).with_context(context)?).with_context(context)
    }

    /// Those of a file's content.
    pub fn parse(compressed: impl Read) -> Result<Self> {
        let (mut input, mut line) = (BufReader::new(GzDecoder::new(compressed)), Vec::new());
        let mut all = BTreeMap::new();
        for number in 1.. {
            read_line(&mut input, &mut line).with_context(|| format!("decompressing line {number}"))?;
            if line.is_empty() {
                break;
            }
            let outcome: Outcome<F> =
                serde_json::from_slice(&line).with_context(|| format!("line {number}"))?;
            let run = outcome.run.clone();
            ensure!(all.insert(run.clone(), outcome).is_none(), "line {number}: {run} a second time");
        }
        Ok(Self(all))
    }

    /// Writes them.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut compressed = GzEncoder::new(Vec::new(), Compression::best());
        // Seed by seed, as the numbers of tokens are a seed's own and compress well side by side.
        let mut outcomes: Vec<&Outcome<F>> = self.0.values().collect();
        outcomes.sort_by_key(|outcome| outcome.run.rsplit(' ').next());
        for outcome in outcomes {
            writeln!(compressed, "{}", serde_json::to_string(outcome)?)?;
        }
        crate::cache::write_atomically(path, compressed.finish()?)
    }

    /// Adds those of other runs. A run that is among both keeps its outcome, completed where they agree.
    pub fn merge(&mut self, others: Self) -> Result<Merged> {
        let mut merged = Merged::default();
        for (run, outcome) in others.0 {
            match self.get(&run) {
                Some(kept) if !kept.agrees(&outcome.found)? => merged.conflicting.push(run),
                _ => merged.added += usize::from(self.add(outcome)),
            }
        }
        Ok(merged)
    }

    /// Adds one; of a run that is among them, what is kept stays and what it lacks is added. Returns whether something was.
    pub fn add(&mut self, outcome: Outcome<F>) -> bool {
        match self.0.entry(outcome.run.clone()) {
            Entry::Vacant(place) => {
                place.insert(outcome);
                true
            }
            Entry::Occupied(mut kept) => kept.get_mut().found.complete(outcome.found),
        }
    }
}

/// What [`Outcomes::merge`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Merged {
    /// How many runs were added or completed.
    pub added: usize,
    /// Runs of which something else was measured than what is kept.
    pub conflicting: Vec<String>,
}

impl<F> Outcomes<F> {
    /// Whether a run is among them.
    pub fn has(&self, run: &str) -> bool {
        self.0.contains_key(run)
    }

    /// What came of a run.
    pub fn get(&self, run: &str) -> Option<&F> {
        self.0.get(run).map(|outcome| &outcome.found)
    }

    /// Where what is kept of a run is from: its commit, its date and, where it is known, the processor.
    pub fn origin(&self, run: &str) -> Option<String> {
        let Outcome { commit, date, processor, .. } = self.0.get(run)?;
        let processor = processor.as_deref().unwrap_or("a processor that is not known");
        Some(format!("commit {commit}, {date}, {processor}"))
    }

    /// Where what is kept of some runs is from.
    pub fn kept(&self, runs: &[String]) -> KeptOrigin {
        let kept = || runs.iter().filter_map(|run| self.0.get(run));
        KeptOrigin {
            commits: kept().map(|outcome| outcome.commit.clone()).collect(),
            processors: kept().filter_map(|outcome| outcome.processor.clone()).collect(),
        }
    }

    /// The settings that a run was done with.
    pub fn settings(&self, run: &str) -> Option<&str> {
        self.0.get(run).map(|outcome| outcome.settings.as_str())
    }

    /// Says that a run was done with these settings.
    pub fn restate(&mut self, run: &str, settings: String) {
        if let Some(outcome) = self.0.get_mut(run) {
            outcome.settings = settings;
        }
    }

    /// Takes runs away.
    #[must_use]
    pub fn take<'a>(&mut self, runs: impl IntoIterator<Item = &'a String>) -> Self {
        Self(runs.into_iter().filter_map(|run| self.0.remove_entry(run)).collect())
    }

    /// Adds those of runs that are not among them.
    pub fn fill(&mut self, others: Self) {
        for (run, outcome) in others.0 {
            self.0.entry(run).or_insert(outcome);
        }
    }

    /// Seconds that a run took.
    pub fn seconds(&self, run: &str) -> Option<f64> {
        self.0.get(run).map(|outcome| outcome.seconds)
    }

    /// Number of runs.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// To so many significant digits.
pub fn rounded(value: f64, digits: usize) -> f64 {
    format!("{value:.*e}", digits - 1).parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Measured for BTreeMap<String, f64> {}

    #[test]
    fn outcomes_are_read_as_they_are_written() -> Result<()> {
        let scratch = tempfile::tempdir()?;
        let folder = scratch.path();
        let path = folder.join("runs.jsonl.gz");
        let one = |seed: u64| Outcome {
            run: format!("train seed {seed}"),
            settings: "s".into(),
            seconds: 1.5,
            commit: "c".into(),
            date: "d".into(),
            processor: (seed > 0).then(|| "a processor".to_owned()),
            found: BTreeMap::from([("loss".to_owned(), 0.25 + seed as f64)]),
        };
        let mut outcomes = Outcomes::default();
        assert!(outcomes.add(one(0)) && outcomes.add(one(1)));
        outcomes.write(&path)?;
        let read = Outcomes::<BTreeMap<String, f64>>::read(&path)?;
        assert_eq!(read, outcomes);
        assert_eq!(read.get("train seed 1"), Some(&one(1).found));
        assert!(read.has("train seed 0") && !read.has("train seed 2") && read.len() == 2);
        let mut merged = Outcomes::default();
        merged.add(Outcome { seconds: 2.5, ..one(1) });
        // The same measures, whatever the time that they took.
        assert_eq!(merged.merge(read)?, Merged { added: 1, conflicting: Vec::new() });
        assert_eq!((merged.len(), merged.seconds("train seed 1")), (2, Some(2.5)));
        let mut others = Outcomes::default();
        others.add(Outcome { found: one(7).found, ..one(0) });
        others.add(one(2));
        let conflicting = vec!["train seed 0".to_owned()];
        assert_eq!(merged.merge(others)?, Merged { added: 1, conflicting });
        assert_eq!(merged.get("train seed 0"), Some(&one(0).found));
        std::fs::write(&path, "no gzip")?;
        let error = format!("{:#}", Outcomes::<BTreeMap<String, f64>>::read(&path).unwrap_err());
        assert!(error.contains("runs.jsonl.gz"), "{error}");
        Ok(())
    }
}
