//! Tokenizer and chat template: what they write of a row, and the rows that they reject.

use super::{Sandbox, shown, tokenizer};
use crate::{DataSource, Truncate, load};
use tokensieve_model::text::{Extras, Message, Tokenizer};

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
fn a_turn_without_content_has_none_in_the_template() {
    let sandbox = Sandbox::new();
    let printing = with_template(
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}{{ m.content is defined }}\
         {% if m.tool_calls %}{{ m.tool_calls|tojson }}{% endif %}<|im_end|>\n{% endfor %}\
         {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
    );
    let call = r#"[{"name": "f"}]"#;
    for (content, written) in [
        ("", "False"),
        (r#""content": null, "#, "NoneTrue"),
        (r#""content": "", "#, "True"),
        (r#""content": "A", "#, "ATrue"),
    ] {
        let turn = format!(r#"{{"role": "assistant", {content}"tool_calls": {call}}}"#);
        let row = format!(r#"{{"messages": [{{"role": "user", "content": "Q"}}, {turn}]}}"#);
        let set = load(&sandbox.source(row), &printing).unwrap();
        assert!(shown(&set)[0].ends_with(&format!("[{written}{call}<|im_end|>]")), "{}", shown(&set)[0]);
    }
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

/// It writes the last question and its answer alone.
const FORGETS: &str = "{% for m in messages[(messages|length - 1) // 2 * 2:] %}<|im_start|>{{ m.role }}\n\
    {{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

#[test]
fn the_documents_of_a_row_that_stay_are_counted_without_a_gap() {
    let sandbox = Sandbox::new();
    let tokenizer = with_template(FORGETS);
    let question = "Why? ".repeat(20);
    let turn = |role: &str, content: &str| format!(r#"{{"role": "{role}", "content": "{content}"}}"#);
    let turns = [turn("user", &question), turn("assistant", "A"), turn("user", "Q"), turn("assistant", "B")];
    let source = sandbox.source(format!(r#"{{"messages": [{}]}}"#, turns.join(", ")));
    let whole = load(&source, &tokenizer).unwrap();
    let [long, short] = &whole.documents[..] else { panic!("{} documents", whole.documents.len()) };
    assert_eq!((long.index_in_row, short.index_in_row), (0, 1));
    let max_length = Some(short.tokens.len());
    let set = load(&DataSource { max_length, truncate: Truncate::End, ..source }, &tokenizer).unwrap();
    let [left] = &set.documents[..] else { panic!("{} documents", set.documents.len()) };
    assert_eq!((&left.tokens, left.index_in_row), (&short.tokens, 0));
}

/// It writes two roles, calls in the place of words, and no reasoning.
const LEAVES_OUT: &str = "{% for m in messages if m.role in ['user', 'assistant'] %}<|im_start|>{{ m.role }}\n\
    {{ m.tool_calls|tojson if m.tool_calls else m.content.split('</think>')[-1] | trim }}<|im_end|>\n{% endfor %}\
    {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

#[test]
fn what_the_template_leaves_out_of_a_turn_makes_a_bad_row() {
    let sandbox = Sandbox::new();
    let tokenizer = with_template(LEAVES_OUT);
    let row = |of_row: &str, turns: &[(&str, &str)]| {
        let turn = |(role, rest): &(&str, &str)| format!(r#"{{"role": "{role}", "content": {rest}}}"#);
        let turns: Vec<String> = turns.iter().map(turn).collect();
        format!(r#"{{"messages": [{}]{of_row}}}"#, turns.join(", "))
    };
    let calls = r#""tool_calls": [{"name": "f", "arguments": {}}]"#;
    let words = format!(r#""Wait.", {calls}"#);
    let none = format!("null, {calls}");
    let (user, answer) = (("user", r#""Q""#), ("assistant", r#""A""#));
    let ignored = |number: usize, role: &str| {
        format!(
            "rows:1: message {number}: the chat template ignores the content of this `{role}` turn; move it"
        )
    };
    let only_a_part =
        "rows:1: message 2: the chat template leaves out a part of the response; remove that part";
    for (of_row, turns, complaint) in [
        ("", &[("system", r#""Be brief.""#), user, answer][..], ignored(1, "system")),
        (r#", "system": "Be brief.""#, &[user, answer], ignored(1, "system")),
        ("", &[user, ("assistant", &none), ("tool", r#""A""#), answer], ignored(3, "tool")),
        ("", &[user, ("assistant", &words)], ignored(2, "assistant")),
        ("", &[user, ("assistant", r#""<think>hm</think>A""#)], only_a_part.to_owned()),
    ] {
        let error = load(&sandbox.source(row(of_row, turns)), &tokenizer).unwrap_err().to_string();
        assert!(error.contains(&complaint), "{error}");
    }
    // Nothing is lost of these, and no template has to write again what earlier turns thought.
    let context = ("assistant", r#""<think>hm</think>A", "weight": 0"#);
    for turns in [
        &[("system", r#"" ""#), user, answer][..],
        &[user, ("assistant", r#""\n A\n""#)],
        &[user, ("assistant", &none), user, answer],
        &[user, context, user, answer],
    ] {
        assert_eq!(load(&sandbox.source(row("", turns)), &tokenizer).unwrap().documents.len(), 1);
    }
    let messages = [Message::new("system", "Be brief."), Message::new("user", "Q")];
    let error = tokenizer.chat_prompt(&messages, &[]).unwrap_err().to_string();
    assert!(error.contains("message 1: the chat template ignores the content of this `system`"), "{error}");
    tokenizer.chat_prompt(&messages[1..], &[]).unwrap();
}

#[test]
fn a_response_that_is_written_as_json_is_whole() {
    let sandbox = Sandbox::new();
    let tokenizer = with_template(
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content | tojson }}<|im_end|>\n{% endfor %}\
         {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
    );
    let source = sandbox.source(r#"{"question": "Q", "answer": "a\n\"é\"\\"}"#);
    let set = load(&source, &tokenizer).unwrap();
    assert!(shown(&set)[0].ends_with(r#"["a\n\"é\"\\"<|im_end|>]"#), "{}", shown(&set)[0]);
    let tokenizer = with_template(
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content | tojson(ensure_ascii=true) }}<|im_end|>\n\
         {% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
    );
    assert!(shown(&load(&source, &tokenizer).unwrap())[0].contains(r"\u00e9"));
}

#[test]
fn arguments_that_are_json_text_are_written_once() {
    let sandbox = Sandbox::new();
    let template = |call: &str| {
        format!(
            "{{% for m in messages %}}<|im_start|>{{{{ m.role }}}}\n{{{{ m.content or '' }}}}\
             {{% for c in m.tool_calls %}}{{% set c = c.function or c %}}{call}{{% endfor %}}<|im_end|>\n{{% endfor %}}\
             {{% if add_generation_prompt %}}<|im_start|>assistant\n{{% endif %}}"
        )
    };
    let items = "{% for k, v in c.arguments.items() %}{{ k }}={{ v }};{% endfor %}";
    let either = "{{ c.arguments if c.arguments is string else c.arguments | tojson }}";
    let only_objects = "{% if c.arguments is mapping %}{% for k, v in c.arguments.items() %}{{ k }}={{ v }};{% endfor %}{% endif %}";
    let braces = "{{ '{' }}{% if c.arguments is string %}{{ c.arguments }}{% else %}{% for k, v in c.arguments.items() %}\
                  {{ k }}:{{ v }},{% endfor %}{% endif %}{{ '}' }}";
    let (text, object) = (r#"{"z":1,"a":"é"}"#, r#"{"z": 1, "a": "é"}"#);
    for (call, written) in [
        ("{{ c.arguments | tojson }}", object),
        ("{{ c.arguments }}", text),
        (either, text),
        (items, "z=1;a=é;"),
        ("{{ c | tojson }}", r#"{"name": "f", "arguments": {"z": 1, "a": "é"}}"#),
        // In braces of its own, and of objects alone.
        (braces, "{z:1,a:é,}"),
        (only_objects, "z=1;a=é;"),
    ] {
        let tokenizer = with_template(&template(call));
        let quoted = serde_json::Value::from(text);
        let function = format!(r#"{{"name": "f", "arguments": {quoted}}}"#);
        for one in [function.clone(), format!(r#"{{"type": "function", "function": {function}}}"#)] {
            let turn = format!(r#"{{"role": "assistant", "content": null, "tool_calls": [{one}]}}"#);
            let row = format!(r#"{{"messages": [{{"role": "user", "content": "Q"}}, {turn}]}}"#);
            let set = load(&sandbox.source(row), &tokenizer).unwrap();
            let shown = &shown(&set)[0];
            assert!(shown.ends_with(&format!("[{written}<|im_end|>]")), "{call}: {shown}");
        }
    }
}

#[test]
fn every_key_of_a_turn_reaches_the_template() {
    let sandbox = Sandbox::new();
    let tokenizer = with_template(
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.thinking %}({{ m.thinking }}){% endif %}\
         {{ m.content }}{% if m.name is defined %}{{ m.name }}{% endif %}{% if m.where %}{{ m.where.at[1] }}{% endif %}{{ m.weight }}<|im_end|>\n\
         {% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
    );
    let row = |of_template: &str| {
        let user = r#"{"role": "user", "content": "Q", "name": null, "thinking": ""}"#;
        let answer = format!(r#"{{"role": "assistant", "content": "A", "weight": 1{of_template}}}"#);
        sandbox.source(format!(r#"{{"messages": [{user}, {answer}]}}"#))
    };
    for (of_template, written) in [
        (r#", "thinking": "hm", "name": "Bo", "where": {"at": [1, 2]}, "id": 5"#, "(hm)ABo2"),
        (r#", "thinking": null, "name": "", "where": null"#, "A"),
    ] {
        let set = load(&row(of_template), &tokenizer).unwrap();
        assert!(shown(&set)[0].ends_with(&format!("[{written}<|im_end|>]")), "{}", shown(&set)[0]);
    }
    let error = load(&row(r#", "reasoning": "hm""#), &tokenizer).unwrap_err().to_string();
    let complaint =
        "message 2: the chat template ignores `reasoning`; rename it to `thinking`, which it reads";
    assert!(error.contains(complaint), "{error}");
    // The same under two names, of which the template reads one; and a switch.
    for (of_template, written) in [
        (r#", "thinking": "hm", "reasoning": "hm""#, "(hm)A"),
        (r#", "thinking": "hm", "reasoning": false"#, "(hm)A"),
    ] {
        let set = load(&row(of_template), &tokenizer).unwrap();
        assert!(shown(&set)[0].ends_with(&format!("[{written}<|im_end|>]")), "{}", shown(&set)[0]);
    }
}

#[test]
fn a_response_may_begin_in_the_prompt() {
    let sandbox = Sandbox::new();
    let tokenizer = with_template(
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}\
         {% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}",
    );
    let row = r#"{"question": "Q", "answer": "<think>\nhm\n</think>\n\nA"}"#;
    let set = load(&sandbox.source(row), &tokenizer).unwrap();
    assert!(shown(&set)[0].ends_with("<think>\n[hm\n</think>\n\nA<|im_end|>]"), "{}", shown(&set)[0]);
}

#[test]
fn each_call_and_its_arguments_are_written() {
    let sandbox = Sandbox::new();
    let load_with = |call: &str, arguments: [&str; 2]| {
        let tokenizer = with_template(&format!(
            "{{% for m in messages %}}<|im_start|>{{{{ m.role }}}}\n{{{{ m.content or '' }}}}{call}<|im_end|>\n{{% endfor %}}\
             {{% if add_generation_prompt %}}<|im_start|>assistant\n{{% endif %}}"
        ));
        let calls =
            arguments.map(|arguments| format!(r#"{{"name": "f", "arguments": {arguments}}}"#)).join(", ");
        let turn = format!(r#"{{"role": "assistant", "content": null, "tool_calls": [{calls}]}}"#);
        let row = format!(r#"{{"messages": [{{"role": "user", "content": "Q"}}, {turn}]}}"#);
        load(&sandbox.source(row), &tokenizer)
            .map(|set| shown(&set)[0].clone())
            .map_err(|error| error.to_string())
    };
    let [first, names, all] = [
        "{% if m.tool_calls %}{{ m.tool_calls[0] | tojson }}{% endif %}",
        "{% for c in m.tool_calls %}{% set c = c.function or c %}{{ c.name }}();{% endfor %}",
        "{% for c in m.tool_calls %}{% set c = c.function or c %}{{ c.name }}({{ c.arguments | tojson }});{% endfor %}",
    ];
    let error = load_with(first, [r#"{"x": 1}"#, r#"{"x": 2}"#]).unwrap_err();
    assert!(
        error.contains("message 2: the chat template ignores call 2 of `tool_calls`; remove it"),
        "{error}"
    );
    let error = load_with(names, ["{}", r#"{"x": 2}"#]).unwrap_err();
    let complaint = "message 2: the chat template ignores the arguments of call 2 of `tool_calls`; remove";
    assert!(error.contains(complaint), "{error}");
    for (call, arguments, written) in
        [(names, ["{}", "\"\""], "f();f();"), (all, [r#"{"x": 1}"#, "\" \""], r#"f({"x": 1});f({});"#)]
    {
        let shown = load_with(call, arguments).unwrap();
        assert!(shown.ends_with(&format!("[{written}<|im_end|>]")), "{shown}");
    }
}

#[test]
fn calls_and_observations_of_sharegpt_are_calls_and_tools() {
    let sandbox = Sandbox::new();
    let tokenizer = with_template(
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content or '' }}{% for c in m.tool_calls %}\
         {{ c.function.name }}({{ c.function.arguments | tojson }}){% endfor %}<|im_end|>\n{% endfor %}\
         {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
    );
    let row = |call: &str| {
        let call = serde_json::Value::from(call);
        let row = format!(
            r#"{{"conversations": [{{"from": "human", "value": "Q"}}, {{"from": "function_call", "value": {call}}},
                {{"from": "observation", "value": "7"}}, {{"from": "gpt", "value": "A"}}]}}"#
        );
        load(&sandbox.source(row.replace('\n', "")), &tokenizer)
    };
    let expected = "<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\n[f({\"x\": 1})<|im_end|>]\n\
                    <|im_start|>tool\n7<|im_end|>\n<|im_start|>assistant\n[A<|im_end|>]";
    for call in [r#"{"name": "f", "arguments": {"x": 1}}"#, r#"[{"name": "f", "arguments": {"x": 1}}]"#] {
        assert_eq!(shown(&row(call).unwrap()), [expected], "{call}");
    }
    for call in ["f(1)", "[]", "{}"] {
        let error = row(call).unwrap_err().to_string();
        assert!(
            error.contains("rows:1: message 2: `function_call` must be the JSON text of an object"),
            "{error}"
        );
    }
}

#[test]
fn a_prompt_may_leave_out_what_earlier_turns_thought() {
    let tokenizer = with_template(
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.thinking and loop.last and not add_generation_prompt %}\
         ({{ m.thinking }}){% endif %}{{ m.content }}<|im_end|>\n{% endfor %}\
         {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
    );
    let thinking = [("thinking".to_owned(), "hm".into())].into_iter().collect();
    let answer = Message { fields: thinking, ..Message::new("assistant", "A") };
    tokenizer.chat_prompt(&[Message::new("user", "Q"), answer, Message::new("user", "Q")], &[]).unwrap();
}

#[test]
fn a_template_that_writes_no_text_says_so() {
    let sandbox = Sandbox::new();
    // Of models that see pictures: the content is a list of parts.
    let tokenizer = with_template(
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{% for part in m.content if part.type == 'text' %}\
         {{ part.text }}{% endfor %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
    );
    let error =
        load(&sandbox.source(r#"{"question": "Q", "answer": "A"}"#), &tokenizer).unwrap_err().to_string();
    assert!(
        error.contains("rows:1: the chat template writes the text of no turn; use another template"),
        "{error}"
    );
}

#[test]
fn a_template_that_needs_a_system_message_says_so() {
    let sandbox = Sandbox::new();
    for needs in [
        "{% if messages[0].role != 'system' %}{{ raise_exception('no rules') }}{% endif %}",
        "{{ (messages | selectattr('role', 'equalto', 'system') | first).content.strip() }}",
    ] {
        let turns = TELLS.replace("{{ tools|tojson if tools else '' }}", needs);
        let tokenizer = with_template(&turns);
        let row = |system: &str| sandbox.source(format!(r#"{{"question": "Q", "answer": "A"{system}}}"#));
        let error = load(&row(""), &tokenizer).unwrap_err().to_string();
        let wanted = "; it needs a system message: the row's `system`, a first message of the role `system`";
        assert!(
            error.contains("rows:1: the chat template refuses it: ") && error.contains(wanted),
            "{error}"
        );
        let error = tokenizer.chat_prompt(&[Message::new("user", "Q")], &[]).unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
        // The turn ends with its end mark, at which generation stops, and not with the line break.
        let set = load(&row(r#", "system": "S""#), &tokenizer).unwrap();
        assert!(shown(&set)[0].ends_with("[A<|im_end|>]"), "{}", shown(&set)[0]);
        assert!(tokenizer.eos().contains(&tokenizer.inner().token_to_id("<|im_end|>").unwrap()));
    }
}
