//! What `tokensieve evaluate` writes about a model.
//!
//! Every measure is a ratio of two sums over questions: right answers by questions, nats by tokens.

use anyhow::{Context as _, Result};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The task whose replies a judge compares.
pub const JUDGED: &str = "alpaca-eval";

/// The measures of a task that figures read: name, and whether it is a share of right answers. The first is the
/// task's headline.
pub fn measures(task: &str) -> Vec<(&'static str, bool)> {
    match task {
        _ if task.starts_with("nll:") => vec![("nll", false)],
        "gsm8k" | "arithmetic" => vec![("strict", true)],
        "arithmetic-words" => vec![("number", true)],
        "figfont" | "cipher" => vec![("exact", true)],
        "ifeval" => vec![("instruction-strict", true)],
        "instructions" => vec![("each", true)],
        "alpaca-overlap" => vec![("chrf", true)],
        JUDGED => vec![("win_rate", true)],
        _ => vec![("acc", true)],
    }
}

/// Per question `[numerator, denominator]` of one measure.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tallies {
    /// Questions' names.
    pub ids: Vec<String>,
    /// One pair per question.
    pub pairs: Vec<[f64; 2]>,
    /// Characters of each reply, where the measure counts them.
    pub lengths: Vec<f64>,
    /// Characters of what a judge compared it with.
    pub baseline_lengths: Vec<f64>,
}

impl Tallies {
    /// Of documents by their rows in the data.
    pub fn of(documents: impl IntoIterator<Item = (usize, [f64; 2])>) -> Self {
        let documents = documents.into_iter().map(|(row, pair)| (row.to_string(), pair));
        let (ids, pairs) = documents.unzip();
        Self { ids, pairs, ..Self::default() }
    }

    /// The measure itself.
    pub fn value(&self) -> Option<f64> {
        ratio(self.pairs.iter())
    }
}

/// One model's evaluation: a task's tallies by the measure's name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evaluation(BTreeMap<String, BTreeMap<String, Tallies>>);

#[derive(Deserialize)]
struct RawEvaluation {
    tasks: BTreeMap<String, RawTask>,
}

#[derive(Deserialize)]
struct RawTask {
    tallies: BTreeMap<String, serde_json::Value>,
}

impl Evaluation {
    /// Reads what `tokensieve evaluate` wrote.
    pub fn read(path: &Path) -> Result<Self> {
        let context = || format!("reading {}", path.display());
        let text = fs::read_to_string(path).with_context(context)?;
        let raw: RawEvaluation = serde_json::from_str(&text).with_context(context)?;
        let tasks = raw.tasks.into_iter().map(|(name, task)| {
            let tallies = tallies(task.tallies).with_context(|| format!("task {name}"))?;
            Ok((name, tallies))
        });
        Ok(Self(tasks.collect::<Result<_>>().with_context(context)?))
    }

    /// The tallies of a task's headline measure.
    pub fn headline(&self, task: &str) -> Result<&Tallies> {
        let there = self.0.get(task).with_context(|| format!("the evaluation lacks the task {task}"))?;
        let wanted = measures(task);
        let found = wanted.iter().find_map(|(measure, _)| there.get(*measure));
        found.with_context(|| {
            let known: Vec<&str> = there.keys().map(String::as_str).collect();
            format!("{task} has the measures {}, not {}", known.join(", "), wanted[0].0)
        })
    }

    /// Names of its tasks.
    pub fn tasks(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

fn tallies(mut raw: BTreeMap<String, serde_json::Value>) -> Result<BTreeMap<String, Tallies>> {
    let ids = raw.remove("ids").context("no ids")?;
    let ids: Vec<String> = match ids {
        serde_json::Value::Array(ids) => {
            ids.into_iter().map(|id| id.as_str().map_or_else(|| id.to_string(), String::from)).collect()
        }
        other => anyhow::bail!("ids are {other}, not a list"),
    };
    // Of replies that a judge compared: both lengths.
    let compared: Vec<[f64; 2]> =
        raw.remove("lengths").map(serde_json::from_value).transpose()?.unwrap_or_default();
    let one = |(name, value): (String, serde_json::Value)| {
        let rows: Vec<Vec<f64>> = serde_json::from_value(value).ok()?;
        let pairs =
            rows.iter().map(|row| if name == "chrf" { shared(row) } else { row.as_slice().try_into().ok() });
        // A measure that is no ratio of two sums is none of those that figures read.
        let pairs = pairs.collect::<Option<Vec<[f64; 2]>>>()?;
        let lengths = match name.as_str() {
            // The first count is that of the reply's single characters.
            "chrf" => rows.iter().map(|row| row[0]).collect(),
            _ => compared.iter().map(|[own, _]| *own).collect(),
        };
        let baseline_lengths = compared.iter().map(|[_, baseline]| *baseline).collect();
        Some((name, Tallies { ids: ids.clone(), pairs, lengths, baseline_lengths }))
    };
    Ok(raw.into_iter().filter_map(one).collect())
}

/// Overlap as a ratio of sums: of each order of n-grams come those of the reply, of the reference, and those in both; twice
/// the last over the first two (Dice), all orders together. chrF averages the orders instead and so is no ratio of sums.
fn shared(counts: &[f64]) -> Option<[f64; 2]> {
    let orders = counts.chunks_exact(3);
    let known = orders.remainder().is_empty();
    let sums = orders.fold([0.0; 2], |sums, order| [sums[0] + 2.0 * order[2], sums[1] + order[0] + order[1]]);
    known.then_some(sums)
}

/// The sum of numerators over the sum of denominators, if it is a number.
pub(crate) fn ratio<'a>(pairs: impl Iterator<Item = &'a [f64; 2]>) -> Option<f64> {
    let [numerator, denominator] = pairs.fold([0.0; 2], |sums, pair| [sums[0] + pair[0], sums[1] + pair[1]]);
    let ratio = numerator / denominator;
    ratio.is_finite().then_some(ratio)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evaluations_are_read_as_they_are_written() -> Result<()> {
        let path = std::env::temp_dir().join(format!("tokensieve-evaluation-{}", std::process::id()));
        let text = r#"{"model":"m","tasks":{
            "gsm8k":{"n":2,"tallies":{"ids":["a","b"],"strict":[[1,1],[0,1]],"ece":[[1,2,3],[1,2,3]]}},
            "alpaca-overlap":{"n":1,"tallies":{"ids":["0"],"chrf":[[4,6,3,2,4,1]]}}}}"#;
        fs::write(&path, text)?;
        let found = Evaluation::read(&path)?;
        assert_eq!(found.headline("gsm8k")?.value(), Some(0.5));
        // 2·(3 + 1) / (4 + 6 + 2 + 4)
        let overlap = found.headline("alpaca-overlap")?;
        assert_eq!((overlap.value(), &overlap.lengths), (Some(0.5), &vec![4.0]));
        let error = found.headline("ifeval").unwrap_err().to_string();
        assert!(error.contains("lacks the task ifeval"), "{error}");
        fs::remove_file(&path)?;
        Ok(())
    }
}
