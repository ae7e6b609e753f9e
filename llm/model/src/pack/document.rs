//! A conversation as tokens, with the weight of each as a training target.

/// One tokenised conversation.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// Index of its row in the data set, counted from 0.
    pub row: usize,
    /// Its index among the documents of its row that are trained on, counted from 0: a conversation can give several.
    pub index_in_row: usize,
    /// All tokens, prompt and response.
    pub tokens: Vec<u32>,
    /// For each token, the weight of its prediction: 0 in the prompt (and always for the first token, which nothing
    /// predicts), 1 in the response unless the data say otherwise.
    pub weights: Vec<f32>,
    /// Values that the objective can read besides the model's statistics.
    pub precomputed: Precomputed,
}

/// Values that an objective can read and that are known before training.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Precomputed {
    /// The advantage of the response.
    pub advantage: Option<f64>,
    /// The epistemic uncertainty of each predicted token.
    pub bald: Option<Vec<f64>>,
    /// The base model's loss of each predicted token.
    pub base_loss: Option<Vec<f64>>,
    /// The data's score of each predicted token.
    pub scores: Option<Vec<f64>>,
}

impl Document {
    /// Drops those of a row's documents that predict nothing, and numbers the others without a gap, as files of
    /// references list them.
    pub fn keep_trained(documents: &mut Vec<Self>) {
        documents.retain(|document| document.response_tokens() > 0);
        for (index, document) in documents.iter_mut().enumerate() {
            document.index_in_row = index;
        }
    }

    /// The number of predicted tokens, whose weights are not 0.
    pub fn response_tokens(&self) -> usize {
        self.weights.iter().filter(|weight| **weight != 0.0).count()
    }
}
