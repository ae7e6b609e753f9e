//! A step whose documents are chosen by a forward pass in bytes.
//!
//! Where the weights are not trained, ranking costs as much as half of a step, and choosing a quarter of the documents
//! saves little. In bytes it costs half of that. Chosen documents go through the model again, exactly: only which they are
//! may differ from the exact ranking's, where two documents are nearly as far down the list. (And the number that divides
//! the gradient, where an objective's pull on a token can vanish: tokens with a pull are counted roughly.)

use tch::{Device, Kind, Tensor};

use super::micro::{Micro, Seen};
use super::report::{Phase, StepReport};
use super::{Rule, Step, Tokens, Wish};
use tokensieve_kernels::Bytes;
use tokensieve_model::Error;
use tokensieve_model::Result;
use tokensieve_model::head::RowStats;

/// In what numbers documents are put in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ranking {
    /// Those that the model computes in.
    #[default]
    Exact,
    /// Bytes.
    Int8,
}

impl Ranking {
    /// Whether a model on this device can be ranked by so.
    pub(crate) fn check(self, device: Device) -> Result<()> {
        let weight = Tensor::zeros([1, 1], (Kind::Float, device));
        if self == Self::Int8 && Bytes::of(&weight).is_none() { Err(unable()) } else { Ok(()) }
    }
}

impl Step<'_> {
    /// Rough statistics of everything, then statistics and gradient of the chosen documents.
    pub(super) fn ranked_in_bytes(mut self, rule: &mut dyn Rule) -> Result<StepReport> {
        if !rule.chooses_documents() {
            return Err(wrong("the objective does not choose documents and leave the others alone"));
        }
        let packs = self.micro_batches();
        let mut tokens = self.read_in_bytes(&packs)?;
        let mut pulls = rule.pulls(&tokens.stats, &tokens.micro_batches)?;
        tokens.cross_entropy = vec![0.0; tokens.stats.len()];
        self.second_sweep(&packs, &mut tokens, &mut pulls, Some(rule))?;
        Ok(self.report(rule, &tokens, &pulls))
    }

    fn read_in_bytes(&mut self, packs: &[Vec<usize>]) -> Result<Tokens> {
        let micros: Vec<(Micro, Seen)> = packs
            .iter()
            .map(|documents| {
                let micro = self.pack(documents.clone());
                let seen = self.look(&micro, Wish { losses: true, distribution: false })?;
                Ok((micro, seen))
            })
            .collect::<Result<_>>()?;
        let (head, clock, top_entropy) = (&mut *self.head, &mut self.clock, self.reads.top_entropy);
        let stats = self.model.with_int8_weights(|model, unembedding| -> Vec<Vec<RowStats>> {
            let of = |(micro, _): &(Micro, Seen)| {
                let hidden_rd = clock.time(Phase::Forward, || model.forward(&micro.pack));
                let rows = micro.rows(&hidden_rd, model.unembedding());
                clock.time(Phase::Head, || head.rough_statistics(&rows, unembedding, top_entropy))
            };
            micros.iter().map(of).collect()
        });
        let stats = stats.ok_or_else(unable)?;
        let mut tokens = Tokens::default();
        for ((micro, seen), stats) in micros.iter().zip(stats) {
            tokens.push(micro, self.tokens(micro, &stats, seen));
        }
        Ok(tokens)
    }
}

fn unable() -> Error {
    wrong("the model is not on a processor that multiplies bytes (AVX-512 VNNI)")
}

fn wrong(why: &str) -> Error {
    Error::Run(format!("documents cannot be ranked in bytes: {why}; train.ranking = \"exact\" ranks them"))
}
