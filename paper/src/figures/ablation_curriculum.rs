//! Paper A's automatic curriculum against explicit ones.

use crate::lab::ablation::{self, Contrast};
use crate::lab::corpus::OF_CHAT;
use crate::lab::gains;
use crate::lab::study::Study;
use tokensieve_plot::Drawing;
use crate::{About, Claim, Run, Table};
use anyhow::Result;

/// What masked training is compared with.
const CONTRASTS: &[Contrast] = &[
    ("explicit", "automatic-over-explicit", "the automatic curriculum is better than the explicit one"),
    (
        "explicit, reversed",
        "automatic-over-reversed",
        "the automatic curriculum is better than the explicit one backwards",
    ),
];

/// The figure.
pub(super) struct Figure;

impl crate::Figure for Figure {
    fn about(&self) -> About {
        About {
            id: "a-curriculum",
            title: "An automatic curriculum against explicit ones",
            source: "A, section 3 and figure 4: automatic curriculum learning",
            caption: "Gain over plain maximum likelihood of masked training (automatic: the tokens with the largest loss at each step), of an explicit curriculum from tokens that a trained twin has learnt to those that it has not, and of the same backwards. 95 % intervals.",
            protocol: "The explicit curriculum ranks each batch's tokens once for all by the loss of the twin that plain maximum likelihood trained on the same data, and trains on a quarter of them: first the third quarter, at last the top quarter, in a straight line over the run. What the twin has learnt best is structure, what it has not is content.",
            deviations: &[
                "The paper compares its automatic curriculum with none.",
                "Structure and content are told apart by the twin's loss and not by hand.",
                "SmolLM2-135M-Instruct in all profiles but paper.",
                OF_CHAT,
            ],
            columns: gains::columns(),
        }
    }

    fn table(&self, run: &Run) -> Result<Table> {
        ablation::table(run, Study::curricula)
    }

    fn draw(&self, table: &Table) -> Result<Drawing> {
        ablation::draw(table, "automatic")
    }

    fn claims(&self, table: &Table) -> Result<Vec<Claim>> {
        ablation::claims(table, "a-curriculum", CONTRASTS)
    }
}
