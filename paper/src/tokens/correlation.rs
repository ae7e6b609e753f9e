//! Correlations over response tokens, with intervals over documents: a document's tokens are not independent.

use super::{Document, Quantity};
use serde::{Deserialize, Serialize};
use tokensieve_toy::rng::Stream;
use tokensieve_toy::statistics::{Estimate, bootstrap, pearson, spearman};

/// How two quantities are correlated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Of ranks.
    Spearman,
    /// Of values.
    Pearson,
}

impl Method {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Spearman, Self::Pearson];

    fn of(self, x: &[f64], y: &[f64]) -> Option<f64> {
        match self {
            Self::Spearman => spearman(x, y),
            Self::Pearson => pearson(x, y),
        }
    }
}

/// An uncertainty's correlation with loss and with entropy, and which of them it follows more.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Correlation {
    /// Epistemic or aleatoric.
    pub uncertainty: Quantity,
    /// Spearman or Pearson.
    pub method: Method,
    /// With the loss.
    pub loss: Estimate,
    /// With the entropy.
    pub entropy: Estimate,
    /// The first minus the second, resampled together.
    pub difference: Estimate,
}

/// `statistic` of all response tokens, with the 95 % bootstrap interval over documents; `None` where it is undefined.
///
/// Each call draws from the stream of its `name`, so two statistics of one name see the same resamples.
pub fn over_documents(
    documents: &[Document],
    resamples: usize,
    name: &str,
    statistic: impl Fn(&[&Document]) -> Option<f64>,
) -> Option<Estimate> {
    let documents: Vec<&Document> = documents.iter().collect();
    bootstrap(&documents, resamples, &mut Stream::new(0, name), statistic)
}

/// The four correlations of figure 2B and their differences, by both methods; empty without uncertainties.
pub fn correlations(documents: &[Document], resamples: usize) -> Vec<Correlation> {
    let with = |method: Method, uncertainty, metric| {
        move |sample: &[&Document]| method.of(&pooled(sample, uncertainty), &pooled(sample, metric))
    };
    let mut found = Vec::new();
    for method in Method::ALL {
        for uncertainty in [Quantity::Epistemic, Quantity::Aleatoric] {
            let estimate = |statistic: &dyn Fn(&[&Document]) -> Option<f64>| {
                over_documents(documents, resamples, "correlations", statistic)
            };
            let (loss, entropy) =
                (with(method, uncertainty, Quantity::Loss), with(method, uncertainty, Quantity::Entropy));
            let difference = |sample: &[&Document]| Some(loss(sample)? - entropy(sample)?);
            let all = [estimate(&loss), estimate(&entropy), estimate(&difference)];
            if let [Some(loss), Some(entropy), Some(difference)] = all {
                found.push(Correlation { uncertainty, method, loss, entropy, difference });
            }
        }
    }
    found
}

fn pooled(documents: &[&Document], quantity: Quantity) -> Vec<f64> {
    documents.iter().flat_map(|document| document.values(quantity)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::Token;

    /// Epistemic uncertainty is the loss itself, aleatoric the entropy itself; the two are unrelated.
    fn documents() -> Vec<Document> {
        let mut stream = Stream::new(5, "correlation test");
        let token = |loss: f64, entropy: f64| Token {
            response: true,
            loss: Some(loss),
            entropy: Some(entropy),
            epistemic: Some(loss * loss),
            aleatoric: Some(entropy),
            ..Token::default()
        };
        let mut tokens = || (0..30).map(|_| token(stream.uniform(), stream.uniform())).collect();
        (0..8).map(|row| Document { row, tokens: tokens() }).collect()
    }

    #[test]
    fn each_uncertainty_follows_what_it_is_made_of() {
        let found = correlations(&documents(), 200);
        assert_eq!(found.len(), 4);
        for c in &found {
            let epistemic = c.uncertainty == Quantity::Epistemic;
            let (own, other) = if epistemic { (c.loss, c.entropy) } else { (c.entropy, c.loss) };
            // A square is a monotone function: exact by ranks, not by values.
            let exact = c.method == Method::Spearman || !epistemic;
            assert!(if exact { own.value > 1.0 - 1e-12 } else { own.value < 0.999 }, "{c:?}");
            assert!(other.value.abs() < 0.2 && other.low < other.high, "{c:?}");
            assert!((c.difference.value - (c.loss.value - c.entropy.value)).abs() < 1e-15, "{c:?}");
            assert!(if epistemic { c.difference.low > 0.5 } else { c.difference.high < -0.5 }, "{c:?}");
        }
    }

    #[test]
    fn without_passes_there_is_nothing_to_correlate() {
        let mut documents = documents();
        for token in documents.iter_mut().flat_map(|document| &mut document.tokens) {
            (token.epistemic, token.aleatoric) = (None, None);
        }
        assert_eq!(correlations(&documents, 10), []);
    }

    /// Ten copies of each document's tokens make no interval narrower: documents count, not tokens.
    #[test]
    fn the_interval_is_over_documents() {
        let once = documents();
        let ten: Vec<Document> = once
            .iter()
            .map(|document| Document {
                row: document.row,
                tokens: vec![document.tokens.clone(); 10].concat(),
            })
            .collect();
        let width = |documents: &[Document]| {
            let c = correlations(documents, 100)[0];
            c.entropy.high - c.entropy.low
        };
        assert!((width(&once) - width(&ten)).abs() < 1e-12);
    }
}
