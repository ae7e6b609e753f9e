//! The numbers that a model is held in and computes with.

use tch::Kind;
use tokensieve_kernels::kind_name;

/// The numbers that a model is held in and computes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Precision {
    /// What it computes with: the type of activations, embeddings and, unless they are in four bits, matrices.
    pub kind: Kind,
    /// Whether the layers' matrices are held in four bits ([`Nf4Weight`](tokensieve_kernels::Nf4Weight)): frozen, in a little
    /// more than a fourth of the memory.
    pub nf4: bool,
}

/// What a user may write: each word, the type to compute with (`None`: what the processor is fastest with), and whether
/// matrices are held in four bits.
const WORDS: [(&str, Option<Kind>, bool); 6] = [
    ("auto", None, false),
    ("bf16", Some(Kind::BFloat16), false),
    ("f32", Some(Kind::Float), false),
    ("nf4", None, true),
    ("nf4-bf16", Some(Kind::BFloat16), true),
    ("nf4-f32", Some(Kind::Float), true),
];

impl Precision {
    /// The words that [`Precision::named`] knows.
    pub const NAMES: [&str; WORDS.len()] = {
        let mut names = [""; WORDS.len()];
        let mut i = 0;
        while i < WORDS.len() {
            names[i] = WORDS[i].0;
            i += 1;
        }
        names
    };

    /// What a word means where `fastest` is computed with fastest; `None` for other words.
    pub fn named(word: &str, fastest: Kind) -> Option<Self> {
        let (_, kind, nf4) = WORDS.into_iter().find(|(name, ..)| *name == word)?;
        Some(Self { kind: kind.unwrap_or(fastest), nf4 })
    }

    /// The word that names it on every processor.
    pub fn name(self) -> &'static str {
        match (self.nf4, self.kind) {
            (false, kind) => kind_name(kind),
            (true, Kind::Float) => "nf4-f32",
            (true, _) => "nf4-bf16",
        }
    }
}

impl From<Kind> for Precision {
    fn from(kind: Kind) -> Self {
        Self { kind, nf4: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_precision_is_known_by_its_name_everywhere() {
        for word in Precision::NAMES {
            let meant = Precision::named(word, Kind::Float).unwrap();
            for fastest in [Kind::Float, Kind::BFloat16] {
                assert_eq!(Precision::named(meant.name(), fastest), Some(meant));
            }
        }
        assert_eq!(Precision::named("nf4", Kind::BFloat16).unwrap().name(), "nf4-bf16");
        assert_eq!(Precision::named("int4", Kind::Float), None);
    }
}
