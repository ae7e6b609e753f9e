//! The study of a fine-tuned language model: both papers' claims on a real model, by a committed plan.
//!
//! | module | |
//! |---|---|
//! | [`plan`] | the committed plan, `paper/plans/study.toml`: what is run, what is claimed |
//! | [`work`] | the runs that it asks for, as jobs of the lab |
//! | [`scored`] | runs whose held-out tokens are scored one by one |
//! | [`measures`] | what a model was measured to be: answers to questions, losses of held-out documents |
//! | [`outcome`] | what came of each run, kept in the repository |
//! | [`row`] | rows of the figures' tables: means over seeds |
//! | [`comparison`] | what figures claim beside the primary claims |
//! | [`panels`] | panels that the figures share |

pub mod comparison;
pub mod measures;
pub mod outcome;
pub mod panels;
pub mod plan;
pub mod row;
pub mod scored;
pub mod work;

pub use comparison::{Comparison, Place};

pub use measures::Quantity;
pub use outcome::Outcomes;
pub use plan::{Cell, Plan, Term};
pub use row::{SeedMean, Study};
pub use work::Work;
