//! Paper A, figure 6B: on what share of all measures an objective beats plain training.

use crate::lab::arm::Arm;
use crate::lab::corpus::OF_CHAT;
use crate::lab::gains::{self, ALL_CORPORA, ENOUGH_SEEDS, INTERVAL, Row, TOO_FEW_SEEDS};
use crate::lab::picture;
use crate::plot::{Drawing, Series};
use crate::{About, Claim, Run, Table};
use anyhow::Result;

/// The figure.
pub(super) struct Figure;

impl crate::Figure for Figure {
    fn about(&self) -> About {
        About {
            id: "a-6b",
            title: "How often an objective beats plain training",
            source: "A, figure 6B",
            caption: "Share of all measures, in and out of distribution, on which an objective does better than plain maximum \
                      likelihood (a tie counts one half), per corpus trained on; 95 % intervals over questions and \
                      seeds. One half is a draw.",
            protocol: "As figures 3 and 5. Each resampling of questions and seeds counts its own wins.",
            deviations: &[
                "No judge in all profiles but paper: held-out loss and overlap stand in place of win rates.",
                "SmolLM2-135M-Instruct in all profiles but paper.",
                OF_CHAT,
            ],
            columns: gains::columns(),
        }
    }

    fn table(&self, run: &Run) -> Result<Table> {
        Table::from_rows(&gains::wins(run, |study| {
            let own = study.objectives().into_iter().filter(|arm| *arm != Arm::both());
            let selections = study.selections().into_iter().filter(|arm| *arm != Arm::masked());
            [Arm::both()].into_iter().chain(own).chain(selections).collect()
        })?)
    }

    fn draw(&self, table: &Table) -> Result<Drawing> {
        let rows: Vec<Row> = table.rows()?;
        let all: Vec<&Row> =
            rows.iter().filter(|row| row.versus == "mle" && row.trained_on != ALL_CORPORA).collect();
        let corpora = picture::distinct(all.iter().map(|row| row.trained_on.as_str()));
        let panel = picture::gains(
            "measures won against plain training",
            &all,
            "tasks",
            |row| &row.arm,
            |row| &row.trained_on,
            &corpora,
        );
        Ok(Drawing::new([panel.with(Series::horizontal(0.5))]).width(860.0))
    }

    fn claims(&self, table: &Table) -> Result<Vec<Claim>> {
        let rows: Vec<Row> = table.rows()?;
        let own = Arm::both().name;
        let of_all: Vec<&Row> =
            rows.iter().filter(|row| row.trained_on == ALL_CORPORA && row.arm == own).collect();
        let seeds = of_all.iter().map(|row| row.seeds).min();
        let claim = |id: &str, text: &str| Claim::new(&format!("a-6b/{id}"), "A, figure 6B", text);
        let most = claim(
            "both-wins-most",
            "Masked training with distillation beats plain training on most measures.",
        );
        let highest = claim(
            "both-highest",
            "Masked training with distillation beats plain training on more measures than any other objective does.",
        );
        let untested = match seeds {
            None => Some("not tested at this scale: the table has no row over all corpora"),
            Some(seeds) => (seeds < ENOUGH_SEEDS).then_some(TOO_FEW_SEEDS),
        };
        if let Some(reason) = untested {
            return Ok(vec![most.not_tested(reason), highest.not_tested(reason)]);
        }
        let (plain, others): (Vec<&Row>, Vec<&Row>) = of_all.into_iter().partition(|row| row.versus == "mle");
        let closest = others.into_iter().min_by(|a, b| a.gain.total_cmp(&b.gain));
        let rival = closest.map_or("none", |row| &row.versus);
        Ok(vec![
            most.above(
                0.5,
                plain.first().map(|row| row.estimate()),
                &format!("share of measures won, mean over corpora, against one half; {INTERVAL}"),
            ),
            highest.above(
                0.0,
                closest.map(Row::estimate),
                &format!(
                    "difference of the shares of measures won to {rival}, which wins most of the others; the same \
                     questions and seeds for both; {INTERVAL}"
                ),
            ),
        ])
    }
}
