//! What an earlier run left in the folder of the results: `--fresh` removes it, nothing else overwrites it.

use std::fs;
use std::path::PathBuf;

use toml::Table;

use crate::checkpoint;
use crate::config::Config;
use crate::layout::{BEST, CHECKPOINTS, CONFIG, result};
use crate::log;
use tokensieve_model::Error;
use tokensieve_model::Result;

/// Refuses a folder that has no checkpoint but the result of this configuration, or the curve of another. What this
/// configuration wrote before its first checkpoint is overwritten.
pub(super) fn refuse(config: &Config) -> Result<()> {
    let out = &config.train.out;
    let existing = fs::read_to_string(out.join(CONFIG));
    let differences = existing.ok().and_then(|derived| config.differences(&derived).ok());
    let same = differences.is_some_and(|differences| differences.is_empty());
    let result = result(config.lora.is_none());
    let left = if out.join(result).exists() {
        result
    } else if !same && log::has_curve(out) {
        log::METRICS
    } else {
        return Ok(());
    };
    let what = format!(
        "holds a run (`{left}`) without a checkpoint to continue from; --fresh removes it and starts over, --out DIR leaves it"
    );
    Err(Error::file(out, what))
}

/// Files and folders that an earlier run wrote; everything else in the folder is the user's.
pub(super) struct ExistingRun(Vec<PathBuf>);

impl ExistingRun {
    /// Finds them. It is an error if the new run reads one of them.
    pub(super) fn find(config: &Config) -> Result<Self> {
        let out = &config.train.out;
        // Removed first, so that a run of which half is left is never continued.
        let mut found = vec![out.join(CHECKPOINTS)];
        found.extend(log::files(out)?);
        // What `train.save_at` named.
        found.extend(checkpoint::list(out)?.into_iter().map(|(_, folder)| folder));
        for entry in fs::read_dir(out).map_err(Error::io(out))? {
            let entry = entry.map_err(Error::io(out))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.strip_prefix("skipped-").is_some_and(|rest| rest.strip_suffix(".jsonl").is_some()) {
                found.push(entry.path());
            }
        }
        // The configuration says which of the folders the run wrote.
        let existing = fs::read_to_string(out.join(CONFIG)).ok().and_then(|text| text.parse::<Table>().ok());
        if let Some(train) = existing.as_ref().and_then(|table| table.get("train")?.as_table()) {
            let full = train.get("full").and_then(toml::Value::as_bool).unwrap_or(false);
            found.push(out.join(result(full)));
            found.extend(train.contains_key("early_stop").then(|| out.join(BEST)));
        }
        found.retain(|path| path.exists());
        for (key, input) in config.inputs() {
            let within = |path: &&PathBuf| {
                let (path, input) = (path.canonicalize().ok()?, fs::canonicalize(input).ok()?);
                Some(input.starts_with(path))
            };
            if let Some(path) = found.iter().find(|path| within(path) == Some(true)) {
                let what = format!(
                    "`{input}` lies in {}, which --fresh removes; put it elsewhere, or give another --out",
                    path.display()
                );
                return Err(config.wrong(key, what));
            }
        }
        Ok(Self(found))
    }

    /// Removes them.
    pub(super) fn remove(self) -> Result<()> {
        self.0.iter().try_for_each(|path| {
            let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
            removed.map_err(Error::io(path))
        })
    }
}
