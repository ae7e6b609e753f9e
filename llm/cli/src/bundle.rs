//! `tokensieve bundle`: a folder that trains on a machine with torch's Python package and no other part of this project.
//!
//! | in the folder | what it is |
//! |---|---|
//! | run.sh | finds torch and starts the program: `./run.sh train train.toml` |
//! | train.toml | the configuration, its paths pointing into the folder |
//! | data/ | the data sets and models that the configuration names, as in the cache |
//! | files/ | the files and folders that the configuration names |
//! | lib/ | this program, and C++'s run-time libraries, used where the machine's own are too old |

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use tokensieve_base::files::read_text;
use tokensieve_data::{Catalogue, Files};

use tokensieve_documents::{DataSource, Location, SourceError};
use tokensieve_model::Error;
use tokensieve_model::text::ChatTemplate;
use tokensieve_model::weights::{self, ModelFiles, new_folder};
use tokensieve_train::config::{self, Config, Reference};

/// The script that starts the program.
const RUN: &str = include_str!("run.sh");

/// Libraries of the C++ compiler, which torch's package does not contain.
const LIBRARIES: [&str; 2] = ["libstdc++.so.6", "libgcc_s.so.1"];

/// Destination and configuration.
#[derive(clap::Args, Debug)]
#[command(after_help = "On the other machine (Linux, the same processor family, python3 with torch 2.11): \
    ./run.sh doctor, then ./run.sh train train.toml.")]
pub struct Arguments {
    /// Folder to create
    folder: PathBuf,
    /// Configuration of the run
    #[arg(long, value_name = "TOML")]
    config: PathBuf,
}

impl Arguments {
    pub(super) fn run(self) -> Result<()> {
        new_folder(&self.folder, |folder| {
            pack(&self.config, folder)?;
            copy(&std::env::current_exe()?, &folder.join("lib/tokensieve"))?;
            for (name, path) in libraries()? {
                copy(&path, &folder.join("lib").join(name))?;
            }
            let run = folder.join("run.sh");
            fs::write(&run, RUN)
                .and_then(|()| fs::set_permissions(&run, fs::Permissions::from_mode(0o755)))
                .with_context(|| run.display().to_string())
        })?;
        tokensieve_base::output!("{}: ./run.sh train train.toml\n", self.folder.display())?;
        Ok(())
    }
}

/// Packs the configuration and everything that it names; the packed configuration names the copies.
fn pack(file: &Path, folder: &Path) -> Result<()> {
    let text = read_text(file, config::LARGEST)?;
    // `Config::read` below reports invalid TOML with its line.
    let mut table: toml::Table = text.parse().unwrap_or_default();
    // The other machine has other devices, so that this machine need not have the configured one.
    let device = table.get("model").and_then(|model| model.get("device")?.as_str());
    let cuda = device.is_some_and(|device| device.starts_with("cuda"));
    let overrides: Vec<String> = cuda.then(|| "model.device=auto".to_owned()).into_iter().collect();
    let config = Config::read(file, &overrides)?;
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let catalogue = Catalogue::load()?;
    let mut packer = Packer { folder, config: &config, table: &mut table, catalogue, files: Vec::new() };
    if config.model.init.is_none() {
        packer.model(&["model", "source"], &config.model.source)?;
    }
    if let Some(path) = config.model.template.as_deref().and_then(ChatTemplate::file) {
        packer.path(&["model", "chat_template"], &path)?;
    }
    packer.rows(&["data", "train"], &config.data)?;
    for (name, source) in &config.evaluations {
        packer.rows(&["eval", name, "data"], source)?;
    }
    if let Some(path) = &config.uncertainty {
        packer.path(&["data", "uncertainty"], path)?;
    }
    match &config.reference {
        Some(Reference::Adapter(path)) => packer.path(&["reference", "adapter"], path)?,
        Some(Reference::TopK(path)) => packer.path(&["reference", "topk"], path)?,
        Some(Reference::Model(source)) => packer.model(&["reference", "model"], source)?,
        None => {}
    }
    if let (true, Some(name)) = (config.train.out.is_absolute(), config.train.out.file_name()) {
        packer.set_key(&["train", "out"], name.to_string_lossy().into_owned());
    }
    let out = folder.join("train.toml");
    fs::write(&out, toml::to_string(&table)?).with_context(|| out.display().to_string())
}

struct Packer<'a> {
    folder: &'a Path,
    config: &'a Config,
    /// The configuration as the user wrote it.
    table: &'a mut toml::Table,
    catalogue: Catalogue,
    /// Origins of the entries of files/ so far.
    files: Vec<PathBuf>,
}

impl Packer<'_> {
    /// Packs a model and sets the key to its copy.
    fn model(&mut self, key: &[&str], source: &str) -> Result<()> {
        match weights::find(source) {
            Ok(ModelFiles::Set(files)) => self.set(&files),
            Ok(ModelFiles::Folder(path) | ModelFiles::File(path)) => self.path(key, &path),
            Err(Error::Setting { what, .. }) => Err(self.config.wrong(&key.join("."), what).into()),
            Err(other) => Err(other.into()),
        }
    }

    /// Packs the rows of a data source and sets the key to the copy.
    fn rows(&mut self, key: &[&str], source: &DataSource) -> Result<()> {
        match source.location(&self.catalogue) {
            Ok(Location::File(path)) => self.path(key, &path),
            Ok(Location::Set { name, .. }) => self.set(&self.catalogue.fetch(&name)?),
            Err(SourceError::Source(what) | SourceError::Split(what)) => {
                Err(self.config.wrong(&key.join("."), what).into())
            }
        }
    }

    /// Packs a file or folder and sets the key to the copy.
    fn path(&mut self, key: &[&str], from: &Path) -> Result<()> {
        let missing = |error| self.config.wrong(&key.join("."), format!("`{}`: {error}", from.display()));
        let from = from.canonicalize().map_err(missing)?;
        if self.folder.canonicalize().is_ok_and(|folder| folder.starts_with(&from)) {
            let what = format!(
                "the bundle would lie in `{}`, which it is to hold; put it elsewhere",
                from.display()
            );
            return Err(self.config.wrong(&key.join("."), what).into());
        }
        let known = self.files.iter().position(|other| *other == from);
        let index = known.unwrap_or(self.files.len());
        // Two files may have the same name.
        let name = format!("files/{index}-{}", from.file_name().unwrap_or_default().to_string_lossy());
        if known.is_none() {
            copy(&from, &self.folder.join(&name))?;
            self.files.push(from);
        }
        self.set_key(key, name);
        Ok(())
    }

    /// Packs a data set or model of the catalogue: its files as in the cache, under the same name, so that no key changes.
    fn set(&self, files: &Files) -> Result<()> {
        for path in files.paths().values() {
            let to = self.folder.join("data").join(files.name()).join(path.file_name().unwrap_or_default());
            copy(path, &to)?;
        }
        Ok(())
    }

    /// Sets a key of the configuration.
    fn set_key(&mut self, key: &[&str], value: String) {
        let Some((last, tables)) = key.split_last() else { return };
        let table = tables.iter().try_fold(&mut *self.table, |table, key| {
            let inner = table.entry(*key).or_insert_with(|| toml::Value::Table(toml::Table::new()));
            inner.as_table_mut()
        });
        if let Some(table) = table {
            table.insert((*last).to_owned(), toml::Value::String(value));
        }
    }
}

/// Copies a file, or a folder with all its content.
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

/// The compiler's libraries: the names under which programs load them, and the paths from which this process did.
fn libraries() -> Result<Vec<(&'static str, PathBuf)>> {
    let maps = fs::read_to_string("/proc/self/maps").context("/proc/self/maps")?;
    let paths: Vec<&str> = maps.lines().filter_map(|line| line.find('/').map(|at| &line[at..])).collect();
    // The name of the file has more digits: libstdc++.so.6.0.30.
    let loaded = |name: &'static str| {
        let named = |path: &&&str| path.rsplit('/').next().is_some_and(|file| file.starts_with(name));
        paths.iter().find(named).map(|path| (name, PathBuf::from(*path)))
    };
    Ok(LIBRARIES.into_iter().filter_map(loaded).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with rows, a model's folder, and a configuration that names them.
    fn bench(keys: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path().display();
        fs::write(folder.path().join("rows.jsonl"), "{\"instruction\": \"Q\", \"output\": \"A\"}\n").unwrap();
        fs::write(folder.path().join("chat.jinja"), "{{ messages }}").unwrap();
        fs::create_dir(folder.path().join("tiny")).unwrap();
        fs::write(folder.path().join("tiny/config.json"), "{}").unwrap();
        let config = folder.path().join("run.toml");
        let text = format!("model.source = \"{here}/tiny\"\ndata.train = \"{here}/rows.jsonl\"\n{keys}");
        fs::write(&config, text.replace("HERE", &here.to_string())).unwrap();
        (folder, config)
    }

    #[test]
    fn a_bundle_does_not_hold_itself() {
        let (folder, config) = bench("");
        let tiny = folder.path().join("tiny");
        let error = Arguments { folder: tiny.join("bundle"), config }.run().unwrap_err().to_string();
        assert!(error.contains("`model.source`: the bundle would lie in"), "{error}");
        assert_eq!(fs::read_dir(tiny).unwrap().count(), 1);
    }

    #[test]
    fn only_what_is_read_is_packed() {
        // Tests run in the package's folder, which holds a folder src; alpaca is a set of the catalogue.
        assert!(Path::new("src").is_dir());
        let (folder, config) = bench(
            "data.format = \"alpaca\"\neval.test.data = \"HERE/rows.jsonl\"\ntrain.out = \"/results/one\"\n\
             model.device = \"cuda:3\"\nmodel.chat_template = \"HERE/chat.jinja\"\nobjective = { name = \"src\", selected = \"-log p\" }\n",
        );
        let bundle = folder.path().join("bundle");
        pack(&config, &bundle).unwrap();
        let text = fs::read_to_string(bundle.join("train.toml")).unwrap();
        let packed: toml::Table = text.parse().unwrap();
        for (table, key, value) in [
            ("model", "source", "files/0-tiny"),
            ("model", "device", "cuda:3"),
            ("model", "chat_template", "files/1-chat.jinja"),
            ("data", "train", "files/2-rows.jsonl"),
            ("data", "format", "alpaca"),
            ("objective", "name", "src"),
            ("train", "out", "one"),
        ] {
            assert_eq!(packed[table][key].as_str(), Some(value), "{text}");
        }
        assert_eq!(packed["eval"]["test"]["data"].as_str(), Some("files/2-rows.jsonl"));
        assert!(
            bundle.join("files/0-tiny/config.json").is_file() && bundle.join("files/2-rows.jsonl").is_file()
        );
        assert!(!bundle.join("data").exists());
    }

    #[test]
    fn a_bundle_that_fails_leaves_nothing() {
        // The rows are packed before the missing reference is found.
        let (folder, config) = bench("reference.topk = \"nowhere\"\nobjective = \"distill\"");
        let before = fs::read_dir(folder.path()).unwrap().count();
        for _ in 0..2 {
            let bundle = Arguments { folder: folder.path().join("bundle"), config: config.clone() };
            let error = bundle.run().unwrap_err().to_string();
            assert!(error.contains("`reference.topk`"), "{error}");
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), before);
        }
    }

    #[test]
    fn what_cannot_be_packed_is_named_with_its_key() {
        for (keys, wanted) in [
            ("train = [", "run.toml:3: "),
            ("train.lrr = 1", "run.toml:3: `train.lrr`: there is no such key"),
            ("eval.test.data = \"nowhere\"", "run.toml:3: `eval.test.data`: there is no file `nowhere`"),
            (
                "eval.test.data = \"gsm8k\"\neval.test.split = \"dev\"",
                "run.toml:4: `eval.test.split`: the data set",
            ),
            (
                "reference.topk = \"nowhere\"\nobjective = \"distill\"",
                "run.toml:3: `reference.topk`: `nowhere`: No such file",
            ),
            (
                "reference.model = \"nowhere\"\nobjective = \"distill\"",
                "run.toml:3: `reference.model`: there is no file or folder `nowhere`",
            ),
            (
                "reference.adapter = \"nowhere\"\nobjective = \"distill\"",
                "run.toml:3: `reference.adapter`: there is no folder `nowhere`",
            ),
            ("model.chat_template = \"nowhere\"", "run.toml:3: `model.chat_template`: nowhere: No such file"),
            (
                "data.uncertainty = \"nowhere\"\nobjective = \"bald\"",
                "run.toml:3: `data.uncertainty`: there is no file `nowhere`",
            ),
        ] {
            let (folder, config) = bench(keys);
            let error = pack(&config, &folder.path().join("bundle")).unwrap_err().to_string();
            assert!(error.contains(wanted), "{keys}\n{error}\n{wanted}");
        }
    }
}
