//! Paper A, figure 6A: gains in against gains out of the distribution trained on, of every objective.

use crate::lab::corpus::Corpus;
use crate::lab::gains::{self, Row, better};
use crate::lab::picture::{distinct, gain_axis};
use crate::lab::study::Arm;
use crate::plot::{Drawing, Ink, Panel, Series, Shape};
use crate::{About, Claim, Run, Table};
use anyhow::Result;

/// The figure.
pub(super) struct Figure;

impl crate::Figure for Figure {
    fn about(&self) -> About {
        About {
            id: "a-6a",
            title: "At home and abroad: gains of every objective",
            source: "A, figure 6A",
            caption: "Mean gain over plain maximum likelihood in (across) and out of (up) the distribution trained on, one mark \
                      per objective and corpus. Left share of right answers, right held-out loss. Up and to the right is \
                      better.",
            protocol: "As figures 3 and 5. The mean is over measures of one unit; a corpus without a measure of that unit in \
                       its own distribution has no mark.",
            deviations: &[
                "No judge: held-out loss and overlap stand in place of win rates.",
                "SmolLM2-135M-Instruct in all profiles but paper.",
            ],
            columns: gains::columns(),
        }
    }

    fn table(&self, run: &Run) -> Result<Table> {
        let mut rows = gains::rows(run, |study| {
            let mut arms = study.selections();
            arms.extend(study.objectives());
            arms.dedup();
            let mut all: Vec<Arm> = Vec::new();
            for arm in arms {
                if !all.contains(&arm) {
                    all.push(arm);
                }
            }
            all.into_iter().map(|arm| (arm, Arm::mle())).collect()
        })?;
        rows.retain(|row| row.outcome == "mean");
        Table::from_rows(&rows)
    }

    fn draw(&self, table: &Table) -> Result<Drawing> {
        let rows: Vec<Row> = table.rows()?;
        let arms = distinct(rows.iter().map(|row| row.arm.as_str()));
        let corpora = distinct(rows.iter().map(|row| row.trained_on.as_str()));
        let mut panels = Vec::new();
        for (unit, title) in [("share", "right answers"), ("nats", "held-out text")] {
            let of = |place: &str, arm: &str, corpus: &str| {
                rows.iter()
                    .find(|row| {
                        row.distribution == place
                            && row.unit == unit
                            && row.arm == arm
                            && row.trained_on == corpus
                    })
                    .map(|row| row.gain)
            };
            let mut panel = Panel::new(title, gain_axis(unit), gain_axis(unit))
                .with(Series::horizontal(0.0))
                .with(Series::vertical(0.0));
            for (index, arm) in arms.iter().enumerate() {
                for (shape, corpus) in corpora.iter().enumerate() {
                    if let Some(place) = of("in", arm, corpus).zip(of("out", arm, corpus)) {
                        let points =
                            Series::points([place]).ink(Ink::Category(index)).shape(Shape::of(shape));
                        panel = panel.with(points.label(arm));
                    }
                }
            }
            panels.push(panel);
        }
        Ok(Drawing::new(panels).columns(2).panel_height(320.0))
    }

    fn claims(&self, table: &Table) -> Result<Vec<Claim>> {
        let rows: Vec<Row> = table.rows()?;
        let mut claims = Vec::new();
        for corpus in [Corpus::Alpaca, Corpus::Gsm8k, Corpus::Chat, Corpus::Arithmetic] {
            for (place, words) in [("in", "in"), ("out", "out of")] {
                let name = corpus.name();
                let text = format!(
                    "Trained on {name}: masked training with distillation lowers the held-out loss {words} distribution."
                );
                let claim = Claim::new(&format!("a-6a/both-{place}-{name}"), "A, figure 6A", &text);
                claims.push(better(&rows, claim, corpus, ("masked + distill", "mle"), (place, "nats")));
            }
        }
        Ok(claims)
    }
}
