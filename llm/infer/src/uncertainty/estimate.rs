//! Estimates the tokens of documents, one group of documents after the other.

use std::time::{Duration, Instant};

use tch::{Tensor, no_grad};

use super::budget::Budget;
use super::passes::Group;
use super::pieces::groups;
use super::posterior::Posterior;
use super::spread::{Spread, Sums};
use tokensieve_kernels::Product;
use tokensieve_model::head::{Head, Rows};
use tokensieve_model::{Adapter, Document, Error, Model, Result};

/// Default number of most probable tokens in an estimate (choice).
pub const ALTERNATIVES: usize = 5;

/// The estimates of one predicted token.
#[derive(Clone, Debug, PartialEq)]
pub struct Estimate {
    /// Position of the token in the document.
    pub position: usize,
    /// Loss −log p without dropout, in nats.
    pub loss: f64,
    /// Entropy of the prediction without dropout, in nats.
    pub entropy: f64,
    /// The most probable tokens without dropout, with their probabilities.
    pub top: Vec<(u32, f32)>,
    /// The measures of uncertainty; `None` without a posterior.
    pub spread: Option<Spread>,
}

/// How much was computed, and how long it took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Work {
    /// Number of tokens of the documents.
    pub tokens: usize,
    /// Number of predicted tokens.
    pub predicted: usize,
    /// Time spent on hidden states.
    pub model: Duration,
    /// Time spent on logits and measures.
    pub head: Duration,
}

/// Documents of which the first ones have been estimated before. They are computed again as far as they share a group with
/// others, whose estimates then do not depend, by a bit, on where the work was interrupted.
#[derive(Clone, Copy, Debug)]
pub struct Documents<'a> {
    /// All of them.
    pub all: &'a [&'a Document],
    /// How many are done.
    pub done: usize,
    /// Of several processes this one's number, and how many they are: they take the groups in turn.
    pub share: (usize, usize),
}

impl<'a> Documents<'a> {
    /// All of them, by this process.
    pub fn all(all: &'a [&'a Document]) -> Self {
        Self { all, done: 0, share: (0, 1) }
    }
}

/// A document is estimated if tokens after its first one are predicted.
fn is_predicted(document: &Document) -> bool {
    document.weights.iter().skip(1).any(|weight| *weight != 0.0)
}

/// Estimates every token of the documents' responses. `adapter` is attached to the model in all passes with and without
/// dropout. If the posterior is a list of adapters, its first one is the default for the pass without dropout.
///
/// `each` receives the index of a document that was not done and its estimates, in the order of the documents. A document
/// without a response has no estimates, and is the first process'.
///
/// # Panics
/// If the number of rows of a document and of their statistics differ, which would be a bug.
pub fn estimate(
    model: &mut Model,
    adapter: Option<&Adapter>,
    documents: Documents<'_>,
    posterior: &Posterior,
    top: usize,
    budget: &Budget,
    each: &mut dyn FnMut(usize, Vec<Estimate>) -> Result<()>,
) -> Result<Work> {
    let passes = posterior.passes();
    let row_bytes = model.config().hidden_size as usize * model.kind().elt_size_in_bytes() * (passes + 1);
    let adapter = match posterior {
        Posterior::Adapters(adapters) => adapter.or(adapters.first()),
        _ => adapter,
    };
    let mut head = Head::default();
    let mut work = Work::default();
    let Documents { all, done, share: (process, processes) } = documents;
    let pass_over = |between: std::ops::Range<usize>,
                     each: &mut dyn FnMut(usize, Vec<Estimate>) -> Result<()>| {
        let mut empty = between.filter(|index| process == 0 && !is_predicted(all[*index]));
        empty.try_for_each(|index| each(index, Vec::new()))
    };
    let mut next = done;
    let mut turn = 0;
    let mut unfinished = Vec::new();
    let whole = model.config().rope.depends_on_length();
    for pieces in groups(all, budget.hidden_bytes / row_bytes, whole) {
        let is_own = turn % processes == process;
        // The pieces of a document are one process'.
        turn += usize::from(pieces.last().is_some_and(|piece| piece.last));
        if !is_own || pieces.iter().all(|piece| piece.index < done) {
            continue;
        }
        let began = Instant::now();
        model.attach(adapter)?;
        let group = Group { model, pieces: &pieces, tokens: budget.tokens };
        let (plain_rd, all_prd) = (group.buffer(1).get(0), group.buffer(passes));
        group.without_dropout(&plain_rd);
        match posterior {
            Posterior::Dropout(dropout) if passes > 0 => group.with_dropout(dropout, &all_prd),
            Posterior::Adapters(adapters) => {
                for (pass, adapter) in (0..).zip(adapters) {
                    model.attach(Some(adapter))?;
                    Group { model, pieces: &pieces, tokens: budget.tokens }
                        .without_dropout(&all_prd.get(pass));
                }
            }
            _ => {}
        }
        work.model += began.elapsed();
        let began = Instant::now();
        let labels: Vec<u32> = pieces
            .iter()
            .flat_map(|piece| piece.positions.iter().map(|position| piece.document.tokens[*position]))
            .collect();
        let rows = Rows { hidden_rd: &plain_rd, labels: &labels, unembedding: model.unembedding() };
        let (stats, largest) = head.statistics_and_top(&rows, top);
        let spreads: Vec<Option<Spread>> = match posterior {
            Posterior::None => vec![None; labels.len()],
            _ if passes == 0 => stats.iter().map(|row| Some(Spread::none(row.entropy))).collect(),
            _ => spreads(&rows, &all_prd, budget).into_iter().map(Some).collect(),
        };
        let mut spreads = spreads.into_iter();
        let mut row = 0;
        for piece in &pieces {
            pass_over(next..piece.index, each)?;
            next = next.max(piece.index);
            for position in &piece.positions {
                let top = largest.ids(row).iter().copied().zip(largest.probabilities(row).iter().copied());
                let top = top.collect();
                let (loss, entropy) = (stats[row].loss, stats[row].entropy);
                let spread = spreads.next().expect("one per row");
                if !stats[row].is_finite() || !spread.is_none_or(|spread| spread.is_finite()) {
                    return Err(Error::not_finite(format!("row {}, token {position}", piece.document.row)));
                }
                unfinished.push(Estimate { position: *position, loss, entropy, top, spread });
                row += 1;
            }
            if piece.last {
                let estimates = std::mem::take(&mut unfinished);
                work.tokens += piece.document.tokens.len();
                work.predicted += estimates.len();
                if piece.index >= done {
                    each(piece.index, estimates)?;
                    next = piece.index + 1;
                }
            }
        }
        work.head += began.elapsed();
    }
    pass_over(next..all.len(), each)?;
    Ok(work)
}

/// The measures of every row, computed from its hidden states in all passes, `[P, R, D]`.
fn spreads(rows: &Rows, hidden_prd: &Tensor, budget: &Budget) -> Vec<Spread> {
    let unembedding = rows.unembedding;
    let [passes, count, width] = hidden_prd.size()[..] else { unreachable!("three dimensions") };
    let vocabulary = unembedding.weight.size()[0];
    let fit = budget.sums_bytes / Sums::row_bytes(passes as usize, vocabulary);
    let at_once = fit.clamp(1, (count as usize).max(1));
    let logits_row = vocabulary as usize * hidden_prd.kind().elt_size_in_bytes();
    let passes_at_once = (budget.logits_bytes / logits_row / at_once).clamp(1, passes as usize) as i64;
    let mut sums = Sums::new(at_once, passes as usize, &unembedding);
    let size = [at_once as i64 * passes_at_once, vocabulary];
    let logits = Tensor::empty(size, (hidden_prd.kind(), hidden_prd.device()));
    let mut found = Vec::with_capacity(count as usize);
    no_grad(|| {
        for start in (0..count).step_by(at_once) {
            let n = (count - start).min(at_once as i64);
            sums.clear();
            for first in (0..passes).step_by(passes_at_once as usize) {
                let m = (passes - first).min(passes_at_once);
                let hidden_nmd = hidden_prd.narrow(0, first, m).narrow(1, start, n).transpose(0, 1);
                let out = logits.narrow(0, 0, n * m);
                Product::of(&hidden_nmd.reshape([n * m, width]), &unembedding.weight.tr()).write(&out);
                let passes = first as usize..(first + m) as usize;
                sums.add(passes, &out.view([n, m, vocabulary]), unembedding.soft_cap);
            }
            found.extend(sums.spreads(n as usize));
        }
    });
    found
}
