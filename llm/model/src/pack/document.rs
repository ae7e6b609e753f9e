//! A conversation as tokens, with the weight of each as a training target.

/// One tokenised conversation.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// Its row in the data set, counted from 0.
    pub row: usize,
    /// Which of its row's documents it is, counted from 0: a conversation may be several.
    pub index_in_row: usize,
    /// All tokens, prompt and response.
    pub tokens: Vec<u32>,
    /// Per token, the weight of predicting it from those before: 0 for the prompt's (and always for the first token), 1
    /// for the response's unless the user gave others.
    pub weights: Vec<f32>,
    /// What else the objective may read.
    pub precomputed: Precomputed,
}

/// What an objective may read of a document that no model says while it is trained.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Precomputed {
    /// The response's advantage.
    pub advantage: Option<f64>,
    /// Per predicted token, its epistemic uncertainty.
    pub bald: Option<Vec<f64>>,
    /// Per predicted token, its loss before training, where that was computed beforehand.
    pub base_loss: Option<Vec<f64>>,
}

impl Document {
    /// Tokens that are predicted: those of weight other than 0.
    pub fn response_tokens(&self) -> usize {
        self.weights.iter().filter(|weight| **weight != 0.0).count()
    }
}
