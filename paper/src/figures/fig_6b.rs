//! Paper A, figure 6B: on what share of all measures an objective beats plain training.

use crate::lab::gains::{self, ENOUGH_SEEDS, Row, TOO_FEW_SEEDS};
use crate::lab::picture;
use crate::lab::study::Arm;
use crate::plot::Drawing;
use crate::{About, Claim, Run, Table};
use anyhow::Result;
use tokensieve_toy::statistics::Estimate;

/// The figure.
pub(super) struct Figure;

impl crate::Figure for Figure {
    fn about(&self) -> About {
        About {
            id: "a-6b",
            title: "How often an objective beats plain training",
            source: "A, figure 6B",
            caption: "Share of all measures, in and out of distribution, on which an objective does better than plain maximum \
                      likelihood (a tie counts one half), per corpus trained on; 95 % bootstrap intervals over questions and \
                      seeds.",
            protocol: "As figures 3 and 5. Each resampling of questions and seeds counts its own wins.",
            deviations: &[
                "No judge: held-out loss and overlap stand in place of win rates.",
                "SmolLM2-135M-Instruct in all profiles but paper.",
            ],
            columns: gains::columns(),
        }
    }

    fn table(&self, run: &Run) -> Result<Table> {
        let mut rows = gains::rows(run, |study| {
            let arms = study
                .objectives()
                .into_iter()
                .chain(study.selections().into_iter().filter(|arm| *arm != Arm::masked()));
            arms.map(|arm| (arm, Arm::mle())).collect()
        })?;
        rows.retain(|row| row.outcome == "won");
        Table::from_rows(&rows)
    }

    fn draw(&self, table: &Table) -> Result<Drawing> {
        let rows: Vec<Row> = table.rows()?;
        let all: Vec<&Row> = rows.iter().collect();
        let corpora = picture::distinct(rows.iter().map(|row| row.trained_on.as_str()));
        let panel = picture::gains(
            "measures won against plain training",
            &all,
            "tasks",
            |row| &row.arm,
            |row| &row.trained_on,
            &corpora,
        );
        Ok(Drawing::new([panel]).width(860.0))
    }

    fn claims(&self, table: &Table) -> Result<Vec<Claim>> {
        let rows: Vec<Row> = table.rows()?;
        let compared =
            rows.iter().filter(|row| ["masked + distill", "loss token"].contains(&row.arm.as_str()));
        let seeds = compared.map(|row| row.seeds).min().unwrap_or(0);
        let claim = |id: &str, text: &str| Claim::new(&format!("a-6b/{id}"), "A, figure 6B", text);
        let most = claim(
            "both-wins-most",
            "Masked training with distillation beats plain training on most measures.",
        );
        let highest = claim("both-highest", "… and on more of them than masked training alone.");
        if seeds < ENOUGH_SEEDS {
            return Ok(vec![most.not_tested(TOO_FEW_SEEDS), highest.not_tested(TOO_FEW_SEEDS)]);
        }
        let both = over_corpora(&rows, "masked + distill");
        let masked = over_corpora(&rows, "loss token");
        let difference = both.zip(masked).map(|(both, masked)| Estimate {
            value: both.value - masked.value,
            low: both.low - masked.high,
            high: both.high - masked.low,
            n: both.n,
        });
        Ok(vec![
            most.above(0.5, both, "share of measures won, mean over corpora with the mean of the intervals' ends, against one half"),
            highest.above(0.0, difference, "difference of the two shares, their intervals' ends put together"),
        ])
    }
}

/// Mean over corpora. The ends' mean is wider than the mean's interval: corpora are resampled apart.
fn over_corpora(rows: &[Row], arm: &str) -> Option<Estimate> {
    let here: Vec<&Row> = rows.iter().filter(|row| row.arm == arm).collect();
    let mean = |of: fn(&Row) -> f64| here.iter().map(|row| of(row)).sum::<f64>() / here.len() as f64;
    let first = here.first()?;
    Some(Estimate {
        value: mean(|row| row.gain),
        low: mean(|row| row.gain_low),
        high: mean(|row| row.gain_high),
        n: first.seeds as usize,
    })
}
