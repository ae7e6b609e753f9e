//! Images without their zeros, laid out in the order in which the first layer walks over them.
//!
//! An image is cut into [`BLOCKS`] blocks of [`BLOCK`] pixels. The first layer takes block after block, and in
//! each block image after image: a block's weights (28 KB for four models) then stay in the first-level cache,
//! and the pixels stream past in memory order.

use super::IN;
use crate::images::Images;

/// Pixels of a block: two rows of the image. (Measured: 28 to 112 pixels are within 10 % of each other.)
pub const BLOCK: usize = 56;
/// Blocks of an image.
pub const BLOCKS: usize = IN / BLOCK;

/// A pixel that is not zero: its place in the block, and its grey value.
pub type Pixel = [u8; 2];

/// All images of a set without their zeros; image after image, so that a batch can be gathered from anywhere.
#[derive(Clone, Debug)]
pub struct SparseImages {
    pixels: Vec<Pixel>,
    /// Where block b of image i begins: entry i·BLOCKS + b, and one more at the end.
    starts: Vec<u32>,
    labels: Vec<u8>,
}

impl SparseImages {
    /// Drops the zeros.
    pub fn new(images: &Images) -> Self {
        let mut sparse = Self { pixels: Vec::new(), starts: vec![0], labels: images.labels.clone() };
        for block in images.pixels.chunks_exact(BLOCK) {
            let nonzero = block.iter().enumerate().filter(|(_, grey)| **grey != 0);
            sparse.pixels.extend(nonzero.map(|(place, &grey)| [place as u8, grey]));
            sparse.starts.push(sparse.pixels.len() as u32);
        }
        sparse
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// All images in their own order, in batches of `size`.
    pub fn batches(&self, size: usize) -> Vec<Batch> {
        let order: Vec<usize> = (0..self.len()).collect();
        order.chunks(size).map(|indices| self.batch(indices)).collect()
    }

    /// The images of these indices.
    pub fn batch(&self, indices: &[usize]) -> Batch {
        let mut batch = Batch::default();
        batch.gather(self, indices);
        batch
    }
}

/// Some images, gathered so that they lie close together.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    pixels: Vec<Pixel>,
    /// Where block b of image i begins, as in [`SparseImages`].
    starts: Vec<u32>,
    /// The images' classes.
    pub labels: Vec<u8>,
}

impl Batch {
    /// Replaces the batch by the images of these indices, in this order.
    pub fn gather(&mut self, from: &SparseImages, indices: &[usize]) {
        self.pixels.clear();
        self.starts.clear();
        self.labels.clear();
        self.labels.extend(indices.iter().map(|&index| from.labels[index]));
        for &index in indices {
            let starts = &from.starts[index * BLOCKS..=(index + 1) * BLOCKS];
            let offset = (self.pixels.len() as u32).wrapping_sub(starts[0]);
            self.starts.extend(starts[..BLOCKS].iter().map(|start| start.wrapping_add(offset)));
            self.pixels.extend_from_slice(&from.pixels[starts[0] as usize..starts[BLOCKS] as usize]);
        }
        self.starts.push(self.pixels.len() as u32);
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The pixels of image `image` in block `block`.
    #[inline(always)]
    pub fn pixels(&self, block: usize, image: usize) -> &[Pixel] {
        let at = image * BLOCKS + block;
        &self.pixels[self.starts[at] as usize..self.starts[at + 1] as usize]
    }
}

/// Grey values as the network sees them: divided by 255.
pub static SHADE: [f32; 256] = {
    let mut shade = [0.0; 256];
    let mut grey = 0;
    while grey < 256 {
        shade[grey] = grey as f32 / 255.0;
        grey += 1;
    }
    shade
};
