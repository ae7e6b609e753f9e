//! What lies in the folder of the results already: `--fresh` removes what an earlier run left, nothing else overwrites it,
//! and what no run is known to have written stays.

use std::path::{Path, PathBuf};
use std::{fs, io};

use toml::Table;

use crate::checkpoint;
use crate::config::Config;
use crate::layout::{BEST, CHECKPOINTS, CONFIG, PROVENANCE, after, result};
use crate::log;
use tokensieve_model::{Error, Result, exported};

/// What is wrong with a configuration of the user's own in the folder of the results.
pub(super) const BY_HAND: &str =
    "is where the run writes the configuration that it derives; give yours another name, or another --out";

/// Refuses a folder that has no checkpoint but what the run would write over: the result of this configuration, the curve
/// or a saved state of another, or files that no run is known to have written. What this configuration wrote before its
/// first checkpoint is overwritten.
pub(super) fn refuse(config: &Config) -> Result<()> {
    let out = &config.train.out;
    let result = result(config.lora.is_none());
    let Some((existing, _)) = derived(out) else { return refuse_foreign(out, &[result]) };
    let same = config.differences(&existing).is_ok_and(|differences| differences.is_empty());
    let left = if has_result(&out.join(result)) {
        result.to_owned()
    } else if same {
        return Ok(());
    } else if log::has_curve(out) {
        log::METRICS.to_owned()
    } else if has_result(&out.join(BEST)) {
        BEST.to_owned()
    } else if let Some((step, _)) = saved_on_the_way(out)?.iter().find(|(_, folder)| has_result(folder)) {
        after(*step)
    } else {
        return Ok(());
    };
    let what = format!(
        "holds a run (`{left}`) without a checkpoint to continue from; --fresh removes it and starts over, --out DIR leaves it"
    );
    Err(Error::file(out, what))
}

/// Files and folders that an earlier run wrote; everything else in the folder is the user's.
pub(super) struct ExistingRun {
    out: PathBuf,
    paths: Vec<PathBuf>,
}

impl ExistingRun {
    /// Finds them. It is an error if the new run reads one of them, or if no run is known to have written them.
    pub(super) fn find(config: &Config) -> Result<Self> {
        let out = &config.train.out;
        let own_result = result(config.lora.is_none());
        let mut paths = Vec::new();
        match derived(out).as_ref().and_then(|(_, table)| table.get("train")?.as_table()) {
            None => refuse_foreign(out, &[false, true].map(result))?,
            Some(train) => {
                // Removed first, so that a run of which half is left is never continued.
                paths = named(&out.join(CHECKPOINTS), checkpoint::is_of_a_run)?;
                paths.extend(log::files(out)?);
                paths.extend(named(out, lists_skipped)?);
                // The configuration says which of the folders the run wrote.
                let full = train.get("full").and_then(toml::Value::as_bool).unwrap_or(false);
                let mut results: Vec<_> =
                    saved_on_the_way(out)?.into_iter().map(|(_, folder)| folder).collect();
                results.push(out.join(result(full)));
                results.extend(train.contains_key("early_stop").then(|| out.join(BEST)));
                for folder in results.iter().filter(|folder| folder.is_dir()) {
                    paths.extend(exported(folder)?);
                }
                let own = out.join(own_result);
                if !results.contains(&own) && has_result(&own) {
                    let what = format!(
                        "is not of the run that `{CONFIG}` beside it describes; move it away, or give another --out"
                    );
                    return Err(Error::file(own, what));
                }
            }
        }
        paths.retain(|path| path.exists());
        for (key, input) in config.inputs() {
            // An input may be a folder of results.
            let within = |path: &&PathBuf| {
                let (path, input) = (path.canonicalize().ok()?, fs::canonicalize(input).ok()?);
                let is_result = path.parent() == Some(&input) && input != out.canonicalize().ok()?;
                Some(is_result || input.starts_with(path))
            };
            if let Some(path) = paths.iter().find(|path| within(path) == Some(true)) {
                let what = format!(
                    "`{input}` lies in {}, which --fresh removes; put it elsewhere, or give another --out",
                    path.display()
                );
                return Err(config.wrong(key, what));
            }
        }
        Ok(Self { out: out.clone(), paths })
    }

    /// Removes them, and their folders if nothing else is in them.
    pub(super) fn remove(self) -> Result<()> {
        for path in &self.paths {
            let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
            removed.map_err(Error::io(path))?;
            let below_out = path.ancestors().skip(1).take_while(|folder| *folder != self.out);
            let _ = below_out.map(fs::remove_dir).find(io::Result::is_err);
        }
        Ok(())
    }
}

/// The configuration that a run derived in this folder, as text and parsed.
fn derived(out: &Path) -> Option<(String, Table)> {
    let text = fs::read_to_string(out.join(CONFIG)).ok().filter(|text| Config::is_derived(text))?;
    let table = text.parse().ok()?;
    Some((text, table))
}

/// Refuses a folder without a derived configuration if something lies where a run writes, a result of these names
/// included. A run writes its configuration first, so that no run is known to have written the rest.
fn refuse_foreign(out: &Path, results: &[&str]) -> Result<()> {
    if out.join(CONFIG).exists() {
        return Err(Error::file(out.join(CONFIG), BY_HAND));
    }
    let names = [PROVENANCE, BEST].iter().chain(results);
    let mut paths: Vec<PathBuf> = names.map(|name| out.join(name)).collect();
    paths.extend(log::files(out)?);
    paths.extend(saved_on_the_way(out)?.into_iter().map(|(_, folder)| folder));
    paths.extend(named(&out.join(CHECKPOINTS), checkpoint::is_of_a_run)?);
    paths.extend(named(out, lists_skipped)?);
    match paths.into_iter().find(|path| path.exists()) {
        None => Ok(()),
        Some(path) => {
            let what = format!(
                "lies where a run writes, and without the run's `{CONFIG}` beside it may be another's; move it away, or \
                 give another --out"
            );
            Err(Error::file(path, what))
        }
    }
}

/// Whether a folder has files of a model or an adapter. What else may lie there stays in any case.
fn has_result(folder: &Path) -> bool {
    exported(folder).is_ok_and(|files| !files.is_empty())
}

/// What `train.save_at` named, by the steps.
fn saved_on_the_way(out: &Path) -> Result<Vec<(u64, PathBuf)>> {
    checkpoint::by_step(out, after)
}

/// Whether a file lists the rows that a run left out.
fn lists_skipped(name: &str) -> bool {
    let set = name.strip_prefix("skipped-").and_then(|rest| rest.strip_suffix(".jsonl"));
    set.is_some_and(|set| set == "train" || set.starts_with("eval-"))
}

/// What lies in a folder under names of a kind. A folder that is not there has nothing.
fn named(folder: &Path, is_it: impl Fn(&str) -> bool) -> Result<Vec<PathBuf>> {
    let mut found = checkpoint::entries(folder)?;
    found.retain(|(name, _)| is_it(name));
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run into a folder, which is made.
    fn run(out: &Path) -> Config {
        fs::create_dir_all(out).unwrap();
        let overrides = [format!("train.out={}", out.display())];
        Config::parse(Path::new("my.toml"), "[data]\ntrain = \"gsm8k\"\n", &overrides).unwrap()
    }

    /// Makes the file and the folders above it.
    fn leave(path: &Path) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "x").unwrap();
    }

    #[test]
    fn beginning_afresh_leaves_what_no_run_wrote() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        let config = run(&out);
        ExistingRun::find(&config).unwrap().remove().unwrap();
        let own = [
            "notes.txt",
            "checkpoints/notes.txt",
            "step-007/x",
            "skipped-lessons.jsonl",
            "adapter/README.md",
        ];
        let written =
            ["metrics.jsonl", "skipped-train.jsonl", "step-7/config.json", "adapter/adapter_config.json"];
        let of_checkpoints = ["step-00000002/x", "damaged-step-00000001/x", ".writing-step-00000003/x"];
        let written = written.map(str::to_owned).into_iter();
        let written: Vec<String> =
            written.chain(of_checkpoints.map(|name| format!("checkpoints/{name}"))).collect();
        for name in own.iter().copied().chain(written.iter().map(String::as_str)) {
            leave(&out.join(name));
        }
        // Without a configuration, or beside one by hand, nothing is known to be a run's.
        let refused = || ExistingRun::find(&config).err().unwrap().to_string();
        assert!(refused().contains("may be another's; move it away"), "{}", refused());
        fs::write(out.join(CONFIG), "[data]\ntrain = \"gsm8k\"\n").unwrap();
        assert!(refused().contains("config.toml: is where the run writes"), "{}", refused());
        assert!(written.iter().all(|name| out.join(name).exists()));

        fs::write(out.join(CONFIG), config.derived()).unwrap();
        ExistingRun::find(&config).unwrap().remove().unwrap();
        assert!(own.iter().all(|name| out.join(name).exists()));
        assert!(!written.iter().any(|name| out.join(name).exists()) && !out.join("step-7").exists());
        // The other kind of result is nobody's that is known.
        leave(&out.join("model/model.safetensors"));
        ExistingRun::find(&config).unwrap();
        let full = [format!("train.out={}", out.display()), "train.full=true".to_owned()];
        let full = Config::parse(Path::new("my.toml"), "[data]\ntrain = \"gsm8k\"\n", &full).unwrap();
        let error = ExistingRun::find(&full).err().unwrap().to_string();
        assert!(error.contains("model: is not of the run that `config.toml` beside it describes"), "{error}");
        fs::rename(out.join("model/model.safetensors"), out.join("model/notes.txt")).unwrap();
        ExistingRun::find(&full).unwrap();
    }

    #[test]
    fn what_no_run_wrote_is_not_written_over() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["run.json", "timing.jsonl", "selection.jsonl", "best/x", "step-4/x", "adapter/x"] {
            let out = folder.path().join(name.split('/').next().unwrap());
            let config = run(&out);
            refuse(&config).unwrap();
            leave(&out.join(name));
            let error = refuse(&config).unwrap_err().to_string();
            assert!(error.contains("may be another's; move it away"), "{name}: {error}");
        }
        let out = folder.path().join("by-hand");
        let config = run(&out);
        fs::write(out.join(CONFIG), format!("# Mine.\n{}", config.derived())).unwrap();
        let error = refuse(&config).unwrap_err().to_string();
        assert!(error.contains("config.toml: is where the run writes"), "{error}");
        // Written as a run writes it, but without what only a run writes.
        fs::write(out.join(CONFIG), "[train]\nseed = 0\n").unwrap();
        assert!(refuse(&config).is_err());
    }

    #[test]
    fn what_another_version_derived_is_a_runs() {
        let folder = tempfile::tempdir().unwrap();
        let config = run(&folder.path().join("out"));
        let text = config.derived();
        let older = text.lines().filter(|line| !line.starts_with("ranking = "));
        let older: String = older.flat_map(|line| [line, "\n"]).collect();
        assert!(older.len() < text.len() && Config::is_derived(&older) && Config::is_derived(&text));
        // A line of a text may look like a remark.
        let odd = Config::parse(Path::new("x"), "[data]\ntrain = \"x\\n#ab\"\n", &[]).unwrap();
        assert!(Config::is_derived(&odd.derived()), "{}", odd.derived());
    }

    #[test]
    fn what_the_same_run_left_before_its_first_checkpoint_is_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        let config = run(&out);
        fs::write(out.join(CONFIG), config.derived()).unwrap();
        for name in ["run.json", "metrics.jsonl", "best/config.json", "step-4/config.json"] {
            leave(&out.join(name));
        }
        refuse(&config).unwrap();
        // Of another run, the curve, the best state and those saved on the way are kept.
        fs::write(out.join(CONFIG), config.derived().replace("seed = 0", "seed = 1")).unwrap();
        for (left, file) in [
            ("metrics.jsonl", "metrics.jsonl"),
            ("best", "best/config.json"),
            ("step-4", "step-4/config.json"),
        ] {
            let error = refuse(&config).unwrap_err().to_string();
            assert!(error.contains(&format!("holds a run (`{left}`) without a checkpoint")), "{error}");
            let path = out.join(file);
            fs::remove_file(&path).unwrap();
            path.parent().filter(|parent| *parent != out).map(fs::remove_dir).transpose().unwrap();
        }
        refuse(&config).unwrap();
    }
}
