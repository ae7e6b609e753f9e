//! From the logits of all passes to the measures of uncertainty: sums over passes, and what they say.
//!
//! Passes are divided into groups, whose sums are kept apart: leaving out one group after the other gives the standard
//! errors. All measures follow from three sums: of the probabilities, of their logarithms, and of the entropies.
//!
//! Letters: n rows, m passes, G groups of passes, V vocabulary.

use std::ops::Range;

use tch::{Kind, Tensor};
use tokensieve_documents::estimates::Measures;
use tokensieve_kernels::spread::{self, MOST_GROUPS, Mean, Run};
use tokensieve_model::head::Unembedding;

/// Groups of passes, of which one at a time is left out (choice: a standard error then has itself one of about a
/// quarter).
const GROUPS: usize = MOST_GROUPS;

/// The measures with their standard errors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The estimates.
    pub value: Measures,
    /// Their Monte-Carlo standard errors; `None` for a single pass, which says nothing about them.
    pub error: Option<Measures>,
}

impl Spread {
    /// Of a prediction that is certain.
    pub fn none(entropy: f64) -> Self {
        let value = Measures { total: entropy, aleatoric: entropy, ..Measures::default() };
        Self { value, error: Some(Measures::default()) }
    }

    /// Whether all of it is finite.
    pub(super) fn is_finite(&self) -> bool {
        let all = |of: &Measures| {
            let numbers = [of.total, of.aleatoric, of.epistemic, of.pairwise_kl, of.reverse_mi];
            numbers.into_iter().all(f64::is_finite)
        };
        all(&self.value) && self.error.as_ref().is_none_or(all)
    }
}

/// Sums over passes of some rows.
#[derive(Debug)]
pub struct Sums {
    passes: usize,
    groups: usize,
    of_rows: spread::Sums,
}

impl Sums {
    /// Room for `rows` rows of `passes` passes.
    pub fn new(rows: usize, passes: usize, unembedding: &Unembedding) -> Self {
        let (groups, weight) = (passes.min(GROUPS), unembedding.weight);
        Self { passes, groups, of_rows: spread::Sums::zeros(rows, groups, weight.size()[0], weight.device()) }
    }

    /// Bytes that a row needs.
    pub fn row_bytes(passes: usize, vocabulary: i64) -> usize {
        2 * passes.min(GROUPS) * vocabulary as usize * Kind::Float.elt_size_in_bytes()
    }

    /// Forgets all passes.
    pub fn clear(&mut self) {
        self.of_rows.clear();
    }

    /// Adds some of the passes: logits `[n, m, V]`, a row's passes side by side; fewer rows than there is room for are
    /// the first.
    ///
    /// # Panics
    /// If the logits are not those of these passes, or of more rows than there is room for.
    pub fn add(&mut self, passes: Range<usize>, logits_nmv: &Tensor, soft_cap: Option<f64>) {
        assert_eq!(logits_nmv.size()[1], passes.len() as i64);
        let runs = self.runs(passes);
        spread::add(&mut self.of_rows, &runs, logits_nmv, soft_cap);
    }

    /// The group of a pass.
    fn group(&self, pass: usize) -> usize {
        pass * self.groups / self.passes
    }

    /// Some passes by their groups: places among these passes.
    fn runs(&self, passes: Range<usize>) -> Vec<Run> {
        let all: Vec<usize> = passes.clone().collect();
        let runs = all.chunk_by(|a, b| self.group(*a) == self.group(*b));
        let place = |pass: usize| pass - passes.start;
        runs.map(|run| Run {
            group: self.group(run[0]),
            passes: place(run[0])..place(run[run.len() - 1]) + 1,
        })
        .collect()
    }

    /// How many passes a group has.
    fn size(&self, group: usize) -> usize {
        (0..self.passes).filter(|pass| self.group(*pass) == group).count()
    }

    /// The spread of all passes at each of the first `rows` rows.
    pub fn spreads(&self, rows: usize) -> Vec<Spread> {
        let sizes: Vec<usize> = (0..self.groups).map(|group| self.size(group)).collect();
        spread::means(&self.of_rows, rows, &sizes)
            .into_iter()
            .zip(self.of_rows.entropies().chunks(self.groups))
            .map(|(found, h)| self.spread(&found, h, &sizes))
            .collect()
    }

    /// `found`: of all groups, then without each.
    fn spread(&self, found: &[Mean], entropies: &[f64], sizes: &[usize]) -> Spread {
        let all: f64 = entropies.iter().sum();
        let measures = |row: &Mean, aleatoric: f64| Measures {
            total: row.entropy,
            aleatoric,
            epistemic: row.entropy - aleatoric,
            pairwise_kl: -row.cross - aleatoric,
            reverse_mi: -row.cross - row.entropy,
        };
        // None of these is below 0 but by rounding.
        let value = measures(&found[0], all / self.passes as f64).map(|x: f64| x.max(0.0));
        let without: Vec<Measures> = (found[1..].iter().zip(entropies).zip(sizes))
            .map(|((row, own), size)| measures(row, (all - own) / (self.passes - size) as f64))
            .collect();
        // Without one of two passes there is a single one left, which has no spread.
        let error = (self.groups > 2).then(|| {
            let of = |get: fn(&Measures) -> f64| jackknife(without.iter().map(get));
            Measures {
                total: of(|m| m.total),
                aleatoric: of(|m| m.aleatoric),
                epistemic: of(|m| m.epistemic),
                pairwise_kl: of(|m| m.pairwise_kl),
                reverse_mi: of(|m| m.reverse_mi),
            }
        });
        Spread { value, error }
    }
}

/// The standard error from estimates that each leave out one group.
fn jackknife(without: impl Iterator<Item = f64> + Clone) -> f64 {
    let n = without.clone().count() as f64;
    let mean = without.clone().sum::<f64>() / n;
    ((n - 1.0) / n * without.map(|x| (x - mean).powi(2)).sum::<f64>()).sqrt()
}
