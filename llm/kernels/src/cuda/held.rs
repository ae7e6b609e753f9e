//! Attention of new tokens over the keys and values that their sequences hold.

use std::marker::PhantomData;

use tch::{Device, Kind, Tensor};

use super::argument::Argument::Number;
use super::driver::Target;
use super::rows::{LANES, Rows, integer, pointer};
use crate::shape::{Attention, Heads};
use crate::upload::upload;

/// A block's threads, and dimensions of a head that they can add up, as `kernels.cu` has them.
const THREADS: usize = 128;
const DIMENSIONS: usize = 512;

/// A sequence with room for new tokens.
#[derive(Clone, Copy, Debug)]
pub struct Sequence<'s> {
    /// For each layer `[room, 2·G·K]`: a token's keys, then its values.
    pub layers: &'s [Tensor],
    /// How many tokens it holds.
    pub before: usize,
    /// How many follow, rows of the pass.
    pub new: usize,
}

/// The sequences of a pass' rows, for every layer, where they lie on a GPU.
#[derive(Debug)]
pub struct Held<'s> {
    /// Addresses, i64 `[layers, T]`.
    places: Tensor,
    /// How many tokens a row sees, i64 `[T]`.
    seen: Tensor,
    kind: Kind,
    width: i64,
    sequences: PhantomData<&'s Tensor>,
}

impl<'s> Held<'s> {
    /// `None` where no kernel reads them: not on this device, or in another layout.
    ///
    /// # Panics
    /// If a sequence has no room for its new tokens.
    pub fn new(sequences: &[Sequence<'s>], device: Device) -> Option<Self> {
        let first = sequences.first()?.layers.first()?;
        let (kind, width) = (first.kind(), first.size()[1]);
        Target::of(first)?;
        let layers = sequences[0].layers.len();
        let mut places = Vec::new();
        for layer in 0..layers {
            for Sequence { layers, before, new } in sequences {
                let layer = &layers[layer];
                Rows::of(layer)?;
                let fits = layer.size()[0] as usize >= before + new && layer.is_contiguous();
                assert!(fits && (layer.kind(), layer.size()[1]) == (kind, width), "room for the new tokens");
                places.extend(std::iter::repeat_n(layer.data_ptr() as i64, *new));
            }
        }
        let seen = sequences.iter().flat_map(|s| (s.before..s.before + s.new).map(|place| place as i64 + 1));
        Some(Self {
            places: upload(&places, device).view([layers as i64, -1]),
            seen: upload(&seen.collect::<Vec<_>>(), device),
            kind,
            width,
            sequences: PhantomData,
        })
    }

    /// Takes up a layer's new keys and values, which `qkv` (`[T, (H+2G)·K]`) has, and writes the rows' attention into `out`
    /// (`[T, H·K]`). `None`, and nothing done, where no kernel applies.
    ///
    /// # Panics
    /// If the tensors' sizes are not those.
    pub fn attend(&self, qkv: &Tensor, layer: usize, how: &Attention, out: &Tensor) -> Option<()> {
        let target = Target::of(qkv)?;
        let Heads { queries, keys, dim } = how.heads;
        let (rows, into) = (Rows::of(qkv)?, Rows::of(out)?);
        if dim > DIMENSIONS || !dim.is_multiple_of(LANES) || qkv.kind() != self.kind {
            return None;
        }
        assert_eq!((rows.columns, into.columns), (how.heads.width(), queries * dim));
        assert_eq!((rows.count as i64, into.count), (self.seen.size()[0], rows.count), "a sequence per row");
        assert_eq!(self.width, (2 * keys * dim) as i64);
        let (places, seen) = (self.places.get(layer as i64), pointer(&self.seen));
        let own =
            [rows.argument(), integer(queries * dim), pointer(&places), seen, integer(keys), integer(dim)];
        target.run("take_up", rows.count, 2 * keys * dim, &own);
        let all = [
            rows.argument(),
            into.argument(),
            pointer(&places),
            seen,
            integer(queries),
            integer(keys),
            integer(dim),
            integer(how.window.unwrap_or(0)),
            Number(how.scale as f32),
            Number(how.soft_cap.unwrap_or(0.0) as f32),
        ];
        target.run("attend_held", rows.count * queries, THREADS * LANES, &all);
        Some(())
    }
}
