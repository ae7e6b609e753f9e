//! A tokenizer of which every token is one character, for models that are trained from a random initialisation.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::source::BuiltTokenizer;

/// The special token that begins every text.
const BEGIN: &str = "<|begin|>";

/// The special token that ends a text, where no character does.
const END: &str = "<|end|>";

/// The tokenizer of an alphabet: a character's token is its index. [`BEGIN`] follows, and [`END`] unless `end` names a
/// character that ends a text. A text with any other character is an error.
pub(crate) fn characters(alphabet: &str, end: Option<&str>) -> Result<BuiltTokenizer, String> {
    let mut seen = BTreeSet::new();
    if let Some(twice) = alphabet.chars().find(|character| !seen.insert(*character)) {
        return Err(format!("`characters` has `{twice}` twice"));
    }
    let is_character = |text: &str| text.chars().count() == 1 && alphabet.contains(text);
    if let Some(end) = end.filter(|end| !is_character(end)) {
        return Err(format!("`end` is `{end}`; it must be one of `characters`"));
    }
    let special: Vec<&str> = if end.is_some() { vec![BEGIN] } else { vec![BEGIN, END] };
    let texts = alphabet.chars().map(String::from).chain(special.iter().map(|token| (*token).to_owned()));
    let vocabulary: Map<String, Value> = texts.zip(0_u32..).map(|(text, id)| (text, json!(id))).collect();
    let added: Vec<Value> = special.iter().map(|token| added(token, &vocabulary)).collect();
    let end = end.unwrap_or(END);
    let begin = json!({"SpecialToken": {"id": BEGIN, "type_id": 0}});
    let [text, pair] =
        [("A", 0), ("B", 1)].map(|(id, kind)| json!({"Sequence": {"id": id, "type_id": kind}}));
    let tokenizer = json!({
        "version": "1.0",
        "added_tokens": added,
        "pre_tokenizer": {"type": "Split", "pattern": {"Regex": r"[\s\S]"}, "behavior": "Isolated", "invert": false},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [begin, text],
            "pair": [begin, text, pair],
            "special_tokens": {BEGIN: {"id": BEGIN, "ids": [vocabulary[BEGIN]], "tokens": [BEGIN]}},
        },
        "decoder": {"type": "Fuse"},
        // No character stands for those that are unknown: they are errors.
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "<|unknown|>"},
    });
    Ok(BuiltTokenizer {
        tokenizer: tokenizer.to_string().parse().map_err(|error| format!("{error}"))?,
        chat_template: None,
        tool_use: None,
        bos: Some(BEGIN.to_owned()),
        eos: Some(end.to_owned()),
        unk: None,
        pad: Some(end.to_owned()),
        add_bos: true,
        add_eos: false,
    })
}

/// A special token, as tokenizer.json describes it.
fn added(token: &str, vocabulary: &Map<String, Value>) -> Value {
    json!({
        "id": vocabulary[token], "content": token, "special": true,
        "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(built: &BuiltTokenizer, text: &str, special: bool) -> Vec<u32> {
        built.tokenizer.encode(text, special).unwrap().get_ids().to_vec()
    }

    #[test]
    fn a_token_is_a_characters_index() {
        let built = characters("α b\n$", Some("$")).unwrap();
        assert_eq!(ids(&built, "b α\n$", false), [2, 1, 0, 3, 4]);
        assert_eq!(ids(&built, "b", true), [5, 2]);
        assert_eq!(built.tokenizer.get_vocab_size(true), 6);
        assert_eq!(built.tokenizer.decode(&[2, 1, 0, 3, 4], false).unwrap(), "b α\n$");
        assert!(built.tokenizer.encode("c", false).is_err());
        let built = characters("ab", None).unwrap();
        assert_eq!(ids(&built, "ab<|end|>", true), [2, 0, 1, 3]);
        assert_eq!(built.eos.as_deref(), Some("<|end|>"));
    }

    #[test]
    fn an_alphabet_has_every_character_once_and_its_end() {
        assert_eq!(characters("aba", None).unwrap_err(), "`characters` has `a` twice");
        for end in ["c", "ab", ""] {
            assert!(characters("ab", Some(end)).unwrap_err().contains("one of `characters`"), "{end}");
        }
    }
}
