//! How large each profile is: every number that distinguishes a smoke test from a study.
//!
//! Times for `laptop` and `study` on two cores with the 135M model: training 600 tokens/s, writing 1,000, scoring 2,000.

use super::corpus::Corpus;
use super::outcome::Outcome;
use crate::Profile;
use anyhow::Result;

/// A profile's sizes.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// Base models, by name.
    pub models: &'static [&'static str],
    /// What is trained on.
    pub corpora: &'static [Corpus],
    /// Those of them on which the paper's objectives and plain training run and no other arm.
    pub only_objectives_on: &'static [Corpus],
    /// Seeds of the paper's objectives and of plain training: order of the data, the adapter's first weights.
    pub seeds: u64,
    /// Seeds of all other arms.
    pub other_seeds: u64,
    /// Training documents of each corpus, if it has so many; all that there are where it is `None`.
    pub rows: Option<usize>,
    /// Documents before them, on which RHO's reference is trained.
    pub clean_rows: usize,
    /// Documents per optimizer step.
    pub batch: usize,
    /// Learning rate at its peak.
    pub lr: f64,
    /// Longest document, in tokens.
    pub max_length: usize,
    /// The same of conversations.
    pub max_length_of_chat: usize,
    /// What conversations are written by, where the models have no chat template; as `model.chat_template`.
    pub template: Option<&'static str>,
    /// What every model is measured by.
    pub outcomes: &'static [Outcome],
    /// Who compares replies to AlpacaEval's instructions with plain training's, as `tokensieve evaluate --judge` takes it:
    /// `local:MODEL`, or `https://endpoint/v1#model`. Without one, overlap with references stands in its place.
    pub judge: Option<&'static str>,
    /// Questions of a task, documents of a held-out set.
    pub questions: usize,
    /// Whether the grid is thinned to one arm of each kind.
    pub thin: bool,
    /// Steps between the checkpoints that are kept of runs that figures look into.
    pub checkpoint_every: u64,
}

impl Scale {
    /// A profile's.
    pub fn of(profile: Profile) -> Self {
        match profile {
            Profile::Smoke => SMOKE,
            Profile::Laptop => LAPTOP,
            Profile::Evening => EVENING,
            Profile::Study => STUDY,
            Profile::Paper => PAPER,
        }
    }

    /// That of made-up results.
    pub(super) fn made_up() -> Self {
        MADE_UP
    }

    /// Longest document of a corpus, in tokens.
    pub fn longest(&self, corpus: Corpus) -> usize {
        if corpus == Corpus::Chat { self.max_length_of_chat } else { self.max_length }
    }

    /// Training documents of a corpus: as many as the scale asks for, or all that the clean ones leave.
    pub fn documents(&self, corpus: Corpus) -> Result<usize> {
        let there = corpus.rows()?.saturating_sub(self.clean_rows);
        Ok(self.rows.map_or(there, |rows| rows.min(there)))
    }

    /// What `of` makes of the number of training documents, corpora named that have fewer: `2000 (chat: 578)`. `None` where a
    /// profile takes all.
    pub fn each(&self, of: impl Fn(usize) -> usize) -> Option<String> {
        let rows = self.rows?;
        let few = |corpus: &Corpus| {
            let documents = self.documents(*corpus).ok().filter(|documents| *documents < rows)?;
            Some(format!("{}: {}", corpus.name(), of(documents)))
        };
        let few: Vec<String> = self.corpora.iter().filter_map(few).collect();
        let all = of(rows).to_string();
        Some(if few.is_empty() { all } else { format!("{all} ({})", few.join(", ")) })
    }

    /// Steps of a run on so many documents.
    pub fn steps(&self, documents: usize) -> usize {
        documents.div_ceil(self.batch)
    }

    /// The sizes of its training runs as a sentence for readers of the results.
    pub fn describe(&self) -> String {
        let Self { batch, lr, max_length, questions, seeds, other_seeds, .. } = self;
        let sizes = self.each(|documents| documents).zip(self.each(|documents| self.steps(documents)));
        let documents = sizes.map_or_else(
            || format!("all documents, {batch} a step"),
            |(documents, steps)| format!("{documents} documents, {batch} a step: {steps} steps"),
        );
        let seeds = if seeds == other_seeds {
            format!("{seeds} seeds of each")
        } else {
            format!(
                "{seeds} seeds of plain, masked and distilling training, {other_seeds} of every other way"
            )
        };
        format!(
            "Each model was trained on {documents}, at a learning rate of {lr} at its peak, on at most {max_length} tokens of a \
             document, and measured by at most {questions} questions or documents of a kind; {seeds}. (The paper: 32 documents a step, a learning \
             rate of 0.0001, one epoch of 7,500 to 52,000 documents.)"
        )
    }
}

/// Two steps of four short documents.
const SMOKE: Scale = Scale {
    models: &["smollm2-135m"],
    corpora: &[Corpus::Arithmetic],
    only_objectives_on: &[],
    seeds: 1,
    other_seeds: 1,
    rows: Some(8),
    clean_rows: 4,
    batch: 4,
    lr: 1e-3,
    max_length: 256,
    max_length_of_chat: 256,
    outcomes: &[Outcome::NllArithmetic, Outcome::Arithmetic, Outcome::NllGsm8k],
    template: None,
    judge: None,
    questions: 2,
    thin: true,
    checkpoint_every: 1,
};

/// Made-up results cost nothing: every arm, three seeds, all kinds of corpora, so that tests of what reads them reach every
/// row and every verdict.
const MADE_UP: Scale = Scale {
    corpora: &[Corpus::Arithmetic, Corpus::Gsm8k, Corpus::Alpaca, Corpus::Chat],
    only_objectives_on: &[Corpus::Chat],
    seeds: 3,
    other_seeds: 3,
    outcomes: &[
        Outcome::NllArithmetic,
        Outcome::Arithmetic,
        Outcome::NllGsm8k,
        Outcome::Gsm8k,
        Outcome::NllAlpaca,
        Outcome::AlpacaOverlap,
        Outcome::NllChat,
    ],
    thin: false,
    ..SMOKE
};

/// Every arm on generated problems, the paper's objectives on Alpaca too, with enough seeds to test claims about them;
/// one seed shows the rest.
const LAPTOP: Scale = Scale {
    models: &["smollm2-135m"],
    corpora: &[Corpus::Arithmetic, Corpus::Alpaca],
    only_objectives_on: &[Corpus::Alpaca],
    seeds: 3,
    other_seeds: 1,
    rows: Some(64),
    clean_rows: 32,
    batch: 8,
    lr: 5e-4,
    max_length: 512,
    max_length_of_chat: 512,
    outcomes: &[
        Outcome::NllArithmetic,
        Outcome::Arithmetic,
        Outcome::NllGsm8k,
        Outcome::NllAlpaca,
        Outcome::AlpacaOverlap,
    ],
    template: None,
    judge: None,
    questions: 24,
    thin: false,
    checkpoint_every: 2,
};

/// Every arm with three seeds on three corpora, at the laptop's sizes, so that the two profiles share runs.
const EVENING: Scale = Scale {
    corpora: &[Corpus::Arithmetic, Corpus::Gsm8k, Corpus::Alpaca],
    only_objectives_on: &[],
    other_seeds: 3,
    ..LAPTOP
};

/// The whole protocol with a small model.
const STUDY: Scale = Scale {
    corpora: &[Corpus::Arithmetic, Corpus::Gsm8k, Corpus::Alpaca, Corpus::Chat, Corpus::Instructions],
    rows: Some(2000),
    clean_rows: 400,
    batch: 32,
    lr: 2e-4,
    max_length: 1024,
    max_length_of_chat: 1024,
    outcomes: &[
        Outcome::NllArithmetic,
        Outcome::Arithmetic,
        Outcome::NllGsm8k,
        Outcome::Gsm8k,
        Outcome::NllAlpaca,
        Outcome::AlpacaOverlap,
        Outcome::NllChat,
        Outcome::NllInstructions,
        Outcome::Instructions,
        Outcome::Ifeval,
        Outcome::Medmcqa,
    ],
    questions: 200,
    checkpoint_every: 10,
    ..EVENING
};

/// The papers' models on all data.
const PAPER: Scale = Scale {
    models: &["google/gemma-2b", "google/gemma-2-2b", "meta-llama/Llama-3.2-1B"],
    corpora: &[Corpus::Gsm8k, Corpus::Alpaca, Corpus::Chat],
    rows: None,
    lr: 1e-4,
    max_length_of_chat: 2048,
    template: Some("plain"),
    judge: Some("local:Qwen/Qwen2.5-7B-Instruct"),
    questions: 2000,
    checkpoint_every: 50,
    ..STUDY
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_corpus_with_fewer_documents_than_are_wanted_is_named() {
        let sentence = Scale::of(Profile::Study).describe();
        let part = "2000 (chat: 578) documents, 32 a step: 63 (chat: 19) steps";
        assert!(sentence.contains(part), "{sentence}");
        for profile in [Profile::Smoke, Profile::Laptop, Profile::Evening] {
            let scale = Scale::of(profile);
            assert_eq!(scale.each(|documents| documents), scale.rows.map(|rows| rows.to_string()));
        }
    }
}
