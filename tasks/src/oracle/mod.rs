//! The oracle language: synthetic documents in which the distribution of every next token is known exactly.
//!
//! A document begins with a delimiter that determines its style, and consists of records:
//!
//! | record | example | what predicts its tokens |
//! |---|---|---|
//! | about a key | `Fαν=3;` | a **fact**: one value per key, learnt only by seeing it; keys are frequent or rare. Or a **choice**: several values with known probabilities, in the same position |
//! | chain | `R3+5=8-9=c;` | a **rule**: arithmetic modulo 13, each result from the number before it as written; operands by Zipf's law |
//! | list | `C31f\|31f;` | a **copy** of what precedes `\|` |
//!
//! Everything else is structure, or drawn afresh with known probabilities. [`Language::next`] gives p*(next | prefix) in
//! closed form, and documents are sampled from that very function, so the probabilities are exact by construction.
//!
//! Post-training uses the second style, other values for a fifth of the facts, and a new rule, `a#b` = 2a + b. At a
//! known rate facts and results are wrong ([`Noise`]): a row flags these, the text does not. Where paraphrases are on, each
//! value of a fact has three spellings, all right: the continuation is uncertain without being noisy.
//!
//! A text has one character per token ([`symbols`]), and at most 127 of them.

mod language;
mod rows;
mod state;
mod vocabulary;
mod world;

pub use language::{Class, Language, Next, Noise, Prediction, Settings};
pub use rows::{Sample, read};
pub use vocabulary::{Token, symbols, text, tokens};
pub use world::{Entry, Sizes, World};

use serde_json::{Value, json};
use tokensieve_base::streams::HashedStream;

use crate::{Error, Result};

/// The splits that [`settings`] knows; N is a rate in percent.
pub const SPLITS: &str = "pretrain, train, test, deep, uniform-N, confusable-N, paraphrase";

/// What a split's documents are: `pretrain`; of post-training `train`, `test`, `deep` (chains of five to eight steps),
/// `uniform-N` and `confusable-N` (N % of facts and results are wrong), `paraphrase`.
pub fn settings(split: &str) -> Result<Settings> {
    let post = Settings { post_training: true, ..Settings::default() };
    let noisy = |percent: &str, noise| {
        let percent = percent.parse().ok().filter(|percent: &u8| *percent <= 100)?;
        Some(Settings { noise_rate: f64::from(percent) / 100.0, noise, ..post })
    };
    let found = match (split, split.split_once('-')) {
        ("pretrain", _) => Some(Settings::default()),
        ("train" | "test", _) => Some(post),
        ("deep", _) => Some(Settings { steps: (5, 8), ..post }),
        ("paraphrase", _) => Some(Settings { paraphrases: true, ..post }),
        (_, Some(("uniform", percent))) => noisy(percent, Noise::Uniform),
        (_, Some(("confusable", percent))) => noisy(percent, Noise::Confusable),
        _ => None,
    };
    found.ok_or_else(|| Error::Setting(format!("no split is called `{split}`; there are {SPLITS}")))
}

/// Row `index` of a split: `text`, and in `tokens` for each of its characters the class, the entropy of the exact
/// distribution in nats, the probability of the character, and whether it is a wrong value.
pub fn row(language: &Language, seed: u64, split: &str, index: u64) -> Value {
    let name = format!("oracle/{split}/{seed}/{index}");
    let document = language.document(&mut HashedStream::new(seed, &format!("oracle/{split}/{index}")));
    let tokens: Vec<Token> = document.iter().map(|(token, _)| *token).collect();
    let column = |value: fn(Token, &Next) -> Value| -> Vec<Value> {
        document.iter().map(|(token, next)| value(*token, next)).collect()
    };
    json!({
        "id": name,
        "text": text(&tokens),
        "tokens": {
            "class": column(|_, next| next.class.name().into()),
            "entropy": column(|_, next| next.entropy().into()),
            "p": column(|token, next| next.p(token).into()),
            "wrong": column(|token, next| next.is_wrong(token).into()),
        },
    })
}

#[cfg(test)]
mod tests;
