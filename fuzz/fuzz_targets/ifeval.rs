//! No reply and no argument breaks IFEval's checks.

#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use tokensieve_tasks::ifeval::{check, check_loosely, names};

fuzz_target!(|input: (u8, &str, &str, &str)| {
    let (which, arguments, prompt, reply) = input;
    let instruction = names().nth(usize::from(which) % names().count()).expect("one of them");
    let arguments: Value = serde_json::from_str(arguments).unwrap_or_default();
    let strict = check(instruction, &arguments, prompt, reply);
    let loose = check_loosely(instruction, &arguments, prompt, reply);
    if let (Ok(true), Ok(loose)) = (strict, loose) {
        assert!(loose, "{instruction} holds strictly and not loosely");
    }
});
