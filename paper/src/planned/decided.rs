//! The primary claims, decided: one family of tests.

use super::claim::{Declared, Side};
use super::contrast::Difference;
use super::outcomes::rounded;
use crate::claim::Evidence;
use crate::{Claim, Estimate, Verdict, row};
use anyhow::Result;
use tokensieve_base::statistics::{equivalence_test, holm, student_test};

/// The level of all tests.
const LEVEL: f64 = 0.05;

row! {
    /// A primary claim with its test.
    pub struct Decided {
        claim: String = "the claim, as in the plan",
        seeds: usize = "seeds that have both measures",
        value: Option<f64> = "mean over seeds of the first measure",
        versus: Option<f64> = "mean of the second",
        difference: Option<f64> = "mean of their difference, paired by seed",
        low: Option<f64> = "lower end of Student's 95 % interval of the difference",
        high: Option<f64> = "upper end",
        p: Option<f64> = "Student's two-sided test that the difference is zero",
        p_holm: Option<f64> = "the same, corrected for all primary claims (Holm); none for exploratory ones",
        p_equal: Option<f64> = "two one-sided tests that the difference is within ± what matters",
    }
}

impl Decided {
    /// All primary claims, of each both measures on every seed of its plan, where they are there. A claim is counted when all
    /// its seeds are: who looks on the way may stop where it pleases. One that is not counted yet is corrected for as if it
    /// had found nothing, so that what others find stays significant when it is.
    pub fn all(
        claims: &[Declared],
        pairs: impl Fn(&Declared) -> Result<Vec<Option<[f64; 2]>>>,
    ) -> Result<Vec<Self>> {
        let mut all = Vec::new();
        for claim in claims {
            let planned = pairs(claim)?;
            let pairs: Vec<[f64; 2]> = planned.iter().copied().collect::<Option<_>>().unwrap_or_default();
            let differences: Vec<f64> = pairs.iter().map(|[a, b]| a - b).collect();
            let found = Difference::of(&pairs);
            all.push(Self {
                claim: claim.id.clone(),
                seeds: planned.iter().flatten().count(),
                value: found.map(|found| found.value),
                versus: found.map(|found| found.versus),
                difference: found.map(|found| found.difference),
                low: found.map(|found| found.low),
                high: found.map(|found| found.high),
                p: student_test(&differences),
                p_holm: None,
                p_equal: equivalence_test(&differences, claim.matters),
            });
        }
        let p: Vec<f64> = all.iter().map(|one| one.p.unwrap_or(1.0)).collect();
        for (one, p) in all.iter_mut().zip(holm(&p)) {
            one.p_holm = one.p.map(|_| p);
        }
        Ok(all)
    }

    /// The difference with its interval.
    pub fn estimate(&self) -> Option<Estimate> {
        Some(Estimate { value: self.difference?, low: self.low?, high: self.high?, n: self.seeds })
    }

    /// The p-value that decides: an exploratory claim is not corrected for others.
    fn deciding_p(&self) -> Option<f64> {
        self.p_holm.or(self.p)
    }

    /// The verdict on a claim.
    pub fn verdict(&self, claim: &Declared) -> Verdict {
        let (Some(difference), Some(p), Some(p_equal)) = (self.difference, self.deciding_p(), self.p_equal)
        else {
            return Verdict::NotTested(format!(
                "not tested: {} of the plan's seeds have both runs; a claim is tested when all have, at least two",
                self.seeds
            ));
        };
        if p_equal <= LEVEL {
            return Verdict::PracticallyEqual;
        }
        let expected = match claim.expected {
            Side::Above => difference > 0.0,
            Side::Below => difference < 0.0,
        };
        match (p <= LEVEL, expected) {
            (false, _) => Verdict::Undecided,
            (true, true) => Verdict::Holds,
            (true, false) => Verdict::DoesNotHold,
        }
    }

    /// As the ledger has it, one of a family of tests.
    pub fn claim(&self, figure: &str, claim: &Declared, family: usize, evidence: Evidence) -> Claim {
        let corrected = match family {
            1 => "exploratory: not corrected for other tests".to_owned(),
            _ => format!("one family of {family} primary claims corrected by Holm at 5 %"),
        };
        let test = format!(
            "{}; mean over seeds of the paired difference, Student's two-sided test, {corrected}{}; practically equal: two \
             one-sided tests (5 %) within {}; the interval is Student's at 95 %, uncorrected",
            described(claim),
            self.deciding_p().map_or_else(String::new, |p| format!(" (p = {p:.2e})")),
            margin(claim),
        );
        let id = format!("{figure}/{}", claim.id);
        let tested = Claim::new(&id, &claim.source, &claim.statement).by(evidence).decided(
            self.verdict(claim),
            self.estimate(),
            claim.expected == Side::Above,
            &test,
        );
        Claim { matters: Some(claim.matters), ..tested }
    }
}

/// Measures that are shares, whose differences are read as points.
const SHARES: [&str; 2] = ["right", "likeness"];

/// What matters, in the measure's own unit and as it is read: `± 0.02 (2 points)`.
fn margin(claim: &Declared) -> String {
    let measure = claim.of.get("of").and_then(toml::Value::as_str);
    let points = if measure.is_some_and(|name| SHARES.contains(&name)) {
        format!(" ({} points)", rounded(100.0 * claim.matters, 3))
    } else {
        String::new()
    };
    format!("± {}{points}", claim.matters)
}

/// What some keys of a term are called.
const NAMES: [(&str, &str); 4] =
    [("from", "from capability"), ("group", "tokens"), ("of", "measure"), ("set", "measured on")];

/// What is compared with what, in words: `arm masked minus arm mle; data clean, from capability 4, measure kl`.
fn described(claim: &Declared) -> String {
    let pair = |(key, value): (&String, &toml::Value)| {
        let name = NAMES.iter().find(|(of, _)| of == key).map_or(key.as_str(), |(_, name)| name);
        format!("{name} {}", value.to_string().replace('"', ""))
    };
    let listed = |pairs: Vec<_>| pairs.into_iter().map(pair).collect::<Vec<_>>().join(", ");
    let (compared, shared) = claim.of.iter().partition(|(key, _)| claim.versus.contains_key(*key));
    format!("{} minus {}; {}", listed(compared), listed(claim.versus.iter().collect()), listed(shared))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::Plan;

    fn decided(difference: f64, p_holm: f64, p_equal: f64) -> Decided {
        Decided {
            claim: "x".into(),
            seeds: 20,
            value: Some(difference),
            versus: Some(0.0),
            difference: Some(difference),
            low: Some(difference - 0.1),
            high: Some(difference + 0.1),
            p: Some(p_holm / 12.0),
            p_holm: Some(p_holm),
            p_equal: Some(p_equal),
        }
    }

    #[test]
    fn small_differences_are_equal_and_others_have_a_side_or_none() {
        let plan = Plan::load().unwrap();
        let above = plan.claims.iter().find(|claim| claim.expected == Side::Above).unwrap();
        let below = plan.claims.iter().find(|claim| claim.expected == Side::Below).unwrap();
        let verdict = |claim, difference, p, p_equal| decided(difference, p, p_equal).verdict(claim);
        assert_eq!(verdict(above, 1.0, 0.01, 0.9), Verdict::Holds);
        assert_eq!(verdict(below, 1.0, 0.01, 0.9), Verdict::DoesNotHold);
        assert_eq!(verdict(below, -1.0, 0.01, 0.9), Verdict::Holds);
        assert_eq!(verdict(above, 1.0, 0.06, 0.9), Verdict::Undecided);
        // Certainly not zero, and certainly too small to matter.
        assert_eq!(verdict(above, 0.001, 0.01, 0.01), Verdict::PracticallyEqual);
        let exploratory = Decided { p_holm: None, ..decided(1.0, 0.06, 0.9) };
        assert_eq!(exploratory.verdict(above), Verdict::Holds);
        let untested = Decided { p: None, p_holm: None, ..decided(0.0, 1.0, 1.0) };
        assert!(matches!(untested.verdict(above), Verdict::NotTested(_)));
    }

    /// Three claims: one on all its seeds, one on all but one, and one on none.
    #[test]
    fn a_claim_is_tested_when_all_its_seeds_are_there_in_a_family_of_all() {
        let plan = Plan::load().unwrap();
        let pairs = |claim: &Declared| {
            let at = plan.claims.iter().position(|other| other.id == claim.id).unwrap();
            let all = [[1.0, 0.0], [1.1, 0.0], [0.9, 0.0], [1.0, 0.1]].map(Some);
            Ok(match at {
                0 => all.to_vec(),
                1 => all.into_iter().chain([None]).collect(),
                _ => Vec::new(),
            })
        };
        let all = Decided::all(&plan.claims[..3], pairs).unwrap();
        assert_eq!(all.iter().map(|one| one.seeds).collect::<Vec<_>>(), [4, 4, 0]);
        assert_eq!(all[0].p_holm, all[0].p.map(|p| 3.0 * p));
        assert!((all[0].difference.unwrap() - 0.975).abs() < 1e-12);
        for (untested, claim) in all[1..].iter().zip(&plan.claims[1..]) {
            assert_eq!((untested.difference, untested.p, untested.p_holm), (None, None, None));
            assert!(matches!(untested.verdict(claim), Verdict::NotTested(_)));
        }
    }

    #[test]
    fn a_claim_says_how_it_was_decided() {
        let plan = Plan::load().unwrap();
        let claim = decided(-0.5, 0.01, 0.9).claim("oracle", &plan.claims[0], 12, Evidence::Truth);
        assert_eq!(claim.evidence, Evidence::Truth);
        assert!(
            claim.test.starts_with("measure loss-rank minus measure entropy-rank; arm mle, "),
            "{}",
            claim.test
        );
        assert!(claim.test.contains("12 primary claims"), "{}", claim.test);
        assert!(claim.test.contains("within ± 0.05; "), "{}", claim.test);
    }

    /// As the effect is shown beside it.
    #[test]
    fn what_matters_of_a_share_is_in_points_too() {
        let plan = Plan::load().unwrap();
        let margin = |id| margin(Declared::of(&plan.claims, id).unwrap());
        assert_eq!(margin("strong-and-noisy-minus-p"), "± 0.02 (2 points)");
        assert_eq!(margin("masked-lowers-kl"), "± 0.02");
    }
}
