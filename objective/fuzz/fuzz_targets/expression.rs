//! No text breaks the reader of expressions, and what it read prints as something that reads the same.
//! Run: `cargo +nightly fuzz run expression`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tokensieve_objective::{Expression, TokenStats};

fuzz_target!(|text: &str| {
    if let Ok(expression) = Expression::parse(text) {
        let again = Expression::parse(&expression.to_string()).expect("what is printed can be read");
        assert_eq!(again, expression);
        let token = TokenStats { reference_loss: Some(1.0), ..TokenStats::new(0.7, 1.2) };
        let _ = (expression.value(&token), expression.pull().value(&token), expression.simplified());
    }
});
