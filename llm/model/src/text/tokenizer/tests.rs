//! What tokenizers make of the files of a folder, and of a template that takes the place of the model's own.

use std::fs;

use serde_json::{Value, json};

use crate::text::tests::{fixtures, small, trained, turns};
use crate::text::{ChatTemplate, Conversation, Moment, Tokenizer};

#[test]
fn a_chosen_template_takes_the_place_of_the_models_own() {
    let folder = fixtures().join("tokenizer");
    let eos = small().decode(&small().eos()[..1]).unwrap();
    let plain = ChatTemplate::read("plain").unwrap();
    let tokenizer = Tokenizer::from_folder(&folder, Some(&plain), Moment::default()).unwrap();
    let messages = turns(&["Two and two?", "Four.", "And three?", "Seven.\n"]);
    let headed = |role: &str, text: &str| format!("### {role}:\n{text}");
    let (first, second) = (headed("Assistant", "Four."), headed("Assistant", "Seven.\n"));
    let (asked, again) = (headed("User", "Two and two?"), headed("User", "And three?"));
    let text = tokenizer.render(&messages, &[], false).unwrap();
    assert!(text.ends_with(&format!("{asked}\n\n{first}{eos}\n\n{again}\n\n{second}{eos}\n\n")), "{text}");
    let prompt = tokenizer.render(&messages[..1], &[], true).unwrap();
    assert!(text.starts_with(&prompt) && prompt.ends_with("### Assistant:\n"), "{prompt}");
    // The token that ends a turn is learnt, what stands between turns is not.
    let document = tokenizer.document(&Conversation::chat(messages), 0).unwrap();
    assert_eq!(trained(&tokenizer, &document), [format!("Four.{eos}"), format!("Seven.\n{eos}")]);
}

#[test]
fn a_chosen_template_counts_more_than_an_adapters_and_a_wrong_one_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let plain = ChatTemplate::read("plain").unwrap();
    let of = |chosen| ChatTemplate::resolve(chosen, Some(folder.path()));
    assert_eq!(of(None).unwrap(), None);
    let path = folder.path().join("chat_template.jinja");
    fs::write(&path, "of the adapter").unwrap();
    assert_eq!(of(None).unwrap().unwrap().source(), "of the adapter");
    assert_eq!(of(Some(&plain)).unwrap().as_ref(), Some(&plain));
    fs::write(&path, "{% for %}").unwrap();
    let error = of(None).unwrap_err().to_string();
    assert!(error.contains("chat_template.jinja: the chat template cannot be read"), "{error}");
    let error = ChatTemplate::read("nowhere.jinja").unwrap_err().to_string();
    assert!(error.contains("nowhere.jinja"), "{error}");
}

#[test]
fn folders_without_a_tokenizer_or_with_a_broken_one_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let error = || Tokenizer::from_folder(folder.path(), None, Moment::default()).unwrap_err().to_string();
    assert!(error().contains("tokenizer.json: is missing"), "{}", error());
    fs::write(folder.path().join("tokenizer.json"), "{}").unwrap();
    assert!(error().contains("tokenizer.json: "), "{}", error());
    fs::copy(fixtures().join("tokenizer/tokenizer.json"), folder.path().join("tokenizer.json")).unwrap();
    fs::write(folder.path().join("tokenizer_config.json"), "{\n\"a\" 1}").unwrap();
    assert!(error().contains("tokenizer_config.json:2: "), "{}", error());
    let named = r#"{"eos_token": {"content": "<|im_end|>"}, "chat_template": [{"name": "rag", "template": "r"}, {"name": "default", "template": "d"}]}"#;
    fs::write(folder.path().join("tokenizer_config.json"), named).unwrap();
    let tokenizer = Tokenizer::from_folder(folder.path(), None, Moment::default()).unwrap();
    assert_eq!(tokenizer.render(&[], &[], false).unwrap(), "d");
    assert_eq!(tokenizer.eos(), [2]);
    fs::write(folder.path().join("chat_template.jinja"), "own").unwrap();
    assert_eq!(
        Tokenizer::from_folder(folder.path(), None, Moment::default())
            .unwrap()
            .render(&[], &[], false)
            .unwrap(),
        "own"
    );
}

#[test]
fn a_template_named_tool_use_writes_conversations_with_tools_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(fixtures().join("tokenizer/tokenizer.json"), folder.path().join("tokenizer.json")).unwrap();
    let template = |start: &str, after: &str| {
        let turn = "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>";
        let prompt = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
        format!("{start}{{% for m in messages %}}{turn}{after}{{% endfor %}}{prompt}")
    };
    let open = |tool_use: &str, chosen: Option<&ChatTemplate>| {
        let default = template("", "");
        let named = [("default", default.as_str()), ("tool_use", tool_use)];
        let named = named.map(|(name, template)| json!({"name": name, "template": template}));
        let config = json!({"eos_token": "<|im_end|>", "chat_template": named});
        fs::write(folder.path().join("tokenizer_config.json"), config.to_string()).unwrap();
        Tokenizer::from_folder(folder.path(), chosen, Moment::default()).unwrap()
    };
    let (messages, tools) = (turns(&["One", "Two"]), vec![json!({"name": "f"})]);
    let (user, assistant) = ("<|im_start|>user\nOne<|im_end|>", "<|im_start|>assistant\nTwo<|im_end|>");
    let both = open(&template("{{ tools | tojson }}", "\n"), None);
    assert_eq!(both.render(&messages, &[], false).unwrap(), format!("{user}{assistant}"));
    let written = format!("[{{\"name\": \"f\"}}]{user}\n{assistant}\n");
    assert_eq!(both.render(&messages, &tools, false).unwrap(), written);
    // The line break after a turn, which only this template writes, is not learnt.
    let chat = Conversation::Chat { messages: messages.clone(), tools: tools.clone() };
    assert_eq!(trained(&both, &both.document(&chat, 0).unwrap()), ["Two<|im_end|>"]);

    let error = open(&template("T", ""), None).chat_prompt(&messages[..1], &tools).unwrap_err().to_string();
    assert!(error.contains("the chat template ignores `tools`"), "{error}");
    // What it refuses, it does not ignore.
    let strict = open("{{ raise_exception('one call only') }}", None);
    let error = strict.chat_prompt(&messages[..1], &tools).unwrap_err().to_string();
    assert!(error.contains("one call only"), "{error}");
    let broken = open("{% if %}", None);
    assert_eq!(broken.render(&messages, &[], false).unwrap(), format!("{user}{assistant}"));
    let error = broken.render(&messages, &tools, false).unwrap_err().to_string();
    assert!(error.contains("the chat template cannot be read"), "{error}");
    let plain = ChatTemplate::read("plain").unwrap();
    assert_ne!(open("T", Some(&plain)).render(&messages, &tools, false).unwrap(), "T");

    // The folder of further templates counts more, also beside a template in a file of its own.
    let further = folder.path().join("additional_chat_templates");
    fs::create_dir(&further).unwrap();
    fs::write(further.join("tool_use.jinja"), "F").unwrap();
    fs::write(further.join("rag.jinja"), "{% if %}").unwrap();
    let with_folder = open("T", None);
    assert_eq!(with_folder.render(&messages, &tools, false).unwrap(), "F");
    assert_eq!(with_folder.render(&messages, &[], false).unwrap(), format!("{user}{assistant}"));
    fs::write(folder.path().join("chat_template.jinja"), "D").unwrap();
    let both = open("T", None);
    let written = [&tools[..], &[]].map(|tools| both.render(&messages, tools, false).unwrap());
    assert_eq!(written, ["F", "D"]);
    assert_ne!(both.hash().unwrap(), with_folder.hash().unwrap());
    assert_ne!(open("T", Some(&plain)).render(&messages, &tools, false).unwrap(), "F");
}

#[test]
fn a_tokenizer_that_the_library_panics_on_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokenizer.json");
    let whole = fs::read_to_string(fixtures().join("tokenizer/tokenizer.json")).unwrap();
    let mut json: Value = serde_json::from_str(&whole).unwrap();
    json["decoder"] = Value::Null;
    let damaged = json.to_string().replace("\"decoder\":null", "\"decoder\":n");
    fs::write(&file, damaged).unwrap();
    let error = || Tokenizer::from_folder(folder.path(), None, Moment::default()).unwrap_err().to_string();
    assert!(error().contains("tokenizer.json"), "{}", error());

    // The post-processor adds a token that it does not describe.
    let mut json: Value = serde_json::from_str(&whole).unwrap();
    json["post_processor"] = json!({
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {},
    });
    fs::write(&file, json.to_string()).unwrap();
    assert!(error().contains("post-processor"), "{}", error());
}
