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
//! Several processes share a step (`sharing.rs`): each computes statistics and gradient of its own documents.
//!
//! `passes.rs` has the single passes over a micro-batch, `rule.rs` what a step asks of an objective.

mod evaluate;
mod micro;
mod passes;
mod plan;
mod report;
mod rule;
mod sharing;
mod tokens;

use tch::{Tensor, no_grad};
use tokensieve_model::head::{Head, Reference};
use tokensieve_model::{Document, Error, Model, Result};
use tokensieve_objective::{Pull, Pulls, TokenStats};

pub use crate::config::Ranking;
pub use crate::reads::{Onto, Reads};
pub use evaluate::{Evaluation, evaluate};
pub(crate) use plan::check_ranking;
pub use plan::{Processes, StepOptions};
pub use report::{Record, StepReport};
pub use rule::{PullLists, Rule, Scope};

use crate::elementwise;
use crate::optimizer::Optimizer;
use crate::trained::Trained;
use micro::Micro;
use passes::{Passes, Pending, PullSource, ReferenceRequest};
use plan::Plan;
use report::Clock;
use sharing::Sharing;
use tokens::Tokens;

/// How many micro-batches' tokens stay between statistics and gradient: at the default of 4,096 tokens a batch of 32
/// conversations is computed once, for half as much memory again (choice, docs/LOG.md). On a GPU more of them stay, as far
/// as its memory allows.
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
        let (sharing, clock) = (Sharing::new(options.processes, batch), Clock::default());
        let mut passes = Passes { head, model, trained, reference, reads, batch, options, sharing, clock };

        let mut tokens = passes.all_tokens();
        let pending = statistics_of_batch(&mut passes, &mut plan, &mut tokens)?;
        passes.exchange(&mut tokens)?;
        let mut pulls = rule.pulls(&tokens.stats, &tokens.micro_batches)?;
        gradient(&mut passes, &mut plan, &mut tokens, &mut pulls, pending)?;
        passes.add_up_gradients()?;

        let own = |token: &TokenStats| passes.sharing.is_own(token.document as usize);
        let [loss, nll] = passes.sharing.sums(report::sums(rule, &tokens, &pulls, own))?;
        let nll = (!matches!(plan, Plan::RankedInInt8(_))).then_some(nll);
        Ok(report::report(batch, &tokens, &pulls, loss, nll, passes.clock.phases()))
    })
}

/// **Statistics** of this process' tokens; where the plan is fused, their gradient too, not yet normalised. Returns the
/// micro-batches whose forward pass stays.
fn statistics_of_batch(passes: &mut Passes, plan: &mut Plan, tokens: &mut Tokens) -> Result<Vec<Pending>> {
    let micro_batches = passes.micro_batches();
    let mut pending = Vec::new();
    match plan {
        Plan::Fused(part) => {
            for documents in &micro_batches {
                let micro = passes.pack(documents);
                let request = ReferenceRequest { statistics: true, pulls: true };
                let reference = passes.reference_stats(&micro, request)?;
                let places = tokens.places(documents);
                let source = PullSource::Rule(&mut **part);
                let computed = passes.fused(&micro, &places, &reference, 1.0, source)?;
                tokens.put_computed(&places, &computed);
            }
        }
        Plan::TwoPasses => {
            let (first, last) = micro_batches.split_at(first_that_stays(passes, &micro_batches));
            for documents in first {
                let micro = passes.pack(documents);
                let stats = passes.statistics(&micro)?;
                tokens.put(&micro, stats);
            }
            for documents in last {
                let micro = passes.pack(documents);
                let (stats, stays) = passes.statistics_pending(micro)?;
                tokens.put(&stays.micro, stats);
                pending.push(stays);
            }
        }
        Plan::RankedInInt8(_) => {
            let micros: Vec<Micro> = micro_batches.iter().map(|documents| passes.pack(documents)).collect();
            for (micro, stats) in micros.iter().zip(passes.int8_statistics(&micros)?) {
                tokens.put(micro, stats);
            }
        }
    }
    Ok(pending)
}

/// From which micro-batch on the forward pass stays between statistics and gradient.
fn first_that_stays(passes: &Passes, micro_batches: &[Vec<usize>]) -> usize {
    let tokens = |pack: &Vec<usize>| pack.iter().map(|i| passes.batch[*i].tokens.len()).sum::<usize>();
    let room = (KEPT_MICRO_BATCHES * passes.options.micro_tokens).max(passes.room_on_device());
    let fits = |sum: &mut usize, pack: &Vec<usize>| {
        *sum += tokens(pack);
        (*sum <= room).then_some(())
    };
    let stay = micro_batches.iter().rev().scan(0, fits).count();
    // A micro-batch that is longer than the room stays alone.
    micro_batches.len() - stay.max(1).min(micro_batches.len())
}

/// The **gradient** of this process' tokens that have a pull, divided by the batch's normaliser.
fn gradient(
    passes: &mut Passes,
    plan: &mut Plan,
    tokens: &mut Tokens,
    pulls: &mut Pulls,
    pending: Vec<Pending>,
) -> Result<()> {
    match plan {
        Plan::Fused(_) => {
            let same = |document: &usize| {
                let place = tokens.of(*document);
                tokens.fused_pulls[place.clone()] == pulls.pulls[place]
            };
            if !passes.micro_batches().iter().flatten().all(same) {
                let what = "the objective's pulls of the parts of a batch are not those of the batch: its scope is not `Token`";
                return Err(Error::Run(what.to_owned()));
            }
            let _ = passes.trained.parameters().gradients().shallow_clone().g_div_scalar_(pulls.normaliser);
        }
        Plan::TwoPasses => {
            let mut left: Vec<usize> = passes.micro_batches().concat();
            for stays in pending {
                let places = tokens.places(&stays.micro.documents);
                left.retain(|document| !stays.micro.documents.contains(document));
                let own: Vec<Pull> = places.iter().map(|place| pulls.pulls[*place]).collect();
                let distances = passes.gradient_of_pending(stays, &own, pulls.normaliser);
                places.iter().zip(distances).for_each(|(place, distance)| tokens.distance[*place] = distance);
            }
            left.retain(|document| pulls.pulls[tokens.of(*document)].iter().any(|pull| !pull.is_zero()));
            second_pass(passes, &left, tokens, pulls, None)?;
        }
        Plan::RankedInInt8(part) => {
            // A document whose approximate pull is zero can still have a small exact pull, so selection decides.
            let chosen = |document: &usize| pulls.selected[tokens.of(*document)].contains(&true);
            let chosen: Vec<usize> = (0..passes.batch.len()).filter(chosen).collect();
            let batch = passes.batch;
            passes.sharing.deal(batch, &chosen);
            let own: Vec<usize> =
                chosen.into_iter().filter(|document| passes.sharing.is_own(*document)).collect();
            second_pass(passes, &own, tokens, pulls, Some(&mut **part))?;
        }
    }
    Ok(())
}

/// Takes documents through the model again for their gradient. Where their statistics are approximate, `exact` gives the
/// pulls of the exact ones, which take their place.
fn second_pass(
    passes: &mut Passes,
    documents: &[usize],
    tokens: &mut Tokens,
    pulls: &mut Pulls,
    mut exact: Option<&mut dyn Rule>,
) -> Result<()> {
    for pack in passes.packs_of(documents) {
        let micro = passes.pack(&pack);
        let places = tokens.places(&pack);
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
            tokens.distance[place] = computed.distance[i];
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

/// Gradients of several lists of pulls on the same tokens, without a step: one forward pass and a backward pass per
/// list.
///
/// For each micro-batch of the documents `lists` receives its tokens, with loss and entropy, and gives the lists, one
/// pull per token and none of them onto a reference; `each` then receives every list's index and the gradient of its
/// sum, which is not normalised. Returns the tokens' statistics.
pub fn gradients(
    head: &mut Head,
    model: &mut Model,
    trained: &Trained,
    documents: &[&Document],
    options: &StepOptions,
    lists: &mut PullLists<'_>,
    each: &mut dyn FnMut(usize, &Tensor),
) -> Result<Vec<TokenStats>> {
    no_grad(|| {
        let (reference, reads, clock) = (&Reference::None, Reads::default(), Clock::default());
        let (batch, sharing) = (documents, Sharing::new(None, documents));
        let mut passes = Passes { head, model, trained, reference, reads, batch, options, sharing, clock };
        let mut tokens = Vec::new();
        for micro_batch in passes.micro_batches() {
            let micro = passes.pack(&micro_batch);
            tokens.extend(passes.gradients(&micro, lists, each)?);
        }
        Ok(tokens)
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
        let (sharing, clock) = (Sharing::new(options.processes, batch), Clock::default());
        let mut passes = Passes { head, model, trained, reference, reads, batch, options, sharing, clock };
        let mut tokens = passes.all_tokens();
        for documents in passes.micro_batches() {
            let micro = passes.pack(&documents);
            let stats = passes.statistics_without_dropout(&micro)?;
            tokens.put(&micro, stats);
        }
        passes.exchange(&mut tokens)?;
        Ok(tokens.stats)
    })
}
