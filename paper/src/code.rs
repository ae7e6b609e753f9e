//! Fingerprints of what decides the numbers of each verb of `tokensieve`: results are filed under them, and the program
//! must say the same of itself.

pub(crate) const TRAIN: &str = env!("TOKENSIEVE_CODE_TRAIN");
pub(crate) const EVALUATE: &str = env!("TOKENSIEVE_CODE_EVALUATE");
pub(crate) const UNCERTAINTY: &str = env!("TOKENSIEVE_CODE_UNCERTAINTY");
pub(crate) const MAKE: &str = env!("TOKENSIEVE_CODE_MAKE");
pub(crate) const DIAGNOSE: &str = env!("TOKENSIEVE_CODE_DIAGNOSE");
pub(crate) const TRUTH: &str = env!("TOKENSIEVE_CODE_TRUTH");
/// Of all verbs together, as `tokensieve --version` says it.
pub(crate) const ALL: &str = env!("TOKENSIEVE_CODE");
