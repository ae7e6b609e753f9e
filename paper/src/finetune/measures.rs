//! What a model was measured to be: answers to questions, losses of held-out documents. Per question and document the numbers
//! behind each measure, so that other claims can be tested on the same runs.

use crate::lab::evaluation;
use crate::planned::outcomes::rounded;
use crate::read;
use crate::tokens::{self, Document, Kind, shares};
use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use tokensieve_base::statistics::{among_largest, mean};

/// The share of a set's tokens, with the base's largest losses, that [`Quantity::Hard`] is about.
const HARD: f64 = 0.25;

/// A measure of a task or of a set of documents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quantity {
    /// Mean −log p of the tokens at the temperature at which it is least, nats.
    #[default]
    Fitted,
    /// Mean −log p of the tokens, nats.
    Nll,
    /// The same of the quarter of the set's tokens with the base's largest losses.
    Hard,
    /// The same of the other tokens.
    Rest,
    /// Mean probability of the tokens.
    Probability,
    /// Share of tokens that are the most probable one.
    Accuracy,
    /// Expected calibration error.
    CalibrationError,
    /// Mean −log p minus mean entropy: how much less certain the model should be, nats.
    Overconfidence,
    /// Share of a task's questions that are answered rightly, or of constraints that are met.
    Right,
    /// Mean Jaro-Winkler similarity of reply and solution.
    Likeness,
    /// Log-likelihood of the right answer minus the mean of the wrong ones', nats.
    Margin,
    /// Epistemic uncertainty by dropout (BALD), nats.
    Epistemic,
    /// The same without bias: mean divergence of two passes' predictions, nats.
    Pairwise,
    /// Aleatoric uncertainty by dropout, nats.
    Aleatoric,
    /// Share of structural tokens in the quarter with the largest loss.
    Structural,
    /// The same of numbers and operators.
    Arithmetic,
    /// The same of words.
    Words,
}

impl Quantity {
    /// Whether more of it is better.
    pub fn more_is_better(self) -> bool {
        matches!(self, Self::Probability | Self::Accuracy | Self::Right | Self::Likeness | Self::Margin)
    }
}

/// What was measured of a run by a task or on a set of documents.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Found {
    /// On documents.
    Text(Text),
    /// By questions.
    Answers(Answers),
    /// Token by token.
    Tokens(Tokens),
}

/// Per document, and the set's own where they are no sums.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Text {
    /// Tokens of its response.
    tokens: Vec<u32>,
    /// Σ −log p.
    loss: Vec<f64>,
    /// Those among the quarter that the base finds hardest.
    hard_tokens: Vec<u32>,
    /// Σ −log p of these.
    hard: Vec<f64>,
    /// Of the set.
    fitted: f64,
    probability: f64,
    accuracy: f64,
    calibration_error: f64,
    entropy: f64,
}

/// Per question.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answers {
    /// Right answers, or constraints that are met.
    right: Vec<f64>,
    /// Of how many: of one question each, if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    of: Option<Vec<f64>>,
    /// [`Quantity::Likeness`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    likeness: Option<Vec<f64>>,
    /// [`Quantity::Margin`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    margin: Option<Vec<f64>>,
}

/// Means and shares over the tokens of scored documents.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tokens(BTreeMap<Quantity, f64>);

impl Tokens {
    /// Scored by so many passes, or by none.
    pub(super) fn of(documents: &[Document], passes: u64) -> Result<Self> {
        // Pairs of a pass with itself, which the file counts, are no divergence of two.
        let of_two = passes as f64 / (passes as f64 - 1.0);
        let mut all = BTreeMap::new();
        for (quantity, of, factor) in [
            (Quantity::Epistemic, tokens::Quantity::Epistemic, 1.0),
            (Quantity::Pairwise, tokens::Quantity::Pairwise, of_two),
            (Quantity::Aleatoric, tokens::Quantity::Aleatoric, 1.0),
        ] {
            let values: Vec<f64> = documents.iter().flat_map(|document| document.values(of)).collect();
            all.extend(mean(&values).map(|value| (quantity, rounded(factor * value, 6))));
        }
        for (kind, share) in Kind::ALL.iter().zip(shares(documents)?) {
            let quantity = match kind {
                Kind::Structural => Quantity::Structural,
                Kind::Arithmetic => Quantity::Arithmetic,
                Kind::Words => Quantity::Words,
                Kind::Other => continue,
            };
            all.insert(quantity, rounded(share, 6));
        }
        Ok(Self(all))
    }
}

impl Found {
    /// A measure, if it is one of these.
    pub fn value(&self, quantity: Quantity) -> Option<f64> {
        match self {
            Self::Text(text) => text.value(quantity),
            Self::Answers(answers) => answers.value(quantity),
            Self::Tokens(tokens) => tokens.0.get(&quantity).copied(),
        }
    }

    /// Of answers the sum of a share, and of how many it is one.
    pub fn counted(&self, quantity: Quantity) -> Option<[f64; 2]> {
        match self {
            Self::Answers(answers) => answers.counted(quantity),
            Self::Text(_) | Self::Tokens(_) => None,
        }
    }
}

impl Text {
    fn value(&self, quantity: Quantity) -> Option<f64> {
        let mean = |sums: &[f64], counts: &[u32]| {
            ratio(sums.iter().sum(), counts.iter().map(|n| f64::from(*n)).sum())
        };
        let rest = |all: f64, hard: f64| all - hard;
        match quantity {
            Quantity::Nll => mean(&self.loss, &self.tokens),
            Quantity::Hard => mean(&self.hard, &self.hard_tokens),
            Quantity::Rest => {
                let sums: Vec<f64> =
                    self.loss.iter().zip(&self.hard).map(|(all, hard)| rest(*all, *hard)).collect();
                let counts: Vec<u32> =
                    self.tokens.iter().zip(&self.hard_tokens).map(|(all, hard)| all - hard).collect();
                mean(&sums, &counts)
            }
            Quantity::Overconfidence => Some(mean(&self.loss, &self.tokens)? - self.entropy),
            Quantity::Fitted => Some(self.fitted),
            Quantity::Probability => Some(self.probability),
            Quantity::Accuracy => Some(self.accuracy),
            Quantity::CalibrationError => Some(self.calibration_error),
            _ => None,
        }
    }
}

impl Answers {
    fn value(&self, quantity: Quantity) -> Option<f64> {
        if quantity == Quantity::Margin {
            let margin = self.margin.as_ref()?;
            return ratio(margin.iter().sum(), self.right.len() as f64);
        }
        let [sum, of] = self.counted(quantity)?;
        ratio(sum, of)
    }

    fn counted(&self, quantity: Quantity) -> Option<[f64; 2]> {
        let count = self.right.len() as f64;
        match quantity {
            Quantity::Right => {
                let of = self.of.as_ref().map_or(count, |of| of.iter().sum());
                Some([self.right.iter().sum(), of])
            }
            Quantity::Likeness => Some([self.likeness.as_ref()?.iter().sum(), count]),
            _ => None,
        }
    }
}

fn ratio(sum: f64, count: f64) -> Option<f64> {
    (count > 0.0).then(|| sum / count)
}

/// What `tokensieve evaluate` left in a folder: results, and the stored answers.
pub(super) struct Evaluation {
    tasks: BTreeMap<String, Task>,
    /// Losses of each document's tokens, by task and id.
    losses: BTreeMap<(String, String), Vec<f64>>,
}

#[derive(Deserialize)]
struct Results {
    tasks: BTreeMap<String, Task>,
}

#[derive(Deserialize)]
struct Task {
    measures: BTreeMap<String, Measured>,
    tallies: Tallies,
}

#[derive(Deserialize)]
struct Measured {
    value: Option<f64>,
}

#[derive(Deserialize)]
struct Tallies {
    ids: Vec<String>,
    #[serde(flatten)]
    of: BTreeMap<String, Vec<Vec<f64>>>,
}

#[derive(Deserialize)]
struct Line {
    task: String,
    id: String,
    answer: serde_json::Value,
}

impl Evaluation {
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let Results { tasks } = read::json(&folder.join("evaluation.json"))?;
        let tasks =
            tasks.into_iter().map(|(task, found)| (evaluation::without_place(&task), found)).collect();
        let mut losses = BTreeMap::new();
        for line in read::text(&folder.join("evaluation.answers.jsonl"))?.lines().skip(1) {
            let Line { task, id, answer } = serde_json::from_str(line).context("a stored answer")?;
            // Documents have losses; replies to a question have none, and several are a list.
            if let Some(of) = answer.get("losses") {
                let of = Vec::deserialize(of).context("a stored answer's losses")?;
                losses.insert((evaluation::without_place(&task), id), of);
            }
        }
        Ok(Self { tasks, losses })
    }

    /// What a task found, which has its name without a place; `before` is the base's evaluation by the same tasks.
    pub(super) fn found(&self, task: &str, before: &Self) -> Result<Found> {
        let found = self.tasks.get(task).with_context(|| format!("the evaluation lacks {task}"))?;
        if task.starts_with("nll:") {
            return self.text(task, found, before).map(Found::Text).with_context(|| task.to_owned());
        }
        let pairs = |measure: &str| -> Option<Vec<[f64; 2]>> {
            found.tallies.of.get(measure)?.iter().map(|row| row.as_slice().try_into().ok()).collect()
        };
        let (headline, _) = evaluation::measures(task)[0];
        let right = pairs(headline).with_context(|| format!("{task} has no measure {headline}"))?;
        let first = |all: Vec<[f64; 2]>| all.into_iter().map(|[sum, _]| rounded(sum, 4)).collect();
        let is_single = right.iter().all(|[_, of]| (of - 1.0).abs() < f64::EPSILON);
        Ok(Found::Answers(Answers {
            of: (!is_single).then(|| right.iter().map(|[_, of]| *of).collect()),
            right: right.iter().map(|[right, _]| *right).collect(),
            likeness: pairs("jaro-winkler").map(first),
            margin: pairs("margin").map(first),
        }))
    }

    fn text(&self, task: &str, found: &Task, before: &Self) -> Result<Text> {
        let documents = |of: &Self| -> Result<Vec<Vec<f64>>> {
            let ids = found.tallies.ids.iter();
            let losses = ids.map(|id| of.losses.get(&(task.to_owned(), id.clone())).cloned());
            losses.collect::<Option<_>>().context("the stored answers lack the losses of some document")
        };
        let (own, base) = (documents(self)?, documents(before)?);
        let lengths = |of: &[Vec<f64>]| of.iter().map(Vec::len).collect::<Vec<_>>();
        ensure!(lengths(&own) == lengths(&base), "the base was measured on other documents");
        let mut is_hard = among_largest(&base.concat(), HARD).into_iter();
        let (mut hard_tokens, mut hard) = (Vec::new(), Vec::new());
        for document in &own {
            let chosen: Vec<f64> =
                document.iter().zip(&mut is_hard).filter(|(_, hard)| *hard).map(|(loss, _)| *loss).collect();
            hard_tokens.push(chosen.len() as u32);
            hard.push(rounded(chosen.iter().sum(), 5));
        }
        let of_set = |measure: &str| {
            let value = found.measures.get(measure).and_then(|measured| measured.value);
            value.map(|value| rounded(value, 6)).with_context(|| format!("no measure {measure}"))
        };
        Ok(Text {
            tokens: own.iter().map(|document| document.len() as u32).collect(),
            loss: own.iter().map(|document| rounded(document.iter().sum(), 5)).collect(),
            hard_tokens,
            hard,
            fitted: of_set("nll-fitted")?,
            probability: of_set("probability")?,
            accuracy: of_set("accuracy")?,
            calibration_error: of_set("ece")?,
            entropy: of_set("entropy")?,
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::fs;

    /// Writes what `tokensieve evaluate` would: two documents with these losses, and three answers.
    pub(in crate::finetune) fn write(folder: &Path, losses: [&[f64]; 2]) -> Result<()> {
        let measures = json!({
            "nll-fitted": { "value": 0.9 }, "probability": { "value": 0.5 }, "accuracy": { "value": 0.7 },
            "ece": { "value": 0.1 }, "entropy": { "value": 0.25 },
        });
        let results = json!({ "tasks": {
            "nll:x": { "measures": measures, "tallies": { "ids": ["a", "b"] } },
            "arithmetic": { "measures": {}, "tallies": { "ids": ["0", "1", "2"], "strict": [[1, 1], [0, 1], [1, 1]] } },
            "instructions": { "measures": {}, "tallies": { "ids": ["0", "1"], "each": [[1, 3], [2, 2]] } },
            "cipher": { "measures": {}, "tallies": {
                "ids": ["0", "1"], "exact": [[0, 1], [1, 1]], "jaro-winkler": [[0.5, 1], [1, 1]] } },
        } });
        fs::create_dir_all(folder)?;
        fs::write(folder.join("evaluation.json"), results.to_string())?;
        let line = |id: &str, losses: &[f64]| json!({ "task": "nll:x", "id": id, "sha256": "", "seconds": 0.1, "answer": { "losses": losses } });
        let reply = json!({ "task": "arithmetic", "id": "0", "sha256": "", "seconds": 0.1, "answer": { "text": "" } });
        let sampled =
            json!({ "task": "arithmetic@2", "id": "0", "answer": [{ "text": "" }, { "text": "" }] });
        let lines: [Value; 5] =
            [json!({ "header": {} }), line("b", losses[1]), reply, sampled, line("a", losses[0])];
        fs::write(folder.join("evaluation.answers.jsonl"), lines.map(|line| line.to_string()).join("\n"))?;
        Ok(())
    }

    #[test]
    fn the_hard_quarter_is_the_bases() -> Result<()> {
        let scratch = tempfile::tempdir()?;
        let folder = scratch.path();
        write(&folder.join("base"), [&[0.1, 5.0, 0.2], &[4.0, 0.3, 0.1, 0.2, 0.1]])?;
        write(&folder.join("own"), [&[1.0, 2.0, 1.0], &[0.5, 3.0, 0.0, 0.25, 0.25]])?;
        let (base, own) = (Evaluation::read(&folder.join("base"))?, Evaluation::read(&folder.join("own"))?);
        let text = own.found("nll:x", &base)?;
        // The quarter of eight tokens are the two with 5 and 4 before.
        assert_eq!(text.value(Quantity::Hard), Some(1.25));
        assert_eq!(text.value(Quantity::Nll), Some(1.0));
        assert_eq!(text.value(Quantity::Rest), Some(5.5 / 6.0));
        assert_eq!(text.value(Quantity::Overconfidence), Some(0.75));
        assert_eq!((text.value(Quantity::Fitted), text.value(Quantity::Right)), (Some(0.9), None));
        let value = |task: &str, of| own.found(task, &base).map(|found| found.value(of));
        assert_eq!(value("arithmetic", Quantity::Right)?, Some(2.0 / 3.0));
        assert_eq!(value("instructions", Quantity::Right)?, Some(0.6));
        assert_eq!(value("cipher", Quantity::Right)?, Some(0.5));
        assert_eq!(value("cipher", Quantity::Likeness)?, Some(0.75));
        assert_eq!(value("arithmetic", Quantity::Margin)?, None);
        // As it is kept.
        let kept: Found = serde_json::from_str(&serde_json::to_string(&text)?)?;
        assert_eq!(kept, text);
        write(&folder.join("base"), [&[0.1, 5.0], &[4.0, 0.3, 0.1, 0.2, 0.1]])?;
        let error = own.found("nll:x", &Evaluation::read(&folder.join("base"))?).unwrap_err();
        assert!(format!("{error:#}").contains("other documents"), "{error:#}");
        Ok(())
    }
}
