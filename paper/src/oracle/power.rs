//! What the primary claims' tests will find, by the spread of pilot runs, which are part of no result.

use super::contrast::{Difference, value};
use super::outcome::Outcomes;
use super::plan::Seeds;
use super::work::{Stage, Work};
use crate::lab::Lab;
use anyhow::Result;
use tokensieve_base::statistics::{detectable_effect, deviation_limit, equivalence_power, student_power};

/// The level of the tests, and the power that an effect is found with.
const LEVEL: f64 = 0.05;
const POWER: f64 = 0.8;

/// A claim's power with all seeds of the plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Power {
    /// The claim's name.
    pub claim: String,
    /// What the pilot found.
    pub pilot: Difference,
    /// The standard deviation of the difference that is reckoned with: with 80 % confidence the true one is not larger.
    pub deviation: f64,
    /// The least difference that is found with a probability of 80 %, however many of the family's claims fall.
    pub detectable: f64,
    /// The least difference that matters.
    pub matters: f64,
    /// The probability that the test finds it.
    pub found: f64,
    /// The probability that no difference at all is called practically equal.
    pub equal: f64,
}

impl Power {
    /// Of all claims whose pilot runs a lab has for two seeds or more.
    pub fn all(work: &Work, lab: &Lab) -> Result<Vec<Self>> {
        let mut outcomes = Outcomes::default();
        outcomes.collect(work, Stage::Pilot, lab)?;
        let (seeds, family) = (Seeds::all(work.plan.seeds.main).count(), work.plan.claims.len());
        let mut all = Vec::new();
        for claim in &work.plan.claims {
            let [of, versus] = claim.terms()?;
            let both = |seed| Some([value(&of, &outcomes, seed)?, value(&versus, &outcomes, seed)?]);
            let pairs: Vec<[f64; 2]> = Seeds::all(work.plan.seeds.pilot).filter_map(both).collect();
            let power = Difference::of(&pairs)
                .and_then(|pilot| Self::of(claim.id.clone(), pilot, claim.matters, seeds, family));
            all.extend(power);
        }
        Ok(all)
    }

    fn of(claim: String, pilot: Difference, matters: f64, seeds: usize, family: usize) -> Option<Self> {
        let deviation = pilot.error * (pilot.seeds as f64).sqrt() * deviation_limit(pilot.seeds)?;
        // Holm's strictest level.
        let level = LEVEL / family as f64;
        Some(Self {
            claim,
            pilot,
            deviation,
            detectable: detectable_effect(POWER, seeds, level)? * deviation,
            matters,
            found: student_power(matters / deviation, seeds, level)?,
            equal: equivalence_power(matters / deviation, seeds, LEVEL)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_seeds_find_smaller_differences() {
        let pilot = Difference::of(&[[1.0, 0.9], [1.1, 0.9], [0.9, 0.9], [1.0, 0.8]]).unwrap();
        let power = |seeds| Power::of("x".into(), pilot, 0.1, seeds, 12).unwrap();
        let (few, many) = (power(5), power(20));
        assert_eq!(few.deviation.total_cmp(&many.deviation), std::cmp::Ordering::Equal);
        // The standard deviation of 0.1, 0.2, 0.0, 0.2 is 0.0957; χ²₃ is below 1.0052 with 20 %.
        assert!((few.deviation - 0.0957 * (3.0_f64 / 1.0052).sqrt()).abs() < 1e-3, "{few:?}");
        assert!(many.detectable < few.detectable && many.found > few.found && many.equal > few.equal);
    }
}
