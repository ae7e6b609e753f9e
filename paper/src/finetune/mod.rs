//! The study of a fine-tuned language model: both papers' claims on a real model, by a committed plan.
//!
//! | module | |
//! |---|---|
//! | [`plan`] | the committed plan, `paper/plans/study.toml`: what is run, what is claimed |
//! | [`work`] | the runs that it asks for, as jobs of the lab |
//! | [`measures`] | what a model was measured to be: answers to questions, losses of held-out documents |
//! | [`outcome`] | what came of each run, kept in the repository |

pub mod measures;
pub mod outcome;
pub mod plan;
pub mod work;

pub use measures::Quantity;
pub use outcome::Outcomes;
pub use plan::{Cell, Plan, Term};
pub use work::Work;
