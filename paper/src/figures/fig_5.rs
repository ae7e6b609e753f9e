//! Paper A, figure 5: masked maximum likelihood, distillation, and both, on every measure.

use crate::lab::arm::Arm;
use crate::lab::corpus::{Corpus, OF_CHAT};
use crate::lab::gains::{self, PREFERENCE, Row, better, worse};
use crate::lab::models::each_model;
use crate::lab::picture;
use crate::plot::{Drawing, Panel};
use crate::{About, Claim, Run, Table};
use anyhow::Result;

/// The figure.
pub(super) struct Figure;

impl crate::Figure for Figure {
    fn about(&self) -> About {
        About {
            id: "a-5",
            title: "Masking and distillation, at home and abroad (in a judge's place: overlap with references)",
            source: "A, figure 5",
            caption: "Gain over plain maximum likelihood on every measure, one mark per objective; 95 % intervals. \
                      First what the models answer, then the loss on held-out text, and where free text is answered how often \
                      the reply is preferred.",
            protocol: "Four models per corpus and seed, alike in everything but the objective: plain maximum likelihood; \
                       masked (the quarter of each batch's tokens with the largest loss); distilled from the plain one; and \
                       the paper's: masked, the other tokens distilled from the plain one. The plain model is an adapter on \
                       the same base.\n\nMeasures of the corpus trained on are in, all others out of distribution.",
            deviations: &[
                "No judge in all profiles but paper: in place of AlpacaEval's win rate stand overlap with the reference, how \
                 often a reply overlaps more than the plain model's (length-controlled, ties one half), and held-out loss.",
                "Trained on generated word problems, GSM8K and conversations beside Alpaca.",
                "SmolLM2-135M-Instruct in all profiles but paper.",
                OF_CHAT,
            ],
            columns: gains::columns(),
        }
    }

    fn table(&self, run: &Run) -> Result<Table> {
        Table::from_rows(&gains::rows_and_preferences(run, |study| {
            let plain = study.objectives().into_iter().map(|arm| (arm, Arm::mle()));
            plain.chain([(Arm::both(), Arm::masked())]).collect()
        })?)
    }

    fn draw(&self, table: &Table) -> Result<Drawing> {
        let mut rows: Vec<Row> = table.rows()?;
        rows.retain(|row| row.versus == "mle");
        let names = picture::distinct(rows.iter().map(|row| row.arm.as_str()));
        let panels = each_model(&rows, |row| &row.model, |rows| panels(rows, &names), Panel::of);
        Ok(Drawing::new(panels).columns(3).width(1060.0))
    }

    fn title(&self, table: &Table) -> Result<&'static str> {
        gains::title(&self.about(), table)
    }

    fn claims(&self, table: &Table) -> Result<Vec<Claim>> {
        let claims = |rows: &[Row]| at_home_and_abroad(rows, "a-5", "A, figure 5", Corpus::Alpaca);
        Ok(each_model(&table.rows()?, |row: &Row| &row.model, claims, Claim::of_model))
    }
}

/// What is gained by one model, corpus by corpus; `names` are those of the whole drawing.
fn panels(rows: &[Row], names: &[String]) -> Vec<Panel> {
    let mut panels = Vec::new();
    for corpus in picture::distinct(rows.iter().map(|row| row.trained_on.as_str())) {
        for (unit, words) in [
            ("share", "right answers and overlap"),
            ("nats", "loss on held-out text"),
            (PREFERENCE, "replies preferred"),
        ] {
            let here: Vec<&Row> = rows
                .iter()
                .filter(|row| row.trained_on == corpus && row.unit == unit && row.outcome != "mean")
                .collect();
            if let Some(first) = here.first() {
                let by = if unit == PREFERENCE { gains::judge(first) } else { "" };
                let title = format!("trained on {corpus}: {words} {by}");
                panels.push(picture::gains(&title, &here, unit, |row| &row.outcome, |row| &row.arm, names));
            }
        }
    }
    panels
}

/// What the paper says of masked training and of its own objective on a corpus, but for masked training's gain in
/// distribution: that is figure 3's.
pub(super) fn at_home_and_abroad(rows: &[Row], figure: &str, source: &str, corpus: Corpus) -> Vec<Claim> {
    let mut claims = Vec::new();
    for unit in ["share", "nats"] {
        let claim = |id: &str, text: &str, place: &str| {
            gains::claim(&format!("{figure}/{id}"), source, corpus, text, (place, unit))
        };
        let (masked, both) = (("loss token", "mle"), ("masked + distill", "mle"));
        let one = claim("masked-out", "masked training costs out of distribution", "out");
        claims.push(worse(rows, one, corpus, masked, ("out", unit)));
        let one = claim("both-out", "masked training with distillation gains out of distribution", "out");
        claims.push(better(rows, one, corpus, both, ("out", unit)));
        let one = claim(
            "distillation-helps-out",
            "distillation beside it improves masked training out of distribution",
            "out",
        );
        claims.push(better(rows, one, corpus, ("masked + distill", "loss token"), ("out", unit)));
    }
    for unit in gains::units(corpus) {
        let text = "masked training with distillation gains in distribution";
        let one = gains::claim(&format!("{figure}/both-in"), source, corpus, text, ("in", unit));
        claims.push(better(rows, one, corpus, ("masked + distill", "mle"), ("in", unit)));
    }
    claims
}
