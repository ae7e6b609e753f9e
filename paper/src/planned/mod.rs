//! What studies by a committed plan share: claims that are declared before the runs, seeds by stage, ways to train, outcomes
//! that the repository keeps, and tests of one family.
//!
//! | module | |
//! |---|---|
//! | [`claim`] | a claim as the plan declares it |
//! | [`arm`] | what an objective compares with, and how large the steps of a run are |
//! | [`size`] | how much of a plan a profile runs |
//! | [`stage`] | what runs are for, and the seeds of each purpose |
//! | [`outcomes`] | what came of each run, by the run's name, in a file of the repository |
//! | [`contrast`] | differences between runs, over seeds |
//! | [`decided`] | the primary claims, one family |
//! | [`power`] | what their tests will find |
//! | [`tuning`] | the choice of learning rates |
//! | [`runs`] | a study's runs: which are done and kept |
//! | [`repeated`] | kept runs done again, and compared with what is kept |
//! | [`claimed`] | runs that primary claims compare, with learning rates of their own |
//!
//! [`oracle`](crate::oracle) and [`finetune`](crate::finetune) are such studies; [`proof`](crate::proof) has no claims of that kind.

pub mod arm;
pub mod claim;
pub mod claimed;
pub mod contrast;
pub mod decided;
pub mod outcomes;
pub mod power;
pub mod repeated;
pub mod runs;
pub mod size;
pub mod stage;
pub mod tuning;

pub use arm::{PLAIN, Rate, Reference};
pub use claim::{Declared, Side};
pub use claimed::{ClaimTerm, Claimed};
pub use contrast::Difference;
pub use decided::Decided;
pub use outcomes::{Outcome, Outcomes};
pub use power::Power;
pub use runs::PlannedRuns;
pub use stage::{Seeds, Stage};
pub use tuning::{Candidates, Tried};
