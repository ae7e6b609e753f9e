//! A look at all data before the first step, for objectives that select within the corpus.

use tokensieve_objective::{Pull, Pulls, TokenStats, Training, Within};

use super::Run;
use crate::step::{self, Reads, Rule};
use crate::{Document, Result};

/// An objective that only looks.
struct Survey<'a>(&'a mut Training);

impl Rule for Survey<'_> {
    fn pulls(&mut self, tokens: &[TokenStats], _: &[usize]) -> Result<Pulls> {
        self.0.survey(tokens)?;
        let pulls = vec![Pull::default(); tokens.len()];
        let selected = vec![false; tokens.len()];
        Ok(Pulls { pulls, selected, normaliser: 1.0, tokens: tokens.len(), ..Pulls::default() })
    }

    fn reads(&self) -> Reads {
        self.0.reads()
    }
}

impl Run<'_> {
    /// Surveys the corpus if the objective selects within it.
    pub(super) fn survey(&mut self) -> Result<()> {
        if self.training.objective().selection().map(|selection| selection.within) != Some(Within::Corpus) {
            return Ok(());
        }
        self.log.say("surveying the corpus");
        let options = self.options(0);
        for batch in self.documents.chunks(self.config.train.batch_size) {
            let batch: Vec<&Document> = batch.iter().collect();
            let (head, model, trained) = (&mut self.head, &mut self.model, &self.trained);
            step::step(
                head,
                model,
                trained,
                &self.reference,
                &mut Survey(&mut self.training),
                &batch,
                &options,
            )?;
        }
        Ok(())
    }
}
