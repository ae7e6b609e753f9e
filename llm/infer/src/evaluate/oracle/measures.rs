//! The measures of a file of the oracle language, each a function of sums over rows.

use tokensieve_tasks::Measure;
use tokensieve_tasks::oracle::Class;

use super::super::groups::{BINS, bin};
use super::super::token_score::TokenScore;

/// The measures, in the order of the sums of [`tally`].
pub(in super::super) const MEASURES: &[Measure] = &[
    Measure::nats("kl", "mean KL from the language without noise to the model"),
    Measure::nats("kl-data", "mean KL from the language with its noise to the model"),
    Measure::nats("cross-entropy", "mean entropy of the language without noise, plus kl"),
    Measure::nats("nll", "mean −log p of the written token"),
    Measure::nats("entropy-gap", "mean distance of the model's entropy from the language's without noise"),
    Measure {
        more_is_better: Some(false),
        ..Measure::share("outside", "mean probability of impossible tokens")
    },
    Measure::share(
        "right",
        "share of tokens where the most probable one is most probable in the language, too",
    ),
    Measure::share("accuracy", "share of tokens where the most probable one is the written one"),
    Measure::calibration_error(
        "ece",
        "expected calibration error of the most probable token, 10 bins of equal width",
    ),
    Measure::nats("kl-structure", "kl of delimiters and keywords"),
    Measure::nats("kl-free", "kl of what is drawn afresh"),
    Measure::nats("kl-choice", "kl of values of keys with several"),
    Measure::nats("kl-frequent-fact", "kl of the facts of frequent keys"),
    Measure::nats("kl-rare-fact", "kl of the facts of rare keys"),
    Measure::nats("kl-rule", "kl of results by the rules of pretraining"),
    Measure::nats("kl-new-rule", "kl of results by the new rule"),
    Measure::nats("kl-copy", "kl of copied items"),
];

/// The sums of a row, for each measure.
pub(super) fn tally(tokens: &[(Class, TokenScore)]) -> Vec<Vec<f64>> {
    let count = tokens.len() as f64;
    let over =
        |of: fn(&TokenScore) -> f64| vec![tokens.iter().map(|(_, score)| of(score)).sum::<f64>(), count];
    let share = |of: fn(&TokenScore) -> bool| {
        vec![tokens.iter().filter(|(_, score)| of(score)).count() as f64, count]
    };
    let mut gaps = vec![0.0; BINS];
    for (_, score) in tokens {
        gaps[bin(score)] += score.confidence - f64::from(u8::from(score.accurate));
    }
    gaps.push(count);
    let mut tallies = vec![
        over(|score| score.kl),
        over(|score| score.kl_data),
        over(TokenScore::cross_entropy),
        over(|score| score.loss),
        over(TokenScore::entropy_gap),
        over(|score| score.outside),
        share(|score| score.right),
        share(|score| score.accurate),
        gaps,
    ];
    tallies.extend(Class::NAMES.map(|name| {
        let of_class = tokens.iter().filter(|(class, _)| class.name() == name);
        of_class.fold(vec![0.0; 2], |sums, (_, score)| vec![sums[0] + score.kl, sums[1] + 1.0])
    }));
    tallies
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_measure_has_its_sums() {
        let score = |kl, confidence: f64| TokenScore {
            kl,
            entropy: 0.5,
            confidence,
            accurate: confidence > 0.5,
            right: true,
            ..TokenScore::default()
        };
        let tokens = [
            (Class::Copy, score(1.0, 0.75)),
            (Class::Choice, score(2.0, 0.25)),
            (Class::Copy, score(4.0, 0.75)),
        ];
        let tally = tally(&tokens);
        assert_eq!(tally.len(), MEASURES.len());
        let of = |name: &str| {
            let place = MEASURES.iter().position(|measure| measure.name == name).unwrap();
            (MEASURES[place].of)(&tally[place])
        };
        assert!((of("kl") - 7.0 / 3.0).abs() < 1e-12);
        assert!((of("cross-entropy") - of("kl") - 0.5).abs() < 1e-12);
        assert!((of("kl-copy") - 2.5).abs() < 1e-12 && of("kl-rule").is_nan());
        assert!((of("accuracy") - 2.0 / 3.0).abs() < 1e-12 && (of("right") - 1.0).abs() < 1e-12);
        assert!((of("ece") - (0.5 + 0.25) / 3.0).abs() < 1e-12);
        for name in Class::NAMES {
            assert!(MEASURES.iter().any(|measure| measure.name == format!("kl-{name}")));
        }
    }
}
