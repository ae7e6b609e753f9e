//! Paper A, figure 2A: a reply's tokens, coloured by uncertainties, loss and entropy.

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
            id: "a-2a",
            title: "A reply's tokens by uncertainty, loss and entropy",
            source: "A, figure 2A",
            caption: "One conversation of Alpaca, the prompt in grey, the reply's tokens coloured by epistemic and \
                      aleatoric uncertainty, predictive loss and entropy. Each scale runs from zero to the value \
                      that 95 % of the table's reply tokens stay below. The token viewer shows the same \
                      conversation with every number.",
            protocol: "The first documents of Alpaca are scored by the first of the profile's models \
                       (SmolLM2-135M-Instruct in all profiles but paper), teacher-forced. Loss and \
                       entropy come from a pass without dropout; the uncertainties from stochastic passes with \
                       dropout of rate 0.1 on attention and residual connections: total = entropy of the mean \
                       prediction, aleatoric = mean entropy, epistemic = their difference (BALD).\n\nShown is the \
                       first document whose reply has 12 to 110 tokens. The table holds the first three of them.",
            deviations: &[
                "The paper shows Gemma-2B-it; here it is the model at hand.",
                "The paper's caption does not say which conversation it shows, and it leaves open where dropout acts.",
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

    fn conversations(&self, table: &Table) -> Result<Vec<Conversation>> {
        Ok(conversations(table.rows::<TokenRow>()?))
    }

    fn claims(&self, _: &Table) -> Result<Vec<Claim>> {
        Ok(Vec::new())
    }
}
