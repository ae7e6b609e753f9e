//! The gradient of the rows that have a pull, chunk by chunk.

use std::ops::Range;

use tch::Tensor;
use tokensieve_objective::Pull;

use super::buffers::{self, Buffers, Kept};
use super::cpu::{self, Logits};
use super::rows::{RowStats, Rows, first, indices};
use super::{Unembedding, plain, product};

/// The distribution that the second pull points to, for each of the rows.
#[derive(Clone, Copy, Debug)]
pub enum Distribution<'a> {
    /// None: every pull onto it must be zero.
    None,
    /// The same probability for every token.
    Uniform,
    /// Another model's prediction.
    Model {
        /// Its hidden states, `[R, D]`.
        hidden_rd: &'a Tensor,
        /// Its output matrix.
        unembedding: Unembedding<'a>,
    },
    /// The most probable tokens of another model's prediction, the rest as one bucket.
    Top(&'a Top),
}

/// The k most probable tokens of R predictions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Top {
    /// How many tokens of each row.
    pub k: usize,
    /// Their ids, row after row; within a row each once.
    pub ids: Vec<u32>,
    /// Their probabilities under the whole distribution: what is missing to 1 is the bucket.
    pub probabilities: Vec<f32>,
}

impl Top {
    pub(super) fn extend(&mut self, rows: &Self) {
        self.ids.extend_from_slice(&rows.ids);
        self.probabilities.extend_from_slice(&rows.probabilities);
    }

    pub(crate) fn ids(&self, row: usize) -> &[u32] {
        &self.ids[row * self.k..(row + 1) * self.k]
    }

    pub(crate) fn probabilities(&self, row: usize) -> &[f32] {
        &self.probabilities[row * self.k..(row + 1) * self.k]
    }
}

/// What to make the gradient of, and where else it goes.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// One pull per row.
    pub pulls: &'a [Pull],
    /// What the rows' gradients are divided by.
    pub normaliser: f64,
    /// Where the pulls onto a reference point.
    pub reference: Distribution<'a>,
    /// For full fine-tuning: f32 `[V, D]`, to which the output matrix' gradient is added.
    pub weight_gradient: Option<&'a Tensor>,
}

/// One row to be done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Task {
    /// Of all rows.
    pub(super) row: usize,
    pub(super) label: u32,
    pub(super) loss: f64,
    pub(super) log_sum_exp: f64,
    /// a and b, divided by the normaliser.
    pub(super) label_pull: f64,
    pub(super) reference_pull: f64,
}

impl Task {
    fn new(row: usize, label: u32, stats: &RowStats, pull: Pull, normaliser: f64) -> Self {
        Self {
            row,
            label,
            loss: stats.loss,
            log_sum_exp: stats.log_sum_exp,
            label_pull: pull.label / normaliser,
            reference_pull: pull.reference / normaliser,
        }
    }
}

/// What is subtracted besides another model's prediction.
pub(super) enum Tail<'a> {
    None,
    Uniform,
    Top(&'a Top),
}

/// Where the rows' logits are.
enum Source<'a> {
    /// Nowhere: they are computed again.
    Nowhere,
    Kept(&'a Kept),
    /// In a chunk that starts with this row.
    Chunk(&'a Tensor, usize),
}

impl Source<'_> {
    /// Tensor and row of each task's logits.
    fn places(&self, tasks: &[Task]) -> Logits<'_> {
        let place = |task: &Task| match self {
            Source::Nowhere => None,
            Source::Kept(kept) => kept.place(task.row).map(|(chunk, row)| (&kept.chunks[chunk], row)),
            Source::Chunk(logits_nv, start) => Some((*logits_nv, task.row - start)),
        };
        Logits::Elsewhere(tasks.iter().filter_map(place).collect())
    }

    /// Copies the tasks' logits into consecutive rows.
    fn gather(&self, tasks: &[Task], out_nv: &mut Tensor) {
        match self {
            Source::Nowhere => {}
            Source::Kept(kept) => kept.gather(tasks, out_nv),
            Source::Chunk(logits_nv, start) => {
                let places: Vec<u32> = tasks.iter().map(|task| (task.row - start) as u32).collect();
                out_nv.copy_(&logits_nv.index_select(0, &indices(&places, out_nv.device())));
            }
        }
    }
}

/// The tasks among rows that begin with `first`, those with a pull onto the reference in front.
fn tasks(first: usize, labels: &[u32], stats: &[RowStats], wanted: &Wanted) -> Vec<Task> {
    assert_eq!(labels.len(), wanted.pulls.len(), "one pull per row");
    let each = labels.iter().zip(stats).zip(wanted.pulls).enumerate();
    let mut tasks: Vec<Task> = each
        .filter(|(_, (_, pull))| !pull.is_zero())
        .map(|(i, ((label, stats), pull))| Task::new(first + i, *label, stats, *pull, wanted.normaliser))
        .collect();
    tasks.sort_by_key(|task| task.reference_pull == 0.0);
    tasks
}

/// What a gradient leads to.
#[derive(Debug)]
pub struct Gradient {
    /// On the hidden states, `[R, D]`, in their own type.
    pub hidden_rd: Tensor,
    /// −Σ q log p of the rows that have a pull onto the reference, 0 of the others.
    pub cross_entropy: Vec<f64>,
}

impl Gradient {
    pub(super) fn zeros(rows: &Rows) -> Self {
        Self { hidden_rd: rows.hidden_rd.zeros_like(), cross_entropy: vec![0.0; rows.len()] }
    }
}

/// The gradient on all rows' hidden states.
pub(super) fn all(
    buffers: &mut Buffers,
    rows: &Rows,
    stats: &[RowStats],
    wanted: &Wanted,
    kept: &Kept,
) -> Gradient {
    let mut out = Gradient::zeros(rows);
    let (from_kept, computed): (Vec<Task>, Vec<Task>) =
        tasks(0, rows.labels, stats, wanted).into_iter().partition(|task| kept.place(task.row).is_some());
    let size = buffers.rows_per_chunk(rows);
    for part in from_kept.chunks(size) {
        some(buffers, rows, part, wanted, &Source::Kept(kept), &mut out);
    }
    for part in computed.chunks(size) {
        some(buffers, rows, part, wanted, &Source::Nowhere, &mut out);
    }
    out
}

/// The gradient on one chunk's hidden states, whose logits are there.
pub(super) fn of_chunk(
    buffers: &mut Buffers,
    rows: &Rows,
    chunk: Range<usize>,
    stats: &[RowStats],
    wanted: &Wanted,
    logits_nv: &Tensor,
    out: &mut Gradient,
) {
    let tasks = tasks(chunk.start, &rows.labels[chunk.clone()], stats, wanted);
    if !tasks.is_empty() {
        some(buffers, rows, &tasks, wanted, &Source::Chunk(logits_nv, chunk.start), out);
    }
}

/// The gradient of at most a chunk of tasks.
fn some(
    buffers: &mut Buffers,
    rows: &Rows,
    tasks: &[Task],
    wanted: &Wanted,
    source: &Source,
    out: &mut Gradient,
) {
    let device = rows.hidden_rd.device();
    let index = indices(&tasks.iter().map(|task| task.row as u32).collect::<Vec<_>>(), device);
    let hidden_nd = rows.hidden_rd.index_select(0, &index);
    let in_place = match source {
        Source::Nowhere => true,
        Source::Kept(_) => false,
        Source::Chunk(_, start) => tasks.iter().enumerate().all(|(i, task)| task.row == start + i),
    };
    // A chunk of logits stands in the buffer for gradients already.
    let aside = !in_place && matches!(source, Source::Chunk(..));
    let buffer = if aside { buffers.spare(rows) } else { buffers.work(rows) };
    let mut gradient_nv = first(&buffer, tasks.len());
    if matches!(source, Source::Nowhere) {
        buffers::product(&hidden_nd, rows.unembedding.weight, &gradient_nv);
    }
    let onto_reference = tasks.iter().take_while(|task| task.reference_pull != 0.0).count();
    let mut reference = None;
    let mut tail = Tail::None;
    match wanted.reference {
        Distribution::None => assert!(onto_reference == 0, "a pull onto a reference needs the reference"),
        Distribution::Uniform => tail = Tail::Uniform,
        Distribution::Top(top) => tail = Tail::Top(top),
        Distribution::Model { hidden_rd, unembedding } if onto_reference > 0 => {
            let logits = first(&buffers.reference(rows), onto_reference);
            let hidden = hidden_rd.index_select(0, &first(&index, onto_reference));
            buffers::product(&hidden, unembedding.weight, &logits);
            reference = Some((logits, unembedding.soft_cap));
        }
        Distribution::Model { .. } => {}
    }
    let reference = reference.as_ref().map(|(logits, cap)| (logits, *cap));
    let soft_cap = rows.unembedding.soft_cap;
    if cpu::can(&gradient_nv) {
        let logits = if in_place { Logits::InPlace } else { source.places(tasks) };
        let distances = cpu::gradient(&gradient_nv, &logits, tasks, soft_cap, reference, &tail);
        tasks.iter().zip(distances).for_each(|(task, distance)| out.cross_entropy[task.row] = distance);
    } else {
        if !in_place {
            source.gather(tasks, &mut gradient_nv);
        }
        let distances = plain::gradient(&mut gradient_nv, tasks, soft_cap, reference, &tail);
        if onto_reference > 0 {
            let distances = Vec::<f64>::try_from(distances).expect("they are f64");
            tasks.iter().zip(distances).for_each(|(task, distance)| out.cross_entropy[task.row] = distance);
        }
    }
    let onto_hidden = product::onto_hidden(&gradient_nv, rows.unembedding.weight);
    let _ = out.hidden_rd.index_copy_(0, &index, &onto_hidden);
    if let Some(sum) = wanted.weight_gradient {
        product::onto_weight(&gradient_nv, &hidden_nd, sum);
    }
    if aside {
        buffers.give_back_one(buffer);
    }
}
