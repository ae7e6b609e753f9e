//! Tokenizer and chat template: what they write of a row, and the rows that they reject.

use super::{Sandbox, shown, tokenizer};
use crate::{DataSource, Truncate, load};
use tokensieve_model::text::{Extras, Tokenizer};

#[test]
fn a_token_that_the_model_does_not_have_is_a_bad_row() {
    let sandbox = Sandbox::new();
    let good = r#"{"question": "Q", "answer": "A"}"#;
    let bad = r#"{"question": "Q", "answer": "A<image>"}"#;
    let mut inner = tokenizer().inner().clone();
    inner.add_special_tokens([tokenizers::AddedToken::from("<image>", true)]).unwrap();
    let had = inner.token_to_id("<image>").unwrap();
    let extras = Extras {
        template: Some(
            "{{ messages[0].content }}|{% if messages|length > 1 %}{{ messages[1].content }}{% endif %}"
                .into(),
        ),
        ..Default::default()
    };
    let tokenizer = Tokenizer::new(inner, extras, "fixture").unwrap();
    let source = DataSource { skip_bad: true, ..sandbox.source(format!("{good}\n{bad}\n")) };
    assert_eq!(load(&source, &tokenizer).unwrap().documents.len(), 2);
    let tokenizer = tokenizer.with_vocab_size(had);
    let set = load(&source, &tokenizer).unwrap();
    assert_eq!((set.documents.len(), set.skipped[0].line), (1, 2));
    let error = load(&DataSource { skip_bad: false, ..source }, &tokenizer).unwrap_err().to_string();
    let wanted = format!(
        "rows:2: the tokenizer maps `<image>` to token {had}, but the model's vocabulary has only {had} tokens"
    );
    assert!(error.contains(&wanted), "{error}");
    assert!(
        tokenizer.plain_prompt("<image>").unwrap_err().to_string().contains("fixture: the tokenizer maps")
    );
}

/// The fixture's tokenizer with another chat template.
fn with_template(template: &str) -> Tokenizer {
    let extras = Extras { template: Some(template.into()), ..Default::default() };
    Tokenizer::new(tokenizer().inner().clone(), extras, "fixture").unwrap()
}

/// A template that writes tools, calls and reasoning, and neither names nor ids.
const TELLS: &str = "{{ tools|tojson if tools else '' }}{% for m in messages %}<|im_start|>{{ m.role }}\n\
    {% if m.reasoning_content %}({{ m.reasoning_content }}){% endif %}{{ m.content if m.content is not none }}\
    {% if m.tool_calls %}{{ m.tool_calls|tojson }}{% endif %}<|im_end|>\n{% endfor %}\
    {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

#[test]
fn the_template_is_told_of_tools_and_what_it_ignores_is_a_bad_row() {
    let sandbox = Sandbox::new();
    let telling = with_template(TELLS);
    let row = |of_row: &str, answer: &str| {
        let user = r#"{"role": "user", "content": "Q", "tool_calls": null, "name": null}"#;
        format!(r#"{{"messages": [{user}, {{"role": "assistant", {answer}}}]{of_row}}}"#)
    };
    let (call, tool) = (r#"{"name":"f","arguments":{"z":1,"a":[2.5]}}"#, r#"{"name":"f","parameters":{}}"#);
    let calls = format!(r#""tool_calls": [{call}]"#);
    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    // As json.dumps writes it.
    let spaced = |text: &str| text.replace("\":", "\": ").replace(",\"", ", \"");
    let as_text = json(&format!("[{tool}]")).to_string().replace('"', "\\\"");
    for (of_row, answer, begins, trained) in [
        ("", r#""content": "A""#, "<|im_start|>", "A".to_owned()),
        ("", r#""content": "A", "reasoning_content": "hm""#, "<|im_start|>", "(hm)A".to_owned()),
        ("", calls.as_str(), "<|im_start|>", format!("[{}]", spaced(call))),
        (
            r#", "tools": []"#,
            &format!(r#""content": null, {calls}"#)[..],
            "<|im_start|>",
            format!("[{}]", spaced(call)),
        ),
        (
            &format!(r#", "tools": [{tool}]"#)[..],
            r#""content": "A""#,
            &format!("[{}]<|", spaced(tool))[..],
            "A".to_owned(),
        ),
        (
            &format!(r#", "tools": "{as_text}""#)[..],
            r#""content": "A""#,
            &format!("[{}]<|", spaced(tool))[..],
            "A".to_owned(),
        ),
    ] {
        let set = load(&sandbox.source(row(of_row, answer)), &telling).unwrap();
        let shown = &shown(&set)[0];
        assert!(shown.starts_with(begins) && shown.ends_with(&format!("[{trained}<|im_end|>]")), "{shown}");
    }
    let ignored = |tokenizer: &Tokenizer, of_row: &str, answer: &str| {
        load(&sandbox.source(row(of_row, answer)), tokenizer).unwrap_err().to_string()
    };
    for (answer, key) in [
        (r#""content": "A", "reasoning_content": "hm""#, "reasoning_content"),
        (&format!(r#""content": "A", {calls}"#)[..], "tool_calls"),
    ] {
        let wanted = format!("rows:1: message 2: the chat template ignores `{key}`; remove it");
        let error = ignored(tokenizer(), "", answer);
        assert!(error.contains(&wanted), "{error}");
    }
    let old = r#""content": "A", "function_call": {"name": "f", "arguments": "{}"}"#;
    let wanted = "rows:1: message 2: `function_call` is not supported; write the call as `tool_calls`";
    assert!(ignored(&telling, "", old).contains(wanted));
    let none = row("", r#""content": "A", "function_call": null"#);
    assert_eq!(load(&sandbox.source(none), &telling).unwrap().documents.len(), 1);
    // What only says who or which may be left out.
    let named = row("", r#""content": "A", "name": "f", "tool_call_id": "1""#);
    assert_eq!(load(&sandbox.source(named), &telling).unwrap().documents.len(), 1);
    // As a table has where only some turns are thought over.
    let empty = row("", r#""content": "A", "reasoning_content": "", "name": """#);
    assert_eq!(load(&sandbox.source(empty), tokenizer()).unwrap().documents.len(), 1);
    let tools = format!(r#", "tools": [{tool}]"#);
    assert!(
        ignored(tokenizer(), &tools, r#""content": "A""#)
            .contains("rows:1: the chat template ignores `tools`")
    );
    let error = ignored(&telling, r#", "tools": 3"#, r#""content": "A""#);
    assert!(error.contains("`tools` must be a list of functions, or such a list as JSON text"), "{error}");
}

#[test]
fn a_template_that_fails_is_named_with_its_error() {
    let sandbox = Sandbox::new();
    let tokenizer = with_template("{% for m in messages %}{{ m.role + m.content }}{% endfor %}");
    let call = r#"{"role": "assistant", "content": null, "tool_calls": [{"name": "f", "arguments": {}}]}"#;
    let row = format!(r#"{{"messages": [{{"role": "user", "content": "Q"}}, {call}]}}"#);
    let error = load(&sandbox.source(row), &tokenizer).unwrap_err().to_string();
    assert!(error.contains("rows:1: the chat template refuses it: tried to use + operator"), "{error}");
}

/// Like Qwen3's, it marks the last answer alone.
const MARKS_THE_LAST: &str = "{% for m in messages %}<|im_start|>{{ m.role }}\n\
    {% if loop.last and m.role == 'assistant' %}!{% endif %}{{ m.content }}<|im_end|>\n{% endfor %}\
    {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

#[test]
fn of_a_row_that_is_too_long_the_documents_stay_that_fit() {
    let sandbox = Sandbox::new();
    let tokenizer = with_template(MARKS_THE_LAST);
    let turn = |role: &str, content: &str| format!(r#"{{"role": "{role}", "content": "{content}"}}"#);
    let question = "Why? ".repeat(20);
    let turns = [turn("user", "Q"), turn("assistant", "A"), turn("user", &question), turn("assistant", "B")];
    let source = sandbox.source(format!(r#"{{"messages": [{}]}}"#, turns.join(", ")));
    let whole = load(&source, &tokenizer).unwrap();
    assert_eq!(whole.documents.len(), 2);
    let cut = |max_length| {
        let source = DataSource { max_length: Some(max_length), truncate: Truncate::End, ..source.clone() };
        load(&source, &tokenizer)
    };
    let set = cut(whole.documents[0].tokens.len()).unwrap();
    assert_eq!((&set.documents[..], set.truncated), (&whole.documents[..1], 1));
    assert!(
        cut(2).unwrap_err().to_string().contains("truncation to 2 tokens leaves nothing of the response")
    );
}

#[test]
fn a_template_that_does_not_write_the_response_is_named_as_the_reason() {
    let sandbox = Sandbox::new();
    let tokenizer = with_template("{{ messages[0].content }}");
    let source = sandbox.source(r#"{"question": "Q", "answer": "A"}"#);
    let error = load(&source, &tokenizer).unwrap_err().to_string();
    assert!(error.contains("rows:1: the chat template does not write the response"), "{error}");
}
