//! Labelled grey-scale images of 28 × 28 pixels: MNIST and what has its format (Fashion-MNIST).

use std::{
    fs,
    path::{Path, PathBuf},
};

use tokensieve_base::streams::Stream;

/// Pixels of one image.
pub const PIXELS: usize = 28 * 28;
/// Number of classes.
pub const CLASSES: usize = 10;
/// Training and test images in the published sets; no other number is read.
pub const SIZES: [usize; 2] = [60_000, 10_000];

/// Why a set of images could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file is missing or not readable.
    #[error("cannot read {path}: {source}; the folder must hold the four unpacked idx files")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// A file does not begin with the header of an idx file of the right shape.
    #[error("{path} begins with {found:02x?}; {wanted:02x?} was expected (an idx file, not gzipped)")]
    Header {
        /// The file.
        path: PathBuf,
        /// Its first bytes.
        found: Vec<u8>,
        /// What they should be.
        wanted: Vec<u8>,
    },
    /// A file has the wrong size.
    #[error("{path} has {found} bytes; its header announces {wanted}: fetch it again")]
    Size {
        /// The file.
        path: PathBuf,
        /// Its size.
        found: u64,
        /// What the header says.
        wanted: u64,
    },
    /// A label that is not a class.
    #[error("{path}: label {index} is {found}; labels are 0..=9")]
    Label {
        /// The file.
        path: PathBuf,
        /// Which label.
        index: usize,
        /// Its value.
        found: u8,
    },
}

/// Images and their labels, image after image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Images {
    /// Grey values, [`PIXELS`] per image, row by row.
    pub pixels: Vec<u8>,
    /// Classes, 0..=9.
    pub labels: Vec<u8>,
}

impl Images {
    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The grey values of image `index`.
    pub fn image(&self, index: usize) -> &[u8] {
        &self.pixels[index * PIXELS..][..PIXELS]
    }

    /// Only the first `n` (or all, if there are fewer).
    #[must_use]
    pub fn first(&self, n: usize) -> Self {
        let n = n.min(self.len());
        Self { pixels: self.pixels[..n * PIXELS].to_vec(), labels: self.labels[..n].to_vec() }
    }
}

/// Images to train on and images to test on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataSet {
    /// Its name in tables.
    pub name: String,
    /// Images to train on.
    pub train: Images,
    /// Images to test on.
    pub test: Images,
}

/// The four files: name, dimensions of one item, which of [`SIZES`].
const FILES: [(&str, &[u32], usize); 4] = [
    ("train-images-idx3-ubyte", &[28, 28], 0),
    ("train-labels-idx1-ubyte", &[], 0),
    ("t10k-images-idx3-ubyte", &[28, 28], 1),
    ("t10k-labels-idx1-ubyte", &[], 1),
];

impl DataSet {
    /// Reads the four idx files (unpacked, under their published names) from `folder`.
    pub fn load(name: &str, folder: &Path) -> Result<Self, Error> {
        let [train_pixels, train_labels, test_pixels, test_labels] =
            FILES.map(|(file, item, part)| read(&folder.join(file), item, SIZES[part]));
        let train = Images { pixels: train_pixels?, labels: train_labels? };
        let test = Images { pixels: test_pixels?, labels: test_labels? };
        for (images, file) in [(&train, FILES[1].0), (&test, FILES[3].0)] {
            if let Some(index) = images.labels.iter().position(|&label| usize::from(label) >= CLASSES) {
                return Err(Error::Label { path: folder.join(file), index, found: images.labels[index] });
            }
        }
        Ok(Self { name: name.into(), train, test })
    }

    /// Random images, determined by a seed, for tests and benchmarks: per class a fixed pattern of strokes, shifted by up to
    /// two pixels and speckled; about a fifth of the pixels are not zero, as in MNIST.
    pub fn synthetic(seed: u64, train: usize, test: usize) -> Self {
        let mut stream = Stream::new(seed, "images/strokes");
        let patterns: Vec<[u8; PIXELS]> = (0..CLASSES).map(|_| strokes(&mut stream)).collect();
        let part = |name: &str, n: usize| {
            let mut stream = Stream::new(seed, name);
            let mut images = Images { pixels: Vec::with_capacity(n * PIXELS), labels: Vec::with_capacity(n) };
            for _ in 0..n {
                let class = stream.below(CLASSES);
                let shift = stream.below(5) + 28 * stream.below(5);
                images.labels.push(class as u8);
                images.pixels.extend((0..PIXELS).map(|pixel| {
                    let grey = patterns[class][(pixel + PIXELS - shift) % PIXELS];
                    if stream.chance(0.15) { 255 - grey } else { grey }
                }));
            }
            images
        };
        Self { name: "synthetic".into(), train: part("images/train", train), test: part("images/test", test) }
    }
}

/// Six bars of random place and grey.
fn strokes(stream: &mut Stream) -> [u8; PIXELS] {
    let mut pattern = [0; PIXELS];
    for _ in 0..6 {
        let (row, column, across) = (4 + stream.below(14), 4 + stream.below(14), stream.chance(0.5));
        let grey = 128 + stream.below(128) as u8;
        for step in 0..9 {
            let at = if across { row * 28 + column + step } else { (row + step) * 28 + column };
            pattern[at] = grey;
        }
    }
    pattern
}

/// The items of an idx file, which must hold `n` of this shape.
fn read(path: &Path, item: &[u32], n: usize) -> Result<Vec<u8>, Error> {
    let mut wanted = vec![0, 0, 8, item.len() as u8 + 1];
    for &dimension in [n as u32].iter().chain(item) {
        wanted.extend(dimension.to_be_bytes());
    }
    let content = fs::read(path).map_err(|source| Error::Read { path: path.into(), source })?;
    let (found, items) = content.split_at(wanted.len().min(content.len()));
    if found != wanted {
        return Err(Error::Header { path: path.into(), found: found.into(), wanted });
    }
    let size = n as u64 * item.iter().map(|&d| u64::from(d)).product::<u64>();
    if items.len() as u64 != size {
        let header = wanted.len() as u64;
        return Err(Error::Size { path: path.into(), found: content.len() as u64, wanted: header + size });
    }
    Ok(items.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is wrong with a folder whose first file has these bytes.
    fn complaint(name: &str, content: Option<&[u8]>) -> String {
        let folder = std::env::temp_dir().join(format!("tokensieve-images-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        if let Some(content) = content {
            std::fs::write(folder.join(FILES[0].0), content).unwrap();
        }
        let error = DataSet::load("test", &folder).unwrap_err();
        std::fs::remove_dir_all(&folder).unwrap();
        error.to_string()
    }

    #[test]
    fn wrong_files_are_refused_with_the_reason() {
        assert!(complaint("missing", None).contains("cannot read"));
        assert!(complaint("gzip", Some(&[0x1f, 0x8b, 8, 0])).contains("not gzipped"));
        let truncated = [0, 0, 8, 3, 0, 0, 0xea, 0x60, 0, 0, 0, 28, 0, 0, 0, 28, 1, 2, 3];
        assert!(complaint("truncated", Some(&truncated)).contains("19 bytes; its header announces 47040016"));
    }

    #[test]
    fn generated_images_are_as_sparse_as_digits_and_repeat() {
        let data = DataSet::synthetic(5, 300, 20);
        assert_eq!(data, DataSet::synthetic(5, 300, 20));
        assert_eq!((data.train.len(), data.test.len()), (300, 20));
        let nonzero = data.train.pixels.iter().filter(|grey| **grey != 0).count() as f64;
        assert!((0.1..0.3).contains(&(nonzero / data.train.pixels.len() as f64)));
        assert!(data.train.labels.iter().all(|label| usize::from(*label) < CLASSES));
    }
}
