//! Paper A's open question on a joint curriculum: an adapter that grows while the share of tokens does.

use crate::lab::ablation::{self, Contrast};
use crate::lab::corpus::OF_CHAT;
use crate::lab::gains;
use crate::lab::study::Study;
use tokensieve_plot::Drawing;
use crate::{About, Claim, Run, Table};
use anyhow::Result;

/// What masked training is compared with.
const CONTRASTS: &[Contrast] = &[
    ("rank 4", "large-over-small", "rank 32 is better than rank 4"),
    ("rank 4 to 32", "fixed-over-growing", "a fixed rank is better than a growing one"),
    ("share 10 to 75 %", "fixed-over-widening", "a fixed share is better than a growing one"),
    ("rank and share grow", "fixed-over-both", "both fixed is better than both growing"),
];

/// The figure.
pub(super) struct Figure;

impl crate::Figure for Figure {
    fn about(&self) -> About {
        About {
            id: "a-rank",
            title: "A joint curriculum of data and capacity",
            source: "A, limitations: data curriculum and model curriculum",
            caption: "Gain over plain maximum likelihood (rank 32) of masked training with an adapter of rank 32, of rank 4, one that grows from 4 to 32, with a share of tokens that grows from 10 to 75 %, and with both growing together. 95 % intervals.",
            protocol: "As figure 3, selection by loss, of tokens. The adapter's rank doubles after each quarter of the run: new directions begin with no effect, the optimizer keeps its means of the old ones. The share grows in a straight line over the run.",
            deviations: &[
                "The paper leaves the joint curriculum for future work; this is one point of its frontier.",
                "SmolLM2-135M-Instruct in all profiles but paper.",
                OF_CHAT,
            ],
            columns: gains::columns(),
        }
    }

    fn table(&self, run: &Run) -> Result<Table> {
        ablation::table(run, Study::capacities)
    }

    fn draw(&self, table: &Table) -> Result<Drawing> {
        ablation::draw(table, "rank 32")
    }

    fn claims(&self, table: &Table) -> Result<Vec<Claim>> {
        ablation::claims(table, "a-rank", CONTRASTS)
    }
}
