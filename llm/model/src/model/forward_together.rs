//! The forward pass of several small packs together, for larger and therefore faster matrix products.

use std::ops::Range;

use tch::Tensor;

use super::Model;
use crate::Pack;
use crate::layers::{OutputRows, Pass};
use tokensieve_kernels as kernels;
use tokensieve_kernels::Layout;

impl Model {
    /// The hidden states of several packs, concatenated, with the values that [`Model::forward`] computes for each.
    /// Where a pack has a prefix, attention, the only part that reads other tokens, is computed pack by pack.
    pub fn forward_together(&self, packs: &[Pack]) -> Tensor {
        if let [pack] = packs {
            return self.forward(pack);
        }
        let tokens: Vec<&Tensor> = packs.iter().map(|pack| &pack.tokens).collect();
        let angles = packs.iter().map(|pack| self.rotary.angles(&pack.positions, &pack.layout, 0));
        let (cos, sin): (Vec<Tensor>, Vec<Tensor>) = angles.unzip();
        let lengths = packs.iter().map(|pack| pack.layout.tokens()).collect();
        let layout = Layout { prefix: 0, lengths };
        let of_pack = |(pack, range): (&Pack, Range<usize>)| {
            Some(pack.output_rows.as_ref()?.iter().map(|row| range.start as i64 + row).collect::<Vec<_>>())
        };
        let rows: Option<Vec<Vec<i64>>> = packs.iter().zip(layout.ranges()).map(of_pack).collect();
        let output_rows =
            rows.map(|rows| OutputRows::new(self.layers.len(), rows.concat(), None, self.device));
        let (cos, sin) = (Tensor::cat(&cos, 0), Tensor::cat(&sin, 0));
        let pass = Pass { layout, cos, sin, dropout: None, output_rows };

        // Without prefixes, attention can treat all packs as one.
        let lengths = || packs.iter().flat_map(|pack| pack.layout.lengths.iter().copied()).collect();
        let documents = packs
            .iter()
            .all(|pack| pack.layout.prefix == 0)
            .then(|| Layout { prefix: 0, lengths: lengths() });
        let mut hidden = self.embed(&Tensor::cat(&tokens, 0));
        for layer in &self.layers {
            let attend = |qkv: &Tensor, out: &Tensor| {
                if let Some(documents) = &documents {
                    return kernels::attention(qkv, documents, &layer.attention, None, out);
                }
                for (pack, range) in packs.iter().zip(pass.layout.ranges()) {
                    let of = |tensor: &Tensor| tensor.narrow(0, range.start as i64, range.len() as i64);
                    let _ = kernels::attention(&of(qkv), &pack.layout, &layer.attention, None, &of(out));
                }
                Tensor::new()
            };
            hidden = layer.forward_attending(&hidden, &pass, false, attend).0;
        }
        self.norm.forward(&hidden).0
    }
}
