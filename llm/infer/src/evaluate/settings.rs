//! The settings of an evaluation.

use std::path::PathBuf;

use tch::{Device, Kind};

use super::judging::Judging;
use crate::generate;
use tokensieve_model::text::{ChatTemplate, Moment};

/// What is evaluated, and how.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Names of tasks, `nll:SET/SPLIT`, and `oracle:FILE`.
    pub suite: Vec<String>,
    /// The model, as [`Checkpoint::open`](tokensieve_model::weights::Checkpoint::open) takes it.
    pub model: String,
    /// Folder of an adapter.
    pub adapter: Option<PathBuf>,
    /// A chat template in place of the one of model or adapter.
    pub chat_template: Option<ChatTemplate>,
    /// Date for chat templates that print today's date.
    pub date: Moment,
    /// The data type of the computation.
    pub kind: Kind,
    /// Whether to merge the adapter into the weights for replies: faster, but the merged weights are rounded.
    pub merge: bool,
    /// The device of the computation.
    pub device: Device,
    /// Maximum number of questions per task.
    pub limit: Option<usize>,
    /// Seed of the order of questions and of the bootstrap.
    pub seed: u64,
    /// Whether bad rows of held-out text are skipped instead of being an error.
    pub skip_bad: bool,
    /// Number of replies that are generated at the same time.
    pub batch: usize,
    /// The judge of the replies to `alpaca-eval`.
    pub judging: Option<Judging>,
    /// The file of results.
    pub out: PathBuf,
    /// The file of the tokens of `oracle:FILE`.
    pub tokens: Option<PathBuf>,
    /// Whether to discard the stored answers.
    pub fresh: bool,
}

impl Settings {
    /// How replies are generated.
    pub(super) fn generation(&self) -> generate::Options {
        generate::Options { batch: self.batch, merge: self.merge }
    }
}
