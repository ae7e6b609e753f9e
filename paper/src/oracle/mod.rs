//! The study in the oracle language, where the distribution of every next token is known exactly.
//!
//! | module | |
//! |---|---|
//! | [`plan`] | the committed plan, `paper/plans/oracle.toml`: what is run, what is claimed |
//! | [`work`] | the runs that it asks for, as jobs of the lab |
//! | [`outcome`] | what came of each run, kept in the repository |
//! | [`contrast`] | differences between runs, over seeds |

pub mod contrast;
pub mod outcome;
pub mod plan;
pub mod work;

pub use contrast::Difference;
pub use outcome::{Outcome, Outcomes};
pub use plan::{Plan, Quantity, Rate, Term};
pub use work::{Cell, Stage, Work};
