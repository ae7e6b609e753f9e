//! The names an expression may use, each with where its number comes from.

use crate::TokenStats;

/// A scalar of the token that an expression may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Variable {
    /// The label's probability.
    P,
    /// −log p; differentiated like −log p.
    Loss,
    /// The label's probability under the reference.
    PReference,
    /// −log of the label's probability under the reference.
    ReferenceLoss,
    /// The probability under the reference of all tokens no more probable there than the label.
    ReferenceMass,
    /// Divergence of the reference from the prediction.
    Divergence,
    /// The label's probability before training.
    PBase,
    /// −log of the label's probability before training.
    BaseLoss,
    /// Entropy of the prediction.
    Entropy,
    /// Entropy of its renormalised top 20.
    TopEntropy,
    /// Σ p² of the prediction.
    Concentration,
    /// Epistemic uncertainty.
    Bald,
    /// Advantage of the response.
    Advantage,
    /// A score of the token from outside.
    Score,
    /// Number of tokens in the vocabulary.
    Vocabulary,
}

impl Variable {
    /// Every variable: name, meaning, and what has to run to provide it.
    pub const ALL: [(Self, &'static str, &'static str, &'static str); 15] = [
        (Self::P, "p", "the label's probability", "the model's forward pass"),
        (Self::Loss, "loss", "−log p", "the model's forward pass"),
        (
            Self::PReference,
            "p_ref",
            "the label's probability under the reference",
            "a forward pass of the model named by `against`",
        ),
        (
            Self::ReferenceLoss,
            "reference_loss",
            "−log p_ref",
            "a forward pass of the model named by `against`",
        ),
        (
            Self::ReferenceMass,
            "mass_ref",
            "the probability under the reference of all tokens no more probable there than the label, itself included",
            "a forward pass of the model named by `against`",
        ),
        (
            Self::Divergence,
            "divergence",
            "KL(reference ‖ model) of the predictions, nats",
            "a forward pass of the model named by `against`",
        ),
        (
            Self::PBase,
            "p_base",
            "the label's probability before training",
            "a forward pass without the adapter; with `train.full`, the file `data.uncertainty`",
        ),
        (
            Self::BaseLoss,
            "base_loss",
            "−log p_base",
            "a forward pass without the adapter; with `train.full`, the file `data.uncertainty`",
        ),
        (Self::Entropy, "entropy", "entropy of the prediction, nats", "the model's forward pass"),
        (
            Self::TopEntropy,
            "entropy_top20",
            "entropy of the renormalised 20 most probable tokens",
            "the model's forward pass, computed only if read",
        ),
        (
            Self::Concentration,
            "concentration",
            "Σ p² of the prediction over the vocabulary, 1 where it is certain",
            "the model's forward pass, computed only if read",
        ),
        (Self::Bald, "bald", "epistemic uncertainty, nats", "the file `data.uncertainty`"),
        (Self::Advantage, "advantage", "advantage of the response", "`advantage` in the rows"),
        (
            Self::Score,
            "score",
            "score of the token from outside",
            "`token_scores` of each response in the data",
        ),
        (Self::Vocabulary, "vocabulary", "number of tokens in the vocabulary", "the model"),
    ];

    /// The variable of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known, ..)| *known == name).map(|(variable, ..)| *variable)
    }

    /// Its name in expressions.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(variable, ..)| *variable == self).map_or("", |(_, name, ..)| name)
    }

    /// What has to run to provide it.
    pub fn provider(self) -> &'static str {
        Self::ALL.iter().find(|(variable, ..)| *variable == self).map_or("", |(.., provider)| provider)
    }

    /// Its value for a token; `None` where the caller did not supply it.
    pub fn of(self, stats: &TokenStats) -> Option<f64> {
        match self {
            Self::P => Some(stats.p()),
            Self::Loss => Some(stats.loss),
            Self::PReference => stats.reference_loss.map(|loss| libm::exp(-loss)),
            Self::ReferenceLoss => stats.reference_loss,
            Self::ReferenceMass => stats.reference_mass,
            Self::Divergence => stats.divergence,
            Self::PBase => stats.base_loss.map(|loss| libm::exp(-loss)),
            Self::BaseLoss => stats.base_loss,
            Self::Entropy => Some(stats.entropy),
            Self::TopEntropy => stats.top_entropy,
            Self::Concentration => stats.concentration,
            Self::Bald => stats.bald,
            Self::Advantage => stats.advantage,
            Self::Score => stats.score,
            Self::Vocabulary => Some(f64::from(stats.vocabulary)),
        }
    }
}
