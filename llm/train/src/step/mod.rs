//! One optimizer step's gradient: batch → hidden → statistics → pulls → gradient.
//!
//! The batch goes through the model in micro-batches, but is one batch to the objective: selection ranks all of its
//! tokens, and one number divides the whole gradient. So the result does not depend on the micro-batches' size.
//!
//! - Where a token's pull follows from the token alone, one sweep over the micro-batches does everything.
//! - Else a first sweep gathers the statistics of all tokens. The last two micro-batches stay (what the backward pass needs,
//!   and logits), so a batch that fits into two is computed once. The second sweep takes the documents that have a pull.
//! - Where whole documents are chosen, the first sweep may be done in bytes; the second then computes the statistics too.

mod evaluate;
mod micro;
mod rank;
mod report;
mod rule;

use std::collections::HashMap;
use std::ops::Range;

use tch::{Tensor, no_grad};
use tokensieve_objective::{Pull, Pulls, TokenStats};

pub use evaluate::{Evaluation, evaluate};
pub use rank::Ranking;
pub use report::{Record, StepReport};
pub(crate) use rule::{NO_BASE, NO_REFERENCE};
pub use rule::{Onto, Reads, Rule};

use crate::Trained;
use micro::{Micro, Seen};
use report::{Clock, Phase};
use tokensieve_model::Document;
use tokensieve_model::Result;
use tokensieve_model::head::{Distribution, Gradient, Head, Kept, Reference, RowStats, Rows, Wanted};
use tokensieve_model::{Keep, Model, Trace};

/// How many micro-batches' tokens stay between statistics and gradient: at the default of 4,096 tokens a batch of 32
/// conversations is computed once, for half as much memory again (choice, docs/LOG.md).
const KEPT_MICRO_BATCHES: usize = 2;

/// How a step is done.
#[derive(Clone, Copy, Debug)]
pub struct StepOptions {
    /// Tokens of a micro-batch; a longer document goes alone.
    pub micro_tokens: usize,
    /// Whether the backward pass computes layers again instead of keeping what it needs of them.
    pub checkpointing: bool,
    /// The step's seed of dropout.
    pub dropout: u64,
    /// How documents are put in order.
    pub ranking: Ranking,
}

/// Computes the gradient of one optimizer batch: afterwards `trained.parameters().gradients()` is it, complete.
pub fn step(
    head: &mut Head,
    model: &mut Model,
    trained: &Trained,
    reference: &Reference,
    rule: &mut dyn Rule,
    batch: &[&Document],
    options: &StepOptions,
) -> Result<StepReport> {
    no_grad(|| {
        let _ = trained.parameters().gradients().shallow_clone().zero_();
        let reads = rule.reads();
        reads.check(reference, trained)?;
        let step = Step { head, model, trained, reference, reads, batch, options, clock: Clock::default() };
        match options.ranking {
            Ranking::Int8 => step.ranked_in_bytes(rule),
            Ranking::Exact if rule.is_local() => step.at_once(rule),
            Ranking::Exact => step.in_two_sweeps(rule),
        }
    })
}

/// The statistics of a batch's tokens as an objective that `reads` these gets them; no gradient, no dropout.
pub fn statistics(
    head: &mut Head,
    model: &mut Model,
    trained: &Trained,
    reference: &Reference,
    reads: Reads,
    batch: &[&Document],
    options: &StepOptions,
) -> Result<Vec<TokenStats>> {
    no_grad(|| {
        reads.check(reference, trained)?;
        let mut step =
            Step { head, model, trained, reference, reads, batch, options, clock: Clock::default() };
        let mut tokens = Vec::new();
        for documents in step.micro_batches() {
            let micro = step.pack(documents);
            let seen = step.look(&micro, Wish { losses: true, distribution: false })?;
            let hidden_rd = step.model.forward(&micro.pack);
            tokens.extend(step.read(&micro, &hidden_rd, &seen));
        }
        Ok(tokens)
    })
}

/// The documents that have a token to predict, and their indices.
fn predicted<'d>(batch: &[&'d Document]) -> (Vec<usize>, Vec<&'d Document>) {
    let counts = |document: &Document| document.weights.iter().skip(1).any(|weight| *weight != 0.0);
    batch.iter().copied().enumerate().filter(|(_, document)| counts(document)).unzip()
}

/// What is asked of a reference.
#[derive(Clone, Copy)]
struct Wish {
    losses: bool,
    distribution: bool,
}

struct Step<'a> {
    head: &'a mut Head,
    model: &'a mut Model,
    trained: &'a Trained,
    reference: &'a Reference,
    reads: Reads,
    batch: &'a [&'a Document],
    options: &'a StepOptions,
    clock: Clock,
}

/// All tokens of a batch, document by document.
#[derive(Default)]
struct Tokens {
    stats: Vec<TokenStats>,
    /// How many each micro-batch had.
    micro_batches: Vec<usize>,
    cross_entropy: Vec<f64>,
    labels: Vec<u32>,
}

impl Tokens {
    fn push(&mut self, micro: &Micro, stats: Vec<TokenStats>) {
        self.labels.extend_from_slice(&micro.labels);
        self.micro_batches.push(stats.len());
        self.stats.extend(stats);
    }
}

/// A micro-batch whose forward pass was kept.
struct Pending {
    micro: Micro,
    trace: Trace,
    hidden_rd: Tensor,
    stats: Vec<RowStats>,
    kept: Kept,
    seen: Seen,
}

impl Step<'_> {
    /// Statistics and gradient of each micro-batch in one go; the normaliser divides at the end.
    fn at_once(mut self, rule: &mut dyn Rule) -> Result<StepReport> {
        let mut tokens = Tokens::default();
        for documents in self.micro_batches() {
            let micro = self.pack(documents);
            tokens.labels.extend_from_slice(&micro.labels);
            let seen = self.look(&micro, Wish { losses: true, distribution: true })?;
            let (hidden_rd, trace) = self.forward_traced(&micro);
            let (batch, vocabulary) = (self.batch, self.vocabulary());
            let mut stats = Vec::with_capacity(micro.len());
            let mut pulls = Vec::with_capacity(micro.len());
            let pull = |range: Range<usize>, rows: &[RowStats]| {
                let new = micro.tokens(range, rows, &seen, batch, vocabulary);
                let of_chunk: Vec<Pull> = new.iter().map(|token| rule.selected_pull(token)).collect();
                stats.extend(new);
                pulls.extend_from_slice(&of_chunk);
                Ok(of_chunk)
            };
            let gradient = self.sweep(&micro, &hidden_rd, &seen, 1.0, pull)?;
            tokens.micro_batches.push(stats.len());
            tokens.stats.extend(stats);
            tokens.cross_entropy.extend_from_slice(&gradient.cross_entropy);
            drop(hidden_rd);
            self.backward(&micro, trace, &gradient, &pulls);
        }
        let pulls = rule.pulls(&tokens.stats, &tokens.micro_batches)?;
        let _ = self.trained.parameters().gradients().shallow_clone().g_div_scalar_(pulls.normaliser);
        Ok(self.report(rule, &tokens, &pulls))
    }

    /// Statistics of everything, then the gradient of what has a pull.
    fn in_two_sweeps(mut self, rule: &mut dyn Rule) -> Result<StepReport> {
        let mut tokens = Tokens::default();
        let mut pending = Vec::new();
        let packs = self.micro_batches();
        let (left, kept) = packs.split_at(self.first_kept(&packs));
        for documents in left {
            let micro = self.pack(documents.clone());
            let seen = self.look(&micro, Wish { losses: true, distribution: false })?;
            let hidden_rd = self.forward(&micro);
            let stats = self.read(&micro, &hidden_rd, &seen);
            tokens.push(&micro, stats);
        }
        for documents in kept {
            let micro = self.pack(documents.clone());
            let seen = self.look(&micro, Wish { losses: true, distribution: true })?;
            let (hidden_rd, trace) = self.forward_traced(&micro);
            let rows = micro.rows(&hidden_rd, self.model.unembedding());
            let top_entropy = self.reads.top_entropy;
            let (stats, kept) =
                self.clock.time(Phase::Head, || self.head.statistics_keeping(&rows, top_entropy));
            tokens.push(&micro, self.tokens(&micro, &stats, &seen));
            pending.push(Pending { micro, trace, hidden_rd, stats, kept, seen });
        }
        let mut pulls = rule.pulls(&tokens.stats, &tokens.micro_batches)?;
        tokens.cross_entropy = vec![0.0; tokens.stats.len()];
        let mut start = tokens.stats.len() - pending.iter().map(|pending| pending.micro.len()).sum::<usize>();
        for Pending { micro, trace, hidden_rd, stats, kept, seen } in pending {
            let own = start..start + micro.len();
            start = own.end;
            let weight_gradient = self.trained.parameters().gradient(self.model.unembedding().name);
            let wanted = Wanted {
                pulls: &pulls.pulls[own.clone()],
                normaliser: pulls.normaliser,
                reference: distribution(self.reads.onto, self.reference, self.model, &seen),
                weight_gradient: weight_gradient.as_ref(),
            };
            let rows = micro.rows(&hidden_rd, self.model.unembedding());
            let gradient =
                self.clock.time(Phase::Head, || self.head.gradient(&rows, &stats, &wanted, Some(kept)));
            drop(hidden_rd);
            tokens.cross_entropy[own.clone()].copy_from_slice(&gradient.cross_entropy);
            self.backward(&micro, trace, &gradient, &pulls.pulls[own]);
        }
        self.second_sweep(left, &mut tokens, &mut pulls, None)?;
        Ok(self.report(rule, &tokens, &pulls))
    }

    /// From which micro-batch on the forward pass is kept between the sweeps.
    fn first_kept(&self, packs: &[Vec<usize>]) -> usize {
        let tokens = |pack: &Vec<usize>| pack.iter().map(|i| self.batch[*i].tokens.len()).sum::<usize>();
        let room = KEPT_MICRO_BATCHES * self.options.micro_tokens;
        let fits = |sum: &mut usize, pack: &Vec<usize>| {
            *sum += tokens(pack);
            (*sum <= room).then_some(())
        };
        let kept = packs.iter().rev().scan(0, fits).count();
        // One longer than all of them is kept alone.
        packs.len() - kept.max(1).min(packs.len())
    }

    /// The gradient of the micro-batches whose forward pass was not kept. What was known of their tokens roughly is made
    /// exact by the rule that chose them.
    fn second_sweep(
        &mut self,
        packs: &[Vec<usize>],
        tokens: &mut Tokens,
        pulls: &mut Pulls,
        rough: Option<&dyn Rule>,
    ) -> Result<()> {
        let mut places: HashMap<usize, Range<usize>> = HashMap::new();
        for (i, token) in tokens.stats.iter().enumerate() {
            places.entry(token.document as usize).or_insert(i..i).end = i + 1;
        }
        // What pulls nothing roughly may pull a little.
        let pulled = |document: &usize| {
            let place = places[document].clone();
            match rough {
                None => pulls.pulls[place].iter().any(|pull| !pull.is_zero()),
                Some(_) => pulls.selected[place].contains(&true),
            }
        };
        let documents: Vec<usize> = packs.iter().flatten().copied().filter(pulled).collect();
        let members: Vec<&Document> = documents.iter().map(|index| self.batch[*index]).collect();
        let (batch, vocabulary) = (self.batch, self.vocabulary());
        for pack in tokensieve_model::packs(&members, self.options.micro_tokens) {
            let micro = self.pack(pack.into_iter().map(|i| documents[i]).collect());
            let of: Vec<usize> =
                micro.documents.iter().flat_map(|document| places[document].clone()).collect();
            let onto_reference = rough.is_some() || of.iter().any(|i| pulls.pulls[*i].reference != 0.0);
            let seen = self.look(&micro, Wish { losses: rough.is_some(), distribution: onto_reference })?;
            let (hidden_rd, trace) = self.forward_traced(&micro);
            let normaliser = pulls.normaliser;
            let pull = |range: Range<usize>, rows: &[RowStats]| {
                let of = &of[range.clone()];
                if let Some(rule) = rough {
                    for (i, token) in of.iter().zip(micro.tokens(range, rows, &seen, batch, vocabulary)) {
                        (pulls.pulls[*i], tokens.stats[*i]) = (rule.selected_pull(&token), token);
                    }
                }
                Ok(of.iter().map(|i| pulls.pulls[*i]).collect())
            };
            let gradient = self.sweep(&micro, &hidden_rd, &seen, normaliser, pull)?;
            drop(hidden_rd);
            of.iter()
                .zip(&gradient.cross_entropy)
                .for_each(|(i, distance)| tokens.cross_entropy[*i] = *distance);
            let own: Vec<Pull> = of.iter().map(|i| pulls.pulls[*i]).collect();
            self.backward(&micro, trace, &gradient, &own);
        }
        Ok(())
    }

    fn micro_batches(&self) -> Vec<Vec<usize>> {
        let (places, documents) = predicted(self.batch);
        let packs = tokensieve_model::packs(&documents, self.options.micro_tokens).into_iter();
        packs.map(|pack| pack.into_iter().map(|i| places[i]).collect()).collect()
    }

    fn pack(&self, documents: Vec<usize>) -> Micro {
        Micro::new(self.batch, documents, self.model)
    }

    fn vocabulary(&self) -> i64 {
        self.model.config().vocab_size
    }

    fn drops(&self) -> bool {
        self.trained.adapter().is_some_and(|adapter| adapter.config.dropout > 0.0)
    }

    /// The forward pass that the backward pass goes back through.
    fn forward_traced(&mut self, micro: &Micro) -> (Tensor, Trace) {
        let keep = if self.options.checkpointing { Keep::LayerInputs } else { Keep::Everything };
        let keys = self.drops().then(|| micro.keys(self.batch, self.options.dropout));
        self.clock.time(Phase::Forward, || self.model.forward_traced(&micro.pack, keep, keys))
    }

    /// The same without a way back, with the same dropout.
    fn forward(&mut self, micro: &Micro) -> Tensor {
        if self.drops() {
            return self.forward_traced(micro).0;
        }
        self.clock.time(Phase::Forward, || self.model.forward(&micro.pack))
    }

    fn backward(&mut self, micro: &Micro, trace: Trace, gradient: &Gradient, pulls: &[Pull]) {
        if pulls.iter().all(|pull| pull.is_zero()) {
            return;
        }
        let into = self.trained.parameters();
        let kept = micro.pulled(pulls);
        self.clock.time(Phase::Backward, || {
            self.model.backward(trace, &gradient.hidden_rd, into, kept.as_deref());
        });
    }

    /// Statistics and gradient in one go.
    fn sweep(
        &mut self,
        micro: &Micro,
        hidden_rd: &Tensor,
        seen: &Seen,
        normaliser: f64,
        pulls: impl FnMut(Range<usize>, &[RowStats]) -> Result<Vec<Pull>>,
    ) -> Result<Gradient> {
        let unembedding = self.model.unembedding();
        let weight_gradient = self.trained.parameters().gradient(unembedding.name);
        let wanted = Wanted {
            pulls: &[],
            normaliser,
            reference: distribution(self.reads.onto, self.reference, self.model, seen),
            weight_gradient: weight_gradient.as_ref(),
        };
        let rows = micro.rows(hidden_rd, unembedding);
        let top_entropy = self.reads.top_entropy;
        let swept = self.clock.time(Phase::Head, || self.head.sweep(&rows, top_entropy, &wanted, pulls));
        Ok(swept?.1)
    }

    /// The tokens' statistics, without a way back.
    fn read(&mut self, micro: &Micro, hidden_rd: &Tensor, seen: &Seen) -> Vec<TokenStats> {
        let rows = micro.rows(hidden_rd, self.model.unembedding());
        let top_entropy = self.reads.top_entropy;
        let stats = self.clock.time(Phase::Head, || self.head.statistics(&rows, top_entropy));
        self.tokens(micro, &stats, seen)
    }

    fn tokens(&self, micro: &Micro, stats: &[RowStats], seen: &Seen) -> Vec<TokenStats> {
        micro.tokens(0..stats.len(), stats, seen, self.batch, self.vocabulary())
    }

    /// What the reference, and the model as it was before training, say of a micro-batch.
    fn look(&mut self, micro: &Micro, wish: Wish) -> Result<Seen> {
        let mut seen = Seen::default();
        let losses = wish.losses && self.reads.reference_loss;
        let onto = if wish.distribution { self.reads.onto } else { Onto::Nothing };
        let hidden = matches!(onto, Onto::All | Onto::Top(_));
        if let Reference::TopK(file) = self.reference {
            let places = micro.places(self.batch);
            if hidden {
                let k = if let Onto::Top(k) = onto { k } else { usize::MAX };
                seen.top = Some(file.top(&places, k)?);
            }
            if losses {
                seen.reference_losses = Some(file.losses(&places)?);
            }
        } else if hidden || losses {
            let hidden_rd = self.reference_hidden(self.reference, micro)?;
            let unembedding = self.reference.unembedding(self.model);
            let rows = micro.rows(&hidden_rd, unembedding);
            if losses {
                seen.reference_losses = Some(losses_of(&mut self.clock, self.head, &rows));
            }
            if let Onto::Top(k) = onto {
                seen.top = Some(self.clock.time(Phase::Reference, || self.head.top(&rows, k)));
            } else if hidden {
                seen.hidden_rd = Some(hidden_rd);
            }
        }
        let known = |document: &usize| self.batch[*document].precomputed.base_loss.is_some();
        if wish.losses && self.reads.base_loss && !micro.documents.iter().all(known) {
            seen.base_losses = match (self.reference, &seen.reference_losses) {
                (Reference::Base, Some(losses)) => Some(losses.clone()),
                _ if self.trained.adapter().is_none() => None,
                _ => {
                    let hidden_rd = self.reference_hidden(&Reference::Base, micro)?;
                    let rows = micro.rows(&hidden_rd, self.model.unembedding());
                    Some(losses_of(&mut self.clock, self.head, &rows))
                }
            };
        }
        Ok(seen)
    }

    fn reference_hidden(&mut self, reference: &Reference, micro: &Micro) -> Result<Tensor> {
        let (model, trained) = (&mut *self.model, self.trained);
        self.clock.time(Phase::Reference, || reference.forward(model, &micro.pack, trained.adapter()))
    }

    fn report(&self, rule: &dyn Rule, tokens: &Tokens, pulls: &Pulls) -> StepReport {
        let each = tokens.stats.iter().zip(&pulls.pulls).zip(&pulls.selected).zip(&tokens.cross_entropy);
        let loss = |(((token, pull), selected), distance): (((&TokenStats, &Pull), &bool), &f64)| {
            rule.loss(token, *pull, *selected, *distance)
        };
        let records =
            tokens.stats.iter().zip(&tokens.labels).zip(&pulls.selected).map(|((token, label), selected)| {
                let document = self.batch[token.document as usize];
                Record {
                    document: token.document,
                    row: document.row,
                    position: token.position,
                    label: *label,
                    loss: token.loss,
                    entropy: token.entropy,
                    selected: *selected,
                }
            });
        StepReport {
            loss: each.map(loss).sum::<f64>() / pulls.normaliser,
            nll: tokens.stats.iter().map(|token| token.loss).sum::<f64>() / tokens.stats.len().max(1) as f64,
            tokens: tokens.stats.len(),
            selected: pulls.kept,
            pulled: pulls.pulled,
            normaliser: pulls.normaliser,
            records: records.collect(),
            phases: self.clock.phases(),
        }
    }
}

/// What pulls onto the reference point to.
fn distribution<'s>(
    onto: Onto,
    reference: &'s Reference,
    model: &'s Model,
    seen: &'s Seen,
) -> Distribution<'s> {
    match (&seen.hidden_rd, &seen.top) {
        _ if onto == Onto::Uniform => Distribution::Uniform,
        (_, Some(top)) => Distribution::Top(top),
        (Some(hidden_rd), None) => {
            Distribution::Model { hidden_rd, unembedding: reference.unembedding(model) }
        }
        (None, None) => Distribution::None,
    }
}

fn losses_of(clock: &mut Clock, head: &mut Head, rows: &Rows) -> Vec<f64> {
    let stats = clock.time(Phase::Reference, || head.statistics(rows, false));
    stats.iter().map(|row| row.loss).collect()
}
