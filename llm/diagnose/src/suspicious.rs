//! The rows that look wrong: by defects of their text, and by labels that contradict the model.

use serde::Serialize;
use tokensieve_documents::estimates::{DocumentRecord, TokenRecord};

use crate::defects::Finding;
use crate::describe::{confidence, is_best};
use crate::noise::LabelNoise;

/// How many rows are shown (choice).
const SHOWN: usize = 10;

/// Where rows are only ranked, a suspicion is never quite none: otherwise nothing would rank those of data in which no noise is
/// found.
const LEAST: f64 = 1e-3;

/// Rows with less are shown with 0.00: nothing of them is suspicious.
const LEAST_OF_A_ROW: f64 = 0.005;

/// A row that looks wrong.
#[derive(Clone, Debug, Serialize)]
pub struct Suspicious {
    /// The row, counted from 0.
    pub row: usize,
    /// Expected number of wrong labels, at most, among those that contradict the model where it is sure; where η is not to be
    /// trusted, how much all labels contradict it, by which rows are ranked and no more.
    pub wrong: f64,
    /// What is wrong with its text.
    pub defects: Vec<String>,
    /// Its tokens, with the suspicion of each that is predicted.
    pub tokens: Vec<SuspiciousToken>,
}

/// A token of a suspicious row.
#[derive(Clone, Debug, Serialize)]
pub struct SuspiciousToken {
    /// Its part of the text.
    pub text: String,
    /// Probability that the label is wrong; `None` in the prompt.
    pub suspicion: Option<f64>,
    /// Probability of the label.
    pub p: Option<f64>,
    /// The most probable token, where that is another one.
    pub best: Option<String>,
}

/// What a token adds to its row's expected number of wrong labels, or to its rank.
fn wrong(token: &TokenRecord, noise: &LabelNoise) -> f64 {
    if !noise.is_trusted() {
        return suspicion(token, noise).unwrap_or(0.0);
    }
    let is_counted = token.response && !is_best(token) && noise.is_sure(confidence(token));
    if is_counted { noise.suspicion(confidence(token)) } else { 0.0 }
}

fn suspicion(token: &TokenRecord, noise: &LabelNoise) -> Option<f64> {
    let floor = |value: f64| value.max(LEAST * confidence(token));
    token.response.then(|| if is_best(token) { 0.0 } else { floor(noise.suspicion(confidence(token))) })
}

/// The rows with the most expected wrong labels, as far as there are such.
pub(crate) fn most(records: &[DocumentRecord], findings: &[Finding], noise: &LabelNoise) -> Vec<Suspicious> {
    let wrong =
        |record: &DocumentRecord| -> f64 { record.tokens.iter().map(|token| wrong(token, noise)).sum() };
    let mut ranked: Vec<(f64, &DocumentRecord)> =
        records.iter().map(|record| (wrong(record), record)).collect();
    ranked.retain(|(wrong, _)| *wrong >= LEAST_OF_A_ROW);
    ranked.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    let row = |(wrong, record): (f64, &DocumentRecord)| Suspicious {
        row: record.row,
        wrong,
        defects: findings
            .iter()
            .filter(|finding| finding.row == record.row)
            .map(|finding| finding.what.clone())
            .collect(),
        tokens: record.tokens.iter().map(|token| shown(token, noise)).collect(),
    };
    ranked.into_iter().take(SHOWN).map(row).collect()
}

fn shown(token: &TokenRecord, noise: &LabelNoise) -> SuspiciousToken {
    let best = token.top.first().filter(|_| token.response && !is_best(token));
    SuspiciousToken {
        text: token.text.clone(),
        suspicion: suspicion(token, noise),
        p: token.probability.filter(|_| token.response).map(f64::from),
        best: best.map(|(text, _)| text.clone()),
    }
}

#[cfg(test)]
mod tests {
    use tokensieve_base::statistics::Estimate;

    use super::*;

    /// As `SentencePiece` has them: a word with its blank and without it are two tokens.
    fn record(row: usize, best: (u32, &str), confidence: f32) -> DocumentRecord {
        let token = TokenRecord {
            id: 7,
            text: "=".to_owned(),
            response: true,
            probability: Some(1.0 - confidence),
            top: vec![(best.1.to_owned(), confidence)],
            top_ids: vec![best.0],
            ..TokenRecord::default()
        };
        DocumentRecord { row, tokens: vec![token] }
    }

    fn noise(share: f64, doubts: &[&str]) -> LabelNoise {
        LabelNoise {
            share: Estimate { value: share, low: 0.0, high: 0.2, n: 3 },
            inverse_temperature: 1.0,
            sure: 3,
            calibration_error: 0.0,
            doubts: doubts.iter().map(|doubt| (*doubt).to_owned()).collect(),
        }
    }

    #[test]
    fn of_tokens_that_the_model_is_unsure_of_no_wrong_labels_are_expected() {
        let records = [record(0, (8, "="), 0.9), record(1, (8, "="), 0.9999)];
        let wrong = |noise: &LabelNoise| -> Vec<(usize, f64)> {
            most(&records, &[], noise).iter().map(|row| (row.row, row.wrong)).collect()
        };
        assert_eq!(wrong(&noise(0.1, &[])), [(1, noise(0.1, &[]).suspicion(0.9999_f32.into()))]);
        assert_eq!(wrong(&noise(0.0, &[])), []);
        // Ranked, both count.
        assert_eq!(wrong(&noise(0.1, &["few"])).len(), 2);
    }

    #[test]
    fn a_row_is_suspicious_if_other_tokens_are_more_probable_whatever_their_texts() {
        let noise = noise(0.1, &[]);
        let records = [(7, ""), (8, "="), (9, "+")];
        let records: Vec<DocumentRecord> =
            (0..).zip(records).map(|(row, best)| record(row, best, 0.9999)).collect();
        let found = most(&records, &[], &noise);
        let told: Vec<_> = found.iter().map(|row| (row.row, row.tokens[0].best.as_deref())).collect();
        assert_eq!(told, [(1, Some("=")), (2, Some("+"))]);
    }
}
