//! The key-value cache of a growing sequence, for any device; [`Decoder`](super::Decoder) is faster on CPUs that have
//! it.

use tch::{Device, Kind, Tensor};

use super::Model;
use crate::layers::Pass;
use tokensieve_kernels::{Attention, Heads, Held, Layout, Sequence, upload};

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

/// A sequence's cache and the tokens that follow those in it.
pub(crate) type Piece<'p> = (&'p mut Cache, &'p [u32]);

impl Model {
    /// The hidden states `[T, D]` after the last norm of tokens that continue cached sequences, one sequence after the
    /// other. Adds their keys and values to the caches. The tokens share every product with a weight, and only attention
    /// is each sequence's own.
    pub fn forward_cached(&self, pieces: &mut [Piece]) -> Tensor {
        let mut spans = Vec::with_capacity(pieces.len());
        let mut row = 0;
        for (cache, tokens) in &mut *pieces {
            cache.reserve(tokens.len());
            spans.push(Span { row, before: cache.tokens as i64, new: tokens.len() as i64 });
            row += tokens.len() as i64;
        }
        let ids: Vec<i64> =
            pieces.iter().flat_map(|(_, tokens)| *tokens).map(|token| i64::from(*token)).collect();
        let layout = Layout { prefix: 0, lengths: spans.iter().map(|span| span.new as usize).collect() };
        let (cos, sin) = self.angles_of(&spans, &layout);
        let pass = Pass { layout, cos, sin, dropout: None, output_rows: None };

        let sequences: Vec<Sequence> = pieces
            .iter()
            .map(|(cache, tokens)| Sequence {
                layers: &cache.layers,
                before: cache.tokens,
                new: tokens.len(),
            })
            .collect();
        let held = Held::new(&sequences, self.device);
        let mut hidden = self.embed(&upload(&ids, self.device));
        for (index, layer) in self.layers.iter().enumerate() {
            let attend = |qkv: &Tensor, out: &Tensor| {
                if held.as_ref().and_then(|held| held.attend(qkv, index, &layer.attention, out)).is_some() {
                    return Tensor::new();
                }
                for (span, (cache, _)) in spans.iter().zip(&*pieces) {
                    span.attend(qkv, &cache.layers[index], &layer.attention, out);
                }
                Tensor::new()
            };
            hidden = layer.forward_attending(&hidden, &pass, false, attend).0;
        }
        for (cache, tokens) in pieces {
            cache.tokens += tokens.len();
        }
        self.norm.forward(&hidden).0
    }

    fn angles_of(&self, spans: &[Span], layout: &Layout) -> (Tensor, Tensor) {
        let positions = |span: &Span| span.before..span.before + span.new;
        let upload = |positions: Vec<i64>| upload(&positions, self.device);
        if self.rotary.long_from().is_none() {
            return self.rotary.angles(&upload(spans.iter().flat_map(positions).collect()), layout, 0);
        }
        // What precedes a sequence's new tokens decides which frequencies they have.
        let of = |span: &Span| {
            let layout = Layout { prefix: 0, lengths: vec![span.new as usize] };
            self.rotary.angles(&upload(positions(span).collect()), &layout, span.before as usize)
        };
        let (cos, sin): (Vec<Tensor>, Vec<Tensor>) = spans.iter().map(of).unzip();
        (Tensor::cat(&cos, 0), Tensor::cat(&sin, 0))
    }
}

/// Where a sequence's tokens stand: rows of the pass from `row` on, `before` of them in its cache.
struct Span {
    row: i64,
    before: i64,
    new: i64,
}

impl Span {
    /// Takes up the rows' keys and values and writes their attention.
    fn attend(&self, qkv: &Tensor, held: &Tensor, how: &Attention, out: &Tensor) {
        let Heads { queries, keys, dim } = how.heads;
        let (queries, both) = ((queries * dim) as i64, (2 * keys * dim) as i64);
        let own = qkv.narrow(0, self.row, self.new);
        held.narrow(0, self.before, self.new).copy_(&own.narrow(1, queries, both));
        let held = held.narrow(0, 0, self.before + self.new);
        attend(&own.narrow(1, 0, queries), &held, how, &out.narrow(0, self.row, self.new));
    }
}

/// Attention of the last tokens' queries `[t, H·K]` over all `[S, 2·G·K]`, on a CPU in f32: libtorch's products of bf16
/// are slow there, and would round scores to 8 bits.
fn attend(queries: &Tensor, held: &Tensor, how: &Attention, out: &Tensor) {
    let kind = if held.device() == Device::Cpu { Kind::Float } else { held.kind() };
    let (queries, held) = (queries.to_kind(kind), held.to_kind(kind));
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
    // The last token sees all that there are, but for a window.
    if new > 1 || how.window.is_some_and(|window| all > window as i64) {
        let positions = Tensor::arange(all, (Kind::Int64, held.device()));
        let behind = positions.narrow(0, all - new, new).unsqueeze(1) - positions.unsqueeze(0);
        let mut hidden = behind.lt(0);
        if let Some(window) = how.window {
            hidden = hidden.logical_or(&behind.ge(window as i64));
        }
        scores = scores.view([g, h / g, new, all]).masked_fill(&hidden, f64::NEG_INFINITY);
    }
    let probabilities = scores.softmax(-1, Kind::Float).to_kind(kind);
    let result = probabilities.view([g, h / g * new, all]).matmul(&values);
    let result = result.view([g, h / g, new, dim]).permute([2, 0, 1, 3]).reshape([new, h * dim]);
    out.shallow_clone().copy_(&result);
}
