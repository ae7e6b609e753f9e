//! Up to four models that see the same batches, trained side by side.

use fearless_simd::{Level, dispatch};

use super::backward::{self, ImagePull};
use super::layout::{Rows1, Tile};
use super::{Batch, CLASSES, H1, H2, IN, LANES, Row1, Row2, Upper, Weights, forward, softmax};

/// The predictions of one model for its last batch.
#[derive(Clone, Debug, Default)]
pub struct Predictions {
    h2: Vec<Row2>,
    tiles: Vec<Tile>,
    /// −log p of the label, per image, in nats.
    pub loss: Vec<f32>,
    /// Entropy of the prediction, per image, in nats.
    pub entropy: Vec<f32>,
}

impl Predictions {
    /// The predicted distribution for an image.
    pub fn probabilities(&self, image: usize) -> [f32; CLASSES] {
        let tile = &self.tiles[image / LANES];
        std::array::from_fn(|class| tile.0[class][image % LANES])
    }
}

/// G models that see the same batches: the walk over the pixels is shared, everything else is each one's own.
#[derive(Clone, Debug)]
pub struct Fleet<const G: usize> {
    level: Level,
    w1: Vec<Rows1<G>>,
    upper: [Upper; G],
    h1: Vec<Rows1<G>>,
    predictions: [Predictions; G],
    u1: Vec<Row1>,
    u2: Vec<Row2>,
}

impl<const G: usize> Fleet<G> {
    /// Models with these weights, on the best instructions of this machine.
    pub fn new(weights: &[Weights; G]) -> Self {
        Self::with_level(weights, Level::new())
    }

    /// Models that use the given instruction set: slower, with results equal to the last bit.
    pub fn with_level(weights: &[Weights; G], level: Level) -> Self {
        Self {
            level,
            w1: (0..IN).map(|k| Rows1(std::array::from_fn(|g| weights[g].w1[k]))).collect(),
            upper: std::array::from_fn(|g| weights[g].upper.clone()),
            h1: Vec::new(),
            predictions: std::array::from_fn(|_| Predictions::default()),
            u1: Vec::new(),
            u2: Vec::new(),
        }
    }

    /// The weights of model `g`.
    pub fn weights(&self, g: usize) -> Weights {
        Weights { w1: self.w1.iter().map(|rows| rows.0[g]).collect(), upper: self.upper[g].clone() }
    }

    /// The predictions of model `g` for the batch of the last [`forward`](Self::forward).
    pub fn predictions(&self, g: usize) -> &Predictions {
        &self.predictions[g]
    }

    /// Predicts the batch with every model.
    pub fn forward(&mut self, batch: &Batch) {
        self.first(batch);
        for g in 0..G {
            self.upper(g, None);
            self.softmax(g, batch);
        }
    }

    /// Predicts the batch with every model under dropout: hidden units are multiplied by `masks`, which hold a row per image.
    pub fn forward_dropout(&mut self, batch: &Batch, masks: &Dropout) {
        self.first(batch);
        for (hidden, mask) in self.h1.iter_mut().zip(&masks.h1) {
            for row in &mut hidden.0 {
                row.iter_mut().zip(mask).for_each(|(unit, mask)| *unit *= mask);
            }
        }
        for g in 0..G {
            self.upper(g, Some(&masks.h2));
            self.softmax(g, batch);
        }
    }

    /// One step of model `g` from the images kept of the batch of the last forward pass.
    pub fn step(&mut self, g: usize, batch: &Batch, kept: &[ImagePull]) {
        let Self { level, w1, upper, h1, predictions, u1, u2 } = self;
        let h2 = &predictions[g].h2;
        dispatch!(*level, simd => {
            backward::carry(simd, g, kept, &upper[g], (h1, h2), u1, u2);
            backward::move_upper(simd, g, kept, (u1, u2), (h1, h2), &mut upper[g]);
            backward::move_first(simd, g, batch, kept, u1, w1);
        });
    }

    /// The share of images that each model classifies correctly.
    pub fn accuracy(&mut self, batches: &[Batch]) -> [f64; G] {
        let mut right = [0_u32; G];
        for batch in batches {
            self.first(batch);
            for (g, right) in right.iter_mut().enumerate() {
                self.upper(g, None);
                let level = self.level;
                for (tile, labels) in self.predictions[g].tiles.iter().zip(batch.labels.chunks(LANES)) {
                    let classes = dispatch!(level, simd => forward::classes(simd, tile));
                    let hits = labels.iter().zip(classes).filter(|(label, class)| **label == *class as u8);
                    *right += hits.count() as u32;
                }
            }
        }
        let images: usize = batches.iter().map(Batch::len).sum();
        right.map(|right| f64::from(right) / images as f64)
    }

    fn first(&mut self, batch: &Batch) {
        let Self { level, w1, upper, h1, .. } = self;
        h1.resize(batch.len(), Rows1([[0.0; H1]; G]));
        dispatch!(*level, simd => forward::first(simd, batch, w1, upper, h1));
    }

    fn upper(&mut self, g: usize, mask: Option<&[Row2]>) {
        let Self { level, upper, h1, predictions, .. } = self;
        let Predictions { h2, tiles, .. } = &mut predictions[g];
        h2.resize(h1.len(), [0.0; H2]);
        tiles.resize(h1.len().div_ceil(LANES), Tile([[0.0; LANES]; CLASSES]));
        if !h1.is_empty() {
            dispatch!(*level, simd => forward::upper(simd, g, &upper[g], h1, mask, h2, tiles));
        }
    }

    fn softmax(&mut self, g: usize, batch: &Batch) {
        let level = self.level;
        let Predictions { tiles, loss, entropy, .. } = &mut self.predictions[g];
        loss.resize(batch.len(), 0.0);
        entropy.resize(batch.len(), 0.0);
        let parts = batch.labels.chunks(LANES).zip(loss.chunks_mut(LANES)).zip(entropy.chunks_mut(LANES));
        dispatch!(level, simd => {
            for (tile, ((labels, loss), entropy)) in tiles.iter_mut().zip(parts) {
                let mut own = [0.0; LANES];
                own.iter_mut().zip(labels).for_each(|(own, label)| *own = f32::from(*label));
                let [losses, entropies] = softmax::softmax(simd, tile, &own);
                loss.copy_from_slice(&losses[..loss.len()]);
                entropy.copy_from_slice(&entropies[..entropy.len()]);
            }
        });
    }
}

/// Dropout masks, which multiply the hidden units of each image: 0, or 1/(1 − rate).
#[derive(Clone, Debug, Default)]
pub struct Dropout {
    /// First hidden layer.
    pub h1: Vec<Row1>,
    /// Second hidden layer.
    pub h2: Vec<Row2>,
}
