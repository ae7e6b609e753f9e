//! The key-value cache of a growing sequence, for any device; [`Decoder`](super::Decoder) is faster on CPUs that have
//! it.

use tch::{Kind, Tensor};

use super::Model;
use crate::layers::Pass;
use tokensieve_kernels::Layout;
use tokensieve_kernels::upload;
use tokensieve_kernels::{Attention, Heads};

/// The keys and values of one sequence's tokens so far, for every layer.
#[derive(Debug)]
pub struct Cache {
    /// For each layer `[capacity, 2·G·K]`: a token's keys, then its values.
    layers: Vec<Tensor>,
    tokens: usize,
}

impl Cache {
    /// An empty cache with capacity for `tokens`; it grows when needed.
    pub fn new(model: &Model, tokens: usize) -> Self {
        let width = 2 * model.config.kv_heads * model.config.head_dim;
        let room = || Tensor::empty([tokens as i64, width], (model.kind, model.device));
        Self { layers: model.layers.iter().map(|_| room()).collect(), tokens: 0 }
    }

    /// The number of tokens in the cache.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// Drops all but the first `tokens`.
    pub fn truncate(&mut self, tokens: usize) {
        self.tokens = self.tokens.min(tokens);
    }

    /// Copies the contents of another cache of the same model.
    pub fn copy_from(&mut self, other: &Self) {
        self.layers = other.layers.iter().map(Tensor::copy).collect();
        self.tokens = other.tokens;
    }

    /// Makes room for `more` further tokens.
    fn reserve(&mut self, more: usize) {
        let needed = (self.tokens + more) as i64;
        for layer in &mut self.layers {
            let [room, width] = layer.size()[..] else { unreachable!("a matrix") };
            if room < needed {
                // Doubled each time, so that copying stays a constant share of the work.
                let larger = Tensor::empty([needed.max(2 * room), width], (layer.kind(), layer.device()));
                let held = self.tokens as i64;
                larger.narrow(0, 0, held).copy_(&layer.narrow(0, 0, held));
                *layer = larger;
            }
        }
    }
}

impl Model {
    /// The hidden states `[T, D]` after the last norm of tokens that continue the cached sequence. Adds their keys and
    /// values to the cache.
    pub fn forward_cached(&self, tokens: &[u32], cache: &mut Cache) -> Tensor {
        cache.reserve(tokens.len());
        let (before, end) = (cache.tokens as i64, (cache.tokens + tokens.len()) as i64);
        let ids: Vec<i64> = tokens.iter().map(|token| i64::from(*token)).collect();
        let positions = Tensor::arange_start(before, end, (Kind::Int64, self.device));
        let layout = Layout { prefix: 0, lengths: vec![tokens.len()] };
        let (cos, sin) = self.rotary.angles(&positions, &layout, cache.tokens);
        let pass = Pass { layout, cos, sin, dropout: None, output_rows: None };

        let mut hidden = self.embed(&upload(&ids, self.device));
        for (layer, held) in self.layers.iter().zip(&cache.layers) {
            let how = layer.attention();
            let attend = |qkv: &Tensor, out: &Tensor| {
                let Heads { queries, keys, dim } = how.heads;
                let new = qkv.narrow(1, (queries * dim) as i64, (2 * keys * dim) as i64);
                held.narrow(0, before, end - before).copy_(&new);
                attend(&qkv.narrow(1, 0, (queries * dim) as i64), &held.narrow(0, 0, end), how, out);
                Tensor::new()
            };
            hidden = layer.forward_attending(&hidden, &pass, false, attend).0;
        }
        cache.tokens += tokens.len();
        self.norm.forward(&hidden).0
    }
}

/// Attention of the last t tokens' queries `[t, H·K]` over all S tokens' keys and values `[S, 2·G·K]`.
fn attend(queries: &Tensor, held: &Tensor, how: &Attention, out: &Tensor) {
    let Heads { queries: h, keys: g, dim } = how.heads;
    let (h, g, dim) = (h as i64, g as i64, dim as i64);
    let (new, all) = (queries.size()[0], held.size()[0]);
    let q = queries.unflatten(1, [g, h / g, dim]).permute([1, 2, 0, 3]).reshape([g, h / g * new, dim]);
    let of = |first: i64| held.narrow(1, first * g * dim, g * dim).unflatten(1, [g, dim]).transpose(0, 1);
    let (keys, values) = (of(0), of(1));
    let mut scores = q.matmul(&keys.transpose(1, 2)).to_kind(Kind::Float) * how.scale;
    if let Some(cap) = how.soft_cap {
        scores = (scores / cap).tanh() * cap;
    }
    let positions = Tensor::arange(all, (Kind::Int64, held.device()));
    let behind = positions.narrow(0, all - new, new).unsqueeze(1) - positions.unsqueeze(0);
    let mut hidden = behind.lt(0);
    if let Some(window) = how.window {
        hidden = hidden.logical_or(&behind.ge(window as i64));
    }
    let scores = scores.view([g, h / g, new, all]).masked_fill(&hidden, f64::NEG_INFINITY);
    let probabilities = scores.softmax(-1, Kind::Float).to_kind(held.kind());
    let result = probabilities.view([g, h / g * new, all]).matmul(&values);
    let result = result.view([g, h / g, new, dim]).permute([2, 0, 1, 3]).reshape([new, h * dim]);
    out.shallow_clone().copy_(&result);
}
