//! What models are trained on, and what replaces a data set that cannot be obtained.

use crate::Run;
use crate::lab::{Job, Lab, Value, Verb};
use crate::named::{named, print_and_parse};
use anyhow::Result;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokensieve_data::Catalogue;

named! {
    /// A set of documents to train on.
    pub enum Corpus {
        /// Generated word problems: no machine lacks them.
        Arithmetic = "arithmetic",
        /// Grade-school mathematics.
        Gsm8k = "gsm8k",
        /// Instructions.
        Alpaca = "alpaca",
        /// Conversations of several turns: a sample of `ShareGPT`.
        Chat = "chat",
        /// Generated instructions with constraints that a program can check.
        Instructions = "instructions",
    }
}

/// What a row of a table was trained on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Corpora {
    /// One corpus.
    One(Corpus),
    /// All corpora: the mean over models each trained on one of them.
    All,
}

impl Corpora {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::One(corpus) => corpus.name(),
            Self::All => "all",
        }
    }

    /// The one corpus, if it is one.
    pub fn one(self) -> Option<Corpus> {
        match self {
            Self::One(corpus) => Some(corpus),
            Self::All => None,
        }
    }
}

print_and_parse!(Corpora, |name: &str| {
    let one = Corpus::ALL.iter().map(|corpus| Corpora::One(*corpus));
    one.chain([Corpora::All]).find(|corpora| corpora.name() == name)
});

/// A departure from the papers of all figures that train on [`Corpus::Chat`].
pub const OF_CHAT: &str = "In the profiles study and paper, a sample of 978 conversations replaces ShareGPT, and threads of OpenAssistant \
                           replace held-out conversations, as a measure out of distribution.";

/// Documents that a generated corpus and the split of Alpaca are made with at least.
const MADE: usize = 100;

/// Documents of a generated corpus where a profile takes all there are (choice).
const GENERATED: usize = 20_000;

impl Corpus {
    /// The set of the catalogue that it comes from.
    pub fn set(self) -> Option<&'static str> {
        match self {
            Self::Arithmetic | Self::Instructions => None,
            Self::Gsm8k => Some("gsm8k"),
            Self::Alpaca => Some("alpaca"),
            Self::Chat => Some("sharegpt-sample"),
        }
    }

    /// Whether it is available on this machine.
    pub fn is_available(self, lab: &Lab) -> bool {
        self.set().is_none_or(|set| is_available(lab, set))
    }

    /// What `data.train` is, for a training run that reads `rows` documents.
    pub fn training(self, rows: Option<usize>) -> Result<Value> {
        match self {
            Self::Arithmetic | Self::Instructions => {
                Ok(made(self.name(), "train", rows.unwrap_or(GENERATED).max(MADE))?.into_training())
            }
            Self::Alpaca => Ok(made("alpaca", "train", rows.unwrap_or(60_000).max(MADE))?.into_training()),
            Self::Gsm8k => Ok("gsm8k".into()),
            Self::Chat => Ok("sharegpt-sample".into()),
        }
    }

    /// How many documents there are to train on, where a profile takes all.
    pub fn rows(self) -> Result<usize> {
        let Some(set) = self.set() else { return Ok(GENERATED) };
        let file = Catalogue::load()?.set(set)?.files.get("train").cloned();
        Ok(file.and_then(|file| file.rows).map_or(GENERATED, |rows| rows as usize))
    }

    /// The set of the catalogue with held-out documents of the same kind.
    pub fn unseen_set(self) -> Option<&'static str> {
        if self == Self::Chat { Some("oasst1-validation") } else { self.set() }
    }

    /// Held-out documents of the same kind, at least so many.
    pub fn unseen(self, documents: usize) -> Result<Value> {
        match self {
            Self::Arithmetic | Self::Instructions | Self::Alpaca => {
                Ok(made(self.name(), "test", documents)?.into_training())
            }
            Self::Gsm8k => Ok("gsm8k/test".into()),
            Self::Chat => Ok("oasst1-validation/threads".into()),
        }
    }

    /// The held-out text of the same kind, as an evaluation names it.
    pub fn held_out(self, documents: usize) -> Result<Value> {
        match self {
            Self::Arithmetic | Self::Instructions | Self::Alpaca => {
                Ok(Value::Task("nll", made(self.name(), "test", documents)?.0))
            }
            Self::Gsm8k => Ok("nll:gsm8k/test".into()),
            Self::Chat => Ok("nll:oasst1-validation/threads".into()),
        }
    }
}

struct Made(Arc<Job>);

impl Made {
    /// Its file.
    fn into_training(self) -> Value {
        Value::Result(self.0, Verb::Make.output().into())
    }
}

/// The job that writes `rows` documents of a generator.
fn made(task: &'static str, split: &str, rows: usize) -> Result<Made> {
    let job = Job::new(Verb::Make, format!("make {task} {split} {rows}"))
        .argument(task)
        .set("split", split)
        .set("n", rows as i64)
        .set("seed", 0)
        .taking(1.0);
    Ok(Made(if task == "alpaca" { job.reading("alpaca")? } else { job }.shared()))
}

/// Documents that are scored and not trained on: the set of that name, or generated word problems where it cannot be
/// obtained, which the figure's title then notes.
pub fn documents(run: &Run, set: &str) -> Result<Value> {
    if is_available(run.lab(), set) {
        run.data(set)?;
    } else {
        run.replaced(set, REPLACEMENT);
    }
    source(run.lab(), set)
}

/// The same outside of a figure.
pub fn source(lab: &Lab, set: &str) -> Result<Value> {
    if is_available(lab, set) {
        Ok(set.into())
    } else {
        Ok(made("arithmetic", "test", MADE)?.into_training())
    }
}

/// What replaces sets that cannot be obtained.
pub const REPLACEMENT: &str = "generated word problems";

/// Whether a set of the catalogue is available, fetched if need be; checked once per process. Made-up results need none.
pub fn is_available(lab: &Lab, set: &str) -> bool {
    static KNOWN: Mutex<BTreeMap<String, bool>> = Mutex::new(BTreeMap::new());
    if lab.is_fixture() {
        return true;
    }
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    *known.entry(set.to_owned()).or_insert_with(|| {
        Catalogue::load().is_ok_and(|catalogue| catalogue.quiet().fetch_exactly(set).is_ok())
    })
}
