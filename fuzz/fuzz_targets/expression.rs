//! No text breaks the reader of expressions, and what it read prints as something that reads the same.
//! Run: `cargo +nightly fuzz run expression`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tokensieve_objective::{Expression, TokenStats, expression::MAX_LENGTH};

fuzz_target!(|text: &str| {
    if let Ok(expression) = Expression::parse(text) {
        let printed = expression.to_string();
        // Blanks and brackets may make a long text too long.
        if printed.chars().count() <= MAX_LENGTH {
            assert_eq!(Expression::parse(&printed).expect("what is printed can be read"), expression);
        }
        let token = TokenStats { reference_loss: Some(1.0), ..TokenStats::new(0.7, 1.2) };
        let _ = (expression.value(&token), expression.pull().value(&token), expression.simplified());
    }
});
