//! The primary claims of the study of a fine-tuned model.

use crate::claim::Evidence;
use crate::finetune::panels::of_study;
use crate::finetune::{Plan, Study};
use crate::picture::{PRIMARY, primary};
use crate::planned::{Decided, Declared};
use crate::{About, Claim, Run, Table};
use anyhow::Result;
use tokensieve_plot::Drawing;

/// The figure.
pub(super) struct Figure;

const ID: &str = "study";

impl crate::Figure for Figure {
    fn about(&self) -> About {
        About {
            id: ID,
            title: "Twelve claims about a fine-tuned language model, and exploratory ones beside them",
            source: "A and B, their central claims",
            caption: PRIMARY,
            columns: Decided::columns(),
            ..of_study()
        }
    }

    fn table(&self, run: &Run) -> Result<Table> {
        let study = Study::compared(run)?;
        Table::from_rows(&[study.decided()?, study.beside()?].concat())
    }

    fn subtitle(&self, table: &Table) -> Result<Option<&'static str>> {
        let rows: Vec<Decided> = table.rows()?;
        let waits = rows.iter().any(|row| row.difference.is_none());
        Ok(waits.then_some("not all runs of the plan are done: a claim without a mark is not tested yet"))
    }

    fn draw(&self, table: &Table) -> Result<Drawing> {
        let plan = Plan::load()?;
        Ok(primary(&table.rows::<Decided>()?, &plan.claims, &plan.beside()))
    }

    fn claims(&self, table: &Table) -> Result<Vec<Claim>> {
        let plan = Plan::load()?;
        let beside = plan.beside();
        let claim = |row: &Decided| {
            let (of, family) = match Declared::of(&beside, &row.claim) {
                Ok(exploratory) => (exploratory, 1),
                Err(_) => (Declared::of(&plan.claims, &row.claim)?, plan.claims.len()),
            };
            Ok(row.claim(ID, of, family, of.evidence.unwrap_or(Evidence::Proxy)))
        };
        table.rows::<Decided>()?.iter().map(claim).collect()
    }
}
