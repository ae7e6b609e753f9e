//! The committed plan: what is run.

use crate::planned::{Declared, PLAIN, Rate, Reference, Seeds, Stage};
use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// `paper/plans/oracle.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The configuration's table `model.init`, without its seed.
    pub model: toml::Table,
    /// Data type that models are trained in.
    pub dtype: String,
    /// How models are pretrained.
    pub pretraining: Pretraining,
    /// How they are trained further.
    pub post_training: PostTraining,
    /// Seeds of each stage.
    pub seeds: Seeds,
    /// How much of it is run, by name.
    pub sizes: BTreeMap<String, Size>,
    /// What is run.
    pub groups: Vec<Group>,
    /// Where proxies of ignorance are compared.
    pub proxies: Proxies,
    /// Learning rates to choose from.
    pub tuning: Tuning,
    /// Post-training data by name.
    pub data: BTreeMap<String, Data>,
    /// Ways to train by name.
    pub arms: BTreeMap<String, Arm>,
    /// The primary claims: one family, corrected by Holm.
    pub claims: Vec<Declared>,
}

/// How models are pretrained.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pretraining {
    /// Documents per step.
    pub batch: u64,
    /// Learning rate.
    pub rate: f64,
}

/// How they are trained further.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostTraining {
    /// Documents per step.
    pub batch: u64,
}

/// How much of it is run.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Size {
    /// Documents of pretraining.
    pub pretraining_rows: u64,
    /// The steps of pretraining after which there is a model, the least capable first.
    pub checkpoints: Vec<u64>,
    /// Documents of post-training.
    pub rows: u64,
    /// The steps of post-training after which models are measured besides the last.
    pub looks: Vec<u64>,
    /// Documents of each set that models are measured on.
    pub evaluation_rows: u64,
    /// Stochastic passes for estimates of uncertainty.
    pub passes: u64,
    /// Whether of each group only the first capability and the first data are run.
    #[serde(default)]
    pub first_only: bool,
}

/// Arms that are crossed with capabilities and data.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// What it is for.
    pub name: String,
    /// Names of arms.
    pub arms: Vec<String>,
    /// Capabilities, from 1.
    pub from: Vec<usize>,
    /// Names of data.
    pub data: Vec<String>,
    /// How large the steps of the arms are.
    #[serde(default)]
    pub rate: Rate,
    /// When models are measured.
    #[serde(default)]
    pub looks: Looks,
    /// Number of seeds by size.
    pub seeds: BTreeMap<String, u64>,
}

/// When the models of a group are measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Looks {
    /// After training.
    #[default]
    Last,
    /// Before training, on the way, and after it.
    Way,
    /// Before training only.
    Before,
}

/// Where proxies of ignorance are compared: before post-training.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proxies {
    /// Capabilities, from 1.
    pub from: Vec<usize>,
    /// Names of data.
    pub data: Vec<String>,
    /// Places of dropout, one proxy each.
    pub places: Vec<String>,
    /// Adapters of an ensemble.
    pub members: u64,
    /// Their rank.
    pub rank: i64,
    /// Their steps.
    pub steps: u64,
    /// Their learning rate.
    pub rate: f64,
    /// Number of seeds by size.
    pub seeds: BTreeMap<String, u64>,
}

/// Learning rates to choose from.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tuning {
    /// The candidates of every arm.
    pub rates: Vec<f64>,
    /// Capabilities, from 1.
    pub from: Vec<usize>,
    /// Names of data.
    pub data: Vec<String>,
}

/// A way to train.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arm {
    /// The configuration's table `objective`.
    pub objective: toml::Table,
    /// The model or distribution that the objective compares with.
    #[serde(default)]
    pub reference: Reference,
    /// Whether the objective reads estimates of uncertainty.
    #[serde(default)]
    pub estimates: bool,
    /// How many times as many steps as the others.
    #[serde(default = "once")]
    pub steps: f64,
    /// Ranks of the adapter that is trained instead of all weights, in equal parts of the run.
    #[serde(default)]
    pub ranks: Vec<i64>,
    /// The learning rate, chosen on the tuning seeds unless it is fixed.
    pub rate: f64,
    /// Whether the rate follows from another arm's.
    #[serde(default)]
    pub fixed_rate: bool,
    /// What decides the choice.
    #[serde(default)]
    pub tuned_by: Quantity,
}

fn once() -> f64 {
    1.0
}

/// Post-training data.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// The split of the oracle language.
    pub split: String,
    /// Different rows, gone over until the steps are done; all by default.
    pub rows: Option<u64>,
}

/// What is measured of which runs: a term of a sum.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Term {
    /// The arm.
    pub arm: String,
    /// The capability that it starts from, from 1.
    pub from: usize,
    /// The name of its data.
    pub data: String,
    /// How large its steps are.
    #[serde(default)]
    pub rate: Rate,
    /// The step after which the model is measured (0: before training); the last by default.
    pub look: Option<u64>,
    /// The set of documents.
    pub set: String,
    /// The same measure of this set is subtracted.
    pub minus: Option<String>,
    /// The group of tokens.
    pub group: String,
    /// The measure.
    pub of: Quantity,
}

/// One post-training run.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// The seed of world, data, initial weights and order.
    pub seed: u64,
    /// The capability that it starts from, from 1.
    pub from: usize,
    /// The name of its data.
    pub data: String,
    /// The name of its arm.
    pub arm: String,
    /// How large its steps are.
    pub rate: Rate,
    /// The step after which the model is measured (0: before training); the last if none is named.
    pub look: Option<u64>,
}

impl Cell {
    /// Plain training in its place.
    pub(super) fn plain(&self) -> Self {
        Self { arm: PLAIN.into(), rate: Rate::Tuned, look: None, ..self.clone() }
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, from, data, arm, rate, look } = self;
        write!(formatter, "oracle {data} {arm} {rate} from {from}")?;
        if let Some(step) = look {
            write!(formatter, " after {step}")?;
        }
        write!(formatter, " seed {seed}")
    }
}

/// A measure of a group of tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quantity {
    /// KL(truth ‖ model) in nats, mean over tokens.
    #[default]
    Kl,
    /// −log p of the written token, in nats.
    Loss,
    /// Entropy of the model's prediction, in nats.
    Entropy,
    /// Distance of that entropy from the true one, in nats.
    EntropyGap,
    /// Probability of the written token.
    Probability,
    /// Share of tokens where the model's most probable token is the most probable in truth.
    Right,
    /// Share of the group's tokens that are among the quarter of the set's tokens with the largest loss.
    Selected,
    /// Spearman's correlation of the loss with KL(truth ‖ model).
    LossRank,
    /// Spearman's correlation of the model's entropy with KL(truth ‖ model).
    EntropyRank,
    /// How well the loss finds the quarter of the group's tokens with the largest KL(truth ‖ model): area under the curve.
    LossArea,
    /// How well the model's entropy finds them.
    EntropyArea,
}

impl Quantity {
    /// Whether it is a correlation or an area, not a mean over tokens.
    pub fn is_rank(self) -> bool {
        self > Self::Selected
    }
}

impl Plan {
    /// The plan as committed.
    pub fn load() -> Result<Self> {
        Self::parse(include_str!("../../plans/oracle.toml")).context("paper/plans/oracle.toml")
    }

    fn parse(text: &str) -> Result<Self> {
        let plan: Self = toml::from_str(text)?;
        for group in &plan.groups {
            let Group { name, arms, data, from, seeds, .. } = group;
            for arm in arms {
                ensure!(plan.arms.contains_key(arm), "group {name}: there is no arm `{arm}`");
            }
            for set in data {
                ensure!(plan.data.contains_key(set), "group {name}: there is no data `{set}`");
            }
            let main = plan.seeds.of(Stage::Main).len() as u64;
            for (size, count) in seeds {
                let of = plan.sizes.get(size);
                let size = of.with_context(|| format!("group {name}: there is no size `{size}`"))?;
                let known = |at: &usize| (1..=size.checkpoints.len()).contains(at);
                ensure!(from.iter().all(known), "group {name}: there is no such capability");
                ensure!(*count <= main, "group {name}: there are not so many main seeds");
            }
        }
        for claim in &plan.claims {
            for Term { arm, data, .. } in claim.terms::<Term>()? {
                let known = plan.arms.contains_key(&arm) && plan.data.contains_key(&data);
                ensure!(known, "claim {}: there is no arm `{arm}` or no data `{data}`", claim.id);
            }
        }
        Ok(plan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_says_what_differs() {
        let plan = Plan::load().unwrap();
        assert!(plan.claims.len() <= 12);
        for claim in &plan.claims {
            let [of, versus] = claim.terms::<Term>().unwrap();
            assert_ne!(of, versus, "{}", claim.id);
            assert!(claim.matters > 0.0);
        }
    }
}
