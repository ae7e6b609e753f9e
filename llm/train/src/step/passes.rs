//! Single passes over a micro-batch: forward through the model, its reference and the head, and backward.

use tch::{Cuda, Device, Tensor};
use tokensieve_kernels::{machine, memory};
use tokensieve_model::head::{
    Distribution, Gradient, Head, Kept, Reference, Request, RowStats, Rows, Wanted,
};
use tokensieve_model::{Document, Error, Keep, Model, Result, Trace};
use tokensieve_objective::{Error as ObjectiveError, Pull, TokenStats};

use super::micro::{Micro, ReferenceStats, predicting};
use super::plan::{StepOptions, no_int8_products};
use super::report::{Clock, Phase};
use super::rule::{PullLists, Rule};
use super::sharing::Sharing;
use super::tokens::{Computed, Tokens};
use crate::reads::{Onto, Reads};
use crate::trained::Trained;

/// What a step computes with.
pub(super) struct Passes<'a> {
    pub(super) head: &'a mut Head,
    pub(super) model: &'a mut Model,
    pub(super) trained: &'a Trained,
    pub(super) reference: &'a Reference,
    pub(super) reads: Reads,
    pub(super) batch: &'a [&'a Document],
    pub(super) options: &'a StepOptions<'a>,
    pub(super) sharing: Sharing<'a>,
    pub(super) clock: Clock,
}

/// What to compute of a reference.
#[derive(Clone, Copy)]
pub(super) struct ReferenceRequest {
    /// What the objective's statistics are computed from: the labels' losses and the distribution, as far as it reads
    /// them.
    pub(super) statistics: bool,
    /// The distribution that pulls point to, if there are such pulls.
    pub(super) pulls: bool,
}

/// A micro-batch between statistics and gradient: its forward pass, and its logits as far as the budget allows.
pub(super) struct Pending {
    pub(super) micro: Micro,
    trace: Trace,
    hidden_rd: Tensor,
    stats: Vec<RowStats>,
    logits: Kept,
    reference: ReferenceStats,
}

/// Where the pulls of a micro-batch come from while its logits exist.
pub(super) enum PullSource<'a> {
    /// The batch's pulls, known already.
    Batch(&'a [Pull]),
    /// A rule for parts of a batch.
    Rule(&'a mut dyn Rule),
}

impl Passes<'_> {
    /// All tokens of the batch, before anything is computed.
    pub(super) fn all_tokens(&self) -> Tokens {
        Tokens::new(self.batch, &self.packs_of(&predicting(self.batch)), self.vocabulary())
    }

    /// Micro-batches of this process' documents that have a token to predict: indices in the batch.
    pub(super) fn micro_batches(&self) -> Vec<Vec<usize>> {
        let mut documents = predicting(self.batch);
        documents.retain(|document| self.sharing.is_own(*document));
        self.packs_of(&documents)
    }

    /// Micro-batches of some of the batch's documents.
    pub(super) fn packs_of(&self, documents: &[usize]) -> Vec<Vec<usize>> {
        let members: Vec<&Document> = documents.iter().map(|index| self.batch[*index]).collect();
        let packs = tokensieve_model::packs(&members, self.options.micro_tokens).into_iter();
        packs.map(|pack| pack.into_iter().map(|i| documents[i]).collect()).collect()
    }

    pub(super) fn pack(&self, documents: &[usize]) -> Micro {
        Micro::new(self.batch, documents.to_vec(), self.model, self.reference)
    }

    /// Statistics of a micro-batch's tokens; nothing stays for a backward pass.
    pub(super) fn statistics(&mut self, micro: &Micro) -> Result<Vec<TokenStats>> {
        let reference = self.reference_stats(micro, ReferenceRequest { statistics: true, pulls: false })?;
        let hidden_rd = self.forward(micro);
        Ok(self.read(micro, &hidden_rd, &reference))
    }

    /// Statistics of a micro-batch's tokens as the model predicts them without dropout.
    pub(super) fn statistics_without_dropout(&mut self, micro: &Micro) -> Result<Vec<TokenStats>> {
        let reference = self.reference_stats(micro, ReferenceRequest { statistics: true, pulls: false })?;
        let hidden_rd = self.model.forward(&micro.pack);
        Ok(self.read(micro, &hidden_rd, &reference))
    }

    fn read(&mut self, micro: &Micro, hidden_rd: &Tensor, reference: &ReferenceStats) -> Vec<TokenStats> {
        let rows = micro.rows(hidden_rd, self.model.unembedding());
        let request = row_request(self.reads, self.reference, self.model, reference);
        let stats = self.clock.time(Phase::Head, || self.head.statistics(&rows, &request));
        self.tokens(micro, &stats, reference)
    }

    /// Statistics of a micro-batch's tokens; what their gradient needs stays.
    pub(super) fn statistics_pending(&mut self, micro: Micro) -> Result<(Vec<TokenStats>, Pending)> {
        let reference = self.reference_stats(&micro, ReferenceRequest { statistics: true, pulls: true })?;
        let (hidden_rd, trace) = self.forward_traced(&micro);
        let rows = micro.rows(&hidden_rd, self.model.unembedding());
        let request = row_request(self.reads, self.reference, self.model, &reference);
        let (stats, logits) = self.clock.time(Phase::Head, || self.head.statistics_keeping(&rows, &request));
        let tokens = self.tokens(&micro, &stats, &reference);
        Ok((tokens, Pending { micro, trace, hidden_rd, stats, logits, reference }))
    }

    /// Adds the gradient of a micro-batch whose statistics are known. Returns its tokens' distances from
    /// the reference.
    pub(super) fn gradient_of_pending(
        &mut self,
        pending: Pending,
        pulls: &[Pull],
        normaliser: f64,
    ) -> Vec<f64> {
        let Pending { micro, trace, hidden_rd, stats, logits, reference } = pending;
        let weight_gradient = self.weight_gradient();
        let wanted = Wanted {
            pulls,
            normaliser,
            reference: distribution(self.reads.onto, self.reference, self.model, &reference),
            reverse: self.reads.reverse,
            weight_gradient: weight_gradient.as_ref(),
        };
        let rows = micro.rows(&hidden_rd, self.model.unembedding());
        let gradient =
            self.clock.time(Phase::Head, || self.head.gradient(&rows, &stats, &wanted, Some(logits)));
        drop(hidden_rd);
        self.backward(&micro, trace, &gradient, pulls);
        gradient.distance
    }

    /// Forward pass, then statistics, pulls and gradient of one chunk of rows after the other while the chunk's logits
    /// exist, then backward pass. `places` are the tokens' indices in the batch.
    pub(super) fn fused(
        &mut self,
        micro: &Micro,
        places: &[usize],
        reference: &ReferenceStats,
        normaliser: f64,
        mut source: PullSource,
    ) -> Result<Computed> {
        let (hidden_rd, trace) = self.forward_traced(micro);
        let (batch, vocabulary) = (self.batch, self.vocabulary());
        let weight_gradient = self.weight_gradient();
        let wanted = Wanted {
            pulls: &[],
            normaliser,
            reference: distribution(self.reads.onto, self.reference, self.model, reference),
            reverse: self.reads.reverse,
            weight_gradient: weight_gradient.as_ref(),
        };
        let rows = micro.rows(&hidden_rd, self.model.unembedding());
        let mut computed = Computed::default();
        let request = row_request(self.reads, self.reference, self.model, reference);
        let mut chunks = self.head.chunks(&rows, request);
        while let Some(chunk) = self.clock.time(Phase::Head, || chunks.next_chunk()) {
            let stats = micro.tokens(chunk.range(), chunk.statistics(), reference, batch, vocabulary);
            let pulls = source.pulls(&stats, &places[chunk.range()])?;
            self.clock.time(Phase::Head, || chunk.gradient(&Wanted { pulls: &pulls, ..wanted }));
            computed.stats.extend(stats);
            computed.pulls.extend(pulls);
        }
        let gradient = chunks.finish();
        drop(hidden_rd);
        self.backward(micro, trace, &gradient, &computed.pulls);
        computed.distance = gradient.distance;
        Ok(computed)
    }

    /// One forward pass, and for each of the lists of pulls that `lists` makes of its tokens the gradient of their sum,
    /// not divided by anything: `each` receives the list's index and the trained parameters' gradient.
    pub(super) fn gradients(
        &mut self,
        micro: &Micro,
        lists: &mut PullLists<'_>,
        each: &mut dyn FnMut(usize, &Tensor),
    ) -> Result<Vec<TokenStats>> {
        let (hidden_rd, trace) = self.forward_traced(micro);
        let nothing = ReferenceStats::default();
        let rows = micro.rows(&hidden_rd, self.model.unembedding());
        let request = row_request(self.reads, self.reference, self.model, &nothing);
        let stats = self.clock.time(Phase::Head, || self.head.statistics(&rows, &request));
        let tokens = self.tokens(micro, &stats, &nothing);
        let (sums, weight_gradient) = (self.trained.parameters().gradients(), self.weight_gradient());
        for (index, pulls) in lists(&tokens)?.iter().enumerate() {
            let _ = sums.shallow_clone().zero_();
            let wanted = Wanted {
                pulls,
                normaliser: 1.0,
                reference: Distribution::None,
                reverse: false,
                weight_gradient: weight_gradient.as_ref(),
            };
            let rows = micro.rows(&hidden_rd, self.model.unembedding());
            let gradient = self.clock.time(Phase::Head, || self.head.gradient(&rows, &stats, &wanted, None));
            self.backward(micro, trace.shallow_clone(), &gradient, pulls);
            each(index, sums);
        }
        Ok(tokens)
    }

    /// Statistics of micro-batches' tokens by int8 forward passes.
    pub(super) fn int8_statistics(&mut self, micros: &[Micro]) -> Result<Vec<Vec<TokenStats>>> {
        let request = ReferenceRequest { statistics: true, pulls: false };
        let references =
            micros.iter().map(|micro| self.reference_stats(micro, request)).collect::<Result<Vec<_>>>()?;
        let (head, clock, reads, other) = (&mut *self.head, &mut self.clock, self.reads, self.reference);
        let stats = self.model.with_int8_weights(|model, unembedding| -> Vec<Vec<RowStats>> {
            let of = |(micro, reference): (&Micro, &ReferenceStats)| {
                let hidden_rd = clock.time(Phase::Forward, || model.forward(&micro.pack));
                let rows = micro.rows(&hidden_rd, model.unembedding());
                let request = row_request(reads, other, model, reference);
                clock.time(Phase::Head, || head.int8_statistics(&rows, unembedding, &request))
            };
            micros.iter().zip(&references).map(of).collect()
        });
        let stats = stats.ok_or_else(no_int8_products)?;
        let each = micros.iter().zip(&stats).zip(&references);
        Ok(each.map(|((micro, stats), reference)| self.tokens(micro, stats, reference)).collect())
    }

    /// Gives the statistics of this process' tokens to the others, and fills in theirs.
    pub(super) fn exchange(&mut self, tokens: &mut Tokens) -> Result<()> {
        self.clock.time(Phase::Exchange, || self.sharing.exchange(tokens))
    }

    /// Adds up the gradients of all processes.
    pub(super) fn add_up_gradients(&mut self) -> Result<()> {
        // A GPU's work is only queued: whatever waits for it next would be given its time.
        if let (true, Device::Cuda(index)) = (self.sharing.is_shared(), self.model.device()) {
            self.clock.time(Phase::Backward, || Cuda::synchronize(index as i64));
        }
        self.clock.time(Phase::Exchange, || self.sharing.add_up(self.trained.parameters().gradients()))
    }

    /// What the objective reads of the reference, and of the model as it was before training.
    pub(super) fn reference_stats(
        &mut self,
        micro: &Micro,
        request: ReferenceRequest,
    ) -> Result<ReferenceStats> {
        let mut found = ReferenceStats::default();
        let losses = request.statistics && self.reads.reference_loss;
        let masses = request.statistics && self.reads.reference_mass;
        let distribution = request.pulls || (request.statistics && self.reads.divergence);
        let onto = if distribution { self.reads.onto } else { Onto::Nothing };
        let predicts = matches!(onto, Onto::All | Onto::Top(_));
        if let Reference::TopK(file) = self.reference {
            let places = micro.places(self.batch);
            if predicts {
                let k = if let Onto::Top(k) = onto { k } else { usize::MAX };
                found.top = Some(file.top(&places, k)?);
            }
            if losses {
                found.reference_losses = Some(file.losses(&places)?);
            }
        } else if predicts || losses || masses {
            let hidden_rd = self.reference_hidden(self.reference, micro)?;
            let rows = micro.rows(&hidden_rd, self.reference.unembedding(self.model));
            if losses || masses {
                let of_label = label_statistics(&mut self.clock, self.head, &rows, masses);
                found.reference_losses = losses.then(|| of_label.iter().map(|row| row.loss).collect());
                found.reference_masses = masses.then(|| of_label.iter().filter_map(|row| row.mass).collect());
            }
            if let Onto::Top(k) = onto {
                found.top = Some(self.clock.time(Phase::Reference, || self.head.top(&rows, k)));
            } else if predicts {
                found.hidden_rd = Some(hidden_rd);
            }
        }
        let known = |document: &usize| self.batch[*document].precomputed.base_loss.is_some();
        if request.statistics && self.reads.base_loss && !micro.documents.iter().all(known) {
            found.base_losses = match (self.reference, &found.reference_losses) {
                (Reference::Base, Some(losses)) => Some(losses.clone()),
                _ if self.trained.adapter().is_none() => None,
                _ => {
                    let hidden_rd = self.reference_hidden(&Reference::Base, micro)?;
                    let rows = micro.rows(&hidden_rd, self.model.unembedding());
                    let of_label = label_statistics(&mut self.clock, self.head, &rows, false);
                    Some(of_label.iter().map(|row| row.loss).collect())
                }
            };
        }
        Ok(found)
    }

    fn reference_hidden(&mut self, reference: &Reference, micro: &Micro) -> Result<Tensor> {
        let (model, trained) = (&mut *self.model, self.trained);
        self.clock.time(Phase::Reference, || reference.forward(model, &micro.pack, trained.adapter()))
    }

    /// Tokens whose forward pass can stay in a GPU's memory, 0 on a CPU: in three quarters of what is free, for a
    /// micro-batch's backward pass and logits need some, too (choice). Processes that share the GPU ask before any of
    /// them has taken its part.
    pub(super) fn room_on_device(&self) -> usize {
        let free = memory::free_device_bytes(self.model.device()).unwrap_or(0) as usize;
        free / 4 * 3 / machine::sharers() / self.model.trace_bytes(self.keep()).max(1)
    }

    fn keep(&self) -> Keep {
        if self.options.checkpointing { Keep::LayerInputs } else { Keep::Everything }
    }

    /// The forward pass with what the backward pass needs.
    fn forward_traced(&mut self, micro: &Micro) -> (Tensor, Trace) {
        let keep = self.keep();
        let keys = self.drops().then(|| micro.keys(self.batch, self.options.dropout));
        self.clock.time(Phase::Forward, || self.model.forward_traced(&micro.pack, keep, keys))
    }

    /// The forward pass alone, with the same dropout as [`Passes::forward_traced`].
    fn forward(&mut self, micro: &Micro) -> Tensor {
        if self.drops() {
            return self.forward_traced(micro).0;
        }
        self.clock.time(Phase::Forward, || self.model.forward(&micro.pack))
    }

    /// Adds the gradients of what is trained; documents without a pull are skipped.
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

    fn drops(&self) -> bool {
        self.trained.adapter().is_some_and(|adapter| adapter.config.dropout > 0.0)
    }

    fn vocabulary(&self) -> i64 {
        self.model.config().vocab_size
    }

    /// Where the output matrix' gradient is added up, if that matrix is trained.
    fn weight_gradient(&self) -> Option<Tensor> {
        self.trained.parameters().gradient(self.model.unembedding().name)
    }

    fn tokens(&self, micro: &Micro, stats: &[RowStats], reference: &ReferenceStats) -> Vec<TokenStats> {
        micro.tokens(0..stats.len(), stats, reference, self.batch, self.vocabulary())
    }
}

impl PullSource<'_> {
    /// One pull for each of these tokens, whose indices in the batch are `places`.
    fn pulls(&mut self, stats: &[TokenStats], places: &[usize]) -> Result<Vec<Pull>> {
        match self {
            Self::Batch(pulls) => Ok(places.iter().map(|place| pulls[*place]).collect()),
            Self::Rule(rule) => match rule.pulls(stats, &[stats.len()]) {
                Ok(pulls) => Ok(pulls.pulls),
                Err(error) => Err(with_index_in_batch(error, places)),
            },
        }
    }
}

/// An error about a token of a chunk, as one about the same token of the batch.
fn with_index_in_batch(mut error: Error, places: &[usize]) -> Error {
    if let Error::Objective(ObjectiveError::Statistic { token, .. } | ObjectiveError::Missing { token, .. }) =
        &mut error
    {
        *token = places.get(*token).copied().unwrap_or(*token);
    }
    error
}

/// What the objective reads of a micro-batch's rows.
fn row_request<'s>(
    reads: Reads,
    reference: &'s Reference,
    model: &'s Model,
    found: &'s ReferenceStats,
) -> Request<'s> {
    let from = if reads.divergence { reads.onto } else { Onto::Nothing };
    let divergence_from = distribution(from, reference, model, found);
    Request { top_entropy: reads.top_entropy, tempered: reads.concentration, mass: false, divergence_from }
}

/// The distribution of the reference.
fn distribution<'s>(
    onto: Onto,
    reference: &'s Reference,
    model: &'s Model,
    found: &'s ReferenceStats,
) -> Distribution<'s> {
    match (onto, &found.hidden_rd, &found.top) {
        (Onto::Nothing, ..) => Distribution::None,
        (Onto::Uniform, ..) => Distribution::Uniform,
        (Onto::Itself(by), ..) => Distribution::Itself(by),
        (_, _, Some(top)) => Distribution::Top(top),
        (_, Some(hidden_rd), None) => {
            Distribution::Model { hidden_rd, unembedding: reference.unembedding(model) }
        }
        (_, None, None) => Distribution::None,
    }
}

/// The statistics of the labels under a reference model.
fn label_statistics(clock: &mut Clock, head: &mut Head, rows: &Rows, mass: bool) -> Vec<RowStats> {
    clock.time(Phase::Reference, || head.statistics(rows, &Request { mass, ..Request::default() }))
}
