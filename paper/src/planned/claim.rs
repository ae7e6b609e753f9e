//! A claim as a plan declares it.

use crate::claim::Evidence;
use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// A claim, before the runs that decide it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Declared {
    /// Its name: `masked-lowers-kl`.
    pub id: String,
    /// Who claims it: `A, section 3`, or `ours`.
    pub source: String,
    /// The claim.
    pub statement: String,
    /// What is measured: a term of the study.
    pub of: toml::Table,
    /// What it is compared with: keys that differ from `of`'s.
    pub versus: toml::Table,
    /// Whether the difference is claimed to be above or below zero.
    pub expected: Side,
    /// What kind of evidence its test is, where a study has several.
    pub evidence: Option<Evidence>,
    /// The smallest difference that matters: closer to zero, both are practically equal.
    pub matters: f64,
}

impl Declared {
    /// A plan's claim by its name.
    pub fn of<'a>(claims: &'a [Self], id: &str) -> Result<&'a Self> {
        let found = claims.iter().find(|claim| claim.id == id);
        found.with_context(|| format!("the plan has no claim `{id}`"))
    }

    /// What is measured, and what it is compared with.
    pub fn terms<T: DeserializeOwned>(&self) -> Result<[T; 2]> {
        let mut versus = self.of.clone();
        versus.extend(self.versus.clone());
        let term = |table: toml::Table| table.try_into::<T>().with_context(|| format!("claim {}", self.id));
        Ok([term(self.of.clone())?, term(versus)?])
    }
}

/// A side of zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// Above.
    Above,
    /// Below.
    Below,
}
