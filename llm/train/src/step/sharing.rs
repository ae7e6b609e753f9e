//! A batch that several processes share: whose documents are whose, and what the processes tell each other.
//!
//! A process computes statistics and gradient of its own documents. What depends on the whole batch (selection,
//! normaliser) every process computes from all tokens' statistics, which [`Sharing::exchange`] gives to each: the same
//! numbers in the same order, so the same result. One sum of gradients ([`Sharing::add_up`]) ends the step.

use std::time::Duration;

use tch::{Device, Tensor};
use tokensieve_model::{Document, Error, Result};
use tokensieve_objective::TokenStats;
use tokensieve_processes::deal;

use super::plan::Processes;
use super::tokens::Tokens;
use crate::elementwise;

/// How long a process that ended may take to be known for lost (choice).
const NOTICED: Duration = Duration::from_secs(3);

/// Whose a batch's documents are.
pub(super) struct Sharing<'a> {
    /// `None` if this one is alone.
    processes: Option<Processes<'a>>,
    /// Each document's process.
    owners: Vec<usize>,
}

impl<'a> Sharing<'a> {
    /// Deals a batch's documents; all are this process' if it is alone.
    pub(super) fn new(processes: Option<Processes<'a>>, batch: &[&Document]) -> Self {
        let mut sharing = Self { processes, owners: vec![0; batch.len()] };
        sharing.deal(batch, &(0..batch.len()).collect::<Vec<_>>());
        sharing
    }

    /// Deals some of the documents anew.
    pub(super) fn deal(&mut self, batch: &[&Document], documents: &[usize]) {
        let Some(Processes { group, .. }) = self.processes else { return };
        let lengths: Vec<usize> = documents.iter().map(|document| batch[*document].tokens.len()).collect();
        for (document, owner) in documents.iter().zip(deal(&lengths, group.size())) {
            self.owners[*document] = owner;
        }
    }

    /// Whether there are other processes.
    pub(super) fn is_shared(&self) -> bool {
        self.processes.is_some()
    }

    /// Whether a document is this process'.
    pub(super) fn is_own(&self, document: usize) -> bool {
        self.processes.is_none_or(|all| self.owners[document] == all.group.rank())
    }

    /// Gives the statistics of this process' tokens to the others, and fills in theirs.
    pub(super) fn exchange(&self, tokens: &mut Tokens) -> Result<()> {
        let Some(Processes { group, .. }) = self.processes else { return Ok(()) };
        let mut own = Vec::new();
        for place in self.places(tokens, group.rank()) {
            write(&mut tokens.stats[place], &mut own);
        }
        for (rank, bytes) in group.gather(&own).map_err(Error::other)?.into_iter().enumerate() {
            if rank == group.rank() {
                continue;
            }
            let mut bytes = bytes.as_slice();
            for place in self.places(tokens, rank) {
                let read = read(&mut tokens.stats[place], &mut bytes);
                read.ok_or_else(|| Error::Run(format!("process {rank} sent statistics of other tokens")))?;
            }
        }
        Ok(())
    }

    /// Where the tokens of a process' documents stand.
    fn places(&self, tokens: &Tokens, rank: usize) -> Vec<usize> {
        let documents: Vec<usize> =
            (0..self.owners.len()).filter(|document| self.owners[*document] == rank).collect();
        tokens.places(&documents)
    }

    /// Adds up all processes' gradients, in place.
    pub(super) fn add_up(&self, gradients: &Tensor) -> Result<()> {
        let Some(Processes { group, gpus }) = self.processes else { return Ok(()) };
        if let Some(gpus) = gpus {
            // NCCL would wait without a limit for a process that still computes.
            group.wait().map_err(Error::other)?;
            let lost = gpus.all_reduce_sum(gradients, || group.lost());
            // NCCL may notice first that a process is gone.
            let lost = lost.or_else(|why| group.lost_within(NOTICED).map(Some).ok_or(Error::Run(why)))?;
            return lost.map_or(Ok(()), |lost| Err(Error::other(lost)));
        }
        let sum = |values: &mut [f32]| group.all_reduce_sum(values).map_err(Error::other);
        if gradients.device() == Device::Cpu {
            return elementwise::with_values(gradients, sum);
        }
        let here = gradients.to_device(Device::Cpu);
        elementwise::with_values(&here, sum)?;
        gradients.shallow_clone().copy_(&here);
        Ok(())
    }

    /// The sums of all processes' numbers.
    pub(super) fn sums<const N: usize>(&self, values: [f64; N]) -> Result<[f64; N]> {
        self.processes.map_or(Ok(values), |all| all.group.sums(values).map_err(Error::other))
    }
}

/// The statistics that models compute and not every objective reads.
fn optional(token: &mut TokenStats) -> [&mut Option<f64>; 6] {
    let TokenStats {
        top_entropy, concentration, reference_loss, reference_mass, divergence, base_loss, ..
    } = token;
    [top_entropy, concentration, reference_loss, reference_mass, divergence, base_loss]
}

/// What was computed of a token: loss, entropy, and each optional statistic after a byte that says whether it is there.
fn write(token: &mut TokenStats, bytes: &mut Vec<u8>) {
    for value in [token.loss, token.entropy] {
        bytes.extend(value.to_le_bytes());
    }
    for value in optional(token) {
        bytes.push(u8::from(value.is_some()));
        bytes.extend(value.iter().flat_map(|value| value.to_le_bytes()));
    }
}

/// The inverse; `None` if there are too few bytes.
fn read(token: &mut TokenStats, bytes: &mut &[u8]) -> Option<()> {
    let number = |bytes: &mut &[u8]| {
        let (number, rest) = bytes.split_first_chunk()?;
        *bytes = rest;
        Some(f64::from_le_bytes(*number))
    };
    (token.loss, token.entropy) = (number(bytes)?, number(bytes)?);
    for value in optional(token) {
        let (there, rest) = bytes.split_first()?;
        *bytes = rest;
        *value = if *there == 1 { Some(number(bytes)?) } else { None };
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_arrive_to_the_last_bit() {
        let sent = [
            TokenStats {
                reference_loss: Some(f64::NAN),
                base_loss: Some(0.1),
                ..TokenStats::new(1.0 / 3.0, 2.5)
            },
            TokenStats {
                reference_mass: Some(0.75),
                divergence: Some(-0.0),
                top_entropy: Some(7.0),
                concentration: Some(0.25),
                ..TokenStats::new(f64::INFINITY, 0.0)
            },
        ];
        let mut bytes = Vec::new();
        sent.clone().iter_mut().for_each(|token| write(token, &mut bytes));
        let mut left = bytes.as_slice();
        for mut token in sent {
            let mut received =
                TokenStats { bald: Some(1.0), top_entropy: Some(9.0), ..TokenStats::new(0.0, 0.0) };
            read(&mut received, &mut left).unwrap();
            let bits = |token: &mut TokenStats| {
                let of = |value: &mut Option<f64>| value.map(f64::to_bits);
                (token.loss.to_bits(), token.entropy.to_bits(), optional(token).map(of))
            };
            assert_eq!(bits(&mut received), bits(&mut token));
            assert_eq!(received.bald, Some(1.0), "what the data say stays");
        }
        assert!(left.is_empty());
        let cut = &mut &bytes[..bytes.len() - 1];
        let mut token = TokenStats::new(0.0, 0.0);
        assert!(read(&mut token, cut).is_some() && read(&mut token, cut).is_none());
    }
}
