//! The gradient of the rows that have a pull, chunk by chunk.

use std::ops::Range;

use tch::{Device, Tensor};
use tokensieve_kernels::head_rows::{self, Logits, Onto, RowStats, Tail, Task};

use super::buffers::{self, Buffers, Kept};
use super::product;
use super::rows::{Rows, first};
use super::tasks::{self, Tasks};
use super::wanted::{Distribution, Wanted};

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
    fn gather(&self, tasks: &Tasks, out_nv: &mut Tensor) {
        match self {
            Source::Nowhere => {}
            Source::Kept(kept) => kept.gather(tasks, out_nv),
            Source::Chunk(logits_nv, start) => {
                out_nv.copy_(&logits_nv.index_select(0, &(tasks.rows_n() - *start as i64)));
            }
        }
    }
}

/// What a gradient leads to.
#[derive(Debug)]
pub struct Gradient {
    /// On the hidden states, `[R, D]`, in their own type.
    pub hidden_rd: Tensor,
    /// −Σ q log p of the rows that have a pull onto the reference, or KL(p ‖ q) where that is lowered, 0 of the others.
    pub distance: Vec<f64>,
}

impl Gradient {
    pub(super) fn zeros(rows: &Rows) -> Self {
        Self { hidden_rd: rows.hidden_rd.zeros_like(), distance: vec![0.0; rows.len()] }
    }

    fn set(&mut self, tasks: &[Task], distance: &[f64]) {
        tasks.iter().zip(distance).for_each(|(task, value)| self.distance[task.row] = *value);
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
    let (mut list, computed): (Vec<Task>, Vec<Task>) = tasks::list(0, rows.labels, stats, wanted)
        .into_iter()
        .partition(|task| kept.place(task.row).is_some());
    let from_kept = list.len();
    list.extend(computed);
    let tasks = Tasks::new(&list, rows, &wanted.reference);
    let size = buffers.rows_per_chunk(rows);
    let mut later = Vec::new();
    for (all, source) in [(0..from_kept, Source::Kept(kept)), (from_kept..list.len(), Source::Nowhere)] {
        for start in all.clone().step_by(size) {
            let part = tasks.part(start..(start + size).min(all.end));
            later.extend(
                gradient_for_rows(buffers, rows, &part, wanted, &source, &mut out)
                    .map(|found| (part.list, found)),
            );
        }
    }
    // The program waits for the device once.
    if !later.is_empty() {
        let (parts, found): (Vec<&[Task]>, Vec<Tensor>) = later.into_iter().unzip();
        out.set(&parts.concat(), &numbers(&Tensor::cat(&found, 0)));
    }
    out
}

fn numbers(of: &Tensor) -> Vec<f64> {
    Vec::try_from(of).expect("they are f64")
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
    let list = tasks::list(chunk.start, &rows.labels[chunk.clone()], stats, wanted);
    if !list.is_empty() {
        let tasks = Tasks::new(&list, rows, &wanted.reference);
        let source = Source::Chunk(logits_nv, chunk.start);
        if let Some(found) = gradient_for_rows(buffers, rows, &tasks, wanted, &source, out) {
            out.set(&list, &numbers(&found));
        }
    }
}

/// The gradient of at most a chunk of tasks. Returns their −Σ q log p where those are still being computed.
fn gradient_for_rows(
    buffers: &mut Buffers,
    rows: &Rows,
    tasks: &Tasks,
    wanted: &Wanted,
    source: &Source,
    out: &mut Gradient,
) -> Option<Tensor> {
    let (list, index) = (tasks.list, tasks.rows_n());
    let hidden_nd = rows.hidden_rd.index_select(0, &index);
    // On a GPU the gradient takes kept logits' place where it can; kernels on the CPU read them where they are.
    let kept = match source {
        Source::Kept(kept) if hidden_nd.device() != Device::Cpu => kept.in_order(list),
        _ => None,
    };
    let in_place = match source {
        Source::Nowhere => true,
        Source::Kept(_) => kept.is_some(),
        Source::Chunk(_, start) => tasks::in_order(list, *start),
    };
    // A chunk of logits stands in the buffer for gradients already.
    let aside = !in_place && matches!(source, Source::Chunk(..));
    let buffer = match kept {
        Some(kept) => kept,
        None if aside => buffers.fit(rows),
        None => buffers.work(rows),
    };
    let mut gradient_nv = first(&buffer, list.len());
    if matches!(source, Source::Nowhere) {
        buffers::product(&hidden_nd, rows.unembedding.weight, &gradient_nv);
    }
    let onto_reference = list.iter().take_while(|task| task.reference_weight != 0.0).count();
    let mut reference = None;
    let mut tail = Tail::None;
    match wanted.reference {
        Distribution::None => assert!(onto_reference == 0, "a pull onto a reference needs the reference"),
        Distribution::Uniform => tail = Tail::Uniform,
        Distribution::Top(top) => tail = Tail::Top(top),
        Distribution::Itself(by) => tail = Tail::Itself(by),
        Distribution::Model { hidden_rd, unembedding } if onto_reference > 0 => {
            let logits = first(&buffers.reference(rows), onto_reference);
            let hidden = hidden_rd.index_select(0, &first(&index, onto_reference));
            buffers::product(&hidden, unembedding.weight, &logits);
            reference = Some((logits, unembedding.soft_cap));
        }
        Distribution::Model { .. } => {}
    }
    let logits_of_reference = reference.as_ref().map(|(logits, cap)| (logits, *cap));
    let onto = Onto { logits: logits_of_reference, tail, reverse: wanted.reverse };
    let soft_cap = rows.unembedding.soft_cap;
    let mut later = None;
    let logits = if in_place { Logits::InPlace } else { source.places(list) };
    if let Some(distances) = head_rows::gradient(&gradient_nv, &logits, list, soft_cap, &onto) {
        out.set(list, &distances);
    } else {
        if !in_place {
            source.gather(tasks, &mut gradient_nv);
        }
        let distances = head_rows::gradient_on_device(&mut gradient_nv, &tasks.device(), soft_cap, &onto);
        later = (onto_reference > 0).then_some(distances);
    }
    let onto_hidden = product::onto_hidden(&gradient_nv, rows.unembedding.weight);
    let _ = out.hidden_rd.index_copy_(0, &index, &onto_hidden);
    if let Some(sum) = wanted.weight_gradient {
        product::onto_weight(&gradient_nv, &hidden_nd, sum);
    }
    if aside {
        buffers.give_back_one(buffer);
    }
    later
}
