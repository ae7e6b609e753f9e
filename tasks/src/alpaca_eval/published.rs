//! What AlpacaEval 2 has published (judge GPT-4 Turbo, baseline GPT-4 1106 preview): the weights of its length-controlled
//! model, and the preferences of the judge.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokensieve_data::Catalogue;

use super::outputs::{lengths, outputs};
use super::{Contest, Regulariser, Weights};
use crate::{Error, Result};

/// The published weights and preferences.
#[derive(Clone, Debug)]
pub struct Published {
    /// The length-controlled model's weights by language model.
    pub weights: BTreeMap<String, Weights>,
    /// The difficulty of each instruction.
    pub difficulties: Vec<f64>,
    /// The judged contests by model, in the instructions' order. A few models lack one to three instructions.
    pub contests: BTreeMap<String, Vec<Contest>>,
}

impl Published {
    /// Fetches and reads the sets `alpaca-eval` and `alpaca-eval-preferences`.
    pub fn load(catalogue: &Catalogue) -> Result<Self> {
        let (files, judged) = (catalogue.fetch("alpaca-eval")?, catalogue.fetch("alpaca-eval-preferences")?);
        let difficulties: Vec<f64> = read::<Difficulty>(judged.path("instruction-difficulty"))?
            .iter()
            .map(|row| row.instruction_difficulty)
            .collect();
        let weights = read::<WeightsLine>(files.path("length-weights"))?
            .into_iter()
            .map(|line| {
                let WeightsLine { model, length, difficulty, bias } = line;
                (model, Weights { length, difficulty, bias })
            })
            .collect();
        let mut contests: BTreeMap<String, Vec<Contest>> = BTreeMap::new();
        for row in read::<Annotation>(judged.path("annotations"))? {
            let of_model = contests.entry(row.model).or_default();
            // The published fit gives the k-th judged instruction the k-th difficulty, also behind one that is missing:
            // only so do the recorded weights and win rates of the models that lack instructions come out.
            let Some(difficulty) = difficulties.get(of_model.len()) else {
                return Err(Error::file(
                    judged.path("annotations"),
                    "more contests of a model than difficulties",
                ));
            };
            of_model.push(Contest {
                preference: row.preference - 1.0,
                model_length: row.len_model,
                baseline_length: row.len_reference,
                difficulty: *difficulty,
            });
        }
        Ok(Self { weights, difficulties, contests })
    }

    /// The regularising set of the published fit, recovered from the models that `use_model` picks.
    pub fn regulariser(
        &self,
        catalogue: &Catalogue,
        use_model: impl Fn(&str) -> bool,
    ) -> Result<Regulariser> {
        let baseline = lengths(&outputs(catalogue, BASELINE)?);
        let differences = GAMED
            .iter()
            .map(|gamed| {
                let gamed = lengths(&outputs(catalogue, gamed)?);
                Ok(baseline.iter().zip(gamed).map(|(one, other)| *one as f64 - other as f64).collect())
            })
            .collect::<Result<Vec<Vec<f64>>>>()?;
        let fits = self.contests.iter().filter_map(|(model, contests)| {
            // The baseline's own weights are zero by definition, not by a fit.
            let weights = self.weights.get(model).filter(|weights| weights.bias != 0.0)?;
            use_model(model).then_some((weights, contests.as_slice()))
        });
        Ok(Regulariser::recover(&differences, &self.difficulties, fits))
    }
}

/// The baseline of AlpacaEval 2, as the set `alpaca-eval-outputs` calls it.
const BASELINE: &str = "gpt4-1106-preview";
/// The baseline model prompted to be concise and to be verbose.
const GAMED: [&str; 2] = ["gpt4-1106-preview-concise", "gpt4-1106-preview-verbose"];

#[derive(Deserialize)]
struct Difficulty {
    instruction_difficulty: f64,
}

#[derive(Deserialize)]
struct WeightsLine {
    #[serde(rename = "")]
    model: String,
    #[serde(rename = "np.tanh(std_delta_len)")]
    length: f64,
    #[serde(rename = "instruction_difficulty")]
    difficulty: f64,
    #[serde(rename = "not_gamed_baseline.astype(float)")]
    bias: f64,
}

#[derive(Deserialize)]
struct Annotation {
    model: String,
    len_model: usize,
    len_reference: usize,
    /// 1: the baseline wins, 2: the model does.
    preference: f64,
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    let mut reader = csv::Reader::from_path(path).map_err(|error| Error::file(path, error))?;
    reader.deserialize().collect::<Result<_, _>>().map_err(|error| Error::file(path, error))
}
