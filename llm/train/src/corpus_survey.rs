//! Statistics of all data before the first step, for objectives that select within the corpus.

use tokensieve_objective::Within;

use crate::run::Run;
use crate::step::{self, Rule as _};
use tokensieve_model::{Document, Result};

impl Run<'_> {
    /// Surveys the corpus if the objective selects within it.
    pub(crate) fn survey(&mut self) -> Result<()> {
        if self.training.objective().selection().map(|selection| selection.within) != Some(Within::Corpus) {
            return Ok(());
        }
        self.say("surveying the corpus");
        let (options, reads) = (self.options(0), self.training.reads());
        for batch in self.documents.chunks(self.config.train.batch_size) {
            let batch: Vec<&Document> = batch.iter().collect();
            let (head, model, trained) = (&mut self.head, &mut self.model, &self.trained);
            let tokens = step::statistics(head, model, trained, &self.reference, reads, &batch, &options)?;
            self.training.survey(&tokens)?;
        }
        Ok(())
    }
}
