#![allow(clippy::float_cmp, reason = "a cell is found by the very number that it was made from")]

use super::config::{Cell, arms};
use super::measured::Ground;
use super::*;
use crate::{
    Error,
    domain::{DomainConfig, Model, Tokens},
    finetune::{Step, TrainConfig},
    on_threads, over_seeds,
};
use tokensieve_base::streams::Stream;

fn run(config: &MapConfig) -> Result<Vec<MapRow>, Error> {
    summarise(config, &over_seeds(0..config.seeds, |number| seed(config, number))?)
}

fn world(shift: f64, free_share: f64) -> World {
    let config = MapConfig::smoke().world;
    World::new(&WorldConfig { domain: DomainConfig { shift, ..config.domain }, free_share, ..config }, 1)
        .unwrap()
}

/// A model that is certain of former facts and of each kind's choices is as far from the truth as what is new makes it.
#[test]
fn what_is_known_is_measured_exactly() {
    let world = world(0.6, 0.5);
    let sample = world.sample(64, "sample");
    let known = world.known(&Model::uniform(20, 32), &sample);
    // Facts: log 32; choices of one in eight: log 32 − log 8. Half of the tokens are of each kind, to within five standard
    // errors of a share among 1,024.
    let expected = libm::log(32.0) - 0.5 * libm::log(8.0);
    assert!((known.kl_nats - expected).abs() < 0.08 * libm::log(8.0), "{} {expected}", known.kl_nats);
    let base = world.base().unwrap();
    let (old, new) = (self::world(0.0, 0.5), world.known(&base, &sample));
    let old = old.known(&base, &old.sample(64, "sample"));
    assert!(old.accuracy > 0.7 && new.accuracy < old.accuracy - 0.2, "{old:?} {new:?}");
}

#[test]
fn wrong_labels_are_wrong_and_at_their_rate() {
    let world = world(0.1, 0.5);
    let sample = world.sample(600, "sample");
    for noise in [Noise::Uniform, Noise::Confusable] {
        let labels = |rate| world.labels(&sample, rate, noise, &mut Stream::new(1, "noise"));
        assert_eq!(labels(0.0), sample.tokens.truth);
        let (few, all) = (labels(0.1), labels(1.0));
        let wrong = few.iter().zip(&sample.tokens.truth).filter(|(a, b)| a != b).count() as f64;
        assert!((wrong / 9600.0 - 0.1).abs() < 0.016, "{wrong}");
        // Nested, and no wrong label is one that would be right as well.
        assert!(
            few.iter()
                .zip(&all)
                .zip(&sample.tokens.truth)
                .all(|((few, all), truth)| few == truth || few == all)
        );
        let mut model = Model::uniform(20, 32);
        for (t, label) in all.iter().enumerate().take(64) {
            model.weights_dv.fill(0.0);
            sample.tokens.features(t).iter().enumerate().filter(|(_, x)| **x != 0.0).for_each(|(d, x)| {
                model.weights_dv[d * 32 + label] = 50.0 / x;
            });
            let one = Sample {
                tokens: Tokens {
                    features_nd: sample.tokens.features(t).to_vec(),
                    truth: vec![sample.tokens.truth[t]],
                    document_tokens: 1,
                },
                kinds: vec![sample.kinds[t]],
            };
            assert!(world.known(&model, &one).kl_nats > 40.0, "token {t}: {label} is right");
        }
    }
}

/// Of a short enough step the first order is all there is.
#[test]
fn the_prediction_is_the_slope_of_what_is_measured() {
    let config =
        MapConfig { train: TrainConfig { epochs: 1, batch_documents: 16, rate: 1e-4 }, ..MapConfig::smoke() };
    let cell = Cell { shift: 0.6, base: 1, free_share: 0.5, noise_rate: 0.3, noise: Noise::Confusable };
    let world = world(cell.shift, cell.free_share);
    let base = world.base().unwrap();
    let ground = Ground::new(&config, &world, 1, cell, &base);
    let reference = Model::uniform(20, 32).probabilities(&ground.train.tokens);
    for (arm, objective) in arms().unwrap() {
        let predicted = ground.look(&base, &reference).epoch(&objective).unwrap();
        for step in [Step::Own, Step::GradNorm] {
            let after = ground.trained(1, Some(&reference), step, &objective).unwrap();
            let kl = |model: &Model| world.known(model, &ground.test).kl_nats;
            let (measured, predicted) = (kl(&base) - kl(&after), predicted.of(step)[1]);
            assert!(
                (measured - predicted).abs() < 1e-3 * predicted.abs() + 1e-10,
                "{arm} {step:?}: {measured} {predicted}"
            );
        }
    }
}

#[test]
fn rules_choose_by_what_they_may_know() {
    let config = MapConfig { steps: vec![Step::GradNorm], ..MapConfig::smoke() };
    let rows = run(&config).unwrap();
    let cells = config.cells().len();
    assert_eq!(cells, 2 * 2 * 3);
    assert_eq!(rows.len(), (cells + 1) * (13 + 3));
    assert!(rows.iter().all(|row| row.seeds == 2 && row.accuracy_gain_low <= row.accuracy_gain));
    let named = |row: &&MapRow| row.choice.is_some();
    assert_eq!(rows.iter().filter(named).count(), cells);
    let chosen = rows.iter().find(|row| row.choice.as_deref().is_some_and(|choice| choice != PLAIN)).unwrap();
    let same = rows.iter().find(|row| {
        Some(&row.arm) == chosen.choice.as_ref()
            && (row.shift, row.free_share, row.noise_rate, &row.noise)
                == (chosen.shift, chosen.free_share, chosen.noise_rate, &chosen.noise)
    });
    assert_eq!(same.unwrap().accuracy_gain.to_bits(), chosen.accuracy_gain.to_bits());
    // What is new is what there is to learn.
    let headroom = |shift| rows.iter().find(|row| row.shift == Some(shift)).unwrap().headroom;
    assert!(headroom(0.6) > headroom(0.01) + 0.2);
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let config = MapConfig { shifts: vec![0.6], noise_rates: vec![0.3], ..MapConfig::smoke() };
    let on = |threads| on_threads(threads, || run(&config).unwrap());
    assert_eq!(on(1), on(3));
}

#[test]
fn wrong_settings_are_refused() {
    let message = run(&MapConfig { seeds: 3, ..MapConfig::smoke() }).unwrap_err().to_string();
    assert!(message.contains("choosing is 2 of 3 seeds"), "{message}");
    let world = WorldConfig { choices: 9, ..MapConfig::smoke().world };
    let message = World::new(&world, 0).unwrap_err().to_string();
    assert!(message.contains("choices is 9"), "{message}");
}
