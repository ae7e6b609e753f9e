//! Reading and writing checkpoints: GGUF files, Hugging Face folders, and the hub. Random initialisation.

pub mod gguf;
mod hub;
mod new_folder;
mod random;
pub(crate) mod safetensors;
pub(crate) mod save;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use sha2::{Digest, Sha256};
use tch::{Device, Kind, Tensor};
use tokensieve_base::files::{read_text, write_atomically};
use tokensieve_data::{Catalogue, Files};

use crate::Error;
use crate::Result;
use crate::config::Config;
use crate::error::MODEL;
use crate::modules::{EMBEDDING, HEAD};
use crate::text::{ChatTemplate, TEMPLATE_FILE, TokenizerSource, from_gguf};
pub(crate) use new_folder::entries;
pub use new_folder::{claim, new_folder};
pub use random::RandomModel;
pub(crate) use safetensors::{LARGEST_JSON, metadata};
pub use save::save_safetensors;

use gguf::Gguf;
use random::Random;
use safetensors::Shards;

/// Bytes of a file that are hashed before their pages are released (choice).
const HASHED: usize = 64 << 20;

/// The default model, an entry of `data.toml`.
pub const DEFAULT: &str = "smollm2-135m";

/// A model's weights, configuration and tokenizer. Tensors are read one at a time from memory-mapped files.
#[derive(Debug)]
pub struct Checkpoint {
    source: String,
    config: Config,
    store: Store,
    hash: OnceLock<String>,
    /// A chat template that replaces the model's own.
    template: Option<ChatTemplate>,
}

#[derive(Debug)]
enum Store {
    /// The file, and its tensor names by Hugging Face's names.
    Gguf(Gguf, BTreeMap<String, String>),
    Folder(PathBuf, Shards),
    Random(Random),
}

/// The files of a model, on this machine.
#[derive(Debug)]
pub enum ModelFiles {
    /// A set of the catalogue.
    Set(Files),
    /// A Hugging Face folder.
    Folder(PathBuf),
    /// A GGUF file.
    File(PathBuf),
}

/// Where a model is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Location {
    /// In a set of the catalogue, `data.toml`.
    Set,
    /// In a Hugging Face folder.
    Folder,
    /// In a GGUF file.
    File,
    /// On the hub.
    Hub,
}

/// Finds out where a model is, without downloading anything. The error says what is wrong with its name.
pub fn locate(source: &str, catalogue: &Catalogue) -> Result<Location, String> {
    let set = catalogue.set(source).ok();
    let path = Path::new(source);
    if set.is_some_and(|set| set.files.contains_key("model")) {
        Ok(Location::Set)
    } else if path.is_dir() {
        Ok(Location::Folder)
    } else if path.exists() {
        Ok(Location::File)
    } else if set.is_some() {
        Err(format!("`{source}` is a data set, not a model"))
    } else if hub::Name::parse(source).is_some() {
        Ok(Location::Hub)
    } else {
        let models: Vec<&str> = catalogue
            .sets()
            .iter()
            .filter(|(_, set)| set.files.contains_key("model"))
            .map(|(name, _)| name.as_str())
            .collect();
        Err(format!(
            "there is no file or folder `{source}`; the models known by name are {}",
            models.join(", ")
        ))
    }
}

/// Finds a model's files, and downloads them if necessary. `source` is a name in `data.toml`, the path of a GGUF file
/// or of a Hugging Face folder, or `organisation/name` on the hub.
pub fn find(source: &str) -> Result<ModelFiles> {
    let catalogue = Catalogue::load()?;
    match locate(source, &catalogue).map_err(|what| Error::setting(MODEL, what))? {
        Location::Set => Ok(ModelFiles::Set(catalogue.fetch(source)?)),
        Location::Folder => Ok(ModelFiles::Folder(source.into())),
        Location::File => Ok(ModelFiles::File(source.into())),
        Location::Hub => Ok(ModelFiles::Folder(hub::Hub::from_env().fetch(source)?)),
    }
}

impl Checkpoint {
    /// Opens a checkpoint, and downloads it if necessary; see [`find`] for what `source` can be.
    pub fn open(source: &str) -> Result<Self> {
        match find(source)? {
            ModelFiles::Set(files) => {
                let checkpoint = Self::from_gguf(source, files.path("model"))?;
                // The catalogue has checked the hash of the content.
                let _ = checkpoint.hash.set(files.hash().to_owned());
                Ok(checkpoint)
            }
            ModelFiles::Folder(folder) => Self::from_folder(source, &folder),
            ModelFiles::File(path) => Self::from_gguf(source, &path),
        }
    }

    fn from_gguf(source: &str, path: &Path) -> Result<Self> {
        let gguf = Gguf::open(path)?;
        let config = Config::from_gguf(&gguf)?;
        let names = gguf::mapping::names(&gguf, &config.family)?.into_iter().collect();
        Ok(Self::new(source, config, Store::Gguf(gguf, names)))
    }

    fn from_folder(source: &str, folder: &Path) -> Result<Self> {
        let path = folder.join("config.json");
        let text = read_text(&path, LARGEST_JSON)?;
        let config = Config::from_json(&path, &text)?;
        let store = Store::Folder(folder.to_owned(), Shards::open(folder)?);
        Ok(Self::new(source, config, store))
    }

    /// A model that is initialised at random.
    pub fn random(model: &RandomModel) -> Result<Self> {
        let config = model.config()?;
        let random = Random::new(model, &config);
        Ok(Self::new(random::NAME, config, Store::Random(random)))
    }

    fn new(source: &str, config: Config, store: Store) -> Self {
        Self { source: source.to_owned(), config, store, hash: OnceLock::new(), template: None }
    }

    /// [`Checkpoint::open`] with a chat template that replaces the model's own.
    pub fn open_with(source: &str, template: Option<ChatTemplate>) -> Result<Self> {
        Ok(Self::open(source)?.with_template(template))
    }

    /// The checkpoint with a chat template that replaces the model's own, if there is one.
    #[must_use]
    pub fn with_template(self, template: Option<ChatTemplate>) -> Self {
        Self { template, ..self }
    }

    /// The chat template that replaces the model's own, if any.
    pub fn template(&self) -> Option<&ChatTemplate> {
        self.template.as_ref()
    }

    /// Writes the replacing chat template, if any, into a folder.
    pub fn write_template(&self, folder: &Path) -> Result<()> {
        let Some(template) = &self.template else { return Ok(()) };
        let path = folder.join(TEMPLATE_FILE);
        Ok(write_atomically(&path, template.source())?)
    }

    /// The name or path that the checkpoint was opened by.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The Hugging Face names of all tensors, such as `model.layers.0.self_attn.q_proj.weight`, in alphabetical order.
    /// Fused tensors (Phi-3) are one tensor.
    pub fn names(&self) -> Vec<String> {
        match &self.store {
            Store::Gguf(_, names) => names.keys().cloned().collect(),
            Store::Folder(_, shards) => shards.names().cloned().collect(),
            Store::Random(random) => random.names().cloned().collect(),
        }
    }

    /// Releases the pages of the files that were read so far.
    pub(crate) fn release(&self) {
        match &self.store {
            Store::Gguf(gguf, _) => gguf.release(),
            Store::Folder(_, shards) => shards.release(),
            Store::Random(_) => {}
        }
    }

    /// The shape of a tensor, if the checkpoint has it.
    pub fn shape(&self, name: &str) -> Option<Vec<i64>> {
        match &self.store {
            Store::Gguf(gguf, names) => Some(gguf.tensors().get(names.get(name)?)?.shape.clone()),
            Store::Folder(_, shards) => shards.shape(name),
            Store::Random(random) => random.shape(name).cloned(),
        }
    }

    /// The type in which a tensor is written if weights are written as `kind`: tensors that are not floating-point keep
    /// their own.
    pub(crate) fn kind_when_written(&self, name: &str, kind: Kind) -> Kind {
        match &self.store {
            Store::Gguf(..) | Store::Random(_) => kind,
            Store::Folder(_, shards) => {
                shards.kind(name).filter(|own| !safetensors::is_float(*own)).unwrap_or(kind)
            }
        }
    }

    /// A tensor as f32, bf16 or f16, on the CPU, with the name and layout of the Hugging Face checkpoint.
    pub fn tensor(&self, name: &str, kind: Kind) -> Result<Tensor> {
        match &self.store {
            Store::Gguf(gguf, names) => match names.get(name) {
                Some(stored) => gguf::mapping::tensor(gguf, &self.config, name, stored, kind),
                None => Err(Error::file(gguf.path(), format!("has no tensor for {name}"))),
            },
            Store::Folder(_, shards) => shards.tensor(name, kind),
            Store::Random(random) => random.tensor(name, kind),
        }
    }

    /// A tensor on a device; it is an error if its shape is another than the configuration requires.
    pub(crate) fn tensor_of(&self, name: &str, shape: &[i64], kind: Kind, device: Device) -> Result<Tensor> {
        self.require_shape(name, shape)?;
        Ok(self.tensor(name, kind)?.to_device(device))
    }

    /// An error if the tensor is there in another shape than the configuration requires, before memory is set aside for it.
    pub(crate) fn require_shape(&self, name: &str, shape: &[i64]) -> Result<()> {
        let Some(found) = self.shape(name).filter(|found| found != shape) else { return Ok(()) };
        let what = format!("{name} has the shape {found:?}; the configuration requires {shape:?}");
        Err(Error::file(&self.source, what))
    }

    /// An error if the model is tied, but has an output matrix that is not its embedding: which of the two is meant is not
    /// known, and transformers computes with both.
    pub(crate) fn check_tied(&self) -> Result<()> {
        let differs = match &self.store {
            Store::Folder(_, shards) => {
                let is_there = [EMBEDDING, HEAD].iter().all(|name| shards.shape(name).is_some());
                let differs = self.config.tied && is_there && !shards.are_same(EMBEDDING, HEAD);
                shards.release();
                differs
            }
            // Tied means that there is no such matrix.
            Store::Gguf(..) | Store::Random(_) => false,
        };
        if !differs {
            return Ok(());
        }
        let what = format!(
            "tie_word_embeddings makes {EMBEDDING} the output matrix, but {HEAD} differs from it; to compute with {HEAD}, \
             set tie_word_embeddings to false in config.json, else remove it"
        );
        Err(Error::file(&self.source, what))
    }

    /// SHA-256 of the weights' files and the configuration, on which results depend. Computed once.
    pub fn hash(&self) -> String {
        let compute = || {
            let mut hash = Sha256::new();
            // A file may be larger than what a process may hold.
            let read = |hash: &mut Sha256, bytes: &[u8]| {
                for part in bytes.chunks(HASHED) {
                    hash.update(part);
                    self.release();
                }
            };
            match &self.store {
                Store::Gguf(gguf, _) => read(&mut hash, gguf.bytes()),
                Store::Folder(_, shards) => {
                    hash.update(format!("{:?}", self.config));
                    shards.bytes().for_each(|bytes| read(&mut hash, bytes));
                }
                Store::Random(random) => hash.update(random.identity()),
            }
            format!("{:x}", hash.finalize())
        };
        self.hash.get_or_init(compute).clone()
    }

    /// Where the tokenizer comes from.
    pub fn tokenizer_source(&self) -> Result<TokenizerSource> {
        match &self.store {
            Store::Gguf(gguf, _) => Ok(TokenizerSource::Built(Box::new(from_gguf::read(gguf)?))),
            Store::Folder(folder, _) => Ok(TokenizerSource::Folder(folder.clone())),
            Store::Random(random) => Ok(TokenizerSource::Built(Box::new(random.tokenizer()?))),
        }
    }
}
