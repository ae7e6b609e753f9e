//! The committed plan: on which settings the program is asked, and how.

use anyhow::{Context as _, Result};
use serde::Deserialize;
use std::collections::BTreeMap;

/// `paper/plans/proof.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The fingerprint of the program that recommends; empty while the plan is a draft.
    pub diagnose: String,
    /// The last commit that has these sources.
    pub commit: String,
    /// What decides: `--measure`.
    pub measure: String,
    /// Settings in the oracle language.
    pub oracle: OracleSettings,
    /// Settings of the study's model.
    pub real: RealSettings,
    /// What is done, by size.
    pub sizes: BTreeMap<String, Size>,
}

/// Settings in the oracle language.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OracleSettings {
    /// First and last seed, each one setting.
    pub seeds: [u64; 2],
    /// Capabilities, from 1.
    pub from: Vec<usize>,
    /// Splits of post-training data.
    pub splits: Vec<String>,
    /// Candidates: arms of the oracle study.
    pub arms: Vec<String>,
    /// Right rows that are held out.
    pub held_out: u64,
    /// Documents whose gradients are measured.
    pub documents: i64,
}

/// Settings of the study's model.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RealSettings {
    /// How many of the study's main seeds.
    pub seeds: u64,
    /// Names of the study's data.
    pub data: Vec<String>,
    /// Candidates: arms of the study.
    pub arms: Vec<String>,
}

/// What is done at one size.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Size {
    /// Number of settings in the oracle language.
    pub oracle: usize,
    /// Number of settings of the study's model.
    pub real: usize,
    /// Steps of a race's longest runs.
    pub race_steps: i64,
}

impl Plan {
    /// The plan as committed.
    pub fn load() -> Result<Self> {
        toml::from_str(include_str!("../../plans/proof.toml")).context("paper/plans/proof.toml")
    }
}
