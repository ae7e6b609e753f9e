//! What the primary claims' tests will find, by the spread of pilot runs, which are part of no result.

use super::claim::Declared;
use super::contrast::Difference;
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
    /// The number of seeds that it is tested on.
    pub seeds: usize,
    /// The difference's standard deviation over the pilot's seeds.
    pub deviation: f64,
    /// The one that is reckoned with: with 80 % confidence the true one is not larger.
    pub limit: f64,
    /// The least difference that is found with a probability of 80 %, however many of the family's claims fall: by the pilot's
    /// deviation, and by its limit.
    pub detectable: [f64; 2],
    /// The least difference that matters.
    pub matters: f64,
    /// The probability that the test finds it.
    pub found: f64,
    /// The probability that no difference at all is called practically equal.
    pub equal: f64,
}

impl Power {
    /// Of all claims with pilot runs of two seeds or more; of each the number of seeds that it is tested on, and the pairs of
    /// both measures in the pilot, seed by seed.
    pub fn all(
        claims: &[Declared],
        seeds: impl Fn(&Declared) -> Result<usize>,
        pairs: impl Fn(&Declared) -> Result<Vec<[f64; 2]>>,
    ) -> Result<Vec<Self>> {
        let mut all = Vec::new();
        for claim in claims {
            if let Some(pilot) = Difference::of(&pairs(claim)?) {
                all.extend(Self::of(claim.id.clone(), pilot, claim.matters, seeds(claim)?, claims.len()));
            }
        }
        Ok(all)
    }

    fn of(claim: String, pilot: Difference, matters: f64, seeds: usize, family: usize) -> Option<Self> {
        let deviation = pilot.error * (pilot.seeds as f64).sqrt();
        let limit = deviation * deviation_limit(pilot.seeds)?;
        // Holm's strictest level.
        let level = LEVEL / family as f64;
        let effect = detectable_effect(POWER, seeds, level)?;
        Some(Self {
            claim,
            pilot,
            seeds,
            deviation,
            limit,
            detectable: [deviation, limit].map(|deviation| effect * deviation),
            matters,
            found: student_power(matters / limit, seeds, level)?,
            equal: equivalence_power(matters / limit, seeds, LEVEL)?,
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
        assert_eq!(few.limit.total_cmp(&many.limit), std::cmp::Ordering::Equal);
        // The standard deviation of 0.1, 0.2, 0.0, 0.2 is 0.0957; χ²₃ is below 1.0052 with 20 %.
        assert!((few.deviation - 0.0957).abs() < 1e-4);
        assert!((few.limit - 0.0957 * (3.0_f64 / 1.0052).sqrt()).abs() < 1e-3, "{few:?}");
        assert!(many.detectable[1] < few.detectable[1] && many.found > few.found && many.equal > few.equal);
    }
}
