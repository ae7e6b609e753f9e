//! One training step of one model, through an objective: predictions → statistics → pulls → step.

use tokensieve_objective::{self as objective, Pulls, TokenStats, Training};

use super::{Batch, CLASSES, Fleet, ImagePull, LANES, Predictions};

/// An objective with the buffers of its training step.
#[derive(Clone, Debug)]
pub struct Learner {
    training: Training,
    learning_rate: f64,
    stats: Vec<TokenStats>,
    kept: Vec<ImagePull>,
}

impl Learner {
    /// Plain gradient descent on an objective.
    pub fn new(training: Training, learning_rate: f64) -> Self {
        Self { training, learning_rate, stats: Vec::new(), kept: Vec::new() }
    }

    /// One step of model `g` on the batch of its last forward pass; returns the sum of all images' losses before.
    pub fn step<const G: usize>(
        &mut self,
        fleet: &mut Fleet<G>,
        g: usize,
        batch: &Batch,
    ) -> Result<f64, objective::Error> {
        self.choose(fleet.predictions(g), batch)?;
        fleet.step(g, batch, &self.kept);
        Ok(self.stats.iter().map(|token| token.loss).sum())
    }

    /// Asks the objective which images to train on, and how.
    pub(super) fn choose(
        &mut self,
        predictions: &Predictions,
        batch: &Batch,
    ) -> Result<&[ImagePull], objective::Error> {
        let Self { training, learning_rate, stats, kept } = self;
        statistics(predictions, stats);
        keep(*learning_rate, batch, predictions, training.pulls(stats)?, kept);
        Ok(kept)
    }
}

/// What the objective may look at: each image is a document of one token.
fn statistics(predictions: &Predictions, stats: &mut Vec<TokenStats>) {
    stats.clear();
    let each = predictions.loss.iter().zip(&predictions.entropy).enumerate();
    stats.extend(each.map(|(image, (&loss, &entropy))| TokenStats {
        vocabulary: CLASSES as u32,
        document: image as u32,
        ..TokenStats::new(loss.into(), entropy.into())
    }));
}

/// The images with a pull, and the step that each asks of its logits.
fn keep(
    learning_rate: f64,
    batch: &Batch,
    predictions: &Predictions,
    pulls: &Pulls,
    kept: &mut Vec<ImagePull>,
) {
    kept.clear();
    let mut gradient = [0.0; CLASSES];
    for (image, &pull) in pulls.pulls.iter().enumerate().filter(|(_, pull)| !pull.is_zero()) {
        let p = predictions.probabilities(image).map(f64::from);
        objective::gradient(&p, batch.labels[image].into(), None, pull, &mut gradient);
        let mut step = [0.0; LANES];
        for (step, slope) in step.iter_mut().zip(gradient) {
            *step = (-learning_rate / pulls.normaliser * slope) as f32;
        }
        kept.push(ImagePull { image, pull: step });
    }
}

#[cfg(test)]
mod tests {
    use tokensieve_objective::{Criterion, Objective, Plan, Selection};

    use super::*;
    use crate::{
        images::DataSet,
        mlp::{SparseImages, Weights},
    };

    /// A step trains on the band's images and on no other, with their mean gradient.
    #[test]
    fn a_band_is_trained_on_with_its_mean_gradient() {
        let data = DataSet::synthetic(2, 256, 1);
        let batch = SparseImages::new(&data.train).batch(&(0..256).collect::<Vec<_>>());
        let mut fleet = Fleet::new(&[Weights::random(0)]);
        fleet.forward(&batch);
        let top = Selection::band(Criterion::loss(), 0.9, 1.0).unwrap();
        let objective = Objective::preset("masked-mle").unwrap().select(top).unwrap();
        let mut learner = Learner::new(objective.begin(Plan { steps: 1, seed: 0 }), 0.5);
        let predictions = fleet.predictions(0);
        let kept = learner.choose(predictions, &batch).unwrap();
        // Ranks round(0.9·256)..256.
        assert_eq!(kept.len(), 26);
        let larger = |i: usize| predictions.loss.iter().filter(|loss| **loss > predictions.loss[i]).count();
        assert!(kept.iter().all(|kept| larger(kept.image) < 26));
        let ImagePull { image, pull } = kept[3];
        let label = usize::from(batch.labels[image]);
        let wanted = 0.5 / 26.0 * (1.0 - predictions.probabilities(image)[label]);
        assert!((pull[label] - wanted).abs() < 1e-7);
        assert_eq!(pull[CLASSES..], [0.0; LANES - CLASSES]);
    }
}
