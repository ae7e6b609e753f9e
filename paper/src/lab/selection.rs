//! Which kinds of tokens a training run selected, from its `selection.jsonl`.

use super::outcome::RESAMPLINGS;
use anyhow::{Context as _, Result};
use serde::{Deserialize, de::DeserializeOwned};
use std::collections::BTreeMap;
use std::path::Path;
use tokensieve_toy::rng::Stream;
use tokensieve_toy::statistics::{Estimate, bootstrap};

/// Kinds of tokens, each of several classes of the trainer's.
pub const KINDS: [&str; 4] = ["structural", "arithmetic", "words", "other"];

fn kind(class: &str) -> &'static str {
    match class {
        "punctuation" | "space" | "special" => KINDS[0],
        "number" | "operator" => KINDS[1],
        "word" | "continuation" => KINDS[2],
        _ => KINDS[3],
    }
}

#[derive(Deserialize)]
struct Line {
    all: BTreeMap<String, u64>,
    selected: BTreeMap<String, u64>,
}

/// A kind of token in a part of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Found {
    /// The part, from 1.
    pub part: usize,
    /// Its steps.
    pub steps: usize,
    /// The kind.
    pub kind: &'static str,
    /// Its share of the selected tokens, with the interval over the part's steps.
    pub selected: Estimate,
    /// Its share of all tokens.
    pub of_all: f64,
}

/// Every kind in every one of `parts` equal parts of a run.
pub fn parts(path: &Path, parts: usize) -> Result<Vec<Found>> {
    let lines: Vec<Line> = read_lines(path)?;
    let mut all = Vec::new();
    for part in 0..parts {
        let steps = &lines[part * lines.len() / parts..(part + 1) * lines.len() / parts];
        for name in KINDS {
            // Per step: tokens of the kind, and all.
            let counts = |of: fn(&Line) -> &BTreeMap<String, u64>| -> Vec<[f64; 2]> {
                let count = |line: &Line| {
                    let of_kind =
                        of(line).iter().filter(|(class, _)| kind(class) == name).map(|(_, n)| n).sum::<u64>();
                    [of_kind as f64, of(line).values().sum::<u64>() as f64]
                };
                steps.iter().map(count).collect()
            };
            let share = |steps: &[[f64; 2]]| {
                let sum = |at: usize| steps.iter().map(|step| step[at]).sum::<f64>();
                let share = sum(0) / sum(1);
                share.is_finite().then_some(share)
            };
            let mut stream = Stream::new(0, &format!("selection/{part}/{name}"));
            // A run of fewer steps than parts leaves some parts empty.
            let Some(selected) = bootstrap(&counts(|line| &line.selected), RESAMPLINGS, &mut stream, share)
            else {
                continue;
            };
            let of_all = share(&counts(|line| &line.all)).unwrap_or(0.0);
            all.push(Found { part: part + 1, steps: steps.len(), kind: name, selected, of_all });
        }
    }
    Ok(all)
}

/// The lines of a JSONL file.
pub(super) fn read_lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let line = |(at, line): (usize, &str)| {
        serde_json::from_str(line).with_context(|| format!("{}, line {}", path.display(), at + 1))
    };
    text.lines().enumerate().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_the_selected_and_parts_follow_each_other() -> Result<()> {
        let path = std::env::temp_dir().join(format!("tokensieve-selection-{}", std::process::id()));
        let line = |numbers: u64, signs: u64| {
            format!(
                r#"{{"step":1,"all":{{"number":5,"punctuation":15}},"selected":{{"number":{numbers},"punctuation":{signs}}}}}"#
            )
        };
        std::fs::write(&path, [line(1, 3), line(1, 3), line(3, 1), line(3, 1)].join("\n"))?;
        let found = parts(&path, 2)?;
        let share =
            |part, kind| found.iter().find(|f| f.part == part && f.kind == kind).map(|f| f.selected.value);
        assert_eq!([share(1, "arithmetic"), share(2, "arithmetic")], [Some(0.25), Some(0.75)]);
        assert_eq!([share(1, "structural"), share(2, "structural")], [Some(0.75), Some(0.25)]);
        assert!(found.iter().filter(|f| f.kind == "arithmetic").all(|f| (f.of_all - 0.25).abs() < 1e-12));
        std::fs::write(&path, "{\"step\"")?;
        assert!(format!("{:#}", parts(&path, 2).unwrap_err()).contains("line 1"));
        std::fs::remove_file(&path)?;
        Ok(())
    }
}
