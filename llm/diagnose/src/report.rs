//! The diagnosis as data: what `--json` writes.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::candidates::LeftOut;
use crate::defects::Finding;
use crate::describe::{ClassRow, Uncertainty};
use crate::measure::Measurement;
use crate::noise::{ALL, LabelNoise};
use crate::race::Race;
use crate::recommend::Recommendation;
use crate::suspicious::Suspicious;

/// Version of the keys of `--json`.
pub(crate) const SCHEMA: u32 = 3;

/// What is known of a model and a data set before training.
#[derive(Clone, Debug, Serialize)]
pub struct Diagnosis {
    /// Version of these keys: it rises when one changes its meaning or goes.
    pub schema: u32,
    /// The model as the user names it.
    pub model: String,
    /// The data set as the user names it.
    pub data: String,
    /// SHA-256 of the documents.
    pub data_sha256: String,
    /// Held-out documents of the user's, if given.
    pub held_out: Option<String>,
    /// What was read.
    pub read: Read,
    /// What is wrong with the rows.
    pub findings: Vec<Finding>,
    /// The predicted tokens, all and by class.
    pub classes: Vec<ClassRow>,
    /// Tokens by the probability of their label, in 20 equal bins from 0 to 1.
    pub histogram: Vec<usize>,
    /// Epistemic uncertainty of a sample.
    pub uncertainty: Option<Uncertainty>,
    /// Labels that contradict the model: of all tokens, and of the numbers among them.
    pub noise: BTreeMap<String, LabelNoise>,
    /// The bands' gradients and the objectives; `None`: there are too few documents.
    pub measured: Option<Measurement>,
    /// Documents in each half of the sample that gradients are of.
    pub sample: usize,
    /// Presets that are not compared.
    pub left_out: Vec<LeftOut>,
    /// The race, if there was one.
    pub race: Option<Race>,
    /// Why there was none, if it was asked for.
    pub no_race: Option<String>,
    /// What to train with.
    pub recommendation: Recommendation,
    /// The most suspicious rows.
    pub suspicious: Vec<Suspicious>,
    /// Seconds by phase.
    pub seconds: Vec<(String, f64)>,
}

impl Diagnosis {
    /// Whether η is to be trusted, so that rows have an expected number of wrong labels.
    pub(crate) fn expects_wrong_labels(&self) -> bool {
        self.noise.get(ALL).is_some_and(LabelNoise::is_trusted)
    }
}

/// What was read.
#[derive(Clone, Debug, Serialize)]
pub struct Read {
    /// Rows of the data set that were read.
    pub rows: usize,
    /// Whether there are more, after those.
    pub more: bool,
    /// Documents that can be trained on.
    pub documents: usize,
    /// Tokens of the documents.
    pub tokens: usize,
    /// Tokens that are predicted.
    pub predicted: usize,
}

impl Read {
    /// The rows, in words.
    pub(crate) fn about_rows(&self) -> String {
        if self.more {
            format!("the first {} rows (there are more)", self.rows)
        } else {
            format!("{} rows", self.rows)
        }
    }
}

#[cfg(test)]
impl Diagnosis {
    /// A diagnosis in which everything occurs.
    pub(crate) fn example() -> Self {
        use tokensieve_base::statistics::Estimate;

        use crate::defects::Defect;
        use crate::gain::{BandShare, Gain};
        use crate::measure::{BandRow, Measure, ObjectiveRow};
        use crate::suspicious::SuspiciousToken;

        let estimate = |value: f64| Estimate { value, low: value - 0.1, high: value + 0.1, n: 8 };
        let gain = |value| {
            let estimate = Some(estimate(value));
            Gain { relative: estimate, difference: estimate, p: Some(0.01) }
        };
        let share = |value| BandShare { gain: Some(estimate(value)), noise: Some(0.5) };
        let band = |p, value| BandRow { p, tokens: 7, shares: vec![share(value), share(value)] };
        let row = |name: &str, value: f64| ObjectiveRow {
            objective: name.to_owned(),
            profile: vec![0.0, 1.0],
            unresolved: 0.03,
            gains: vec![gain(value), gain(-value)],
        };
        let measured = Measurement {
            after: 4,
            on_sample: false,
            bands: vec![band((0.0, 2e-5), 0.3), band((2e-5, 1.0), 0.7)],
            objectives: vec![row("-p", 0.25), row("focal", -0.25)],
            indistinguishable: vec![Vec::new(); 2],
            other_batches: Vec::new(),
            unresolved: Vec::new(),
        };
        let noise = LabelNoise {
            share: estimate(0.1),
            inverse_temperature: 0.9,
            sure: 12,
            calibration_error: 0.03,
            doubts: vec!["the model is sure of 12 tokens only".to_owned()],
        };
        let token = |text: &str, suspicion: Option<f64>| SuspiciousToken {
            text: text.to_owned(),
            suspicion,
            p: suspicion.map(|_| 0.01),
            best: suspicion.map(|_| "\"b\"".to_owned()),
        };
        Self {
            schema: SCHEMA,
            model: "m".to_owned(),
            data: "<d>".to_owned(),
            data_sha256: "0".to_owned(),
            held_out: None,
            read: Read { rows: 3, more: true, documents: 2, tokens: 20, predicted: 9 },
            findings: vec![Finding {
                defect: Defect::Leak,
                row: 1,
                what: "the prompt contains “<b>”".to_owned(),
            }],
            classes: vec![ClassRow {
                class: "all".to_owned(),
                tokens: 9,
                mean_p: 0.5,
                loss: 1.0,
                loss_quantiles: [0.5, 2.0],
                entropy: 0.9,
                accuracy: 0.6,
            }],
            histogram: vec![1; 20],
            uncertainty: None,
            noise: BTreeMap::from([("all".to_owned(), noise)]),
            measured: Some(measured),
            sample: 16,
            left_out: vec![LeftOut { preset: "rho".to_owned(), because: "compares".to_owned() }],
            race: Some(Race::example()),
            no_race: None,
            recommendation: Recommendation {
                objective: "-p".to_owned(),
                measure: Measure::Nll,
                expected: Some(estimate(0.25)),
                because: "better".to_owned(),
                indistinguishable: vec!["dft".to_owned()],
                not_worse: vec!["eaft".to_owned()],
                would_change: vec!["more documents".to_owned()],
                config: "[train]".to_owned(),
            },
            suspicious: vec![Suspicious {
                row: 1,
                wrong: 0.8,
                defects: Vec::new(),
                tokens: vec![token("a<script>", None), token("\n", Some(0.9))],
            }],
            seconds: vec![("scoring".to_owned(), 1.0)],
        }
    }
}
