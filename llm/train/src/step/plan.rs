//! Which passes a step makes over its batch, and how.

use tch::{Device, Kind, Tensor};
use tokensieve_kernels::Int8Weight;
use tokensieve_kernels::nccl::Communicator;
use tokensieve_model::{Error, Result};
use tokensieve_processes::Group;

use super::rule::{Rule, Scope};
use crate::config::Ranking;

/// How a step is done, besides what its objective decides.
#[derive(Clone, Copy, Debug)]
pub struct StepOptions<'a> {
    /// Tokens of a micro-batch; a longer document goes alone.
    pub micro_tokens: usize,
    /// Whether the backward pass computes layers again instead of keeping what it needs of them.
    pub checkpointing: bool,
    /// The step's seed of dropout.
    pub dropout: u64,
    /// How documents are ranked.
    pub ranking: Ranking,
    /// The processes that share the step; `None` if this one is alone.
    pub processes: Option<Processes<'a>>,
}

/// The processes that share a step.
#[derive(Clone, Copy, Debug)]
pub struct Processes<'a> {
    /// Their connections.
    pub group: &'a Group,
    /// Those of their GPUs; without them gradients are added up in the processors' memory.
    pub gpus: Option<&'static Communicator>,
}

impl<'a> From<&'a Group> for Processes<'a> {
    fn from(group: &'a Group) -> Self {
        Self { group, gpus: None }
    }
}

/// Which passes a step makes over its batch, decided before the first.
#[derive(Debug)]
pub(super) enum Plan {
    /// One pass: this rule gives the pulls of a chunk of rows while the chunk's logits exist.
    Fused(Box<dyn Rule>),
    /// One pass for the statistics of all tokens, one for the gradient of the documents that have a pull.
    TwoPasses,
    /// An int8 forward pass ranks the documents. The chosen ones go through the model again, exactly, and this rule gives
    /// their pulls.
    ///
    /// Where the weights are not trained, ranking costs as much as half of a step, so choosing a quarter of the documents
    /// saves little. In int8 it costs half of that. Two things may differ from the exact ranking: the order of documents
    /// with nearly equal criteria, and the normaliser of objectives some of whose pulls vanish, or that match the gradient
    /// of −log p on all documents.
    RankedInInt8(Box<dyn Rule>),
}

impl Plan {
    /// The fewest passes that a rule and the configured ranking allow.
    pub(super) fn new(rule: &dyn Rule, ranking: Ranking) -> Result<Self> {
        match (ranking, rule.scope()?) {
            (Ranking::Exact, Scope::Token(part)) => Ok(Self::Fused(part)),
            (Ranking::Exact, Scope::Document(_) | Scope::Batch) => Ok(Self::TwoPasses),
            (Ranking::Int8, Scope::Document(part)) => Ok(Self::RankedInInt8(part)),
            (Ranking::Int8, Scope::Token(_) | Scope::Batch) => {
                Err(no_int8("the objective does not choose documents and leave the others alone"))
            }
        }
    }
}

/// Checks that a model on this device can rank documents so.
pub(crate) fn check_ranking(ranking: Ranking, device: Device) -> Result<()> {
    let weight = Tensor::zeros([1, 1], (Kind::Float, device));
    if ranking == Ranking::Int8 && Int8Weight::of(&weight).is_none() {
        Err(no_int8_products())
    } else {
        Ok(())
    }
}

pub(super) fn no_int8_products() -> Error {
    no_int8("the model is not on a processor with int8 products (AVX-512 VNNI beside its bf16 instructions)")
}

fn no_int8(why: &str) -> Error {
    Error::Run(format!("documents cannot be ranked in int8: {why}; train.ranking = \"exact\" ranks them"))
}
