//! The model arranged for decoding on the CPU: passes of few tokens from many sequences, each row computed
//! independently.

use std::sync::{Mutex, PoisonError};

use tch::{Device, Kind, Tensor};

use super::Model;
use crate::layers::Layer;
use crate::layers::Linear;
use crate::layers::Norm;
use tokensieve_kernels::Layout;
use tokensieve_kernels::decode::{self, Angles, Buffer, Into, KeysValues, Matrix, Number, Place};

/// Most rows of a pass (choice: their activations fit the L2 cache, and reading the weights costs little beside the
/// products).
const ROWS: usize = 256;

/// A model's weights in tiles, and the buffers of a pass.
#[derive(Debug)]
pub struct Decoder<'a, N> {
    model: &'a Model,
    layers: Vec<DecoderLayer<'a>>,
    head: Matrix,
    /// An empty cache, with whose memory pool all sequences' caches are made.
    empty: KeysValues,
    work: Mutex<Work<N>>,
}

#[derive(Debug)]
struct DecoderLayer<'a> {
    layer: &'a Layer,
    qkv: Projection,
    output: Projection,
    gate_up: Projection,
    down: Projection,
}

/// A projection with its adapter: [W, s·B], and A.
#[derive(Debug)]
struct Projection {
    weight: Matrix,
    a: Option<Matrix>,
}

/// The buffers of a pass, kept for the next one.
#[derive(Debug)]
struct Work<N> {
    hidden: Buffer<N>,
    /// Input of a projection, [x, u] as in [`Linear`].
    x: Buffer<N>,
    qkv: Buffer<N>,
    gate_up: Buffer<N>,
    /// Output of attention or of the feed-forward layer before and after its norm.
    output: [Buffer<N>; 2],
    last: [Buffer<N>; 2],
    angles: Angles,
    /// Longrope: the angles of sequences longer than those of pre-training.
    long_angles: Angles,
}

/// A token of a pass.
#[derive(Clone, Copy, Debug)]
struct PassToken {
    token: u32,
    place: Place,
    /// Longrope: whether its sequence uses the angles of long ones.
    long: bool,
    /// Whether its logits are computed.
    wanted: bool,
}

impl Model {
    /// Whether a [`Decoder`] can run the model: the processor's instructions, the model's type, and its device.
    pub fn supports_decoder(&self) -> bool {
        decode::available() && self.device == Device::Cpu && matches!(self.kind, Kind::Float | Kind::BFloat16)
    }
}

impl<'a, N: Number> Decoder<'a, N> {
    /// Copies a model's present projections into tiles, with `merge` with the adapter added to them. Those in four bits stay
    /// so, with the adapter beside them.
    pub fn new(model: &'a Model, merge: bool) -> Self {
        let new = Buffer::default;
        Self {
            layers: model.layers.iter().map(|layer| DecoderLayer::new::<N>(layer, merge)).collect(),
            empty: KeysValues::new::<N>(model.layers.len(), &model.layers[0].attention.heads),
            head: Matrix::new::<N>(model.unembedding().weight, None),
            work: Mutex::new(Work {
                hidden: new(),
                x: new(),
                qkv: new(),
                gate_up: new(),
                output: [new(), new()],
                last: [new(), new()],
                angles: Angles::default(),
                long_angles: Angles::default(),
            }),
            model,
        }
    }

    /// An empty key-value cache for a new sequence.
    pub fn keys_values(&self) -> KeysValues {
        self.empty.another()
    }

    /// Appends tokens (at least one) to each sequence, and writes the logits after the last of each, `[sequences, V]`.
    pub fn feed(&self, pieces: Vec<(&mut KeysValues, &[u32])>, logits: &mut Vec<f32>) {
        let long_from = self.model.rotary.long_from();
        let mut rows = Vec::new();
        let mut sequences = Vec::new();
        for (sequence, (held, tokens)) in pieces.into_iter().enumerate() {
            let (before, end) = (held.tokens(), held.tokens() + tokens.len());
            let long = long_from.is_some_and(|length| end > length);
            rows.extend(tokens.iter().zip(before..).map(|(token, position)| PassToken {
                token: *token,
                place: Place { sequence, position },
                long,
                wanted: position + 1 == end,
            }));
            held.grow(tokens.len());
            sequences.push(held);
        }
        // A panic in another thread leaves nothing in the buffers that the next pass reads.
        let mut work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        let vocabulary = self.head.outputs();
        logits.resize(sequences.len() * vocabulary, 0.0);
        let mut done = 0;
        for rows in rows.chunks(ROWS) {
            let wanted = rows.iter().filter(|row| row.wanted).count();
            let into = &mut logits[done * vocabulary..(done + wanted) * vocabulary];
            self.pass(&mut work, rows, &sequences, into);
            done += wanted;
        }
    }

    fn pass(
        &self,
        work: &mut Work<N>,
        rows: &[PassToken],
        sequences: &[&mut KeysValues],
        logits: &mut [f32],
    ) {
        let Model { config, embedding, rotary, norm, .. } = self.model;
        let width = embedding.size()[1] as usize;
        let tokens: Vec<u32> = rows.iter().map(|row| row.token).collect();
        let places: Vec<Place> = rows.iter().map(|row| row.place).collect();
        let scale = self.model.embedding_scale().unwrap_or(1.0);
        decode::embed(embedding, &tokens, scale as f32, work.hidden.shaped(rows.len(), width));
        let positions = places.iter().map(|place| place.position + 1).max().unwrap_or(0);
        rotary.extend(&mut work.angles, positions, false);
        if rows.iter().any(|row| row.long) {
            rotary.extend(&mut work.long_angles, positions, true);
        }
        for (index, layer) in self.layers.iter().enumerate() {
            layer.attend(index, work, rows, &places, sequences);
            layer.feed_forward(work);
        }
        let wanted: Vec<usize> = (0..rows.len()).filter(|row| rows[*row].wanted).collect();
        let [before, after] = &mut work.last;
        before.shaped(wanted.len(), width);
        for (row, from) in wanted.iter().enumerate() {
            before.row_mut(row).copy_from_slice(work.hidden.row(*from));
        }
        normed(norm, before, after.shaped(wanted.len(), width));
        self.head.product_into(after, logits);
        if let Some(cap) = config.final_soft_cap {
            decode::soft_cap(logits, cap);
        }
    }
}

impl<'a> DecoderLayer<'a> {
    fn new<N: Number>(layer: &'a Layer, merge: bool) -> Self {
        let [qkv, output, gate_up, down] = layer.linears().map(|linear| Projection::new::<N>(linear, merge));
        Self { layer, qkv, output, gate_up, down }
    }

    /// `hidden += norm(output(attend(rope(norm(qkv(norm(hidden)))))))`
    fn attend<N: Number>(
        &self,
        index: usize,
        work: &mut Work<N>,
        rows: &[PassToken],
        places: &[Place],
        sequences: &[&mut KeysValues],
    ) {
        let Layer { attention, attention_norm, head_norms, output_norm, .. } = self.layer;
        let heads = &attention.heads;
        let Work { hidden, x, qkv, output, angles, long_angles, .. } = work;
        normed(attention_norm, hidden, x.shaped(rows.len(), self.qkv.width()));
        self.qkv.apply(x, qkv.shaped(rows.len(), heads.width()), Into::Place);
        if let Some([queries, keys]) = head_norms {
            decode::norm_heads(qkv, 0, heads.queries, &queries.weight, queries.eps());
            decode::norm_heads(qkv, heads.queries * heads.dim, heads.keys, &keys.weight, keys.eps());
        }
        let turns: Vec<_> = rows
            .iter()
            .map(|row| (if row.long { &*long_angles } else { &*angles }, row.place.position))
            .collect();
        decode::rope(qkv, heads, &turns);
        decode::put(qkv, sequences, index, places, heads);
        x.shaped(rows.len(), self.output.width());
        decode::attend(qkv, sequences, index, places, attention, x);
        self.output.add(x, output_norm.as_ref(), output, hidden);
    }

    /// `hidden += norm(down(gated(gate_up(norm(hidden)))))`
    fn feed_forward<N: Number>(&self, work: &mut Work<N>) {
        let Work { hidden, x, gate_up, output, .. } = work;
        let rows = hidden.rows();
        normed(&self.layer.mlp_norm, hidden, x.shaped(rows, self.gate_up.width()));
        self.gate_up.apply(x, gate_up.shaped(rows, self.gate_up.weight.outputs()), Into::Place);
        decode::gated(gate_up, self.layer.activation, x.shaped(rows, self.down.width()));
        self.down.add(x, self.layer.down_norm.as_ref(), output, hidden);
    }
}

fn normed<N: Number>(norm: &Norm, x: &Buffer<N>, out: &mut Buffer<N>) {
    decode::norm(x, &norm.weight, norm.eps(), out);
}

impl Projection {
    fn new<N: Number>(linear: &Linear, merge: bool) -> Self {
        let (weight, a) = linear.for_decoding::<N>(merge);
        Self { weight, a }
    }

    /// Columns of the input [x, u].
    fn width(&self) -> usize {
        self.weight.inputs()
    }

    fn apply<N: Number>(&self, x: &mut Buffer<N>, out: &mut Buffer<N>, how: Into) {
        if let Some(a) = &self.a {
            a.product_beside(x);
        }
        self.weight.product(x, out, how);
    }

    /// `hidden += norm(projection(x))`
    fn add<N: Number>(
        &self,
        x: &mut Buffer<N>,
        norm: Option<&Norm>,
        [before, after]: &mut [Buffer<N>; 2],
        hidden: &mut Buffer<N>,
    ) {
        let Some(norm) = norm else { return self.apply(x, hidden, Into::Sum) };
        let (rows, columns) = (hidden.rows(), hidden.columns());
        self.apply(x, before.shaped(rows, columns), Into::Place);
        normed(norm, before, after.shaped(rows, columns));
        decode::add(after, hidden);
    }
}

impl crate::layers::Rotary {
    /// Extends a table of angles to at least `positions`.
    fn extend(&self, angles: &mut Angles, positions: usize, long: bool) {
        let half = angles.half.max(1);
        if angles.cos.len() >= positions * half {
            return;
        }
        // Doubled, so that the table is seldom extended.
        let all = Tensor::arange((2 * positions) as i64, (Kind::Int64, Device::Cpu));
        // A document after so many earlier tokens is long; without documents none is.
        let (lengths, before) = if long { (vec![1], usize::MAX / 2) } else { (vec![], 0) };
        let (cos, sin) = self.angles(&all, &Layout { prefix: 0, lengths }, before);
        angles.half = cos.size()[1] as usize;
        let numbers = |x: Tensor| Vec::try_from(x.flatten(0, -1)).expect("f32");
        (angles.cos, angles.sin) = (numbers(cos), numbers(sin));
    }
}
