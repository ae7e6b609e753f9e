//! Paper A's first open question: how large a share of the tokens should be trained on.

use crate::lab::ablation::{self, Contrast};
use crate::lab::corpus::OF_CHAT;
use crate::lab::gains;
use crate::lab::study::Study;
use tokensieve_plot::Drawing;
use crate::{About, Claim, Run, Table};
use anyhow::Result;

/// What masked training is compared with.
const CONTRASTS: &[Contrast] = &[
    ("top 10 %", "quarter-over-tenth", "a quarter of the tokens is better than a tenth"),
    ("top 50 %", "quarter-over-half", "a quarter is better than a half"),
    ("top 75 %", "quarter-over-three-quarters", "a quarter is better than three quarters"),
    ("adaptive", "fixed-over-adaptive", "a fixed quarter is better than the adaptive share"),
];

/// The figure.
pub(super) struct Figure;

impl crate::Figure for Figure {
    fn about(&self) -> About {
        About {
            id: "a-threshold",
            title: "How much to train on: a tenth, a quarter, a half, three quarters, or less and less",
            source: "A, open question on the threshold",
            caption: "Gain over plain maximum likelihood of training on the share of the tokens with the largest loss; adaptive: from all towards a quarter as the training loss falls, which in the recorded runs of eight steps it does little (docs/LOG.md). 95 % intervals.",
            protocol: "As figure 3, selection by loss, of tokens, within the batch. Adaptive: the share has moved from 100 % towards 25 % by the share that the mean loss of the last steps has fallen below that of the first, each a tenth of the run (in the laptop's and the evening's runs of eight steps: one). A quarter is where it would end if the loss fell to nothing; in the recorded runs' last step it was 46 to 100 % of the tokens.",
            deviations: &[
                "The paper uses 25 % throughout and leaves the choice open.",
                "SmolLM2-135M-Instruct in all profiles but paper.",
                OF_CHAT,
            ],
            columns: gains::columns(),
        }
    }

    fn table(&self, run: &Run) -> Result<Table> {
        ablation::table(run, Study::thresholds)
    }

    fn draw(&self, table: &Table) -> Result<Drawing> {
        ablation::draw(table, "top 25 %")
    }

    fn claims(&self, table: &Table) -> Result<Vec<Claim>> {
        ablation::claims(table, "a-threshold", CONTRASTS)
    }
}
