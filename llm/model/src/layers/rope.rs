//! Rotary position embedding: cosines and sines for each token, computed in f32 as in `transformers`.

use std::f64::consts::PI;

use tch::{Device, Kind, Tensor};

use crate::config::{Rope, RopeScaling};
use tokensieve_kernels::{Layout, upload};

/// The frequencies of a model's rotary embedding.
#[derive(Debug)]
pub(crate) struct Rotary {
    /// f32 `[r/2]`.
    frequencies: Tensor,
    /// Longrope: the frequencies of documents longer than pre-training's sequences, and that length.
    long: Option<(Tensor, usize)>,
    /// Factor on cosine and sine.
    factor: f64,
}

impl Rotary {
    pub(crate) fn new(rope: &Rope, device: Device) -> Self {
        let exponents = Tensor::arange_start_step(0, rope.dimensions, 2, (Kind::Float, Device::Cpu))
            / rope.dimensions as f64;
        let powers = Tensor::pow_scalar(rope.theta, &exponents);
        let plain = powers.reciprocal();
        let (frequencies, long, factor) = match &rope.scaling {
            RopeScaling::None => (plain, None, 1.0),
            RopeScaling::Linear { factor } => (plain / *factor, None, 1.0),
            RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original } => {
                (llama3(&plain, *factor, *low_freq_factor, *high_freq_factor, *original), None, 1.0)
            }
            RopeScaling::Divisors(divisors) => {
                (plain / Tensor::from_slice(divisors).to_kind(Kind::Float), None, 1.0)
            }
            RopeScaling::Long { short, long, original, attention_factor } => {
                let divided =
                    |by: &[f64]| (Tensor::from_slice(by).to_kind(Kind::Float) * &powers).reciprocal();
                let long = divided(long).to_device(device);
                (divided(short), Some((long, *original as usize)), *attention_factor)
            }
        };
        Self { frequencies: frequencies.to_device(device), long, factor }
    }

    /// Longrope: the length beyond which documents have other frequencies.
    pub(crate) fn long_from(&self) -> Option<usize> {
        self.long.as_ref().map(|(_, original)| *original)
    }

    /// Cosines and sines, f32 `[T, r/2]`, of tokens at `positions`, arranged as in `layout`, after `before` tokens in a
    /// cache.
    ///
    /// Where long documents have other frequencies, the length of each document decides for its rows, so that its
    /// result does not depend on its neighbours. With a shared prefix, whose rows can have only one set of
    /// frequencies, the longest document decides for all.
    pub(crate) fn angles(&self, positions: &Tensor, layout: &Layout, before: usize) -> (Tensor, Tensor) {
        let positions = positions.to_kind(Kind::Float).unsqueeze(1);
        let angles = match self.long_rows(layout, before) {
            LongRows::None => positions * &self.frequencies,
            LongRows::All(long) => positions * long,
            LongRows::Some(long, rows) => {
                let rows = upload(&rows, positions.device()).unsqueeze(1);
                positions * long.where_self(&rows, &self.frequencies)
            }
        };
        (angles.cos() * self.factor, angles.sin() * self.factor)
    }

    fn long_rows(&self, layout: &Layout, before: usize) -> LongRows<'_> {
        let Some((long, original)) = &self.long else { return LongRows::None };
        let is_long = |own: &usize| before + layout.prefix + own > *original;
        if !layout.lengths.iter().any(is_long) {
            LongRows::None
        } else if layout.prefix > 0 || layout.lengths.iter().all(is_long) {
            LongRows::All(long)
        } else {
            let rows =
                layout.lengths.iter().flat_map(|own| std::iter::repeat_n(is_long(own), *own)).collect();
            LongRows::Some(long, rows)
        }
    }
}

/// Which rows use the frequencies of long documents.
enum LongRows<'a> {
    None,
    All(&'a Tensor),
    Some(&'a Tensor, Vec<bool>),
}

/// Llama 3.1's scaling, see [`RopeScaling::Llama3`].
fn llama3(frequencies: &Tensor, factor: f64, low: f64, high: f64, original: f64) -> Tensor {
    let wavelengths = frequencies.reciprocal() * (2.0 * PI);
    let is_long = wavelengths.gt(original / low);
    let stretched = (frequencies / factor).where_self(&is_long, frequencies);
    let smooth = (wavelengths.reciprocal() * original - low) / (high - low);
    let ramp: Tensor = (1.0 - &smooth) * &stretched / factor + smooth * &stretched;
    let is_between = wavelengths.ge(original / high).logical_and(&is_long.logical_not());
    ramp.where_self(&is_between, &stretched)
}
