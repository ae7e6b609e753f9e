//! The study in the oracle language, where the distribution of every next token is known exactly.
//!
//! | module | |
//! |---|---|
//! | [`plan`] | the committed plan, `paper/plans/oracle.toml`: what is run, what is claimed |
//! | [`tuning`] | the choice of learning rates |
//! | [`power`] | what the primary claims' tests will find |
//! | [`work`] | the runs that it asks for, as jobs of the lab |
//! | [`proxies`] | which stand-ins for ignorance find it |
//! | [`measures`] | what a model was measured to be on a set of documents |
//! | [`outcome`] | what came of each run, kept in the repository |
//! | [`exact`] | documents with every token's exact numbers |
//! | [`row`] | rows of the figures' tables |
//! | [`decided`] | the primary claims |
//! | [`contrast`] | differences between runs, over seeds |

pub mod contrast;
pub mod decided;
pub mod exact;
pub mod measures;
pub mod outcome;
pub mod plan;
pub mod power;
pub mod proxies;
pub mod row;
pub mod tuning;
pub mod work;

pub use contrast::Difference;
pub use decided::Decided;
pub use outcome::{Outcome, Outcomes};
pub use plan::{Cell, Plan, Quantity, Rate, Term};
pub use power::Power;
pub use row::{Grid, Row, Study};
pub use work::{Stage, Work};
