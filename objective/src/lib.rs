//! Objectives for post-training on the tokens that matter: from a few scalars per token to two pulls.

mod check;
mod error;
pub mod expression;
mod objective;
pub mod presets;
mod pull;
pub mod quantile;
mod rank;
mod schedule;
mod select;
mod settings;
mod stats;
mod training;

pub use error::Error;
pub use expression::{Expression, Variable};
pub use objective::{Against, Normalise, Objective};
pub use pull::{Pull, cross_entropy, gradient, gradient_in_place};
pub use schedule::{Plan, Schedule};
pub use select::{Band, Criterion, Granularity, Selection, Within};
pub use settings::{KEYS, Key};
pub use stats::TokenStats;
pub use training::{Pulls, Training};
