//! The two pulls are the gradient of the written-out loss: for every preset and for random losses, against central
//! differences in f64 with everything that counts as constant frozen. Run: `cargo test -p tokensieve-objective`.

#![allow(clippy::float_cmp, reason = "some results are exact")]

use proptest::prelude::*;
use tokensieve_objective::{
    Against, Direction, Objective, Plan, Pull, TokenStats, Training, cross_entropy, divergence, gradient,
    presets, reverse_gradient, truncate,
};

const PLAN: Plan = Plan { steps: 10, seed: 1 };
const VOCABULARY: usize = 7;

type Logits = [f64; VOCABULARY];

fn softmax(z: &Logits) -> Logits {
    let largest = z.iter().fold(f64::NEG_INFINITY, |a, b| a.max(*b));
    let e = z.map(|z| libm::exp(z - largest));
    let sum: f64 = e.iter().sum();
    e.map(|e| e / sum)
}

fn loss(p: &Logits, label: usize) -> f64 {
    -libm::log(p[label])
}

/// The loss of distillation truncated to the `k` most probable tokens (of equals the first), the others as one event.
fn truncated_cross_entropy(q: &Logits, p: &Logits, k: usize) -> f64 {
    let mut order: Vec<usize> = (0..VOCABULARY).collect();
    order.sort_by(|a, b| q[*b].total_cmp(&q[*a]));
    let (top, tail) = order.split_at(k.min(VOCABULARY));
    let mass = |values: &Logits| tail.iter().map(|x| values[*x]).sum();
    let events = top.iter().map(|x| (q[*x], p[*x])).chain([(mass(q), mass(p))]);
    events.filter(|(q, _)| *q > 0.0).map(|(q, p)| -q * libm::log(p)).sum()
}

/// A token as a model would report it.
fn token(z: &Logits, reference: &Logits, label: usize, position: u32) -> TokenStats {
    let (p, q) = (softmax(z), softmax(reference));
    let entropy = cross_entropy(&p, &p);
    TokenStats {
        top_entropy: Some(entropy),
        concentration: Some(p.iter().map(|p| p * p).sum()),
        reference_loss: Some(loss(&q, label)),
        reference_mass: Some(q.iter().filter(|other| **other <= q[label]).sum()),
        divergence: Some(cross_entropy(&q, &p) - cross_entropy(&q, &q)),
        base_loss: Some(loss(&q, label) + 0.3),
        bald: Some(0.1 * f64::from(position)),
        advantage: Some(0.7 - f64::from(position % 3)),
        score: Some(0.4 + f64::from(position % 2)),
        vocabulary: VOCABULARY as u32,
        position,
        ..TokenStats::new(loss(&p, label), entropy)
    }
}

/// Compares gradient and finite difference; both for a token with these pulls.
fn check(
    training: &Training,
    stats: &TokenStats,
    z: &Logits,
    reference: &Logits,
    label: usize,
    selected: bool,
    pull: Pull,
) {
    let objective = training.objective();
    let uniform = [1.0 / VOCABULARY as f64; VOCABULARY];
    let q = match (objective.against(), objective.temperature()) {
        (Some(Against::Uniform), _) => uniform,
        (_, Some(temperature)) => softmax(&z.map(|z| z / temperature)),
        _ => softmax(reference),
    };
    let k = objective.top_k().map(|_| 3);
    let truncated = |p: &Logits| {
        let mut effective = q;
        if let Some(k) = k {
            truncate(&q, p, k, &mut Vec::new(), &mut effective);
            assert!((effective.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        }
        effective
    };
    let written_out = |z: &Logits| {
        let p = softmax(z);
        let distance = match (objective.direction(), k) {
            (Direction::Forward, None) => cross_entropy(&q, &p),
            (Direction::Forward, Some(k)) => truncated_cross_entropy(&q, &p, k),
            (Direction::Reverse, _) => divergence(&p, &truncated(&p)),
        };
        training.written_out(stats, selected, loss(&p, label), distance)
    };
    let p = softmax(z);
    let mut out = [0.0; VOCABULARY];
    match objective.direction() {
        Direction::Forward => gradient(&p, label, Some(&truncated(&p)), pull, &mut out),
        Direction::Reverse => reverse_gradient(&p, label, &truncated(&p), pull, &mut out),
    }
    let size = 1.0 + pull.label.abs() + pull.reference.abs();
    assert!(
        out.iter().sum::<f64>().abs() < 1e-12 * size,
        "{}: the gradient does not sum to zero",
        objective.name()
    );
    for x in 0..VOCABULARY {
        let moved = |by: f64| {
            let mut z = *z;
            z[x] += by;
            written_out(&z)
        };
        let difference = |h: f64| (moved(h) - moved(-h)) / (2.0 * h);
        let (coarse, fine) = (difference(1e-5), difference(5e-6));
        // Two differences disagree only where a threshold lies between: there is no derivative to compare with.
        if (coarse - fine).abs() < 1e-7 * size {
            let name = objective.name();
            assert!(
                (out[x] - fine).abs() < 1e-6 * size,
                "{name}, selected {selected}: {} against {fine}",
                out[x]
            );
        }
    }
}

/// Runs a batch through the objective and checks each of its tokens.
fn check_batch(objective: &Objective, batch: &[(Logits, Logits, usize)]) {
    let stats: Vec<TokenStats> =
        batch.iter().enumerate().map(|(i, (z, q, label))| token(z, q, *label, i as u32)).collect();
    let mut training = objective.begin(PLAN);
    let _ = training.survey(&stats);
    let pulls = training.pulls(&stats).unwrap().clone();
    for (i, (z, q, label)) in batch.iter().enumerate() {
        check(&training, &stats[i], z, q, *label, pulls.selected[i], pulls.pulls[i]);
    }
}

fn logits() -> impl Strategy<Value = Logits> {
    prop::array::uniform7(-3.0..3.0f64)
}

fn batch() -> impl Strategy<Value = Vec<(Logits, Logits, usize)>> {
    prop::collection::vec((logits(), logits(), 0..VOCABULARY), 1..9)
}

/// A loss that does not increase: a positive combination of such.
fn decreasing() -> impl Strategy<Value = String> {
    let number = || (1u32..24).prop_map(|n| f64::from(n) / 8.0);
    let piece = prop_oneof![
        Just("-log p".to_owned()),
        Just("loss".to_owned()),
        number().prop_map(|n| format!("-p^{n}")),
        number().prop_map(|n| format!("p^-{n}")),
        number().prop_map(|n| format!("f_alpha({n})")),
        number().prop_map(|n| format!("f_alpha(-{n})")),
        number().prop_map(|n| format!("log(1 - p + {n})")),
        number().prop_map(|n| format!("(1 - p / 2)^{n}")),
        number().prop_map(|n| format!("-(1 - p)^(1 + {n}) * log p")),
        number().prop_map(|n| format!("max(-log p, {n})")),
        number().prop_map(|n| format!("-log p * (p >= {n} / 4)")),
        number().prop_map(|n| format!("-clamp(sg(p) / p_ref, 0.1, {n}) * log p")),
        Just("-sqrt p".to_owned()),
        Just("-exp(-loss)".to_owned()),
        Just("exp(-p)".to_owned()),
        Just("-sg(p) * log p".to_owned()),
        Just("-entropy_top20 / log(20) * log p".to_owned()),
        Just("1 / (1 + p)".to_owned()),
        Just("if(p_ref > 0.2, -p, -log p)".to_owned()),
        Just("-mean(p * entropy) * log p".to_owned()),
        Just("f_alpha(concentration)".to_owned()),
        Just("f_alpha(sg(p) / mean(p_ref + p))".to_owned()),
        Just("-score * log p".to_owned()),
        Just("-mass_ref * log p".to_owned()),
        Just("-bald * log p / vocabulary + p_base".to_owned()),
    ];
    prop::collection::vec((piece, number()), 1..4).prop_map(|pieces| {
        let terms: Vec<String> = pieces.iter().map(|(piece, scale)| format!("{scale} * ({piece})")).collect();
        terms.join(" + ")
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn of_random_losses_and_a_pull_on_the_reference(f in decreasing(), b in 0.0..2.0f64, batch in batch()) {
        let text = format!(
            "selected = \"{f}\"\nreference = {b:?}\nagainst = \"base\"\notherwise = \"distill(base)\"\n\
             [select]\nkeep = \"top 50%\""
        );
        check_batch(&Objective::from_toml(&text).unwrap(), &batch);
    }

    #[test]
    fn of_random_losses_and_a_reverse_pull(f in decreasing(), b in 0.0..2.0f64, cut in prop::bool::ANY, batch in batch()) {
        for against in ["base", "uniform"] {
            let cut = if cut && against == "base" { "top_k = 3" } else { "" };
            let text = format!(
                "selected = \"{f}\"\nreference = {b:?}\nagainst = \"{against}\"\notherwise = \"distill({against})\"\n\
                 direction = \"reverse\"\n{cut}\n[select]\nkeep = \"top 50%\""
            );
            check_batch(&Objective::from_toml(&text).unwrap(), &batch);
        }
    }

    #[test]
    fn the_gradient_is_its_formula(p in logits(), q in logits(), label in 0..VOCABULARY, a in -2.0..2.0f64, b in -2.0..2.0f64) {
        let (p, q) = (softmax(&p), softmax(&q));
        let mut out = [0.0; VOCABULARY];
        let pull = Pull { label: a, reference: b };
        gradient(&p, label, Some(&q), pull, &mut out);
        for x in 0..VOCABULARY {
            let expected = (a + b) * p[x] - if x == label { a } else { 0.0 } - b * q[x];
            prop_assert!((out[x] - expected).abs() < 4e-15);
        }
        let alone = Pull { label: a, reference: 0.0 };
        gradient(&p, label, None, alone, &mut out);
        let mut with = [0.0; VOCABULARY];
        gradient(&p, label, Some(&q), alone, &mut with);
        prop_assert_eq!(out, with);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn of_every_preset(batch in batch()) {
        for name in presets::names() {
            check_batch(&Objective::preset(name).unwrap(), &batch);
        }
        for alpha in [-1.0, -0.1, 0.0, 1e-9, 0.1, 0.5, 1.0, 3.0, 10.0] {
            check_batch(&Objective::preset("f-alpha").unwrap().with("alpha", alpha).unwrap(), &batch);
        }
    }

    #[test]
    fn a_truncated_reference_that_keeps_everything_is_the_reference(q in logits(), p in logits()) {
        let (q, p) = (softmax(&q), softmax(&p));
        let mut out = [0.0; VOCABULARY];
        for k in [VOCABULARY, VOCABULARY + 5] {
            truncate(&q, &p, k, &mut Vec::new(), &mut out);
            prop_assert_eq!(out, q);
            prop_assert!((truncated_cross_entropy(&q, &p, k) - cross_entropy(&q, &p)).abs() < 1e-12);
        }
        // With nothing kept the one bucket is certain, and the prediction is left as it is.
        truncate(&q, &p, 0, &mut Vec::new(), &mut out);
        prop_assert!(out.iter().zip(&p).all(|(out, p)| (out - p).abs() < 1e-15));
        prop_assert!(truncated_cross_entropy(&q, &p, 0).abs() < 1e-12);
        for k in 0..VOCABULARY {
            let divergence = truncated_cross_entropy(&q, &p, k) - truncated_cross_entropy(&q, &q, k);
            prop_assert!(divergence > -1e-12, "the divergence of what is kept is negative: {divergence}");
        }
    }
}

#[test]
fn truncation_breaks_ties_by_the_first_and_survives_an_empty_tail() {
    let q = [0.25; 4];
    let mut out = [0.0; 4];
    truncate(&q, &[0.7, 0.1, 0.1, 0.1], 2, &mut Vec::new(), &mut out);
    assert!(out[..2] == [0.25, 0.25] && (out[2] - 0.25).abs() < 1e-15);
    truncate(&q, &[0.5, 0.5, 0.0, 0.0], 2, &mut Vec::new(), &mut out);
    assert!(out == [0.25; 4]);
}

/// GEM as published: the sharpened prediction minus the label. Its written-out loss is −Σ q (log pᵧ − log p), as the public
/// code has it.
#[test]
fn gem_pulls_the_sharpened_prediction_down_and_the_label_up() {
    let z: Logits = std::array::from_fn(|x| 0.7 * x as f64 - 0.2 * (x * x) as f64);
    let label = 2;
    let (p, q) = (softmax(&z), softmax(&z.map(|z| z / 0.7)));
    let stats = token(&z, &z, label, 0);
    let mut training = Objective::preset("gem").unwrap().begin(PLAN);
    let pull = training.pulls(&[stats]).unwrap().pulls[0];
    let mut out = [0.0; VOCABULARY];
    gradient(&p, label, Some(&q), pull, &mut out);
    let loss: f64 = (0..VOCABULARY).map(|x| q[x] * (libm::log(p[x]) - libm::log(p[label]))).sum();
    let written_out = training.written_out(&stats, true, stats.loss, cross_entropy(&q, &p));
    assert!((written_out - loss).abs() < 1e-12, "{written_out} {loss}");
    for x in 0..VOCABULARY {
        let expected = q[x] - f64::from(u8::from(x == label));
        assert!((out[x] - expected).abs() < 1e-12, "{x}: {} {expected}", out[x]);
    }
}
