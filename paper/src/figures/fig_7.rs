//! Paper A, figure 7: another reply's tokens, coloured by uncertainties, loss and entropy.

use crate::study::scoring::{self, Dataset};
use crate::tokens::{Conversation, TokenRow, conversations, picture};
use crate::{About, Claim, Run, Table};
use anyhow::Result;
use tokensieve_plot::Drawing;

/// The figure.
pub(super) struct Figure;

impl crate::Figure for Figure {
    fn about(&self) -> About {
        About {
            id: "a-7",
            title: "A worked answer's tokens by uncertainty, loss and entropy",
            source: "A, figure 7",
            caption: "One worked answer of GSM8K, the question in grey, the answer's tokens coloured by epistemic and \
                      aleatoric uncertainty, predictive loss and entropy; scales as in figure 2A.",
            protocol: "As figure 2A, on the first documents of GSM8K's training set.",
            deviations: &[
                "The paper shows Llama-3.1-8B-Instruct (its caption says Llama-3.2-8B-Instruct, which does not exist); \
                 here it is the model at hand, on a document of the other data set.",
            ],
            columns: TokenRow::columns(),
        }
    }

    fn table(&self, run: &Run) -> Result<Table> {
        scoring::conversations(run, Dataset::Gsm8k)
    }

    fn draw(&self, table: &Table) -> Result<Drawing> {
        picture::drawing(&self.conversations(table)?)
    }

    fn conversations(&self, table: &Table) -> Result<Vec<Conversation>> {
        Ok(conversations(table.rows::<TokenRow>()?))
    }

    fn claims(&self, _: &Table) -> Result<Vec<Claim>> {
        Ok(Vec::new())
    }
}
