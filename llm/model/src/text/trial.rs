//! Made-up conversations, by which is found out how a template writes.

use serde_json::{Value, json};

use super::conversation::Message;

/// A word that occurs in no template, without white space that a template would trim.
pub(super) const WORD: &str = "tokensieve-response";

/// The name of an argument, likewise.
pub(super) const ARGUMENT: &str = "tokensieve-argument";

/// A tool.
pub(super) fn tool() -> Value {
    let parameters = json!({"type": "object", "properties": {}, "required": []});
    json!({"type": "function", "function": {"name": "f", "description": "f", "parameters": parameters}})
}

/// A question with [`WORD`] as its answer, for any template: some refuse a conversation without a system message, others
/// one with it.
pub(super) fn exchanges() -> [Vec<Message>; 2] {
    with_and_without_system(vec![question(), Message::new("assistant", WORD)])
}

/// A call of the tool with these arguments, for any template: some refuse a call that is not answered.
pub(super) fn calls(arguments: &Value) -> Vec<Vec<Message>> {
    // Mistral's takes only ids of nine characters.
    const ID: &str = "callcall1";
    let function = json!({"name": "f", "arguments": arguments});
    let call = json!([{"id": ID, "type": "function", "function": function}]);
    let turn = |role, content, key: &str, value| Message {
        fields: [(key.to_owned(), value)].into_iter().collect(),
        ..Message::new(role, content)
    };
    let calling = vec![question(), turn("assistant", "", "tool_calls", call)];
    let answered = [turn("tool", "1", "tool_call_id", json!(ID)), Message::new("assistant", WORD)];
    let answered = [calling.clone(), answered.to_vec()].concat();
    [calling, answered].into_iter().flat_map(with_and_without_system).collect()
}

fn question() -> Message {
    Message::new("user", "tokensieve-prompt")
}

fn with_and_without_system(messages: Vec<Message>) -> [Vec<Message>; 2] {
    let system = [vec![Message::new("system", "tokensieve-system")], messages.clone()].concat();
    [messages, system]
}
