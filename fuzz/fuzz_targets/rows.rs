//! No JSON lines break the reader of rows: each is tokenised, or listed with its reason.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|content: &[u8]| tokensieve_fuzz::rows("rows.jsonl", content));
