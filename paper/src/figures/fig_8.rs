//! Paper A, figure 8: the losses of the tokens of two answers, beside the losses of the answers.

use crate::study::models::SMALL_MODEL;
use crate::study::scoring::{Dataset, Scoring, models};
use crate::tokens::{Conversation, Quantity, TokenRow, picture};
use crate::{About, Run, Table};
use anyhow::{Context as _, Result};
use tokensieve_base::statistics::mean;
use tokensieve_plot::{Drawing, number};

/// The figure.
pub(super) struct Figure;

impl crate::Figure for Figure {
    fn about(&self) -> About {
        About {
            id: "a-8",
            title: "Losses of two worked answers, by token and on average",
            source: "A, figure 8",
            caption: "Two questions of GSM8K in grey, with the tokens of their answers coloured by loss, on one \
                      scale for both. Above each: the mean loss over the answer. Frames mark the tokens that paper \
                      A's objective would select, the top quarter by loss of all answers scored together.",
            protocol: "The profile's first model (SmolLM2-135M-Instruct in every profile except paper) scores the \
                       first rows of GSM8K's training set, teacher-forced and without dropout. The figure shows the \
                       first two whose answers have 12 to 110 tokens.",
            deviations: &[
                SMALL_MODEL,
                "The paper shows Phi-3.5-mini-instruct and does not say which rows; this figure shows the profile's \
                 first model.",
            ],
            columns: TokenRow::columns(),
        }
    }

    fn table(&self, run: &Run) -> Result<Table> {
        let model = models(run.profile)[0];
        let documents = Scoring::losses(run.profile, model, Dataset::Gsm8k).documents(run)?;
        Table::from_rows(&picture::rows(Dataset::Gsm8k.title(), 0, &documents, 2)?)
    }

    fn draw(&self, table: &Table) -> Result<Drawing> {
        let all = self.conversations(table)?;
        let high = picture::strong_end(&all, Quantity::Loss);
        let block = |conversation: &Conversation| {
            let (_, rows) = conversation.steps.last().context("a conversation without steps")?;
            let losses: Vec<f64> = rows.iter().filter_map(|row| row.loss_nats).collect();
            let datum = mean(&losses).context("an answer without losses")?;
            let title = format!("{}: {} nats per token", conversation.name, number(datum, 3));
            Ok(picture::block(&title, rows, Quantity::Loss, high, true))
        };
        let blocks = all.iter().map(block).collect::<Result<Vec<_>>>()?;
        Ok(Drawing::new([]).words(blocks).columns(1))
    }
}
