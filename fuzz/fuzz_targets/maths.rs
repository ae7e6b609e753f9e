//! No pair of answers breaks equality in mathematics; every answer equals itself.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tokensieve_tasks::maths::{boxed, equal, found};

fuzz_target!(|text: &str| {
    let (one, other) = text.split_once('\n').unwrap_or((text, text));
    let _ = (found(text), boxed(text));
    assert_eq!(equal(one, other), equal(one, other));
    assert!(equal(one, one) || one.trim().is_empty(), "{one:?} is not itself");
});
