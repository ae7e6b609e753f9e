//! How often what `tokensieve diagnose` recommends is right.

use crate::claim::OURS;
use crate::picture::{Mark, marks};
use crate::proof::row::{ORACLE, STUDY, hits, regret, spared};
use crate::proof::{Choice, Rule};
use crate::table::distinct;
use crate::{About, Claim, Declared, Estimate, Evidence, Expected, Run, Table};
use anyhow::Result;
use tokensieve_plot::{Axis, Drawing, Panel};

/// The figure.
pub(super) struct Figure;

const ID: &str = "diagnosis";

impl crate::Figure for Figure {
    fn about(&self) -> About {
        About {
            id: ID,
            title: "How often what diagnose recommends is right",
            source: "ours",
            caption: "A: the share of settings on which what a rule recommends is within a point, or a standard error, of \
                      the best candidate's right answers, with exact 95 % intervals. B: how \
                      many points of right answers its choices lack on average, with 95 % intervals over settings. C, D: \
                      what each objective gains over plain training, by what is trained on, in points of right answers, with \
                      95 % intervals over settings.",
            protocol: "A setting is a model and data to train it on. `tokensieve diagnose` was frozen (its fingerprint is in \
                       paper/plans/proof.toml) before any of them was run. On each it recommends one of the candidates, by \
                       prediction and by a race, with right rows held out; each candidate is trained at the rate that its study \
                       tuned for it elsewhere, and measured by right answers to other questions. 48 settings are small models in \
                       the oracle language, each with a world, data and initial weights of its own, of five capabilities and on \
                       nine kinds of data; 12 are the study's model, three seeds of each of four kinds of data. Profiles \
                       laptop and study read the outcomes that the repository keeps (paper/recorded/proof.jsonl.gz).",
            deviations: &[
                "Settings that share their kind of data, or the study's model, are not independent.",
                "Hardly an answer to the cipher is right. Its three settings are measured by the answers' likeness to the right \
                 ones (Jaro–Winkler), where right answers are spoken of, and a point alone is as good as the best.",
                "B's continuum stands for −p where the labels' mean probability is at least 0.675, half way between the \
                 paper's mathematics and its medicine, and for plain training elsewhere.",
            ],
            columns: Choice::columns(),
        }
    }

    fn table(&self, run: &Run) -> Result<Table> {
        Table::from_rows(&Choice::all(run)?)
    }

    fn subtitle(&self, table: &Table) -> Result<Option<&'static str>> {
        let rows: Vec<Choice> = table.rows()?;
        Ok(rows.is_empty().then_some("not all settings have been run yet, or none is at this size"))
    }

    fn draw(&self, table: &Table) -> Result<Drawing> {
        let rows: Vec<Choice> = table.rows()?;
        let names = Rule::ALL.map(Rule::name);
        let panel = |title, axis, of: fn(&[Choice], Rule) -> Option<Estimate>| {
            let found = Rule::ALL.into_iter().zip(&names);
            let found = found.filter_map(|(rule, name)| {
                Some(Mark { category: name, series: title, estimate: of(&rows, rule)? })
            });
            marks(title, axis, &found.collect::<Vec<_>>(), &[title])
        };
        let panels = (!rows.is_empty()).then(|| {
            [
                panel("settings with a good choice", Axis::linear("share").percent(), hits),
                panel("right answers that the choices lack", Axis::linear("points"), regret),
                gains("gain over plain training, small models in the oracle language", &rows, ORACLE),
                gains("gain over plain training, the study's model", &rows, STUDY),
            ]
        });
        Ok(Drawing::new(panels.into_iter().flatten()).columns(1).panel_height(230.0).width(1040.0))
    }

    fn claims(&self, table: &Table) -> Result<Vec<Claim>> {
        let rows: Vec<Choice> = table.rows()?;
        Ok(CLAIMS.iter().map(|claim| claim.tested(ID, rows.as_slice())).collect())
    }
}

/// What each objective gains over plain training, by what is trained on.
fn gains(title: &str, rows: &[Choice], model: &str) -> Panel {
    let rows: Vec<Choice> = rows.iter().filter(|row| row.model == model).cloned().collect();
    let objectives: Vec<(Rule, String)> = Rule::others().map(|rule| (rule, rule.name())).collect();
    let mut found = Vec::new();
    for data in distinct(rows.iter().map(|row| row.data.as_str())) {
        let here: Vec<Choice> = rows.iter().filter(|row| row.data == data).cloned().collect();
        found.extend(objectives.iter().filter_map(|(rule, name)| {
            let estimate = spared(&here, *rule, Rule::PLAIN)?;
            Some(Mark { category: data, series: name, estimate })
        }));
    }
    let names: Vec<&str> = objectives.iter().map(|(_, name)| name.as_str()).collect();
    marks(title, Axis::linear("points of right answers"), &found, &names)
}

const CLAIMS: [Declared<[Choice]>; 4] = [
    Declared {
        id: "recommended-is-good",
        source: OURS,
        evidence: Evidence::Ours,
        statement: "What diagnose recommends is within a point, or a standard error, of the best candidate on more than 85 % of \
                    new settings.",
        test: "share of settings; exact 95 % interval (Clopper and Pearson)",
        expected: Expected::Above(0.85),
        effect: |rows| hits(rows, Rule::Predicted),
    },
    Declared {
        id: "better-than-plain",
        source: OURS,
        evidence: Evidence::Ours,
        statement: "What diagnose recommends loses fewer right answers than plain training does.",
        test: "points that always plain training lacks, minus those that the recommendation lacks; mean over settings, Student's \
               95 % interval",
        expected: Expected::Above(0.0),
        effect: |rows| spared(rows, Rule::Predicted, Rule::PLAIN),
    },
    Declared {
        id: "better-than-one-for-all",
        source: OURS,
        evidence: Evidence::Ours,
        statement: "What diagnose recommends loses fewer right answers than f_0.5 does, the candidate that was best on the settings \
                    it was developed on.",
        test: "points that always f_0.5 lacks, minus those that the recommendation lacks; mean over settings, Student's 95 % \
               interval",
        expected: Expected::Above(0.0),
        effect: |rows| spared(rows, Rule::Predicted, Rule::Always("f-alpha")),
    },
    Declared {
        id: "race-is-better",
        source: OURS,
        evidence: Evidence::Ours,
        statement: "What a race recommends loses fewer right answers than what diagnose predicts.",
        test: "points that the prediction's choices lack, minus those that the race's lack; mean over settings, Student's 95 % \
               interval",
        expected: Expected::Above(0.0),
        effect: |rows| spared(rows, Rule::Raced, Rule::Predicted),
    },
];
