//! Paper A, figure 2A: a reply's tokens, coloured by uncertainties, loss and entropy.

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
            id: "a-2a",
            title: "A reply's tokens by uncertainty, loss and entropy",
            source: "A, figure 2A",
            caption: "One conversation of Alpaca, with the prompt in grey and the tokens of the reply coloured by \
                      epistemic uncertainty, aleatoric uncertainty, loss and entropy. Each colour scale runs from \
                      zero to the 95 % quantile of the reply tokens in the table. The token viewer shows the same \
                      conversation with all numbers.",
            protocol: "The profile's first model (SmolLM2-135M-Instruct in every profile except paper) scores the \
                       first documents of Alpaca, teacher-forced. Loss and entropy come from a pass without dropout. \
                       The uncertainties come from stochastic passes with dropout at rate 0.1 on attention and \
                       residual connections: total is the entropy of the mean prediction, aleatoric the mean \
                       entropy, epistemic their difference (BALD).\n\nThe figure shows the first document whose \
                       reply has 12 to 110 tokens. The table holds the first three of them.",
            deviations: &[
                SMALL_MODEL,
                "The paper shows Gemma-2B-it; this figure shows the profile's first model.",
                "The paper does not say which conversation it shows or where dropout acts.",
            ],
            columns: TokenRow::columns(),
        }
    }

    fn table(&self, run: &Run) -> Result<Table> {
        scoring::conversations(run, Dataset::Alpaca)
    }

    fn draw(&self, table: &Table) -> Result<Drawing> {
        picture::drawing(&self.conversations(table)?)
    }
}
