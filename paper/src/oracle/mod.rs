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

pub use contrast::{Difference, Term};
pub use outcome::{Outcome, Outcomes, Quantity};
pub use plan::Plan;
pub use work::{Cell, Rate, Stage, Work};
