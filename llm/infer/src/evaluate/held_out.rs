//! Held-out text, `nll:SET/SPLIT`: how well a model predicts responses that it was not trained on, and how well calibrated
//! its predictions are.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokensieve_tasks::{Measure, Options, Unit};

use super::benchmark::Benchmark;
use super::limit::limit;
use super::model::EvaluatedModel;
use super::score::batches_with;
use tokensieve_documents::{DataSource, Truncate};
use tokensieve_model::head::{INVERSE_TEMPERATURES, Request, RowStats};
use tokensieve_model::text::Tokenizer;
use tokensieve_model::{Document, Error, Result};

/// Prefix of the names of held-out text.
pub(super) const PREFIX: &str = "nll:";

/// Number of bins of equal width in the expected calibration error.
const BINS: usize = 15;

/// The measures, in the order of the sums of [`tally`].
pub(super) const MEASURES: &[Measure] = &[
    Measure::nats("nll", "mean −log p of a response's token"),
    Measure {
        name: "perplexity",
        meaning: "exp of the mean −log p",
        unit: Unit::Number,
        more_is_better: Some(false),
        least: 1.0,
        of: |sums| (sums[0] / sums[1]).exp(),
    },
    Measure::share("probability", "mean probability of a response's token"),
    Measure::share("accuracy", "share of tokens that are the most probable one"),
    Measure::calibration_error(
        "ece",
        "expected calibration error of the most probable token, 15 bins of equal width",
    ),
    Measure {
        of: fitted,
        ..Measure::nats(
            "nll-fitted",
            "mean −log p at the temperature at which it is least, the same for all tokens",
        )
    },
    Measure {
        more_is_better: None,
        ..Measure::nats("entropy", "mean entropy of the predictions: the nll that they expect of themselves")
    },
];

/// Points between two inverse temperatures at which the curve through the losses is looked at (choice: a hundred times as
/// many change 1e-6 nats).
const POINTS: usize = 64;

/// The least mean loss over inverse temperatures from ¼ to 3: of the polynomial in their logarithm through six of those that
/// were tried, between the neighbours of the best. The six are those from ½ to 2, and at an end those there. A parabola through
/// three of them is off by up to 0.06 nats, this by 0.003 (docs/LOG.md, 29 November).
fn fitted(sums: &[f64]) -> f64 {
    let (losses, tokens) = sums.split_at(TEMPERED.len());
    let at: Vec<(f64, f64)> =
        TEMPERED.iter().zip(losses).map(|(by, loss)| (by.ln(), loss / tokens[0])).collect();
    let best = (0..at.len()).min_by(|a, b| at[*a].1.total_cmp(&at[*b].1)).unwrap_or(0);
    let (low, high) = (at[best.saturating_sub(1)].0, at[(best + 1).min(at.len() - 1)].0);
    let six = &at[usize::from(best > 1) + usize::from(best > 5)..][..6];
    let between = (0..=POINTS).map(|i| low + (high - low) * i as f64 / POINTS as f64);
    // Of losses that are next to nothing the curve may pass below it.
    between.map(|x| interpolated(six, x)).fold(at[best].1, f64::min).max(0.0)
}

/// The polynomial through points, at `x` (Lagrange).
fn interpolated(points: &[(f64, f64)], x: f64) -> f64 {
    let share = |i: usize| -> f64 {
        let others = (0..points.len()).filter(|j| *j != i);
        others.map(|j| (x - points[j].0) / (points[i].0 - points[j].0)).product()
    };
    points.iter().enumerate().map(|(i, (_, y))| y * share(i)).sum()
}

/// Inverse temperatures at which losses are summed.
const TEMPERED: [f64; 1 + INVERSE_TEMPERATURES.len()] = {
    let [quarter, half, below, above, more, twice, thrice] = INVERSE_TEMPERATURES;
    [quarter, half, below, 1.0, above, more, twice, thrice]
};

/// The rows of a data set, whose responses are predicted.
#[derive(Debug)]
pub struct HeldOut {
    name: String,
    /// For each row its id and its documents; a row has several if the chat template rewrites earlier turns.
    rows: Vec<(String, Vec<Document>)>,
}

impl HeldOut {
    /// Reads `SET`, `SET/SPLIT` or a file. Without a split, `SET` means its `test` split where it has one. Documents longer
    /// than `longest` tokens are cut at the end; bad rows are an error, or are skipped with `skip_bad`.
    pub fn open(
        name: &str,
        options: &Options,
        tokenizer: &Tokenizer,
        longest: usize,
        skip_bad: bool,
    ) -> Result<Self> {
        let which = name.strip_prefix(PREFIX).unwrap_or(name);
        let source = DataSource {
            skip_bad,
            truncate: Truncate::End,
            max_length: Some(longest),
            ..DataSource::new(which)
        };
        let set =
            tokensieve_documents::load(&source.preferring_test()?, tokenizer).map_err(
                |error| match error {
                    Error::Setting { what, .. } => Error::setting(format!("--suite {name}"), what),
                    other => other,
                },
            )?;
        if let Some(why) = &set.substitution {
            tokensieve_base::status!("{name}: {why}");
        }
        if !set.skipped.is_empty() {
            tokensieve_base::status!("{name}: {} bad rows skipped", set.skipped.len());
        }
        if set.truncated > 0 {
            tokensieve_base::status!(
                "{name}: {} documents cut at {longest} tokens, the model's context",
                set.truncated
            );
        }
        let rows = set.documents.chunk_by(|a, b| a.row == b.row);
        let mut rows: Vec<_> =
            rows.map(|documents| (documents[0].row.to_string(), documents.to_vec())).collect();
        limit(&mut rows, options);
        Ok(Self { name: name.to_owned(), rows })
    }

    /// Continues a hash with a row's tokens and weights.
    fn hashed(&self, mut hash: Sha256, row: usize) -> String {
        for document in &self.rows[row].1 {
            document.tokens.iter().for_each(|token| hash.update(token.to_le_bytes()));
            document.weights.iter().for_each(|weight| hash.update(weight.to_le_bytes()));
        }
        format!("{:x}", hash.finalize())
    }
}

impl Benchmark for HeldOut {
    fn name(&self) -> &str {
        &self.name
    }

    fn measures(&self) -> &[Measure] {
        MEASURES
    }

    fn count(&self) -> usize {
        self.rows.len()
    }

    fn id(&self, question: usize) -> &str {
        &self.rows[question].0
    }

    fn content(&self, question: usize) -> String {
        // Answers from before a measure or an inverse temperature was added do not have it.
        let sums = MEASURES.len() + TEMPERED.len();
        self.hashed(Sha256::new().chain_update(sums.to_le_bytes()), question)
    }

    fn asked(&self, question: usize) -> String {
        self.hashed(Sha256::new(), question)
    }

    fn ask(
        &self,
        evaluated: &mut EvaluatedModel<'_>,
        questions: &[usize],
        take: &mut dyn FnMut(usize, Value) -> Result<()>,
    ) -> Result<()> {
        let documents = |row: usize| self.rows[row].1.iter();
        let request = Request { tempered: true, ..Request::default() };
        let tokens =
            (0..self.rows.len()).map(|row| documents(row).map(|document| document.tokens.len()).sum());
        for batch in batches_with(questions, tokens) {
            if evaluated.stopped() {
                break;
            }
            let together: Vec<&Document> = batch.clone().flat_map(documents).collect();
            let packs = [evaluated.scorer.pack(&together)];
            let mut scored = evaluated.scorer.score(&packs, &request).into_iter().flatten();
            for row in batch {
                let stats: Vec<RowStats> = scored.by_ref().take(documents(row).len()).flatten().collect();
                if questions.binary_search(&row).is_err() {
                    continue;
                }
                if !stats.iter().all(RowStats::is_finite) {
                    let (name, row) = (&self.name, self.id(row));
                    return Err(Error::not_finite(format!("{name}, row {row}")));
                }
                let losses: Vec<f64> = stats.iter().map(|row| (row.loss * 1e4).round() / 1e4).collect();
                let answer = json!({ "kind": "prediction", "tallies": tally(&stats), "losses": losses });
                take(row, answer)?;
            }
        }
        Ok(())
    }

    fn tally(&self, question: usize, answer: &Value) -> Result<Vec<Vec<f64>>> {
        serde_json::from_value(answer["tallies"].clone())
            .map_err(|error| Error::Run(format!("{}, row {}: {error}", self.name, self.id(question))))
    }
}

/// The sums of a row, for each measure.
fn tally(stats: &[RowStats]) -> Vec<Vec<f64>> {
    let tokens = stats.len() as f64;
    let over = |of: fn(&RowStats) -> f64| vec![stats.iter().map(of).sum::<f64>(), tokens];
    let mut gaps = vec![0.0; BINS];
    for row in stats {
        let p = row.best.exp();
        gaps[((p * BINS as f64) as usize).min(BINS - 1)] += p - f64::from(u8::from(row.greedy));
    }
    gaps.push(tokens);
    let loss = over(|row| row.loss);
    let probability = over(|row| (-row.loss).exp());
    let mut tempered = vec![0.0; TEMPERED.len()];
    for row in stats {
        let [quarter, half, below, above, more, twice, thrice] = row.tempered.unwrap_or([f64::NAN; 7]);
        let losses = [quarter, half, below, row.loss, above, more, twice, thrice];
        tempered.iter_mut().zip(losses).for_each(|(sum, loss)| *sum += loss);
    }
    tempered.push(tokens);
    let greedy = over(|row| f64::from(u8::from(row.greedy)));
    vec![loss.clone(), loss, probability, greedy, gaps, tempered, over(|row| row.entropy)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokensieve_base::streams::Stream;

    fn row(p: f64, best: f64, greedy: bool) -> RowStats {
        RowStats { loss: -p.ln(), best: best.ln(), greedy, ..RowStats::default() }
    }

    fn sums(tallies: &[Vec<Vec<f64>>], measure: usize) -> Vec<f64> {
        let width = tallies[0][measure].len();
        (0..width).map(|i| tallies.iter().map(|tally| tally[measure][i]).sum()).collect()
    }

    #[test]
    fn measures_are_their_formulas_over_all_rows() {
        let stats = [
            row(0.8, 0.8, true),
            row(0.1, 0.75, false),
            row(0.9, 0.9, true),
            row(0.5, 0.5, true),
            row(1.0, 1.0, true),
        ];
        // Divided into two rows of unequal length, which must not change the sums.
        let tallies = [tally(&stats[..3]), tally(&stats[3..])];
        let of = |i: usize| (MEASURES[i].of)(&sums(&tallies, i));
        let nll = stats.iter().map(|row| row.loss).sum::<f64>() / 5.0;
        assert!((of(0) - nll).abs() < 1e-12);
        assert!((of(1) - nll.exp()).abs() < 1e-12);
        assert!((of(2) - 3.3 / 5.0).abs() < 1e-12);
        assert!((of(3) - 0.8).abs() < 1e-12);
        // Bins of 1/15: 0.75 lies in the 12th, 0.8 in the 13th, 0.9 in the 14th, 0.5 in the 8th, 1 in the 15th.
        let ece = (0.75 + 0.2 + 0.1 + 0.5 + 0.0) / 5.0;
        assert!((of(4) - ece).abs() < 1e-12, "{}", of(4));
    }

    #[test]
    fn the_fitted_temperature_is_that_of_the_least_loss() {
        // Logits 3 and 0; the label is the first in 0.8 of the tokens, which ln 4 / 3 = 0.462 of the logits would say.
        let loss = |by: f64| (1.0 + (-3.0 * by).exp()).ln() + 0.2 * 3.0 * by;
        let sums = |of: &dyn Fn(f64) -> f64| {
            let mut sums: Vec<f64> = TEMPERED.iter().map(|by| 10.0 * of(*by)).collect();
            sums.push(10.0);
            sums
        };
        let least = loss(4.0_f64.ln() / 3.0);
        assert!((fitted(&sums(&loss)) - least).abs() < 1e-3);
        // Beyond the end of what is tried.
        let sharper = |by: f64| loss(by * 2.0);
        assert!((fitted(&sums(&sharper)) - sharper(0.25)).abs() < 1e-3);
        // Of a model that is sure of what is right.
        let sure = |by: f64| (1.0 + (-9.0 * by).exp()).ln();
        assert!((0.0..=sure(3.0)).contains(&fitted(&sums(&sure))));
        let softer = |by: f64| loss(by * 0.4);
        let found = fitted(&sums(&softer));
        assert!((found - least).abs() < 1e-3 && found < softer(1.25), "{found} {least}");
    }

    /// The measure does not change when only the temperature does: the same tokens, their logits multiplied.
    #[test]
    fn the_least_loss_is_the_same_at_every_temperature() {
        let mut stream = Stream::new(3, "logits");
        // Sure and unsure predictions, and a label that is the best of some and any other of the rest.
        let tokens: Vec<(Vec<f64>, usize)> = (0..300)
            .map(|token| {
                let spread = [1.0, 3.0, 6.0, 10.0][token % 4];
                let logits: Vec<f64> = (0..100).map(|_| spread * stream.normal()).collect();
                let best = (0..100).max_by(|a, b| logits[*a].total_cmp(&logits[*b])).unwrap();
                (logits, if token % 10 < 7 { best } else { stream.below(100) })
            })
            .collect();
        let loss = |by: f64| -> f64 {
            let of = |(logits, label): &(Vec<f64>, usize)| {
                logits.iter().map(|z| (by * z).exp()).sum::<f64>().ln() - by * logits[*label]
            };
            tokens.iter().map(of).sum::<f64>() / tokens.len() as f64
        };
        let (at, least) = (1..400)
            .map(|i| (f64::from(i) / 200.0, loss(f64::from(i) / 200.0)))
            .min_by(|a, b| a.1.total_cmp(&b.1))
            .unwrap();
        for times in [0.3, 0.4, 0.5, 0.65, 0.8, 0.9, 1.0, 1.1, 1.3, 1.6, 2.0, 2.5] {
            // The least lies at the inverse temperature `times`.
            let sums: Vec<f64> = TEMPERED.iter().map(|by| loss(by * at / times)).chain([1.0]).collect();
            let found = fitted(&sums);
            let near = if (0.5..=2.0).contains(&times) { 0.001 } else { 0.003 };
            assert!((found - least).abs() < near, "{times}: {found} {least}");
        }
    }

    #[test]
    fn a_bin_cancels_within_itself() {
        // Two tokens with a highest probability of ½, one of which is right: perfectly calibrated.
        let tallies = [tally(&[row(0.5, 0.5, true), row(0.2, 0.5, false)])];
        assert!((MEASURES[4].of)(&sums(&tallies, 4)).abs() < 1e-12);
    }
}
