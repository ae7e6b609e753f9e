//! The settings of an evaluation.

use std::path::{Path, PathBuf};

use tch::Device;

use super::answers::answers_path;
use super::judging::Judging;
use super::oracle::is_token_file;
use super::results::Results;
use crate::generate;
use tokensieve_base::files::Destination;
use tokensieve_model::text::{ChatTemplate, Moment};
use tokensieve_model::{Precision, Result};

/// What is evaluated, and how.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Names of tasks, each with or without a number of sampled replies (`gsm8k`, `math-500@16`), `nll:SET/SPLIT`, and
    /// `oracle:FILE`.
    pub suite: Vec<String>,
    /// The model, as [`Checkpoint::open`](tokensieve_model::weights::Checkpoint::open) takes it.
    pub model: String,
    /// Folder of an adapter.
    pub adapter: Option<PathBuf>,
    /// A chat template in place of the one of model or adapter.
    pub chat_template: Option<ChatTemplate>,
    /// Date for chat templates that print today's date.
    pub date: Moment,
    /// The data types of weights and computation.
    pub precision: Precision,
    /// Whether to merge the adapter into the weights for replies: faster, but the merged weights are rounded.
    pub merge: bool,
    /// The device of the computation.
    pub device: Device,
    /// Maximum number of questions per task.
    pub limit: Option<usize>,
    /// Seed of the order of questions, of sampled replies and of the bootstrap.
    pub seed: u64,
    /// Whether bad rows of held-out text are skipped instead of being an error.
    pub skip_bad: bool,
    /// Number of replies that are generated at the same time.
    pub batch: usize,
    /// The judge of the replies to `alpaca-eval`.
    pub judging: Option<Judging>,
    /// The file of results.
    pub out: PathBuf,
    /// Results of a baseline, which are only read.
    pub baseline: Option<PathBuf>,
    /// The file of the tokens of `oracle:FILE`.
    pub tokens: Option<PathBuf>,
    /// Whether to discard the stored answers.
    pub fresh: bool,
}

impl Settings {
    /// Checks that the files to write can be written, and that nothing but earlier results is replaced.
    pub(super) fn check_files(&self) -> Result<()> {
        let answers = answers_path(&self.out);
        let own = [("--out", self.out.as_path()), ("the stored answers", answers.as_path())];
        let mut read: Vec<(&str, &Path)> = self.baseline.iter().map(|path| ("--baseline", &**path)).collect();
        read.extend(self.judging.iter().map(|judging| ("--baseline-outputs", Path::new(&judging.baseline))));
        let suite =
            self.suite.iter().filter_map(|task| Some(("--suite", Path::new(task.split_once(':')?.1))));
        read.extend(suite);
        Destination::of(&self.out)?
            .regular()?
            .apart_from(read.iter().copied())?
            .replacing("results of `tokensieve evaluate`", |path| Results::read(path).is_ok())?;
        // Without --fresh, answers are only added to.
        if self.fresh {
            Destination::of(&answers)?.apart_from(read.iter().copied())?;
        }
        if let Some(tokens) = &self.tokens {
            Destination::of(tokens)?
                .apart_from(own.into_iter().chain(read))?
                .replacing("tokens of `tokensieve evaluate`", is_token_file)?;
        }
        Ok(())
    }

    /// How replies are generated.
    pub(super) fn generation(&self) -> generate::Options {
        generate::Options { batch: self.batch, merge: self.merge }
    }
}
