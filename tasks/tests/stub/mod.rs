//! A judge who goes by length, behind an OpenAI-compatible endpoint.

use serde_json::{Value, json};

use tokensieve_base::testing::{Answer, Request};

/// The two outputs that a request shows, in order.
pub(crate) fn shown(asked: &Request) -> [String; 2] {
    let body: Value = serde_json::from_str(&asked.body).unwrap();
    let text = body["messages"].as_array().unwrap().last().unwrap()["content"].as_str().unwrap().to_owned();
    let mut outputs =
        text.split("</output>").take(2).map(|part| part.split("\">\n").last().unwrap().trim().to_owned());
    [outputs.next().unwrap(), outputs.next().unwrap()]
}

fn labels(first: f64, second: f64) -> Answer {
    let (first_log, second_log) = (first.ln(), second.ln());
    let token = if second > first { "M" } else { "m" };
    let body = json!({
        "id": "x", "object": "chat.completion", "usage": {"prompt_tokens": 100, "completion_tokens": 1},
        "choices": [{"index": 0, "finish_reason": "length", "message": {"role": "assistant", "content": token},
            "logprobs": {"content": [{"token": token, "logprob": first_log.max(second_log), "top_logprobs": [
                {"token": "m", "logprob": first_log}, {"token": "M", "logprob": second_log},
                {"token": "The", "logprob": -9.0}]}]}}]
    });
    Answer::new("200 OK", "content-type: application/json\r\n", body.to_string())
}

/// The probability of the second output: he likes the longer one, and the second place.
pub(crate) fn second_is_better(asked: &Request) -> f64 {
    let [first, second] = shown(asked);
    if second.len() > first.len() { 0.95 } else { 0.25 }
}

/// Says so.
pub(crate) fn by_length(asked: &Request) -> Answer {
    let second = second_is_better(asked);
    labels(1.0 - second, second)
}
