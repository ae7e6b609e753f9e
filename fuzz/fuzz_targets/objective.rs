//! No TOML breaks the reader of objectives, and what it accepts can be run.
//! Run: `cargo +nightly fuzz run objective`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tokensieve_objective::{Objective, Plan, TokenStats};

fuzz_target!(|text: &str| {
    if let Ok(objective) = Objective::from_toml(text) {
        let _ = objective.describe().to_string();
        let tokens = [TokenStats::new(0.0, 0.0), TokenStats::new(0.7, 1.2), TokenStats::new(30.0, 3.0)];
        if let Ok(pulls) = objective.begin(Plan { steps: 3, seed: 0 }).pulls(&tokens) {
            assert!(pulls.normaliser > 0.0 && pulls.normaliser.is_finite());
            assert!(pulls.pulls.iter().all(|pull| pull.label.is_finite() && pull.reference.is_finite()));
        }
    }
});
