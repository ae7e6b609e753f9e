//! What the ablations of masked training share: every arm beside plain training, masked training beside every arm.

use super::arm::Arm;
use super::corpus::Corpus;
use super::gains::{self, Row, better};
use super::models::each_model;
use super::picture;
use super::study::Study;
use crate::claim::OURS;
use crate::{Claim, Run, Table};
use anyhow::Result;
use tokensieve_plot::Drawing;

/// A statement that masked training does better than an arm: the arm's name, the claim's, and the statement.
pub type Contrast = (&'static str, &'static str, &'static str);

/// Gains of these arms, masked training among them.
pub fn table(run: &Run, arms: fn(&Study) -> Vec<Arm>) -> Result<Table> {
    Table::from_rows(&gains::rows(run, |study| {
        let arms = arms(study);
        let plain = arms.iter().map(|arm| (arm.clone(), Arm::mle()));
        let others = arms.iter().filter(|arm| **arm != Arm::masked());
        plain.chain(others.map(|arm| (Arm::masked(), arm.clone()))).collect()
    })?)
}

/// Their gains over plain training; masked training goes by the name that the figure has for it.
pub fn draw(table: &Table, masked: &str) -> Result<Drawing> {
    let mut rows: Vec<Row> = table.rows()?;
    rows.retain(|row| row.versus == "mle");
    let name = Arm::masked().name;
    for row in rows.iter_mut().filter(|row| row.arm == name) {
        row.arm = masked.into();
    }
    let panels = picture::means(&rows, |row| &row.arm, |row| &row.trained_on);
    Ok(Drawing::new(panels).columns(2))
}

/// Each contrast in distribution, on every corpus, by what the model answers and by the loss on held-out text. The paper
/// leaves these questions open.
pub fn claims(table: &Table, figure: &str, contrasts: &[Contrast]) -> Result<Vec<Claim>> {
    let of_model = |rows: &[Row]| claims_of_model(rows, figure, contrasts);
    Ok(each_model(&table.rows()?, |row: &Row| &row.model, of_model, Claim::of_model))
}

fn claims_of_model(rows: &[Row], figure: &str, contrasts: &[Contrast]) -> Vec<Claim> {
    let masked = Arm::masked().name;
    let mut claims = Vec::new();
    for corpus in [Corpus::Alpaca, Corpus::Gsm8k, Corpus::Arithmetic] {
        for (versus, id, text) in contrasts {
            for unit in ["share", "nats"] {
                let claim = gains::claim(&format!("{figure}/{id}"), OURS, corpus, text, ("in", unit));
                claims.push(better(rows, claim, corpus, (&masked, versus), ("in", unit)));
            }
        }
    }
    claims
}
