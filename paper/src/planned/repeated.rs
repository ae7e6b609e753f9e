//! Kept runs, done again: whether the program finds today what is kept of them.

use super::outcomes::Measured as _;
use super::{Outcomes, PlannedRuns, Stage};
use crate::lab::Lab;
use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// So many of the results' kept runs, from the first to the last evenly.
pub fn choose<S: PlannedRuns>(study: &S, kept: &Outcomes<S::Found>, runs: usize) -> Result<Vec<S::Cell>> {
    let mut cells = study.cells(Stage::Main)?;
    cells.retain(|cell| kept.has(&cell.to_string()));
    ensure!(!cells.is_empty(), "{} keeps no run of the results yet", S::KEPT);
    let (all, runs) = (cells.len(), runs.min(cells.len()));
    let chosen: Vec<usize> = (0..runs).map(|at| at * (all - 1) / (runs - 1).max(1)).collect();
    let numbered = cells.into_iter().enumerate().filter(|(at, _)| chosen.contains(at));
    Ok(numbered.map(|(_, cell)| cell).collect())
}

/// The first measure by which a run that a lab has done differs from what is kept of it, and where that is from.
pub fn difference<S: PlannedRuns>(
    study: &S,
    kept: &Outcomes<S::Found>,
    cell: &S::Cell,
    lab: &Lab,
) -> Result<Option<String>> {
    let run = cell.to_string();
    let mut was = kept.get(&run).with_context(|| format!("{} does not keep {run}", S::KEPT))?.clone();
    let found = study.found(cell, lab)?.with_context(|| format!("{run} is not done"))?.found;
    // What is not kept yet is no difference.
    was.complete(found.clone());
    let difference = first("", &serde_json::to_value(was)?, &serde_json::to_value(found)?);
    Ok(difference.zip(kept.origin(&run)).map(|(difference, origin)| format!("{difference} ({origin})")))
}

/// The first place where two values differ.
fn first(place: &str, kept: &Value, found: &Value) -> Option<String> {
    match (kept, found) {
        (Value::Object(kept), Value::Object(found)) => {
            let mut names = kept.keys().chain(found.keys().filter(|name| !kept.contains_key(*name)));
            let value = |of: &serde_json::Map<_, Value>, name| of.get(name).cloned().unwrap_or_default();
            names.find_map(|name| first(&format!("{place}/{name}"), &value(kept, name), &value(found, name)))
        }
        (Value::Array(kept), Value::Array(found)) if kept.len() == found.len() => kept
            .iter()
            .zip(found)
            .enumerate()
            .find_map(|(at, (kept, found))| first(&format!("{place}/{at}"), kept, found)),
        _ if kept == found => None,
        _ => Some(format!("{place} is {found}, and {kept} is kept")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::queue::{self, Shard};
    use crate::oracle::Work;
    use crate::{Profile, planned::Outcome};
    use serde_json::json;

    #[test]
    fn the_first_difference_is_named_with_both_values() {
        let value = json!({ "right": [[1.0, 2.0], [0.0, 2.0]], "loss": { "test": 0.5 } });
        assert_eq!(first("", &value, &value), None);
        let mut other = value.clone();
        other["right"][1][0] = json!(1.0);
        assert_eq!(first("", &value, &other).unwrap(), "/right/1/0 is 1.0, and 0.0 is kept");
        other = value.clone();
        other["more"] = json!(3);
        assert_eq!(first("", &value, &other).unwrap(), "/more is 3, and null is kept");
        assert_eq!(first("", &json!([1]), &json!([1, 2])).unwrap(), " is [1,2], and [1] is kept");
    }

    #[test]
    fn runs_done_again_are_compared_with_what_is_kept() -> Result<()> {
        let (study, lab) = (Work::of(Profile::Smoke)?, Lab::fixture()?);
        let all = study.cells(Stage::Main)?;
        let mut kept = Outcomes::default();
        assert!(choose(&study, &kept, 3).is_err());
        let some: Vec<_> = all.iter().step_by(2).collect();
        for cell in &some {
            queue::run(&lab, &study.jobs_of(cell)?, Shard::ALL, 1, &|_| {})?;
            study.add_cell(&mut kept, cell, &lab)?;
        }
        let chosen = choose(&study, &kept, 2)?;
        let names: Vec<String> = chosen.iter().map(ToString::to_string).collect();
        assert_eq!(names, [some[0].to_string(), some[some.len() - 1].to_string()]);
        assert_eq!(choose(&study, &kept, 1000)?.len(), some.len());
        assert_eq!(difference(&study, &kept, &chosen[0], &lab)?, None);

        // What another run found, under this one's name.
        let other = kept.get(&names[1]).context("it is kept")?.clone();
        let (run, commit, date) = (names[0].clone(), String::new(), String::new());
        let mut kept = Outcomes::default();
        let settings = String::new();
        kept.add(Outcome { run, settings, seconds: 1.0, commit, date, processor: None, found: other });
        let difference = difference(&study, &kept, &chosen[0], &lab)?.context("it differs")?;
        assert!(difference.starts_with("/sets/"), "{difference}");
        let origin = " is kept (commit , , a processor that is not known)";
        assert!(difference.ends_with(origin), "{difference}");
        Ok(())
    }
}
