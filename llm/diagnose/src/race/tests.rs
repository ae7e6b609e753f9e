//! A race on a tiny model: what is paired with what, who goes on, and what is called a difference.

use tch::Kind;
use tokensieve_train::step::evaluate;

use super::*;
use crate::bench::{Bench, OPTIONS, config};
use crate::gain::Gain;

impl Race {
    /// A race without a winner.
    pub(crate) fn example() -> Self {
        let estimate = |value: f64| Estimate { value, low: value - 0.1, high: value + 0.1, n: 24 };
        let row = |name: &str, held_out, beside_plain| RaceRow {
            objective: name.to_owned(),
            steps: 32,
            held_out,
            beside_plain,
        };
        let beside = [
            Difference { value: Some(estimate(0.05)), p: Some(0.4) },
            Difference { value: Some(estimate(0.15)), p: Some(0.01) },
            Difference { value: Some(estimate(0.02)), p: Some(0.7) },
        ];
        Self {
            steps: 32,
            batch: 16,
            judges: 24,
            measure: Measure::Nll,
            before: [-1.5, 0.3, 0.4],
            rows: vec![row(PLAIN, [-1.0, 0.5, 0.6], None), row("-p", [-0.95, 0.65, 0.62], Some(beside))],
            failed: Vec::new(),
            winner: None,
        }
    }
}

#[test]
fn half_of_the_rivals_go_all_the_way() {
    assert_eq!(rounds(4, 32), [(16, 2), (32, 0)]);
    assert_eq!(rounds(3, 5), [(3, 2), (5, 0)]);
    assert_eq!(rounds(1, 5), [(3, 1), (5, 0)]);
    assert_eq!(rounds(0, 1), [(1, 0), (1, 0)]);
}

#[test]
fn each_measure_has_a_winner_of_its_own_among_those_that_went_all_the_way() {
    let mut race = Race::example();
    assert_eq!(Measure::ALL.map(|measure| race.winner_by(measure)), [None, Some("-p"), None]);
    let mut other = RaceRow { objective: "focal".to_owned(), ..race.rows[1].clone() };
    for found in other.beside_plain.iter_mut().flatten() {
        found.value = found.value.map(|value| Estimate { value: 0.3, ..value });
        found.p = Some(0.01);
    }
    race.rows.push(other);
    assert_eq!(Measure::ALL.map(|measure| race.winner_by(measure)), [Some("focal"); 3]);
    race.rows[2].steps = 16;
    assert_eq!(race.winner_by(Measure::Nll), None);
}

#[test]
fn a_difference_is_one_if_it_stands_out_from_its_pairs_for_all_rivals() {
    let plain: Vec<f64> = (0..12).map(f64::from).collect();
    let moved = |by: f64, spread: f64| -> Vec<f64> {
        plain.iter().enumerate().map(|(i, x)| x + by + spread * (i % 3) as f64 - spread).collect()
    };
    let found = |by, spread, rivals| Difference::of(&moved(by, spread), &plain, rivals);
    assert!(found(0.5, 0.3, 4).is_better() && !found(-0.5, 0.3, 4).is_better());
    assert!(found(-0.5, 0.3, 4).differs() && !found(0.01, 0.3, 4).differs());
    // p = 0.03 for one rival: four might have one by chance.
    assert!(found(0.18, 0.3, 1).differs() && !found(0.18, 0.3, 4).differs(), "{:?}", found(0.18, 0.3, 1));
    let same = Difference::of(&plain, &plain, 4);
    assert_eq!((same.value.unwrap().value, same.p), (0.0, Some(1.0)));
}

fn measured(rows: &[(&str, f64, [f64; 2])]) -> Measurement {
    let band = |p| crate::measure::BandRow { p, tokens: 1, shares: vec![] };
    let row = |(name, value, profile): &(&str, f64, [f64; 2])| {
        let relative = Some(Estimate { value: *value, low: *value, high: *value, n: 8 });
        ObjectiveRow {
            objective: (*name).to_owned(),
            profile: profile.to_vec(),
            unresolved: 0.0,
            gains: vec![Gain { relative, difference: relative, p: None }; 2],
        }
    };
    Measurement {
        after: 0,
        on_sample: false,
        bands: vec![band((0.0, 0.5)), band((0.5, 1.0))],
        objectives: rows.iter().map(row).collect(),
        indistinguishable: vec![vec![]; 2],
        other_batches: vec![],
        unresolved: vec![],
    }
}

#[test]
fn the_best_predicted_run_and_no_profile_twice() {
    let measured = measured(&[
        ("-p", -0.3, [0.1, 1.0]),
        ("dft", -0.3, [0.2, 2.0]),
        ("focal", 0.2, [1.0, 0.3]),
        ("f-alpha", 0.5, [3.0, 3.0]),
        ("eaft", 0.1, [1.0, 0.5]),
        ("masked-mle", 0.3, [1.0, 0.0]),
        ("threshold-above", -0.1, [0.0, 1.0]),
    ]);
    let objectives = crate::candidates::presets(&[]).unwrap().0;
    let names = |recommended| -> Vec<String> {
        let found = rivals(&measured, &objectives, Measure::Nll, recommended);
        found.iter().map(|objective| objective.name().to_owned()).collect()
    };
    assert_eq!(names(None), ["masked-mle", "focal", "eaft", "threshold-above"]);
    assert_eq!(names(Some("-p")), ["-p", "masked-mle", "focal", "eaft"]);
}

#[test]
fn scores_are_those_of_an_evaluation_of_each_document() {
    let bench = Bench::new();
    let model = bench.fixture.model(Kind::Float);
    let documents: Vec<&Document> = bench.documents.iter().collect();
    let [likelihood, probability, accuracy] = scores(&model, &documents).unwrap();
    assert_eq!([likelihood.len(), probability.len()], [documents.len(); 2]);
    for (at, document) in documents.iter().enumerate() {
        let found = evaluate(&mut Head::default(), &model, &[document], 10_000, None, None).unwrap();
        assert!((likelihood[at] + found.nll).abs() < 1e-5, "{} {}", likelihood[at], found.nll);
        assert!((probability[at] - found.mean_p).abs() < 1e-5);
        assert!((accuracy[at] - found.accuracy).abs() < 1e-9, "{} {}", accuracy[at], found.accuracy);
    }
}

/// Judged by the documents that are trained on, plain training improves. A rival with the same pulls does the same, and
/// one that hardly moves is out after half of the steps, worse than plain training was then.
#[test]
fn runs_start_alike_and_are_compared_after_as_many_steps() {
    let bench = Bench::new();
    let mut model = bench.fixture.model(Kind::Float);
    let documents: Vec<&Document> = bench.documents.iter().collect();
    let mut config = config();
    config.train.lr = 1e-2;
    let entry = Entry {
        rivals: &[Objective::preset("-p^10").unwrap(), Objective::loss("-log p").unwrap()],
        documents: &documents,
        judges: &documents,
        measure: Measure::Nll,
        steps: 8,
        batch: 6,
        seed: 1,
    };
    let found = race(&mut model, &config, OPTIONS, &entry, &mut |_| ()).unwrap();
    let places: Vec<(&str, u64)> = found.rows.iter().map(|row| (row.objective.as_str(), row.steps)).collect();
    assert_eq!(places, [(PLAIN, 8), ("-log p", 8), ("-p^10", 4)]);
    assert_eq!((found.judges, found.batch, found.winner.as_deref()), (documents.len(), 6, None));
    assert!(found.rows[0].held_out[0] > found.before[0] + 0.05, "{found:?}");
    assert!(found.rows[0].held_out[2] > found.before[2], "{found:?}");
    let beside = |row: usize| &found.rows[row].beside_plain.as_ref().unwrap()[0];
    assert!(beside(1).value.unwrap().value.abs() < 1e-6 && !beside(1).differs(), "{found:?}");
    assert!(beside(2).differs() && !beside(2).is_better(), "{found:?}");
    assert!(found.verdict().starts_with("no difference seen by held-out nll between `mle`"), "{found:?}");
}

/// What it reads is not finite, which plain training does not read.
#[test]
fn a_rival_whose_loss_is_not_finite_is_out() {
    let mut bench = Bench::new();
    for document in &mut bench.documents {
        document.precomputed.scores = Some(vec![f64::NAN; document.response_tokens()]);
    }
    let mut model = bench.fixture.model(Kind::Float);
    let documents: Vec<&Document> = bench.documents.iter().collect();
    let rivals = [Objective::preset("-p").unwrap(), Objective::loss("-log p * (score >= 5)").unwrap()];
    let entry = Entry {
        rivals: &rivals,
        documents: &documents,
        judges: &documents,
        measure: Measure::Nll,
        steps: 2,
        batch: 6,
        seed: 1,
    };
    let found = race(&mut model, &config(), OPTIONS, &entry, &mut |_| ()).unwrap();
    let places: Vec<(&str, u64)> = found.rows.iter().map(|row| (row.objective.as_str(), row.steps)).collect();
    assert_eq!(places, [(PLAIN, 2), ("-p", 2)]);
    let [out] = &found.failed[..] else { panic!("{found:?}") };
    assert!(out.preset == rivals[1].name() && out.because.contains("NaN"), "{out:?}");
    // Where no other is left.
    let alone = Race { rows: found.rows[..1].to_vec(), ..found.clone() };
    assert_eq!(alone.verdict(), "`mle` alone is left");
    assert_eq!(Race { failed: Vec::new(), ..alone }.verdict(), "`mle` has no rival");
}
