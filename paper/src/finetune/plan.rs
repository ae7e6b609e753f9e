//! The committed plan: what is run.

use super::measures::Quantity;
use crate::Profile;
use crate::claim::{Evidence, OURS};
use crate::planned::{Declared, PLAIN, Rate, Reference, Seeds, Stage, size};
use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;

/// `paper/plans/study.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The model that is fine-tuned.
    pub model: String,
    /// Data type that it is trained in.
    pub dtype: String,
    /// What all runs have in common.
    pub training: Training,
    /// Seeds of each stage.
    pub seeds: Seeds,
    /// How much of it is run, by name.
    pub sizes: BTreeMap<String, Size>,
    /// Models that are trained before they are fine-tuned, by name.
    pub bases: BTreeMap<String, Base>,
    /// What is run.
    pub groups: Vec<Group>,
    /// Models whose held-out tokens are scored one by one.
    pub scored: Scored,
    /// How learning rates are chosen.
    pub tuning: Tuning,
    /// What was chosen: learning rates by the data on which they were tuned, and by arm.
    pub rates: BTreeMap<String, BTreeMap<String, f64>>,
    /// What is trained on, by name.
    pub data: BTreeMap<String, Data>,
    /// Ways to train, by name.
    pub arms: BTreeMap<String, Arm>,
    /// The primary claims: one family, corrected by Holm.
    pub claims: Vec<Declared>,
}

/// What all runs have in common.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// Documents per step.
    pub batch: u64,
    /// Longest document, in tokens: longer ones are cut at the end.
    pub max_tokens: u64,
}

/// How much of it is run.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Size {
    /// The model that is fine-tuned, if it is another one than the plan's.
    pub model: Option<String>,
    /// Documents that a run goes over once.
    pub rows: u64,
    /// Documents of each held-out set.
    pub held_out: u64,
    /// Questions of each task.
    pub questions: u64,
    /// Main seeds of what the primary claims compare.
    pub claimed: u64,
    /// Documents per step, if fewer than the plan says.
    pub batch: Option<u64>,
    /// Held-out documents whose tokens are scored one by one.
    pub scored: u64,
    /// Stochastic passes over these.
    pub passes: u64,
    /// Steps after which they are scored on the way.
    pub looks: Vec<u64>,
    /// Whether of each group only the first data and the first two arms are run.
    #[serde(default)]
    pub first_only: bool,
}

/// A model that is trained before it is fine-tuned: all its weights, by maximum likelihood.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Base {
    /// The name of its data.
    pub data: String,
    /// The seed of its data.
    pub seed: u64,
    /// Learning rate.
    pub rate: f64,
    /// Documents by size.
    pub rows: BTreeMap<String, u64>,
}

/// Arms that are crossed with data.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// What it is for.
    pub name: String,
    /// Names of arms.
    pub arms: Vec<String>,
    /// Names of data.
    pub data: Vec<String>,
    /// How large the steps of the arms are.
    #[serde(default)]
    pub rate: Rate,
    /// Number of seeds by size.
    pub seeds: BTreeMap<String, u64>,
}

/// Models whose held-out tokens are scored one by one.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scored {
    /// Names of data.
    pub data: Vec<String>,
    /// Names of arms.
    pub arms: Vec<String>,
    /// The first of the main seeds.
    pub seeds: u64,
    /// Those of them that are scored on their way, too.
    pub way: Vec<String>,
    /// Where dropout acts.
    pub places: Vec<String>,
}

/// How learning rates are chosen.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tuning {
    /// The candidates of every arm, unless there are others for its data.
    pub rates: Vec<f64>,
    /// Which arms are tuned on which data, by the data's name.
    pub on: BTreeMap<String, TunedOn>,
}

/// What is tuned on some data.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TunedOn {
    /// The task, or the set of documents, that decides.
    pub set: String,
    /// The measure that decides.
    pub by: Quantity,
    /// The candidates, if they are others.
    pub rates: Option<Vec<f64>>,
    /// Names of arms.
    pub arms: Vec<String>,
}

/// What is trained on, and what models are measured by.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// The base that is trained on them; the plan's model by default.
    pub base: Option<String>,
    /// What `tokensieve make` makes them of.
    pub make: String,
    /// The split of training documents.
    pub split: String,
    /// The split of held-out documents.
    pub test: String,
    /// Seeds, from 0 on, that there are rows for, of which each takes its own; generated data have no end.
    pub seeds: Option<u64>,
    /// The data on which arms were tuned for these.
    pub rates: String,
    /// Documents, if fewer than the size says.
    pub rows: Option<u64>,
    /// Documents of each held-out set, if fewer than the size says.
    pub held_out: Option<u64>,
    /// Documents per step, where they are longer than others.
    pub batch: Option<u64>,
    /// Longest document, in tokens, where they are longer than others.
    pub max_tokens: Option<u64>,
    /// Tasks whose questions are asked.
    #[serde(default)]
    pub tasks: Vec<String>,
    /// Questions of each, if fewer than the size says.
    pub questions: Option<u64>,
    /// Other data whose held-out documents are measured, too.
    #[serde(default)]
    pub former: Vec<String>,
}

/// A way to train.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arm {
    /// The configuration's table `objective`.
    pub objective: toml::Table,
    /// The model that the objective compares with.
    #[serde(default)]
    pub reference: Reference,
    /// Ranks that the adapter grows through, in equal parts of the run, in place of the usual one.
    #[serde(default)]
    pub ranks: Vec<i64>,
    /// The arm whose learning rate it takes, if it is not tuned itself.
    pub rate_of: Option<String>,
}

/// What a claim about sampled replies says of them.
const SAMPLED: &str = "(replies sampled at temperature 1)";

/// What a claim about sampled replies compares, and what its exploratory twin does.
const THAN_PLAIN: &str = "−p answers more than −log p";
const THAN_BEFORE: &str = "the model answers more after training with −p than before";

/// The task of a claim about sampled replies; `None` of another.
fn sampled(claim: &Declared) -> Option<&str> {
    Some(claim.of.get("set")?.as_str()?.split_once('@')?.0)
}

/// A model before it is fine-tuned, in place of an arm.
pub const BEFORE: &str = "before";

/// What is measured of which runs.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Term {
    /// The arm.
    pub arm: String,
    /// The name of its data.
    pub data: String,
    /// How large its steps are.
    #[serde(default)]
    pub rate: Rate,
    /// The task, or the set of documents: `test`, `training`, or the name of other data.
    pub set: String,
    /// The same measure of this set is subtracted.
    pub minus: Option<String>,
    /// The measure.
    pub of: Quantity,
}

/// One run.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// The seed of data, adapter and order.
    pub seed: u64,
    /// The name of its data.
    pub data: String,
    /// The name of its arm.
    pub arm: String,
    /// How large its steps are.
    pub rate: Rate,
}

impl Cell {
    /// Plain training in its place.
    pub(super) fn plain(&self) -> Self {
        Self { arm: PLAIN.into(), rate: Rate::Tuned, ..self.clone() }
    }

    /// The model before training in its place.
    #[must_use]
    pub fn before(&self) -> Self {
        Self { arm: BEFORE.into(), rate: Rate::Tuned, ..self.clone() }
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, data, arm, rate } = self;
        write!(formatter, "finetune {data} {arm} {rate} seed {seed}")
    }
}

impl Plan {
    /// The plan as committed.
    pub fn load() -> Result<Self> {
        Self::parse(include_str!("../../plans/study.toml")).context("paper/plans/study.toml")
    }

    fn parse(text: &str) -> Result<Self> {
        let plan: Self = toml::from_str(text)?;
        for Group { name, arms, data, rate, seeds } in &plan.groups {
            for arm in arms {
                ensure!(plan.arms.contains_key(arm), "group {name}: there is no arm `{arm}`");
            }
            for data in data {
                plan.data(data).with_context(|| format!("group {name}"))?;
                for arm in arms.iter().filter(|arm| *arm != BEFORE) {
                    plan.rate(rate.arm_of(arm), data).with_context(|| format!("group {name}"))?;
                }
            }
            let main = plan.seeds.of(Stage::Main).len() as u64;
            for (size, count) in seeds {
                ensure!(plan.sizes.contains_key(size), "group {name}: there is no size `{size}`");
                ensure!(*count <= main, "group {name}: there are not so many main seeds");
            }
        }
        for (name, data) in &plan.data {
            let base = data.base.as_ref().is_none_or(|base| plan.bases.contains_key(base));
            ensure!(base, "data {name}: there is no such base");
            for former in &data.former {
                plan.data(former).with_context(|| format!("data {name}"))?;
            }
        }
        for base in plan.bases.values() {
            plan.data(&base.data)?;
        }
        for (name, TunedOn { set, arms, .. }) in &plan.tuning.on {
            let data = plan.data(name).context("tuning")?;
            ensure!(data.measures(set), "tuning: {name} is not measured on `{set}`");
            for arm in arms {
                ensure!(plan.arms.contains_key(arm), "tuning on {name}: there is no arm `{arm}`");
            }
        }
        for name in &plan.scored.data {
            plan.data(name).context("scored")?;
        }
        for arm in plan.scored.arms.iter().chain(&plan.scored.way) {
            let is_known = plan.scored.arms.contains(arm) && plan.arms.contains_key(arm);
            ensure!(is_known, "scored: there is no arm `{arm}`");
        }
        for claim in &plan.claims {
            ensure!(
                [SAMPLED, THAN_PLAIN]
                    .iter()
                    .all(|text| sampled(claim).is_some() == claim.statement.contains(text)),
                "claim {}: say `{THAN_PLAIN} … {SAMPLED}` of sampled replies, and of nothing else",
                claim.id
            );
            for Term { arm, data: name, set, minus, .. } in claim.terms::<Term>()? {
                ensure!(plan.arms.contains_key(&arm), "claim {}: there is no arm `{arm}`", claim.id);
                let data = plan.data(&name).with_context(|| format!("claim {}", claim.id))?;
                for set in std::iter::once(&set).chain(&minus) {
                    ensure!(data.measures(set), "claim {}: {name} is not measured on `{set}`", claim.id);
                }
            }
        }
        Ok(plan)
    }

    /// Data by their name.
    pub fn data(&self, name: &str) -> Result<&Data> {
        self.data.get(name).with_context(|| format!("no data are called `{name}`"))
    }

    /// An arm by its name.
    pub fn arm(&self, name: &str) -> Result<&Arm> {
        self.arms.get(name).with_context(|| format!("there is no arm `{name}`"))
    }

    /// The data and the arm whose tuning decides the learning rate of an arm on some data.
    pub fn tuned_as<'a>(&'a self, arm: &'a str, data: &str) -> Result<(&'a str, &'a str)> {
        let tuned = self.arm(arm)?.rate_of.as_deref().unwrap_or(arm);
        Ok((&self.data(data)?.rates, tuned))
    }

    /// The tuning that decides a run's learning rate, by the name of its [`Candidates`](crate::planned::Candidates); none before
    /// training.
    pub fn tuning_of(&self, cell: &Cell) -> Result<Option<String>> {
        if cell.arm == BEFORE {
            return Ok(None);
        }
        let (on, arm) = self.tuned_as(cell.rate.arm_of(&cell.arm), &cell.data)?;
        Ok(Some(format!("{on} {arm}")))
    }

    /// The learning rate that was chosen for an arm on some data.
    pub fn rate(&self, arm: &str, data: &str) -> Result<f64> {
        let (on, tuned) = self.tuned_as(arm, data)?;
        let rate = self.rates.get(on).and_then(|rates| rates.get(tuned));
        rate.copied().with_context(|| format!("{data}: rates.{on} has none for `{tuned}`"))
    }

    /// Beside some primary claims the same by a measure that no temperature changes: of sampled replies by greedy ones, of the
    /// loss by that at the fitted temperature. And of a model that was strong before: whether it was made better at all.
    pub fn beside(&self) -> Vec<Declared> {
        let exploratory = |claim: &Declared, name: &str, statement: String| Declared {
            id: format!("{}-{name}", claim.id),
            statement,
            source: OURS.to_owned(),
            evidence: Some(Evidence::Ours),
            ..claim.clone()
        };
        let mut all = Vec::new();
        for claim in &self.claims {
            if let Some(task) = sampled(claim) {
                let statement = |said, meant| claim.statement.replace(said, meant);
                let mut greedy = exploratory(claim, "greedy", statement(SAMPLED, "(greedy replies)"));
                greedy.of.insert("set".into(), task.into());
                let mut gain = exploratory(claim, "gains", statement(THAN_PLAIN, THAN_BEFORE));
                gain.versus.insert("arm".into(), BEFORE.into());
                all.extend([greedy, gain]);
            } else if claim.of.get("of").and_then(toml::Value::as_str) == Some("nll") {
                let statement = claim.statement.trim_end_matches('.');
                let mut fitted =
                    exploratory(claim, "fitted", format!("{statement} at the fitted temperature."));
                fitted.of.insert("of".into(), "fitted".into());
                all.push(fitted);
            }
        }
        all
    }

    /// What decides about answers to questions: their likeness where a right one is rare.
    pub fn answers(&self, data: &Data) -> Quantity {
        let is_likeness = self.tuning.on.get(&data.rates).is_some_and(|on| on.by == Quantity::Likeness);
        if is_likeness { Quantity::Likeness } else { Quantity::Right }
    }

    /// The model that a profile fine-tunes.
    pub fn model(&self, profile: Profile) -> Result<&str> {
        Ok(size::of(&self.sizes, profile)?.1.model.as_deref().unwrap_or(&self.model))
    }

    /// How large a profile's runs are, in a sentence.
    pub fn describe(&self, profile: Profile) -> Result<String> {
        let (name, Size { rows, held_out, questions, claimed, batch, .. }) = size::of(&self.sizes, profile)?;
        let batch = batch.unwrap_or(self.training.batch);
        let seeds = self.groups.iter().filter_map(|group| group.seeds.get(name)).chain([claimed]).max();
        Ok(format!(
            "Each model was trained once on at most {rows} documents, up to {batch} a step, and measured by at most \
             {questions} questions and {held_out} held-out documents of a kind; up to {} seeds, each trained on \
             documents of its own (paper/plans/study.toml).",
            seeds.unwrap_or(&0)
        ))
    }
}

/// The sets of the catalogue that `tokensieve make` reads for rows of this name, and `tokensieve evaluate` for questions of it.
pub(super) fn sets_of(name: &str) -> &'static [&'static str] {
    match name {
        "alpaca" => &["alpaca"],
        "gsm8k" | "gsm8k-paired" => &["gsm8k"],
        "sharegpt" => &["sharegpt-sample"],
        "cipher" | "figfont" => &["pyfiglet", "words3to10"],
        _ => &[],
    }
}

/// Held-out documents of the data that are trained on.
pub(super) const TEST: &str = "test";
/// Some of the documents that are trained on.
pub(super) const TRAINING: &str = "training";

impl Data {
    /// The sets of the catalogue that they are made of.
    pub fn sets(&self) -> &'static [&'static str] {
        sets_of(&self.make)
    }

    /// What models that are trained on them are measured by: sets, and what figures show of each.
    pub fn outcomes(&self) -> Vec<(String, Quantity)> {
        use Quantity::{
            Accuracy, CalibrationError, Fitted, Hard, Likeness, Nll, Overconfidence, Probability, Rest, Right,
        };
        let mut all = Vec::new();
        for task in &self.tasks {
            all.push((task.clone(), Right));
            if ["cipher", "figfont"].contains(&task.as_str()) {
                all.push((task.clone(), Likeness));
            }
        }
        let of_test = [Fitted, Nll, Hard, Rest, Accuracy, Probability, CalibrationError, Overconfidence];
        all.extend(of_test.map(|of| (TEST.to_owned(), of)));
        all.extend([Nll, Probability].map(|of| (TRAINING.to_owned(), of)));
        all.extend(self.former.iter().map(|former| (former.clone(), Fitted)));
        all
    }

    /// Whether models that are trained on them are measured on a set or by a task.
    fn measures(&self, set: &str) -> bool {
        [TEST, TRAINING].contains(&set) || self.tasks.iter().chain(&self.former).any(|known| known == set)
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

    #[test]
    fn a_plan_that_names_what_is_not_there_is_refused() {
        let text = include_str!("../../plans/study.toml");
        for (from, to, expected) in [
            ("\"masked\", \"distill\"", "\"mask\", \"distill\"", "group objectives: there is no arm `mask`"),
            ("data = [\"words-wrong-10\"]", "data = [\"word\"]", "no data are called `word`"),
            ("set = \"cipher\", of", "set = \"ciphers\", of", "cipher is not measured on `ciphers`"),
            ("set = \"cipher\"\nby", "set = \"x\"\nby", "tuning: cipher is not measured on `x`"),
            ("[rates.gsm8k-answers]", "[rates.gsm8k]", "rates.gsm8k-answers has none for `mle`"),
            ("rate_of = \"entropy\"", "rate_of = \"h\"", "rates.arithmetic has none for `h`"),
            ("base = \"strong\"", "base = \"weak\"", "there is no such base"),
            ("make = \"cipher\"\n", "", "missing field `make`"),
        ] {
            assert!(text.contains(from), "{from}");
            let error = format!("{:#}", Plan::parse(&text.replace(from, to)).unwrap_err());
            assert!(error.contains(expected), "{error}");
        }
    }
}
