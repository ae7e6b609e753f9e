//! The files that a run writes beside the model.
//!
//! | file | one line per |
//! |---|---|
//! | `metrics.jsonl` | step or evaluation: numbers that depend on nothing but the configuration |
//! | `timing.jsonl` | step: seconds, speed, memory |
//! | `selection.jsonl` | step: tokens per class, among all and among the selected |
//! | `tensorboard/` | the same numbers as event files |

mod progress;
mod step;
mod tensorboard;

use std::collections::BTreeMap;
use std::mem;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use progress::Progress;
pub use step::Step;
use tensorboard::Events;
use tokensieve_documents::{Class, Classes, JsonlFile};

use crate::config;
use crate::step::{Evaluation, StepReport};
use tokensieve_kernels::memory;
use tokensieve_model::Result;

/// Files of lines, by name.
pub(super) const METRICS: &str = "metrics.jsonl";
const TIMING: &str = "timing.jsonl";
const SELECTION: &str = "selection.jsonl";

/// Folder of the event files.
const EVENTS: &str = "tensorboard";

/// The log files that runs have written into a folder.
pub(super) fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = [METRICS, TIMING, SELECTION].map(|name| folder.join(name)).into();
    files.extend(Events::all(&folder.join(EVENTS))?);
    Ok(files)
}

/// Whether a run has logged a step or an evaluation in a folder.
pub(super) fn has_curve(folder: &Path) -> bool {
    folder.join(METRICS).metadata().is_ok_and(|file| file.len() > 0)
}

/// The logs of a run.
#[derive(Debug)]
pub struct Log {
    metrics: JsonlFile,
    timing: JsonlFile,
    selection: Option<JsonlFile>,
    events: Option<Events>,
    progress: Progress,
    classes: Classes,
    totals: Totals,
    /// Whether a step without a pull was mentioned.
    has_warned: bool,
    /// How far each file was valid when the run was opened; files that this process does not write stay so.
    marks: BTreeMap<String, u64>,
}

/// Sums over the steps of this process.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Totals {
    /// Steps.
    pub steps: u64,
    /// Tokens read, prompts included.
    pub read: usize,
    /// Seconds in steps.
    pub seconds: f64,
    /// First and last loss.
    pub losses: Option<[f64; 2]>,
    /// First and last NLL, where steps report it.
    pub nlls: Option<[f64; 2]>,
}

impl Log {
    /// Opens the logs of a run that has done `step` of `steps`; `marks` says how far each file is valid.
    pub fn open(
        folder: &Path,
        wanted: config::Log,
        marks: &BTreeMap<String, u64>,
        step: u64,
        steps: u64,
    ) -> Result<Self> {
        let mark = |name: &str| marks.get(name).copied().unwrap_or(0);
        let open = |name: &str| JsonlFile::open(&folder.join(name), mark(name));
        // Timings are not part of a run's results, so a missing file is only a warning.
        let timing = folder.join(TIMING);
        let timing = if mark(TIMING) > 0 && !timing.exists() {
            tokensieve_base::status!(
                "warning: {} is missing; it continues after step {step} in a new file",
                timing.display()
            );
            JsonlFile::open(&timing, 0)
        } else {
            open(TIMING)
        };
        // Events of the checkpoint's own step belong to it; later events are void.
        let void_from = if marks.is_empty() { 0 } else { step + 1 };
        let events = || Events::create(&folder.join(EVENTS), void_from);
        Ok(Self {
            metrics: open(METRICS)?,
            timing: timing?,
            selection: wanted.selection.then(|| open(SELECTION)).transpose()?,
            events: wanted.tensorboard.then(events).transpose()?,
            progress: Progress::new(step, steps),
            classes: Classes::default(),
            totals: Totals::default(),
            has_warned: false,
            marks: marks.clone(),
        })
    }

    /// Logs a step.
    pub fn step(&mut self, step: &Step) -> Result<()> {
        let share = step.report.selected as f64 / step.report.tokens.max(1) as f64;
        self.metrics.push(&json!({
            "step": step.step,
            "loss": step.report.loss,
            "nll": step.report.nll,
            "tokens": step.report.tokens,
            "selected": step.report.selected,
            "lr": step.lr,
            "gradient_norm": step.gradient_norm,
        }))?;
        let speed = step.read as f64 / step.seconds.max(1e-9);
        let phases: Map<String, Value> =
            step.report.phases.iter().map(|(name, s)| ((*name).to_owned(), json!(s))).collect();
        let peak = memory::peak_bytes();
        let mut timing = json!({
            "step": step.step,
            "seconds": step.seconds,
            "tokens_per_second": speed,
            "peak_bytes": peak,
            "phases": phases,
        });
        let mut values = vec![
            ("train/loss", step.report.loss),
            ("train/selected", share),
            ("train/lr", step.lr),
            ("train/gradient_norm", step.gradient_norm),
            ("time/tokens_per_second", speed),
            ("time/peak_gib", memory::gib(peak.unwrap_or(0))),
        ];
        values.extend(step.report.nll.map(|nll| ("train/nll", nll)));
        if let Some(bytes) = step.peak_device_bytes {
            timing["peak_device_bytes"] = bytes.into();
            values.push(("time/peak_device_gib", memory::gib(bytes)));
        }
        self.timing.push(&timing)?;
        if let Some(events) = &mut self.events {
            events.scalars(step.step, &values)?;
            events.flush()?;
        }
        self.totals.add(step);
        self.progress.show(step, share);
        self.warn_of_nothing(step.step, step.report);
        Ok(())
    }

    /// Says of the first step in which no token has a pull that it trains nothing.
    fn warn_of_nothing(&mut self, step: u64, report: &StepReport) {
        let StepReport { tokens, selected, pulled, .. } = *report;
        if pulled > 0 || mem::replace(&mut self.has_warned, true) {
            return;
        }
        self.say(&format!(
            "warning: step {step} trains nothing: none of its {tokens} tokens has a pull ({selected} are selected; a band of few \
             tokens or documents can be empty); later such steps are not reported"
        ));
    }

    /// Logs how many tokens of each class a step selected, from every predicted token and whether it was selected.
    /// `text` returns a token's text; special tokens have none.
    pub fn selection(
        &mut self,
        step: u64,
        tokens: impl Iterator<Item = (u32, bool)>,
        text: impl Fn(u32) -> Option<String>,
    ) -> Result<()> {
        let Some(lines) = &mut self.selection else { return Ok(()) };
        let mut counts = [[0_u64; Class::ALL.len()]; 2];
        for (token, selected) in tokens {
            let class = self.classes.of(token, &text) as usize;
            counts[0][class] += 1;
            counts[1][class] += u64::from(selected);
        }
        let named = |counts: &[u64]| -> Map<String, Value> {
            Class::ALL
                .iter()
                .zip(counts)
                .map(|(class, count)| (class.name().to_owned(), json!(count)))
                .collect()
        };
        lines.push(&json!({ "step": step, "all": named(&counts[0]), "selected": named(&counts[1]) }))
    }

    /// Logs an evaluation of a held-out set.
    pub fn evaluation(&mut self, step: u64, name: &str, found: &Evaluation) -> Result<()> {
        let means = [
            ("nll", Some(found.nll)),
            ("loss", found.objective_loss),
            ("mean_p", Some(found.mean_p)),
            ("accuracy", Some(found.accuracy)),
        ];
        let means: Vec<(&str, f64)> =
            means.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
        let mut line = Map::from_iter([("step".to_owned(), json!(step)), ("eval".to_owned(), json!(name))]);
        line.extend(means.iter().map(|(key, value)| ((*key).to_owned(), json!(value))));
        line.insert("tokens".to_owned(), json!(found.tokens));
        self.metrics.push(&Value::Object(line))?;
        if let Some(events) = &mut self.events {
            let tags: Vec<String> = means.iter().map(|(key, _)| format!("eval/{name}/{key}")).collect();
            let values: Vec<_> =
                tags.iter().zip(&means).map(|(tag, (_, value))| (tag.as_str(), *value)).collect();
            events.scalars(step, &values)?;
            events.flush()?;
        }
        let text: Vec<String> = means.iter().map(|(key, value)| format!("{key} {value:.4}")).collect();
        self.say(&format!("after {step} steps, {name}: {}", text.join("  ")));
        Ok(())
    }

    /// Prints a line on standard error.
    pub fn say(&self, line: &str) {
        self.progress.say(line);
    }

    /// How many bytes of each file belong to the steps done; all of them are flushed to the disk.
    pub fn marks(&mut self) -> Result<BTreeMap<String, u64>> {
        let mut marks = self.marks.clone();
        marks.insert(METRICS.to_owned(), self.metrics.durable()?);
        marks.insert(TIMING.to_owned(), self.timing.durable()?);
        if let Some(lines) = &mut self.selection {
            marks.insert(SELECTION.to_owned(), lines.durable()?);
        }
        Ok(marks)
    }

    /// Sums over the steps of this process.
    pub fn totals(&self) -> Totals {
        self.totals
    }
}

impl Totals {
    fn add(&mut self, step: &Step) {
        self.steps += 1;
        self.read += step.read;
        self.seconds += step.seconds;
        self.losses = Some([self.losses.map_or(step.report.loss, |[first, _]| first), step.report.loss]);
        self.nlls = step.report.nll.map(|nll| [self.nlls.map_or(nll, |[first, _]| first), nll]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_written_for_a_while_keeps_its_lines() {
        let folder = tempfile::tempdir().unwrap();
        let mut marks = BTreeMap::new();
        for (step, selection) in [(1, true), (2, false), (3, true)] {
            let wanted = config::Log { tensorboard: false, selection };
            let mut log = Log::open(folder.path(), wanted, &marks, step - 1, 3).unwrap();
            log.selection(step, [(5, true)].into_iter(), |_| None).unwrap();
            marks = log.marks().unwrap();
        }
        let text = std::fs::read_to_string(folder.path().join(SELECTION)).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        assert_eq!(lines.map(|line| line["step"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 3]);
    }

    #[test]
    fn without_its_times_a_run_goes_on_and_without_its_metrics_not() {
        let folder = tempfile::tempdir().unwrap();
        let wanted = config::Log { tensorboard: false, selection: false };
        let open = |marks: &BTreeMap<String, u64>| Log::open(folder.path(), wanted, marks, 1, 3);
        let line = json!({ "step": 1 });
        let mut log = open(&BTreeMap::new()).unwrap();
        log.metrics.push(&line).unwrap();
        log.timing.push(&line).unwrap();
        let marks = log.marks().unwrap();
        std::fs::remove_file(folder.path().join(TIMING)).unwrap();
        let anew = open(&marks).unwrap().marks().unwrap();
        assert_eq!((anew[METRICS], anew[TIMING]), (marks[METRICS], 0));
        std::fs::remove_file(folder.path().join(METRICS)).unwrap();
        let error = open(&anew).unwrap_err().to_string();
        assert!(error.contains("metrics.jsonl: is missing"), "{error}");
    }

    #[test]
    fn going_on_voids_the_events_of_steps_after_the_checkpoint_alone() {
        let wanted = config::Log { tensorboard: true, selection: false };
        for (step, void_from) in [(None, 0), (Some(0), 1), (Some(300), 301)] {
            let folder = tempfile::tempdir().unwrap();
            let open = |marks: &BTreeMap<String, u64>| {
                Log::open(folder.path(), wanted, marks, step.unwrap_or(0), 500).unwrap()
            };
            if step.is_some() {
                let marks = open(&BTreeMap::new()).marks().unwrap();
                let first = Events::all(&folder.path().join(EVENTS)).unwrap();
                std::fs::remove_file(&first[0]).unwrap();
                open(&marks);
            } else {
                open(&BTreeMap::new());
            }
            let files = Events::all(&folder.path().join(EVENTS)).unwrap();
            assert_eq!(tensorboard::void_from(&std::fs::read(&files[0]).unwrap()), void_from);
        }
    }
}
