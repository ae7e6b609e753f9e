//! Which objective to train with: plain training, unless another one is better for sure.

use std::iter;

use serde::Serialize;
use tokensieve_base::statistics::Estimate;
use tokensieve_model::Document;

use crate::candidates::PLAIN;
use crate::measure::{Measure, Measurement, ObjectiveRow, favoured};
use crate::race::Race;
use crate::sample::{LEAST_FOLDS, rows};

/// What to train with, and what speaks for it.
#[derive(Clone, Debug, Serialize)]
pub struct Recommendation {
    /// The preset.
    pub objective: String,
    /// The measure that was decided by.
    pub measure: Measure,
    /// Its gain over plain training by the measure, or by probability where that is accuracy; `None` for plain training
    /// itself.
    pub expected: Option<Estimate>,
    /// Why.
    pub because: String,
    /// Objectives whose first step does not differ for sure from the recommended one's; none with a race.
    pub indistinguishable: Vec<String>,
    /// Other rivals of a race that are not worse than plain training for sure.
    pub not_worse: Vec<String>,
    /// What would lead to another recommendation.
    pub would_change: Vec<String>,
    /// The configuration for `tokensieve train`, as TOML.
    pub config: String,
}

/// What besides the measurements speaks for or against a recommendation.
pub(crate) struct Circumstances {
    /// The data's rows.
    pub(crate) data: Rows,
    /// The held-out rows, if they are the user's own, and not part of the data.
    pub(crate) held_out: Option<Rows>,
    /// Share of wrong labels where the model is sure, if that is an estimate without doubts.
    pub(crate) noise: Option<f64>,
}

/// How many rows can be measured, and how many cannot, because they repeat others.
#[derive(Clone, Copy)]
pub(crate) struct Rows {
    pub(crate) distinct: usize,
    pub(crate) repeating: usize,
}

impl Rows {
    /// Those of the documents that can be measured, and the others' of all.
    pub(crate) fn of(measured: Vec<&Document>, all: &[Document]) -> Self {
        let distinct = rows(measured);
        Self { distinct, repeating: rows(all) - distinct }
    }
}

/// The objective to train with instead of plain training, if there is one.
pub(crate) fn predicted(measured: &Measurement, measure: Measure) -> Option<&ObjectiveRow> {
    favoured(&measured.objectives, measure).map(|index| &measured.objectives[index])
}

/// The recommendation; the caller adds the configuration. A race decides, if there was one. `measured`: `None` where there
/// were too few documents.
pub(crate) fn recommend(
    measured: Option<&Measurement>,
    race: Option<&Race>,
    measure: Measure,
    known: &Circumstances,
) -> Recommendation {
    let predicted = measured.and_then(|measured| predicted(measured, measure));
    let named = |name: &str| measured?.objectives.iter().find(|row| row.objective == name);
    let chosen = race.map_or(predicted, |race| race.winner.as_deref().and_then(named));
    let name = |row: Option<&ObjectiveRow>| row.map_or(PLAIN, |row| row.objective.as_str()).to_owned();
    let because = match (race, chosen) {
        _ if measured.is_none() => format!("{}: plain training is the default", too_few(known)),
        _ if measured.is_some_and(|measured| measured.objectives.is_empty()) => {
            "of the presets asked for, none can be compared with it".to_owned()
        }
        (Some(race), _) => {
            format!("in the race, {}; the prediction is `{}`", race.verdict(), name(predicted))
        }
        (None, None) => "no other objective is better for sure".to_owned(),
        (None, Some(_)) => {
            let (by, other) = (measure.predicted().name(), measure.other().name());
            format!("better than plain training by held-out {by}, and of those that are, the best by {other}")
        }
    };
    let objective = name(chosen);
    Recommendation {
        indistinguishable: measured
            .filter(|_| race.is_none())
            .map_or(Vec::new(), |measured| measured.indistinguishable[measure.predicted() as usize].clone()),
        not_worse: race.map_or(Vec::new(), |race| {
            race.not_worse().filter(|name| *name != objective).map(str::to_owned).collect()
        }),
        would_change: would_change(measured, race, measure, known, &objective),
        objective,
        measure,
        expected: chosen.and_then(|row| row.gain(measure).relative),
        because,
        config: String::new(),
    }
}

/// The rows of which there are too few, what they are called, and how many it takes.
fn lacking(known: &Circumstances) -> (Rows, &'static str, usize) {
    match known.held_out {
        // Half of the data is held out.
        None => (known.data, "rows", 2 * LEAST_FOLDS),
        Some(held_out) if held_out.distinct < LEAST_FOLDS => (held_out, "held-out rows", LEAST_FOLDS),
        Some(_) => (known.data, "rows", LEAST_FOLDS),
    }
}

/// Why nothing is measured.
pub(crate) fn too_few(known: &Circumstances) -> String {
    let (Rows { distinct, repeating }, name, least) = lacking(known);
    let without = match repeating {
        0 => String::new(),
        repeating => format!(" after leaving out {repeating} that repeat others"),
    };
    format!("too few {name} to measure ({distinct}{without}; at least {least} are needed)")
}

fn would_change(
    measured: Option<&Measurement>,
    race: Option<&Race>,
    measure: Measure,
    known: &Circumstances,
    objective: &str,
) -> Vec<String> {
    let Some(measured) = measured else {
        let (rows, name, _) = lacking(known);
        let others = if rows.repeating > 0 { " that repeat no others" } else { "" };
        return vec![format!("more {name}{others}: nothing was measured")];
    };
    let or_plain = |name: Option<&str>| name.unwrap_or(PLAIN).to_owned();
    let others: Vec<(String, String)> = if let Some(race) = race {
        let by = |other: Measure| {
            (format!("--measure {}: by it the race favours", other.name()), or_plain(race.winner_by(other)))
        };
        Measure::ALL.into_iter().filter(|other| *other != measure).map(by).collect()
    } else {
        let other = measure.other();
        let by_other = predicted(measured, other).map(|row| row.objective.as_str());
        let own = measured.other_batches.iter().filter(|batch| batch.measure == measure.predicted());
        let by_batch = own.map(|batch| {
            (
                format!("batches of {} documents: they favour", batch.documents),
                or_plain(batch.best.as_deref()),
            )
        });
        iter::once((format!("--measure {}: then it is", other.name()), or_plain(by_other)))
            .chain(by_batch)
            .collect()
    };
    let differ = others.into_iter().filter(|(_, name)| name != objective);
    let mut reasons: Vec<String> = differ.map(|(what, name)| format!("{what} `{name}`")).collect();
    if known.held_out.is_none() {
        let noisy = known.noise.filter(|noise| *noise > 0.01).map_or(String::new(), |noise| {
            format!(
                " (where the model is sure, an estimated {:.0} % of the labels contradict it)",
                100.0 * noise
            )
        });
        reasons.push(format!(
            "documents of your own whose labels are right, as --held-out: those used here have the data's own errors{noisy}"
        ));
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gain::Gain;

    fn measured(gains: &[(&str, [f64; 3], f64)]) -> Measurement {
        let row = |(name, [value, low, high], p): &(&str, [f64; 3], f64)| {
            let relative = Some(Estimate { value: *value, low: *low, high: *high, n: 8 });
            let gain = Gain { relative, difference: relative, p: Some(*p) };
            let none = Gain { relative: None, difference: None, p: None };
            ObjectiveRow {
                objective: (*name).to_owned(),
                profile: vec![],
                unresolved: 0.0,
                gains: vec![gain, none],
            }
        };
        Measurement {
            after: 8,
            on_sample: false,
            bands: vec![],
            objectives: gains.iter().map(row).collect(),
            indistinguishable: vec![vec!["dft".to_owned()], Vec::new()],
            other_batches: vec![],
            unresolved: vec![],
        }
    }

    const ROWS: Rows = Rows { distinct: 50, repeating: 0 };
    const KNOWN: Circumstances = Circumstances { data: ROWS, held_out: Some(ROWS), noise: None };

    #[test]
    fn plain_training_stays_unless_another_is_better() {
        let sure = ("-p", [0.3, 0.1, 0.5], 0.01);
        let unsure = ("dft", [0.4, -0.1, 0.9], 0.2);
        let found = recommend(Some(&measured(&[sure, unsure])), None, Measure::Nll, &KNOWN);
        assert_eq!((found.objective.as_str(), found.expected.unwrap().value), ("-p", 0.3));
        assert_eq!(found.indistinguishable, ["dft"]);

        let worse = ("-p", [-0.2, -0.3, -0.1], 0.01);
        let found = recommend(Some(&measured(&[worse, unsure])), None, Measure::Nll, &KNOWN);
        assert_eq!((found.objective.as_str(), found.expected), ("mle", None));
        assert_eq!(found.indistinguishable, ["dft"]);

        let found = recommend(Some(&measured(&[])), None, Measure::Nll, &KNOWN);
        assert!(found.objective == "mle" && found.because.contains("none can be compared"), "{found:?}");
    }

    #[test]
    fn what_there_is_too_little_of_is_named() {
        let found = |distinct: [usize; 2], repeating: [usize; 2]| {
            let [data, held_out] = [0, 1].map(|i| Rows { distinct: distinct[i], repeating: repeating[i] });
            let known =
                Circumstances { data, held_out: (held_out.distinct > 0).then_some(held_out), noise: None };
            let found = recommend(None, None, Measure::Nll, &known);
            assert_eq!(found.objective, "mle");
            (found.because, found.would_change[0].clone())
        };
        let (because, would_change) = found([7, 0], [63, 0]);
        assert_eq!(
            because,
            "too few rows to measure (7 after leaving out 63 that repeat others; at least 8 are needed): plain training is the \
             default"
        );
        assert_eq!(would_change, "more rows that repeat no others: nothing was measured");
        let (because, would_change) = found([500, 3], [9, 0]);
        assert!(
            because.starts_with("too few held-out rows to measure (3; at least 4 are needed)"),
            "{because}"
        );
        assert_eq!(would_change, "more held-out rows: nothing was measured");
        let (because, _) = found([3, 200], [0, 1]);
        assert!(because.starts_with("too few rows to measure (3; at least 4 are needed)"), "{because}");
    }

    #[test]
    fn of_several_the_one_that_costs_least_by_the_other_measure() {
        let extreme = ("threshold-above", [0.9, 0.7, 1.1], 0.01);
        let mild = ("f-alpha", [0.3, 0.1, 0.5], 0.01);
        let mut found = measured(&[extreme, mild]);
        for (row, cost) in found.objectives.iter_mut().zip([-0.8, -0.3]) {
            row.gains[1].difference = Some(Estimate { value: cost, low: cost, high: cost, n: 8 });
        }
        let found = recommend(Some(&found), None, Measure::Nll, &KNOWN);
        assert_eq!((found.objective.as_str(), found.expected.unwrap().value), ("f-alpha", 0.3));
        assert!(found.because.contains("held-out nll"), "{found:?}");
    }

    #[test]
    fn other_measures_and_noisy_labels_are_named() {
        let mut measured = measured(&[("-p", [0.0, -0.1, 0.1], 1.0)]);
        measured.objectives[0].gains.swap(0, 1);
        measured.objectives[0].gains[1] = Gain {
            relative: None,
            difference: Some(Estimate { value: 0.2, low: 0.1, high: 0.3, n: 8 }),
            p: Some(0.01),
        };
        let known = Circumstances { held_out: None, noise: Some(0.2), ..KNOWN };
        let found = recommend(Some(&measured), None, Measure::Nll, &known);
        assert!(found.would_change[0].contains("--measure probability: then it is `-p`"), "{found:?}");
        assert!(
            found.would_change[1].contains("where the model is sure, an estimated 20 % of the labels"),
            "{found:?}"
        );
    }

    #[test]
    fn a_race_decides() {
        let measured = measured(&[("-p", [0.3, 0.1, 0.5], 0.01), ("dft", [0.0, -0.2, 0.2], 1.0)]);
        let race = |winner: Option<&str>| Race { winner: winner.map(str::to_owned), ..Race::example() };
        for (winner, objective) in [(None, "mle"), (Some("-p"), "-p"), (Some("dft"), "dft")] {
            let found = recommend(Some(&measured), Some(&race(winner)), Measure::Nll, &KNOWN);
            assert_eq!((found.objective.as_str(), found.expected.is_some()), (objective, winner.is_some()));
            assert!(found.because.contains("the prediction is `-p`"), "{found:?}");
            let not_worse: &[&str] = if objective == "-p" { &[] } else { &["-p"] };
            assert_eq!(found.not_worse, not_worse);
            assert!(found.indistinguishable.is_empty(), "{found:?}");
            // By probability `-p` is better for sure, by accuracy nothing is.
            let by =
                |measure: &str, name: &str| format!("--measure {measure}: by it the race favours `{name}`");
            let wanted = [by("probability", "-p"), by("accuracy", "mle")];
            let wanted = wanted.into_iter().filter(|reason| !reason.ends_with(&format!("`{objective}`")));
            assert_eq!(found.would_change, wanted.collect::<Vec<_>>());
        }
    }
}
