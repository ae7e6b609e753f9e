use proptest::prelude::*;
use tokensieve_base::testing::largest_difference;

use super::*;

fn student(config: &OrderingConfig, contexts: &Contexts, seed: u64) -> Vec<f64> {
    let mut stream = Stream::new(seed, "student");
    (0..contexts.labels.len() * config.answers).map(|_| stream.normal()).collect()
}

fn logit_gradient(
    objective: Objective,
    advantage: Advantage,
    contexts: &Contexts,
    logits: &[f64],
) -> Vec<f64> {
    let mut learner = Learner::new(&OrderingConfig::smoke(), objective, advantage, 0).unwrap();
    let mut gradient = logits.to_vec();
    learner.logit_gradient(contexts, &mut gradient).unwrap();
    gradient
}

proptest! {
    /// The paper's equivalence: with A = p_teacher the policy gradient is the distillation gradient.
    #[test]
    fn teacher_likelihood_as_advantage_is_distillation(
        answers in 2..9_usize, n in 1..20_usize, sharpness in 0.1..4.0_f64, seed: u64,
    ) {
        let config = OrderingConfig { answers, sharpness, ..OrderingConfig::smoke() };
        let contexts = Contexts::draw(&config, seed, "train", n);
        let p = student(&config, &contexts, seed);
        let policy = logit_gradient(Objective::PolicyGradient, Advantage::Likelihood, &contexts, &p);
        let distilled = logit_gradient(Objective::Distillation, Advantage::Likelihood, &contexts, &p);
        prop_assert!(largest_difference(&policy, &distilled) < 1e-15 * answers as f64);
    }

    /// The oracle policy gradient is the gradient of minus the expected reward, by finite differences.
    #[test]
    fn oracle_policy_gradient_is_that_of_the_expected_reward(answers in 2..7_usize, seed: u64) {
        let config = OrderingConfig { answers, ..OrderingConfig::smoke() };
        let contexts = Contexts::draw(&config, seed, "train", 1);
        let mut stream = Stream::new(seed, "logits");
        let logits: Vec<f64> = (0..answers).map(|_| stream.normal()).collect();
        let ours = logit_gradient(Objective::PolicyGradient, Advantage::Oracle, &contexts, &logits);
        for x in 0..answers {
            let shifted = |by: f64| {
                let mut logits = logits.clone();
                logits[x] += by;
                softmax(&mut logits);
                logits[contexts.best[0]]
            };
            let difference = (shifted(1e-5) - shifted(-1e-5)) / 2e-5;
            prop_assert!((ours[x] + difference).abs() < 1e-9, "{} {difference}", ours[x]);
        }
    }
}

/// Maximum likelihood's gradient is distillation's with a sampled label for the teacher: equal in expectation.
#[test]
fn sampled_labels_average_to_distillation() {
    let config = OrderingConfig { answers: 4, ..OrderingConfig::smoke() };
    let mut contexts = Contexts::draw(&config, 1, "train", 1);
    let p = student(&config, &contexts, 1);
    let distilled = logit_gradient(Objective::Distillation, Advantage::Likelihood, &contexts, &p);
    let mut mean = vec![0.0; 4];
    for label in 0..4 {
        contexts.labels[0] = label;
        let one = logit_gradient(Objective::Mle, Advantage::Likelihood, &contexts, &p);
        mean.iter_mut().zip(&one).for_each(|(sum, g)| *sum += contexts.teacher_nv[label] * g);
    }
    assert!(largest_difference(&mean, &distilled) < 1e-15);
}

#[test]
fn labels_follow_the_teacher() {
    let config = OrderingConfig::default();
    let contexts = Contexts::draw(&config, 2, "train", 20_000);
    let expected: f64 = (0..20_000).map(|i| contexts.teacher_nv[i * config.answers + contexts.best[i]]).sum();
    let hits =
        contexts.labels.iter().zip(&contexts.best).filter(|(label, best)| label == best).count() as f64;
    // Five standard deviations of a sum of 20,000 Bernoulli draws are below 5·√(20,000/4) = 354.
    assert!((hits - expected).abs() < 354.0, "{hits} {expected}");
    let fooled = contexts.believed.iter().zip(&contexts.best).filter(|(a, b)| a != b).count() as f64;
    assert!((fooled - 10_000.0).abs() < 354.0, "{fooled}");
}

#[test]
fn rows_repeat_and_thread_count_does_not_matter() {
    let config = OrderingConfig::smoke();
    let rows = run(&config).unwrap();
    assert_eq!(rows, crate::on_threads(1, || run(&config)).unwrap());
    assert_eq!(rows.len(), 3 * 2 * 3 * config.contexts.len());
}

#[test]
fn bad_configurations_are_named() {
    let message = |config: OrderingConfig| run(&config).unwrap_err().to_string();
    assert!(message(OrderingConfig { answers: 1, ..OrderingConfig::smoke() }).contains("answers is 1"));
    assert!(message(OrderingConfig { contexts: vec![0], ..OrderingConfig::smoke() }).contains("contexts"));
    assert!(
        message(OrderingConfig { sharpness: f64::INFINITY, ..OrderingConfig::smoke() }).contains("sharpness")
    );
}
