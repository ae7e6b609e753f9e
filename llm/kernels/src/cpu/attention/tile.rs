//! A tile of queries: which they are, what they see, and their scores.

use std::f32::consts::LOG2_E;
use std::ops::Range;

use super::problem::{KEYS, Problem, Task};
use crate::cpu::lanes::{LANES, Lanes, Make, Mask, Number, Simd, Words};
use crate::shape::Attention;

/// The widest window, which no document reaches: a key's position plus the window must not exceed what i32 holds.
const WIDEST: usize = 1 << 30;

/// Up to sixteen consecutive tokens in one query head.
#[derive(Clone, Copy)]
pub(super) struct Sixteen {
    /// The query head.
    pub(super) head: usize,
    /// The first token's row in the pack.
    pub(super) row: usize,
    /// How many tokens.
    pub(super) count: usize,
    /// The first token's position among the keys of its task.
    position: usize,
}

/// C times sixteen queries, in lanes.
pub(super) struct Tile<S: Simd, const C: usize> {
    pub(super) sixteens: [Sixteen; C],
    positions: [Words<S>; C],
    window: Option<usize>,
    /// Keys that any of the queries sees, in whole blocks.
    pub(super) keys: Range<usize>,
    /// Keys that all of them see.
    seen_by_all: Range<usize>,
}

impl<S: Simd, const C: usize> Tile<S, C> {
    #[inline(always)]
    pub(super) fn new(simd: S, sixteens: [Sixteen; C], how: &Attention) -> Self {
        let mut positions = [simd.count(); C];
        let (mut first, mut last) = (usize::MAX, 0);
        for (positions, sixteen) in positions.iter_mut().zip(&sixteens) {
            *positions = positions.plus(sixteen.position as i32);
            first = first.min(sixteen.position);
            last = last.max(sixteen.position + sixteen.count - 1);
        }
        let from = |position: usize| how.window.map_or(0, |window| (position + 1).saturating_sub(window));
        let keys = from(first) / KEYS * KEYS..(last + 1).next_multiple_of(KEYS);
        let window = how.window.map(|window| window.min(WIDEST));
        Self { sixteens, positions, window, keys, seen_by_all: from(last)..first + 1 }
    }

    /// Whether some query does not see some of the [`KEYS`] from `key` on.
    #[inline(always)]
    pub(super) fn is_edge(&self, key: usize) -> bool {
        key < self.seen_by_all.start || key + KEYS > self.seen_by_all.end
    }

    /// Which of the c-th sixteen see `key`.
    #[inline(always)]
    pub(super) fn seen(&self, c: usize, key: usize) -> Mask {
        let causal = self.positions[c].above(key as i32 - 1);
        match self.window {
            None => causal,
            Some(window) => causal & !self.positions[c].above((key + window) as i32 - 1),
        }
    }
}

/// How a product of query and key becomes a score.
#[derive(Clone, Copy)]
pub(super) struct Scale<S: Simd> {
    factor: Lanes<S>,
    /// The soft cap, and its inverse.
    cap: Option<(Lanes<S>, Lanes<S>)>,
}

impl<S: Simd> Scale<S> {
    /// Scores in units of log 2: the softmax is then one of powers of two.
    #[inline(always)]
    pub(super) fn new(simd: S, how: &Attention) -> Self {
        match how.soft_cap {
            None => Self { factor: simd.splat(how.scale as f32 * LOG2_E), cap: None },
            Some(cap) => {
                let cap_2 = cap as f32 * LOG2_E;
                let cap_lanes = (simd.splat(cap_2), simd.splat(cap_2.recip()));
                Self { factor: simd.splat((how.scale / cap) as f32), cap: Some(cap_lanes) }
            }
        }
    }

    /// Makes scores of products.
    #[inline(always)]
    pub(super) fn apply<const C: usize>(&self, products: &mut [[Lanes<S>; C]; KEYS]) {
        for row in products {
            for score in row {
                *score = *score * self.factor;
                if let Some((cap, _)) = self.cap {
                    *score = score.tanh() * cap;
                }
            }
        }
    }

    /// The derivative of a score by what it was before the cap.
    #[inline(always)]
    pub(super) fn slope(&self, simd: S, score: Lanes<S>) -> Option<Lanes<S>> {
        let tanh = score * self.cap?.1;
        Some(simd.splat(1.0) - tanh * tanh)
    }
}

/// The tiles of the task's queries, each as a list of one to three [`Sixteen`]s.
pub(super) fn tiles<S: Simd, N: Number>(problem: &Problem<'_, S, N>, task: &Task) -> Vec<Vec<Sixteen>> {
    let (length, group) = (task.own.len(), problem.heads.queries / problem.heads.keys);
    let sixteen = |head: usize, at: usize| Sixteen {
        head: task.head * group + head,
        row: task.own.start + at,
        count: (length - at).min(LANES),
        position: task.shared + at,
    };
    if group == 1 {
        let starts: Vec<usize> = (0..length).step_by(LANES).collect();
        return starts.chunks(3).map(|starts| starts.iter().map(|at| sixteen(0, *at)).collect()).collect();
    }
    // Heads in as few tiles as can be, as evenly as can be.
    let parts = group.div_ceil(3);
    let heads = |part: usize| part * group / parts..(part + 1) * group / parts;
    (0..parts)
        .flat_map(|part| (0..length).step_by(LANES).map(move |at| (part, at)))
        .map(|(part, at)| heads(part).map(|head| sixteen(head, at)).collect())
        .collect()
}
