//! No tokenizer.json breaks the reader; what it accepts encodes, decodes, and says where replies end.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tokensieve_model::text::{Message, Moment, Tokenizer};

fuzz_target!(|content: &[u8]| {
    let folder = tokensieve_fuzz::model();
    tokensieve_fuzz::file("tokenizer.json", content);
    let Ok(tokenizer) = Tokenizer::from_folder(folder, None, Moment::default()) else { return };
    if let Ok(tokens) = tokenizer.encode("ab 1.\né 中") {
        let _ = (tokenizer.decode(&tokens).is_ok(), tokenizer.pieces(&tokens).is_ok());
    }
    let _ = tokenizer.chat_prompt(&[Message::new("user", "a 1")], &[]).is_ok();
});
