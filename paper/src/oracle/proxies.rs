//! Question 1: how well the quantities that stand in for ignorance where truth is unknown find the tokens that a model does not
//! know yet, by [`Plan::proxies`](super::plan::Plan). Each is measured on the rows of post-training data.

use super::exact::Exact;
use super::plan::{Cell, Proxies};
use super::work::Work;
use crate::lab::{Job, Lab, Value, job::MODEL};
use crate::planned::outcomes::rounded;
use crate::planned::{PLAIN, Rate, Stage};
use crate::tokens;
use anyhow::{Context as _, Result, ensure};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use tokensieve_base::statistics::{among_largest, auroc, spearman};

/// How well a proxy does among a group's tokens: Spearman's correlation with KL(truth ‖ model), and the area under the curve of
/// finding the quarter of them with the largest KL.
pub type Quality = [Option<f64>; 2];

/// Qualities by group of tokens and proxy.
pub type Qualities = BTreeMap<String, BTreeMap<String, Quality>>;

/// The share of a group's tokens that a proxy is to find.
const SOUGHT: f64 = 0.25;

/// One model whose ignorance is sought, before post-training, and everything that is measured of it.
pub struct Search {
    /// The name under which its outcome is kept.
    pub name: String,
    /// Its seed.
    pub seed: u64,
    exact: Arc<Job>,
    /// The same rows by a reference that was trained on other, clean data.
    reference: Arc<Job>,
    /// Estimates of epistemic uncertainty by the name of the proxy.
    estimates: Vec<(String, Arc<Job>)>,
}

impl Search {
    /// The jobs whose results it reads.
    pub fn jobs(&self) -> impl Iterator<Item = &Arc<Job>> {
        [&self.exact, &self.reference].into_iter().chain(self.estimates.iter().map(|(_, job)| job))
    }

    /// The qualities of all proxies, once all jobs are done.
    pub fn read(&self, lab: &Lab) -> Result<Option<Qualities>> {
        if self.jobs().any(|job| lab.done(job).is_none()) {
            return Ok(None);
        }
        let mut estimates = Vec::new();
        for (name, job) in &self.estimates {
            let documents = tokens::read(&lab.place(job).join(job.verb.output()))?;
            let known = documents.into_iter().map(|document| (document.row, document.tokens)).collect();
            estimates.push((name.as_str(), known));
        }
        let [exact, reference] = [&self.exact, &self.reference].map(|job| Exact::read(&lab.place(job)));
        let (exact, reference) = (exact?, reference?);
        qualities(&exact, &reference, &estimates).with_context(|| self.name.clone()).map(Some)
    }
}

impl Work {
    /// The searches of a stage.
    pub fn searches(&self, stage: Stage) -> Result<Vec<Search>> {
        let Proxies { from: capabilities, data: names, seeds, .. } = &self.plan.proxies;
        let mut searches = Vec::new();
        if stage != Stage::Main {
            return Ok(searches);
        }
        for seed in self.seeds(seeds) {
            for from in self.run_of(capabilities) {
                for data in self.run_of(names) {
                    let (data, arm) = (data.clone(), PLAIN.to_owned());
                    let cell = Cell { seed, from: *from, data, arm, rate: Rate::Tuned, look: Some(0) };
                    searches.push(self.search(&cell)?);
                }
            }
        }
        Ok(searches)
    }

    fn search(&self, cell: &Cell) -> Result<Search> {
        let Cell { seed, from, data, .. } = cell;
        let name = name(data, *from, *seed);
        let rows = self.measured_rows(cell)?;
        let model = self.start(*seed, *from)?;
        let of_places = self.plan.proxies.places.iter().map(|place| {
            let what = format!("{place} of {name}");
            let job = self.dropout(what, &rows, self.size.evaluation_rows, model.clone(), place);
            (place.clone(), job.shared())
        });
        let mut estimates: Vec<_> = of_places.collect();
        let adapters = (0..self.plan.proxies.members).map(|member| {
            let adapter = self.adapter(cell, model.clone(), &name, member)?;
            Ok(Value::Result(adapter, "adapter".into()))
        });
        let ensemble = self
            .uncertainty(format!("ensemble of {name}"), &rows, model.clone())
            .set("adapters", Value::List(adapters.collect::<Result<_>>()?));
        estimates.push(("ensemble".to_owned(), ensemble.shared()));
        let clean = Value::Result(self.clean(cell)?, MODEL.into());
        Ok(Search {
            seed: *seed,
            exact: self.exact(format!("exact numbers of {name}"), &rows, model),
            reference: self.exact(format!("reference of {name}"), &rows, clean),
            estimates,
            name,
        })
    }

    /// A member of an ensemble: a small adapter of its own seed, trained a few steps on the data.
    fn adapter(&self, cell: &Cell, model: Value, name: &str, member: u64) -> Result<Arc<Job>> {
        let proxies = &self.plan.proxies;
        let job = self
            .training(
                format!("adapter {member} of {name}"),
                &self.training_data(cell)?,
                proxies.steps,
                self.plan.post_training.batch,
            )
            .set("model.source", model)
            .set("train.lr", proxies.rate)
            .set("train.seed", (1000 * (cell.seed + 1) + member) as i64);
        Ok(job.with_ranks(&[proxies.rank], proxies.steps as usize).shared())
    }
}

/// The name of a search.
pub(super) fn name(data: &str, from: usize, seed: u64) -> String {
    format!("oracle proxies {data} from {from} after 0 seed {seed}")
}

/// Values of one proxy over all tokens of a group, or `None` where a token has none.
type Column = Vec<f64>;

fn qualities(
    exact: &[Exact],
    reference: &[Exact],
    estimates: &[(&str, HashMap<usize, Vec<tokens::Token>>)],
) -> Result<Qualities> {
    ensure!(exact.len() == reference.len(), "model and reference were measured on different rows");
    let mut groups: BTreeMap<String, (Column, BTreeMap<&str, Column>)> = BTreeMap::new();
    for (document, expected) in exact.iter().zip(reference) {
        ensure!(document.row == expected.row && document.loss.len() == expected.loss.len(), "rows differ");
        for (at, position) in document.position.iter().enumerate() {
            let (loss, entropy) = (document.loss[at], document.model_entropy[at]);
            let mut proxies =
                vec![("loss", loss), ("entropy", entropy), ("excess-loss", loss - expected.loss[at])];
            for (name, documents) in estimates {
                let token = documents.get(&document.row).and_then(|tokens| tokens.get(*position));
                let value = token.and_then(|token| token.epistemic);
                proxies.push((
                    name,
                    value.with_context(|| format!("{name}: row {} lacks an estimate", document.row))?,
                ));
            }
            let full = document.class[at].as_str();
            let class = full.split('/').next().unwrap_or(full);
            for group in ["all", class] {
                let (kl, columns) = groups.entry(group.to_owned()).or_default();
                kl.push(document.kl[at]);
                for (name, value) in &proxies {
                    columns.entry(name).or_default().push(*value);
                }
            }
        }
    }
    let quality = |kl: &Column, sought: &[bool], values: &Column| {
        [spearman(values, kl), auroc(values, sought)].map(|value| value.map(|value| rounded(value, 4)))
    };
    Ok(groups
        .into_iter()
        .map(|(group, (kl, columns))| {
            let sought = among_largest(&kl, SOUGHT);
            let all =
                columns.iter().map(|(name, values)| ((*name).to_owned(), quality(&kl, &sought, values)));
            (group, all.collect())
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::Token;

    #[test]
    fn a_proxy_that_is_the_error_finds_it_and_its_opposite_does_not() {
        let column = |values: &[f64]| values.to_vec();
        let exact = Exact {
            row: 0,
            position: vec![1, 2, 3, 4],
            class: ["free", "rule/1", "rule/2", "rule/1"].map(str::to_owned).to_vec(),
            kl: column(&[0.1, 0.2, 0.3, 0.9]),
            entropy: column(&[1.0; 4]),
            loss: column(&[0.1, 0.2, 0.3, 0.9]),
            model_entropy: column(&[0.9, 0.3, 0.2, 0.1]),
            p: column(&[0.5; 4]),
        };
        let reference = Exact { loss: column(&[0.1, 0.1, 0.1, 0.1]), ..exact.clone() };
        let token = |epistemic| Token { epistemic: Some(epistemic), ..Token::default() };
        let tokens = vec![Token::default(), token(0.0), token(1.0), token(2.0), token(3.0)];
        let estimates = [("attention", HashMap::from([(0, tokens)]))];
        let found =
            qualities(std::slice::from_ref(&exact), std::slice::from_ref(&reference), &estimates).unwrap();
        for proxy in ["loss", "excess-loss", "attention"] {
            assert_eq!(found["all"][proxy], [Some(1.0), Some(1.0)], "{proxy}");
        }
        assert_eq!(found["all"]["entropy"], [Some(-1.0), Some(0.0)]);
        assert_eq!(found["rule"]["loss"], [Some(1.0), Some(1.0)]);
        let error = qualities(&[exact], &[reference], &[("attention", HashMap::new())]).unwrap_err();
        assert!(error.to_string().contains("attention: row 0"), "{error}");
    }
}
