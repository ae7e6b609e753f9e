//! What a former run left in the folder of the results: for `--fresh` to remove, and for nobody to write over.

use std::fs;
use std::path::PathBuf;

use toml::Table;

use super::config::Config;
use super::{BEST, CHECKPOINTS, CONFIG, log, result};
use tokensieve_model::Error;
use tokensieve_model::Result;

/// Refuses a folder of which no checkpoint is left, but the result of this run or the curve of another. What this run
/// wrote before its first checkpoint, it writes again.
pub(super) fn refuse(config: &Config) -> Result<()> {
    let out = &config.train.out;
    let former = fs::read_to_string(out.join(CONFIG));
    let differences = former.ok().and_then(|derived| config.differences(&derived).ok());
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
        "holds a run (`{left}`) without a checkpoint to go on from; --fresh removes it and starts over, --out DIR leaves it"
    );
    Err(Error::file(out, what))
}

/// What the program wrote there; what else lies there is the user's.
pub(super) struct Former(Vec<PathBuf>);

impl Former {
    /// Finds it; it is an error if the new run reads some of it.
    pub(super) fn find(config: &Config) -> Result<Self> {
        let out = &config.train.out;
        // First, so that nobody continues a run of which half is left.
        let mut found = vec![out.join(CHECKPOINTS)];
        found.extend(log::files(out)?);
        for entry in fs::read_dir(out).map_err(Error::io(out))? {
            let entry = entry.map_err(Error::io(out))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.strip_prefix("skipped-").is_some_and(|rest| rest.strip_suffix(".jsonl").is_some()) {
                found.push(entry.path());
            }
        }
        // Which of the folders are the run's own, its configuration says.
        let former = fs::read_to_string(out.join(CONFIG)).ok().and_then(|text| text.parse::<Table>().ok());
        if let Some(train) = former.as_ref().and_then(|table| table.get("train")?.as_table()) {
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
                    "`{input}` lies in what --fresh removes, {}; put it elsewhere, or give another --out",
                    path.display()
                );
                return Err(config.wrong(key, what));
            }
        }
        Ok(Self(found))
    }

    /// Removes it.
    pub(super) fn remove(self) -> Result<()> {
        self.0.iter().try_for_each(|path| {
            let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
            removed.map_err(Error::io(path))
        })
    }
}
