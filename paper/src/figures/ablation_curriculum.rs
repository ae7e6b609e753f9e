//! Paper A's automatic curriculum against explicit ones.

use crate::lab::corpus::Corpus;
use crate::lab::gains::{self, Row, better};
use crate::lab::picture;
use crate::lab::study::Arm;
use crate::plot::Drawing;
use crate::{About, Claim, Run, Table};
use anyhow::Result;

/// The figure.
pub(super) struct Figure;

impl crate::Figure for Figure {
    fn about(&self) -> About {
        About {
            id: "a-curriculum",
            title: "An automatic curriculum against explicit ones",
            source: "A, section 3 and figure 4: automatic curriculum learning",
            caption: "Gain over plain maximum likelihood of masked training (automatic: the tokens with the largest loss at each step), of an explicit curriculum from tokens that a trained twin has learnt to those that it has not, and of the same backwards. 95 % bootstrap intervals.",
            protocol: "The explicit curriculum ranks each batch's tokens once for all by the loss of the twin that plain maximum likelihood trained on the same data, and trains on a quarter of them: first the third quarter, at last the top quarter, in a straight line over the run. What the twin has learnt best is structure, what it has not is content.",
            deviations: &[
                "The paper compares its automatic curriculum with none.",
                "Structure and content are told apart by the twin's loss and not by hand.",
                "SmolLM2-135M-Instruct in all profiles but paper.",
            ],
            columns: gains::columns(),
        }
    }

    fn table(&self, run: &Run) -> Result<Table> {
        Table::from_rows(&gains::rows(run, |study| {
            let arms = study.curricula();
            let plain = arms.iter().map(|arm| (arm.clone(), Arm::mle()));
            let others = arms.iter().filter(|arm| **arm != Arm::masked());
            plain.chain(others.map(|arm| (Arm::masked(), arm.clone()))).collect()
        })?)
    }

    fn draw(&self, table: &Table) -> Result<Drawing> {
        let mut rows: Vec<Row> = table.rows()?;
        rows.retain(|row| row.versus == "mle");
        let panels = picture::means(&rows, |row| curriculum(&row.arm), |row| &row.trained_on);
        Ok(Drawing::new(panels).columns(2))
    }

    fn claims(&self, table: &Table) -> Result<Vec<Claim>> {
        let rows: Vec<Row> = table.rows()?;
        let mut claims = Vec::new();
        for corpus in [Corpus::Alpaca, Corpus::Gsm8k, Corpus::Arithmetic] {
            let name = corpus.name();
            for (versus, id, text) in [
                (
                    "explicit",
                    "automatic-over-explicit",
                    "the automatic curriculum is better than the explicit one (share of right answers).",
                ),
                ("explicit, reversed", "automatic-over-reversed", "… and than the explicit one backwards."),
            ] {
                let text = format!("{name}: {text}");
                let claim = Claim::new(&format!("a-curriculum/{id}-{name}"), "A, section 3", &text);
                claims.push(better(&rows, claim, corpus, ("loss token", versus), ("in", "share")));
            }
        }
        Ok(claims)
    }
}

/// An arm as the axis shows it.
fn curriculum(arm: &str) -> &str {
    if arm == "loss token" { "automatic" } else { arm }
}
