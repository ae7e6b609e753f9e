//! Compares two evaluations on the same questions, with intervals of the differences.

use std::collections::HashMap;

use tokensieve_tasks::{Estimate, Measure, compare};

use super::judge;
use super::registry;
use super::results::{Judged, Measured, Results, TaskResults};
use tokensieve_model::{Error, Result};

/// Maximum number of questions that an error lists.
const NAMED: usize = 10;

/// What errors and notes of `--compare` call its two evaluations.
const FILES: [&str; 2] = ["the first file", "the second file"];

/// What notes of `--baseline` call them.
const BASELINE_AND_RUN: [&str; 2] = ["the baseline", "this evaluation"];

/// The values of one measure in both evaluations, and their difference with its interval.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Name of the task.
    pub task: String,
    /// Name of the measure.
    pub measure: String,
    /// Values of the first and of the second evaluation.
    pub values: [Option<f64>; 2],
    /// The second minus the first.
    pub difference: Measured,
}

/// Compares `new` with `old` task by task, in the order of `new`. The bootstrap resamples questions in pairs.
pub fn differences(old: &Results, new: &Results) -> Result<Vec<Difference>> {
    let mut all = Vec::new();
    for (name, new_task) in &new.tasks {
        if let Some(old_task) = old.tasks.get(name) {
            let measures = registry::measures(name)?;
            all.extend(of_task(name, &measures, old_task, new_task, new.seed)?);
        }
    }
    if all.is_empty() {
        let names = |results: &Results| results.tasks.keys().cloned().collect::<Vec<_>>().join(", ");
        let what = format!("the two files have no task in common: {} and {}", names(old), names(new));
        return Err(Error::setting("--compare", what));
    }
    Ok(all)
}

/// What two evaluations do not share though they can be compared, in sentences.
pub fn unshared(old: &Results, new: &Results) -> Vec<String> {
    let mut all = Vec::new();
    for (which, own, other) in [("first", old, new), ("second", new, old)] {
        let alone = own.tasks.keys().filter(|name| !other.tasks.contains_key(*name));
        let alone: Vec<&str> = alone.map(String::as_str).collect();
        if !alone.is_empty() {
            all.push(format!("only in the {which} file and not compared: {}", alone.join(", ")));
        }
    }
    for (name, task) in &new.tasks {
        all.extend(old.tasks.get(name).and_then(|old| other_judges(name, old, task, FILES)));
    }
    // Files from before questions had hashes do not say which template they had.
    let says = |of: &Results| of.tasks.values().any(|task| !task.sha256.is_empty());
    if says(old) && says(new) && old.chat_template != new.chat_template {
        all.push("the two evaluations had different chat templates".to_owned());
    }
    all
}

/// Why measures of `results` have no gain over the baseline's, in sentences.
pub fn without_gain(results: &Results, baseline: &Results) -> Vec<String> {
    let shared =
        results.tasks.iter().filter_map(|(name, task)| Some((name, baseline.tasks.get(name)?, task)));
    let why = |(name, base, task): (&String, &TaskResults, &TaskResults)| {
        let questions = other_questions(base, task, BASELINE_AND_RUN);
        let no_gain = questions.map(|what| format!("{name} has no gain: {what}"));
        no_gain.or_else(|| other_judges(name, base, task, BASELINE_AND_RUN))
    };
    shared.filter_map(why).collect()
}

/// Whether both are answers to the same questions.
pub(super) fn ask_the_same(one: &TaskResults, other: &TaskResults) -> bool {
    other_questions(one, other, BASELINE_AND_RUN).is_none()
}

/// Whether a measure means the same in both: win rates do only if the same judge compared with the same outputs.
pub(super) fn share(measure: &str, one: &TaskResults, other: &TaskResults) -> bool {
    !judge::WIN_RATES.contains(&measure) || judges(one, other).is_none()
}

/// Who judged each of the two, if not the same judge over the same outputs.
fn judges<'a>(one: &'a TaskResults, other: &'a TaskResults) -> Option<[&'a Judged; 2]> {
    let [a, b] = [one.judged.as_ref()?, other.judged.as_ref()?];
    (a.judge != b.judge || a.sha256 != b.sha256).then_some([a, b])
}

/// Who judged the two evaluations of a task, in a sentence, if not the same judge over the same outputs.
fn other_judges(name: &str, one: &TaskResults, other: &TaskResults, called: [&str; 2]) -> Option<String> {
    let [first, second] = judges(one, other)?.map(|of| format!("{} over {}", of.judge, of.baseline));
    let [a, b] = called;
    Some(format!("the win rates of {name} are not compared: by {first} in {a}, by {second} in {b}"))
}

/// How the questions of two evaluations of a task differ, if they do.
fn other_questions(old: &TaskResults, new: &TaskResults, called: [&str; 2]) -> Option<String> {
    let [old_places, new_places] = [old, new].map(places);
    let missing = |of: &TaskResults, other: &HashMap<&String, usize>| -> Vec<String> {
        of.tallies.ids.iter().filter(|id| !other.contains_key(id)).cloned().collect()
    };
    let (gone, added) = (missing(old, &new_places), missing(new, &old_places));
    if !gone.is_empty() || !added.is_empty() {
        let ([a, b], gone, added) = (called, list(&gone), list(&added));
        return Some(format!("the questions differ; only in {a}: {gone}; only in {b}: {added}"));
    }
    let hashes = |place: usize, id: &String| old.sha256.get(old_places[id]).zip(new.sha256.get(place));
    let ids = new.tallies.ids.iter().enumerate();
    let changed = ids.filter(|(place, id)| hashes(*place, id).is_some_and(|(old, new)| old != new));
    let changed: Vec<String> = changed.map(|(_, id)| id.clone()).collect();
    (!changed.is_empty()).then(|| {
        format!(
            "questions of the same name differ: {}; evaluate both on the same data, and held-out text with \
             the same tokenizer, chat template, date and length of the context",
            list(&changed)
        )
    })
}

/// The place of each question, by its id.
fn places(of: &TaskResults) -> HashMap<&String, usize> {
    of.tallies.ids.iter().enumerate().map(|(place, id)| (id, place)).collect()
}

fn of_task(
    name: &str,
    measures: &[Measure],
    old: &TaskResults,
    new: &TaskResults,
    seed: u64,
) -> Result<Vec<Difference>> {
    if let Some(what) = other_questions(old, new, FILES) {
        return Err(Error::setting("--compare", format!("{name}: {what}")));
    }
    let places = places(old);
    let mut all = Vec::new();
    for measure in measures {
        let (Some(before), Some(after)) =
            (old.tallies.of.get(measure.name), new.tallies.of.get(measure.name))
        else {
            continue;
        };
        if !share(measure.name, old, new) {
            continue;
        }
        let after: Vec<&[f64]> = after.iter().map(Vec::as_slice).collect();
        let before: Vec<&[f64]> = new.tallies.ids.iter().map(|id| before[places[id]].as_slice()).collect();
        let value = |of: &TaskResults| of.measures.get(measure.name).and_then(|measured| measured.value);
        let values = [value(old), value(new)];
        let mut difference = compare(measure, &after, &before, &new.sha256, seed);
        // Where one side is not known, such as a win rate of a single verdict, neither is the difference.
        if values.iter().any(Option::is_none) {
            let unknown = f64::NAN;
            difference = Estimate { value: unknown, low: unknown, high: unknown, ..difference };
        }
        all.push(Difference {
            task: name.to_owned(),
            measure: measure.name.to_owned(),
            values,
            difference: Measured::new(measure, &difference),
        });
    }
    Ok(all)
}

fn list(ids: &[String]) -> String {
    match ids.len() {
        0 => "none".to_owned(),
        n if n <= NAMED => ids.join(", "),
        n => format!("{}, … ({n} in all)", ids[..NAMED].join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::held_out::MEASURES;
    use crate::evaluate::table::{differences_table, results_table, verdict};

    fn task(ids: &[usize], loss: impl Fn(usize) -> f64) -> TaskResults {
        let mut gaps = vec![0.0; 15];
        gaps.push(2.0);
        let tally = |i: &usize| {
            let pair = |x: f64| vec![x, 2.0];
            let tempered = vec![2.0; 9];
            vec![pair(loss(*i)), pair(loss(*i)), pair(0.5), pair(1.0), gaps.clone(), tempered, pair(1.0)]
        };
        let tallies: Vec<_> = ids.iter().map(tally).collect();
        TaskResults::new(
            MEASURES,
            ids.iter().map(ToString::to_string).collect(),
            Vec::new(),
            &tallies,
            1.0,
            0,
        )
    }

    #[test]
    fn pairs_are_found_by_name_whatever_their_order() {
        let ids: Vec<usize> = (0..50).collect();
        let reversed: Vec<usize> = (0..50).rev().collect();
        let old = task(&ids, |i| i as f64);
        let new = task(&reversed, |i| i as f64 - if i % 2 == 0 { 0.49 } else { 0.51 });
        let found = of_task("nll:x", MEASURES, &old, &new, 0).unwrap();
        let nll = &found[0].difference;
        assert!((nll.value.unwrap() + 0.25).abs() < 1e-3 && nll.high.unwrap() < -0.24, "{nll:?}");
        assert_eq!(verdict(nll), "better");
        // Where every pair differs by the same amount the interval has no width, and is no evidence.
        let equally = task(&reversed, |i| i as f64 - 0.5);
        let same = of_task("nll:x", MEASURES, &old, &equally, 0).unwrap()[0].difference;
        assert!(same.low == same.high && verdict(&same).is_empty(), "{same:?}");
        assert_eq!(found[2].difference.value, Some(0.0));
        assert_eq!(verdict(&found[2].difference), "");
        let text = differences_table(&found);
        assert!(text.contains("-0.2500") && text.contains("better"), "{text}");
    }

    #[test]
    fn questions_of_one_name_that_differ_are_refused() {
        let hashed = |ids: &[usize], hashes: &[&str]| {
            let sha256 = hashes.iter().map(|hash| (*hash).to_owned()).collect();
            TaskResults { sha256, ..task(ids, |_| 1.0) }
        };
        let old = hashed(&[1, 2, 3], &["a", "b", "c"]);
        let compared = |new: &TaskResults| {
            let found = of_task("nll:x", MEASURES, &old, new, 0);
            assert_eq!(ask_the_same(&old, new), found.is_ok());
            found
        };
        assert!(compared(&hashed(&[3, 1, 2], &["c", "a", "b"])).is_ok());
        // A file from before there were hashes.
        assert!(compared(&hashed(&[3, 1, 2], &[])).is_ok());
        let error = compared(&hashed(&[3, 1, 2], &["c", "a", "x"])).unwrap_err().to_string();
        assert!(error.contains("nll:x: questions of the same name differ: 2; evaluate both"), "{error}");
    }

    #[test]
    fn win_rates_by_other_judges_or_over_other_outputs_are_not_compared() {
        let judged = |judge: &str, baseline: &str, sha256: &str| {
            let mut task = task(&[1, 2, 3], |_| 1.0);
            let [judge, baseline, sha256] = [judge, baseline, sha256].map(str::to_owned);
            task.judged = Some(Judged { judge, baseline, sha256 });
            task.tallies.of.insert(judge::WIN_RATE.name.to_owned(), vec![vec![1.0, 1.0]; 3]);
            task
        };
        let measures = [judge::WIN_RATE, MEASURES[0]];
        let named = |old: &TaskResults, new: &TaskResults| {
            let found = of_task(judge::TASK, &measures, old, new, 0).unwrap();
            found.into_iter().map(|found| found.measure).collect::<Vec<_>>()
        };
        let one = judged("local:a", "them.json", "0");
        assert_eq!(named(&one, &judged("local:a", "moved.json", "0")), ["win_rate", "nll"]);
        // Neither file has a rate, though both have verdicts.
        assert_eq!(of_task(judge::TASK, &measures, &one, &one, 0).unwrap()[0].difference.value, None);
        assert_eq!(named(&one, &judged("local:b", "them.json", "0")), ["nll"]);
        assert_eq!(named(&one, &judged("local:a", "them.json", "1")), ["nll"]);
        // A file from before the judge was stored.
        let unknown = TaskResults { judged: None, ..one.clone() };
        assert_eq!(named(&unknown, &judged("local:b", "them.json", "0")), ["win_rate", "nll"]);
    }

    #[test]
    fn what_is_not_compared_is_said() {
        let hashed = || TaskResults { sha256: vec!["a".to_owned()], ..task(&[1], |_| 1.0) };
        let results = |tasks: &[&str], chat_template: Option<&str>| Results {
            model: "m".to_owned(),
            adapter: None,
            precision: "f32".to_owned(),
            seed: 0,
            limit: None,
            chat_template: chat_template.map(str::to_owned),
            tasks: tasks.iter().map(|name| ((*name).to_owned(), hashed())).collect(),
        };
        let one = results(&["nll:x", "nll:y"], None);
        assert!(unshared(&one, &one).is_empty());
        let judged = |judge: &str| {
            let mut results = results(&["alpaca-eval"], None);
            let [judge, baseline, sha256] = [judge, "them.json", "0"].map(str::to_owned);
            results.tasks[0].judged = Some(Judged { judge, baseline, sha256 });
            results
        };
        assert!(unshared(&judged("local:a"), &judged("local:a")).is_empty());
        assert_eq!(
            unshared(&judged("local:a"), &judged("local:b")),
            [
                "the win rates of alpaca-eval are not compared: by local:a over them.json in the first file, by local:b \
              over them.json in the second file"
            ]
        );
        assert_eq!(
            without_gain(&judged("local:b"), &judged("local:a")),
            [
                "the win rates of alpaca-eval are not compared: by local:a over them.json in the baseline, by local:b \
              over them.json in this evaluation"
            ]
        );
        let mut unknown = results(&["nll:x", "nll:y"], Some("ab"));
        unknown.tasks.values_mut().for_each(|task| task.sha256.clear());
        assert!(unshared(&one, &unknown).is_empty());
        assert_eq!(
            unshared(&one, &results(&["nll:y", "nll:z"], Some("ab"))),
            [
                "only in the first file and not compared: nll:x",
                "only in the second file and not compared: nll:z",
                "the two evaluations had different chat templates"
            ]
        );
    }

    #[test]
    fn other_questions_are_refused_by_name() {
        let (old, new) = (task(&[1, 2, 3], |_| 1.0), task(&[2, 3, 4], |_| 1.0));
        let error = of_task("nll:x", MEASURES, &old, &new, 0).unwrap_err().to_string();
        assert!(error.contains("only in the first file: 1; only in the second file: 4"), "{error}");
        let of = |task: &TaskResults| Results {
            model: "m".to_owned(),
            adapter: None,
            precision: "f32".to_owned(),
            seed: 0,
            limit: None,
            chat_template: None,
            tasks: [("nll:x".to_owned(), task.clone())].into(),
        };
        assert_eq!(
            without_gain(&of(&new), &of(&old)),
            ["nll:x has no gain: the questions differ; only in the baseline: 1; only in this evaluation: 4"]
        );
        assert!(without_gain(&of(&old), &of(&old)).is_empty());
        let is_gain = |line: &str| line.ends_with('%');
        assert!(results_table(&of(&old), Some(&of(&old))).lines().any(is_gain));
        assert!(!results_table(&of(&new), Some(&of(&old))).lines().any(is_gain));
        let (old, new) = (task(&(0..30).collect::<Vec<_>>(), |_| 1.0), task(&[], |_| 1.0));
        let error = of_task("nll:x", MEASURES, &old, &new, 0).unwrap_err().to_string();
        assert!(error.contains("8, 9, … (30 in all); only in the second file: none"), "{error}");
    }
}
