//! Paper A, figure 1: the procedure, drawn, with what it does to one reply.

use crate::study::models::SMALL_MODEL;
use crate::study::scoring::{Dataset, Scoring, models};
use crate::tokens::{Conversation, Quantity, TokenRow, conversations, picture};
use crate::{About, Run, Table};
use anyhow::{Context as _, Result};
use tokensieve_plot::{Anchor, Diagram, Drawing, Ink};

/// The figure.
pub(super) struct Figure;

impl crate::Figure for Figure {
    fn about(&self) -> About {
        About {
            id: "a-1",
            title: "The procedure: learn what is surprising, keep the rest",
            source: "A, figure 1",
            caption: "One training step of paper A's objective. The loss of each response token is compared with the \
                      losses of the whole batch: the quarter with the largest losses is trained towards its labels, \
                      the rest towards the predictions of a twin, the same model fine-tuned with plain MLE. Below, \
                      one reply as the untrained model predicts it: colours are the loss, frames mark the tokens \
                      that would be selected.",
            protocol: "Drawn after paper A, section 4. The reply is that of figure 2A. The objective `masked-mle` \
                       itself decides which tokens are framed; its batch is all documents scored for figure 2A.",
            deviations: &[
                SMALL_MODEL,
                "The paper's figure sketches distributions; this one shows the step as it is computed here.",
            ],
            columns: TokenRow::columns(),
        }
    }

    fn table(&self, run: &Run) -> Result<Table> {
        let model = models(run.profile)[0];
        let documents = Scoring::losses(run.profile, model, Dataset::Alpaca).documents(run)?;
        Table::from_rows(&picture::rows(Dataset::Alpaca.title(), 0, &documents, 1)?)
    }

    fn draw(&self, table: &Table) -> Result<Drawing> {
        let all = conversations(table.rows()?);
        let (_, rows) =
            all.first().and_then(|reply| reply.steps.last()).context("a table without a reply")?;
        let high = picture::strong_end(&all, Quantity::Loss);
        let diagram = Diagram::new(262.0)
            .node([10.0, 96.0, 118.0, 60.0], "Batch\nprompts and replies", Ink::Muted)
            .node([166.0, 96.0, 128.0, 60.0], "Model *p*_{θ}\nthe base under LoRA", Ink::Category(0))
            .node([332.0, 96.0, 136.0, 60.0], "Loss per token\n−log *p*_{θ}(label)", Ink::Muted)
            .node(
                [516.0, 28.0, 234.0, 62.0],
                "Masked MLE: learn the label\n−log *p*_{θ}(label)",
                Ink::Category(1),
            )
            .node(
                [516.0, 162.0, 234.0, 62.0],
                "Self-distillation: follow the twin\n−Σ_{x} *p*_{ref}(x) log *p*_{θ}(x)",
                Ink::Category(2),
            )
            .node(
                [166.0, 190.0, 172.0, 46.0],
                "Twin *p*_{ref}\nthe same base after plain MLE",
                Ink::Category(2),
            )
            .arrow([(128.0, 126.0), (165.0, 126.0)])
            .arrow([(294.0, 126.0), (331.0, 126.0)])
            .arrow([(468.0, 116.0), (492.0, 116.0), (492.0, 59.0), (515.0, 59.0)])
            .arrow([(468.0, 136.0), (492.0, 136.0), (492.0, 193.0), (515.0, 193.0)])
            .arrow([(338.0, 213.0), (515.0, 213.0)])
            .arrow([(633.0, 90.0), (633.0, 118.0)])
            .arrow([(633.0, 162.0), (633.0, 138.0)])
            .text((486.0, 50.0), "top 25 % of the batch", Anchor::End)
            .text((486.0, 188.0), "the other 75 %", Anchor::End)
            .text((633.0, 132.0), "one sum, one step of *θ*", Anchor::Middle);
        let block = picture::block("One reply before training", rows, Quantity::Loss, high, true);
        Ok(Drawing::new([]).diagram(diagram).words([block]).columns(1))
    }

    /// Figure 2A's viewer shows the same reply with more numbers.
    fn conversations(&self, _: &Table) -> Result<Vec<Conversation>> {
        Ok(Vec::new())
    }
}
