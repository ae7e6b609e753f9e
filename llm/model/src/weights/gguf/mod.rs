//! GGUF, the file format of llama.cpp: metadata and quantised tensors, memory-mapped.
//!
//! Files are not trusted: each count and offset is checked against the file's size before anything is allocated or
//! read.
#![allow(unsafe_code)] // Memory-mapping.

mod blocks;
pub(crate) mod mapping;

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::fs::File;
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use memmap2::Mmap;
use tch::{Device, Kind, Tensor};

pub use blocks::Format;

use crate::Error;
use crate::Result;
use tokensieve_kernels::{memory, shim};

/// The first four bytes.
const MAGIC: &[u8] = b"GGUF";

/// ggml's own limit.
const MAX_DIMENSIONS: u32 = 4;

/// Elements that a thread dequantises at a time: 64 KiB of f32, which fit any L2 cache (choice).
const PART: usize = 1 << 14;

/// A metadata value. Integers of up to 53 bits are exact.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Any integer or floating-point number.
    Number(f64),
    /// True or false.
    Bool(bool),
    /// Text.
    Text(String),
    /// A list of numbers, or of booleans as 0 and 1.
    Numbers(Vec<f64>),
    /// A list of texts.
    Texts(Vec<String>),
}

/// A tensor's shape, format, and position in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// In torch's order, rows first (the file has the reverse order).
    pub shape: Vec<i64>,
    /// How its elements are stored.
    pub format: Format,
    start: usize,
    bytes: usize,
}

/// A GGUF file, memory-mapped.
#[derive(Debug)]
pub struct Gguf {
    path: PathBuf,
    map: Mmap,
    metadata: BTreeMap<String, Value>,
    tensors: BTreeMap<String, Entry>,
}

impl Gguf {
    /// Maps a file and reads its metadata.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = File::open(path).map_err(Error::io(path))?;
        if !file.metadata().map_err(Error::io(path))?.is_file() {
            return Err(Error::file(path, "not a file"));
        }
        // SAFETY: holds as long as no other process truncates the file, which no reader of a mapped file can prevent.
        let map = unsafe { Mmap::map(&file) }.map_err(Error::io(path))?;
        let (metadata, tensors) = parse(&map).map_err(|what| Error::file(path, what))?;
        Ok(Self { path: path.to_owned(), map, metadata, tensors })
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file's bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// Releases the pages that were read.
    pub(crate) fn release(&self) {
        memory::release(&self.map);
    }

    /// All metadata, by key.
    pub fn metadata(&self) -> &BTreeMap<String, Value> {
        &self.metadata
    }

    /// All tensors, by their name in the file.
    pub fn tensors(&self) -> &BTreeMap<String, Entry> {
        &self.tensors
    }

    /// A string from the metadata.
    pub fn text(&self, key: &str) -> Option<&str> {
        if let Some(Value::Text(text)) = self.metadata.get(key) { Some(text) } else { None }
    }

    /// A number from the metadata.
    pub fn number(&self, key: &str) -> Option<f64> {
        if let Some(Value::Number(number)) = self.metadata.get(key) { Some(*number) } else { None }
    }

    /// An integer from the metadata.
    pub fn integer(&self, key: &str) -> Option<i64> {
        self.number(key)
            .filter(|number| number.fract() == 0.0 && number.abs() < 2_f64.powi(53))
            .map(|n| n as i64)
    }

    /// A boolean from the metadata.
    pub fn truth(&self, key: &str) -> Option<bool> {
        if let Some(Value::Bool(truth)) = self.metadata.get(key) { Some(*truth) } else { None }
    }

    /// A list of strings from the metadata.
    pub fn texts(&self, key: &str) -> Option<&[String]> {
        if let Some(Value::Texts(texts)) = self.metadata.get(key) { Some(texts) } else { None }
    }

    /// A list of numbers from the metadata.
    pub fn numbers(&self, key: &str) -> Option<&[f64]> {
        if let Some(Value::Numbers(numbers)) = self.metadata.get(key) { Some(numbers) } else { None }
    }

    /// A tensor in f32, bf16 or f16, on the CPU, by its name in the file.
    pub fn tensor(&self, name: &str, kind: Kind) -> Result<Tensor> {
        let Some(entry) = self.tensors.get(name) else {
            return Err(Error::file(&self.path, format!("has no tensor {name}")));
        };
        let bytes = &self.map[entry.start..entry.start + entry.bytes];
        let tensor = Tensor::f_empty(entry.shape.as_slice(), (kind, Device::Cpu))?;
        let to = Elements { start: tensor.data_ptr(), kind };
        // Parts are whole blocks: PART is a multiple of every block's length.
        let elements = entry.shape.iter().product::<i64>() as usize;
        match kind {
            Kind::Float | Kind::BFloat16 | Kind::Half => {}
            other => return Err(Error::Run(format!("{name}: weights are f32, bf16 or f16, not {other:?}"))),
        }
        shim::parallel(elements.div_ceil(PART), 4, |parts| {
            let mut buffer = vec![0.0_f32; PART];
            for part in parts {
                let place = part * PART..elements.min((part + 1) * PART);
                let buffer = &mut buffer[..place.len()];
                entry.format.dequantise(&bytes[entry.format.bytes(place.start)..], buffer);
                // SAFETY: the tensor has `elements` elements, and no two parts overlap.
                unsafe { to.write(place.start, buffer) };
            }
        });
        Ok(tensor)
    }
}

/// A tensor's memory, written by several threads.
struct Elements {
    start: *mut c_void,
    kind: Kind,
}

// SAFETY: each thread writes elements of its own.
unsafe impl Sync for Elements {}

impl Elements {
    /// Rounds the values to nearest and stores them from element `index` on.
    ///
    /// # Safety
    /// All these elements lie inside the tensor, and no other thread accesses them.
    unsafe fn write(&self, index: usize, values: &[f32]) {
        // SAFETY: the caller guarantees that the elements lie inside the tensor, whose type is `kind`.
        unsafe {
            match self.kind {
                Kind::BFloat16 => {
                    let to = self.start.cast::<bf16>().add(index);
                    values.iter().enumerate().for_each(|(i, value)| to.add(i).write(bf16::from_f32(*value)));
                }
                Kind::Half => {
                    let to = self.start.cast::<f16>().add(index);
                    values.iter().enumerate().for_each(|(i, value)| to.add(i).write(f16::from_f32(*value)));
                }
                _ => self
                    .start
                    .cast::<f32>()
                    .add(index)
                    .copy_from_nonoverlapping(values.as_ptr(), values.len()),
            }
        }
    }
}

type Contents = (BTreeMap<String, Value>, BTreeMap<String, Entry>);

fn parse(bytes: &[u8]) -> Result<Contents, String> {
    let mut reader = Reader { bytes, position: 0 };
    if reader.take(4).ok() != Some(MAGIC) {
        return Err("not a GGUF file: it does not begin with the letters GGUF".into());
    }
    match reader.u32()? {
        2 | 3 => {}
        version if version.swap_bytes() <= 3 => {
            return Err("a big-endian GGUF file; only little-endian ones are supported".into());
        }
        version => return Err(format!("GGUF version {version}; versions 2 and 3 are supported")),
    }
    let tensor_count = reader.count("tensors", 24)?;
    let metadata_count = reader.count("metadata", 13)?;
    let mut metadata = BTreeMap::new();
    for _ in 0..metadata_count {
        let key = reader.text()?;
        let value = reader.value().map_err(|what| format!("metadata {key}: {what}"))?;
        metadata.insert(key, value);
    }
    let mut tensors = BTreeMap::new();
    for _ in 0..tensor_count {
        let name = reader.text()?;
        let entry = reader.entry().map_err(|what| format!("tensor {name}: {what}"))?;
        if tensors.insert(name.clone(), entry).is_some() {
            return Err(format!("tensor {name} occurs twice"));
        }
    }
    let alignment = match metadata.get("general.alignment") {
        None => 32,
        Some(Value::Number(n)) if *n >= 1.0 && *n <= 65536.0 && (*n as usize).is_power_of_two() => {
            *n as usize
        }
        Some(other) => {
            return Err(format!("general.alignment is {other:?}; it must be a power of two up to 65536"));
        }
    };
    let data = reader.position.next_multiple_of(alignment);
    for (name, entry) in &mut tensors {
        let start = data.checked_add(entry.start);
        let end = start.and_then(|start| start.checked_add(entry.bytes));
        match (start, end) {
            (Some(start), Some(end)) if end <= bytes.len() => entry.start = start,
            _ => {
                return Err(format!(
                    "truncated: tensor {name} lies beyond the end of the file ({} bytes)",
                    bytes.len()
                ));
            }
        }
    }
    Ok((metadata, tensors))
}

struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], String> {
        let end = self.position.checked_add(n).filter(|end| *end <= self.bytes.len());
        let Some(end) = end else {
            return Err(format!(
                "truncated: {n} bytes expected at offset {} of {}",
                self.position,
                self.bytes.len()
            ));
        };
        let taken = &self.bytes[self.position..end];
        self.position = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        Ok(self.take(N)?.try_into().expect("N bytes"))
    }

    fn u32(&mut self) -> Result<u32, String> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, String> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A count of items that follow, each of at least `least` bytes.
    fn count(&mut self, what: &str, least: usize) -> Result<usize, String> {
        let n = self.u64()?;
        let room = (self.bytes.len() - self.position) / least;
        if n <= room as u64 {
            Ok(n as usize)
        } else {
            Err(format!("{what}: a count of {n}, but the rest of the file has room for {room}"))
        }
    }

    fn text(&mut self) -> Result<String, String> {
        let n = self.count("text", 1)?;
        String::from_utf8(self.take(n)?.to_vec()).map_err(|_| "a text is not UTF-8".into())
    }

    fn value(&mut self) -> Result<Value, String> {
        Ok(match self.u32()? {
            7 => Value::Bool(self.number(7)? != 0.0),
            8 => Value::Text(self.text()?),
            9 => match self.u32()? {
                8 => {
                    let n = self.count("texts", 8)?;
                    Value::Texts((0..n).map(|_| self.text()).collect::<Result<_, _>>()?)
                }
                9 => return Err("a list of lists, which is not supported".into()),
                kind => {
                    let n = self.count("numbers", 1)?;
                    Value::Numbers((0..n).map(|_| self.number(kind)).collect::<Result<_, _>>()?)
                }
            },
            // The shortest decimal: 0.00001 was meant, whose nearest f32 is 0.00000999999974737875.
            6 => Value::Number(f32::from_le_bytes(self.array()?).to_string().parse().expect("a number")),
            kind => Value::Number(self.number(kind)?),
        })
    }

    fn number(&mut self, kind: u32) -> Result<f64, String> {
        Ok(match kind {
            0 | 7 => f64::from(u8::from_le_bytes(self.array()?)),
            1 => f64::from(i8::from_le_bytes(self.array()?)),
            2 => f64::from(u16::from_le_bytes(self.array()?)),
            3 => f64::from(i16::from_le_bytes(self.array()?)),
            4 => f64::from(self.u32()?),
            5 => f64::from(i32::from_le_bytes(self.array()?)),
            6 => f64::from(f32::from_le_bytes(self.array()?)),
            10 => self.u64()? as f64,
            11 => i64::from_le_bytes(self.array()?) as f64,
            12 => f64::from_le_bytes(self.array()?),
            other => return Err(format!("a value of unknown type {other}")),
        })
    }

    fn entry(&mut self) -> Result<Entry, String> {
        let dimensions = self.u32()?;
        if dimensions == 0 || dimensions > MAX_DIMENSIONS {
            return Err(format!("{dimensions} dimensions; it must be 1 to {MAX_DIMENSIONS}"));
        }
        let mut shape = (0..dimensions).map(|_| self.u64()).collect::<Result<Vec<_>, _>>()?;
        let format = Format::from_id(self.u32()?)?;
        let start = usize::try_from(self.u64()?).map_err(|_| "an offset that is too large")?;
        if shape.contains(&0) {
            return Err(format!("the shape {shape:?} is empty"));
        }
        let columns = shape[0];
        if columns % format.block() as u64 != 0 {
            return Err(format!(
                "rows of {columns} elements are not a multiple of {format:?}'s blocks of {}",
                format.block()
            ));
        }
        // No format needs more than 4 bytes per element, so below 2⁶⁰ elements the number of bytes does not overflow.
        let elements = shape.iter().try_fold(1_u64, |n, side| n.checked_mul(*side)).filter(|n| *n < 1 << 60);
        let Some(elements) = elements else {
            return Err(format!("the shape {shape:?} is too large"));
        };
        shape.reverse();
        let shape = shape.into_iter().map(u64::cast_signed).collect();
        Ok(Entry { shape, format, start, bytes: format.bytes(elements as usize) })
    }
}
