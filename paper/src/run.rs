//! One run of one figure: the profile, the cache, progress, and a record of what went in.

use crate::Profile;
use crate::cache::{self, Cache, Origin};
use crate::checkout::out_folder;
use crate::lab::{Job, Lab};
use crate::provenance::{DataSet, KeptOrigin, Unit};
use crate::table::{from_csv, to_csv};
use anyhow::{Context as _, Error, Result};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::{Serialize, de::DeserializeOwned};
use std::cell::{OnceCell, RefCell};
use std::io::{IsTerminal as _, stderr};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tokensieve_data::{Catalogue, Files};
use tokensieve_toy::domain::DomainConfig;

/// What a figure computes through.
#[derive(Debug)]
pub struct Run {
    /// How much of the protocol to run.
    pub profile: Profile,
    figure: String,
    code: String,
    cache: Option<Cache>,
    synthetic_data: bool,
    log: RefCell<Log>,
    bars: MultiProgress,
    lab: OnceCell<Rc<Lab>>,
}

/// What went into a table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    pub(crate) units: Vec<Unit>,
    pub(crate) data: Vec<DataSet>,
}

impl Run {
    /// A run of `figure`; `code` is the hash of what computes; without a cache everything is computed anew.
    pub(crate) fn new(profile: Profile, figure: &str, code: &str, cache: Option<Cache>) -> Self {
        Self {
            profile,
            figure: figure.into(),
            code: code.into(),
            cache,
            synthetic_data: false,
            log: RefCell::default(),
            bars: MultiProgress::new(),
            lab: OnceCell::new(),
        }
    }

    /// The same run on small generated data in place of every data set, and on this lab's made-up results.
    pub(crate) fn with_synthetic_data(self, lab: Rc<Lab>) -> Self {
        Self { synthetic_data: true, lab: OnceCell::from(lab), ..self }
    }

    /// Whether the figure must generate small data instead of calling [`data`](Self::data): comparisons of
    /// bits between processors run without any data set.
    pub fn synthetic_data(&self) -> bool {
        self.synthetic_data
    }

    /// The domain of a toy's tokens, or of synthetic data a smaller one: an emulated processor takes a hundred times as long.
    pub fn sized(&self, domain: DomainConfig) -> DomainConfig {
        if !self.synthetic_data {
            return domain;
        }
        DomainConfig {
            vocabulary: 16,
            features: 8,
            document_tokens: 4,
            train_documents: 16,
            pretrain_batch: 32,
            ..domain
        }
    }

    /// The rows of one unit of work: from the cache if the same unit (figure, name, configuration, data sets
    /// fetched so far, code) was computed before, else by `compute`, and then stored.
    pub fn cached<C, R, E>(
        &self,
        unit: &str,
        config: &C,
        compute: impl FnOnce() -> Result<Vec<R>, E>,
    ) -> Result<Vec<R>>
    where
        C: Serialize,
        R: Serialize + DeserializeOwned,
        E: Into<Error>,
    {
        let config =
            serde_json::to_value(config).with_context(|| format!("writing the configuration of {unit}"))?;
        let key = self.key(unit, &config);
        if let Some((origin, rows)) = self.cache.as_ref().and_then(|cache| cache.get(&key)) {
            // An entry that no longer reads as this type is computed again.
            if let Ok(rows) = from_csv(&rows) {
                self.note(unit, config, origin.seconds);
                return Ok(rows);
            }
        }
        let spinner = self.progress(unit, 0);
        let start = Instant::now();
        let rows =
            compute().map_err(Into::into).with_context(|| format!("{}: computing {unit}", self.figure))?;
        let seconds = start.elapsed().as_secs_f64();
        drop(spinner);
        if let Some(cache) = &self.cache {
            let origin =
                Origin { figure: self.figure.clone(), unit: unit.into(), config: config.clone(), seconds };
            cache.put(&key, &origin, &to_csv(&rows)?)?;
        }
        self.note(unit, config, seconds);
        Ok(rows)
    }

    /// [`cached`](Self::cached) for so many seeds, one after the other, under one progress bar: the rows of each.
    pub fn seeds<C, R, E>(
        &self,
        config: &C,
        seeds: u64,
        compute: impl Fn(&C, u64) -> Result<Vec<R>, E>,
    ) -> Result<Vec<Vec<R>>>
    where
        C: Serialize,
        R: Serialize + DeserializeOwned,
        E: Into<Error>,
    {
        let progress = self.progress(&self.figure, seeds);
        let rows = |seed| {
            let unit = format!("seed {seed}");
            progress.say(&unit);
            let rows = self.cached(&unit, &(config, seed), || compute(config, seed))?;
            progress.tick();
            Ok(rows)
        };
        (0..seeds).map(rows).collect()
    }

    /// The files of a data set of `data.toml`, fetched if need be. Their hash joins the key of every unit that
    /// follows, and a set that stands in for another is named in the figure's title.
    pub fn data(&self, name: &str) -> Result<Files> {
        let catalogue = Catalogue::load()?;
        let files = catalogue.fetch(name)?;
        let data = DataSet {
            name: name.into(),
            sha256: files.hash().into(),
            licence: catalogue.set(files.name())?.licence.clone(),
            replaced_by: files.substitution().map(|_| files.title().to_owned()),
        };
        let mut log = self.log.borrow_mut();
        if !log.data.contains(&data) {
            log.data.push(data);
        }
        Ok(files)
    }

    /// The results that figures share; with synthetic data, made-up ones.
    pub fn lab(&self) -> &Lab {
        self.lab.get_or_init(|| Rc::new(Lab::open(&out_folder())))
    }

    /// The folder of a job's result; the job, and those that it needs, are done first if they have to be. What the
    /// figure reads there is part of its provenance.
    pub fn job(&self, job: &Job) -> Result<PathBuf> {
        let progress = self.progress(&job.name, 0);
        let (folder, _) =
            self.lab().make(job, &|line| progress.say(line)).with_context(|| self.figure.clone())?;
        let noted = self.log.borrow().units.iter().any(|unit| unit.name == job.name);
        if !noted {
            let seconds = self.lab().done(job).map_or(0.0, |done| done.seconds);
            self.note(&job.name, job.describe(), seconds);
        }
        Ok(folder)
    }

    /// [`job`](Self::job) for many, under one progress bar; the folders in order.
    pub fn jobs(&self, jobs: &[&Job]) -> Result<Vec<PathBuf>> {
        let progress = self.progress(&self.figure, jobs.len() as u64);
        let done = |job: &&Job| {
            progress.say(&job.name);
            let folder = self.job(job)?;
            progress.tick();
            Ok(folder)
        };
        jobs.iter().map(done).collect()
    }

    /// Results that a file of the repository keeps are part of the figure's provenance: what they are of, and the seconds
    /// that they took, and where they are from.
    pub fn kept(&self, file: &str, config: serde_json::Value, seconds: f64, kept: KeptOrigin) {
        self.log.borrow_mut().units.push(Unit { name: file.into(), config, seconds, kept: Some(kept) });
    }

    /// Notes in the figure's title that `replacement` is used instead of the set `name`; claims about that set are then not
    /// tested.
    pub fn replaced(&self, name: &str, replacement: &str) {
        let data = DataSet {
            name: name.into(),
            sha256: String::new(),
            licence: String::new(),
            replaced_by: Some(replacement.into()),
        };
        let mut log = self.log.borrow_mut();
        if !log.data.contains(&data) {
            log.data.push(data);
        }
    }

    /// A progress bar of `total` steps (0: unknown) that experiments may tick from any thread. It shows only
    /// what lasts over two seconds, with the time still to go; plain lines when there is no terminal.
    pub fn progress(&self, what: &str, total: u64) -> Progress {
        let what = if what == self.figure { what.to_owned() } else { format!("{}: {what}", self.figure) };
        Progress::new(what, total, self.bars.clone())
    }

    fn key(&self, unit: &str, config: &serde_json::Value) -> String {
        let log = self.log.borrow();
        let data: Vec<&str> = log.data.iter().map(|data| data.sha256.as_str()).collect();
        cache::key(&[&self.figure, unit, &config.to_string(), &data.join(" "), &self.code])
    }

    fn note(&self, name: &str, config: serde_json::Value, seconds: f64) {
        self.log.borrow_mut().units.push(Unit { name: name.into(), config, seconds, kept: None });
    }

    pub(crate) fn into_log(self) -> Log {
        self.log.into_inner()
    }
}

/// How long something may take in silence.
const SILENCE: Duration = Duration::from_secs(2);
/// Time between plain lines.
const BETWEEN_LINES: Duration = Duration::from_secs(15);

/// Progress of something that may last.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    what: String,
    total: u64,
    start: Instant,
    /// Where bars stack below each other, on a terminal.
    bars: MultiProgress,
    terminal: bool,
    last: Mutex<Option<Instant>>,
}

impl Progress {
    fn new(what: String, total: u64, bars: MultiProgress) -> Self {
        let terminal = stderr().is_terminal();
        let bar = ProgressBar::with_draw_target((total > 0).then_some(total), ProgressDrawTarget::hidden());
        let template = if total > 0 {
            "{prefix:.bold} {bar:24.cyan/dim} {pos}/{len} · {elapsed} · {eta} to go  {msg:.dim}"
        } else {
            "{prefix:.bold} {spinner} {elapsed}  {msg:.dim}"
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("━╸─"));
        }
        bar.set_prefix(what.clone());
        let progress =
            Self { bar, what, total, start: Instant::now(), bars, terminal, last: Mutex::new(None) };
        if terminal && total == 0 {
            // Nothing ticks a spinner: it is shown from the start and turns by itself.
            progress.bars.add(progress.bar.clone());
            progress.bar.enable_steady_tick(Duration::from_millis(200));
        }
        progress
    }

    /// One step is done.
    pub fn tick(&self) {
        self.bar.inc(1);
        self.show();
    }

    /// What is being done now.
    pub fn say(&self, what: &str) {
        self.bar.set_message(what.to_owned());
    }

    fn show(&self) {
        if self.start.elapsed() < SILENCE {
            return;
        }
        let Ok(mut last) = self.last.lock() else { return };
        if self.terminal {
            if last.is_none() {
                self.bars.add(self.bar.clone());
            }
            *last = Some(Instant::now());
        } else if last.is_none_or(|last| last.elapsed() > BETWEEN_LINES) {
            *last = Some(Instant::now());
            let left = self.bar.eta().as_secs();
            eprintln!("{}: {}/{}, about {left} s to go", self.what, self.bar.position(), self.total);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
        let elapsed = self.start.elapsed();
        if !self.terminal && self.total == 0 && elapsed > SILENCE {
            eprintln!("{}: {:.0} s", self.what, elapsed.as_secs_f64());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use std::cell::Cell;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Row {
        config: u32,
        value: f64,
    }

    /// The number of times that a unit is computed when asked for twice, under these two configurations and codes.
    fn computed(configs: [u32; 2], codes: [&str; 2]) -> Result<usize> {
        let folder = tempfile::tempdir()?;
        let cache = Cache::open(folder.path())?;
        let times = Cell::new(0);
        for (config, code) in configs.iter().zip(codes) {
            let run = Run::new(Profile::Smoke, "figure", code, Some(cache.clone()));
            let rows = run.cached("unit", config, || {
                times.set(times.get() + 1);
                anyhow::Ok(vec![Row { config: *config, value: 0.1 + 0.2 }])
            })?;
            assert_eq!(rows, [Row { config: *config, value: 0.1 + 0.2 }]);
            assert_eq!(run.into_log().units.len(), 1);
        }
        Ok(times.get())
    }

    #[test]
    fn a_unit_is_computed_once_until_its_configuration_or_its_code_changes() -> Result<()> {
        assert_eq!(computed([1, 1], ["a", "a"])?, 1);
        assert_eq!(computed([1, 2], ["a", "a"])?, 2);
        assert_eq!(computed([1, 1], ["a", "b"])?, 2);
        Ok(())
    }

    #[test]
    fn an_error_names_the_figure_and_the_unit_and_is_not_cached() {
        let run = Run::new(Profile::Smoke, "figure", "code", None);
        let result: Result<Vec<Row>> = run.cached("seed 3", &0, || Err(anyhow::anyhow!("diverged")));
        assert_eq!(format!("{:#}", result.unwrap_err()), "figure: computing seed 3: diverged");
        assert!(run.into_log().units.is_empty());
    }
}
