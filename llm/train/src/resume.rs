//! The checkpoint that a run continues from: the newest that can be read.

use std::fs;
use std::path::{Path, PathBuf};

use tch::Tensor;

use crate::checkpoint::{self, State};
use crate::config::Config;
use crate::existing_run;
use crate::layout::{self, CHECKPOINTS, CONFIG, OPTIMIZER};
use crate::optimizer::Optimizer;
use crate::trained::Trained;
use tokensieve_model::{Error, Model, Result};

/// What to do about a run that is in the folder already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// Continue it if its configuration is the same, else begin.
    Either,
    /// Continue it; it must be there.
    Resume,
    /// Remove it, and begin.
    Fresh,
}

/// The checkpoints in a run's folder.
pub(super) struct Checkpoints {
    /// Those of this configuration, the newest last.
    folders: Vec<PathBuf>,
    /// Newer ones that cannot be read, the newest first, and why.
    damaged: Vec<(PathBuf, Error)>,
}

/// What a checkpoint holds, or a run begins with.
pub(super) struct Found {
    pub(super) state: State,
    pub(super) trained: Trained,
    pub(super) optimizer: Optimizer,
}

impl Checkpoints {
    /// The checkpoints that the run may continue from. It is an error if the newest is of another configuration, or if the
    /// folder holds a run without any.
    pub(super) fn find(config: &Config, begin: Begin) -> Result<Self> {
        let parent = config.train.out.join(CHECKPOINTS);
        let mut found = Self { folders: Vec::new(), damaged: Vec::new() };
        if begin == Begin::Fresh {
            return Ok(found);
        }
        let all = checkpoint::list(&parent)?;
        if all.is_empty() && begin == Begin::Resume {
            return Err(Error::file(&parent, "there is no checkpoint to continue from; leave out --resume"));
        }
        if all.is_empty() {
            existing_run::refuse(config)?;
        }
        found.folders = all.into_iter().map(|(_, folder)| folder).collect();
        while let Some(newest) = found.folders.last() {
            let read = State::load(newest).and_then(|state| {
                state.check_files(newest, |name| name == CONFIG)?;
                differences(config, newest)
            });
            match read {
                Err(error) => found.skip_damaged(error),
                Ok(differences) if differences.is_empty() => break,
                Ok(differences) => {
                    let what = format!(
                        "holds a run of another configuration:\n  {}\n--fresh removes it and starts over, --out DIR leaves \
                         it",
                        differences.join("\n  ")
                    );
                    return Err(Error::file(&config.train.out, what));
                }
            }
        }
        Ok(found)
    }

    /// Reads the newest that is intact; `new` is the state of a run that begins. `None` if there are no checkpoints; it is
    /// an error if there are some and none can be read.
    pub(super) fn open(mut self, config: &Config, model: &Model, new: &State) -> Result<Option<Found>> {
        while let Some(newest) = self.folders.last() {
            let state = State::load(newest).and_then(|state| {
                state.check_files(newest, |_| true)?;
                Ok(state)
            });
            if let Ok(state) = &state {
                unchanged(state, new, newest)?;
            }
            match state.and_then(|state| read(config, model, state, newest)) {
                Err(error) => self.skip_damaged(error),
                Ok(found) => {
                    for (folder, error) in &self.damaged {
                        let aside = checkpoint::set_aside(folder)?;
                        tokensieve_base::status!(
                            "warning: {error}; continuing from an older checkpoint; this one is now {}",
                            aside.display()
                        );
                    }
                    warn_of_missed(config, found.state.step);
                    return Ok(Some(found));
                }
            }
        }
        let Some((_, error)) = self.damaged.into_iter().next() else { return Ok(None) };
        let what = format!(
            "no checkpoint can be read ({error}); --fresh removes the run and starts over, --out DIR leaves it"
        );
        Err(Error::file(config.train.out.join(CHECKPOINTS), what))
    }

    fn skip_damaged(&mut self, error: Error) {
        self.damaged.extend(self.folders.pop().map(|folder| (folder, error)));
    }
}

/// Says which steps of `train.save_at` the run has passed without saving what was trained.
fn warn_of_missed(config: &Config, step: u64) {
    let is_missed = |at: &&u64| **at < step && !config.train.out.join(layout::after(**at)).exists();
    for at in config.train.save_at.iter().filter(is_missed) {
        tokensieve_base::status!(
            "warning: train.save_at: step {at} has passed, the run is at {step}; what was trained by then is not saved \
             (--fresh starts over)"
        );
    }
}

/// What the checkpoint after a step holds, which another process of the run has found intact.
pub(super) fn after(config: &Config, model: &Model, step: u64) -> Result<Found> {
    let folder = config.train.out.join(CHECKPOINTS).join(checkpoint::name(step));
    let state = State::load(&folder).map_err(|error| {
        Error::Run(format!("{error}; the processes of a run share the folder of its results"))
    })?;
    read(config, model, state, &folder)
}

/// How the checkpoint's configuration differs from the run's.
fn differences(config: &Config, folder: &Path) -> Result<Vec<String>> {
    let path = folder.join(CONFIG);
    let derived = fs::read_to_string(&path).map_err(Error::io(&path))?;
    config.differences(&derived).map_err(|error| Error::file(&path, error))
}

/// What a checkpoint holds besides its state.
fn read(config: &Config, model: &Model, state: State, folder: &Path) -> Result<Found> {
    if folder.file_name().is_none_or(|name| name != checkpoint::name(state.step).as_str()) {
        let what = format!("has the state after step {}; the name must be that step's", state.step);
        return Err(Error::file(folder, what));
    }
    let trained = Trained::load(model, config.lora.is_some(), folder)?;
    let mut optimizer = Optimizer::new(&config.train, trained.parameters());
    let path = folder.join(OPTIMIZER);
    let saved = Tensor::read_safetensors(&path).map_err(|error| Error::file(&path, error))?;
    // The optimizer restarted when the adapter last grew.
    let grown = config.train.grow_rank.iter().map(|(step, _)| *step);
    let begun = grown.filter(|step| *step < state.step).max().unwrap_or(0);
    optimizer.resume(&saved, state.step - begun).map_err(|error| Error::file(&path, error))?;
    Ok(Found { state, trained, optimizer })
}

/// Refuses a checkpoint if model, data or reference are not what it was made from.
fn unchanged(saved: &State, new: &State, folder: &Path) -> Result<()> {
    let changed = |what: &str| {
        let what =
            format!("was made with another {what}, though under the same name; start over with --fresh");
        Err(Error::file(folder, what))
    };
    if saved.model != new.model {
        return changed("model");
    }
    if let Some(name) = new.data.keys().find(|name| saved.data.get(*name) != new.data.get(*name)) {
        return changed(&format!("data set `{name}`"));
    }
    if saved.reference.is_none() && new.reference.is_some() {
        let what = "does not say what its reference was, as checkpoints of older versions do not; start over with \
                    --fresh";
        return Err(Error::file(folder, what));
    }
    if saved.reference != new.reference {
        return changed("reference");
    }
    if saved.steps != new.steps {
        return changed("number of steps");
    }
    Ok(())
}
