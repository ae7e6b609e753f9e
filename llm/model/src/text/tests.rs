//! Every family's chat template against transformers (fixtures/templates.py), and what is trained on, read back.

// Weights are those that were given, to the bit.
#![allow(clippy::float_cmp)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::OnceLock;

use proptest::prelude::*;
use serde_json::{Value, json};
use tokenizers::AddedToken;
use tokenizers::pre_tokenizers::{digits::Digits, sequence::Sequence};

use super::{Conversation, Extras, Message, Moment, Span, Template, Tokenizer, Weights};
use crate::Document;

/// 2026-03-04 05:06:07, as in the fixtures.
pub(super) const MOMENT: Moment = Moment::at(1_772_600_767);

pub(super) fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures")
}

fn expected() -> Value {
    let path = fixtures().join("templates/expected.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn source(family: &str) -> String {
    std::fs::read_to_string(fixtures().join(format!("templates/{family}.jinja"))).unwrap()
}

fn messages(turns: &Value) -> Vec<Message> {
    let message = |turn: &Value| {
        let text = |key: &str| turn[key].as_str().unwrap_or_default();
        let mut fields = turn.as_object().unwrap().clone();
        fields.retain(|key, value| key != "role" && (key != "content" || value.is_null()));
        Message {
            fields,
            content: turn["content"].as_str().map(str::to_owned),
            ..Message::new(text("role"), "")
        }
    };
    turns.as_array().unwrap().iter().map(message).collect()
}

fn tokens(family: &Value) -> impl Iterator<Item = (String, String)> + '_ {
    family["tokens"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, token)| (name.clone(), token.as_str().unwrap().to_owned()))
}

/// The small tokenizer with a family's special tokens and template.
fn tokenizer(family: &str) -> &'static Tokenizer {
    static FAMILIES: OnceLock<BTreeMap<String, Tokenizer>> = OnceLock::new();
    let name = |family: &Value| family["name"].as_str().unwrap().to_owned();
    let all = || {
        let expected = expected();
        expected["families"].as_array().unwrap().iter().map(|family| (name(family), made(family))).collect()
    };
    &FAMILIES.get_or_init(all)[family]
}

fn made(family: &Value) -> Tokenizer {
    let mut inner = tokenizers::Tokenizer::from_file(fixtures().join("tokenizer/tokenizer.json")).unwrap();
    let special = family["special"]
        .as_array()
        .unwrap()
        .iter()
        .map(|token| AddedToken::from(token.as_str().unwrap(), true));
    inner.add_special_tokens(special).unwrap();
    let extras = Extras {
        tokens: tokens(family).collect(),
        template: Some(source(family["name"].as_str().unwrap())),
        moment: MOMENT,
        ..Extras::default()
    };
    Tokenizer::new(inner, extras, "fixture").unwrap()
}

pub(super) fn small() -> &'static Tokenizer {
    static SMALL: OnceLock<Tokenizer> = OnceLock::new();
    SMALL.get_or_init(|| {
        Tokenizer::from_folder(fixtures().join("tokenizer"), None, Moment::default()).unwrap()
    })
}

/// The text of each run of weighted tokens.
pub(super) fn trained(tokenizer: &Tokenizer, document: &Document) -> Vec<String> {
    let mut runs: Vec<Vec<u32>> = Vec::new();
    let mut before = 0.0;
    for (token, weight) in document.tokens.iter().zip(&document.weights) {
        if *weight != 0.0 {
            if before == 0.0 {
                runs.push(Vec::new());
            }
            runs.last_mut().unwrap().push(*token);
        }
        before = *weight;
    }
    runs.iter().map(|run| tokenizer.decode(run).unwrap()).collect()
}

#[test]
fn texts_of_single_tokens_have_all_their_blanks() {
    let words = ["<unk>", "▁hi", "hi", "▁", "▁▁", "▁▁▁", "▁▁a", "a▁b"];
    let vocab: serde_json::Map<_, _> =
        words.iter().zip(0..).map(|(word, id)| ((*word).to_owned(), json!(id))).collect();
    // Of Gemma, which strips nothing, and of Llama.
    for strip in [None, Some(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}))] {
        let blanks = json!({"type": "Replace", "pattern": {"String": "▁"}, "content": " "});
        let decoders: Vec<Value> = [blanks, json!({"type": "Fuse"})].into_iter().chain(strip).collect();
        let inner = json!({
            "decoder": {"type": "Sequence", "decoders": decoders},
            "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "<unk>"},
        });
        let tokenizer =
            Tokenizer::new(inner.to_string().parse().unwrap(), Extras::default(), "made").unwrap();
        for (word, id) in words.iter().zip(0..) {
            assert_eq!(tokenizer.text_of(id), Some(word.replace('▁', " ")), "{word}");
        }
    }
}

#[test]
fn line_breaks_of_other_systems_are_line_breaks() {
    let rendered = |source: &str| {
        let template = Template::new(source, std::iter::empty(), MOMENT).unwrap();
        template.render(&turns(&["One\r\n", "Two"]), &[], false).unwrap()
    };
    let source = "{% for m in messages %}\n{{ m.role }}\n\n{{ m.content }}\n{% endfor %}";
    let wanted = rendered(source);
    assert_eq!(wanted, "user\n\nOne\r\n\nassistant\n\nTwo\n");
    for other in ["\r\n", "\r"] {
        assert_eq!(rendered(&source.replace('\n', other)), wanted);
    }
}

#[test]
fn templates_are_rendered_as_transformers_renders_them() {
    let expected = expected();
    for family in expected["families"].as_array().unwrap() {
        let name = family["name"].as_str().unwrap();
        let template = Template::new(&source(name), tokens(family), MOMENT).unwrap();
        for case in family["cases"].as_array().unwrap() {
            let (told, label) = (case["told"].as_str(), case["conversation"].as_str());
            let label = told.or(label).unwrap();
            let (turns, tools) = match told.map(|label| &expected["told"][label]) {
                Some(told) => (&told["messages"], told["tools"].as_array().unwrap().as_slice()),
                None => (&expected["conversations"][label], [].as_slice()),
            };
            let prompt = case["add_generation_prompt"].as_bool().unwrap();
            let found = template.render(&messages(turns), tools, prompt);
            match (&case["text"], found) {
                (Value::String(text), Ok(found)) => assert_eq!(&found, text, "{name}, {label}, {prompt}"),
                // What Python says of adding None to a text, and of an empty list, is its own.
                (Value::Null, Err(_)) if told.is_some() || label == "nothing" => {}
                // Where there is no text, jinja's `trim` writes "None"; ours refuses.
                (Value::String(text), Err(_)) if told.is_some() && text.contains("\n\nNone<") => {}
                (Value::Null, Err(what)) => assert_eq!(case["error"], what, "{name}, {label}, {prompt}"),
                (text, found) => panic!("{name}, {label}, {prompt}: {found:?}, not {text}"),
            }
        }
    }
}

#[test]
fn a_template_that_asks_for_the_day_is_told_one_and_the_same() {
    let extras = Extras { template: Some(source("llama-3.2")), ..Extras::default() };
    let tokenizer = Tokenizer::new(small().inner().clone(), extras, "fixture").unwrap();
    let text = tokenizer.render(&turns(&["Hi"]), &[], true).unwrap();
    assert!(text.contains("Today Date: 26 Jul 2024\n"), "{text}");
}

#[test]
fn a_template_that_does_not_parse_is_refused_with_its_line() {
    let error = Template::new("a\n{% if %}", [], MOMENT).unwrap_err();
    assert!(error.contains("cannot be read") && error.contains("line 2"), "{error}");
}

/// Families with what their templates write after an assistant's words and count as its turn's end.
const ENDS: [(&str, &str); 11] = [
    ("llama-2", " </s>"),
    ("llama-3", "<|eot_id|>"),
    ("llama-3.1", "<|eot_id|>"),
    ("llama-3.2", "<|eot_id|>"),
    ("smollm2", "<|im_end|>"),
    ("gemma", "<end_of_turn>"),
    ("phi-3", "<|end|>"),
    ("phi-3.5", "<|end|>"),
    ("qwen2", "<|im_end|>"),
    ("qwen2.5", "<|im_end|>"),
    ("qwen3", "<|im_end|>"),
];

pub(super) fn turns(texts: &[&str]) -> Vec<Message> {
    let roles = ["user", "assistant"].into_iter().cycle();
    texts.iter().zip(roles).map(|(text, role)| Message::new(role, *text)).collect()
}

#[test]
fn what_is_trained_on_is_each_assistants_turn_to_its_end() {
    for (family, end) in ENDS {
        let tokenizer = tokenizer(family);
        let chat = Conversation::chat(turns(&["One", "Two", "Three", "Four 4", "Five"]));
        let documents = tokenizer.documents(&chat, 7).unwrap();
        let found: Vec<String> = documents.iter().flat_map(|document| trained(tokenizer, document)).collect();
        // Qwen3 writes thinking, here none, before the last answer.
        let (space, think) = match family {
            "llama-2" => (" ", ""),
            "qwen3" => ("", "<think>\n\n</think>\n\n"),
            _ => ("", ""),
        };
        let expected = ["Two", "Four 4"].map(|text| format!("{space}{think}{text}{end}"));
        assert_eq!(found, expected, "{family}");
        assert_eq!(documents.len(), if family == "qwen3" { 2 } else { 1 }, "{family}");
        for (part, document) in documents.iter().enumerate() {
            assert_eq!((document.row, document.index_in_row), (7, part));
            // Nothing follows the last response: a token that neither counts nor is seen by one that does.
            assert!(*document.weights.last().unwrap() == 1.0, "{family}");
        }
    }
}

#[test]
fn calls_and_thinking_are_trained_on_as_the_template_writes_them() {
    let call = json!({"function": {"name": "f", "arguments": {"z": 1, "a": "ü"}}});
    let turns = json!([
        {"role": "user", "content": "One"}, {"role": "assistant", "content": null, "tool_calls": [call]},
        {"role": "tool", "content": "7"}, {"role": "assistant", "content": "Two"},
    ]);
    let tools = vec![json!({"type": "function", "function": {"name": "f"}})];
    let chat = Conversation::Chat { messages: messages(&turns), tools };
    let qwen = tokenizer("qwen2.5");
    let document = qwen.document(&chat, 0).unwrap();
    let written = r#"{"name": "f", "arguments": {"z": 1, "a": "ü"}}"#;
    let written = format!("<tool_call>\n{written}\n</tool_call><|im_end|>");
    assert_eq!(trained(qwen, &document), [written.as_str(), "Two<|im_end|>"]);
    let text = qwen.decode(&document.tokens).unwrap();
    let tool = r#"{"type": "function", "function": {"name": "f"}}"#;
    assert!(text.contains(&format!("<tools>\n{tool}\n</tools>")), "{text}");
    let answered = "<|im_start|>user\n<tool_response>\n7\n</tool_response><|im_end|>\n";
    assert!(text.contains(answered), "{text}");

    // Qwen3 leaves out the thinking of earlier turns: each is trained on where it was the last.
    let turns = json!([
        {"role": "user", "content": "One"}, {"role": "assistant", "content": "Two", "reasoning_content": "hm"},
        {"role": "user", "content": "Three"}, {"role": "assistant", "content": "Four", "reasoning_content": "ah"},
    ]);
    let qwen = tokenizer("qwen3");
    let documents = qwen.documents(&Conversation::chat(messages(&turns)), 0).unwrap();
    let found: Vec<String> = documents.iter().flat_map(|document| trained(qwen, document)).collect();
    assert_eq!(found, [thought("hm", "Two"), thought("ah", "Four")]);
}

/// A turn as Qwen3 writes it.
fn thought(thought: &str, said: &str) -> String {
    format!("<think>\n{thought}\n</think>\n\n{said}<|im_end|>")
}

#[test]
fn thinking_within_the_text_is_trained_on_where_its_turn_is_the_last() {
    let qwen = tokenizer("qwen3");
    let chat = turns(&["One", "<think>\nhm\n</think>\n\nTwo", "Three", "<think>ah</think>Four"]);
    let documents = qwen.documents(&Conversation::chat(chat), 0).unwrap();
    let found: Vec<String> = documents.iter().flat_map(|document| trained(qwen, document)).collect();
    assert_eq!(found, [thought("hm", "Two"), thought("ah", "Four")]);
    let chat = turns(&["One", "<think>a</think>b<think>c</think>d"]);
    let error = qwen.documents(&Conversation::chat(chat), 0).unwrap_err().to_string();
    assert!(error.contains("message 2: the chat template leaves out a part of the response"), "{error}");
}

#[test]
fn an_answers_prompt_ends_where_its_own_words_begin() {
    let question = turns(&["One"]);
    for (family, _) in ENDS {
        let tokenizer = tokenizer(family);
        let text = |prompt: Vec<u32>| tokenizer.decode(&prompt).unwrap();
        let own = text(tokenizer.answer_prompt(&question).unwrap());
        let added = if family == "qwen3" { "<think>\n\n</think>\n\n" } else { "" };
        assert_eq!(own, text(tokenizer.chat_prompt(&question, &[]).unwrap()) + added, "{family}");
    }
}

#[test]
fn what_templates_leave_out_of_calls_and_their_results_is_refused() {
    let call = json!([{"function": {"name": "f", "arguments": {}}}]);
    let result = json!({"role": "tool", "content": "7"});
    let reason = |family: &str, said: &str| {
        let call = json!({"role": "assistant", "content": said, "tool_calls": call});
        let chat = json!([{"role": "user", "content": "One"}, call, result, {"role": "assistant", "content": "Two"}]);
        tokenizer(family)
            .documents(&Conversation::chat(messages(&chat)), 0)
            .err()
            .map(|error| error.to_string())
    };
    let llama = reason("llama-3.1", "Wait.").unwrap();
    assert!(
        llama.contains("message 2: the chat template ignores the content of this `assistant`"),
        "{llama}"
    );
    let phi = reason("phi-3", "").unwrap();
    assert!(phi.contains("message 2: the chat template ignores `tool_calls`"), "{phi}");
    for (family, said) in [("llama-3.1", ""), ("qwen2.5", "Wait."), ("qwen3", "Wait.")] {
        assert_eq!(reason(family, said), None, "{family}");
    }
    let answered = messages(&json!([{"role": "user", "content": "One"}, result]));
    let error = tokenizer("phi-3").chat_prompt(&answered, &[]).unwrap_err().to_string();
    assert!(
        error.contains("message 2: the chat template ignores the content of this `tool` turn"),
        "{error}"
    );
}

/// As Phi-3's special tokens do.
#[test]
fn a_special_token_that_takes_in_the_blanks_behind_it_is_not_learnt() {
    let mut inner = tokenizers::Tokenizer::from_file(fixtures().join("tokenizer/tokenizer.json")).unwrap();
    let tokens = ["<|user|>", "<|assistant|>", "<|end|>"];
    inner.add_special_tokens(tokens.map(|token| AddedToken::from(token, true).rstrip(true))).unwrap();
    let template = "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}\
                    {% if add_generation_prompt %}<|assistant|>\n{% endif %}";
    let extras = Extras { template: Some(template.to_owned()), ..Extras::default() };
    let phi = Tokenizer::new(inner, extras, "fixture").unwrap();
    for answer in ["Two", " Two", "\n Two"] {
        let chat = Conversation::chat(turns(&["One", answer]));
        assert_eq!(trained(&phi, &phi.document(&chat, 0).unwrap()), ["Two<|end|>"], "{answer:?}");
    }
}

#[test]
fn a_greeting_is_context() {
    let tokenizer = small();
    let mut chat = turns(&["One", "Two"]);
    chat.insert(0, Message::new("assistant", "Hello!"));
    let document = tokenizer.document(&Conversation::chat(chat), 0).unwrap();
    assert!(
        tokenizer.decode(&document.tokens).unwrap().starts_with("<|im_start|>assistant\nHello!<|im_end|>\n")
    );
    assert_eq!(trained(tokenizer, &document), ["Two<|im_end|>"]);
}

#[test]
fn generation_ends_with_the_turn() {
    let gemma = tokenizer("gemma");
    let ids = ["<eos>", "<end_of_turn>"].map(|token| gemma.inner().token_to_id(token).unwrap());
    assert_eq!(gemma.eos(), ids);
    assert_eq!(small().eos(), [2, 0]);
}

#[test]
fn weights_are_those_given() {
    let tokenizer = small();
    let weigh = |weights: Weights| {
        let answer = Message { weights, ..Message::new("assistant", "née 24 clips") };
        let chat = Conversation::chat(vec![Message::new("user", "Hi"), answer]);
        tokenizer.document(&chat, 0).map_err(|error| error.to_string())
    };
    let plain = weigh(Weights::default()).unwrap();
    let n = plain.response_tokens();
    let words: Vec<String> = plain.tokens[plain.tokens.len() - n..]
        .iter()
        .map(|token| tokenizer.decode(&[*token]).unwrap())
        .collect();
    let last = |document: &Document| document.weights[document.weights.len() - n..].to_vec();
    assert_eq!(last(&weigh(Weights::All(0.5)).unwrap()), vec![0.5; n]);
    let each: Vec<f32> = (0..n).map(|i| i as f32).collect();
    assert_eq!(last(&weigh(Weights::Tokens(each.clone())).unwrap()), each);
    assert_eq!(
        last(&weigh(Weights::Tokens(each[..n - 1].to_vec())).unwrap()),
        [&each[..n - 1], &[1.0]].concat()
    );
    let error = weigh(Weights::Tokens(vec![1.0])).unwrap_err();
    assert!(
        error.contains(&format!("1 entries, but the response has {} tokens ({n} with", n - 1)),
        "{error}"
    );
    // Its token begins with the space before it, which is no part of the span.
    let spans = weigh(Weights::Spans(vec![Span { start: 4, end: 6, weight: 3.0 }])).unwrap();
    for (word, weight) in words.iter().zip(last(&spans)) {
        assert_eq!(
            weight,
            if [" 2", " 24", "4"].contains(&word.as_str()) { 3.0 } else { 1.0 },
            "{word:?} of {words:?}"
        );
    }
    for (start, end, complaint) in
        [(5, 5, "from 5 to 5"), (0, 13, "the 12 characters"), (usize::MAX, 0, "not within")]
    {
        let error = weigh(Weights::Spans(vec![Span { start, end, weight: 1.0 }])).unwrap_err();
        assert!(error.contains(complaint), "{error}");
    }
    let twice = vec![Span { start: 0, end: 2, weight: 1.0 }, Span { start: 1, end: 3, weight: 1.0 }];
    assert!(weigh(Weights::Spans(twice)).unwrap_err().contains("overlap"));
    assert!(weigh(Weights::Tokens(vec![0.0; n])).unwrap_err().contains("weights are 0"));
}

#[test]
fn spans_find_their_place_where_the_template_trims() {
    let tokenizer = tokenizer("gemma");
    let content = "\n  ab 24\n";
    let spans = vec![Span { start: 6, end: 8, weight: 2.0 }, Span { start: 3, end: 4, weight: 0.0 }];
    let answer = Message { weights: Weights::Spans(spans), ..Message::new("assistant", content) };
    let document =
        tokenizer.document(&Conversation::chat(vec![Message::new("user", "Hi"), answer]), 0).unwrap();
    let of = |wanted: f32| -> String {
        let tokens: Vec<u32> = document
            .tokens
            .iter()
            .zip(&document.weights)
            .filter(|(_, weight)| **weight == wanted)
            .map(|(t, _)| *t)
            .collect();
        tokenizer.decode(&tokens).unwrap()
    };
    assert_eq!(of(2.0).trim(), "24");
    assert!(of(1.0).ends_with("<end_of_turn>") && !of(1.0).contains('a'), "{}", of(1.0));
}

#[test]
fn plain_text_goes_without_a_template_and_ends_with_the_text() {
    let tokenizer = small();
    let plain = |prompt: &str, completion: &str| {
        let completion = Message::new("", completion);
        tokenizer.document(&Conversation::Plain { prompt: prompt.to_owned(), completion }, 0)
    };
    let document = plain("Hello", ", who are you?").unwrap();
    assert_eq!(tokenizer.decode(&document.tokens).unwrap(), "Hello, who are you?<|im_end|>");
    assert_eq!(trained(tokenizer, &document), [", who are you?<|im_end|>"]);
    // No second end where the text has one.
    assert_eq!(plain("a", "b<|im_end|>").unwrap().tokens, plain("a", "b").unwrap().tokens);
    // Nothing predicts a document's first token.
    assert_eq!(trained(tokenizer, &plain("", "ab").unwrap()).len(), 1);
    assert!(plain("a", "").unwrap_err().to_string().contains("empty"));
}

#[test]
fn what_cannot_be_trained_on_is_refused_with_the_reason() {
    let reason = |family: &str, turns: Vec<Message>| {
        tokenizer(family).document(&Conversation::chat(turns), 0).unwrap_err().to_string()
    };
    let system = vec![Message::new("system", "x"), Message::new("user", "y"), Message::new("assistant", "z")];
    assert!(reason("gemma", system).contains("refuses it: System role not supported"));
    assert!(reason("qwen2", turns(&["a"])).contains("no turn of the assistant after a user's"));
    assert!(reason("qwen2", turns(&["a", " \n"])).contains("message 2: the response is empty"));
    assert!(reason("qwen3", turns(&["a", "b", "c", "d"])).contains("writes earlier turns differently"));
    assert!(
        reason("qwen2", vec![Message::new("assistant", "Hello!")])
            .contains("no turn of the assistant after a user's")
    );
    let mut unweighted = turns(&["a", "b"]);
    unweighted[1].weights = Weights::All(0.0);
    assert!(reason("qwen2", unweighted).contains("all of its weights are 0"));
    // A template whose generation prompt is not what it writes before an answer.
    let source = "{% for m in messages %}{{ m.role + ':' + m.content + ';' }}{% endfor %}{% if add_generation_prompt %}>{% endif %}";
    let extras = Extras { template: Some(source.to_owned()), ..Extras::default() };
    let odd = Tokenizer::new(small().inner().clone(), extras, "odd").unwrap();
    let error = odd.document(&Conversation::exchange("a", "b"), 0).unwrap_err().to_string();
    assert!(error.contains("message 2") && error.contains("generation prompt"), "{error}");
    let none = Tokenizer::new(small().inner().clone(), Extras::default(), "base").unwrap();
    let error = none.document(&Conversation::exchange("a", "b"), 0).unwrap_err().to_string();
    assert!(error.starts_with("base: ") && error.contains("no chat template"), "{error}");
}

/// Text of letters, spaces, line breaks and characters of several bytes: where tokenizers merge and split.
fn text() -> impl Strategy<Value = String> {
    "[a-eN \\n\\t.,0-9éü日🎉]{1,20}".prop_filter("not blank", |text| !text.trim().is_empty())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// The slow twin: the prompt's own tokens are a prefix of the document's, and what follows them is trained on.
    #[test]
    fn borders_are_where_the_prompts_own_tokens_end(
        texts in proptest::collection::vec(text(), 2..7),
        family in proptest::sample::select(&ENDS[..]),
    ) {
        let (family, end) = family;
        let tokenizer = tokenizer(family);
        let texts: Vec<&str> = texts[..texts.len() / 2 * 2].iter().map(String::as_str).collect();
        let messages = turns(&texts);
        let documents = tokenizer.documents(&Conversation::chat(messages.clone()), 0).unwrap();
        let mut answers = Vec::new();
        for document in &documents {
            let mut predicted = vec![false; document.tokens.len()];
            for count in (2..=messages.len()).step_by(2) {
                let prompt = tokenizer.encode(&tokenizer.render(&messages[..count - 1], &[], true).unwrap()).unwrap();
                let whole = tokenizer.render(&messages[..count], &[], false).unwrap();
                let whole = &whole[..whole.rfind(end).unwrap() + end.len()];
                let turn = tokenizer.encode(whole).unwrap();
                if !document.tokens.starts_with(&turn) || !turn.starts_with(&prompt) {
                    continue;
                }
                predicted[prompt.len()..turn.len()].fill(true);
                answers.push(count);
            }
            let found: Vec<bool> = document.weights.iter().map(|weight| *weight != 0.0).collect();
            // Where a token reaches across the border, no prefix is exact; the other test reads the text.
            if answers.len() == messages.len() / 2 {
                prop_assert_eq!(found, predicted, "{}", family);
            }
        }
    }

    #[test]
    fn reading_back_what_is_trained_on_gives_the_answers(
        texts in proptest::collection::vec(text(), 2..7),
        family in proptest::sample::select(&ENDS[..]),
    ) {
        let (family, end) = family;
        let tokenizer = tokenizer(family);
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let documents = tokenizer.documents(&Conversation::chat(turns(&texts)), 0).unwrap();
        let found: Vec<String> = documents.iter().flat_map(|document| trained(tokenizer, document)).collect();
        let answers: Vec<&str> = texts.iter().skip(1).step_by(2).copied().collect();
        prop_assert_eq!(found.len(), answers.len());
        for (found, answer) in found.iter().zip(answers) {
            // Templates trim as they like, and a first token may begin with the prompt's line break.
            let told = found.strip_suffix(end).unwrap().trim_start_matches('\n').trim_start_matches("<think>\n\n</think>");
            prop_assert_eq!(told.trim(), answer.trim(), "{}", family);
        }
    }

    #[test]
    fn no_text_makes_a_tokenizer_panic(text: String, role in "[a-z]{0,9}") {
        let tokenizer = small();
        let tokens = tokenizer.encode(&text).unwrap();
        prop_assert_eq!(tokenizer.decode(&tokens).unwrap(), text.clone());
        let _ = tokenizer.document(&Conversation::chat(vec![Message::new(role, text)]), 0);
    }
}

#[test]
fn a_tag_of_three_characters_ends_a_template() {
    let tokens = std::iter::empty::<(String, String)>;
    for source in ["{%}", "{%}{% if loop.first a", "{% +%}"] {
        let error = Template::new(source, tokens(), MOMENT).unwrap_err();
        assert!(error.contains("the chat template cannot be read"), "{error}");
    }
}

#[test]
fn what_a_template_writes_around_an_answer_can_be_left_out() {
    let trained = |source: &str, answer: &str| {
        let extras = Extras { template: Some(source.to_owned()), ..Extras::default() };
        let tokenizer = Tokenizer::new(small().inner().clone(), extras, "fixture").unwrap();
        let answer = Message { weights: Weights::OwnWords, ..Message::new("assistant", answer) };
        let chat = Conversation::chat(vec![Message::new("user", "One"), answer]);
        trained(&tokenizer, &tokenizer.document(&chat, 0).unwrap())
    };
    let template = |end: &str| {
        format!(
            "{{% for m in messages %}}{{{{ m.role }}}}: {{{{ m.content }}}}{end}{{% endfor %}}\
             {{% if add_generation_prompt %}}assistant: {{% endif %}}"
        )
    };
    // A special token, several plain ones, and with another end before it.
    for end in ["<|im_end|>", "[/END]", "\n\n", " [/END]<|im_end|>\n"] {
        assert_eq!(trained(&template(end), "Two"), ["Two"], "{end:?}");
    }
    // Its last token has a part of both, as its first has of the prompt.
    assert_eq!(trained(&template("he!"), "2 S"), [" 2 She"]);
    let thinking = template("\n").replace("{{ m.content }}", "<think>\n\n</think>\n\n{{ m.content | trim }}");
    for answer in ["Two", " Two\n"] {
        assert_eq!(trained(&thinking, answer), ["Two"], "{answer:?}");
    }
}

/// As those of Llama 2 and Mistral do.
#[test]
fn the_blank_before_an_answer_is_its_own_where_a_tokenizer_splits_it_off() {
    let mut inner = small().inner().clone();
    let pre = inner.get_pre_tokenizer().unwrap().clone();
    inner.with_pre_tokenizer(Some(Sequence::new(vec![Digits::new(true).into(), pre])));
    let template = "{% for m in messages %}[{{ m.role }}] {{ m.content }}{% endfor %}\
                    {% if add_generation_prompt %}[assistant]{% endif %}";
    let extras = Extras { template: Some(template.to_owned()), ..Extras::default() };
    let tokenizer = Tokenizer::new(inner, extras, "fixture").unwrap();
    for answer in ["Two", "9", "9 of 10"] {
        let message = Message { weights: Weights::OwnWords, ..Message::new("assistant", answer) };
        let chat = Conversation::chat(vec![Message::new("user", "One"), message]);
        let document = tokenizer.document(&chat, 0).unwrap();
        assert_eq!(trained(&tokenizer, &document), [format!(" {answer}")]);
    }
}
