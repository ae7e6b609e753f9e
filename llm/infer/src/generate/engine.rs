//! The forward pass of generation: tokens in, logits out, with keys and values cached in slots.

use half::bf16;
use tch::{Device, Kind, Tensor, no_grad};

use tokensieve_kernels::decode::{KeysValues, Number};
use tokensieve_model::{Cache, Decoder, Model};

/// The model, in the form that is fastest on this machine.
#[derive(Debug)]
pub(super) enum Engine<'a> {
    /// The forward pass with caches in libtorch's operators, on any machine.
    Plain(&'a Model),
    /// The batched decoder in f32.
    F32(Decoder<'a, f32>),
    /// The batched decoder in bf16.
    Bf16(Decoder<'a, bf16>),
}

/// The cached keys and values of one sequence.
#[derive(Debug)]
pub(super) enum Slot {
    Plain(Cache),
    Decoder(KeysValues),
}

/// A slot and its next tokens, at least one.
pub(super) type Piece<'p> = (&'p mut Slot, &'p [u32]);

impl<'a> Engine<'a> {
    pub(super) fn new(model: &'a Model, merge: bool) -> Self {
        if model.supports_decoder() {
            return no_grad(|| match model.kind() {
                Kind::Float => Self::F32(Decoder::new(model, merge)),
                _ => Self::Bf16(Decoder::new(model, merge)),
            });
        }
        Self::plain(model)
    }

    pub(super) fn plain(model: &'a Model) -> Self {
        Self::Plain(model)
    }

    /// An empty slot.
    pub(super) fn slot(&self) -> Slot {
        match self {
            Self::Plain(model) => Slot::Plain(Cache::new(model, 64)),
            Self::F32(decoder) => Slot::Decoder(decoder.keys_values()),
            Self::Bf16(decoder) => Slot::Decoder(decoder.keys_values()),
        }
    }

    /// Runs the tokens of each slot through the model; writes the logits after its last token, `[pieces, V]`.
    pub(super) fn feed(&self, pieces: Vec<Piece>, logits: &mut Vec<f32>) {
        no_grad(|| match self {
            Self::Plain(model) => feed_plain(model, pieces, logits),
            Self::F32(decoder) => feed(decoder, pieces, logits),
            Self::Bf16(decoder) => feed(decoder, pieces, logits),
        });
    }
}

fn feed_plain(model: &Model, pieces: Vec<Piece>, logits: &mut Vec<f32>) {
    fn own((slot, tokens): Piece<'_>) -> (&mut Cache, &[u32]) {
        let Slot::Plain(cache) = slot else { unreachable!("an engine only gets its own slots") };
        (cache, tokens)
    }
    let ends = pieces.iter().scan(0, |end, (_, tokens)| {
        *end += tokens.len() as i64;
        Some(*end - 1)
    });
    let last = Tensor::from_slice(&ends.collect::<Vec<_>>()).to_device(model.device());
    let mut pieces: Vec<(&mut Cache, &[u32])> = pieces.into_iter().map(own).collect();
    let hidden = model.forward_cached(&mut pieces).index_select(0, &last);
    let rows = model.unembedding().logits(&hidden).to_device(Device::Cpu);
    *logits = Vec::try_from(rows.flatten(0, -1)).expect("f32");
}

fn feed<N: Number>(decoder: &Decoder<'_, N>, pieces: Vec<Piece>, logits: &mut Vec<f32>) {
    fn own((slot, tokens): Piece<'_>) -> (&mut KeysValues, &[u32]) {
        match slot {
            Slot::Decoder(held) => (held, tokens),
            Slot::Plain(_) => unreachable!("an engine only gets its own slots"),
        }
    }
    decoder.feed(pieces.into_iter().map(own).collect(), logits);
}

impl Slot {
    /// Drops all but the first `tokens` tokens.
    pub(super) fn truncate(&mut self, tokens: usize) {
        match self {
            Self::Plain(cache) => cache.truncate(tokens),
            Self::Decoder(held) => held.truncate(tokens),
        }
    }

    /// Copies the content of another slot; returns its number of tokens.
    pub(super) fn copy_from(&mut self, other: &Self) -> usize {
        match (self, other) {
            (Self::Plain(cache), Self::Plain(other)) => {
                cache.copy_from(other);
                cache.tokens()
            }
            (Self::Decoder(held), Self::Decoder(other)) => {
                held.copy_from(other);
                held.tokens()
            }
            _ => unreachable!("both slots belong to one engine"),
        }
    }
}
