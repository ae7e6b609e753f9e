//! A few steps of training: what a second measurement and a race need of a run.

use tokensieve_documents::Order;
use tokensieve_model::head::Reference;
use tokensieve_model::{Document, Result};
use tokensieve_objective::{Objective, Plan, Training, Within};
use tokensieve_train::Optimizer;
use tokensieve_train::config::Train;
use tokensieve_train::step::{self, Rule as _};

use crate::measure::Learner;

/// An objective on its way. What it trains is the learner's. The learning rate is constant: there are too few steps for
/// a schedule.
pub(crate) struct Course<'d> {
    documents: &'d [&'d Document],
    order: Order,
    batch: usize,
    training: Training,
    optimizer: Optimizer,
    lr: f64,
    done: u64,
}

impl<'d> Course<'d> {
    /// The beginning of a training in batches of these documents, in an order that follows from the plan's seed.
    pub(crate) fn begin(
        objective: &Objective,
        plan: Plan,
        batch: usize,
        documents: &'d [&'d Document],
        settings: &Train,
        learner: &mut Learner,
    ) -> Result<Self> {
        let mut training = objective.begin(plan);
        if objective.selection().is_some_and(|selection| selection.within == Within::Corpus) {
            training.survey(&learner.statistics(documents, training.reads())?)?;
        }
        Ok(Self {
            documents,
            order: Order::new(documents.len(), plan.seed),
            batch: batch.min(documents.len()),
            training,
            optimizer: Optimizer::new(settings, learner.trained.parameters()),
            lr: settings.lr,
            done: 0,
        })
    }

    /// Steps until so many are done.
    pub(crate) fn go(&mut self, learner: &mut Learner, until: u64) -> Result<()> {
        let Learner { head, model, trained, options } = learner;
        for number in self.done..until {
            let indices = self.order.batch(number, self.batch);
            let batch: Vec<&Document> = indices.into_iter().map(|index| self.documents[index]).collect();
            step::step(head, model, trained, &Reference::None, &mut self.training, &batch, options)?;
            step::update(&mut self.optimizer, trained, model, self.lr)?;
        }
        self.done = until;
        Ok(())
    }
}
