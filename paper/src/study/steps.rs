//! How long a training run's steps took, from its `timing.jsonl`.

use crate::read;
use anyhow::{Context as _, Result};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;
use tokensieve_base::statistics::{Estimate, bootstrap, quantile};
use tokensieve_base::streams::Stream;

/// Bootstrap samples of an interval.
const RESAMPLINGS: usize = 1000;

#[derive(Deserialize)]
struct Line {
    seconds: f64,
    tokens_per_second: f64,
    #[serde(default)]
    phases: BTreeMap<String, f64>,
}

/// Seconds per thousand tokens read: the whole step and its phases, median over steps with its 95 % bootstrap interval.
pub fn per_thousand_tokens(path: &Path) -> Result<BTreeMap<String, Estimate>> {
    let lines: Vec<Line> = read::json_lines(path)?;
    let mut phases: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for line in &lines {
        let thousands = line.seconds * line.tokens_per_second / 1000.0;
        phases.entry("step".into()).or_default().push(line.seconds / thousands);
        for (phase, seconds) in &line.phases {
            phases.entry(phase.clone()).or_default().push(seconds / thousands);
        }
    }
    let median = |(name, values): (String, Vec<f64>)| {
        let mut stream = Stream::new(0, &name);
        let found = bootstrap(&values, RESAMPLINGS, &mut stream, |values| quantile(values, 0.5));
        Ok((name, found.with_context(|| format!("{}: no steps", path.display()))?))
    };
    phases.into_iter().map(median).collect()
}
