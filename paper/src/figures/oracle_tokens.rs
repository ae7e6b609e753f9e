//! A document of the oracle language, token by token: what is uncertain in truth, and what the model does not know.

use super::oracle::of_study;
use crate::oracle::Work;
use crate::oracle::exact::{Exact, SHOWN, Shown};
use crate::tokens::{Quantity, TokenRow, picture};
use crate::{About, Run, Table};
use anyhow::{Context as _, Result};
use tokensieve_plot::Drawing;

/// The figure.
pub(super) struct Figure;

/// Documents of the token viewer.
const DOCUMENTS: usize = 2;

impl crate::Figure for Figure {
    fn about(&self) -> About {
        About {
            id: "oracle-tokens",
            title: "The oracle language, token by token",
            source: "ours: the language in which both papers' claims are measured",
            caption: "A document of post-training data with 30 % of the values wrong, before a model is trained on it. F: \
                      a fact about a key, or a choice; R: a chain of arithmetic modulo 13, where # is a new rule; C: a list, \
                      then its copy. Left: entropy of the exact distribution, which no training removes (aleatoric). Right: \
                      KL(truth ‖ model), which training can remove (epistemic). Above for the least capable model, below for the most \
                      capable one, by their steps of pretraining. Frames \
                      mark the quarter of the tokens with the largest loss. In the token viewer: the same by all five \
                      capabilities, and what a real model has to go by, loss and entropy.",
            columns: TokenRow::columns(),
            ..of_study()
        }
    }

    fn table(&self, run: &Run) -> Result<Table> {
        let Shown { rows, measured } = Work::of(run.profile)?.shown()?;
        let made = run.job(&rows)?;
        let mut table = Vec::new();
        for (step, job) in measured {
            let documents = Exact::documents(&run.job(&job)?, &made)?;
            table.extend(picture::rows(SHOWN, step, &documents, DOCUMENTS)?);
        }
        Table::from_rows(&table)
    }

    fn draw(&self, table: &Table) -> Result<Drawing> {
        let all = self.conversations(table)?;
        let steps = &all.first().context("a table without documents")?.steps;
        let ends = steps.first().zip(steps.last()).context("a document without steps")?;
        let block = |(step, rows): &(u64, Vec<TokenRow>), quantity: Quantity, what: &str| {
            let title = format!("{what} at step {step}");
            picture::block(&title, rows, quantity, picture::strong_end(&all, quantity), true)
        };
        let mut blocks = Vec::new();
        for one in [ends.0, ends.1] {
            blocks.push(block(one, Quantity::Aleatoric, "true entropy"));
            blocks.push(block(one, Quantity::Epistemic, "KL"));
        }
        Ok(Drawing::new([]).words(blocks).columns(2))
    }
}
