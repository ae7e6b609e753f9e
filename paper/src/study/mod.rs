//! Language models as they are: whose documents' tokens are scored, and what models are called.
//!
//! | module | |
//! |---|---|
//! | [`scoring`] | documents whose tokens are scored by chat models |
//! | [`models`] | models' names, and what is drawn and claimed of each |
//! | [`steps`] | how long a training run's steps took |

pub mod models;
pub mod scoring;
pub mod steps;
