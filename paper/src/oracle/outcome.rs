//! What came of each run, kept in the repository: `paper/recorded/oracle.jsonl.gz`, one line per run.
//!
//! A line has, for each set of documents and each group of tokens, the sums from which every measure follows, so other
//! claims can be tested on the same runs and nothing is computed twice.

use super::plan::{Cell, Quantity};
use super::proxies::{Qualities, Search, rounded};
use super::work::{Stage, Work};
use crate::lab::{Job, Lab, Provenance, Verb};
use anyhow::{Context as _, Result, ensure};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;

/// What a line holds of a group: its number of tokens; the sums of [`Quantity::Kl`] to [`Quantity::Selected`]; the
/// correlations and areas, null where they are undefined.
type Sums = [Option<f64>; 12];

/// The group of all tokens that have one right answer.
pub const ANSWERS: &str = "answers";
const ANSWER_CLASSES: [&str; 5] = ["frequent-fact", "rare-fact", "rule", "new-rule", "copy"];

/// Groups by set of documents.
type Sets = BTreeMap<String, BTreeMap<String, Sums>>;

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
    /// The sums.
    #[serde(default, skip_serializing_if = "Sets::is_empty")]
    pub sets: Sets,
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

#[derive(Deserialize)]
struct Group {
    tokens: f64,
    kl: f64,
    loss: f64,
    model_entropy: f64,
    entropy_gap: f64,
    probability: f64,
    right: f64,
    selected: f64,
    spearman: Proxies,
    auroc: Proxies,
}

#[derive(Deserialize)]
struct Proxies {
    loss: Option<f64>,
    entropy: Option<f64>,
}

impl Outcome {
    /// A measure of a group of a set; of [`ANSWERS`], the mean over its classes' tokens.
    pub fn value(&self, set: &str, group: &str, quantity: Quantity) -> Option<f64> {
        let groups = self.sets.get(set)?;
        let at = 1 + quantity as usize;
        if quantity as usize > Quantity::Selected as usize {
            return groups.get(group)?[at];
        }
        let of: &[&str] = if group == ANSWERS { &ANSWER_CLASSES } else { &[group] };
        let (mut sum, mut tokens) = (0.0, 0.0);
        for sums in of.iter().filter_map(|class| groups.get(*class)) {
            sum += sums[at]?;
            tokens += sums[0]?;
        }
        (tokens > 0.0).then(|| sum / tokens)
    }

    /// What the lab found in a run that is done.
    fn read(work: &Work, cell: &Cell, lab: &Lab) -> Result<Option<Self>> {
        let job = work.measured(cell)?;
        let Some(provenance) = lab.done(&job) else { return Ok(None) };
        let path = lab.place(&job).join(Verb::Evaluate.output());
        let context = || format!("reading {}", path.display());
        let text = std::fs::read_to_string(&path).with_context(context)?;
        let mut found: Evaluation = serde_json::from_str(&text).with_context(context)?;
        let mut sets = Sets::new();
        for (set, documents) in work.sets(cell)? {
            let task = format!("oracle:{}", lab.place(&documents).join(Verb::Make.output()).display());
            let task =
                found.tasks.remove(&task).with_context(|| format!("{} lacks {task}", path.display()))?;
            let groups = task.groups.into_iter().map(|(name, group)| (name, group.sums()));
            sets.insert(set.to_owned(), groups.collect());
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
        let (sets, proxies) = (Sets::new(), Qualities::new());
        Self { run, seconds: rounded(seconds), commit, date, sets, proxies }
    }
}

impl Group {
    fn sums(self) -> Sums {
        let Self { tokens, kl, loss, model_entropy, entropy_gap, probability, right, selected, .. } = self;
        let [a, b, c, d, e, f, g, h] =
            [tokens, kl, loss, model_entropy, entropy_gap, probability, right, selected].map(Some);
        let Self { spearman, auroc, .. } = self;
        [a, b, c, d, e, f, g, h, spearman.loss, spearman.entropy, auroc.loss, auroc.entropy]
            .map(|value| value.map(rounded))
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
        for cell in work.cells(stage)?.iter().filter(|cell| !self.has(&cell.to_string())).collect::<Vec<_>>()
        {
            self.add(Outcome::read(work, cell, lab)?);
        }
        let searches = if stage == Stage::Main { work.searches()? } else { Vec::new() };
        for search in searches.iter().filter(|search| !self.has(&search.name)).collect::<Vec<_>>() {
            self.add(Outcome::found(search, lab)?);
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
        for outcome in self.0.values() {
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
        let searches = if stage == Stage::Main { work.searches()? } else { Vec::new() };
        for search in searches.iter().filter(|search| !self.has(&search.name)) {
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

    fn outcome(seed: u64) -> (Cell, Outcome) {
        let (data, arm) = ("clean".to_owned(), "mle".to_owned());
        let cell = Cell { seed, from: 1, data, arm, rate: Rate::Tuned, look: None };
        let group = Group {
            tokens: 8.0,
            kl: 2.0,
            loss: 12.0,
            model_entropy: 6.0,
            entropy_gap: 1.0,
            probability: 4.0,
            right: 6.0,
            selected: 2.0,
            spearman: Proxies { loss: Some(0.25), entropy: None },
            auroc: Proxies { loss: Some(0.75), entropy: None },
        };
        let groups = BTreeMap::from([("all".to_owned(), group.sums())]);
        let sets = BTreeMap::from([("test".to_owned(), groups)]);
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
        let value = |quantity| found.value("test", "all", quantity);
        assert_eq!(value(Quantity::Kl), Some(0.25));
        assert_eq!(value(Quantity::Right), Some(0.75));
        assert_eq!(value(Quantity::Selected), Some(0.25));
        assert_eq!(value(Quantity::LossRank), Some(0.25));
        assert_eq!((value(Quantity::EntropyRank), found.value("deep", "all", Quantity::Kl)), (None, None));
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
