//! No chat template breaks the renderer, and none goes on beyond its limits.

#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::json;
use tokensieve_model::text::{Message, Moment, Template};

fuzz_target!(|source: &str| {
    let tokens = [("eos_token".to_owned(), "<end>".to_owned())];
    let Ok(template) = Template::new(source, tokens, Moment::default()) else { return };
    let messages = [Message::new("system", "a"), Message::new("user", "b\n1"), Message::new("assistant", "é")];
    let tools = [json!({"type": "function", "function": {"name": "add", "parameters": {"x": [1, 2.5, null]}}})];
    let _ = (template.render(&messages, &tools, false).is_ok(), template.render(&messages[..2], &[], true).is_ok());
});
