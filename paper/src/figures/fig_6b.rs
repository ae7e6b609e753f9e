//! Paper A, figure 6B: on what share of all measures an objective beats plain training.

use crate::claim::least;
use crate::study::claims::{self, ENOUGH_SEEDS, TOO_FEW_SEEDS};
use crate::study::corpus::OF_CHAT;
use crate::study::models::each_model;
use crate::study::{Arm, Corpora, Gain, Unit, compare, picture};
use crate::table::distinct;
use crate::{About, Claim, Run, Table};
use anyhow::Result;
use tokensieve_plot::{Drawing, Panel, Series};

/// The figure.
pub(super) struct Figure;

impl crate::Figure for Figure {
    fn about(&self) -> About {
        About {
            id: "a-6b",
            title: "How often an objective beats plain training",
            source: "A, figure 6B",
            caption: "Share of all measures, in and out of distribution, on which an objective does better than plain maximum \
                      likelihood (a tie counts one half), per corpus trained on; 95 % intervals by the bootstrap over questions and \
                      seeds, never narrower than Student's over seeds. One half is a draw.",
            protocol: "As figures 3 and 5; a judge's win rate is one of the measures where there is a judge. Each resampling of questions and seeds counts its own wins.",
            deviations: &[
                "There is a judge in profile paper only. Elsewhere no preference is counted; held-out loss and overlap with references \
                 are among the measures instead.",
                compare::MEASURED_ELSEWHERE,
                "SmolLM2-135M-Instruct in all profiles but paper.",
                OF_CHAT,
            ],
            columns: Gain::columns(),
        }
    }

    fn table(&self, run: &Run) -> Result<Table> {
        Table::from_rows(&compare::wins(run, |study| {
            let others = study.objectives().into_iter().chain(study.selections());
            distinct([Arm::MaskedDistill].into_iter().chain(others))
        })?)
    }

    fn draw(&self, table: &Table) -> Result<Drawing> {
        let mut rows = Gain::won(table)?;
        rows.retain(|row| row.versus == Arm::Mle && row.trained_on != Corpora::All);
        let corpora = distinct(rows.iter().map(|row| row.trained_on.name()));
        let panel = |rows: &[Gain]| {
            let panel = picture::gains(
                "measures won against plain training",
                &rows.iter().collect::<Vec<_>>(),
                Unit::Tasks,
                |row| row.arm.label(),
                |row| row.trained_on.name(),
                &corpora,
            );
            vec![panel.with(Series::horizontal(0.5))]
        };
        let panels = each_model(&rows, |row| &row.model, panel, Panel::of);
        Ok(Drawing::new(panels).columns(1).width(860.0))
    }

    fn subtitle(&self, table: &Table) -> Result<Option<&'static str>> {
        claims::subtitle(table)
    }

    fn claims(&self, table: &Table) -> Result<Vec<Claim>> {
        Ok(each_model(&Gain::won(table)?, |row| &row.model, of_model, Claim::of_model))
    }
}

/// How intervals of shares of measures come about: a jackknife over questions knows nothing of wins, which jump.
const INTERVAL: &str =
    "95 % interval: bootstrap over questions and seeds, never narrower than Student's over seeds";

/// What is claimed of one model.
fn of_model(rows: &[Gain]) -> Vec<Claim> {
    let of_all: Vec<&Gain> =
        rows.iter().filter(|row| row.trained_on == Corpora::All && row.arm == Arm::MaskedDistill).collect();
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
    let (plain, others): (Vec<&Gain>, Vec<&Gain>) =
        of_all.into_iter().partition(|row| row.versus == Arm::Mle);
    vec![
        most.above(
            0.5,
            plain.first().map(|row| row.estimate()),
            &format!("share of measures won, mean over corpora, against one half; {INTERVAL}"),
        ),
        highest.above(
            0.0,
            least(others.into_iter().map(Gain::estimate)),
            &format!(
                "difference of the shares of measures won to every other objective, the same questions and seeds for both; of \
                 value and interval's ends the least of all; {INTERVAL}"
            ),
        ),
    ]
}
