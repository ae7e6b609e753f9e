//! What all layers share in one pass through the model: the layout of the documents, dropout, and the output rows.

use tch::{Device, Tensor};

use super::dropout::{Dropout, DropoutSite};
use tokensieve_kernels::{Layout, Mask, upload};

/// Index of each projection among a layer's dropout masks; attention's own mask has index 0 as well.
pub(crate) const QKV: u32 = 0;
pub(crate) const OUTPUT: u32 = 1;
pub(crate) const GATE_UP: u32 = 2;
pub(crate) const DOWN: u32 = 3;

/// What all layers share in one forward or backward pass.
#[derive(Debug)]
pub(crate) struct Pass {
    pub(crate) layout: Layout,
    /// f32 `[T, r/2]`.
    pub(crate) cos: Tensor,
    pub(crate) sin: Tensor,
    pub(crate) dropout: Option<Dropout>,
    /// `None`: all rows.
    pub(crate) output_rows: Option<OutputRows>,
}

/// The rows whose hidden states leave the model, where those are not all rows. After the last layer's attention no row
/// reads another, so only these are computed from there on.
#[derive(Debug)]
pub(crate) struct OutputRows {
    /// The last layer.
    layer: u32,
    rows: Vec<i64>,
    /// `rows` on the device.
    index: Tensor,
    dropout: Option<Dropout>,
}

/// Which rows of the forward pass [`Pass::keep_documents`] has kept for the backward pass.
pub(crate) struct KeptRows {
    /// Indices among the rows of the pack.
    pub(crate) rows: Tensor,
    /// Indices among the output rows.
    pub(crate) outputs: Tensor,
}

impl OutputRows {
    fn shallow_clone(&self) -> Self {
        let (rows, dropout) = (self.rows.clone(), self.dropout.clone());
        Self { layer: self.layer, rows, index: self.index.shallow_clone(), dropout }
    }

    pub(crate) fn new(layers: usize, rows: Vec<i64>, dropout: Option<&Dropout>, device: Device) -> Self {
        let index = upload(&rows, device);
        Self { layer: layers as u32 - 1, dropout: dropout.map(|dropout| dropout.of_rows(&rows)), rows, index }
    }

    /// The output rows that are among the `kept` rows of the pack, renumbered, and their indices among the output rows
    /// before.
    fn among(&self, kept: &[i64], device: Device) -> (Self, Vec<i64>) {
        let at = |(i, row): (usize, &i64)| Some((i as i64, kept.binary_search(row).ok()? as i64));
        let (which, rows): (Vec<i64>, Vec<i64>) = self.rows.iter().enumerate().filter_map(at).unzip();
        let dropout = self.dropout.as_ref().map(|dropout| dropout.of_rows(&which));
        let index = upload(&rows, device);
        (Self { layer: self.layer, rows, index, dropout }, which)
    }

    /// The output rows of a tensor with all rows.
    pub(crate) fn select(&self, all: &Tensor) -> Tensor {
        all.index_select(0, &self.index)
    }

    /// The adjoint of [`OutputRows::select`]: a tensor with all rows, zero except in the output rows.
    pub(crate) fn scatter(&self, outputs: &Tensor, rows: i64) -> Tensor {
        let mut all = Tensor::zeros([rows, outputs.size()[1]], (outputs.kind(), outputs.device()));
        let _ = all.index_copy_(0, &self.index, outputs);
        all
    }
}

impl Pass {
    /// The same pass, for another backward pass.
    pub(crate) fn shallow_clone(&self) -> Self {
        Self {
            layout: self.layout.clone(),
            cos: self.cos.shallow_clone(),
            sin: self.sin.shallow_clone(),
            dropout: self.dropout.clone(),
            output_rows: self.output_rows.as_ref().map(OutputRows::shallow_clone),
        }
    }

    /// Keeps the rows of the prefix and of the `kept` documents; `None` if all documents are kept.
    pub(crate) fn keep_documents(&mut self, kept: &[bool], device: Device) -> Option<KeptRows> {
        if kept.iter().all(|kept| *kept) {
            return None;
        }
        let own = || self.layout.ranges().zip(kept).filter(|(_, kept)| **kept).map(|(range, _)| range);
        let lengths: Vec<usize> = own().map(|range| range.len()).collect();
        let prefix = if lengths.is_empty() { 0 } else { self.layout.prefix };
        let rows: Vec<i64> = (0..prefix).chain(own().flatten()).map(|row| row as i64).collect();
        self.layout = Layout { prefix, lengths };
        self.dropout = self.dropout.as_ref().map(|dropout| dropout.of_rows(&rows));
        let output_rows = self.output_rows.as_ref().map(|outputs| outputs.among(&rows, device));
        let rows = upload(&rows, device);
        self.cos = self.cos.index_select(0, &rows);
        self.sin = self.sin.index_select(0, &rows);
        let (output_rows, which) = output_rows.unzip();
        self.output_rows = output_rows;
        let outputs = which.map_or_else(|| rows.shallow_clone(), |which| upload(&which, device));
        Some(KeptRows { rows, outputs })
    }

    /// The rows that are computed after this layer's attention; `None`: all.
    pub(crate) fn rows_after_attention(&self, layer: u32) -> Option<&OutputRows> {
        self.output_rows.as_ref().filter(|outputs| outputs.layer == layer)
    }

    /// The dropout mask of the inputs of a projection's adapters.
    pub(crate) fn adapter_mask(&self, layer: u32, slot: u32) -> Option<Mask> {
        self.mask(DropoutSite::Lora, layer, slot)
    }

    /// The dropout mask at a site; `slot` is one of the indices above.
    pub(crate) fn mask(&self, site: DropoutSite, layer: u32, slot: u32) -> Option<Mask> {
        let outputs = if slot == QKV { None } else { self.rows_after_attention(layer) };
        let dropout = outputs.map_or(&self.dropout, |outputs| &outputs.dropout);
        dropout.as_ref()?.mask(site, layer, slot)
    }
}
