//! Measures of a model on a set of documents, compactly: sums over the tokens of the finest groups.

use super::plan::Quantity;
use crate::planned::outcomes::rounded;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The group of all tokens that have one right answer.
pub const ANSWERS: &str = "answers";
const ANSWER_CLASSES: [&str; 5] = ["frequent-fact", "rare-fact", "rule", "new-rule", "copy"];
/// The group of all tokens.
const ALL: &str = "all";
/// Tokens that contradict the truth; each is in another group, too.
const WRONG: &str = "wrong";

/// A column for each measure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measures {
    /// The finest groups: `rare-fact/changed`, but not `rare-fact`.
    groups: Vec<String>,
    /// Their numbers of tokens.
    tokens: Vec<u64>,
    /// How many of their tokens are so.
    counts: BTreeMap<Quantity, Vec<u64>>,
    /// Sums over their tokens.
    sums: BTreeMap<Quantity, Vec<f64>>,
    /// Correlations and areas, which are no sums; none where they are not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ranks: Option<Ranks>,
}

/// A column for each correlation and area.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ranks {
    /// The coarse groups.
    groups: Vec<String>,
    /// Their values, none where it is undefined.
    values: BTreeMap<Quantity, Vec<Option<f64>>>,
}

/// What `tokensieve evaluate` writes of a group.
#[derive(Deserialize)]
pub(super) struct Group {
    tokens: u64,
    kl: f64,
    loss: f64,
    model_entropy: f64,
    entropy_gap: f64,
    probability: f64,
    right: u64,
    selected: u64,
    spearman: Proxies,
    auroc: Proxies,
}

#[derive(Deserialize)]
struct Proxies {
    loss: Option<f64>,
    entropy: Option<f64>,
}

impl Measures {
    /// Of groups by name; with correlations and areas if `ranked`.
    pub(super) fn of(all: &BTreeMap<String, Group>, ranked: bool) -> Self {
        let coarse: BTreeSet<&str> = all.keys().filter_map(|name| Some(name.split_once('/')?.0)).collect();
        let is_finest = |name: &str| name != ALL && !coarse.contains(name);
        let finest: Vec<(&String, &Group)> = all.iter().filter(|(name, _)| is_finest(name)).collect();
        let column = |of: fn(&Group) -> f64, digits| -> Vec<f64> {
            finest.iter().map(|(_, group)| rounded(of(group), digits)).collect()
        };
        let count =
            |of: fn(&Group) -> u64| -> Vec<u64> { finest.iter().map(|(_, group)| of(group)).collect() };
        Self {
            groups: finest.iter().map(|(name, _)| (*name).clone()).collect(),
            tokens: count(|group| group.tokens),
            counts: BTreeMap::from([
                (Quantity::Right, count(|group| group.right)),
                (Quantity::Selected, count(|group| group.selected)),
            ]),
            // Four digits where the claims ask for small differences.
            sums: BTreeMap::from([
                (Quantity::Kl, column(|group| group.kl, 4)),
                (Quantity::Loss, column(|group| group.loss, 4)),
                (Quantity::Entropy, column(|group| group.model_entropy, 3)),
                (Quantity::EntropyGap, column(|group| group.entropy_gap, 3)),
                (Quantity::Probability, column(|group| group.probability, 3)),
            ]),
            ranks: ranked.then(|| Ranks::of(all)),
        }
    }

    /// A measure of a group, the mean over its tokens where it is a sum.
    pub fn value(&self, group: &str, quantity: Quantity) -> Option<f64> {
        if quantity.is_rank() {
            let Ranks { groups, values } = self.ranks.as_ref()?;
            let at = groups.iter().position(|name| name == group)?;
            return *values.get(&quantity)?.get(at)?;
        }
        self.counted(group, quantity).map(|[sum, tokens]| sum / tokens)
    }

    /// The sum of a measure over a group's tokens, and their number; `None` where there are none, or it is no sum.
    pub fn counted(&self, group: &str, quantity: Quantity) -> Option<[f64; 2]> {
        let sum_of = |at: usize| match self.counts.get(&quantity) {
            Some(counts) => Some(*counts.get(at)? as f64),
            None => self.sums.get(&quantity)?.get(at).copied(),
        };
        let (mut sum, mut tokens) = (0.0, 0);
        for at in (0..self.groups.len()).filter(|at| belongs(&self.groups[*at], group)) {
            sum += sum_of(at)?;
            tokens += self.tokens.get(at)?;
        }
        (tokens > 0).then_some([sum, tokens as f64])
    }
}

impl Ranks {
    fn of(all: &BTreeMap<String, Group>) -> Self {
        let coarse: Vec<(&String, &Group)> = all.iter().filter(|(name, _)| !name.contains('/')).collect();
        let column = |of: fn(&Group) -> Option<f64>| -> Vec<Option<f64>> {
            coarse.iter().map(|(_, group)| of(group).map(|value| rounded(value, 3))).collect()
        };
        Self {
            groups: coarse.iter().map(|(name, _)| (*name).clone()).collect(),
            values: BTreeMap::from([
                (Quantity::LossRank, column(|group| group.spearman.loss)),
                (Quantity::EntropyRank, column(|group| group.spearman.entropy)),
                (Quantity::LossArea, column(|group| group.auroc.loss)),
                (Quantity::EntropyArea, column(|group| group.auroc.entropy)),
            ]),
        }
    }
}

/// Whether the tokens of a finest group are in another group.
fn belongs(finest: &str, group: &str) -> bool {
    let class = finest.split('/').next().unwrap_or_default();
    match group {
        ALL => finest != WRONG,
        ANSWERS => ANSWER_CLASSES.contains(&class),
        _ => group == finest || group == class,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Groups as an evaluation writes them.
    pub(in crate::oracle) fn groups() -> BTreeMap<String, Group> {
        let group = |tokens: u64, right, rank| {
            let sum = tokens as f64;
            Group {
                tokens,
                kl: sum / 4.0,
                loss: 1.23456 * sum,
                model_entropy: sum,
                entropy_gap: sum,
                probability: sum / 2.0,
                right,
                selected: 2,
                spearman: Proxies { loss: rank, entropy: None },
                auroc: Proxies { loss: Some(0.75), entropy: None },
            }
        };
        let groups = [
            (ALL, group(20, 13, Some(0.25))),
            ("free", group(8, 4, Some(0.5))),
            ("rule", group(12, 9, None)),
            ("rule/1", group(8, 8, None)),
            ("rule/2", group(4, 1, None)),
            (WRONG, group(2, 0, None)),
        ];
        groups.map(|(name, group)| (name.to_owned(), group)).into()
    }

    #[test]
    fn coarse_groups_are_sums_of_fine_ones() {
        let measures = Measures::of(&groups(), true);
        assert_eq!(measures.groups, ["free", "rule/1", "rule/2", WRONG]);
        let right = |group| measures.value(group, Quantity::Right);
        assert_eq!(right(ALL), Some(13.0 / 20.0));
        assert_eq!((right("rule"), right(ANSWERS)), (Some(0.75), Some(0.75)));
        assert_eq!((right("rule/2"), right(WRONG), right("copy")), (Some(0.25), Some(0.0), None));
        assert_eq!(measures.value(ALL, Quantity::Kl), Some(0.25));
        let loss = measures.value("rule/1", Quantity::Loss).unwrap();
        assert!(
            (loss - 1.23456).abs() < 1e-3 && (loss - 1.23456).abs() > 1e-9,
            "four digits are kept: {loss}"
        );
    }

    #[test]
    fn ranks_are_those_of_the_group_itself() {
        let measures = Measures::of(&groups(), true);
        assert_eq!(measures.value(ALL, Quantity::LossRank), Some(0.25));
        assert_eq!(measures.value("rule", Quantity::LossRank), None);
        assert_eq!(measures.value("rule", Quantity::LossArea), Some(0.75));
        assert_eq!(measures.value(ALL, Quantity::EntropyRank), None);
        assert_eq!(Measures::of(&groups(), false).value(ALL, Quantity::LossRank), None);
    }
}
