//! Which objective to train with: plain training, unless another one is better for sure.

use std::iter;

use serde::Serialize;
use tokensieve_base::statistics::Estimate;

use crate::candidates::PLAIN;
use crate::gain::{Gain, mildest};
use crate::measure::{Measure, Measurement, ObjectiveRow};
use crate::race::Race;

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
    /// Objectives that the measurement cannot tell from the recommended one.
    pub indistinguishable: Vec<String>,
    /// What would lead to another recommendation.
    pub would_change: Vec<String>,
    /// The configuration for `tokensieve train`, as TOML.
    pub config: String,
}

/// What besides the measurements speaks for or against a recommendation.
pub(crate) struct Circumstances {
    /// Whether the held-out documents are the user's own, and not part of the data.
    pub(crate) held_out_is_trusted: bool,
    /// Rows that repeat others, and are not measured.
    pub(crate) repeating: usize,
    /// Share of wrong labels, if that is an estimate without doubts.
    pub(crate) noise: Option<f64>,
}

fn gain(row: &ObjectiveRow, measure: Measure) -> &Gain {
    &row.gains[measure.predicted() as usize]
}

/// The objective to train with instead of plain training, if there is one.
pub(crate) fn predicted(measured: &Measurement, measure: Measure) -> Option<&ObjectiveRow> {
    let rows = &measured.objectives;
    let chosen = mildest(rows.iter().map(|row| (gain(row, measure), gain(row, measure.other()))));
    chosen.map(|index| &rows[index])
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
        _ if measured.is_none() => "too few documents to measure: plain training is the default".to_owned(),
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
        indistinguishable: match race {
            Some(race) => race.not_worse().filter(|name| *name != objective).map(str::to_owned).collect(),
            None => measured.map_or(Vec::new(), |measured| indistinguishable(measured, measure, chosen)),
        },
        would_change: would_change(measured, race, measure, known, &objective),
        objective,
        measure,
        expected: chosen.and_then(|row| gain(row, measure).relative),
        because,
        config: String::new(),
    }
}

/// Objectives that do not differ from plain training for sure, or, where another one is recommended, whose interval holds
/// its gain.
fn indistinguishable(measured: &Measurement, measure: Measure, chosen: Option<&ObjectiveRow>) -> Vec<String> {
    let are_alike = |row: &&ObjectiveRow| {
        let Some(chosen) = chosen else { return !gain(row, measure).differs() };
        let own = gain(chosen, measure).value();
        chosen.objective != row.objective
            && gain(row, measure).difference.is_none_or(|gain| gain.low <= own && own <= gain.high)
    };
    measured.objectives.iter().filter(are_alike).map(|row| row.objective.clone()).collect()
}

/// What there would have to be more of.
fn too_few(known: &Circumstances) -> String {
    if known.repeating > 0 {
        format!("more documents that repeat no others (rows that do: {})", known.repeating)
    } else {
        "more documents".to_owned()
    }
}

fn would_change(
    measured: Option<&Measurement>,
    race: Option<&Race>,
    measure: Measure,
    known: &Circumstances,
    objective: &str,
) -> Vec<String> {
    let Some(measured) = measured else { return vec![format!("{}: nothing was measured", too_few(known))] };
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
    if !known.held_out_is_trusted {
        let noisy = known.noise.filter(|noise| *noise > 0.01).map_or(String::new(), |noise| {
            format!(" (an estimated {:.0} % of the labels contradict the model)", 100.0 * noise)
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
            bands: vec![],
            objectives: gains.iter().map(row).collect(),
            other_batches: vec![],
            unresolved: vec![],
        }
    }

    const KNOWN: Circumstances = Circumstances { held_out_is_trusted: true, repeating: 0, noise: None };

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

        let found = recommend(None, None, Measure::Nll, &KNOWN);
        assert!(found.objective == "mle" && found.because.contains("too few"), "{found:?}");
        assert_eq!(found.would_change, ["more documents: nothing was measured"]);
        let found = recommend(None, None, Measure::Nll, &Circumstances { repeating: 63, ..KNOWN });
        assert!(found.would_change[0].contains("(rows that do: 63):"), "{found:?}");
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
        let known = Circumstances { held_out_is_trusted: false, noise: Some(0.2), ..KNOWN };
        let found = recommend(Some(&measured), None, Measure::Nll, &known);
        assert!(found.would_change[0].contains("--measure probability: then it is `-p`"), "{found:?}");
        assert!(found.would_change[1].contains("20 % of the labels"), "{found:?}");
    }

    #[test]
    fn a_race_decides() {
        let measured = measured(&[("-p", [0.3, 0.1, 0.5], 0.01), ("dft", [0.0, -0.2, 0.2], 1.0)]);
        let race = |winner: Option<&str>| Race { winner: winner.map(str::to_owned), ..Race::example() };
        for (winner, objective) in [(None, "mle"), (Some("-p"), "-p"), (Some("dft"), "dft")] {
            let found = recommend(Some(&measured), Some(&race(winner)), Measure::Nll, &KNOWN);
            assert_eq!((found.objective.as_str(), found.expected.is_some()), (objective, winner.is_some()));
            assert!(found.because.contains("the prediction is `-p`"), "{found:?}");
            // By probability `-p` is better for sure, by accuracy nothing is.
            let by =
                |measure: &str, name: &str| format!("--measure {measure}: by it the race favours `{name}`");
            let wanted = [by("probability", "-p"), by("accuracy", "mle")];
            let wanted = wanted.into_iter().filter(|reason| !reason.ends_with(&format!("`{objective}`")));
            assert_eq!(found.would_change, wanted.collect::<Vec<_>>());
        }
    }
}
