//! Presets against the losses that public code computes, written down plainly here: the pulls of a batch, divided by its
//! normaliser, are the derivatives of that loss. Run: `cargo test -p tokensieve-objective`.
#![allow(clippy::float_cmp, reason = "small whole numbers are exact")]

use tokensieve_objective::{Objective, Plan, TokenStats};

const PLAN: Plan = Plan { steps: 10, seed: 0 };

/// Twelve tokens of three documents, as unlike each other as tokens are.
fn batch() -> Vec<TokenStats> {
    (0..12)
        .map(|i| {
            let x = f64::from(i);
            TokenStats {
                concentration: Some(1.0 / (1.5 + x)),
                reference_loss: Some(0.2 + 0.35 * f64::from(i * 5 % 12)),
                reference_mass: Some(f64::from(i * 5 % 12) / 12.0),
                base_loss: Some(0.1 + 0.4 * f64::from(i * 7 % 12)),
                document: i / 4,
                position: i % 4,
                vocabulary: 32_000,
                ..TokenStats::new(0.02 + 0.04 * x * x, 1.0)
            }
        })
        .collect()
}

/// Compares a preset's step on the batch with the loss of the whole batch, a function of the tokens' losses in which
/// everything that counts as constant is frozen.
fn is_the_gradient_of(preset: &str, published: impl Fn(&[f64]) -> f64) {
    let tokens = batch();
    let pulls = Objective::preset(preset).unwrap().begin(PLAN).pulls(&tokens).unwrap().clone();
    let losses: Vec<f64> = tokens.iter().map(|token| token.loss).collect();
    for (i, pull) in pulls.pulls.iter().enumerate() {
        let moved = |by: f64| {
            let mut losses = losses.clone();
            losses[i] += by;
            published(&losses)
        };
        let slope = (moved(1e-5) - moved(-1e-5)) / 2e-5;
        let own = pull.label / pulls.normaliser;
        assert!((own - slope).abs() < 1e-6, "{preset}, token {i}: {own} against {slope}");
    }
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let values: Vec<f64> = values.collect();
    values.iter().sum::<f64>() / values.len() as f64
}

/// The public code of `ProFit`: the cross-entropy of the labels whose probability is not below the threshold, divided by the
/// number of all labels.
#[test]
fn profit() {
    let tokens = batch();
    assert!(tokens.iter().any(|token| token.p() < 0.1) && tokens.iter().any(|token| token.p() > 0.1));
    let kept = |(i, loss): (usize, &f64)| if tokens[i].p() < 0.1 { 0.0 } else { *loss };
    is_the_gradient_of("profit", |losses| mean(losses.iter().enumerate().map(kept)));
}

/// torchrl's `minor_sft_loss` with one token in a sequence's place: −log σ(β(log p − log q)), q the reference's.
#[test]
fn minor_sft() {
    let tokens = batch();
    let one = |(i, loss): (usize, &f64)| {
        let above = tokens[i].reference_loss.unwrap() - loss;
        -libm::log(1.0 / (1.0 + libm::exp(-0.1 * above)))
    };
    is_the_gradient_of("minor-sft", |losses| mean(losses.iter().enumerate().map(one)));
}

/// PSFT's public code is PPO's clipped loss with every advantage 1, clipped to the bounds 0.8 and 1.28 of its script:
/// the larger of −r and −clip(r), r the label's probability divided by the snapshot's, averaged over all labels.
#[test]
fn psft() {
    let tokens = batch();
    let ratio = |i: usize, loss: f64| libm::exp(tokens[i].reference_loss.unwrap() - loss);
    let ratios = || (0..12).map(|i| ratio(i, tokens[i].loss));
    assert!(ratios().any(|r| r < 0.8) && ratios().any(|r| r > 1.28));
    let one = |(i, loss): (usize, &f64)| {
        let r = ratio(i, *loss);
        (-r).max(-r.clamp(0.8, 1.28))
    };
    is_the_gradient_of("psft", |losses| mean(losses.iter().enumerate().map(one)));
}

/// `PriFT`'s weight is the frozen model's probability.
#[test]
fn prift_prob() {
    let tokens = batch();
    let one = |(i, loss): (usize, &f64)| libm::exp(-tokens[i].base_loss.unwrap()) * loss;
    is_the_gradient_of("prift-prob", |losses| mean(losses.iter().enumerate().map(one)));
}

/// Its other weight, 0 or 1: whether the frozen model gives at least ½ to the tokens no more probable than the label. Its
/// code divides by the number of all labels.
#[test]
fn prift_mass() {
    let tokens = batch();
    let mass = |i: usize| tokens[i].reference_mass.unwrap();
    assert!(
        (0..12).any(|i| mass(i) < 0.5) && (0..12).any(|i| mass(i) > 0.5) && (0..12).any(|i| mass(i) == 0.5)
    );
    let one = |(i, loss): (usize, &f64)| if mass(i) >= 0.5 { *loss } else { 0.0 };
    is_the_gradient_of("prift-mass", |losses| mean(losses.iter().enumerate().map(one)));
}

/// ssToken's public code without attention keeps the largest differences history − current, ⌈0.6·n⌉ of n tokens (here
/// ranked among all, there among those of a response), and averages the cross-entropy of what is kept.
#[test]
fn ss_token() {
    let tokens = batch();
    let mut order: Vec<usize> = (0..tokens.len()).collect();
    let learnt = |i: usize| tokens[i].base_loss.unwrap() - tokens[i].loss;
    order.sort_by(|a, b| learnt(*b).total_cmp(&learnt(*a)));
    // 0.6·12 = 7.2: our bands round, and 7 are kept.
    let kept = &order[..7];
    is_the_gradient_of("ss-token", |losses| mean(kept.iter().map(|i| losses[*i])));
}

/// TRL's example: documents in ascending order of mean loss − initial mean loss, the first round(n·fraction) of them
/// dropped, at the end of a run that filters half; the mean cross-entropy of the survivors' tokens.
#[test]
fn tail_sft() {
    let tokens = batch();
    let margin = |document: u32| {
        let own = tokens.iter().filter(|token| token.document == document);
        mean(own.map(|token| token.loss - token.base_loss.unwrap()))
    };
    let mut documents = [0, 1, 2];
    documents.sort_by(|a, b| margin(*a).total_cmp(&margin(*b)));
    let mut training = Objective::preset("tail-sft").unwrap().begin(PLAN);
    for step in 0..PLAN.steps {
        let fraction = 0.5 * step as f64 / PLAN.steps as f64;
        let dropped = &documents[..(3.0 * fraction).round() as usize];
        let pulls = training.pulls(&tokens).unwrap();
        for (token, selected) in tokens.iter().zip(&pulls.selected) {
            assert_eq!(*selected, !dropped.contains(&token.document), "step {step}");
        }
        assert_eq!(pulls.normaliser, 4.0 * (3 - dropped.len()) as f64);
    }
}

/// DEFT's public code: −(p^α − 1)/α with α = Σ p² of the prediction, detached.
#[test]
fn deft() {
    let tokens = batch();
    let one = |(i, loss): (usize, &f64)| {
        let alpha = tokens[i].concentration.unwrap();
        -(libm::exp(-alpha * loss) - 1.0) / (alpha + 1e-6)
    };
    is_the_gradient_of("deft", |losses| mean(losses.iter().enumerate().map(one)));
}

/// The same code, "Cayley": α from p and half of the batch's mean p, then −(p^α − 1)/α with α detached.
#[test]
fn cayley() {
    let tokens = batch();
    let floor = 0.5 * mean(tokens.iter().map(TokenStats::p));
    let one = |(i, loss): (usize, &f64)| {
        let distance = 1.0 - tokens[i].p() + 1e-8;
        let local = (1.0 - distance) / (1.0 + distance + 1e-8);
        let alpha = (floor + (1.0 - floor) * local).clamp(0.001, 1.0);
        -(libm::exp(-alpha * loss) - 1.0) / (alpha + 1e-8)
    };
    is_the_gradient_of("cayley", |losses| mean(losses.iter().enumerate().map(one)));
}
