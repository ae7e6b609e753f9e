//! Gradients in folds: what the bands' gradients of a sample have in common with those of held-out documents.

use serde::{Deserialize, Serialize};
use tch::Kind;
use tokensieve_model::head::{Head, Reference};
use tokensieve_model::{Document, Error, Model, Result};
use tokensieve_objective::{Bands, Objective, Pull, TokenStats};
use tokensieve_train::Trained;
use tokensieve_train::step::{self, Reads, StepOptions};

use crate::candidates::{self, Candidate, LeftOut};
use crate::gain::{BandShare, Gain, Products, mildest};
use crate::sample::Sample;
use crate::sketch::Sketch;

/// What is measured on held-out documents, and what a gain is a gain of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Measure {
    /// Mean −log p of the labels.
    Nll,
    /// Mean p of the labels: the share that sampled tokens would have right.
    Probability,
    /// Share of the labels that are the most probable token: what greedy replies would have right. It has no gradient: its
    /// gain is predicted by probability, and only a race counts it.
    Accuracy,
}

impl Measure {
    /// Every measure.
    pub const ALL: [Self; 3] = [Self::Nll, Self::Probability, Self::Accuracy];
    /// Those whose gain is predicted.
    pub const PREDICTED: [Self; 2] = [Self::Nll, Self::Probability];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nll => "nll",
            Self::Probability => "probability",
            Self::Accuracy => "accuracy",
        }
    }

    /// The one by which its gain is predicted.
    pub(crate) fn predicted(self) -> Self {
        if self == Self::Accuracy { Self::Probability } else { self }
    }

    /// The other one that is predicted.
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Nll => Self::Probability,
            Self::Probability | Self::Accuracy => Self::Nll,
        }
    }

    /// The pull whose gradient a step against it follows.
    fn pull(self, token: &TokenStats) -> Pull {
        let label = match self.predicted() {
            Self::Nll => token.weight,
            _ => token.weight * token.p(),
        };
        Pull { label, reference: 0.0 }
    }
}

/// Quantiles of the label's probability between the bands. They are narrow where p is small: there the tokens have most
/// of the gradient, and objectives differ most. The others hardly pull where the model is any good (choice).
const QUANTILES: [f64; 6] = [0.02, 0.05, 0.1, 0.175, 0.25, 0.4];

/// Batches that winners are named for besides the configuration's.
pub(crate) const OTHER_BATCHES: [usize; 2] = [8, 256];

/// A band of the sample's tokens.
#[derive(Clone, Debug, Serialize)]
pub struct BandRow {
    /// The probabilities between which its labels lie.
    pub p: (f64, f64),
    /// Its tokens in the sample.
    pub tokens: usize,
    /// Its part in plain training, by measure.
    pub shares: Vec<BandShare>,
}

/// An objective beside plain training.
#[derive(Clone, Debug, Serialize)]
pub struct ObjectiveRow {
    /// The preset.
    pub objective: String,
    /// Its mean pull in each band.
    pub profile: Vec<f64>,
    /// Share of its pulls' energy that the bands do not resolve.
    pub unresolved: f64,
    /// Its gains by measure, with batches of the configuration's size.
    pub gains: Vec<Gain>,
}

impl ObjectiveRow {
    /// The gain by a measure, or by the one that predicts it.
    pub(crate) fn gain(&self, measure: Measure) -> &Gain {
        &self.gains[measure.predicted() as usize]
    }
}

/// What was measured at one point of plain training.
#[derive(Clone, Debug, Serialize)]
pub struct Measurement {
    /// Steps of plain training before it.
    pub after: u64,
    /// Whether these steps trained on the documents that gradients are measured on, as where there are no others.
    pub on_sample: bool,
    /// The bands, from the least probable labels.
    pub bands: Vec<BandRow>,
    /// The objectives.
    pub objectives: Vec<ObjectiveRow>,
    /// By measure the objectives that do not differ for sure from the predicted one.
    pub indistinguishable: Vec<Vec<String>>,
    /// What would be recommended for each measure and other size of the batch.
    pub other_batches: Vec<OtherBatch>,
    /// Presets that the bands do not resolve here.
    pub unresolved: Vec<LeftOut>,
}

/// What would be best with batches of another size.
#[derive(Clone, Debug, Serialize)]
pub struct OtherBatch {
    /// Documents in a batch.
    pub documents: usize,
    /// What is measured.
    pub measure: Measure,
    /// The objective; `None`: plain training.
    pub best: Option<String>,
}

/// A model with what is trained of it.
pub(crate) struct Learner<'a> {
    pub(crate) head: Head,
    pub(crate) model: &'a mut Model,
    pub(crate) trained: &'a Trained,
    pub(crate) options: StepOptions<'static>,
}

/// The statistics that candidates read.
const READS: Reads = Reads {
    top_entropy: true,
    concentration: true,
    reference_loss: false,
    reference_mass: false,
    divergence: false,
    base_loss: true,
    onto: step::Onto::Nothing,
    reverse: false,
};

impl Learner<'_> {
    /// The statistics of documents' tokens.
    pub(crate) fn statistics(&mut self, documents: &[&Document], reads: Reads) -> Result<Vec<TokenStats>> {
        let (head, model) = (&mut self.head, &mut *self.model);
        let tokens =
            step::statistics(head, model, self.trained, &Reference::None, reads, documents, &self.options)?;
        check_losses("row", documents, &tokens)?;
        Ok(tokens)
    }

    /// Sums over a fold's documents of the gradients of the lists of pulls that `lists` makes of tokens. Errors call a document a
    /// `row`.
    fn gradients(
        &mut self,
        (row, fold): (&str, &[&Document]),
        count: usize,
        lists: &dyn Fn(&[TokenStats]) -> Vec<Vec<Pull>>,
    ) -> Result<Vec<Sketch>> {
        let parameters = self.trained.parameters().gradients().numel();
        let mut sketches = vec![Sketch::zero(parameters); count];
        let (mut values, mut failed) = (vec![0.0_f32; parameters], None);
        step::gradients(
            &mut self.head,
            self.model,
            self.trained,
            fold,
            &self.options,
            &mut |tokens| {
                check_losses(row, fold, tokens)?;
                Ok(lists(tokens))
            },
            &mut |list, gradient| {
                let gradient = gradient.to_device(tch::Device::Cpu).to_kind(Kind::Float);
                // Into the same memory each time: fresh pages cost more than the copy.
                match gradient.f_copy_data(&mut values, parameters) {
                    Ok(()) => sketches[list].add(&values),
                    Err(error) => failed = Some(error.into()),
                }
            },
        )?;
        failed.map_or(Ok(sketches), Err)
    }

    /// The inner products of the gradients of the sample's bands with each other and with the held-out measures'.
    pub(crate) fn products(&mut self, sample: &Sample, bands: &Bands) -> Result<Products> {
        let by_band = |tokens: &[TokenStats]| bands.pulls(tokens);
        let by_measure = |tokens: &[TokenStats]| -> Vec<Vec<Pull>> {
            Measure::PREDICTED.map(|measure| tokens.iter().map(|token| measure.pull(token)).collect()).into()
        };
        let each = |fold: &Vec<&Document>| self.gradients(("row", fold), bands.count(), &by_band);
        let train = sample.train.iter().map(each).collect::<Result<Vec<_>>>()?;
        let each = |fold: &Vec<&Document>| {
            self.gradients(("held-out row", fold), Measure::PREDICTED.len(), &by_measure)
        };
        let held_out = sample.held_out.iter().map(each).collect::<Result<Vec<_>>>()?;
        Ok(Products::of(&train, &held_out, sample.train.first().map_or(1, Vec::len)))
    }

    /// Measures everything at this point of training.
    pub(crate) fn measure(
        &mut self,
        sample: &Sample,
        objectives: &[Objective],
        (after, batch, seed): (u64, usize, u64),
    ) -> Result<Measurement> {
        let tokens = self.statistics(&sample.documents(), READS)?;
        let bands = Bands::new(&tokens, &QUANTILES)?;
        let products = self.products(sample, &bands)?;
        let mut compared: Vec<Candidate> = objectives
            .iter()
            .map(|objective| candidates::candidate(objective, &tokens, &bands, seed))
            .collect::<Result<_>>()?;
        let unresolved = compared.iter().filter_map(Candidate::unresolved).collect();
        compared.retain(|candidate| candidate.unresolved().is_none());
        let objectives = objective_rows(&compared, &products, batch);
        Ok(Measurement {
            after,
            on_sample: false,
            bands: band_rows(&tokens, &bands, &products),
            indistinguishable: indistinguishable(&objectives, &products, batch),
            objectives,
            other_batches: other_batches(&compared, &products),
            unresolved,
        })
    }
}

/// Refuses a loss that is NaN or infinite.
fn check_losses(row: &str, documents: &[&Document], tokens: &[TokenStats]) -> Result<()> {
    let Some(token) = tokens.iter().find(|token| !token.loss.is_finite()) else { return Ok(()) };
    let number = documents[token.document as usize].row;
    Err(Error::not_finite(format!("{row} {number}, token {}", token.position)))
}

fn band_rows(tokens: &[TokenStats], bands: &Bands, products: &Products) -> Vec<BandRow> {
    let shares = Measure::PREDICTED.map(|measure| products.shares(measure as usize));
    let row = |band: usize| BandRow {
        p: bands.range(band),
        tokens: tokens.iter().filter(|token| token.weight != 0.0 && bands.of(token) == band).count(),
        shares: shares.iter().map(|of| of[band].clone()).collect(),
    };
    (0..bands.count()).map(row).collect()
}

fn profiles(compared: &[Candidate]) -> Vec<Vec<f64>> {
    compared.iter().map(|candidate| candidate.profile.label.clone()).collect()
}

fn objective_rows(compared: &[Candidate], products: &Products, batch: usize) -> Vec<ObjectiveRow> {
    let weights = profiles(compared);
    let gains = Measure::PREDICTED.map(|measure| products.gains(&weights, measure as usize, batch as f64));
    let row = |(index, candidate): (usize, &Candidate)| ObjectiveRow {
        objective: candidate.name.clone(),
        profile: candidate.profile.label.clone(),
        unresolved: candidate.profile.unresolved,
        gains: gains.iter().map(|of| of[index].clone()).collect(),
    };
    compared.iter().enumerate().map(row).collect()
}

/// By measure the objectives that do not differ for sure from the predicted one.
fn indistinguishable(rows: &[ObjectiveRow], products: &Products, batch: usize) -> Vec<Vec<String>> {
    let weights: Vec<Vec<f64>> = rows.iter().map(|row| row.profile.clone()).collect();
    let by = |measure: Measure| {
        let chosen = favoured(rows, measure);
        let alike = products.indistinguishable(&weights, chosen, measure as usize, batch as f64);
        alike.into_iter().map(|index| rows[index].objective.clone()).collect()
    };
    Measure::PREDICTED.map(by).into()
}

/// The objective that a measure favours over plain training, if there is one.
pub(crate) fn favoured(rows: &[ObjectiveRow], measure: Measure) -> Option<usize> {
    mildest(rows.iter().map(|row| (row.gain(measure), row.gain(measure.other()))))
}

fn other_batches(compared: &[Candidate], products: &Products) -> Vec<OtherBatch> {
    let weights = profiles(compared);
    let by_batch = OTHER_BATCHES.map(|documents| {
        let gains =
            Measure::PREDICTED.map(|measure| products.gains(&weights, measure as usize, documents as f64));
        (documents, gains)
    });
    let best = |measure: Measure, (documents, gains): &(usize, [Vec<Gain>; 2])| {
        let best = mildest(gains[measure as usize].iter().zip(&gains[measure.other() as usize]));
        let best = best.map(|index| compared[index].name.clone());
        OtherBatch { documents: *documents, measure, best }
    };
    let each = |measure| by_batch.each_ref().map(|batch| best(measure, batch));
    Measure::PREDICTED.into_iter().flat_map(each).collect()
}

#[cfg(test)]
mod tests;
