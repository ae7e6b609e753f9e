//! What a step asks of an objective: one from a configuration, or one written in Rust.

use std::fmt;

use tokensieve_model::Result;
use tokensieve_objective::{Criterion, Plan, Pull, Pulls, Selection, TokenStats, Training};

use crate::reads::Reads;

/// An objective as a step sees it: statistics of the whole optimizer batch in, pulls out.
///
/// [`Training`] is one. An objective in Rust implements [`Rule::pulls`] alone; `examples/own_objective.rs` is a complete
/// one.
pub trait Rule {
    /// The pulls of a whole optimizer batch, which comes in micro-batches of these lengths.
    fn pulls(&mut self, tokens: &[TokenStats], micro_batches: &[usize]) -> Result<Pulls>;

    /// What the step has to compute for [`Rule::pulls`] besides loss and entropy.
    fn reads(&self) -> Reads {
        Reads::default()
    }

    /// On how much of the batch a token's pull depends; a step needs fewer passes where that is little.
    fn scope(&self) -> Result<Scope> {
        Ok(Scope::Batch)
    }

    /// What the token adds to the reported loss, before it is normalised; `distance` is −Σ q log p, or KL(p ‖ q)
    /// where [`Reads::reverse`](crate::step::Reads::reverse) is set.
    fn loss(&self, token: &TokenStats, pull: Pull, _selected: bool, distance: f64) -> f64 {
        pull.label * token.loss + pull.reference * distance
    }
}

impl fmt::Debug for dyn Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Rule")
    }
}

/// Makes several lists of pulls of some tokens, each with one pull per token.
pub type PullLists<'a> = dyn FnMut(&[TokenStats]) -> Result<Vec<Vec<Pull>>> + 'a;

/// On how much of the batch a token's pull depends.
#[derive(Debug)]
pub enum Scope {
    /// On the whole batch.
    Batch,
    /// On the token alone: this rule gives the pulls of any part of a batch. Only the normaliser needs the whole batch.
    Token(Box<dyn Rule>),
    /// On the token, and on whether its document is among the chosen ones; no other document has a pull. This rule gives
    /// the pulls of any part of the chosen documents.
    Document(Box<dyn Rule>),
}

impl Rule for Training {
    fn pulls(&mut self, tokens: &[TokenStats], micro_batches: &[usize]) -> Result<Pulls> {
        Ok(self.pulls_in(tokens, micro_batches)?.clone())
    }

    fn reads(&self) -> Reads {
        Reads::of(self.objective())
    }

    fn scope(&self) -> Result<Scope> {
        let objective = self.objective();
        // Without a selection, or with one that keeps everything, pulls depend on neither the step nor the seed.
        let any = Plan { steps: 1, seed: 0 };
        if objective.is_local() {
            return Ok(Scope::Token(Box::new(objective.begin(any))));
        }
        if objective.chooses_documents() {
            let everything = Selection::band(Criterion::Random, 0.0, 1.0)?;
            return Ok(Scope::Document(Box::new(objective.select(everything)?.begin(any))));
        }
        Ok(Scope::Batch)
    }

    fn loss(&self, token: &TokenStats, _: Pull, selected: bool, distance: f64) -> f64 {
        self.written_out(token, selected, token.loss, distance)
    }
}
