//! A model and a data set before training: what is wrong with the rows, what the model makes of them, and which
//! objective they call for.
//!
//! # The idea
//! The gradient of every objective that needs no reference is a weighted sum of the gradients of a few bands of the
//! label's probability. Nine backward passes over some documents, and their inner products with the gradient of
//! held-out ones, therefore predict the first step of all of them (docs/theory.md). Intervals come from folds of
//! documents, and plain training is recommended unless another objective is better for sure.
//!
//! # Map
//! | module | what it does |
//! |---|---|
//! | `diagnose` | the whole, in order ([`diagnose()`]) |
//! | `subject` | model and data by name, and the configuration for `tokensieve train` ([`Subject`]) |
//! | `defects` | duplicates, leaked answers, rows that cannot be trained on ([`Defect`]) |
//! | `markup` | special tokens, and marks of chat templates that are text to the model |
//! | `describe` | probability, loss and entropy by class of token; epistemic uncertainty of a sample |
//! | `noise` | the share of labels that contradict a calibrated model ([`LabelNoise`]) |
//! | `suspicious` | the rows that look wrong |
//! | `sample` | which documents are measured, held out, trained on |
//! | `measure` | gradients in folds of documents, by band |
//! | `sketch` | gradients as short vectors |
//! | `gain` | the predicted gain of an objective's first step, with its interval |
//! | `candidates` | the presets that are compared, and their profiles |
//! | `course` | a few steps of training |
//! | `race` | the best few trained a short way, and compared on held-out documents ([`Race`]) |
//! | `recommend` | the recommendation |
//! | `report` | everything as data ([`Diagnosis`]) |
//! | `text`, `html` | everything to read |

// Tests say exactly which number they expect.
#![cfg_attr(test, allow(clippy::float_cmp))]

#[cfg(test)]
mod bench;
mod candidates;
mod course;
mod defects;
mod describe;
mod diagnose;
mod gain;
mod html;
mod markup;
mod measure;
mod noise;
mod race;
mod recommend;
mod report;
mod sample;
mod sketch;
mod subject;
mod suspicious;
mod text;

pub use candidates::LeftOut;
pub use defects::{Defect, Finding};
pub use describe::{ClassRow, Uncertainty};
pub use diagnose::{LEAST_DOCUMENTS, Settings, diagnose};
pub use gain::{BandShare, Gain};
pub use html::page;
pub use measure::{BandRow, Measure, Measurement, ObjectiveRow, OtherBatch};
pub use noise::LabelNoise;
pub use race::{Difference, Race, RaceRow, Scores};
pub use recommend::Recommendation;
pub use report::{Diagnosis, Read};
pub use subject::Subject;
pub use suspicious::{Suspicious, SuspiciousToken};
pub use text::summary;
