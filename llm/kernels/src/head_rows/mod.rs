//! The head's passes over rows of logits: statistics of each, the most probable tokens, and the gradient.
//!
//! Letters: n rows of a chunk, V vocabulary, D width of the hidden state. p is the softmax of a row's logits; the gradient
//! on them is (a + b)·p − a·eᵧ − b·q for a label y, another distribution q, and numbers a and b; or the one of [`Task`] for
//! the reverse divergence.

pub mod plain;
pub(crate) mod task;

pub use task::{
    Chunk, ChunkStats, INVERSE_TEMPERATURES, Logits, Onto, Reference, ReferenceLogits, Request, RowStats,
    TOP_ENTROPY, Tail, Task, Top,
};

use tch::{Device, Tensor};

use crate::{cpu, cuda};

/// Statistics of every row of logits `[n, V]`.
///
/// # Panics
/// If a label lies outside the vocabulary.
pub fn statistics(chunk: &Chunk, logits_nv: &Tensor, request: &Request) -> ChunkStats {
    if let Some(statistics) = cpu::head_rows::statistics(chunk, logits_nv, request) {
        return ChunkStats::Host(statistics);
    }
    let statistics = cuda::head_rows::statistics(chunk, logits_nv, request);
    ChunkStats::Device(statistics.unwrap_or_else(|| plain::statistics(chunk, logits_nv, request)))
}

/// The statistics of all chunks, on the host: the program waits for the device once.
///
/// # Panics
/// If libtorch cannot copy them: a mistake of the calling code.
pub fn fetch(parts: Vec<ChunkStats>) -> Vec<RowStats> {
    let (mut host, mut device) = (Vec::new(), Vec::new());
    for part in parts {
        match part {
            ChunkStats::Host(stats) => host.extend(stats),
            ChunkStats::Device(tensor) => device.push(tensor),
        }
    }
    if !device.is_empty() {
        let table = Tensor::cat(&device, 0).to_device(Device::Cpu).contiguous();
        let numbers = Vec::<f64>::try_from(table.reshape(-1)).expect("statistics are f64");
        host.extend(numbers.chunks_exact(table.size()[1] as usize).map(|n| {
            let (n, asked) = n.split_at(7);
            let tempered = asked.first_chunk().copied();
            RowStats {
                loss: n[0],
                entropy: n[1],
                top_entropy: n[2],
                log_sum_exp: n[3],
                greedy: n[4] != 0.0,
                best: n[5],
                divergence: (!n[6].is_nan()).then_some(n[6]),
                tempered,
                mass: asked.get(tempered.map_or(0, |losses| losses.len())).copied(),
            }
        }));
    }
    host
}

/// The k most probable tokens of every row.
pub fn top(logits_nv: &Tensor, soft_cap: Option<f64>, k: usize) -> Top {
    cpu::head_rows::top(logits_nv, soft_cap, k).unwrap_or_else(|| plain::top(logits_nv, soft_cap, k))
}

/// Writes the tasks' gradients into the rows of `out_nv` by kernels and returns each one's −Σ q log p, or KL(p ‖ q) where
/// that is lowered, 0 without a q; `None`, and nothing done, where there is no kernel: [`gradient_on_device`] then computes it.
pub fn gradient(
    out_nv: &Tensor,
    logits: &Logits,
    tasks: &[Task],
    soft_cap: Option<f64>,
    onto: &Onto,
) -> Option<Vec<f64>> {
    cpu::head_rows::gradient(out_nv, logits, tasks, soft_cap, onto)
}

/// Overwrites the tasks' logits by their gradients where they lie, and returns each one's −Σ q log p, or KL(p ‖ q) where that
/// is lowered, f64 `[n]`, 0 without a q. The first rows have the reference's logits.
///
/// # Panics
/// If the tail is of tokens that the tasks do not name.
pub fn gradient_on_device(
    logits_nv: &mut Tensor,
    tasks: &plain::DeviceTasks,
    soft_cap: Option<f64>,
    onto: &Onto,
) -> Tensor {
    cuda::head_rows::gradient(logits_nv, tasks, soft_cap, onto)
        .unwrap_or_else(|| plain::gradient(logits_nv, tasks, soft_cap, onto))
}
