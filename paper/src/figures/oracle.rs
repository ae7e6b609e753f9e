//! The primary claims of the study in the oracle language, decided against truth.

use crate::claim::Evidence;
use crate::oracle::{OracleMean, Plan, Study};
use crate::picture::{PRIMARY, primary};
use crate::planned::{Decided, Declared};
use crate::{About, Claim, Run, Table};
use anyhow::Result;
use tokensieve_plot::Drawing;

/// The figure.
pub(super) struct Figure;

const ID: &str = "oracle";

/// Claims that another figure tests with real models or in a toy, and what that figure calls them.
const SAME: [(&str, &str); 5] = [
    ("masked-lowers-kl", "a-3/loss-gains"),
    ("distillation-keeps-the-former", "a-5/distillation-helps-out"),
    ("curriculum-is-due-to-masking", "a-4/due-to-masking"),
    ("strong-and-noisy-minus-p", "b-continuum/strong-noise-30-own"),
    ("weak-minus-log-p", "b-continuum/weak-noise-0-own"),
];

/// What every figure of the study says of its runs, where they depart from the papers, and the columns that most have.
pub(super) fn of_study() -> About {
    About {
        protocol: "A Llama of a million parameters is trained from random weights on the oracle language \
                   (docs/tasks.md), where the distribution of every next token is known exactly; it is kept at five \
                   steps, from weak (1) to strong (5), and trained further for 50 steps of 32 documents in each of the \
                   plan's ways (paper/plans/oracle.toml, docs/plans/oracle.md). Each seed has a world, data and \
                   initial weights of its own. Learning rates are tuned for each way of training on other seeds. \
                   Profiles smoke and laptop run a small part with few seeds; profile study reads the outcomes that \
                   the repository keeps (paper/recorded/oracle.jsonl.gz) and runs what is missing.",
        deviations: &[
            "A made-up language and models of a million parameters: what is measured is exact, and how far it carries \
             over to text is not.",
            "The papers fine-tune adapters of rank 32; here all weights are trained, except where ranks are compared.",
        ],
        columns: OracleMean::columns(),
        ..About::default()
    }
}

impl crate::Figure for Figure {
    fn about(&self) -> About {
        About {
            id: ID,
            title: "Twelve claims measured against truth",
            source: "A and B, their central claims; in the oracle language",
            caption: PRIMARY,
            columns: Decided::columns(),
            ..of_study()
        }
    }

    fn table(&self, run: &Run) -> Result<Table> {
        Table::from_rows(&Study::of(run)?.decided()?)
    }

    fn draw(&self, table: &Table) -> Result<Drawing> {
        Ok(primary(&table.rows::<Decided>()?, &Plan::load()?.claims, &[]))
    }

    fn claims(&self, table: &Table) -> Result<Vec<Claim>> {
        let rows: Vec<Decided> = table.rows()?;
        let plan = Plan::load()?;
        let claim = |row: &Decided| {
            let same = SAME.iter().find(|(id, _)| *id == row.claim).map(|(_, same)| *same);
            let claim = Declared::of(&plan.claims, &row.claim)?;
            Ok(row.claim(ID, claim, plan.claims.len(), Evidence::Truth).same_as(same))
        };
        rows.iter().map(claim).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures;
    use crate::recorded::Recorded;

    #[test]
    fn claims_that_others_test_are_there() -> Result<()> {
        let made = Recorded::load()?.figures(&figures::registry())?;
        let asked: Vec<&str> = made.iter().flat_map(|made| &made.claims).map(Claim::asked).collect();
        let plan = Plan::load()?;
        for (id, same) in SAME {
            Declared::of(&plan.claims, id)?;
            assert!(asked.contains(&same), "no recorded figure asks {same}");
        }
        Ok(())
    }
}
