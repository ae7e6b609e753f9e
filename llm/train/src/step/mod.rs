//! One optimizer step: statistics → pulls → gradient → update.
//!
//! The batch goes through the model in micro-batches, but is one batch to the objective: selection ranks all of its
//! tokens, and one number divides the whole gradient. So the result does not depend on the micro-batches' size.
//!
//! A step makes as few passes as its objective allows, by its plan:
//!
//! | plan | where | statistics | gradient |
//! |---|---|---|---|
//! | fused | a token's pull follows from the token alone | chunk by chunk, | with the statistics of the chunk |
//! | two passes | everywhere else | of all tokens | of the documents that have a pull |
//! | ranked in int8 | whole documents are chosen | of all tokens, in int8 | of the chosen documents, exactly |
//!
//! `passes.rs` has the single passes over a micro-batch, `rule.rs` what a step asks of an objective.

mod evaluate;
mod micro;
mod passes;
mod plan;
mod report;
mod rule;
mod tokens;

use std::collections::HashMap;
use std::ops::Range;

use tch::no_grad;
use tokensieve_model::head::{Head, Reference};
use tokensieve_model::{Document, Error, Model, Result};
use tokensieve_objective::{Pulls, TokenStats};

pub use crate::config::Ranking;
pub use crate::reads::{Onto, Reads};
pub use evaluate::{Evaluation, evaluate};
pub use plan::StepOptions;
pub(crate) use plan::check_ranking;
pub use report::{Record, StepReport};
pub use rule::{Rule, Scope};

use crate::elementwise;
use crate::optimizer::Optimizer;
use crate::trained::Trained;
use micro::Micro;
use passes::{Passes, Pending, PullSource, ReferenceRequest};
use plan::Plan;
use report::Clock;
use tokens::Tokens;

/// How many micro-batches' tokens stay between statistics and gradient: at the default of 4,096 tokens a batch of 32
/// conversations is computed once, for half as much memory again (choice, docs/LOG.md).
const KEPT_MICRO_BATCHES: usize = 2;

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
        let mut plan = Plan::new(rule, options.ranking)?;
        let clock = Clock::default();
        let mut passes = Passes { head, model, trained, reference, reads, batch, options, clock };

        let (mut tokens, pending) = statistics_of_batch(&mut passes, &mut plan)?;
        let mut pulls = rule.pulls(&tokens.stats, &tokens.micro_batches)?;
        gradient(&mut passes, &mut plan, &mut tokens, &mut pulls, pending)?;

        let phases = passes.clock.phases();
        Ok(report::report(rule, batch, &tokens, &pulls, phases))
    })
}

/// A micro-batch whose forward pass stays, and where its tokens stand in the batch.
type PendingTokens = (Range<usize>, Pending);

/// **Statistics** of all tokens of the batch; where the plan is fused, their gradient too, not yet normalised.
fn statistics_of_batch(passes: &mut Passes, plan: &mut Plan) -> Result<(Tokens, Vec<PendingTokens>)> {
    let micro_batches = passes.micro_batches();
    let mut tokens = Tokens::default();
    let mut pending = Vec::new();
    match plan {
        Plan::Fused(part) => {
            for documents in &micro_batches {
                let micro = passes.pack(documents);
                let request = ReferenceRequest { statistics: true, pulls: true };
                let reference = passes.reference_stats(&micro, request)?;
                let start = tokens.stats.len();
                let places: Vec<usize> = (start..start + micro.len()).collect();
                let source = PullSource::Rule(&mut **part);
                let computed = passes.fused(&micro, &places, &reference, 1.0, source)?;
                let place = tokens.push(&micro, computed.stats);
                tokens.cross_entropy[place].copy_from_slice(&computed.cross_entropy);
                tokens.fused_pulls.extend(computed.pulls);
            }
        }
        Plan::TwoPasses => {
            let (first, last) = micro_batches.split_at(first_that_stays(passes, &micro_batches));
            for documents in first {
                let micro = passes.pack(documents);
                let stats = passes.statistics(&micro)?;
                tokens.push(&micro, stats);
            }
            for documents in last {
                let micro = passes.pack(documents);
                let (stats, stays) = passes.statistics_pending(micro)?;
                pending.push((tokens.push(&stays.micro, stats), stays));
            }
        }
        Plan::RankedInInt8(_) => {
            let micros: Vec<Micro> = micro_batches.iter().map(|documents| passes.pack(documents)).collect();
            for (micro, stats) in micros.iter().zip(passes.int8_statistics(&micros)?) {
                tokens.push(micro, stats);
            }
        }
    }
    Ok((tokens, pending))
}

/// From which micro-batch on the forward pass stays between statistics and gradient.
fn first_that_stays(passes: &Passes, micro_batches: &[Vec<usize>]) -> usize {
    let tokens = |pack: &Vec<usize>| pack.iter().map(|i| passes.batch[*i].tokens.len()).sum::<usize>();
    let room = KEPT_MICRO_BATCHES * passes.options.micro_tokens;
    let fits = |sum: &mut usize, pack: &Vec<usize>| {
        *sum += tokens(pack);
        (*sum <= room).then_some(())
    };
    let stay = micro_batches.iter().rev().scan(0, fits).count();
    // A micro-batch that is longer than the room stays alone.
    micro_batches.len() - stay.max(1).min(micro_batches.len())
}

/// The **gradient** of all tokens that have a pull, divided by the batch's normaliser.
fn gradient(
    passes: &mut Passes,
    plan: &mut Plan,
    tokens: &mut Tokens,
    pulls: &mut Pulls,
    pending: Vec<PendingTokens>,
) -> Result<()> {
    let first = pending.first().map_or(tokens.stats.len(), |(place, _)| place.start);
    let documents = tokens.documents(first);
    match plan {
        Plan::Fused(_) => {
            if tokens.fused_pulls != pulls.pulls {
                let what = "the objective's pulls of the parts of a batch are not those of the batch: its scope is not `Token`";
                return Err(Error::Run(what.to_owned()));
            }
            let _ = passes.trained.parameters().gradients().shallow_clone().g_div_scalar_(pulls.normaliser);
        }
        Plan::TwoPasses => {
            for (place, stays) in pending {
                let own = &pulls.pulls[place.clone()];
                let distances = passes.gradient_of_pending(stays, own, pulls.normaliser);
                tokens.cross_entropy[place].copy_from_slice(&distances);
            }
            let has_pull =
                |place: &Range<usize>| pulls.pulls[place.clone()].iter().any(|pull| !pull.is_zero());
            let pulled: Vec<_> = documents.into_iter().filter(|(_, place)| has_pull(place)).collect();
            second_pass(passes, &pulled, tokens, pulls, None)?;
        }
        Plan::RankedInInt8(part) => {
            // A document whose approximate pull is zero can still have a small exact pull, so selection decides.
            let selected = |place: &Range<usize>| pulls.selected[place.clone()].contains(&true);
            let chosen: Vec<_> = documents.into_iter().filter(|(_, place)| selected(place)).collect();
            second_pass(passes, &chosen, tokens, pulls, Some(&mut **part))?;
        }
    }
    Ok(())
}

/// Takes documents through the model again for their gradient. Where their statistics are approximate, `exact` gives the
/// pulls of the exact ones, which take their place.
fn second_pass(
    passes: &mut Passes,
    documents: &[(usize, Range<usize>)],
    tokens: &mut Tokens,
    pulls: &mut Pulls,
    mut exact: Option<&mut dyn Rule>,
) -> Result<()> {
    let places: HashMap<usize, Range<usize>> = documents.iter().cloned().collect();
    let indices: Vec<usize> = documents.iter().map(|(document, _)| *document).collect();
    for pack in passes.packs_of(&indices) {
        let micro = passes.pack(&pack);
        let places: Vec<usize> = pack.iter().flat_map(|document| places[document].clone()).collect();
        let onto_reference = places.iter().any(|place| pulls.pulls[*place].reference != 0.0);
        let request =
            ReferenceRequest { statistics: exact.is_some(), pulls: exact.is_some() || onto_reference };
        let reference = passes.reference_stats(&micro, request)?;
        let source = match &mut exact {
            Some(rule) => PullSource::Rule(&mut **rule),
            None => PullSource::Batch(&pulls.pulls),
        };
        let computed = passes.fused(&micro, &places, &reference, pulls.normaliser, source)?;
        for (i, place) in places.into_iter().enumerate() {
            tokens.cross_entropy[place] = computed.cross_entropy[i];
            if exact.is_some() {
                (tokens.stats[place], pulls.pulls[place]) = (computed.stats[i], computed.pulls[i]);
            }
        }
    }
    Ok(())
}

/// The **update** of what is trained by the gradient of [`step`]; returns the gradient's length before clipping. What is
/// trained stays finite: nobody could continue from anything else.
pub fn update(optimizer: &mut Optimizer, trained: &Trained, model: &mut Model, lr: f64) -> Result<f64> {
    let norm = optimizer.step(trained.parameters(), lr);
    finite("length of the gradient", norm)?;
    finite(
        "length of the trained parameters after the step",
        elementwise::norm(trained.parameters().values()),
    )?;
    trained.refresh(model)?;
    Ok(norm)
}

/// Refuses a number that is NaN or infinite.
pub(crate) fn finite(what: &str, value: f64) -> Result<()> {
    if value.is_finite() { Ok(()) } else { Err(Error::Run(format!("the {what} is {value}"))) }
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
        let clock = Clock::default();
        let mut passes = Passes { head, model, trained, reference, reads, batch, options, clock };
        let mut tokens = Vec::new();
        for documents in passes.micro_batches() {
            let micro = passes.pack(&documents);
            tokens.extend(passes.statistics_without_dropout(&micro)?);
        }
        Ok(tokens)
    })
}
