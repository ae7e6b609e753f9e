//! What an objective may look at: a few scalars per response token.

/// Everything an objective may look at, for one response token. All in f64, logarithms natural.
///
/// `document` and `position` together name the token: selection breaks ties by them, so that a result never
/// depends on the order in which a batch lists its tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TokenStats {
    /// −log p of the label, in nats.
    pub loss: f64,
    /// Entropy of the predicted distribution, in nats.
    pub entropy: f64,
    /// Entropy of the 20 most probable tokens' distribution, renormalised.
    pub top_entropy: Option<f64>,
    /// Σ p² of the predicted distribution over the vocabulary.
    pub concentration: Option<f64>,
    /// −log of the label's probability under the reference.
    pub reference_loss: Option<f64>,
    /// The probability under the reference of all tokens that are no more probable there than the label, itself included.
    pub reference_mass: Option<f64>,
    /// KL(q ‖ p) of the reference's distribution q from the prediction p, in nats.
    pub divergence: Option<f64>,
    /// −log of the label's probability under the model as it was before training.
    pub base_loss: Option<f64>,
    /// Epistemic uncertainty: mutual information between prediction and parameters.
    pub bald: Option<f64>,
    /// Advantage of the response, for policy gradients.
    pub advantage: Option<f64>,
    /// A score of the token from outside.
    pub score: Option<f64>,
    /// The user's weight of the token. 0 masks it: the token has no pull and takes no part in selections or counts.
    pub weight: f64,
    /// Number of tokens in the vocabulary.
    pub vocabulary: u32,
    /// Index of the document in the batch.
    pub document: u32,
    /// Index of the token in its response.
    pub position: u32,
}

impl TokenStats {
    /// A token with this loss and entropy; weight 1, a vocabulary of 2, everything optional missing.
    pub fn new(loss: f64, entropy: f64) -> Self {
        Self {
            loss,
            entropy,
            top_entropy: None,
            concentration: None,
            reference_loss: None,
            reference_mass: None,
            divergence: None,
            base_loss: None,
            bald: None,
            advantage: None,
            score: None,
            weight: 1.0,
            vocabulary: 2,
            document: 0,
            position: 0,
        }
    }

    /// The label's probability, exp(−loss); at most 1 even where rounding left the loss below 0.
    pub fn p(&self) -> f64 {
        libm::exp(-self.loss.max(0.0))
    }
}
