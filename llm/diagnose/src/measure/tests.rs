//! The prediction against the loss itself, on a tiny model in f32 whose gradients are their own sketches.

use tch::Tensor;
use tokensieve_objective::Plan;
use tokensieve_train::config::Train;
use tokensieve_train::step::evaluate;

use super::*;
use crate::bench::{Bench, EACH, FOLDS, OPTIONS, config};
use crate::course::Course;

/// The slope of the held-out documents' mean loss, summed over a document's tokens, along a gradient's direction.
fn slope(learner: &mut Learner, sample: &Sample, gradient: &Tensor) -> f64 {
    let direction = gradient / gradient.norm();
    let values = learner.trained.parameters().values().shallow_clone();
    let before = values.copy();
    let held_out: Vec<&Document> = sample.held_out.iter().flatten().copied().collect();
    let mut at = |by: f64| {
        values.shallow_clone().copy_(&(&before - &direction * by));
        learner.trained.refresh(learner.model).unwrap();
        let found = evaluate(&mut learner.head, learner.model, &held_out, 10_000, None, None).unwrap();
        found.nll * found.tokens as f64 / held_out.len() as f64
    };
    // The five-point formula: its error falls with the fourth power of the step.
    let h = 0.04;
    let found = (8.0 * (at(-h) - at(h)) - (at(-2.0 * h) - at(2.0 * h))) / (12.0 * h);
    at(0.0);
    found
}

/// The gradient of the sample with these pulls.
fn gradient(learner: &mut Learner, sample: &Sample, pulls: &dyn Fn(&[TokenStats]) -> Vec<Pull>) -> Tensor {
    let mut sum = learner.trained.parameters().gradients().zeros_like();
    for fold in &sample.train {
        let (head, model) = (&mut learner.head, &mut *learner.model);
        let mut lists = |tokens: &[TokenStats]| Ok(vec![pulls(tokens)]);
        let mut add = |_: usize, gradient: &Tensor| sum += gradient;
        step::gradients(head, model, learner.trained, fold, &OPTIONS, &mut lists, &mut add).unwrap();
    }
    sum
}

#[test]
fn the_predicted_gain_is_the_slope_of_the_held_out_loss_along_the_step() {
    let bench = Bench::new();
    let sample = bench.sample();
    let mut model = bench.fixture.model(Kind::Float);
    let adapter = bench.fixture.adapter(&model);
    model.attach(Some(&adapter)).unwrap();
    let trained = Trained::Adapter(adapter);
    let mut learner =
        Learner { head: Head::default(), model: &mut model, trained: &trained, options: OPTIONS };
    let tokens = learner.statistics(&sample.documents(), READS).unwrap();
    let bands = Bands::new(&tokens, &[0.1, 0.3, 0.6]).unwrap();
    let products = learner.products(&sample, &bands).unwrap();
    // A batch as large as the sample is the sample: its own step.
    let batch = (FOLDS * EACH) as f64;
    for weights in [[1.0; 4], [0.0, 0.2, 1.0, 3.0], [1.0, 0.5, 0.0, -0.5]] {
        let predicted = products.gain(&weights, Measure::Nll as usize, batch).unwrap();
        let pulls = |tokens: &[TokenStats]| -> Vec<Pull> {
            tokens.iter().map(|token| Pull { label: weights[bands.of(token)], reference: 0.0 }).collect()
        };
        let step = gradient(&mut learner, &sample, &pulls);
        let found = slope(&mut learner, &sample, &step);
        assert!((found - predicted).abs() < 1e-3 * predicted.abs(), "{weights:?}: {found} {predicted}");
    }
    // An objective whose pull varies within the bands: the prediction is as good as its profile.
    let narrow: Vec<f64> = (1..50).map(|i| f64::from(i) / 50.0).collect();
    let bands = Bands::new(&tokens, &narrow).unwrap();
    let products = learner.products(&sample, &bands).unwrap();
    let candidate = candidates::candidate(&Objective::preset("-p").unwrap(), &tokens, &bands, 0).unwrap();
    assert!(candidate.profile.unresolved < 0.05, "{:?}", candidate.profile);
    let predicted = products.gain(&candidate.profile.label, Measure::Nll as usize, batch).unwrap();
    let pulls = |tokens: &[TokenStats]| -> Vec<Pull> {
        tokens.iter().map(|token| Pull { label: token.p(), reference: 0.0 }).collect()
    };
    let step = gradient(&mut learner, &sample, &pulls);
    let found = slope(&mut learner, &sample, &step);
    assert!((found - predicted).abs() < 0.05 * found.abs(), "{found} {predicted}, {:?}", candidate.profile);
}

/// Of a token that only this document has, the model makes NaN.
#[test]
fn a_held_out_loss_that_is_not_finite_is_an_error() {
    const POISON: u32 = 95;
    let mut bench = Bench::new();
    for document in &mut bench.documents {
        document.tokens.iter_mut().filter(|token| **token == POISON).for_each(|token| *token -= 1);
    }
    bench.documents[15].tokens[2] = POISON;
    let folder = bench.fixture.model_folder.path();
    let (weights, config) = (folder.join("model.safetensors"), folder.join("config.json"));
    let mut tensors = Tensor::read_safetensors(&weights).unwrap();
    let (_, embedding) = tensors.iter().find(|(name, _)| name.contains("embed_tokens")).unwrap();
    let unembedding = embedding.copy();
    let _ = embedding.get(i64::from(POISON)).fill_(f64::NAN);
    tensors.push(("lm_head.weight".to_owned(), unembedding));
    Tensor::write_safetensors(&tensors, &weights).unwrap();
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("\"tie_word_embeddings\": true", "\"tie_word_embeddings\": false"))
        .unwrap();

    let mut model = bench.fixture.model(Kind::Float);
    let trained = Trained::new(&model, Some(&"r = 2".parse().unwrap()), 0).unwrap();
    trained.refresh(&mut model).unwrap();
    let mut learner =
        Learner { head: Head::default(), model: &mut model, trained: &trained, options: OPTIONS };
    let objectives = candidates::presets(&[]).unwrap().0;
    let error = learner.measure(&bench.sample(), &objectives, (0, 32, 0)).unwrap_err().to_string();
    assert!(error.starts_with("held-out row 15, token ") && error.ends_with("is not finite"), "{error}");
}

#[test]
fn every_preset_is_compared_and_training_moves_on() {
    let bench = Bench::new();
    let sample = bench.sample();
    let mut model = bench.fixture.model(Kind::Float);
    let trained = Trained::new(&model, Some(&"r = 2".parse().unwrap()), 0).unwrap();
    trained.refresh(&mut model).unwrap();
    let mut learner =
        Learner { head: Head::default(), model: &mut model, trained: &trained, options: OPTIONS };
    let objectives = candidates::presets(&[]).unwrap().0;
    let found = learner.measure(&sample, &objectives, (0, 32, 0)).unwrap();
    assert_eq!(found.objectives.len() + found.unresolved.len(), objectives.len());
    let sum: f64 = found.bands.iter().map(|band| band.shares[0].gain.unwrap().value).sum();
    assert!((sum - 1.0).abs() < 1e-6, "{sum}");
    let documents = sample.documents();
    let settings = Train { lr: 1e-2, ..config().train };
    let (plain, plan) = (Objective::preset("mle").unwrap(), Plan { steps: 10, seed: 0 });
    let course = Course::begin(&plain, plan, documents.len(), &documents, &settings, &mut learner);
    course.unwrap().go(&mut learner, 10).unwrap();
    // The base's losses stay those before training.
    let tokens = learner.statistics(&documents, READS).unwrap();
    let mean = |loss: &dyn Fn(&TokenStats) -> f64| tokens.iter().map(loss).sum::<f64>() / tokens.len() as f64;
    let (now, before) = (mean(&|token| token.loss), mean(&|token| token.base_loss.unwrap()));
    assert!(now < before, "{now} {before}");
}
