//! Question 1 in the oracle language: which stand-in for ignorance finds it.

use super::oracle::of_study;
use crate::claim::{Expected, estimate};
use crate::finetune::comparison::TOO_FEW;
use crate::oracle::Study;
use crate::oracle::proxies::Qualities;
use crate::picture::{Mark, curve, marks};
use crate::planned::contrast::over_seeds;
use crate::table::distinct;
use crate::{About, Claim, Declared, Estimate, Evidence, Run, Table, row};
use anyhow::Result;
use serde::{Deserialize, Serialize};
use tokensieve_plot::{Axis, Drawing, Panel, Series};

/// The figure.
pub(super) struct Figure;

row! {
    /// How well a proxy does among a group's tokens, over seeds.
    struct ProxyScore {
        proxy: String = "loss, entropy, excess-loss, or where BALD's randomness is: attention, residual, ensemble; \
                         loss minus entropy: the difference of the two, seed by seed",
        from: usize = "capability of the model, 1 (weak) to 5",
        data: String = "post-training data on which it is asked, before training on them",
        group: String = "group of tokens",
        measure: Measure = "spearman: rank correlation with KL(truth ‖ model); area: area under the curve of finding \
                            the quarter with the largest",
        seeds: usize = "number of seeds",
        value: f64 = "mean over seeds",
        low: f64 = "lower end of Student's 95 % interval",
        high: f64 = "upper end",
    }
}

/// What tells how well it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Measure {
    /// Rank correlation with KL(truth ‖ model).
    Spearman,
    /// Area under the curve of finding the quarter of the tokens with the largest.
    Area,
}

/// In the order of a [`Quality`](crate::oracle::proxies::Quality).
const MEASURES: [Measure; 2] = [Measure::Spearman, Measure::Area];

impl crate::Figure for Figure {
    fn about(&self) -> About {
        About {
            id: "oracle-proxies",
            title: "Which stand-in for ignorance finds it",
            source: "A, section 3 and figure 2B; in the oracle language",
            caption: "How well the loss, the entropy, the excess loss over a reference, and epistemic uncertainty (BALD: \
                      dropout in attention, dropout after each half of a layer, an ensemble of adapters) find the quarter of \
                      the tokens with the largest KL(truth ‖ model): area under the curve, 0.5 by chance. Upper row: all \
                      tokens of the post-training data, by the capability of the model. Lower row: within a class of \
                      tokens, from capability 4. 95 % intervals over seeds.",
            columns: ProxyScore::columns(),
            ..of_study()
        }
    }

    fn table(&self, run: &Run) -> Result<Table> {
        let study = Study::of(run)?;
        let plan = &study.work.plan.proxies;
        let mut rows = Vec::new();
        for data in &plan.data {
            for from in &plan.from {
                let found: Vec<_> = study.searched(*from, data).collect();
                rows.extend(scores(&found, *from, data));
            }
        }
        Table::from_rows(&rows)
    }

    fn draw(&self, table: &Table) -> Result<Drawing> {
        let mut rows: Vec<ProxyScore> = table.rows()?;
        rows.retain(|row| row.measure == Measure::Area && row.proxy != LEAD);
        let proxies = distinct(rows.iter().map(|row| row.proxy.as_str()));
        let mut panels = Vec::new();
        let datas = distinct(rows.iter().map(|row| row.data.as_str()));
        let axis = || Axis::linear("area under the curve").range(0.0, 1.0);
        for data in &datas {
            let mut panel = Panel::new(&format!("all tokens, {data}"), capability(), axis())
                .with(Series::horizontal(0.5));
            for (index, proxy) in proxies.iter().enumerate() {
                let is = |row: &&ProxyScore| row.data == *data && row.group == "all" && row.proxy == *proxy;
                let at = |row: &ProxyScore| (row.from as f64, row.value, row.low, row.high);
                panel = panel.with_all(curve(rows.iter().filter(is).map(at), index, proxy));
            }
            panels.push(panel);
        }
        let shown = rows.iter().map(|row| row.from).filter(|from| *from <= SHOWN).max().unwrap_or(SHOWN);
        for data in &datas {
            let is = |row: &&ProxyScore| row.data == *data && row.group != "all" && row.from == shown;
            let all = rows.iter().filter(is).map(|row| {
                let ProxyScore { proxy, group, seeds, value, low, high, .. } = row;
                let estimate = Estimate { value: *value, low: *low, high: *high, n: *seeds };
                Mark { category: group, series: proxy, estimate }
            });
            let all: Vec<Mark<'_>> = all.collect();
            panels.push(marks(&format!("by class, {data}"), axis(), &all, &proxies));
        }
        Ok(Drawing::new(panels).columns(datas.len().max(1)).width(1040.0))
    }

    fn claims(&self, table: &Table) -> Result<Vec<Claim>> {
        let rows: Vec<ProxyScore> = table.rows()?;
        // One seed's interval has no width, which a statistic without chance has, too.
        let is_one = rows.iter().all(|row| row.seeds < 2);
        Ok(vec![if is_one {
            BEFORE.of("oracle-proxies").not_tested(TOO_FEW)
        } else {
            BEFORE.tested("oracle-proxies", rows.as_slice())
        }])
    }
}

/// How much better the loss does than the entropy.
const LEAD: &str = "loss minus entropy";

/// What each proxy finds among each group's tokens, over seeds.
fn scores(found: &[&Qualities], from: usize, data: &str) -> Vec<ProxyScore> {
    let names = distinct(found.iter().flat_map(|one| {
        one.iter().flat_map(|(group, all)| {
            let proxies = all.keys().map(String::as_str).chain([LEAD]);
            proxies.map(move |proxy| (group.clone(), proxy.to_owned()))
        })
    }));
    let mut rows = Vec::new();
    for (group, proxy) in names {
        for (at, measure) in MEASURES.into_iter().enumerate() {
            let values: Vec<f64> = found.iter().filter_map(|one| score(one, &group, &proxy, at)).collect();
            let Some(Estimate { value, low, high, n }) = over_seeds(&values) else { continue };
            let (proxy, data, group) = (proxy.clone(), data.to_owned(), group.clone());
            rows.push(ProxyScore { proxy, from, data, group, measure, seeds: n, value, low, high });
        }
    }
    rows
}

/// A proxy's score on one seed.
fn score(found: &Qualities, group: &str, proxy: &str, at: usize) -> Option<f64> {
    let of = |proxy: &str| found.get(group)?.get(proxy)?[at];
    if proxy == LEAD { Some(of("loss")? - of("entropy")?) } else { of(proxy) }
}

const BEFORE: Declared<[ProxyScore]> = Declared {
    id: "loss-tracks-ignorance-before",
    source: "A, section 3 and figure 2B",
    evidence: Evidence::Truth,
    statement: "Before training, the loss of the tokens to be trained on ranks true epistemic error better than the model's \
                entropy does.",
    test: "rank correlation with KL(truth ‖ model) over all tokens of clean data, from capability 4 (or the most capable \
           there is below it), loss minus entropy, paired by seed; Student's 95 % interval",
    expected: Expected::Above(0.0),
    effect: |rows| {
        let is = |row: &&ProxyScore| {
            row.proxy == LEAD
                && row.data == "clean"
                && row.group == "all"
                && row.measure == Measure::Spearman
                && row.from <= SHOWN
        };
        let row = rows.iter().filter(is).max_by_key(|row| row.from)?;
        Some(estimate([row.value, row.low, row.high], row.seeds))
    },
};

/// The capability of the lower row, or the one below that there is.
const SHOWN: usize = 4;

fn capability() -> Axis {
    Axis::linear("capability").range(0.8, 5.2).ticks((1..=5).map(|at| (f64::from(at), at.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Verdict;
    use std::collections::BTreeMap;

    #[test]
    fn the_loss_and_the_entropy_are_compared_seed_by_seed() {
        let verdict = |seeds: &[[f64; 2]]| {
            let of_seed = |[loss, entropy]: &[f64; 2]| {
                let all = [("loss", *loss), ("entropy", *entropy)];
                let all = all.map(|(proxy, value)| (proxy.to_owned(), [Some(value), None]));
                Qualities::from([("all".to_owned(), BTreeMap::from(all))])
            };
            let found: Vec<Qualities> = seeds.iter().map(of_seed).collect();
            let rows = scores(&found.iter().collect::<Vec<_>>(), SHOWN, "clean");
            let claims = crate::Figure::claims(&Figure, &Table::from_rows(&rows).unwrap()).unwrap();
            claims[0].verdict.clone()
        };
        // Worlds differ by more than the two do within one.
        let seeds = [[0.2, 0.1], [0.6, 0.49], [0.9, 0.78]];
        assert_eq!(verdict(&seeds), Verdict::Holds);
        assert_eq!(verdict(&seeds[..1]), Verdict::NotTested(TOO_FEW.to_owned()));
    }
}
