//! Paper A, figure 4, as numbers: what kinds of tokens masked training selects as training goes on.

use crate::lab::gains::{self, ENOUGH_SEEDS, TOO_FEW_SEEDS};
use crate::lab::picture::distinct;
use crate::lab::selection;
use crate::lab::study::{Arm, short};
use crate::plot::{Axis, Drawing, Ink, Panel, Series};
use crate::{About, Claim, Column, Run, Table};
use anyhow::Result;
use serde::{Deserialize, Serialize};
use tokensieve_toy::statistics::{self, Estimate};

/// The figure.
pub(super) struct Figure;

/// Parts into which a run's steps are put together.
const PARTS: usize = 5;

/// One kind of token in one part of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Row {
    model: String,
    trained_on: String,
    seed: u64,
    part: usize,
    steps: usize,
    kind: String,
    selected_share: f64,
    selected_share_low: f64,
    selected_share_high: f64,
    share_of_all: f64,
}

impl crate::Figure for Figure {
    fn about(&self) -> About {
        About {
            id: "a-4",
            title: "Which tokens are selected as training goes on",
            source: "A, figure 4",
            caption: "Share of each kind of token among the quarter with the largest loss, over five equal parts of the run; mean \
                      over seeds, with 95 % bootstrap intervals over the steps of a part.",
            protocol: "Every selected token of every step of masked training (selection by loss, of tokens) is put into one kind \
                       by its text. Structural: signs, blanks and line ends, the end of the turn; arithmetic: numbers and signs \
                       of calculation; words: beginnings and continuations. The shares are of the selected tokens of a step, \
                       so a kind that is rare among all tokens is rare here too.",
            deviations: &[
                "Numbers over all training data; the paper shows one conversation.",
                "SmolLM2-135M-Instruct in all profiles but paper.",
            ],
            columns: vec![
                Column::new("model", "", "base model"),
                Column::new("trained_on", "", "corpus trained on"),
                Column::new("seed", "", "seed of the training run"),
                Column::new("part", "", "fifth of the run, from 1"),
                Column::new("steps", "", "optimizer steps in it"),
                Column::new("kind", "", "structural, arithmetic, words or other"),
                Column::new("selected_share", "", "its share of the selected tokens"),
                Column::new(
                    "selected_share_low",
                    "",
                    "lower end of the 95 % bootstrap interval over the part's steps",
                ),
                Column::new("selected_share_high", "", "its upper end"),
                Column::new("share_of_all", "", "its share of all response tokens of these steps"),
            ],
        }
    }

    fn table(&self, run: &Run) -> Result<Table> {
        let study = gains::study(run);
        let mut rows = Vec::new();
        for model in study.scale.models {
            for corpus in &study.corpora {
                for seed in 0..study.scale.seeds {
                    let folder = run.job(study.trained(model, *corpus, &Arm::masked(), seed)?.as_ref())?;
                    for found in selection::parts(&folder.join("selection.jsonl"), PARTS)? {
                        let Estimate { value, low, high, .. } = found.selected;
                        rows.push(Row {
                            model: short(model).into(),
                            trained_on: corpus.name().into(),
                            seed,
                            part: found.part,
                            steps: found.steps,
                            kind: found.kind.into(),
                            selected_share: value,
                            selected_share_low: low,
                            selected_share_high: high,
                            share_of_all: found.of_all,
                        });
                    }
                }
            }
        }
        Table::from_rows(&rows)
    }

    fn draw(&self, table: &Table) -> Result<Drawing> {
        let rows: Vec<Row> = table.rows()?;
        let mut panels = Vec::new();
        for corpus in distinct(rows.iter().map(|row| row.trained_on.as_str())) {
            let mut panel = Panel::new(
                &format!("trained on {corpus}"),
                Axis::linear("fifth of the run")
                    .ticks((1..=PARTS).map(|part| (part as f64, part.to_string()))),
                Axis::linear("share of the selected").percent(),
            );
            for (index, kind) in selection::KINDS.iter().enumerate() {
                let mean = |part: usize, of: fn(&Row) -> f64| {
                    let here: Vec<f64> = rows
                        .iter()
                        .filter(|row| row.trained_on == corpus && row.kind == *kind && row.part == part)
                        .map(of)
                        .collect();
                    statistics::mean(&here)
                };
                let ink = Ink::Category(index);
                let band = (1..=PARTS).filter_map(|part| {
                    Some((
                        part as f64,
                        mean(part, |row| row.selected_share_low)?,
                        mean(part, |row| row.selected_share_high)?,
                    ))
                });
                let line =
                    (1..=PARTS).filter_map(|part| Some((part as f64, mean(part, |row| row.selected_share)?)));
                panel = panel.with(Series::band(band).ink(ink)).with(Series::line(line).ink(ink).label(kind));
            }
            panels.push(panel);
        }
        Ok(Drawing::new(panels).columns(2))
    }

    fn claims(&self, table: &Table) -> Result<Vec<Claim>> {
        let rows: Vec<Row> = table.rows()?;
        let mut claims = Vec::new();
        for corpus in ["alpaca", "gsm8k", "arithmetic"] {
            let claim = |id: &str, text: &str| {
                let claim =
                    Claim::new(&format!("a-4/{id}-{corpus}"), "A, figure 4", &format!("{corpus}: {text}"));
                if corpus == "arithmetic" { claim.on_data(&[]) } else { claim.on_data(&[corpus]) }
            };
            let structural = claim("structure-falls", "structural tokens become rarer among the selected.");
            let arithmetic = claim(
                "arithmetic-rises",
                "numbers and signs of calculation become more common among the selected.",
            );
            let test = "share in the last fifth of the run minus that in the first, per seed; mean, Student's 95 % interval";
            let here = rows.iter().filter(|row| row.trained_on == corpus);
            let reason = match here.map(|row| row.seed + 1).max() {
                None => Some(format!("not tested at this scale: nothing is trained on {corpus}")),
                Some(seeds) if seeds < ENOUGH_SEEDS => Some(TOO_FEW_SEEDS.to_owned()),
                Some(_) => None,
            };
            if let Some(reason) = reason {
                claims.extend([structural.not_tested(&reason), arithmetic.not_tested(&reason)]);
                continue;
            }
            claims.push(structural.below(0.0, change(&rows, corpus, "structural"), test));
            claims.push(arithmetic.above(0.0, change(&rows, corpus, "arithmetic"), test));
        }
        Ok(claims)
    }
}

/// Share in the last part minus that in the first, over seeds.
fn change(rows: &[Row], corpus: &str, kind: &str) -> Option<Estimate> {
    let of = |part: usize| {
        rows.iter()
            .filter(move |row| row.trained_on == corpus && row.kind == kind && row.part == part)
            .map(|row| row.selected_share)
    };
    statistics::mean_interval(&of(PARTS).zip(of(1)).map(|(last, first)| last - first).collect::<Vec<_>>())
}
