//! What tests measure on: a tiny model in f32, and documents that it can learn from.

use tch::Kind;
use tokensieve_documents::DataSource;
use tokensieve_model::{Document, Precomputed};
use tokensieve_train::config::Config;
use tokensieve_train::step::{Ranking, StepOptions};

use crate::Subject;
use crate::candidates::PLAIN;
use crate::sample::Sample;
use fixture::Fixture;

#[path = "../../tests/fixture/mod.rs"]
mod fixture;

pub(crate) const OPTIONS: StepOptions<'static> = StepOptions {
    micro_tokens: 60,
    checkpointing: false,
    dropout: 0,
    ranking: Ranking::Exact,
    processes: None,
};

pub(crate) const FOLDS: usize = 4;
pub(crate) const EACH: usize = 3;

/// Documents that a random model half knows: the label is often a function of the token before.
fn documents(vocabulary: u32) -> Vec<Document> {
    let document = |row: usize| {
        let mut tokens = vec![1_u32, 2];
        for i in 2..14 {
            let last = tokens[i - 1];
            tokens.push((last * 7 + 3 + (row * i % 3) as u32) % vocabulary);
        }
        let weights = (0..tokens.len()).map(|i| if i < 3 { 0.0 } else { 1.0 }).collect();
        Document { row, index_in_row: 0, tokens, weights, precomputed: Precomputed::default() }
    };
    (0..2 * FOLDS * EACH).map(document).collect()
}

pub(crate) struct Bench {
    pub(crate) fixture: Fixture,
    pub(crate) documents: Vec<Document>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let fixture = Fixture::new("llama3");
        let documents = documents(fixture.model(Kind::Float).config().vocab_size as u32);
        Self { fixture, documents }
    }

    pub(crate) fn sample(&self) -> Sample<'_> {
        fn folds(half: &[Document]) -> Vec<Vec<&Document>> {
            half.chunks(EACH).map(|fold| fold.iter().collect()).collect()
        }
        let (train, held_out) = self.documents.split_at(FOLDS * EACH);
        Sample { train: folds(train), held_out: folds(held_out) }
    }
}

/// A configuration of plain training in f32.
pub(crate) fn config() -> Config {
    let subject = Subject {
        model: "m".to_owned(),
        dtype: "f32".to_owned(),
        chat_template: None,
        date: None,
        data: DataSource::new("d"),
        held_out: None,
    };
    subject.config(PLAIN).unwrap()
}
