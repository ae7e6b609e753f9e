//! Comparison of a model's outputs with a baseline's, each pair judged in both orders.

use super::{Judge, Pair, Verdict};
use crate::{Error, Result};

/// Which output the judge saw second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The baseline's output first, the model's second.
    ModelSecond,
    /// The model's output first, the baseline's second.
    BaselineSecond,
}

/// An answer that names neither output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nonsense {
    /// The instruction, counted from 0.
    pub index: usize,
    /// In which order the outputs were shown.
    pub order: Order,
    /// The judge's answer.
    pub answer: String,
}

/// A model's result against a baseline.
#[derive(Clone, Debug, PartialEq)]
pub struct Pairwise {
    /// For each instruction the probability that the model's output is better, averaged over both orders; `None` where the
    /// answer in either order names neither output. Equal outputs count as a draw (0.5) and are not judged.
    pub preferences: Vec<Option<f64>>,
    /// Mean probability that the output shown second wins, minus one half; 0 for a judge without position bias.
    pub position_bias: f64,
    /// Share of the judged instructions with the same winner in both orders.
    pub consistent: f64,
    /// The answers that name neither output.
    pub nonsense: Vec<Nonsense>,
}

/// Judges every instruction in both orders.
pub fn pairwise(
    judge: &dyn Judge,
    instructions: &[String],
    outputs: &[String],
    baseline: &[String],
) -> Result<Pairwise> {
    let pairs = both_orders(instructions, outputs, baseline)?;
    let verdicts = judge.prefer(&pairs)?;
    if verdicts.len() != pairs.len() {
        let (found, expected) = (verdicts.len(), pairs.len());
        return Err(Error::Setting(format!(
            "{}: the judge returned {found} verdicts for {expected} pairs",
            judge.name()
        )));
    }

    let n = instructions.len();
    let asked = (0..n).filter(|i| outputs[*i] != baseline[*i]);
    let mut preferences = vec![Some(0.5); n];
    let (mut bias, mut same, mut read) = (0.0, 0, 0);
    let mut nonsense = Vec::new();
    for (index, both) in asked.zip(verdicts.chunks_exact(2)) {
        preferences[index] = None;
        for (order, verdict) in [Order::ModelSecond, Order::BaselineSecond].into_iter().zip(both) {
            if let Verdict::Nonsense(answer) = verdict {
                nonsense.push(Nonsense { index, order, answer: answer.clone() });
            }
        }
        if let [Verdict::Second(model), Verdict::Second(other)] = both {
            preferences[index] = Some(f64::midpoint(*model, 1.0 - other));
            bias += f64::midpoint(*model, *other) - 0.5;
            same += usize::from((*model > 0.5) == (*other < 0.5));
            read += 1;
        }
    }
    Ok(Pairwise {
        preferences,
        position_bias: bias / f64::from(read),
        consistent: same as f64 / f64::from(read),
        nonsense,
    })
}

/// The pairs that [`pairwise`] asks about: for each instruction whose outputs differ, the baseline's output first, then the
/// model's first.
pub fn both_orders<'a>(
    instructions: &'a [String],
    outputs: &'a [String],
    baseline: &'a [String],
) -> Result<Vec<Pair<'a>>> {
    let n = instructions.len();
    if outputs.len() != n || baseline.len() != n {
        return Err(Error::Setting(format!(
            "{n} instructions, {} outputs of the model and {} of the baseline: the numbers must be equal",
            outputs.len(),
            baseline.len()
        )));
    }
    let pairs =
        instructions.iter().zip(outputs.iter().zip(baseline)).filter(|(_, (model, other))| model != other);
    Ok(pairs
        .flat_map(|(instruction, (model, other))| {
            [
                Pair { instruction, first: other, second: model },
                Pair { instruction, first: model, second: other },
            ]
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Prefers the longer output, and the second one by 0.1; answers nonsense to instructions with a question mark.
    struct Longest;

    impl Judge for Longest {
        fn name(&self) -> String {
            "longest".into()
        }

        fn prefer(&self, pairs: &[Pair<'_>]) -> Result<Vec<Verdict>> {
            Ok(pairs
                .iter()
                .map(|pair| match pair.instruction.contains('?') {
                    true => Verdict::Nonsense("what?".into()),
                    false if pair.second.len() > pair.first.len() => Verdict::Second(0.9),
                    false => Verdict::Second(0.3),
                })
                .collect())
        }
    }

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn both_orders_count_and_the_bias_comes_out() {
        let instructions = texts(&["a", "b", "c?", "d"]);
        let outputs = texts(&["long", "s", "x", "same"]);
        let baseline = texts(&["s", "long", "y", "same"]);
        let result = pairwise(&Longest, &instructions, &outputs, &baseline).unwrap();
        let preferences: Vec<f64> = result.preferences.iter().map(|p| p.unwrap_or(-1.0)).collect();
        for (got, expected) in preferences.iter().zip([0.8, 0.2, -1.0, 0.5]) {
            assert!((got - expected).abs() < 1e-12, "{preferences:?}");
        }
        assert!((result.position_bias - 0.1).abs() < 1e-12);
        assert!((result.consistent - 1.0).abs() < 1e-12);
        let orders: Vec<Order> = result.nonsense.iter().map(|nonsense| nonsense.order).collect();
        assert_eq!(orders, [Order::ModelSecond, Order::BaselineSecond]);
        assert!(result.nonsense.iter().all(|nonsense| nonsense.index == 2 && nonsense.answer == "what?"));
    }

    #[test]
    fn lists_of_different_lengths_are_refused() {
        let error = pairwise(&Longest, &texts(&["a"]), &[], &texts(&["b"])).unwrap_err().to_string();
        assert!(error.contains("1 instructions, 0 outputs"), "{error}");
    }
}
