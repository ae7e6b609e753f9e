//! `tokensieve bundle`: a folder that trains on a machine with torch's Python package and nothing else of ours.
//!
//! | in the folder | what |
//! |---|---|
//! | tokensieve | this program |
//! | run.sh | finds torch, and starts the program: `./run.sh train train.toml` |
//! | train.toml | the configuration, its paths pointing into the folder |
//! | data/ | the data sets and models that it names, as in the cache |
//! | files/ | the files and folders that it names |
//! | lib/ | C++'s run-time libraries, used where the machine's own are too old |

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use tokensieve_data::Catalogue;

use crate::weights::DEFAULT;

/// What starts the program.
const RUN: &str = include_str!("run.sh");

/// Libraries of the C++ compiler, which torch's package does not carry.
const LIBRARIES: [&str; 2] = ["libstdc++.so.6", "libgcc_s.so.1"];

/// Keys of a configuration that name results, not what is read.
const RESULTS: [&str; 1] = ["out"];

/// Where to, and what for.
#[derive(clap::Args, Debug)]
#[command(after_help = "On the other machine (Linux, the same processor family, python3 with torch 2.11): \
    ./run.sh doctor, then ./run.sh train train.toml.")]
pub struct Arguments {
    /// A new folder
    folder: PathBuf,
    /// The run that it is for
    #[arg(long, value_name = "TOML")]
    config: PathBuf,
}

impl Arguments {
    pub(super) fn run(self) -> Result<()> {
        let folder = &self.folder;
        if fs::read_dir(folder).is_ok_and(|mut inside| inside.next().is_some()) {
            bail!("{} is not empty; name a new folder", folder.display());
        }
        let text = fs::read_to_string(&self.config).with_context(|| self.config.display().to_string())?;
        let mut config: toml::Table = toml::from_str(&text).with_context(|| self.config.display().to_string())?;
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        let mut packer = Packer { folder, catalogue: Catalogue::load()?, files: Vec::new() };
        if !config.get("model").is_some_and(|model| model.as_str().is_some() || model.get("source").is_some()) {
            packer.set(DEFAULT)?;
        }
        for (key, value) in &mut config {
            packer.value(key, value)?;
        }
        fs::write(folder.join("train.toml"), toml::to_string(&config)?)?;
        let program = std::env::current_exe()?;
        copy(&program, &folder.join("tokensieve"))?;
        for (name, path) in libraries()? {
            copy(&path, &folder.join("lib").join(name))?;
        }
        let run = folder.join("run.sh");
        fs::write(&run, RUN)?;
        fs::set_permissions(&run, fs::Permissions::from_mode(0o755))?;
        println!("{}: ./run.sh train train.toml", folder.display());
        Ok(())
    }
}

struct Packer<'a> {
    folder: &'a Path,
    catalogue: Catalogue,
    /// What lies in files/ already: where from.
    files: Vec<PathBuf>,
}

impl Packer<'_> {
    /// Packs what a value names, and makes it name the copy.
    fn value(&mut self, key: &str, value: &mut toml::Value) -> Result<()> {
        match value {
            toml::Value::Table(table) => table.iter_mut().try_for_each(|(key, value)| self.value(key, value)),
            toml::Value::Array(values) => values.iter_mut().try_for_each(|value| self.value(key, value)),
            toml::Value::String(text) if RESULTS.contains(&key) => {
                if Path::new(&*text).is_absolute() {
                    let name = Path::new(&*text).file_name().map(|name| name.to_string_lossy().into_owned());
                    *text = name.unwrap_or_else(|| "out".to_owned());
                }
                Ok(())
            }
            toml::Value::String(text) if self.catalogue.set(text).is_ok() => self.set(text),
            toml::Value::String(text) if !text.is_empty() && Path::new(&*text).exists() => {
                *text = self.file(Path::new(&*text))?;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A set or model of the catalogue: its files as they lie in the cache.
    fn set(&self, name: &str) -> Result<()> {
        let files = self.catalogue.fetch(name)?;
        for path in files.paths().values() {
            let to = self.folder.join("data").join(files.name()).join(path.file_name().unwrap_or_default());
            copy(path, &to)?;
        }
        Ok(())
    }

    fn file(&mut self, from: &Path) -> Result<String> {
        let from = from.canonicalize()?;
        let index = self.files.iter().position(|other| *other == from).unwrap_or_else(|| {
            self.files.push(from.clone());
            self.files.len() - 1
        });
        // Two files may have the same name.
        let name = format!("files/{index}-{}", from.file_name().unwrap_or_default().to_string_lossy());
        copy(&from, &self.folder.join(&name))?;
        Ok(name)
    }
}

/// Copies a file, or a folder with all that is in it.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let naming = || format!("{} → {}", from.display(), to.display());
    if from.is_dir() {
        fs::create_dir_all(to).with_context(naming)?;
        for entry in fs::read_dir(from).with_context(naming)? {
            let entry = entry?;
            copy(&entry.path(), &to.join(entry.file_name()))?;
        }
        return Ok(());
    }
    let parent = to.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent).with_context(naming)?;
    fs::copy(from, to).with_context(naming)?;
    Ok(())
}

/// Where this process has loaded the compiler's libraries from, by the names that programs ask for.
fn libraries() -> Result<Vec<(&'static str, PathBuf)>> {
    let maps = fs::read_to_string("/proc/self/maps").context("/proc/self/maps")?;
    let paths: Vec<&str> = maps.lines().filter_map(|line| line.find('/').map(|at| &line[at..])).collect();
    // The file's own name has more digits: libstdc++.so.6.0.30.
    let loaded = |name: &'static str| {
        let named = |path: &&&str| path.rsplit('/').next().is_some_and(|file| file.starts_with(name));
        paths.iter().find(named).map(|path| (name, PathBuf::from(*path)))
    };
    Ok(LIBRARIES.into_iter().filter_map(loaded).collect())
}
