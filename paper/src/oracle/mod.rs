//! The study in the oracle language, where the distribution of every next token is known exactly.
//!
//! | module | |
//! |---|---|
//! | [`plan`] | the committed plan, `paper/plans/oracle.toml`: what is run, what is claimed |
//! | [`tuning`] | the choice of learning rates |
//! | [`work`] | the runs that it asks for, as jobs of the lab |
//! | [`proxies`] | which stand-ins for ignorance find it |
//! | [`outcome`] | what came of each run, kept in the repository |
//! | [`exact`] | documents with every token's exact numbers |
//! | [`row`] | rows of the figures' tables |
//! | [`decided`] | the primary claims |
//! | [`contrast`] | differences between runs, over seeds |

pub mod contrast;
pub mod decided;
pub mod exact;
pub mod outcome;
pub mod plan;
pub mod proxies;
pub mod row;
pub mod tuning;
pub mod work;

/// How the ids of the study's figures begin.
pub const FIGURES: &str = "oracle";

pub use contrast::Difference;
pub use decided::Decided;
pub use outcome::{Outcome, Outcomes};
pub use plan::{Cell, Plan, Quantity, Rate, Term};
pub use row::{Grid, Row, Study};
pub use work::{Stage, Work};
