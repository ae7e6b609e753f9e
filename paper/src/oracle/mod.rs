//! The study in the oracle language, where the distribution of every next token is known exactly.
//!
//! | module | |
//! |---|---|
//! | [`plan`] | the committed plan, `paper/plans/oracle.toml`: what is run, what is claimed |
//! | [`work`] | the runs that it asks for, as jobs of the lab |
//! | [`proxies`] | which stand-ins for ignorance find it |
//! | [`measures`] | what a model was measured to be on a set of documents |
//! | [`outcome`] | what came of each run, kept in the repository |
//! | [`exact`] | documents with every token's exact numbers |
//! | [`row`] | rows of the figures' tables |

pub mod exact;
pub mod measures;
pub mod outcome;
pub mod plan;
pub mod proxies;
pub mod row;
pub mod work;

pub use crate::planned::{Rate, Stage};
pub use outcome::Outcomes;
pub use plan::{Cell, Plan, Quantity, Term};
pub use row::{Grid, OracleMean, Study};
pub use work::Work;
