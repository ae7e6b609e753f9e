//! What a tokenizer makes of a folder's other files.

use serde_json::{Value, json};

use crate::text::tests::fixtures;
use crate::text::{Moment, Tokenizer};

/// The tokenizer of a folder whose tokenizer.json has `<|user|>`, which takes in the blanks behind it, with other files
/// beside it.
fn with_files(files: &[(&str, Value)]) -> Result<Tokenizer, String> {
    let folder = tempfile::tempdir().unwrap();
    let source = std::fs::read_to_string(fixtures().join("tokenizer/tokenizer.json")).unwrap();
    let mut json: Value = serde_json::from_str(&source).unwrap();
    let mut user = described("<|user|>", true);
    user["id"] = json!(420);
    json["added_tokens"].as_array_mut().unwrap().push(user);
    for (name, content) in [("tokenizer.json", json)].iter().chain(files) {
        std::fs::write(folder.path().join(name), content.to_string()).unwrap();
    }
    let tokenizer = Tokenizer::from_folder(folder.path(), None, Moment::default());
    tokenizer.map_err(|error| error.to_string())
}

fn described(text: &str, takes_blanks: bool) -> Value {
    json!({
        "content": text, "special": true,
        "single_word": false, "lstrip": false, "rstrip": takes_blanks, "normalized": false,
    })
}

const CONFIG: &str = "tokenizer_config.json";
const LIST: &str = "added_tokens.json";
const MAP: &str = "special_tokens_map.json";

/// What transformers 5.23 makes of the same folders.
#[test]
fn tokens_of_a_folders_other_files_are_added() {
    let text = "a<|user|>\n  b <|tool|>c";
    let letters: [u32; 8] = [30, 94, 86, 81, 81, 78, 94, 32];
    let lacking = [&[67, 420, 68, 223][..], &letters, &[69]].concat();
    let kept = [&[67, 420, 201, 223, 223, 68, 223][..], &letters, &[69]].concat();
    let added = vec![67, 420, 68, 223, 421, 69];
    let (user, tool) = (described("<|user|>", true), described("<|tool|>", false));
    for (files, tokens) in [
        (vec![], &lacking),
        (vec![(CONFIG, json!({"added_tokens_decoder": {"420": user}}))], &lacking),
        (
            vec![(
                CONFIG,
                json!({"added_tokens_decoder": {"420": {"content": "<|user|>", "special": true}}}),
            )],
            &kept,
        ),
        (vec![(CONFIG, json!({"added_tokens_decoder": {"421": tool, "420": user}}))], &added),
        (vec![(LIST, json!({"<|tool|>": 421, "<|user|>": 420}))], &added),
        // Where one file describes the tokens, the others do not count.
        (vec![(CONFIG, json!({"added_tokens_decoder": {}})), (LIST, json!({"<|tool|>": 421}))], &lacking),
        (
            vec![(CONFIG, json!({"added_tokens_decoder": {}})), (MAP, json!({"pad_token": "<|tool|>"}))],
            &lacking,
        ),
        (vec![(MAP, json!({"additional_special_tokens": ["<|tool|>"]}))], &added),
        (vec![(CONFIG, json!({"additional_special_tokens": ["<|tool|>"]}))], &added),
        (vec![(CONFIG, json!({"extra_special_tokens": {"tool_token": "<|tool|>"}}))], &added),
        (vec![(CONFIG, json!({"a_token": "<|a|>", "pad_token": "<|tool|>"}))], &added),
    ] {
        let tokenizer = with_files(&files).unwrap();
        assert_eq!(&tokenizer.encode(text).unwrap(), tokens, "{files:?}");
    }
    // Generation stops at such a token.
    assert_eq!(with_files(&[(CONFIG, json!({"eos_token": "<|tool|>"}))]).unwrap().eos(), [421]);
}

#[test]
fn files_that_agree_change_nothing() {
    let config = json!({"eos_token": "<|im_end|>", "pad_token": "c"});
    let alone = with_files(&[(CONFIG, config.clone())]).unwrap();
    let mut described_too = config.clone();
    described_too["added_tokens_decoder"] = json!({"420": described("<|user|>", true)});
    let special = json!({"additional_special_tokens": ["<|user|>"]});
    for files in [
        vec![(CONFIG, described_too)],
        vec![(CONFIG, config), (LIST, json!({"<|user|>": 420})), (MAP, special)],
    ] {
        assert_eq!(with_files(&files).unwrap().hash().unwrap(), alone.hash().unwrap(), "{files:?}");
    }
    // A character of the vocabulary, found in texts as it is.
    assert_eq!(alone.text_of(69).as_deref(), Some("c"));
}

#[test]
fn added_tokens_that_would_get_another_number_are_refused() {
    for (file, content, complaint) in [
        (
            CONFIG,
            json!({"added_tokens_decoder": {"430": described("<|tool|>", false)}}),
            "`<|tool|>` is token 430, but with tokenizer.json it becomes token 421",
        ),
        (
            LIST,
            json!({"<|user|>": 421}),
            "`<|user|>` is token 421, but with tokenizer.json it becomes token 420",
        ),
        (CONFIG, json!({"added_tokens_decoder": {"x": {"content": "y"}}}), "`x` must be a token's number"),
        (
            CONFIG,
            json!({"added_tokens_decoder": {"421": {}}}),
            "`421` must be a token's number, with its `content`",
        ),
        (LIST, json!({"<|tool|>": "421"}), "`<|tool|>` must have a token's number"),
    ] {
        let error = with_files(&[(file, content)]).unwrap_err();
        assert!(error.contains(&format!("{file}: ")) && error.contains(complaint), "{error}");
    }
}
