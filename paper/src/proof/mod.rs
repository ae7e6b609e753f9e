//! The proof of `tokensieve diagnose`: what it recommends on settings that nobody had run, beside what each candidate came to.
//!
//! | module | |
//! |---|---|
//! | [`plan`] | the committed plan, `paper/plans/proof.toml` |
//! | [`work`] | settings, and the runs that they ask for, as jobs of the lab |
//! | [`outcome`] | what came of each setting, kept in the repository |
//! | [`rule`] | what is recommended: by the program, or whatever the setting |
//! | [`row`] | rows of the figure's table |

pub mod outcome;
pub mod plan;
pub mod row;
pub mod rule;
pub mod work;

pub use outcome::{Found, Outcomes};
pub use plan::Plan;
pub use row::Choice;
pub use rule::Rule;
pub use work::{Setting, Work};
