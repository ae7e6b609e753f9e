//! The map as a table: of each arm and each rule for choosing, what it gains in each cell and over all.

use serde::{Deserialize, Serialize};
use tokensieve_base::statistics::{Estimate, mean_interval};

use super::config::{MapConfig, arms};
use super::measured::Outcome;
use super::world::Gains;
use crate::{Error, finetune::Step};

/// The name of plain maximum likelihood among choices.
pub const PLAIN: &str = "plain";
/// The rule that takes what was best on other seeds, in tables.
pub const ELSEWHERE: &str = "best on other seeds";
/// The rule that takes what is predicted best from the first step.
pub const AT_START: &str = "predicted at the start";
/// The rule that takes what is predicted best along plain training.
pub const ON_THE_WAY: &str = "predicted on the way";

/// One arm, or one rule for choosing, in one cell or over all, with 95 % intervals (Student) over the seeds that did not
/// choose.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MapRow {
    /// Arm or rule.
    pub arm: String,
    /// The arm that the rule chose for accuracy, where it is the same for all seeds.
    pub choice: Option<String>,
    /// The arm that it chose for the divergence.
    pub choice_kl: Option<String>,
    /// Length of step: `own` or `grad-norm`.
    pub step: Step,
    /// Share of the facts that is new; empty: mean over all cells.
    pub shift: Option<f64>,
    /// Share of free choices.
    pub free_share: Option<f64>,
    /// Share of wrong labels.
    pub noise_rate: Option<f64>,
    /// Their kind.
    pub noise: Option<String>,
    /// Seeds behind every number.
    pub seeds: usize,
    /// 1 − accuracy of the base on facts.
    pub headroom: f64,
    /// Accuracy over plain maximum likelihood.
    pub accuracy_gain: f64,
    /// Lower end.
    pub accuracy_gain_low: f64,
    /// Upper end.
    pub accuracy_gain_high: f64,
    /// Divergence below plain maximum likelihood's, in nats: above 0 is better.
    pub kl_gain_nats: f64,
    /// Lower end.
    pub kl_gain_low_nats: f64,
    /// Upper end.
    pub kl_gain_high_nats: f64,
    /// Gain in mean probability predicted along plain training; empty for rules.
    pub predicted_gain: Option<f64>,
    /// Lower end.
    pub predicted_gain_low: Option<f64>,
    /// Gain in divergence predicted along plain training, in nats.
    pub predicted_kl_gain_nats: Option<f64>,
    /// Lower end.
    pub predicted_kl_gain_low_nats: Option<f64>,
}

/// How an arm is chosen.
#[derive(Clone, Copy, Debug)]
enum Rule {
    /// The arm that was best on other seeds, in the same cell.
    Elsewhere,
    AtStart,
    OnTheWay,
}

const RULES: [(Rule, &str); 3] =
    [(Rule::Elsewhere, ELSEWHERE), (Rule::AtStart, AT_START), (Rule::OnTheWay, ON_THE_WAY)];

/// The table from all seeds' outcomes: cell by cell, then over all cells.
pub fn summarise(config: &MapConfig, seeds: &[Vec<Outcome>]) -> Result<Vec<MapRow>, Error> {
    config.check()?;
    let arms = arms()?.into_iter().map(|(name, _)| name).collect();
    let summary = Summary { arms, steps: config.steps.len(), seeds, choosing: config.choosing };
    let mut rows = Vec::new();
    for (step_at, step) in config.steps.iter().enumerate() {
        let places: Vec<Place> =
            (0..config.cells().len()).map(|cell| Place { cell, step: step_at }).collect();
        for place in places.iter().map(std::slice::from_ref).chain([&places[..]]) {
            rows.extend(summary.rows(place, *step)?);
        }
    }
    Ok(rows)
}

/// A cell and a length of step.
#[derive(Clone, Copy)]
struct Place {
    cell: usize,
    step: usize,
}

struct Summary<'a> {
    /// Their names.
    arms: Vec<String>,
    steps: usize,
    seeds: &'a [Vec<Outcome>],
    choosing: usize,
}

impl Summary<'_> {
    fn outcome(&self, seed: usize, place: Place, arm: usize) -> &Outcome {
        &self.seeds[seed][(place.cell * self.arms.len() + arm) * self.steps + place.step]
    }

    /// All arms and rules, in these places together.
    fn rows(&self, places: &[Place], step: Step) -> Result<Vec<MapRow>, Error> {
        let arms = (0..self.arms.len()).map(|arm| {
            let value = |seed, place, of: &dyn Fn(&Outcome) -> Gains| of(self.outcome(seed, place, arm));
            let row =
                self.row(places, step, &self.arms[arm], &|seed, place| value(seed, place, &Outcome::gains))?;
            let predicted = |measure: usize| {
                self.over(places, &|seed, place| value(seed, place, &Outcome::on_the_way)[measure])
            };
            let (probability, kl) = (predicted(0)?, predicted(1)?);
            Ok(MapRow {
                predicted_gain: Some(probability.value),
                predicted_gain_low: Some(probability.low),
                predicted_kl_gain_nats: Some(kl.value),
                predicted_kl_gain_low_nats: Some(kl.low),
                ..row
            })
        });
        let rules = RULES.iter().map(|(rule, name)| {
            let gains = |seed: usize, place: Place| {
                [0, 1].map(|measure| {
                    let choice = self.choice(*rule, seed, place, measure);
                    // Nothing gains over plain training but what is not plain training.
                    choice.map_or(0.0, |arm| self.outcome(seed, place, arm).gains()[measure])
                })
            };
            let row = self.row(places, step, name, &gains)?;
            let same = |measure: usize| match (places, rule) {
                ([place], Rule::Elsewhere) => {
                    let choice = self.choice(*rule, self.choosing, *place, measure);
                    Some(choice.map_or_else(|| PLAIN.to_owned(), |arm| self.arms[arm].clone()))
                }
                _ => None,
            };
            Ok(MapRow { choice: same(0), choice_kl: same(1), ..row })
        });
        arms.chain(rules).collect()
    }

    /// The arm that a rule chooses, or plain maximum likelihood.
    fn choice(&self, rule: Rule, seed: usize, place: Place, measure: usize) -> Option<usize> {
        let value = |arm: usize| match rule {
            Rule::Elsewhere => {
                (0..self.choosing).map(|seed| self.outcome(seed, place, arm).gains()[measure]).sum::<f64>()
            }
            Rule::AtStart => self.outcome(seed, place, arm).at_start()[measure],
            Rule::OnTheWay => self.outcome(seed, place, arm).on_the_way()[measure],
        };
        let best = (0..self.arms.len()).max_by(|a, b| value(*a).total_cmp(&value(*b)))?;
        (value(best) > 0.0).then_some(best)
    }

    fn row(
        &self,
        places: &[Place],
        step: Step,
        arm: &str,
        gains: &dyn Fn(usize, Place) -> Gains,
    ) -> Result<MapRow, Error> {
        let accuracy = self.over(places, &|seed, place| gains(seed, place)[0])?;
        let kl = self.over(places, &|seed, place| gains(seed, place)[1])?;
        let cell = match places {
            [place] => Some(self.outcome(0, *place, 0)),
            _ => None,
        };
        Ok(MapRow {
            arm: arm.into(),
            choice: None,
            choice_kl: None,
            step,
            shift: cell.map(|cell| cell.shift),
            free_share: cell.map(|cell| cell.free_share),
            noise_rate: cell.map(|cell| cell.noise_rate),
            noise: cell.map(|cell| cell.noise.name().into()),
            seeds: accuracy.n,
            headroom: self.over(places, &|seed, place| self.outcome(seed, place, 0).headroom)?.value,
            accuracy_gain: accuracy.value,
            accuracy_gain_low: accuracy.low,
            accuracy_gain_high: accuracy.high,
            kl_gain_nats: kl.value,
            kl_gain_low_nats: kl.low,
            kl_gain_high_nats: kl.high,
            predicted_gain: None,
            predicted_gain_low: None,
            predicted_kl_gain_nats: None,
            predicted_kl_gain_low_nats: None,
        })
    }

    /// The mean over places, with its interval over the seeds that did not choose.
    fn over(&self, places: &[Place], value: &dyn Fn(usize, Place) -> f64) -> Result<Estimate, Error> {
        let of_seed =
            |seed| places.iter().map(|place| value(seed, *place)).sum::<f64>() / places.len() as f64;
        let values: Vec<f64> = (self.choosing..self.seeds.len()).map(of_seed).collect();
        mean_interval(&values).ok_or(Error::Undefined { experiment: "map", quantity: "accuracy_gain" })
    }
}
