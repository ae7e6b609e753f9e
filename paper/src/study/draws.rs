//! The difference between two evaluations, with its interval.
//!
//! Every outcome is a ratio of two sums over questions: right answers by questions, nats by tokens. A resample of questions
//! and seeds is therefore a ratio of sums too, and the gain of one objective over another has a bootstrap interval in which
//! both answer the same questions from the same seeds.
//!
//! A bootstrap over few seeds is too narrow: with three seeds, one resample in twenty-seven consists of the least of them
//! alone. An interval is therefore never narrower than Student's over the seeds, nor, since there may be few questions too,
//! than Student's over the questions by the jackknife.

use super::outcome::Better;
use crate::lab::evaluation::{Tallies, ratio};
use anyhow::{Context as _, Result, ensure};
use std::collections::BTreeMap;
use tokensieve_base::statistics::{Estimate, jackknife_half_width, mean_interval, median_band};
use tokensieve_base::streams::Stream;

/// Resamplings behind an interval.
pub(super) const RESAMPLINGS: usize = 1000;

/// A quantity with its value under each resampling. Resampling r draws the same seeds for every quantity, so quantities
/// can be averaged draw by draw.
#[derive(Clone, Debug, PartialEq)]
pub struct Draws {
    value: f64,
    resampled: Vec<f64>,
    /// Its value for each seed alone.
    of_seeds: Vec<f64>,
    /// Its value without each question in turn, by set of questions.
    left_out: BTreeMap<String, Vec<f64>>,
    n: usize,
}

/// How much better `arm` does than `baseline`, each with one entry per seed: the difference of the measure over all
/// seeds, positive when better. Questions and seeds are resampled, the same ones for both; with one seed only
/// questions are, and the interval does not cover another training run.
pub fn gain(arm: &[&Tallies], baseline: &[&Tallies], better: Better, name: &str) -> Result<Draws> {
    ensure!(arm.len() == baseline.len(), "{name}: the same seeds for both");
    let questions = questions(&[arm, baseline].concat(), name)?;
    let sign = if better == Better::More { 1.0 } else { -1.0 };
    let difference = |seeds: &[usize], questions: &[usize]| {
        sign * (measure(arm, seeds, questions) - measure(baseline, seeds, questions))
    };
    Ok(Draws::of(difference, arm.len(), questions, name))
}

/// The measure over all seeds, one entry each, resampled as [`gain`] is.
pub fn level(of: &[&Tallies], name: &str) -> Result<Draws> {
    let questions = questions(of, name)?;
    Ok(Draws::of(|seeds, questions| measure(of, seeds, questions), of.len(), questions, name))
}

/// How many questions, which are the same for all.
fn questions(of: &[&Tallies], name: &str) -> Result<usize> {
    let ids = &of.first().with_context(|| format!("{name}: no seeds"))?.ids;
    let same = of.iter().all(|tallies| tallies.ids == *ids && tallies.pairs.len() == ids.len());
    ensure!(same, "{name}: the same questions for all");
    Ok(ids.len())
}

/// The sums over chosen seeds and questions.
fn measure(of: &[&Tallies], seeds: &[usize], questions: &[usize]) -> f64 {
    let pairs = seeds.iter().flat_map(|seed| questions.iter().map(|question| &of[*seed].pairs[*question]));
    ratio(pairs).unwrap_or(f64::NAN)
}

impl Draws {
    /// A quantity of chosen seeds and questions, over all and over resamplings of both.
    pub(super) fn of(
        quantity: impl Fn(&[usize], &[usize]) -> f64,
        seeds: usize,
        questions: usize,
        name: &str,
    ) -> Self {
        let all = |n: usize| (0..n).collect::<Vec<usize>>();
        let resample =
            |n: usize, stream: &mut Stream| (0..n).map(|_| stream.below(n)).collect::<Vec<usize>>();
        let mut of_seeds = Stream::new(0, "seeds");
        let mut of_questions = Stream::new(0, &format!("questions/{name}"));
        let draws = (0..RESAMPLINGS).map(|_| {
            let seeds = resample(seeds, &mut of_seeds);
            quantity(&seeds, &resample(questions, &mut of_questions))
        });
        let resampled = draws.collect();
        let all_questions = all(questions);
        let of_seeds = (0..seeds).map(|seed| quantity(&[seed], &all_questions)).collect();
        let all_seeds = all(seeds);
        let without = |question: usize| {
            let others: Vec<usize> =
                all_questions.iter().copied().filter(|other| *other != question).collect();
            quantity(&all_seeds, &others)
        };
        let left_out = BTreeMap::from([(name.to_owned(), (0..questions).map(without).collect())]);
        Self { value: quantity(&all_seeds, &all_questions), resampled, of_seeds, left_out, n: questions }
    }

    /// The mean of several quantities.
    pub fn mean(of: &[Self]) -> Option<Self> {
        let (first, others) = of.split_first()?;
        let n = of.iter().map(|one| one.n).sum();
        let sum = others.iter().fold(first.clone(), |sum, one| sum.with(one, |a, b| a + b));
        let count = of.len() as f64;
        Some(Self { n, ..sum.map(|sum| sum / count) })
    }

    /// 1 where the quantity is above 0, ½ where it is 0, else 0: the mean of these over tasks is the share of them that
    /// are won.
    #[must_use]
    pub fn won(&self) -> Self {
        let won = |value: f64| {
            if value > 0.0 {
                1.0
            } else if value < 0.0 {
                0.0
            } else {
                0.5
            }
        };
        // A jackknife knows nothing of a quantity that jumps.
        Self { left_out: BTreeMap::new(), ..self.map(won) }
    }

    /// Its size, whatever its sign.
    #[must_use]
    pub fn abs(&self) -> Self {
        self.map(f64::abs)
    }

    /// The difference from another.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        self.with(other, |a, b| a - b)
    }

    fn map(&self, of: impl Fn(f64) -> f64) -> Self {
        let all = |values: &[f64]| values.iter().map(|value| of(*value)).collect();
        Self {
            value: of(self.value),
            resampled: all(&self.resampled),
            of_seeds: all(&self.of_seeds),
            left_out: self.left_out.iter().map(|(asked, values)| (asked.clone(), all(values))).collect(),
            n: self.n,
        }
    }

    fn with(&self, other: &Self, of: impl Fn(f64, f64) -> f64) -> Self {
        let all = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| of(*a, *b)).collect();
        let asked = self.left_out.keys().chain(other.left_out.keys());
        let without = |asked: &String| {
            let both = self.without(asked).zip(other.without(asked));
            (asked.clone(), both.map(|(a, b)| of(a, b)).collect())
        };
        Self {
            value: of(self.value, other.value),
            resampled: all(&self.resampled, &other.resampled),
            of_seeds: all(&self.of_seeds, &other.of_seeds),
            left_out: asked.map(without).collect(),
            n: self.n.min(other.n),
        }
    }

    /// Its value without each question of the set in turn; its value itself, repeated, if it does not depend on the set.
    fn without(&self, asked: &str) -> impl Iterator<Item = f64> {
        let known = self.left_out.get(asked);
        (0..).map_while(move |at| known.map_or(Some(self.value), |values| values.get(at).copied()))
    }

    /// The value with its 95 % interval: the bootstrap's percentiles, or Student's interval over the seeds or over the
    /// questions around the value where one of these reaches further.
    pub fn estimate(&self) -> Option<Estimate> {
        let finite: Vec<f64> = self.resampled.iter().copied().filter(|draw| draw.is_finite()).collect();
        let band = median_band(&finite, 0.95)?;
        let of_seeds =
            mean_interval(&self.of_seeds).map_or(0.0, |student| (student.high - student.low) / 2.0);
        // Questions of different kinds are drawn apart.
        let of_kinds = self.left_out.values().filter_map(|values| jackknife_half_width(values));
        let of_questions = of_kinds.map(|half| half * half).sum::<f64>().sqrt();
        let found = Estimate { value: self.value, low: band.low, high: band.high, n: self.n };
        self.value.is_finite().then(|| found.reaching(of_seeds.max(of_questions)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tallies(values: impl IntoIterator<Item = f64>) -> Tallies {
        let pairs: Vec<[f64; 2]> = values.into_iter().map(|value| [value, 1.0]).collect();
        Tallies { ids: (0..pairs.len()).map(|id| id.to_string()).collect(), pairs, ..Tallies::default() }
    }

    #[test]
    fn a_gain_is_paired_and_knows_what_is_better() -> Result<()> {
        let base = tallies((0..40).map(|i| f64::from(i % 5)));
        let more = tallies((0..40).map(|i| f64::from(i % 5) + 0.5));
        let of = |arm: &Tallies, better| -> Result<Estimate> {
            gain(&[arm, arm], &[&base, &base], better, "x")?.estimate().context("defined")
        };
        // The same half on every question: pairing leaves no spread at all.
        for (estimate, expected) in [
            (of(&more, Better::More)?, 0.5),
            (of(&more, Better::Less)?, -0.5),
            (of(&base, Better::More)?, 0.0),
        ] {
            let Estimate { value, low, high, n } = estimate;
            assert!([value, low, high].iter().all(|x| (x - expected).abs() < 1e-9), "{estimate:?}");
            assert_eq!(n, 40);
        }
        Ok(())
    }

    #[test]
    fn seeds_that_disagree_widen_the_interval() -> Result<()> {
        let (base, better) = (tallies(vec![0.0; 30]), tallies(vec![1.0; 30]));
        let agreed = gain(&[&better, &better], &[&base, &base], Better::More, "x")?.estimate();
        let three = [&better, &better, &base];
        let split = gain(&three, &[&base; 3], Better::More, "x")?.estimate().context("defined")?;
        assert_eq!(agreed.map(|e| (e.low, e.high)), Some((1.0, 1.0)));
        // Student's: 4.303 standard errors of a third.
        let (value, half) = (2.0 / 3.0, 4.302_653 / 3.0);
        for (found, expected) in [(split.value, value), (split.low, value - half), (split.high, value + half)]
        {
            assert!((found - expected).abs() < 1e-6, "{split:?}");
        }
        Ok(())
    }

    #[test]
    fn an_interval_of_three_seeds_covers_what_it_promises() -> Result<()> {
        // Seeds that differ much more than questions do: the bootstrap's percentiles are the least and the greatest of them,
        // between which the truth lies three times of four.
        let mut stream = Stream::new(0, "coverage");
        let trials = 400;
        let mut covered = 0;
        for _ in 0..trials {
            let seeds: Vec<Tallies> = (0..3)
                .map(|_| {
                    let of_seed = stream.normal();
                    tallies((0..8).map(|_| of_seed + 0.01 * stream.normal()))
                })
                .collect();
            let found = level(&seeds.iter().collect::<Vec<_>>(), "x")?.estimate().context("defined")?;
            covered += usize::from(found.low <= 0.0 && 0.0 <= found.high);
        }
        let share = f64::from(covered as u32) / f64::from(trials);
        assert!(share > 0.92, "{share}");
        Ok(())
    }

    #[test]
    fn an_interval_of_ten_documents_covers_what_it_promises() -> Result<()> {
        // From seeds that do not differ at all: only documents say how sure a mean of them is.
        let mut stream = Stream::new(0, "documents");
        let mut covered = [0, 0];
        let trials = 1000;
        for _ in 0..trials {
            let of_seed = tallies((0..10).map(|_| stream.normal()));
            let draws = level(&[&of_seed; 3], "x")?;
            let percentiles = median_band(&draws.resampled, 0.95).context("defined")?;
            for (covered, interval) in
                covered.iter_mut().zip([draws.estimate().context("defined")?, percentiles])
            {
                *covered += u32::from(interval.low <= 0.0 && 0.0 <= interval.high);
            }
        }
        let [share, of_percentiles] = covered.map(|covered| f64::from(covered) / f64::from(trials));
        assert!((0.93..0.97).contains(&share), "{share}");
        assert!(of_percentiles < 0.93, "{of_percentiles}");
        Ok(())
    }

    #[test]
    fn means_over_kinds_of_questions_add_their_errors_up() -> Result<()> {
        let of = |name: &str| level(&[&tallies((0..10).map(f64::from))], name);
        let half = |draws: &Draws| -> Result<f64> {
            let all = draws.left_out.values().filter_map(|values| jackknife_half_width(values));
            anyhow::ensure!(draws.estimate().is_some());
            Ok(all.map(|half| half * half).sum::<f64>().sqrt())
        };
        let one = half(&of("a")?)?;
        // The same questions twice are no more of them; as many others are.
        let same = Draws::mean(&[of("a")?, of("a")?]).context("some")?;
        let others = Draws::mean(&[of("a")?, of("b")?]).context("some")?;
        assert!((half(&same)? - one).abs() < 1e-12);
        assert!((half(&others)? - one / 2.0_f64.sqrt()).abs() < 1e-12);
        assert!(of("a")?.won().left_out.is_empty());
        Ok(())
    }

    #[test]
    fn other_questions_are_refused() {
        let (one, other) = (tallies([1.0, 0.0]), tallies([1.0]));
        let error = gain(&[&one], &[&other], Better::More, "gsm8k").unwrap_err().to_string();
        assert!(error.contains("gsm8k: the same questions"), "{error}");
    }

    #[test]
    fn shares_of_tasks_won_are_means_of_wins() -> Result<()> {
        let (base, better) = (tallies(vec![0.0; 9]), tallies(vec![1.0; 9]));
        let won = gain(&[&better], &[&base], Better::More, "a")?.won();
        let lost = gain(&[&better], &[&base], Better::Less, "b")?.won();
        let share = Draws::mean(&[won.clone(), lost, won.clone(), won]).and_then(|mean| mean.estimate());
        assert_eq!(share.map(|e| e.value), Some(0.75));
        Ok(())
    }
}
