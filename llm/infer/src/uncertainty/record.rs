//! Turns estimates into the records of a file.

use super::estimate::Estimate;
use super::spread::Spread;
use tokensieve_documents::Class;
use tokensieve_documents::estimates::{DocumentRecord, TokenRecord};
use tokensieve_model::text::Tokenizer;
use tokensieve_model::{Document, Error, Result};

/// Makes records with the tokens' texts.
#[derive(Debug)]
pub struct Recorder<'a> {
    tokenizer: &'a Tokenizer,
}

impl<'a> Recorder<'a> {
    /// A recorder for tokens of this tokenizer.
    pub fn new(tokenizer: &'a Tokenizer) -> Self {
        Self { tokenizer }
    }

    /// The record of a document, with the estimates of its predicted tokens; without them it is the text alone.
    pub fn document(&self, document: &Document, estimates: &[Estimate]) -> Result<DocumentRecord> {
        let texts = self.tokenizer.pieces(&document.tokens)?;
        let token = |(position, (id, text)): (usize, (&u32, String))| {
            // Nothing predicts the first token.
            let response = position > 0 && document.weights[position] != 0.0;
            let class = response.then(|| Class::of(self.tokenizer.text_of(*id).as_deref()).name().to_owned());
            TokenRecord { id: *id, text, response, class, ..TokenRecord::default() }
        };
        let mut tokens: Vec<TokenRecord> = document.tokens.iter().zip(texts).enumerate().map(token).collect();
        for estimate in estimates {
            let Some(token) = tokens.get_mut(estimate.position) else {
                return Err(Error::Run(format!("row {} has no token {}", document.row, estimate.position)));
            };
            self.fill(token, estimate)?;
        }
        Ok(DocumentRecord { row: document.row, tokens })
    }

    /// The text of a token, with its leading blank, wherever it may stand.
    fn text_alone(&self, id: u32) -> Result<String> {
        self.tokenizer.text_of(id).map_or_else(|| self.tokenizer.decode(&[id]), Ok)
    }

    fn fill(&self, token: &mut TokenRecord, estimate: &Estimate) -> Result<()> {
        token.loss = Some(estimate.loss as f32);
        token.entropy = Some(estimate.entropy as f32);
        token.probability = Some((-estimate.loss).exp() as f32);
        token.top_ids = estimate.top.iter().map(|(id, _)| *id).collect();
        token.top =
            estimate.top.iter().map(|(id, p)| Ok((self.text_alone(*id)?, *p))).collect::<Result<_>>()?;
        if let Some(Spread { value, error }) = estimate.spread {
            token.total = Some(value.total as f32);
            token.aleatoric = Some(value.aleatoric as f32);
            token.epistemic = Some(value.epistemic as f32);
            token.pairwise_kl = Some(value.pairwise_kl as f32);
            token.reverse_mi = Some(value.reverse_mi as f32);
            token.se = error.map(|error| error.map(|x| x as f32));
        }
        Ok(())
    }
}
