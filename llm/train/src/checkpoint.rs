//! Checkpoints on disk: complete or absent.
//!
//! A checkpoint is a folder. It is written under a temporary name, every file and the folder itself are flushed to the disk,
//! and only then is it renamed: whenever the machine stops, a folder with the name of a checkpoint is complete. Checksums
//! show whether it has changed since.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use tokensieve_base::files::{self, write_atomically};
use tokensieve_data::sha256_of;
use tokensieve_model::{Error, Result, is_of_weights, of_model};

/// What a run remembers between steps besides tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Optimizer steps done; the order of the data and every random draw follow from it and the seed.
    pub step: u64,
    /// Steps of the whole run.
    pub steps: u64,
    /// The step after which the held-out sets were last evaluated.
    pub evaluated: Option<u64>,
    /// NLL at the last progress for early stopping, and evaluations since.
    pub progress: Option<(f64, u64)>,
    /// Lowest NLL of the set that early stopping watches: that of the best result.
    pub lowest: Option<f64>,
    /// Hash of the configuration.
    pub config: String,
    /// Hash of the base model.
    pub model: String,
    /// Hashes of the data sets by name.
    pub data: BTreeMap<String, String>,
    /// Hash of the reference that the configuration names.
    pub reference: Option<String>,
    /// Bytes of each log file that belong to the steps done.
    pub logs: BTreeMap<String, u64>,
    /// The objective's state.
    pub objective: tokensieve_objective::State,
    /// SHA-256 of the checkpoint's other files. Checkpoints of older versions have none.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
}

/// Name of the state's file. TOML, whose numbers are read back to the last bit, infinities included.
const STATE: &str = "state.toml";
/// Beginning of its last line.
const CHECKSUM: &str = "# SHA-256 of the lines above: ";
/// What the name of a checkpoint begins with.
const COMPLETE: &str = "step-";
/// What the name of a folder being filled begins with.
const UNFINISHED: &str = ".writing-";
/// What the name of a folder begins with whose place another gets.
const REPLACED: &str = ".replaced-";
/// What the name of a checkpoint begins with that cannot be read.
const DAMAGED: &str = "damaged-";

impl State {
    /// Writes it into a checkpoint's folder, with the checksums of the files that are there.
    pub fn save(&self, folder: &Path) -> Result<()> {
        let mut files = BTreeMap::new();
        for (name, path) in entries(folder)? {
            files.insert(name, sha256_of(&path).map_err(Error::io(&path))?);
        }
        let path = folder.join(STATE);
        let state = Self { files, ..self.clone() };
        let text = toml::to_string(&state).map_err(|error| Error::file(&path, error))?;
        let checksum = format!("{CHECKSUM}{:x}\n", Sha256::digest(&text));
        Ok(write_atomically(&path, text + &checksum)?)
    }

    /// Reads it from a checkpoint's folder. What was not written so is an error.
    pub fn load(folder: &Path) -> Result<Self> {
        let path = folder.join(STATE);
        let wrong = |what: &str| Err(Error::file(&path, what));
        let text = fs::read_to_string(&path).map_err(Error::io(&path))?;
        let (above, checksum) = text.rsplit_once(CHECKSUM).unwrap_or((&text, ""));
        if !checksum.is_empty() && checksum.trim_end() != format!("{:x}", Sha256::digest(above)) {
            return wrong(CHANGED);
        }
        let mut state: Self = toml::from_str(above).map_err(|error| Error::file(&path, error.message()))?;
        if checksum.is_empty() && !state.files.is_empty() {
            return wrong(CHANGED);
        }
        if state.step > state.steps {
            return wrong(&format!("says that {} of {} steps are done", state.step, state.steps));
        }
        let lies_within = |name: &str| Path::new(name).file_name().is_some_and(|own| own == name);
        if let Some(name) = state.files.keys().find(|name| !lies_within(name)) {
            return wrong(&format!("names the file `{}`, which is not in its folder", name.escape_debug()));
        }
        // In checkpoints of older versions both are the same.
        state.lowest = state.lowest.or(state.progress.map(|(nll, _)| nll));
        Ok(state)
    }

    /// Checks that files of the checkpoint are those that were written.
    pub fn check_files(&self, folder: &Path, is_asked: impl Fn(&str) -> bool) -> Result<()> {
        for (name, written) in self.files.iter().filter(|(name, _)| is_asked(name)) {
            let path = folder.join(name);
            if sha256_of(&path).map_err(Error::io(&path))? != *written {
                return Err(Error::file(&path, CHANGED));
            }
        }
        Ok(())
    }
}

/// A file that differs from its checksum.
const CHANGED: &str = "has changed since it was written: its checksum is another";

/// Writes the folder `name` below `parent`, as a whole: what was there before stays until the new one is complete. Files in
/// it that are no result's, such as a model card, are in the new one too.
pub fn write(parent: &Path, name: &str, fill: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let folder = parent.join(name);
    let [new, old] = [UNFINISHED, REPLACED].map(|prefix| parent.join(format!("{prefix}{name}")));
    files::replace_folder(&folder, [&new, &old], |new| {
        fill(new)?;
        flush(new)?;
        if !folder.is_dir() {
            return Ok(());
        }
        // Older shards would be read with the new weights, and an older template beside them.
        let has_weights = entries(new)?.iter().any(|(name, _)| is_of_weights(name));
        let stale = if has_weights { of_model(&folder)? } else { Vec::new() };
        keep(&folder, new, &stale)
    })?;
    files::sync(parent)?;
    Ok(folder)
}

/// Gives the folder of a new result the older one's files, but for `stale` ones and those that the new one has; of these it
/// gets what is the same in both: what has not changed is not younger than before.
fn keep(old: &Path, new: &Path, stale: &[PathBuf]) -> Result<()> {
    for (_, from) in entries(old)? {
        let to = new.join(from.file_name().unwrap_or_default());
        let is_new = fs::symlink_metadata(&to).is_err();
        if fs::symlink_metadata(&from).is_ok_and(|found| found.is_dir()) {
            fs::create_dir_all(&to).map_err(Error::io(&to))?;
            keep(&from, &to, stale)?;
            continue;
        }
        let is_kept = if is_new { !stale.contains(&from) } else { same(&from, &to).unwrap_or(false) };
        if is_kept {
            if !is_new {
                fs::remove_file(&to).map_err(Error::io(&to))?;
            }
            // A second name for the file takes no room; not every file system has such.
            if fs::hard_link(&from, &to).is_err() {
                fs::copy(&from, &to).map_err(Error::io(&from))?;
                files::sync(&to)?;
            }
        }
    }
    let permissions = fs::metadata(old).map_err(Error::io(old))?.permissions();
    fs::set_permissions(new, permissions).map_err(Error::io(new))?;
    Ok(files::sync(new)?)
}

/// Whether two files have the same bytes.
fn same(one: &Path, other: &Path) -> io::Result<bool> {
    if fs::metadata(one)?.len() != fs::metadata(other)?.len() {
        return Ok(false);
    }
    let open = |path| Ok::<_, io::Error>(BufReader::with_capacity(1 << 20, File::open(path)?));
    let (mut one, mut other) = (open(one)?, open(other)?);
    loop {
        let (a, b) = (one.fill_buf()?, other.fill_buf()?);
        let n = a.len().min(b.len());
        if n == 0 || a[..n] != b[..n] {
            return Ok(a.is_empty() && b.is_empty());
        }
        one.consume(n);
        other.consume(n);
    }
}

/// Flushes every file of a folder and its folders, and the folder itself.
fn flush(folder: &Path) -> Result<()> {
    for (_, path) in entries(folder)? {
        if path.is_dir() { flush(&path)? } else { files::sync(&path)? }
    }
    Ok(files::sync(folder)?)
}

/// The names and paths of what lies in a folder. A folder that is not there has nothing.
pub fn entries(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(Error::io(folder))?,
    };
    let named = |entry: io::Result<fs::DirEntry>| {
        let entry = entry.map_err(Error::io(folder))?;
        Ok((entry.file_name().to_string_lossy().into_owned(), entry.path()))
    };
    entries.map(named).collect()
}

/// The name of the checkpoint after so many steps.
pub fn name(step: u64) -> String {
    format!("{COMPLETE}{step:08}")
}

/// Whether a run gives this name to a checkpoint: a whole one, one that is damaged, or one being written.
pub fn is_of_a_run(name: &str) -> bool {
    let prefixes = [DAMAGED, UNFINISHED].into_iter();
    let step = prefixes.fold(name, |name, prefix| name.strip_prefix(prefix).unwrap_or(name));
    named_step(step, self::name).is_some()
}

/// The step of which this is the name. Any other way to write the step is the user's.
fn named_step(text: &str, name: fn(u64) -> String) -> Option<u64> {
    text.strip_prefix(COMPLETE)?.parse().ok().filter(|step| text == name(*step))
}

/// The checkpoints in a folder by their steps, the latest last. A folder that is not there has none.
pub fn list(parent: &Path) -> Result<Vec<(u64, PathBuf)>> {
    by_step(parent, name)
}

/// What lies in a folder under the names of steps, the latest last. A folder that is not there has nothing.
pub fn by_step(parent: &Path, name: fn(u64) -> String) -> Result<Vec<(u64, PathBuf)>> {
    let step = |(text, path): (String, PathBuf)| Some((named_step(&text, name)?, path));
    let mut found: Vec<(u64, PathBuf)> = entries(parent)?.into_iter().filter_map(step).collect();
    found.sort();
    Ok(found)
}

/// Renames a checkpoint that cannot be read, so that it no longer counts as one; returns the new path.
pub fn set_aside(folder: &Path) -> Result<PathBuf> {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let aside = folder.with_file_name(format!("{DAMAGED}{name}"));
    files::remove_folder(&aside)?;
    fs::rename(folder, &aside).map_err(Error::io(folder))?;
    Ok(aside)
}

/// Removes all but the latest `keep` checkpoints, and unfinished ones. A folder that is not there has none.
pub fn prune(parent: &Path, keep: usize) -> Result<()> {
    let all = list(parent)?;
    let old = all.len().saturating_sub(keep);
    all[..old].iter().try_for_each(|(_, folder)| files::remove_folder(folder))?;
    for (name, path) in entries(parent)? {
        if name.starts_with(UNFINISHED) && path.is_dir() {
            files::remove_folder(&path)?;
        }
    }
    Ok(())
}

/// The claim of one process on an output folder.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "held, never read")] File);

impl Lock {
    /// Claims a folder.
    pub fn claim(folder: &Path) -> Result<Self> {
        let busy = "another run is writing into this folder; wait for it, or give another --out";
        files::claim(&folder.join(".lock"))?.map(Self).ok_or_else(|| Error::file(folder, busy))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    use tokensieve_objective::{Objective, Plan, TokenStats};

    use super::*;

    fn after_one_step(objective: tokensieve_objective::State) -> State {
        State {
            step: 1,
            steps: 9,
            evaluated: None,
            progress: None,
            lowest: None,
            config: "c".to_owned(),
            model: "m".to_owned(),
            data: BTreeMap::new(),
            reference: None,
            logs: BTreeMap::new(),
            objective,
            files: BTreeMap::new(),
        }
    }

    #[test]
    fn a_state_comes_back_to_the_last_bit() {
        let folder = tempfile::tempdir().unwrap();
        let text = "select = { by = 'loss', keep = 'top 25%', within = 'running', window = 50 }";
        let objective = Objective::from_toml(text).unwrap();
        let mut training = objective.begin(Plan { steps: 9, seed: 1 });
        let stats: Vec<_> =
            (1..200_u32).map(|i| TokenStats::new(f64::from(i).sqrt().sin().abs() / 3.0, 0.1)).collect();
        training.pulls(&stats).unwrap();
        let state = State {
            progress: Some((f64::INFINITY, 0)),
            lowest: Some(f64::INFINITY),
            data: [("train".to_owned(), "d".to_owned())].into(),
            reference: Some("r".to_owned()),
            logs: [("metrics.jsonl".to_owned(), 12)].into(),
            ..after_one_step(training.state())
        };
        state.save(folder.path()).unwrap();
        assert_eq!(State::load(folder.path()).unwrap(), state);
        // A checkpoint of an older version.
        let path = folder.path().join(STATE);
        let text = fs::read_to_string(&path).unwrap();
        let older = text.split(CHECKSUM).next().unwrap().replace("[files]", "").replace("lowest = inf\n", "");
        assert!(!older.contains("lowest"), "{older}");
        fs::write(&path, older).unwrap();
        assert_eq!(State::load(folder.path()).unwrap(), state);
        fs::write(folder.path().join(STATE), "step = 1\n").unwrap();
        let error = State::load(folder.path()).unwrap_err().to_string();
        assert!(error.contains("state.toml: missing field"), "{error}");
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let training = Objective::preset("mle").unwrap().begin(Plan { steps: 9, seed: 1 });
        let state = after_one_step(training.state());
        let (weights, saved) = (folder.path().join("weights"), folder.path().join(STATE));
        fs::write(&weights, "weights").unwrap();
        state.save(folder.path()).unwrap();
        let read = || State::load(folder.path()).and_then(|state| state.check_files(folder.path(), |_| true));
        read().unwrap();
        for path in [&weights, &saved] {
            let whole = fs::read(path).unwrap();
            // The last byte of the state is a line break, which says nothing.
            for bit in 0..8 * whole.len() - if path == &saved { 8 } else { 0 } {
                let mut flipped = whole.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                fs::write(path, flipped).unwrap();
                assert!(read().is_err(), "{} {bit}", path.display());
            }
            fs::write(path, whole).unwrap();
        }
        State { step: 10, ..state }.save(folder.path()).unwrap();
        let error = read().unwrap_err().to_string();
        assert!(error.ends_with("state.toml: says that 10 of 9 steps are done"), "{error}");
    }

    #[test]
    fn no_file_outside_of_a_checkpoint_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let training = Objective::preset("mle").unwrap().begin(Plan { steps: 9, seed: 1 });
        after_one_step(training.state()).save(folder.path()).unwrap();
        let path = folder.path().join(STATE);
        let text = fs::read_to_string(&path).unwrap();
        let above = text.split(CHECKSUM).next().unwrap();
        for name in ["/dev/zero", "../weights", "weights/", "..", ""] {
            let hostile = above.replace("[files]", &format!("[files]\n\"{name}\" = \"0\""));
            fs::write(&path, format!("{hostile}{CHECKSUM}{:x}\n", Sha256::digest(&hostile))).unwrap();
            let error = State::load(folder.path()).unwrap_err().to_string();
            let expected = format!("state.toml: names the file `{name}`, which is not in its folder");
            assert!(error.ends_with(&expected), "{error}");
        }
    }

    #[test]
    fn a_checkpoint_that_fails_leaves_the_old_ones() {
        let parent = tempfile::tempdir().unwrap();
        let parent = parent.path();
        for step in [5, 10, 15] {
            write(parent, &name(step), |folder| Ok(write_atomically(&folder.join("x"), b"x")?)).unwrap();
        }
        let failed = write(parent, &name(20), |folder| {
            write_atomically(&folder.join("x"), b"x")?;
            Err(Error::Run("the disk is full".to_owned()))
        });
        assert!(failed.is_err());
        assert_eq!(fs::read_dir(parent).unwrap().count(), 3);
        fs::create_dir(parent.join(".writing-step-00000020")).unwrap();
        // A copy under a name of the user's own is none of the run's.
        fs::create_dir(parent.join("step-4")).unwrap();
        assert!(!is_of_a_run("step-4") && is_of_a_run("damaged-step-00000004"));
        prune(parent, 2).unwrap();
        let left: Vec<_> = list(parent).unwrap().into_iter().map(|(step, _)| step).collect();
        assert_eq!(left, [10, 15]);
        assert_eq!(fs::read_dir(parent).unwrap().count(), 3);
    }

    #[test]
    fn only_what_a_result_has_is_replaced() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("model");
        let leave = |folder: &Path, files: &[(&str, &str)]| {
            for (name, text) in files {
                let path = folder.join(name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
        };
        let export = |files: &[(&str, &str)]| {
            let fill = |new: &Path| {
                leave(new, files);
                Ok(())
            };
            write(parent.path(), "model", fill).unwrap();
            assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1);
        };
        let shards = [
            ("model-00001-of-00002.safetensors", "a"),
            ("model-00002-of-00002.safetensors", "b"),
            ("model.safetensors.index.json", "{}"),
            ("chat_template.jinja", "old"),
            ("additional_chat_templates/rag.jinja", "old"),
            ("templates/t.jinja", "t"),
        ];
        export(&shards);
        let own = [
            ("README.md", "card"),
            ("model-card.safetensors", "x"),
            ("original/model.safetensors", "y"),
            ("templates/own.jinja", "own"),
        ];
        leave(&folder, &own);
        fs::create_dir(folder.join("empty")).unwrap();
        for (link, to) in [("link", "README.md"), ("dangling", "nowhere"), ("loop", ".")] {
            std::os::unix::fs::symlink(to, folder.join(link)).unwrap();
        }
        let mode = |name: &str| fs::metadata(folder.join(name)).unwrap().permissions().mode() & 0o777;
        fs::set_permissions(folder.join("original"), fs::Permissions::from_mode(0o700)).unwrap();
        let inode = || fs::metadata(folder.join("README.md")).unwrap().ino();
        let first = inode();
        export(&[("model.safetensors", "c"), ("templates/t.jinja", "u")]);
        let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
        for (name, text) in own {
            assert_eq!(read(name), text, "{name}");
        }
        assert_eq!((inode(), mode("original")), (first, 0o700));
        assert_eq!(fs::read_link(folder.join("link")).unwrap(), Path::new("README.md"));
        assert_eq!(entries(&folder.join("additional_chat_templates")).unwrap(), []);
        assert_eq!([read("model.safetensors"), read("templates/t.jinja")], ["c", "u"]);
        let names = |folder: &Path| -> Vec<_> {
            entries(folder).unwrap().into_iter().map(|(name, _)| name).collect()
        };
        assert_eq!(names(&folder).len(), 10, "{:?}", names(&folder));
        // Without weights of its own a result leaves them.
        export(&[("adapter.json", "{}")]);
        assert_eq!(names(&folder).len(), 11, "{:?}", names(&folder));
    }

    #[test]
    fn two_runs_do_not_write_one_folder() {
        let folder = tempfile::tempdir().unwrap();
        let first = Lock::claim(folder.path()).unwrap();
        let error = Lock::claim(folder.path()).unwrap_err().to_string();
        assert!(error.contains("another run"), "{error}");
        drop(first);
        assert!(Lock::claim(folder.path()).is_ok());
    }
}
