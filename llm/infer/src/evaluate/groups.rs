//! Groups of predicted tokens of the oracle language: sums from which their measures follow, and how well a model's own
//! statistics rank the tokens whose distribution it does not know.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use tokensieve_base::statistics::{among_largest, auroc, spearman};
use tokensieve_tasks::oracle::Class;

use super::token_score::TokenScore;

/// Bins of equal width of the model's largest probability.
pub(super) const BINS: usize = 10;

/// The group of all tokens.
pub(super) const ALL: &str = "all";

/// The group of the tokens whose written value is wrong.
const WRONG: &str = "wrong";

/// The share of a group's tokens, those with the largest KL, that AUROC asks a proxy to find (choice: the share that
/// both papers' selections keep).
const LARGEST: f64 = 0.25;

/// Sums over the tokens of a group, in nats; [`TokenScore`] says of what.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// Number of tokens.
    pub tokens: usize,
    /// Number of tokens whose written value is wrong.
    pub wrong: usize,
    /// Σ KL(truth ‖ pθ).
    pub kl: f64,
    /// Σ KL(data ‖ pθ).
    pub kl_data: f64,
    /// Σ H(truth).
    pub entropy: f64,
    /// Σ H(data).
    pub entropy_data: f64,
    /// Σ H(truth) + KL(truth ‖ pθ).
    pub cross_entropy: f64,
    /// Σ −log pθ(written).
    pub loss: f64,
    /// Σ H(pθ).
    pub model_entropy: f64,
    /// Σ |H(pθ) − H(truth)|.
    pub entropy_gap: f64,
    /// Σ pθ(written).
    pub probability: f64,
    /// Σ pθ of tokens that truth excludes.
    pub outside: f64,
    /// Σ pθ of tokens that the data exclude.
    pub outside_data: f64,
    /// Number of tokens that are among the quarter of all tokens with the largest loss: those that training on the top
    /// quarter would select.
    pub selected: usize,
    /// How often the most probable token is among the most probable in truth.
    pub right: usize,
    /// How often the most probable token is the written one.
    pub accurate: usize,
    /// For each tenth of the model's largest probability: tokens, Σ largest probability, tokens where its token is the
    /// written one, Σ of its token's probability in truth.
    pub reliability: Vec<[f64; 4]>,
    /// Spearman's correlation of proxies with KL(truth ‖ pθ).
    pub spearman: Proxies,
    /// AUROC of proxies: how well they find the quarter of the tokens with the largest KL(truth ‖ pθ).
    pub auroc: Proxies,
}

/// One number for each of the quantities that stand in for KL where truth is unknown; null where it is undefined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Proxies {
    /// Of the loss −log pθ(written).
    pub loss: Option<f64>,
    /// Of the model's entropy.
    pub entropy: Option<f64>,
}

/// The group of all tokens, of each class, of what is distinguished within a class, and of the wrong values.
pub(super) fn groups<'a>(tokens: impl Iterator<Item = (Class, &'a TokenScore)>) -> IndexMap<String, Group> {
    let tokens: Vec<(Class, &TokenScore)> = tokens.collect();
    let loss: Vec<f64> = tokens.iter().map(|(_, score)| score.loss).collect();
    let selected = among_largest(&loss, LARGEST);
    let mut members: BTreeMap<(usize, String), Vec<(&TokenScore, bool)>> = BTreeMap::new();
    let mut add = |place: usize, name: String, score| members.entry((place, name)).or_default().push(score);
    for ((class, score), selected) in tokens.into_iter().zip(selected) {
        let place = Class::NAMES.iter().position(|name| *name == class.name()).unwrap_or(0);
        let full_name = class.full_name();
        let member = (score, selected);
        add(0, ALL.to_owned(), member);
        if full_name != class.name() {
            add(place + 1, full_name, member);
        }
        add(place + 1, class.name().to_owned(), member);
        if score.wrong {
            add(Class::NAMES.len() + 1, WRONG.to_owned(), member);
        }
    }
    members.into_iter().map(|((_, name), scores)| (name, Group::of(&scores))).collect()
}

impl Group {
    fn of(members: &[(&TokenScore, bool)]) -> Self {
        let mut group = Self { reliability: vec![[0.0; 4]; BINS], ..Self::default() };
        for (score, selected) in members {
            group.add(score);
            group.selected += usize::from(*selected);
        }
        let column =
            |of: fn(&TokenScore) -> f64| members.iter().map(|(score, _)| of(score)).collect::<Vec<f64>>();
        let (kl, loss, entropy) =
            (column(|score| score.kl), column(|score| score.loss), column(|score| score.model_entropy));
        let largest = among_largest(&kl, LARGEST);
        group.spearman = Proxies { loss: spearman(&loss, &kl), entropy: spearman(&entropy, &kl) };
        group.auroc = Proxies { loss: auroc(&loss, &largest), entropy: auroc(&entropy, &largest) };
        group
    }

    fn add(&mut self, score: &TokenScore) {
        self.tokens += 1;
        self.wrong += usize::from(score.wrong);
        self.kl += score.kl;
        self.kl_data += score.kl_data;
        self.entropy += score.entropy;
        self.entropy_data += score.entropy_data;
        self.cross_entropy += score.cross_entropy();
        self.loss += score.loss;
        self.model_entropy += score.model_entropy;
        self.entropy_gap += score.entropy_gap();
        self.probability += (-score.loss).exp();
        self.outside += score.outside;
        self.outside_data += score.outside_data;
        self.right += usize::from(score.right);
        self.accurate += usize::from(score.accurate);
        let bin = &mut self.reliability[bin(score)];
        let accurate = f64::from(u8::from(score.accurate));
        for (sum, term) in bin.iter_mut().zip([1.0, score.confidence, accurate, score.truth_of_best]) {
            *sum += term;
        }
    }

    /// A sum divided by the number of tokens.
    pub fn mean(&self, sum: f64) -> f64 {
        sum / self.tokens as f64
    }
}

/// The bin of a token's largest probability; 1 lies in the last.
pub(super) fn bin(score: &TokenScore) -> usize {
    ((score.confidence * BINS as f64) as usize).min(BINS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(kl: f64, loss: f64, confidence: f64, wrong: bool) -> TokenScore {
        let accurate = confidence > 0.5;
        TokenScore {
            kl,
            loss,
            entropy: 0.5,
            model_entropy: 1.0 - kl,
            confidence,
            accurate,
            wrong,
            ..TokenScore::default()
        }
    }

    #[test]
    fn a_token_counts_in_every_group_that_it_belongs_to() {
        let fact = |changed| Class::Fact { frequent: false, changed };
        let tokens = [
            (Class::Structure, score(0.0, 0.1, 0.95, false)),
            (fact(true), score(2.0, 3.0, 0.4, true)),
            (fact(false), score(1.0, 0.5, 1.0, false)),
            (fact(false), score(0.5, 1.0, 0.3, false)),
        ];
        let groups = groups(tokens.iter().map(|(class, score)| (*class, score)));
        let names: Vec<&str> = groups.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            ["all", "structure", "rare-fact", "rare-fact/changed", "rare-fact/unchanged", "wrong"]
        );
        let counts: Vec<usize> = groups.values().map(|group| group.tokens).collect();
        assert_eq!(counts, [4, 1, 3, 1, 2, 1]);
        let all = &groups["all"];
        assert_eq!((all.kl, all.loss, all.wrong, all.accurate), (3.5, 4.6, 1, 2));
        let selected: Vec<usize> = groups.values().map(|group| group.selected).collect();
        assert_eq!(selected, [1, 0, 1, 1, 0, 1]);
        assert!((all.cross_entropy - all.entropy - all.kl).abs() < 1e-12);
        assert!((all.entropy_gap - (0.5 + 1.5 + 0.5)).abs() < 1e-12);
        assert_eq!(all.reliability[9], [2.0, 1.95, 2.0, 0.0]);
        assert_eq!(all.reliability.iter().map(|bin| bin[0]).sum::<f64>(), 4.0);
        // KL 0, 2, 1, 0.5; loss 0.1, 3, 0.5, 1: ranks differ by one twice.
        assert!((all.spearman.loss.unwrap() - 0.8).abs() < 1e-12);
        assert!((all.spearman.entropy.unwrap() + 1.0).abs() < 1e-12);
        // The quarter with the largest KL is one token; its loss is the largest, its entropy the least.
        assert_eq!(all.auroc, Proxies { loss: Some(1.0), entropy: Some(0.0) });
        assert_eq!(groups["wrong"].spearman, Proxies::default());
    }
}
