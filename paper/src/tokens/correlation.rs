//! Correlations over response tokens, with intervals over documents: a document's tokens are not independent.

use super::{Document, Quantity};
use serde::{Deserialize, Serialize};
use tokensieve_base::statistics::{Estimate, bootstrap, jackknife_half_width, pearson, spearman};
use tokensieve_base::streams::Stream;

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

/// `statistic` of all response tokens with its 95 % interval over documents: the bootstrap's, or Student's around the value by
/// the jackknife where that reaches further. `None` where the statistic is undefined.
///
/// Each call draws from the stream of its `name`, so two statistics of one name see the same resamples.
pub fn over_documents(
    documents: &[Document],
    resamples: usize,
    name: &str,
    statistic: impl Fn(&[&Document]) -> Option<f64>,
) -> Option<Estimate> {
    let mut documents: Vec<&Document> = documents.iter().collect();
    let found = bootstrap(&documents, resamples, &mut Stream::new(0, name), &statistic)?;
    let mut without = |at: usize| {
        let document = documents.remove(at);
        let value = statistic(&documents);
        documents.insert(at, document);
        value
    };
    let left_out: Vec<f64> = (0..found.n).filter_map(&mut without).collect();
    Some(found.reaching(jackknife_half_width(&left_out).unwrap_or(0.0)))
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
            // No correlation is beyond one.
            let possible = |of: Estimate| Estimate { low: of.low.max(-1.0), high: of.high.min(1.0), ..of };
            let all =
                [estimate(&loss).map(possible), estimate(&entropy).map(possible), estimate(&difference)];
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
    use tokensieve_base::statistics::mean;

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

    /// Of ten documents the percentiles alone cover nine of ten times.
    #[test]
    fn an_interval_of_ten_documents_covers_what_it_promises() {
        let mut stream = Stream::new(7, "coverage");
        let mut covered = [0, 0];
        let trials = 1000;
        for _ in 0..trials {
            let document = |row| {
                let of_document = stream.normal();
                let token = |_| Token {
                    response: true,
                    loss: Some(of_document + 0.1 * stream.normal()),
                    ..Token::default()
                };
                Document { row, tokens: (0..4).map(token).collect() }
            };
            let documents: Vec<Document> = (0..10).map(document).collect();
            let mean_loss = |sample: &[&Document]| mean(&pooled(sample, Quantity::Loss));
            let all: Vec<&Document> = documents.iter().collect();
            let found = [
                over_documents(&documents, 400, "mean", mean_loss),
                bootstrap(&all, 400, &mut Stream::new(0, "mean"), mean_loss),
            ];
            for (covered, interval) in covered.iter_mut().zip(found.iter().flatten()) {
                *covered += u32::from(interval.low <= 0.0 && 0.0 <= interval.high);
            }
        }
        let [share, of_percentiles] = covered.map(|covered| f64::from(covered) / f64::from(trials));
        assert!((0.93..0.97).contains(&share), "{share}");
        assert!(of_percentiles < 0.93, "{of_percentiles}");
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
