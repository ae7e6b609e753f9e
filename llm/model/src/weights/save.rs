//! Writes safetensors files atomically: a file is complete or does not exist.
#![allow(unsafe_code)] // Views tensors as bytes.

use std::path::Path;

use serde_json::{Map, Value, json};
use tch::{Device, Kind, Tensor};
use tokensieve_base::files::write_atomically_with;

use super::safetensors::dtype;
use crate::Error;
use crate::Result;

/// Writes tensors in the given order, with `metadata` in the header (`("format", "pt")` for `transformers`). Atomic:
/// a temporary file beside `path` is written, flushed to the disk, and renamed.
pub fn save_safetensors(path: &Path, tensors: &[(String, Tensor)], metadata: &[(&str, &str)]) -> Result<()> {
    let plan: Vec<Planned> = tensors
        .iter()
        .map(|(name, tensor)| Planned { name, shape: tensor.size(), kind: tensor.kind() })
        .collect();
    save_lazily(path, &plan, metadata, |i| Ok(tensors[i].1.shallow_clone()))
}

/// A tensor that is to be written; its values are computed when its turn comes.
pub(crate) struct Planned<'a> {
    pub(crate) name: &'a str,
    pub(crate) shape: Vec<i64>,
    pub(crate) kind: Kind,
}

impl Planned<'_> {
    pub(crate) fn bytes(&self) -> usize {
        self.shape.iter().product::<i64>() as usize * self.kind.elt_size_in_bytes()
    }
}

/// [`save_safetensors`] with one tensor in memory at a time: `make` is called with each index, in order.
pub(crate) fn save_lazily(
    path: &Path,
    plan: &[Planned],
    metadata: &[(&str, &str)],
    mut make: impl FnMut(usize) -> Result<Tensor>,
) -> Result<()> {
    let mut header = Map::new();
    if !metadata.is_empty() {
        let metadata: Map<String, Value> =
            metadata.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
        header.insert("__metadata__".to_owned(), Value::Object(metadata));
    }
    let mut end = 0;
    for tensor in plan {
        let start = end;
        end += tensor.bytes();
        let Some(dtype) = dtype(tensor.kind) else {
            return Err(Error::Run(format!("{}: safetensors has no type {:?}", tensor.name, tensor.kind)));
        };
        header.insert(
            tensor.name.to_owned(),
            json!({"dtype": dtype, "shape": tensor.shape, "data_offsets": [start, end]}),
        );
    }
    let mut header = Value::Object(header).to_string().into_bytes();
    // Aligns the data to a multiple of 8, as the format recommends.
    header.resize(header.len().next_multiple_of(8), b' ');
    write_atomically_with(path, |out| {
        let io = Error::io(path);
        let start = out.write_all(&(header.len() as u64).to_le_bytes()).and_then(|()| out.write_all(&header));
        start.map_err(io)?;
        for (i, planned) in plan.iter().enumerate() {
            let tensor = make(i)?.to_device(Device::Cpu).contiguous();
            assert!(
                tensor.kind() == planned.kind && tensor.size() == planned.shape,
                "{} as planned",
                planned.name
            );
            // An empty tensor has a null pointer.
            if planned.bytes() > 0 {
                let (start, length) = (tensor.data_ptr().cast::<u8>(), planned.bytes());
                // SAFETY: the tensor is contiguous, has this many bytes, and lives until the end of the block.
                let bytes = unsafe { std::slice::from_raw_parts(start, length) };
                out.write_all(bytes).map_err(Error::io(path))?;
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        let tensors = [
            ("b".to_owned(), Tensor::from_slice(&[1.5_f32, -2.0, 3.25, 4.0]).reshape([2, 2]).tr()),
            ("a".to_owned(), Tensor::from_slice(&[7_i64])),
            ("c".to_owned(), Tensor::zeros([0, 3], (Kind::BFloat16, Device::Cpu))),
        ];
        save_safetensors(&path, &tensors, &[("format", "pt")]).unwrap();
        let mut read = Tensor::read_safetensors(&path).unwrap();
        read.sort_by(|a, b| a.0.cmp(&b.0));
        assert_eq!(read[0].1, tensors[1].1);
        assert_eq!(read[1].1, tensors[0].1);
        assert_eq!(read[2].1.size(), [0, 3]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_failure_leaves_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        fs::write(&path, "old").unwrap();
        let plan = [Planned { name: "a", shape: vec![1], kind: Kind::Float }];
        let error = save_lazily(&path, &plan, &[], |_| Err(Error::Run("no".into()))).unwrap_err();
        assert_eq!(error.to_string(), "no");
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let nowhere = save_safetensors(&folder.path().join("none/a"), &[], &[]).unwrap_err().to_string();
        assert!(nowhere.contains("none"), "{nowhere}");
    }
}
