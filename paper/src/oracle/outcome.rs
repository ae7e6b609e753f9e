//! What came of each run, kept in the repository: `paper/recorded/oracle.jsonl.gz`, one line per run.
//!
//! A line has, for each set of documents and each group of tokens, the sums from which every measure follows, so other
//! claims can be tested on the same runs and nothing is computed twice.

use super::measures::{Group, Measures, rounded};
use super::plan::{Cell, Quantity};
use super::proxies::{Qualities, Search};
use super::work::{Stage, Work};
use crate::lab::{Job, Lab, Provenance, Verb};
use anyhow::{Context as _, Result, ensure};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;

/// Sets of documents whose correlations and areas are kept, too.
const RANKED: [&str; 2] = ["test", "training"];

/// One run's measures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// [`Cell`]'s name: seed, capability, data, arm, rate.
    pub run: String,
    /// Seconds of its training and evaluation.
    pub seconds: f64,
    /// Commit of the program.
    pub commit: String,
    /// When it was finished (UTC).
    pub date: String,
    /// Its measures by set of documents.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sets: BTreeMap<String, Measures>,
    /// How well proxies find what the model does not know.
    #[serde(default, skip_serializing_if = "Qualities::is_empty")]
    pub proxies: Qualities,
}

#[derive(Deserialize)]
struct Evaluation {
    tasks: BTreeMap<String, Task>,
}

#[derive(Deserialize)]
struct Task {
    groups: BTreeMap<String, Group>,
}

impl Outcome {
    /// A measure of a group of a set.
    pub fn value(&self, set: &str, group: &str, quantity: Quantity) -> Option<f64> {
        self.sets.get(set)?.value(group, quantity)
    }

    /// What the lab found in a run that is done.
    fn read(work: &Work, cell: &Cell, lab: &Lab) -> Result<Option<Self>> {
        let job = work.measured(cell)?;
        let Some(provenance) = lab.done(&job) else { return Ok(None) };
        let path = lab.place(&job).join(Verb::Evaluate.output());
        let context = || format!("reading {}", path.display());
        let text = std::fs::read_to_string(&path).with_context(context)?;
        let mut found: Evaluation = serde_json::from_str(&text).with_context(context)?;
        let mut sets = BTreeMap::new();
        for (set, documents) in work.sets(cell)? {
            let task = format!("oracle:{}", lab.place(&documents).join(Verb::Make.output()).display());
            let task =
                found.tasks.remove(&task).with_context(|| format!("{} lacks {task}", path.display()))?;
            sets.insert(set.to_owned(), Measures::of(&task.groups, RANKED.contains(&set)));
        }
        Ok(Some(Self { sets, ..Self::from(cell.to_string(), provenance) }))
    }

    /// What the lab found in a search that is done.
    fn found(search: &Search, lab: &Lab) -> Result<Option<Self>> {
        let Some(proxies) = search.read(lab)? else { return Ok(None) };
        let mut done: Vec<Provenance> = search.jobs().filter_map(|job| lab.done(job)).collect();
        let seconds = done.iter().map(|one| one.seconds).sum();
        let last = done.pop().context("a search without jobs")?;
        Ok(Some(Self { proxies, ..Self::from(search.name.clone(), Provenance { seconds, ..last }) }))
    }

    fn from(run: String, provenance: Provenance) -> Self {
        let Provenance { seconds, commit, date, .. } = provenance;
        let (sets, proxies) = (BTreeMap::new(), Qualities::new());
        Self { run, seconds: rounded(seconds, 4), commit, date, sets, proxies }
    }
}

/// The runs of a study that are done, by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcomes(BTreeMap<String, Outcome>);

impl Outcomes {
    /// Those kept in the repository.
    pub fn recorded() -> Result<Self> {
        Self::parse(include_bytes!("../../recorded/oracle.jsonl.gz"))
            .context("paper/recorded/oracle.jsonl.gz")
    }

    /// Those that the repository keeps of a size.
    pub fn known(work: &Work) -> Result<Self> {
        if work.is_kept() { Self::recorded() } else { Ok(Self::default()) }
    }

    /// Those of a file.
    pub fn read(path: &Path) -> Result<Self> {
        let context = || format!("reading {}", path.display());
        Self::parse(&std::fs::read(path).with_context(context)?).with_context(context)
    }

    fn parse(compressed: &[u8]) -> Result<Self> {
        let mut text = String::new();
        GzDecoder::new(compressed).read_to_string(&mut text).context("decompressing")?;
        let mut all = BTreeMap::new();
        for (line, number) in text.lines().zip(1..) {
            let outcome: Outcome = serde_json::from_str(line).with_context(|| format!("line {number}"))?;
            let run = outcome.run.clone();
            ensure!(all.insert(run.clone(), outcome).is_none(), "line {number}: {run} a second time");
        }
        Ok(Self(all))
    }

    /// Adds what the lab has of a stage's runs that are not among these yet; returns how many that are.
    pub fn collect(&mut self, work: &Work, stage: Stage, lab: &Lab) -> Result<usize> {
        let before = self.len();
        for cell in work.cells(stage)? {
            if !self.has(&cell.to_string()) {
                self.add(Outcome::read(work, &cell, lab)?);
            }
        }
        for search in work.searches(stage)? {
            if !self.has(&search.name) {
                self.add(Outcome::found(&search, lab)?);
            }
        }
        Ok(self.len() - before)
    }

    fn add(&mut self, outcome: Option<Outcome>) {
        self.0.extend(outcome.map(|outcome| (outcome.run.clone(), outcome)));
    }

    /// Whether a run is among them.
    pub fn has(&self, run: &str) -> bool {
        self.0.contains_key(run)
    }

    /// Writes them.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut compressed = GzEncoder::new(Vec::new(), Compression::best());
        // Seed by seed, as the numbers of tokens are a seed's own and compress well side by side.
        let mut outcomes: Vec<&Outcome> = self.0.values().collect();
        outcomes.sort_by_key(|outcome| outcome.run.rsplit(' ').next());
        for outcome in outcomes {
            writeln!(compressed, "{}", serde_json::to_string(outcome)?)?;
        }
        crate::cache::write_atomically(path, compressed.finish()?)
    }

    /// The jobs of a stage's runs that are not among these, seed by seed: each run with its measures, then what proxies see.
    pub fn missing(&self, work: &Work, stage: Stage) -> Result<Vec<Arc<Job>>> {
        let mut jobs = Vec::new();
        for cell in work.cells(stage)?.iter().filter(|cell| !self.has(&cell.to_string())) {
            jobs.push((cell.seed, work.measured(cell)?));
        }
        for search in work.searches(stage)?.iter().filter(|search| !self.has(&search.name)) {
            jobs.extend(search.jobs().map(|job| (search.seed, job.clone())));
        }
        jobs.sort_by_key(|(seed, _)| *seed);
        Ok(jobs.into_iter().map(|(_, job)| job).collect())
    }

    /// What came of a run.
    pub fn of(&self, cell: &Cell) -> Option<&Outcome> {
        self.0.get(&cell.to_string())
    }

    /// What proxies found in a search.
    pub fn named(&self, search: &str) -> Option<&Qualities> {
        self.0.get(search).map(|outcome| &outcome.proxies)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::Rate;
    use crate::oracle::measures::tests::groups;

    fn outcome(seed: u64) -> (Cell, Outcome) {
        let (data, arm) = ("clean".to_owned(), "mle".to_owned());
        let cell = Cell { seed, from: 1, data, arm, rate: Rate::Tuned, look: None };
        let sets = BTreeMap::from([("test".to_owned(), Measures::of(&groups(), true))]);
        let run = cell.to_string();
        (
            cell,
            Outcome {
                run,
                seconds: 1.5,
                commit: "c".into(),
                date: "d".into(),
                sets,
                proxies: Qualities::new(),
            },
        )
    }

    #[test]
    fn outcomes_are_read_as_they_are_written() -> Result<()> {
        let folder = std::env::temp_dir().join(format!("tokensieve-outcomes-{}", std::process::id()));
        let path = folder.join("oracle.jsonl.gz");
        let all = [outcome(0), outcome(1)];
        let outcomes = Outcomes(all.iter().map(|(_, one)| (one.run.clone(), one.clone())).collect());
        outcomes.write(&path)?;
        let read = Outcomes::read(&path)?;
        assert_eq!(read, outcomes);
        let found = read.of(&all[1].0).context("written")?;
        assert_eq!(found.value("test", "all", Quantity::Kl), Some(0.25));
        assert_eq!(found.value("deep", "all", Quantity::Kl), None);
        std::fs::write(&path, "no gzip")?;
        let error = format!("{:#}", Outcomes::read(&path).unwrap_err());
        assert!(error.contains("oracle.jsonl.gz"), "{error}");
        std::fs::remove_dir_all(&folder)?;
        Ok(())
    }

    #[test]
    fn what_is_recorded_can_be_read() {
        assert!(Outcomes::recorded().is_ok());
    }
}
