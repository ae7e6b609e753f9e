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
//! | [`asked`] | what figures claim beside the primary claims |
//! | [`drawn`] | panels that the figures share |

pub mod asked;
pub mod drawn;
pub mod measures;
pub mod outcome;
pub mod plan;
pub mod row;
pub mod scored;
pub mod work;

pub use asked::{Asked, Place};

pub use measures::Quantity;
pub use outcome::Outcomes;
pub use plan::{Cell, Plan, Term};
pub use row::{Row, Study};
pub use work::Work;
