//! Rows of the oracle language as documents of a model: one token per symbol.

use tokensieve_model::text::{Conversation, Message, Tokenizer};
use tokensieve_model::{Document, Error, Result};
use tokensieve_tasks::oracle::{Sample, symbols};

/// The model's token for each symbol of the oracle language, in the order of the symbols. Each must be one token.
pub fn symbol_tokens(tokenizer: &Tokenizer) -> Result<Vec<u32>> {
    let token = |symbol: char| {
        let text = symbol.to_string();
        let tokens =
            tokenizer.encode(&text).map_err(|error| no_token(tokenizer, symbol, &error.to_string()))?;
        let [token] = tokens[..] else {
            return Err(no_token(tokenizer, symbol, &format!("it becomes {} tokens", tokens.len())));
        };
        // An unknown character is one token too, but of another text.
        match tokenizer.decode(&[token])? {
            written if written == text => Ok(token),
            written => Err(no_token(tokenizer, symbol, &format!("it becomes `{written}`"))),
        }
    };
    symbols().into_iter().map(token).collect()
}

fn no_token(tokenizer: &Tokenizer, symbol: char, why: &str) -> Error {
    let what = format!(
        "the tokenizer has no token for the symbol `{symbol}` ({why}); the oracle language needs a tokenizer with one token per \
         symbol"
    );
    Error::file(tokenizer.path(), what)
}

/// The document of a row as training and `uncertainty` read it, without the end-of-text token that they may add.
pub(super) fn document(tokenizer: &Tokenizer, symbols: &[u32], row: &Sample) -> Result<Document, String> {
    let completion = Message::new("assistant", row.text.as_str());
    let text = Conversation::Plain { prompt: String::new(), completion };
    let mut documents = tokenizer.try_documents(&text, row.row)?;
    let (Some(mut document), true) = (documents.pop(), documents.is_empty()) else {
        return Err("is not one document".to_owned());
    };
    let before = tokenizer.leading().len();
    let expected: Vec<u32> = row.tokens.iter().map(|token| symbols[usize::from(token.0)]).collect();
    let found = document.tokens.iter().skip(before).take(expected.len());
    if !found.eq(&expected) {
        return Err(format!("the tokenizer does not encode `{}` character by character", row.text));
    }
    document.tokens.truncate(before + expected.len());
    document.weights.truncate(before + expected.len());
    Ok(document)
}
