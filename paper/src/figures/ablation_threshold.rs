//! Paper A's first open question: how large a share of the tokens should be trained on.

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
            id: "a-threshold",
            title: "How much to train on: a tenth, a quarter, a half, three quarters, or less and less",
            source: "A, open question on the threshold",
            caption: "Gain over plain maximum likelihood of training on the share of the tokens with the largest loss; adaptive: from all down to a quarter as the training loss falls. 95 % bootstrap intervals.",
            protocol: "As figure 3, selection by loss, of tokens, within the batch. Adaptive: the share has moved from 100 % towards 25 % by the share that the mean loss of the last ten steps has fallen below that of the first ten.",
            deviations: &[
                "The paper uses 25 % throughout and leaves the choice open.",
                "SmolLM2-135M-Instruct in all profiles but paper.",
            ],
            columns: gains::columns(),
        }
    }

    fn table(&self, run: &Run) -> Result<Table> {
        Table::from_rows(&gains::rows(run, |study| {
            let arms = study.thresholds();
            let plain = arms.iter().map(|arm| (arm.clone(), Arm::mle()));
            let others = arms.iter().filter(|arm| **arm != Arm::masked());
            plain.chain(others.map(|arm| (Arm::masked(), arm.clone()))).collect()
        })?)
    }

    fn draw(&self, table: &Table) -> Result<Drawing> {
        let mut rows: Vec<Row> = table.rows()?;
        rows.retain(|row| row.versus == "mle");
        let panels = picture::means(&rows, |row| share(&row.arm), |row| &row.trained_on);
        Ok(Drawing::new(panels).columns(2))
    }

    fn claims(&self, table: &Table) -> Result<Vec<Claim>> {
        let rows: Vec<Row> = table.rows()?;
        let mut claims = Vec::new();
        for corpus in [Corpus::Alpaca, Corpus::Gsm8k, Corpus::Arithmetic] {
            let name = corpus.name();
            for (versus, id, text) in [
                (
                    "top 10 %",
                    "quarter-over-tenth",
                    "a quarter of the tokens is better than a tenth (share of right answers).",
                ),
                ("top 50 %", "quarter-over-half", "a quarter is better than a half."),
                ("top 75 %", "quarter-over-three-quarters", "a quarter is better than three quarters."),
                ("adaptive", "fixed-over-adaptive", "a fixed quarter is better than the adaptive share."),
            ] {
                let text = format!("{name}: {text}");
                let claim = Claim::new(&format!("a-threshold/{id}-{name}"), "ours", &text);
                claims.push(better(&rows, claim, corpus, ("loss token", versus), ("in", "share")));
            }
        }
        Ok(claims)
    }
}

/// The share that an arm trains on, as the axis shows it.
fn share(arm: &str) -> &str {
    if arm == "loss token" { "top 25 %" } else { arm }
}
