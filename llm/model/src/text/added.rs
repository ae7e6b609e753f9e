//! The tokens that a folder's other files add to those of `tokenizer.json`, as `transformers` adds them.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};
use tokenizers::AddedToken;

use super::extras::{id, json, text};
use crate::Error;
use crate::Result;

/// The special tokens that are added before those of other names, in this order.
const NAMED: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// Adds the tokens that a file lists with their ids, then the special tokens that are still unknown. A token that gets
/// another id than the file's is an error.
pub(super) fn add(inner: &mut tokenizers::Tokenizer, folder: &Path) -> Result<()> {
    let [config, list] = ["tokenizer_config.json", "added_tokens.json"].map(|name| folder.join(name));
    let mut settings = object(&config)?;
    let (path, tokens) = if let Some(Value::Object(tokens)) = settings.get("added_tokens_decoder") {
        (&config, with_flags(tokens).map_err(|what| Error::file(&config, what))?)
    } else {
        // Files from before that key existed.
        for (key, value) in object(&folder.join("special_tokens_map.json"))? {
            settings.entry(key).or_insert(value);
        }
        let tokens = without_flags(inner, &object(&list)?, &special(&settings));
        (&list, tokens.map_err(|what| Error::file(&list, what))?)
    };
    let wrong = |error: tokenizers::Error| Error::file(path, error);
    inner.add_tokens(tokens.values().cloned()).map_err(wrong)?;
    for (id, AddedToken { content, .. }) in &tokens {
        if let Some(found) = inner.token_to_id(content).filter(|found| found != id) {
            let what = format!("`{content}` is token {id}, but with tokenizer.json it becomes token {found}");
            return Err(Error::file(
                path,
                format!("{what}; add it to tokenizer.json, or correct its number"),
            ));
        }
    }
    // Padding may be of any length, and tokens are looked for in texts.
    inner.with_padding(None);
    let new: Vec<AddedToken> =
        special(&settings).into_iter().filter(|token| !is_known(inner, &token.content)).collect();
    inner.add_tokens(new).map_err(wrong)?;
    Ok(())
}

/// The tokens of `added_tokens_decoder`. Their flags count more than those in tokenizer.json.
fn with_flags(tokens: &Map<String, Value>) -> Result<BTreeMap<u32, AddedToken>, String> {
    let one = |(key, value): (&String, &Value)| {
        let found = key.parse::<u32>().ok().zip(token(value, false));
        found.ok_or_else(|| {
            format!("added_tokens_decoder: `{key}` must be a token's number, with its `content`")
        })
    };
    tokens.iter().map(one).collect()
}

/// The tokens of `added_tokens.json`, which has their numbers alone.
fn without_flags(
    inner: &tokenizers::Tokenizer,
    tokens: &Map<String, Value>,
    special: &[AddedToken],
) -> Result<BTreeMap<u32, AddedToken>, String> {
    let added = inner.get_added_vocabulary();
    let known = |text: &str| added.get_added_tokens_decoder().get(added.get_vocab().get(text)?).cloned();
    let one = |(text, value): (&String, &Value)| {
        let is_special = special.iter().any(|token| token.content == *text);
        let token = known(text).unwrap_or_else(|| AddedToken::from(text, is_special));
        id(value).map(|id| (id, token)).ok_or_else(|| format!("`{text}` must have a token's number"))
    };
    tokens.iter().map(one).collect()
}

/// The special tokens that settings name or list, in the order in which they are added.
fn special(settings: &Map<String, Value>) -> Vec<AddedToken> {
    let mut named: Vec<(&String, &Value)> =
        settings.iter().filter(|(key, _)| key.ends_with("_token")).collect();
    named.sort_by_key(|(key, _)| NAMED.iter().position(|name| name == key).unwrap_or(NAMED.len()));
    let list = |key: &str| match settings.get(key) {
        Some(Value::Array(tokens)) => tokens.iter().collect(),
        Some(Value::Object(tokens)) => tokens.values().collect(),
        _ => Vec::new(),
    };
    // The second is an older name of the first.
    let lists = ["extra_special_tokens", "additional_special_tokens"].map(list);
    let listed = lists.into_iter().find(|list| !list.is_empty()).unwrap_or_default();
    named.into_iter().map(|(_, value)| value).chain(listed).filter_map(|value| token(value, true)).collect()
}

/// A token: its text, or an object with flags.
fn token(value: &Value, is_special: bool) -> Option<AddedToken> {
    let flag = |key: &str| value[key].as_bool();
    let is_special = is_special || flag("special") == Some(true);
    let token = AddedToken::from(text(value)?, is_special)
        .single_word(flag("single_word") == Some(true))
        .lstrip(flag("lstrip") == Some(true))
        .rstrip(flag("rstrip") == Some(true));
    Some(match flag("normalized") {
        Some(normalized) => token.normalized(normalized),
        None => token,
    })
}

/// Whether this token is found in texts: as an added one, or because the vocabulary's own steps lead to it.
fn is_known(inner: &tokenizers::Tokenizer, text: &str) -> bool {
    inner.get_added_vocabulary().get_vocab().contains_key(text)
        || inner
            .token_to_id(text)
            .is_some_and(|id| inner.encode(text, false).is_ok_and(|encoding| encoding.get_ids() == [id]))
}

fn object(path: &Path) -> Result<Map<String, Value>> {
    Ok(match json(path)? {
        Some(Value::Object(mut map)) => {
            map.retain(|_, value| !value.is_null());
            map
        }
        _ => Map::new(),
    })
}
