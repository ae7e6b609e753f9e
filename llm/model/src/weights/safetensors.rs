//! Reads checkpoints in safetensors format, in one file or several, memory-mapped.
#![allow(unsafe_code)] // Memory-mapping.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use safetensors::tensor::{Metadata, TensorInfo};
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;
use tch::{Kind, Tensor};

use crate::Error;
use crate::Result;
use crate::text::TEMPLATE_FILE;
use tokensieve_base::files::read_text;
use tokensieve_kernels::memory;

/// File name of a checkpoint in one file.
pub(crate) const WHOLE: &str = "model.safetensors";
/// File name of the index of a checkpoint in several files.
pub(crate) const INDEX: &str = "model.safetensors.index.json";

/// File names of a model's texts besides its configuration.
pub(crate) const TEXT_FILES: [&str; 9] = [
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    TEMPLATE_FILE,
    "chat_template.json",
    "vocab.json",
    "merges.txt",
];

/// The vocabulary in a format that other programs read.
pub(crate) const OTHERS_TOKENIZER: &str = "tokenizer.model";

/// Bytes of the largest configuration or index (choice: those of today have a million).
pub(crate) const LARGEST_JSON: u64 = 64 << 20;

/// The safetensors files of one checkpoint.
#[derive(Debug)]
pub(crate) struct Shards {
    folder: PathBuf,
    files: Vec<Shard>,
    /// Index of the file that holds each tensor.
    file_of: BTreeMap<String, usize>,
}

#[derive(Debug)]
struct Shard {
    path: PathBuf,
    map: Mmap,
    header: Metadata,
    /// Offset of the tensors' bytes.
    data: usize,
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl Index {
    /// A folder's index, which lists files beside it only.
    fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(INDEX);
        let text = read_text(&path, LARGEST_JSON)?;
        let index: Self = serde_json::from_str(&text).map_err(|error| Error::file(&path, error))?;
        let is_plain =
            |file: &&String| Path::new(file).file_name().is_some_and(|plain| plain == file.as_str());
        match index.weight_map.values().find(|file| !is_plain(file)) {
            Some(file) => Err(Error::file(&path, format!("`{file}` is not a plain file name"))),
            None => Ok(index),
        }
    }
}

/// The files that a folder's index lists.
pub(crate) fn listed(folder: &Path) -> Result<BTreeSet<String>> {
    Index::read(folder).map(|index| index.weight_map.into_values().collect())
}

/// Whether a folder has its weights: model.safetensors, or all files that the index lists. An index that cannot be read
/// counts too: opening it says what is wrong.
pub(crate) fn is_complete(folder: &Path) -> bool {
    let (whole, index) = (folder.join(WHOLE), folder.join(INDEX));
    if whole.is_file() || !index.is_file() {
        return whole.is_file();
    }
    listed(folder).map_or(true, |files| files.iter().all(|file| folder.join(file).is_file()))
}

impl Shards {
    /// Opens a folder's model.safetensors, or else the files that its index lists: a model that is saved over one in parts
    /// leaves their index behind.
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        let (path, index) = (folder.join(WHOLE), folder.join(INDEX));
        if path.is_file() {
            let shard = Shard::open(&path)?;
            let file_of = shard.header.tensors().into_keys().map(|name| (name, 0)).collect();
            return Ok(Self { folder: folder.to_owned(), files: vec![shard], file_of });
        }
        if !index.is_file() {
            return Err(Error::file(folder, format!("has neither {WHOLE} nor {INDEX}")));
        }
        let list = Index::read(folder)?;
        let mut shards: Vec<Shard> = Vec::new();
        let mut files: HashMap<&str, usize> = HashMap::new();
        let mut file_of = BTreeMap::new();
        for (name, file) in &list.weight_map {
            let shard = if let Some(shard) = files.get(file.as_str()) {
                *shard
            } else {
                shards.push(Shard::open(&folder.join(file))?);
                files.insert(file, shards.len() - 1);
                shards.len() - 1
            };
            if shards[shard].header.info(name).is_none() {
                return Err(Error::file(&index, format!("{name} is not in {file}")));
            }
            file_of.insert(name.clone(), shard);
        }
        Ok(Self { folder: folder.to_owned(), files: shards, file_of })
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &String> {
        self.file_of.keys()
    }

    pub(crate) fn shape(&self, name: &str) -> Option<Vec<i64>> {
        let (_, info) = self.place(name)?;
        Some(info.shape.iter().map(|side| *side as i64).collect())
    }

    /// A tensor's type, if libtorch has it.
    pub(crate) fn kind(&self, name: &str) -> Option<Kind> {
        kind(self.place(name)?.1.dtype)
    }

    /// Whether two tensors have the same shape and numbers, those of the wider type rounded to the narrower.
    pub(crate) fn are_same(&self, one: &str, other: &str) -> bool {
        let (Some((shard, info)), Some((other_shard, other_info))) = (self.place(one), self.place(other))
        else {
            return false;
        };
        if info.shape != other_info.shape {
            return false;
        }
        if info.dtype == other_info.dtype {
            return shard.bytes_of(info) == other_shard.bytes_of(other_info);
        }
        let kinds = [info, other_info].map(|info| kind(info.dtype));
        let Some(to) = kinds.into_iter().flatten().min_by_key(|kind| kind.elt_size_in_bytes()) else {
            return false;
        };
        let read = |name| self.tensor(name, to).ok();
        read(one).zip(read(other)).is_some_and(|(one, other)| one.equal(&other))
    }

    /// The file that holds a tensor, and what its header says of it.
    fn place(&self, name: &str) -> Option<(&Shard, &TensorInfo)> {
        let shard = &self.files[*self.file_of.get(name)?];
        Some((shard, shard.header.info(name)?))
    }

    /// A tensor converted to `to`. Tensors that are not floating-point are read in their own type only.
    pub(crate) fn tensor(&self, name: &str, to: Kind) -> Result<Tensor> {
        let Some((shard, info)) = self.place(name) else {
            return Err(Error::file(&self.folder, format!("has no tensor {name}")));
        };
        let Some(stored) = kind(info.dtype).filter(|stored| is_float(*stored) || *stored == to) else {
            let what = format!("{name} is stored as {:?}; supported are F32, BF16, F16 and F64", info.dtype);
            return Err(Error::file(&shard.path, what));
        };
        let bytes = shard.bytes_of(info);
        let shape: Vec<i64> = info.shape.iter().map(|side| *side as i64).collect();
        Ok(Tensor::f_from_data_size(bytes, &shape, stored)?.to_kind(to))
    }

    /// Releases the pages that were read.
    pub(crate) fn release(&self) {
        self.files.iter().for_each(|shard| memory::release(&shard.map));
    }

    /// The files' bytes, in the order of the files' names.
    pub(crate) fn bytes(&self) -> impl Iterator<Item = &[u8]> {
        let mut shards: Vec<&Shard> = self.files.iter().collect();
        shards.sort_by_key(|shard| &shard.path);
        shards.into_iter().map(|shard| &shard.map[..])
    }
}

impl Shard {
    fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::io(path))?;
        // SAFETY: holds as long as no other process truncates the file, which no reader of a mapped file can prevent.
        let map = unsafe { Mmap::map(&file) }.map_err(Error::io(path))?;
        // This checks every offset and size against the file.
        let (size, header) = SafeTensors::read_metadata(&map)
            .map_err(|error| Error::file(path, format!("not a safetensors file: {error}")))?;
        Ok(Self { path: path.to_owned(), map, header, data: size + 8 })
    }

    fn bytes_of(&self, tensor: &TensorInfo) -> &[u8] {
        &self.map[self.data + tensor.data_offsets.0..self.data + tensor.data_offsets.1]
    }
}

/// The metadata of a file.
pub(crate) fn metadata(path: &Path) -> Result<HashMap<String, String>> {
    Ok(Shard::open(path)?.header.metadata().clone().unwrap_or_default())
}

/// The types that both libtorch and the format have.
const KINDS: [(Dtype, Kind); 10] = [
    (Dtype::F32, Kind::Float),
    (Dtype::BF16, Kind::BFloat16),
    (Dtype::F16, Kind::Half),
    (Dtype::F64, Kind::Double),
    (Dtype::I64, Kind::Int64),
    (Dtype::I32, Kind::Int),
    (Dtype::I16, Kind::Int16),
    (Dtype::I8, Kind::Int8),
    (Dtype::U8, Kind::Uint8),
    (Dtype::BOOL, Kind::Bool),
];

fn kind(dtype: Dtype) -> Option<Kind> {
    KINDS.iter().find(|(of, _)| *of == dtype).map(|(_, kind)| *kind)
}

pub(super) fn dtype(kind: Kind) -> Option<Dtype> {
    KINDS.iter().find(|(_, of)| *of == kind).map(|(dtype, _)| *dtype)
}

/// Whether this is a floating-point type that weights can have.
pub(super) fn is_float(kind: Kind) -> bool {
    matches!(kind, Kind::Float | Kind::BFloat16 | Kind::Half | Kind::Double)
}
