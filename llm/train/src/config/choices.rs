//! Keys whose value is one of a few words: each word and its meaning, in the one table that checking, the listing and
//! reading come from.

use tokensieve_documents::Truncate;

/// How the learning rate falls after the warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Half a cosine.
    Cosine,
    /// A straight line.
    Linear,
    /// It does not fall.
    Constant,
}

/// How documents are ranked, for objectives that choose documents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ranking {
    /// By the model as it is trained.
    #[default]
    Exact,
    /// By an int8 forward pass.
    Int8,
}

/// Which rule turns a gradient into a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OptimizerName {
    AdamW,
    Sgd,
}

pub(super) const TRUNCATE: [(&str, Truncate); 2] = [("no", Truncate::Never), ("end", Truncate::End)];
pub(super) const OPTIMIZER: [(&str, OptimizerName); 2] =
    [("adamw", OptimizerName::AdamW), ("sgd", OptimizerName::Sgd)];
pub(super) const SCHEDULE: [(&str, Shape); 3] =
    [("cosine", Shape::Cosine), ("linear", Shape::Linear), ("constant", Shape::Constant)];
pub(super) const RANKING: [(&str, Ranking); 2] = [("exact", Ranking::Exact), ("int8", Ranking::Int8)];

/// The words of a table.
pub(super) const fn words<T: Copy, const N: usize>(table: &[(&'static str, T); N]) -> [&'static str; N] {
    let mut words = [""; N];
    let mut i = 0;
    while i < N {
        words[i] = table[i].0;
        i += 1;
    }
    words
}
