//! Paper A, figure 3: what selection by different criteria, of tokens or of documents, gains over plain training.

use crate::claim::{Expected, OURS};
use crate::finetune::panels::{gains, of_study, words};
use crate::finetune::{Comparison, Place, Quantity, SeedMean, Study, comparison};
use crate::planned::Rate;
use crate::table::distinct;
use crate::{About, Claim, Run, Table};
use anyhow::Result;
use tokensieve_plot::{Drawing, Panel};

/// The figure.
pub(super) struct Figure;

const ID: &str = "a-3";
pub(super) const GROUPS: [&str; 3] = ["objectives", "objectives elsewhere", "criteria"];
/// Arm, criterion, what is selected.
pub(super) const ARMS: [(&str, &str, &str); 8] = [
    ("masked", "loss", "tokens"),
    ("entropy", "entropy", "tokens"),
    ("rho", "rho", "tokens"),
    ("random", "random", "tokens"),
    ("loss-documents", "loss", "documents"),
    ("entropy-documents", "entropy", "documents"),
    ("rho-documents", "rho", "documents"),
    ("random-documents", "random", "documents"),
];

impl crate::Figure for Figure {
    fn about(&self) -> About {
        About {
            id: ID,
            title: "Training on the top quarter: by which criterion, of tokens or of documents",
            source: "A, figure 3",
            caption: "Gain over plain maximum likelihood from training on the quarter of the tokens, or of the \
                      documents, with the largest value of a criterion: by what the model answers, and by the loss on \
                      held-out documents at the temperature at which it is least. The loss that RHO subtracts is that of \
                      the same model trained plainly on as many other documents of the same data. Mean over seeds with \
                      Student's 95 % interval, paired, where there are several; rings: a single seed.",
            ..of_study()
        }
    }

    fn table(&self, run: &Run) -> Result<Table> {
        let study = Study::of(run, &GROUPS)?;
        let mut rows = Vec::new();
        for data in study.data() {
            rows.extend(study.rows(data, &["mle"], Rate::Tuned, None)?);
            rows.extend(study.rows(data, &ARMS.map(|(arm, ..)| arm), Rate::Tuned, Some("mle"))?);
            for (arm, versus) in CLAIMS.iter().map(|claim| (claim.arm, claim.versus)) {
                if versus != "mle" {
                    rows.extend(study.rows(data, &[arm], Rate::Tuned, Some(versus))?);
                }
            }
        }
        Table::from_rows(&rows)
    }

    fn draw(&self, table: &Table) -> Result<Drawing> {
        let rows: Vec<SeedMean> = table.rows()?;
        let named =
            |row: &SeedMean| ARMS.into_iter().find(|(arm, ..)| *arm == row.arm).unwrap_or(("", "", ""));
        let mut panels: Vec<Panel> = Vec::new();
        for data in distinct(rows.iter().map(|row| row.data.as_str())) {
            for of in [Quantity::Right, Quantity::Fitted] {
                let is = |row: &&SeedMean| {
                    row.data == data
                        && row.measure == of
                        && (of == Quantity::Right || row.set == "test")
                        && row.versus.as_deref() == Some("mle")
                };
                let here: Vec<&SeedMean> = rows.iter().filter(is).collect();
                if let Some(first) = here.first() {
                    let title = format!("{data}: {}", words(first));
                    let panel = gains(
                        &title,
                        &here,
                        |row| named(row).1,
                        |row| named(row).2,
                        &["tokens", "documents"],
                    );
                    panels.push(panel);
                }
            }
        }
        Ok(Drawing::new(panels).columns(2))
    }

    fn claims(&self, table: &Table) -> Result<Vec<Claim>> {
        let rows: Vec<SeedMean> = table.rows()?;
        let mut claims = Comparison::all(ID, &CLAIMS, &rows)?;
        // Where every criterion was tried.
        let beats = |arm: &'static str| Comparison { arm, ..ONLY_LOSS }.tested(ID, &rows);
        let others = [beats("entropy")?, beats("rho")?, beats("random")?];
        for first in beats("masked")? {
            let same = |all: &Vec<Claim>| all.iter().find(|claim| claim.id == first.id).cloned();
            if let Some(others) = others.iter().map(same).collect::<Option<Vec<Claim>>>() {
                claims.push(comparison::only(first, &others));
            }
        }
        Ok(claims)
    }
}

/// That a criterion does better for tokens than for documents.
const fn tokens(
    id: &'static str,
    statement: &'static str,
    arm: &'static str,
    versus: &'static str,
) -> Comparison {
    let source = "A, figure 3";
    Comparison { id, source, statement, arm, versus, place: Place::Home, expected: Expected::Above(0.0) }
}

/// That a criterion does worse than plain training: the paper says only that loss alone gains significantly.
const fn loses(id: &'static str, statement: &'static str, arm: &'static str) -> Comparison {
    Comparison {
        id,
        source: OURS,
        statement,
        arm,
        versus: "mle",
        place: Place::Home,
        expected: Expected::Below(0.0),
    }
}

const ONLY_LOSS: Comparison = Comparison {
    id: "only-loss-gains",
    source: "A, section 4.2",
    statement: "the loss is the only criterion for a quarter of the tokens that beats plain training",
    arm: "masked",
    versus: "mle",
    place: Place::Home,
    expected: Expected::Above(0.0),
};

const CLAIMS: [Comparison; 9] = [
    tokens(
        "token-over-document-entropy",
        "selecting tokens by entropy does better than selecting documents by entropy",
        "entropy",
        "entropy-documents",
    ),
    tokens(
        "token-over-document-loss",
        "selecting tokens by loss does better than selecting documents by loss",
        "masked",
        "loss-documents",
    ),
    tokens(
        "token-over-document-rho",
        "selecting tokens by rho does better than selecting documents by rho",
        "rho",
        "rho-documents",
    ),
    tokens(
        "token-over-document-random",
        "random tokens do better than random documents",
        "random",
        "random-documents",
    ),
    tokens(
        "loss-gains",
        "training on the quarter of the tokens with the largest loss beats plain training",
        "masked",
        "mle",
    ),
    loses(
        "entropy-does-not",
        "training on a quarter of the tokens chosen by entropy does worse than plain training",
        "entropy",
    ),
    loses(
        "rho-does-not",
        "training on a quarter of the tokens chosen by rho does worse than plain training",
        "rho",
    ),
    loses(
        "random-does-not",
        "training on a quarter of the tokens chosen at random does worse than plain training",
        "random",
    ),
    Comparison {
        source: OURS,
        ..tokens(
            "loss-over-random",
            "the quarter of the tokens with the largest loss teaches more than a random quarter",
            "masked",
            "random",
        )
    },
];
