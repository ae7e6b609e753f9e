//! The transformer: forward and backward passes written by hand, for every family that a [`Config`] describes.
//!
//! The letters of shapes are explained in the documentation of the crate.

mod cache;
mod decoder;
mod forward_together;
mod full_training;
mod unused;

use tch::{Device, Kind, Tensor};

use crate::Adapter;
use crate::Document;
use crate::Pack;
use crate::Parameters;
use crate::Precision;
use crate::Result;
use crate::config::{Config, Rope};
use crate::layers::{Dropout, DropoutSite, KeptRows, Layer, Linear, Norm, OutputRows, Pass, Rotary, Saved};
use crate::modules;
use crate::weights::Checkpoint;
use tokensieve_kernels::{self as kernels, Attention, Int8Weight, Product};

pub use cache::Cache;
pub use decoder::Decoder;

/// A model's weights, with an adapter attached or not.
#[derive(Debug)]
pub struct Model {
    pub(crate) config: Config,
    /// What it computes with.
    pub(crate) kind: Kind,
    /// Whether the layers' matrices are held in four bits.
    pub(crate) nf4: bool,
    pub(crate) device: Device,
    /// `[V, D]`.
    pub(crate) embedding: Tensor,
    /// Output matrix, `[V, D]`. `None`: the embedding (tied weights).
    pub(crate) head: Option<Tensor>,
    pub(crate) layers: Vec<Layer>,
    pub(crate) norm: Norm,
    pub(crate) rotary: Rotary,
    /// Rate of dropout at the inputs of the attached adapter.
    dropout: f64,
}

/// Which activations a forward pass keeps for the backward pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// All that the backward pass needs.
    Everything,
    /// Each layer's input only; the backward pass recomputes the layer (activation checkpointing).
    LayerInputs,
}

/// The activations that [`Model::forward_traced`] has kept for [`Model::backward`].
#[derive(Debug)]
pub struct Trace {
    pass: Pass,
    tokens: Tensor,
    layers: Vec<LayerTrace>,
    /// Input of the last norm.
    last: Tensor,
    inv_rms: Tensor,
}

impl Trace {
    /// The same activations once more: one forward pass then serves several backward passes.
    #[must_use]
    pub fn shallow_clone(&self) -> Self {
        let layer = |layer: &LayerTrace| match layer {
            LayerTrace::Everything(saved) => LayerTrace::Everything(Box::new(saved.shallow_clone())),
            LayerTrace::Input(input) => LayerTrace::Input(input.shallow_clone()),
        };
        Self {
            pass: self.pass.shallow_clone(),
            tokens: self.tokens.shallow_clone(),
            layers: self.layers.iter().map(layer).collect(),
            last: self.last.shallow_clone(),
            inv_rms: self.inv_rms.shallow_clone(),
        }
    }
}

/// The activations kept of one layer.
#[derive(Debug)]
enum LayerTrace {
    Everything(Box<Saved>),
    Input(Tensor),
}

/// The output matrix: logits are hidden·weightᵀ, soft-capped.
#[derive(Clone, Copy, Debug)]
pub struct Unembedding<'a> {
    /// `[V, D]`, in the model's type.
    pub weight: &'a Tensor,
    /// c: logits become c·tanh(logit / c) (Gemma 2).
    pub soft_cap: Option<f64>,
    /// The parameter's name. If all weights are trained, its gradient belongs in `Parameters::gradient(name)`.
    pub name: &'static str,
}

impl Unembedding<'_> {
    /// The logits, f32 `[T, V]`, all at once: for few rows only.
    pub fn logits(&self, hidden_td: &Tensor) -> Tensor {
        // Logits that were rounded to bf16 would make the likeliest tokens equally likely.
        let size = [hidden_td.size()[0], self.weight.size()[0]];
        let logits = Tensor::empty(size, (Kind::Float, hidden_td.device()));
        Product::of(hidden_td, &self.weight.tr()).write(&logits);
        match self.soft_cap {
            Some(cap) => (logits / cap).tanh() * cap,
            None => logits,
        }
    }
}

/// Whether a pack's shared prefix is computed once. Not where a token's angles depend on its document's length, nor
/// with flash attention, which has no shared prefixes and saves more.
fn shares_prefixes(rope: &Rope, how: &Attention, kind: Kind, device: Device) -> bool {
    !rope.depends_on_length() && !kernels::is_flash(device, kind, how)
}

impl Model {
    /// Loads the weights, converted to the type that is computed with (norms stay f32), the layers' matrices to four bits if
    /// that is wanted: then few of them are whole at a time.
    pub fn load(checkpoint: &Checkpoint, precision: impl Into<Precision>, device: Device) -> Result<Self> {
        let precision = precision.into();
        let Precision { kind, nf4 } = precision;
        checkpoint.check_tied()?;
        let config = checkpoint.config().clone();
        let width = [config.vocab_size, config.hidden_size];
        let read = |name: &str| checkpoint.tensor_of(name, &width, kind, device);
        let layer = |index| {
            let layer = Layer::load(checkpoint, &config, index, precision, device);
            checkpoint.release();
            layer
        };
        let model = Self {
            kind,
            nf4,
            device,
            embedding: read(modules::EMBEDDING)?,
            head: if config.tied { None } else { Some(read(modules::HEAD)?) },
            layers: (0..config.layers).map(layer).collect::<Result<_>>()?,
            norm: Norm::load(checkpoint, modules::NORM, config.hidden_size, device)?,
            rotary: Rotary::new(&config.rope, device),
            dropout: 0.0,
            config,
        };
        model.check_all_used(checkpoint)?;
        checkpoint.release();
        Ok(model)
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The numbers that the model is held in and computes with.
    pub fn precision(&self) -> Precision {
        Precision { kind: self.kind, nf4: self.nf4 }
    }

    /// The type that the model computes in.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Truncates the embedding and the output matrix to the vocabulary's first `rows`. Some families pad the vocabulary
    /// differently from model size to model size.
    pub fn truncate_vocabulary(&mut self, rows: i64) {
        self.embedding = self.embedding.narrow(0, 0, rows);
        self.head = self.head.as_ref().map(|head| head.narrow(0, 0, rows));
        self.config.vocab_size = rows;
    }

    /// The device that holds the weights.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Attaches an adapter by copying its present values; `None` leaves the base alone. The copy is cheap enough to be
    /// made after every step, and to switch to a reference adapter and back.
    pub fn attach(&mut self, adapter: Option<&Adapter>) -> Result<()> {
        if let Some(adapter) = adapter {
            adapter.fits(&self.config)?;
        }
        self.dropout = adapter.map_or(0.0, |adapter| adapter.config.dropout);
        for linear in self.layers.iter_mut().flat_map(Layer::linears_mut) {
            linear.attach(adapter);
        }
        Ok(())
    }

    /// The output matrix, from hidden states to logits.
    pub fn unembedding(&self) -> Unembedding<'_> {
        let (weight, name) = match &self.head {
            Some(head) => (head, modules::HEAD),
            None => (&self.embedding, modules::EMBEDDING),
        };
        Unembedding { weight, soft_cap: self.config.final_soft_cap, name }
    }

    /// Whether [`Model::pack`] computes the prefix that all documents share once.
    pub fn shares_prefixes(&self) -> bool {
        shares_prefixes(&self.config.rope, &self.layers[0].attention, self.kind, self.device)
    }

    /// Packs documents for training: the forward pass returns the rows that predict a target. A prefix that all
    /// documents share (a template's system turn, the prompt of several replies) is computed once where possible.
    pub fn pack(&self, documents: &[&Document]) -> Pack {
        Pack::new(documents, self.shares_prefixes(), self.device).targets_only()
    }

    /// The hidden states after the last norm, `[R, D]`, of the pack's output rows. Keeps nothing for a backward pass.
    pub fn forward(&self, pack: &Pack) -> Tensor {
        self.forward_with_dropout(pack, None)
    }

    /// [`Model::forward`] with dropout.
    pub fn forward_with_dropout(&self, pack: &Pack, dropout: Option<Dropout>) -> Tensor {
        let mut hidden = self.embed(&pack.tokens);
        if let Some(dropout) = &dropout {
            hidden = dropout.embedding(hidden);
        }
        let pass = self.pass(pack, dropout);
        for layer in &self.layers {
            hidden = layer.forward(&hidden, &pass, false).0;
        }
        self.norm.forward(&hidden).0
    }

    /// Calls `work` with the model computing in int8 (adapter merged into the base) and with the output matrix in int8:
    /// twice as fast, and exact enough to rank documents by loss. `None` if the processor has no int8 products.
    pub fn with_int8_weights<T>(&mut self, work: impl FnOnce(&Self, &Int8Weight) -> T) -> Option<T> {
        let head = Int8Weight::of(self.unembedding().weight)?;
        let ready = self.layers.iter_mut().flat_map(Layer::linears_mut).try_for_each(Linear::quantise);
        let result = ready.map(|()| work(self, &head));
        self.layers.iter_mut().flat_map(Layer::linears_mut).for_each(Linear::dequantise);
        result
    }

    /// Bytes of a token in what [`Model::forward_traced`] keeps.
    pub fn trace_bytes(&self, keep: Keep) -> usize {
        let numbers = |layer: &Layer| match keep {
            Keep::Everything => layer.saved_numbers(),
            Keep::LayerInputs => self.config.hidden_size,
        };
        self.layers.iter().map(numbers).sum::<i64>() as usize * self.kind.elt_size_in_bytes()
    }

    /// The forward pass, and the trace that [`Model::backward`] needs. With `keys`, one for each row, the adapter's
    /// inputs are dropped out at its configured rate.
    pub fn forward_traced(&self, pack: &Pack, keep: Keep, keys: Option<Vec<u64>>) -> (Tensor, Trace) {
        let dropping = keys.filter(|_| self.dropout > 0.0);
        let dropout = dropping.map(|keys| Dropout::new(&[DropoutSite::Lora], self.dropout, 0, keys));
        let pass = self.pass(pack, dropout);
        let mut layers = Vec::with_capacity(self.layers.len());
        let mut hidden = self.embed(&pack.tokens);
        for layer in &self.layers {
            let (next, saved) = layer.forward(&hidden, &pass, keep == Keep::Everything);
            layers.push(
                saved.map_or(LayerTrace::Input(hidden), |saved| LayerTrace::Everything(Box::new(saved))),
            );
            hidden = next;
        }
        let (out, inv_rms) = self.norm.forward(&hidden);
        let tokens = pack.tokens.shallow_clone();
        (out, Trace { pass, tokens, layers, last: hidden, inv_rms })
    }

    /// Adds the gradients of all parameters in `into` (the matrices of the attached adapter, or the weights
    /// themselves), given the gradient `d_hidden` `[R, D]` of the loss with respect to the forward pass's hidden
    /// states.
    ///
    /// With `kept_documents`, only those documents contribute: rows of the others are neither read nor computed.
    pub fn backward(
        &self,
        mut trace: Trace,
        d_hidden: &Tensor,
        into: &Parameters,
        kept_documents: Option<&[bool]>,
    ) {
        // Documents that predict nothing.
        if d_hidden.size()[0] == 0 {
            return;
        }
        let mut d_hidden = d_hidden.to_kind(self.kind);
        let kept_rows = kept_documents.and_then(|kept| trace.pass.keep_documents(kept, self.device));
        if let Some(KeptRows { rows, outputs }) = &kept_rows {
            if outputs.numel() == 0 {
                return;
            }
            d_hidden = d_hidden.index_select(0, outputs);
            trace.last = trace.last.index_select(0, outputs);
            trace.inv_rms = trace.inv_rms.index_select(0, outputs);
            trace.tokens = trace.tokens.index_select(0, rows);
        }
        let d_embedding = into.gradient(modules::EMBEDDING);
        let Trace { pass, tokens, mut layers, last, inv_rms } = trace;
        let mut d_hidden = Some(self.norm.backward(&d_hidden, &last, &inv_rms, None, into));
        drop((last, inv_rms));
        for (index, layer) in self.layers.iter().enumerate().rev() {
            let (Some(layer_trace), Some(d_out)) = (layers.pop(), d_hidden) else { return };
            let last = index + 1 == self.layers.len();
            let saved = match (layer_trace, &kept_rows) {
                (LayerTrace::Everything(saved), None) => *saved,
                (LayerTrace::Everything(saved), Some(KeptRows { rows, outputs })) => {
                    saved.select(rows, if last { outputs } else { rows })
                }
                (LayerTrace::Input(input), None) => layer.saved(&input, &pass),
                (LayerTrace::Input(input), Some(kept)) => {
                    layer.saved(&input.index_select(0, &kept.rows), &pass)
                }
            };
            // Below the first layer there is only the embedding, which needs a gradient only if it is trained.
            let goes_on = index > 0 || d_embedding.is_some();
            d_hidden = layer.backward(d_out, saved, &pass, into, goes_on);
        }
        if let (Some(mut gradient), Some(d_embedded)) = (d_embedding, d_hidden) {
            let d_embedding = self.scaled(d_embedded).to_kind(Kind::Float);
            let _ = gradient.index_add_(0, &tokens, &d_embedding);
        }
    }

    /// Longrope: the number of tokens beyond which a sequence has other rotary frequencies.
    pub fn long_from(&self) -> Option<usize> {
        self.rotary.long_from()
    }

    pub(crate) fn embed(&self, tokens: &Tensor) -> Tensor {
        self.scaled(self.embedding.index_select(0, tokens))
    }

    /// What the factor on embeddings makes of them, or of their gradient.
    fn scaled(&self, embedded: Tensor) -> Tensor {
        match self.embedding_scale() {
            Some(scale) => embedded * scale,
            None => embedded,
        }
    }

    /// The factor on embeddings, rounded to the model's type as in transformers.
    fn embedding_scale(&self) -> Option<f64> {
        self.config.embedding_scale.map(|scale| Tensor::from(scale).to_kind(self.kind).double_value(&[]))
    }

    fn pass(&self, pack: &Pack, dropout: Option<Dropout>) -> Pass {
        let (cos, sin) = self.rotary.angles(&pack.positions, &pack.layout, 0);
        let output_rows =
            |rows: &Vec<i64>| OutputRows::new(self.layers.len(), rows.clone(), dropout.as_ref(), self.device);
        let output_rows = pack.output_rows.as_ref().map(output_rows);
        Pass { layout: pack.layout.clone(), cos, sin, output_rows, dropout }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Precomputed;
    use crate::config::RopeScaling;
    use crate::weights::RandomModel;
    use tokensieve_kernels::Heads;

    /// The gradient on a Gemma's embeddings in bf16, whose configuration says that they are multiplied by `scale`.
    fn gradient_on_embeddings(scale: f64) -> Tensor {
        let random = RandomModel {
            family: "gemma".to_owned(),
            hidden_size: 96,
            layers: 1,
            heads: 6,
            kv_heads: 2,
            intermediate_size: 96,
            context: 40,
            tied: true,
            characters: "0123456789".to_owned(),
            end: None,
            std: 0.02,
            seed: 7,
        };
        let checkpoint = Checkpoint::random(&random).unwrap();
        let mut model = Model::load(&checkpoint, Kind::BFloat16, Device::Cpu).unwrap();
        model.config.embedding_scale = Some(scale);
        let tokens: Vec<u32> = (0..9).collect();
        let weights = tokens.iter().map(|token| f32::from(u8::from(*token > 0))).collect();
        let document =
            Document { row: 0, index_in_row: 0, tokens, weights, precomputed: Precomputed::default() };
        let (hidden_rd, trace) = model.forward_traced(&model.pack(&[&document]), Keep::Everything, None);
        let parameters = model.parameters();
        let numbers = Tensor::arange(hidden_rd.numel() as i64, (Kind::Float, Device::Cpu)).sin();
        let d_hidden_rd = numbers.reshape_as(&hidden_rd).to_kind(hidden_rd.kind());
        model.backward(trace, &d_hidden_rd, &parameters, None);
        parameters.gradient(modules::EMBEDDING).unwrap()
    }

    #[test]
    fn embeddings_and_their_gradient_have_the_same_rounded_factor() {
        let root = 96_f64.sqrt();
        let rounded = Tensor::from(root).to_kind(Kind::BFloat16).double_value(&[]);
        assert_ne!(root, rounded);
        let found = gradient_on_embeddings(root);
        assert!(found.abs().max().double_value(&[]) > 0.0);
        assert!(found.equal(&gradient_on_embeddings(rounded)));
    }

    #[test]
    fn what_a_token_keeps_is_counted() {
        // Norms of heads; of results; neither.
        for (name, head_norms, norms) in [("qwen3", 1, 2), ("gemma2", 0, 4), ("llama", 0, 2)] {
            let folder = format!("{}/../tests/fixtures/gguf/{name}.gguf", env!("CARGO_MANIFEST_DIR"));
            let model = Model::load(&Checkpoint::open(&folder).unwrap(), Kind::Float, Device::Cpu).unwrap();
            let weights = vec![1.0; 5];
            let tokens = vec![3, 1, 4, 1, 5];
            let document =
                Document { row: 0, index_in_row: 0, tokens, weights, precomputed: Precomputed::default() };
            let (_, trace) = model.forward_traced(&model.pack(&[&document]), Keep::Everything, None);
            let Heads { queries, keys, .. } = model.layers[0].attention.heads;
            // Norms' 1/rms, and attention's logarithms of sums.
            let statistics = norms + queries + head_norms * (queries + keys);
            // After the last layer's attention only rows that predict something are computed.
            let LayerTrace::Everything(saved) = &trace.layers[0] else { panic!("everything is kept") };
            assert!(model.layers.len() > 1, "{name}");
            assert_eq!(
                saved.numbers(),
                5 * (model.layers[0].saved_numbers() as usize + statistics),
                "{name}"
            );
        }
    }

    #[test]
    fn logits_are_not_rounded_to_the_type_of_the_model() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/gguf/llama.gguf");
        let model = Model::load(&Checkpoint::open(folder).unwrap(), Kind::BFloat16, Device::Cpu).unwrap();
        let unembedding = model.unembedding();
        let weight = unembedding.weight.to_kind(Kind::Double);
        // One token's, and many.
        for rows in [1, weight.size()[0]] {
            let logits = unembedding.logits(&unembedding.weight.narrow(0, 0, rows));
            let away = (&logits - weight.narrow(0, 0, rows).mm(&weight.tr())).abs().max().double_value(&[]);
            let largest = logits.abs().max().double_value(&[]);
            assert!(logits.kind() == Kind::Float && away < 1e-5 * largest, "{rows}: {away}");
        }
    }

    #[test]
    fn prefixes_are_shared_where_that_is_possible_and_pays() {
        let heads = Heads { queries: 4, keys: 2, dim: 64 };
        let how = Attention { heads, scale: 0.1, soft_cap: None, window: None };
        let rope = Rope { theta: 1e4, dimensions: 64, scaling: RopeScaling::None };
        for kind in [Kind::Float, Kind::BFloat16] {
            assert!(shares_prefixes(&rope, &how, kind, Device::Cpu));
        }
        assert!(shares_prefixes(&rope, &how, Kind::Float, Device::Cuda(0)));
        assert!(!shares_prefixes(&rope, &how, Kind::BFloat16, Device::Cuda(0)));
        // Gemma 2's soft cap, which flash attention does not have.
        let capped = Attention { soft_cap: Some(50.0), ..how };
        assert!(shares_prefixes(&rope, &capped, Kind::BFloat16, Device::Cuda(0)));
        let scaling = RopeScaling::Long { short: vec![], long: vec![], original: 8.0, attention_factor: 1.0 };
        assert!(!shares_prefixes(&Rope { scaling, ..rope }, &how, Kind::Float, Device::Cpu));
    }
}
