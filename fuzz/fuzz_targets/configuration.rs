//! No configuration breaks its reader; what it accepts is derived anew without a difference.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::path::Path;
use tokensieve_train::config::Config;

fuzz_target!(|text: &str| {
    let Ok(config) = Config::parse(Path::new("train.toml"), text, &[]) else { return };
    let differences = config.differences(&config.derived()).expect("what is derived can be read");
    assert!(differences.is_empty(), "{differences:?}");
    assert_eq!(config.hash().len(), 64);
});
