//! Paper A, figure 4, as a picture: which tokens of one conversation would be selected after more and more training.

use crate::finetune::Work;
use crate::finetune::panels::of_study;
use crate::tokens::{Quantity, TokenRow, picture, read};
use crate::{About, Run, Table};
use anyhow::{Context as _, Result};
use tokensieve_plot::Drawing;

/// The figure.
pub(super) struct Figure;

/// Steps that the drawing shows; the token viewer shows all.
const DRAWN: usize = 4;

impl crate::Figure for Figure {
    fn about(&self) -> About {
        About {
            id: "a-4-tokens",
            title: "One conversation's selected tokens as training goes on",
            source: "A, figure 4",
            caption: "A held-out conversation of the training corpus before and during masked training. Colours are \
                      losses, on one scale for all steps; frames mark the quarter of the tokens with the largest loss, \
                      which training would select. The token viewer shows every checkpoint and, where it is measured \
                      (before and after training), epistemic uncertainty.",
            protocol: "The first seed's masked model of figure 4, before training, on its way and after it, scores \
                       held-out documents: losses without dropout; before and after training also uncertainties, by \
                       dropout at rate 0.1 on attention. The objective itself selects among their response tokens. The \
                       figure shows the first document whose reply has 12 to 110 tokens. The paper colours the prompt, \
                       too.",
            columns: TokenRow::columns(),
            ..of_study()
        }
    }

    fn table(&self, run: &Run) -> Result<Table> {
        let work = Work::available(run.profile, run.lab())?;
        let data = &work.plan.scored.data[0];
        let mut rows = Vec::new();
        for (step, job) in work.way_of("masked", data)? {
            let documents = read(&run.job(&job)?.join(job.verb.output()))?;
            rows.extend(picture::rows(&format!("{data}, held out"), step, &documents, 1)?);
        }
        Table::from_rows(&rows)
    }

    fn draw(&self, table: &Table) -> Result<Drawing> {
        let all = self.conversations(table)?;
        let steps = &all.first().context("a table without conversations")?.steps;
        let last = steps.len() - 1;
        let mut shown: Vec<usize> = (0..DRAWN).map(|part| part * last / (DRAWN - 1)).collect();
        shown.dedup();
        let high = picture::strong_end(&all, Quantity::Loss);
        let blocks = shown.into_iter().map(|at| {
            let (step, rows) = &steps[at];
            let title = if *step == 0 { "before training".to_owned() } else { format!("after {step} steps") };
            picture::block(&title, rows, Quantity::Loss, high, true)
        });
        Ok(Drawing::new([]).words(blocks.collect::<Vec<_>>()).columns(2))
    }
}
