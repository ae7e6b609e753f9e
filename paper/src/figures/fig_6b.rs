//! Paper A, figure 6B: on what share of all measures an objective beats plain training.

use crate::claim::least;
use crate::study::claims::{self, ENOUGH_SEEDS, TOO_FEW_SEEDS};
use crate::study::corpus::OF_CHAT;
use crate::study::models::{SMALL_MODEL, each_model};
use crate::study::{Arm, Corpora, Gain, Unit, compare, picture};
use crate::table::distinct;
use crate::{About, Claim, Declared, Evidence, Expected, Run, Table};
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
            caption: "Share of all measures, in and out of distribution, on which an objective does better than \
                      plain maximum likelihood (a tie counts one half), by training corpus. 95 % intervals by the \
                      bootstrap over questions and seeds, never narrower than Student's over seeds. The line at one \
                      half marks a draw.",
            protocol: "As figures 3 and 5. Where there is a judge, its win rate is one of the measures. Wins are \
                       counted anew in each resample of questions and seeds.",
            deviations: &[
                "Only the profile paper has a judge. In the other profiles no preference is counted; held-out loss \
                 and overlap with references are among the measures instead.",
                compare::MEASURED_ELSEWHERE,
                SMALL_MODEL,
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

/// What is claimed of one model.
fn of_model(rows: &[Gain]) -> Vec<Claim> {
    let is = |row: &&Gain| row.trained_on == Corpora::All && row.arm == Arm::MaskedDistill;
    let rows: Vec<Gain> = rows.iter().filter(is).cloned().collect();
    let untested = match rows.iter().map(|row| row.seeds).min() {
        None => Some("not tested at this scale: the table has no row over all corpora"),
        Some(seeds) => (seeds < ENOUGH_SEEDS).then_some(TOO_FEW_SEEDS),
    };
    let tested = |claim: &Declared<[Gain]>| match untested {
        Some(reason) => claim.of("a-6b").not_tested(reason),
        None => claim.tested("a-6b", &rows),
    };
    CLAIMS.iter().map(tested).collect()
}

/// Tested on the rows of masked training with distillation over all corpora. A jackknife over questions would not do for their
/// intervals: a share of measures won jumps where a gain changes its sign.
const CLAIMS: [Declared<[Gain]>; 2] = [
    Declared {
        id: "both-wins-most",
        source: "A, figure 6B",
        evidence: Evidence::Proxy,
        statement: "Masked training with distillation beats plain training on most measures.",
        test: "share of measures won, mean over corpora, against one half; 95 % interval: bootstrap over questions and seeds, \
               never narrower than Student's over seeds",
        expected: Expected::Above(0.5),
        effect: |rows| rows.iter().find(|row| row.versus == Arm::Mle).map(Gain::estimate),
    },
    Declared {
        id: "both-highest",
        source: "A, figure 6B",
        evidence: Evidence::Proxy,
        statement: "Masked training with distillation beats plain training on more measures than any other objective does.",
        test: "its share of measures won minus that of each other objective, on the same questions and seeds; of these \
               differences the least, in value and in both ends of the interval; 95 % interval: bootstrap over questions and \
               seeds, never narrower than Student's over seeds",
        expected: Expected::Above(0.0),
        effect: |rows| least(rows.iter().filter(|row| row.versus != Arm::Mle).map(Gain::estimate)),
    },
];
