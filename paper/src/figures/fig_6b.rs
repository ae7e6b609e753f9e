//! Paper A, figure 6B: on what share of all measures an objective beats plain training.

use crate::claim::least;
use crate::lab::arm::Arm;
use crate::lab::corpus::OF_CHAT;
use crate::lab::gains::{self, ALL_CORPORA, ENOUGH_SEEDS, Row, TOO_FEW_SEEDS};
use crate::lab::models::each_model;
use crate::lab::picture;
use tokensieve_plot::{Drawing, Panel, Series};
use crate::{About, Claim, Run, Table};
use anyhow::Result;

/// The figure.
pub(super) struct Figure;

impl crate::Figure for Figure {
    fn about(&self) -> About {
        About {
            id: "a-6b",
            title: "How often an objective beats plain training (in a judge's place: overlap with references)",
            source: "A, figure 6B",
            caption: "Share of all measures, in and out of distribution, on which an objective does better than plain maximum \
                      likelihood (a tie counts one half), per corpus trained on; 95 % intervals by the bootstrap over questions and \
                      seeds, never narrower than Student's over seeds. One half is a draw.",
            protocol: "As figures 3 and 5; a judge's win rate is one of the measures where there is a judge. Each resampling of questions and seeds counts its own wins.",
            deviations: &[
                "No judge in all profiles but paper: no preference is counted there; held-out loss and overlap with references are \
                 among the measures instead.",
                gains::MEASURED_ELSEWHERE,
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
        let mut rows = gains::won_rows(table)?;
        rows.retain(|row| row.versus == "mle" && row.trained_on != ALL_CORPORA);
        let corpora = picture::distinct(rows.iter().map(|row| row.trained_on.as_str()));
        let panel = |rows: &[Row]| {
            let panel = picture::gains(
                "measures won against plain training",
                &rows.iter().collect::<Vec<_>>(),
                "tasks",
                |row| picture::called(&row.arm),
                |row| &row.trained_on,
                &corpora,
            );
            vec![panel.with(Series::horizontal(0.5))]
        };
        let panels = each_model(&rows, |row| &row.model, panel, Panel::of);
        Ok(Drawing::new(panels).columns(1).width(860.0))
    }

    fn title(&self, table: &Table) -> Result<&'static str> {
        gains::title(&self.about(), table)
    }

    fn claims(&self, table: &Table) -> Result<Vec<Claim>> {
        Ok(each_model(&gains::won_rows(table)?, |row| &row.model, claims, Claim::of_model))
    }
}

/// How intervals of shares of measures come about: a jackknife over questions knows nothing of wins, which jump.
const INTERVAL: &str =
    "95 % interval: bootstrap over questions and seeds, never narrower than Student's over seeds";

/// What is claimed of one model.
fn claims(rows: &[Row]) -> Vec<Claim> {
    let own = Arm::both().name;
    let of_all: Vec<&Row> =
        rows.iter().filter(|row| row.trained_on == ALL_CORPORA && row.arm == own).collect();
    let seeds = of_all.iter().map(|row| row.seeds).min();
    let claim = |id: &str, text: &str| Claim::new(&format!("a-6b/{id}"), "A, figure 6B", text);
    let most =
        claim("both-wins-most", "Masked training with distillation beats plain training on most measures.");
    let highest = claim(
        "both-highest",
        "Masked training with distillation beats plain training on more measures than any other objective does.",
    );
    let untested = match seeds {
        None => Some("not tested at this scale: the table has no row over all corpora"),
        Some(seeds) => (seeds < ENOUGH_SEEDS).then_some(TOO_FEW_SEEDS),
    };
    if let Some(reason) = untested {
        return vec![most.not_tested(reason), highest.not_tested(reason)];
    }
    let (plain, others): (Vec<&Row>, Vec<&Row>) = of_all.into_iter().partition(|row| row.versus == "mle");
    vec![
        most.above(
            0.5,
            plain.first().map(|row| row.estimate()),
            &format!("share of measures won, mean over corpora, against one half; {INTERVAL}"),
        ),
        highest.above(
            0.0,
            least(others.into_iter().map(Row::estimate)),
            &format!(
                "difference of the shares of measures won to every other objective, the same questions and seeds for both; of \
                 value and interval's ends the least of all; {INTERVAL}"
            ),
        ),
    ]
}
