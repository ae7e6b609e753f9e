//! Paper A, figure 7: another reply's tokens, coloured by uncertainties, loss and entropy.

use crate::study::models::SMALL_MODEL;
use crate::study::scoring::{self, Dataset};
use crate::tokens::{TokenRow, picture};
use crate::{About, Run, Table};
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
            caption: "One worked answer of GSM8K, with the question in grey and the tokens of the answer coloured by \
                      epistemic uncertainty, aleatoric uncertainty, loss and entropy; scales as in figure 2A.",
            protocol: "As figure 2A, on the first documents of GSM8K's training set.",
            deviations: &[
                SMALL_MODEL,
                "The paper shows Llama-3.1-8B-Instruct (its caption says Llama-3.2-8B-Instruct, which does not \
                 exist). This figure shows the profile's first model, on a document of the other data set.",
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
}
