//! What all layers of a pass share: where its documents lie, what is dropped, which rows are asked for.

use tch::{Device, Tensor};

use super::dropout::{Dropout, Place};
use tokensieve_kernels::Layout;
use tokensieve_kernels::Mask;
use tokensieve_kernels::upload;

/// Slots of the dropout masks; attention's own is the first too.
pub(super) const QKV: u32 = 0;
pub(super) const OUTPUT: u32 = 1;
pub(super) const GATE_UP: u32 = 2;
pub(super) const DOWN: u32 = 3;

/// What all layers of a pass share.
#[derive(Debug)]
pub(super) struct Pass {
    pub(super) layout: Layout,
    /// f32 `[T, r/2]`.
    pub(super) cos: Tensor,
    pub(super) sin: Tensor,
    pub(super) dropout: Option<Dropout>,
    pub(super) asked: Option<Asked>,
}

/// The rows that are asked for, where those are not all: behind the last layer's attention no row reads another, so
/// there only they go on.
#[derive(Debug)]
pub(super) struct Asked {
    layer: u32,
    rows: Vec<i64>,
    /// The same on the device.
    index: Tensor,
    dropout: Option<Dropout>,
}

/// What [`Pass::keep`] left.
pub(super) struct Left {
    /// Rows of the pack.
    pub(super) rows: Tensor,
    /// Which of the rows asked for.
    pub(super) asked: Tensor,
}

impl Asked {
    pub(super) fn new(layers: usize, rows: Vec<i64>, dropout: Option<&Dropout>, device: Device) -> Self {
        let index = upload(&rows, device);
        Self { layer: layers as u32 - 1, dropout: dropout.map(|dropout| dropout.of_rows(&rows)), rows, index }
    }

    /// The same where of the pack only some rows are left; and which of them are.
    fn among(&self, left: &[i64], device: Device) -> (Self, Vec<i64>) {
        let at = |(i, row): (usize, &i64)| Some((i as i64, left.binary_search(row).ok()? as i64));
        let (which, rows): (Vec<i64>, Vec<i64>) = self.rows.iter().enumerate().filter_map(at).unzip();
        let dropout = self.dropout.as_ref().map(|dropout| dropout.of_rows(&which));
        let index = upload(&rows, device);
        (Self { layer: self.layer, rows, index, dropout }, which)
    }

    pub(super) fn of(&self, all: &Tensor) -> Tensor {
        all.index_select(0, &self.index)
    }

    /// The other way round: zeros where nothing was asked for.
    pub(super) fn spread(&self, asked: &Tensor, rows: i64) -> Tensor {
        let mut all = Tensor::zeros([rows, asked.size()[1]], (asked.kind(), asked.device()));
        let _ = all.index_copy_(0, &self.index, asked);
        all
    }
}

impl Pass {
    /// Leaves only the prefix and the kept documents; `None` if all are kept.
    pub(super) fn keep(&mut self, kept: &[bool], device: Device) -> Option<Left> {
        if kept.iter().all(|kept| *kept) {
            return None;
        }
        let own = || self.layout.ranges().zip(kept).filter(|(_, kept)| **kept).map(|(range, _)| range);
        let lengths: Vec<usize> = own().map(|range| range.len()).collect();
        let prefix = if lengths.is_empty() { 0 } else { self.layout.prefix };
        let rows: Vec<i64> = (0..prefix).chain(own().flatten()).map(|row| row as i64).collect();
        self.layout = Layout { prefix, lengths };
        self.dropout = self.dropout.as_ref().map(|dropout| dropout.of_rows(&rows));
        let asked = self.asked.as_ref().map(|asked| asked.among(&rows, device));
        let rows = upload(&rows, device);
        self.cos = self.cos.index_select(0, &rows);
        self.sin = self.sin.index_select(0, &rows);
        let (asked, which) = asked.unzip();
        self.asked = asked;
        let asked = which.map_or_else(|| rows.shallow_clone(), |which| upload(&which, device));
        Some(Left { rows, asked })
    }

    /// The rows that go on behind a layer's attention, if not all do.
    pub(super) fn asked(&self, layer: u32) -> Option<&Asked> {
        self.asked.as_ref().filter(|asked| asked.layer == layer)
    }

    /// Of what enters a projection's adapters.
    pub(super) fn mask(&self, layer: u32, slot: u32) -> Option<Mask> {
        self.mask_at(Place::Lora, layer, slot)
    }

    pub(super) fn mask_at(&self, place: Place, layer: u32, slot: u32) -> Option<Mask> {
        let asked = if slot == QKV { None } else { self.asked(layer) };
        let dropout = asked.map_or(&self.dropout, |asked| &asked.dropout);
        dropout.as_ref()?.mask(place, layer, slot)
    }
}
