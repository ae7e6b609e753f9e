//! Paper A, figure 4, as numbers: what kinds of tokens masked training would select as it goes on, and plain training too.

use crate::claim::{Evidence, Expected, OURS};
use crate::finetune::panels::of_study;
use crate::finetune::{Plan, Quantity, Study, Term, comparison::TOO_FEW, scored::after};
use crate::planned::Rate;
use crate::table::distinct;
use crate::{About, Claim, Estimate, Run, Table, row};
use anyhow::Result;
use tokensieve_plot::{Axis, Drawing, Ink, Panel, Series};

/// The figure.
pub(super) struct Figure;

const ID: &str = "a-4";
const KINDS: [Quantity; 3] = [Quantity::Structural, Quantity::Arithmetic, Quantity::Words];

row! {
    /// The share of a kind of token among the selected after so many steps.
    struct Chosen {
        data: String = "what is trained on, and what the held-out documents are of",
        arm: String = "the way of training",
        step: u64 = "optimizer steps before the documents are scored; 0: before training",
        kind: Quantity = "kind of token",
        versus: Option<String> = "the same share of this arm is subtracted, seed by seed; `before`: that before \
                                  training",
        seeds: usize = "number of seeds, each with documents of its own",
        share: f64 = "mean over seeds of the kind's share of the selected tokens",
        low: f64 = "lower end of Student's 95 % interval",
        high: f64 = "upper end",
    }
}

impl crate::Figure for Figure {
    fn about(&self) -> About {
        About {
            id: ID,
            title: "Which tokens are selected as training goes on",
            source: "A, figure 4",
            caption: "Share of each kind of token in the quarter of the response tokens with the largest loss, in held-out \
                      documents of the training data, before and on the way of masked training (solid), and of plain \
                      training (dashed), which selects nothing: a curriculum due to masking is where the two part. The text \
                      of a token decides its kind: structural are punctuation, white space and the end of the turn, \
                      arithmetic are numbers and operators. Mean over seeds; ribbons: Student's 95 % intervals.",
            columns: Chosen::columns(),
            ..of_study()
        }
    }

    fn table(&self, run: &Run) -> Result<Table> {
        let study = Study::of(run, &["objectives"])?;
        let place = study.work.plan.scored.places[0].clone();
        let mut rows = Vec::new();
        for data in &study.work.plan.scored.data {
            let last = study.work.steps(data)?;
            let looks = study.work.looks().iter().map(|step| (*step, after(*step)));
            for arm in &study.work.plan.scored.way {
                let mut way = vec![(0, "before", place.clone(), None)];
                way.extend(looks.clone().map(|(step, set)| (step, arm.as_str(), set, None)));
                way.push((last, arm, place.clone(), None));
                way.push((last, arm, place.clone(), Some("before")));
                if arm != "mle" {
                    way.push((last, arm, place.clone(), Some("mle")));
                }
                for (step, measured, set, versus) in way {
                    for kind in KINDS {
                        let term = Term {
                            arm: measured.to_owned(),
                            data: data.clone(),
                            rate: Rate::Tuned,
                            set: set.clone(),
                            minus: None,
                            of: kind,
                        };
                        rows.extend(study.row(&term, versus).map(|row| Chosen {
                            data: data.clone(),
                            arm: arm.clone(),
                            step,
                            kind,
                            versus: row.versus,
                            seeds: row.seeds,
                            share: row.value,
                            low: row.low,
                            high: row.high,
                        }));
                    }
                }
            }
        }
        Table::from_rows(&rows)
    }

    fn draw(&self, table: &Table) -> Result<Drawing> {
        let mut rows: Vec<Chosen> = table.rows()?;
        rows.retain(|row| row.versus.is_none());
        let mut panels = Vec::new();
        for data in distinct(rows.iter().map(|row| row.data.as_str())) {
            let y = Axis::linear("share of the selected").range(0.0, 1.0).percent();
            let mut panel = Panel::new(&format!("trained on {data}"), Axis::linear("optimizer steps"), y);
            for (index, kind) in KINDS.iter().enumerate() {
                let ink = Ink::Category(index);
                for arm in ["masked", "mle"] {
                    let here: Vec<&Chosen> = rows
                        .iter()
                        .filter(|row| row.data == data && row.arm == arm && row.kind == *kind)
                        .collect();
                    let line = Series::line(here.iter().map(|row| (row.step as f64, row.share))).ink(ink);
                    if arm == "mle" {
                        panel = panel.with(line.dashed());
                        continue;
                    }
                    // Student knows nothing of shares: no more than none and all of the tokens are possible.
                    let band = here.iter().map(|row| (row.step as f64, row.low.max(0.0), row.high.min(1.0)));
                    panel = panel.with(Series::band(band).ink(ink)).with(line.label(name(*kind)));
                }
            }
            panels.push(panel);
        }
        Ok(Drawing::new(panels).columns(2))
    }

    fn claims(&self, table: &Table) -> Result<Vec<Claim>> {
        let rows: Vec<Chosen> = table.rows()?;
        let plan = Plan::load()?;
        let mut claims = Vec::new();
        for data in &plan.scored.data {
            let sets = plan.data(data)?.sets();
            claims.extend(CLAIMS.iter().map(|claim| claim.tested(&rows, data, sets)));
        }
        Ok(claims)
    }
}

fn name(kind: Quantity) -> &'static str {
    match kind {
        Quantity::Structural => "structural",
        Quantity::Arithmetic => "arithmetic",
        _ => "words",
    }
}

/// A claim about a kind of token's share of the selected, at the end of masked training.
struct Changes {
    id: &'static str,
    source: &'static str,
    evidence: Evidence,
    statement: &'static str,
    kind: Quantity,
    versus: &'static str,
    expected: Expected,
}

const CLAIMS: [Changes; 3] = [
    Changes {
        id: "structure-falls",
        source: "A, figure 4",
        evidence: Evidence::Paper,
        statement: "structural tokens become rarer among the selected",
        kind: Quantity::Structural,
        versus: "before",
        expected: Expected::Below(0.0),
    },
    Changes {
        id: "arithmetic-rises",
        source: "A, figure 4",
        evidence: Evidence::Paper,
        statement: "numbers and operators become more common among the selected",
        kind: Quantity::Arithmetic,
        versus: "before",
        expected: Expected::Above(0.0),
    },
    Changes {
        id: "due-to-masking",
        source: OURS,
        evidence: Evidence::Ours,
        statement: "structural tokens become rarer among the tokens with the largest loss than they do by plain training",
        kind: Quantity::Structural,
        versus: "mle",
        expected: Expected::Below(0.0),
    },
];

impl Changes {
    fn tested(&self, rows: &[Chosen], data: &str, sets: &[&str]) -> Claim {
        let Self { id, source, evidence, statement, kind, versus, expected } = *self;
        let question = format!("{ID}/{id}");
        let claim = Claim::new(&format!("{question}-{data}"), source, &format!("{data}: {statement}."))
            .by(evidence)
            .of_question(&question)
            .on_data(sets);
        let is = |row: &&Chosen| {
            row.data == data
                && row.kind == kind
                && row.arm == "masked"
                && row.versus.as_deref() == Some(versus)
        };
        let Some(row) = rows.iter().find(is).filter(|row| row.seeds > 1) else {
            return claim.not_tested(TOO_FEW);
        };
        let test = format!(
            "share of {} tokens in the quarter of held-out tokens with the largest loss, after masked training, minus the \
             same of {versus}, paired by seed; Student's 95 % interval over seeds",
            name(kind)
        );
        let change = Estimate { value: row.share, low: row.low, high: row.high, n: row.seeds };
        claim.expecting(expected, change, &test)
    }
}
