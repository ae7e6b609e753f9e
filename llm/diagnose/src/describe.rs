//! What the model predicts of the data: probabilities, losses and entropies by class of token.

use serde::Serialize;
use tokensieve_base::statistics::{mean, quantile, spearman};
use tokensieve_documents::Class;
use tokensieve_documents::estimates::{DocumentRecord, TokenRecord};

use crate::noise::Hit;

/// The predicted tokens of a class, or all.
#[derive(Clone, Debug, Serialize)]
pub struct ClassRow {
    /// The class; `all` for all tokens.
    pub class: String,
    /// Its tokens.
    pub tokens: usize,
    /// Mean probability of the label: over all tokens, the data's place on the model's continuum.
    pub mean_p: f64,
    /// Mean loss, nats.
    pub loss: f64,
    /// Median and 90 % quantile of the loss.
    pub loss_quantiles: [f64; 2],
    /// Mean entropy of the prediction, nats: the loss that the model expects.
    pub entropy: f64,
    /// Share of labels that are the most probable token.
    pub accuracy: f64,
}

/// Number of equal bins of the probability in [`histogram`].
const BINS: usize = 20;

/// Epistemic uncertainty on a sample.
#[derive(Clone, Debug, Serialize)]
pub struct Uncertainty {
    /// Documents in the sample.
    pub documents: usize,
    /// Passes with dropout.
    pub passes: usize,
    /// Mean BALD, nats.
    pub bald: f64,
    /// Mean entropy of the passes' predictions, nats.
    pub aleatoric: f64,
    /// Spearman's correlation of BALD with the loss, where it is defined.
    pub with_loss: Option<f64>,
    /// Spearman's correlation of BALD with the entropy.
    pub with_entropy: Option<f64>,
}

/// The predicted tokens.
pub(crate) fn predicted(records: &[DocumentRecord]) -> impl Iterator<Item = &TokenRecord> {
    records.iter().flat_map(|record| &record.tokens).filter(|token| token.response)
}

/// A row for all tokens and for each class that occurs.
pub(crate) fn classes(records: &[DocumentRecord]) -> Vec<ClassRow> {
    let all: Vec<&TokenRecord> = predicted(records).collect();
    let of = |class: Class| -> (&'static str, Vec<&TokenRecord>) {
        let own = all.iter().filter(|token| token.class.as_deref() == Some(class.name()));
        (class.name(), own.copied().collect())
    };
    let parts = std::iter::once(("all", all.clone())).chain(Class::ALL.map(of));
    parts.filter(|(_, tokens)| !tokens.is_empty()).map(|(name, tokens)| class_row(name, &tokens)).collect()
}

fn class_row(name: &str, tokens: &[&TokenRecord]) -> ClassRow {
    let values = |of: fn(&TokenRecord) -> Option<f32>| -> Vec<f64> {
        tokens.iter().filter_map(|token| of(token)).map(f64::from).collect()
    };
    let losses = values(|token| token.loss);
    let average = |of: &[f64]| mean(of).unwrap_or(f64::NAN);
    let hits: Vec<f64> = tokens.iter().map(|token| f64::from(u8::from(is_best(token)))).collect();
    ClassRow {
        class: name.to_owned(),
        tokens: tokens.len(),
        mean_p: average(&values(|token| token.probability)),
        loss: average(&losses),
        loss_quantiles: [0.5, 0.9].map(|q| quantile(&losses, q).unwrap_or(f64::NAN)),
        entropy: average(&values(|token| token.entropy)),
        accuracy: average(&hits),
    }
}

/// Tokens by the probability of their label, in equal bins from 0 to 1.
pub(crate) fn histogram(records: &[DocumentRecord]) -> Vec<usize> {
    let mut counts = vec![0; BINS];
    for p in predicted(records).filter_map(|token| token.probability) {
        counts[((f64::from(p) * BINS as f64) as usize).min(BINS - 1)] += 1;
    }
    counts
}

/// The probability of the most probable token.
pub(crate) fn confidence(token: &TokenRecord) -> f64 {
    token.top.first().map_or(0.0, |(_, p)| f64::from(*p))
}

/// Whether the label is the most probable token.
pub(crate) fn is_best(token: &TokenRecord) -> bool {
    token.top_ids.first() == Some(&token.id)
}

/// Predictions and whether they hit.
pub(crate) fn hits(records: &[DocumentRecord]) -> Vec<Hit> {
    let of = |(document, record): (usize, &DocumentRecord)| -> Vec<Hit> {
        let own = record.tokens.iter().filter(|token| token.response);
        own.map(|token| Hit { document, confidence: confidence(token), is_label: is_best(token) }).collect()
    };
    records.iter().enumerate().flat_map(of).collect()
}

/// The means and correlations of documents with estimates of uncertainty.
pub(crate) fn uncertainty(records: &[DocumentRecord], passes: usize) -> Option<Uncertainty> {
    let values = |of: fn(&TokenRecord) -> Option<f32>| -> Vec<f64> {
        predicted(records).filter_map(of).map(f64::from).collect()
    };
    let bald = values(|token| token.epistemic);
    let [losses, entropies] = [values(|token| token.loss), values(|token| token.entropy)];
    Some(Uncertainty {
        documents: records.len(),
        passes,
        bald: mean(&bald)?,
        aleatoric: mean(&values(|token| token.aleatoric))?,
        with_loss: spearman(&bald, &losses),
        with_entropy: spearman(&bald, &entropies),
    })
}
