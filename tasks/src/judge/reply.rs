//! The parts of an OpenAI-compatible chat completion that a verdict needs.

use serde::{Deserialize, Serialize};

use super::Verdict;
use super::verdict::unwrapped;

/// A service's reply, stored so that the verdict can be computed again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Reply {
    /// Its text.
    pub(super) text: String,
    /// The most likely tokens at the first word, with log-probabilities; empty where the service returns none.
    pub(super) tokens: Vec<(String, f64)>,
}

impl Reply {
    /// Reads the body of an HTTP response.
    pub(super) fn read(body: &str) -> Result<Self, String> {
        let body: Completion = serde_json::from_str(body)
            .map_err(|error| format!("not a chat completion: {error}: {}", beginning(body)))?;
        let Some(choice) = body.choices.into_iter().next() else {
            return Err("a chat completion without choices".into());
        };
        let positions = choice.logprobs.and_then(|logprobs| logprobs.content).unwrap_or_default();
        // Some models begin with a quote or a line break.
        let first_word = positions.into_iter().find(|position| !unwrapped(&position.token).is_empty());
        let tokens = first_word.map_or_else(Vec::new, |position| {
            position.top_logprobs.into_iter().map(|top| (top.token, top.logprob)).collect()
        });
        Ok(Self { text: choice.message.content.unwrap_or_default(), tokens })
    }

    pub(super) fn verdict(&self) -> Verdict {
        if self.tokens.is_empty() {
            return Verdict::of_text(&self.text);
        }
        Verdict::of_tokens(
            self.tokens.iter().map(|(token, log_probability)| (token.as_str(), *log_probability)),
        )
    }
}

/// The first words of a text, for messages.
pub(super) fn beginning(text: &str) -> String {
    text.chars().take(200).collect()
}

#[derive(Deserialize)]
struct Completion {
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    message: CompletionMessage,
    logprobs: Option<Logprobs>,
}

#[derive(Deserialize)]
struct CompletionMessage {
    content: Option<String>,
}

#[derive(Deserialize)]
struct Logprobs {
    content: Option<Vec<Position>>,
}

#[derive(Deserialize)]
struct Position {
    token: String,
    #[serde(default)]
    top_logprobs: Vec<Top>,
}

#[derive(Deserialize)]
struct Top {
    token: String,
    logprob: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_probabilities_count_before_words() {
        let body = r#"{"choices":[{"message":{"content":"m"},"logprobs":{"content":[
            {"token":"\"","top_logprobs":[{"token":"\"","logprob":-0.1}]},
            {"token":"m","top_logprobs":[{"token":"m","logprob":-0.2876820724517809},{"token":"M","logprob":-1.3862943611198906}]}]}}]}"#;
        let Verdict::Second(p) = Reply::read(body).unwrap().verdict() else { panic!() };
        assert!((p - 0.25).abs() < 1e-12);
    }

    #[test]
    fn words_do_where_there_are_no_log_probabilities() {
        for logprobs in ["null", "{\"content\":null}", "{\"content\":[]}"] {
            let body = format!(r#"{{"choices":[{{"message":{{"content":" M."}},"logprobs":{logprobs}}}]}}"#);
            assert_eq!(Reply::read(&body).unwrap().verdict(), Verdict::Second(1.0));
        }
        let empty = r#"{"choices":[{"message":{"content":null}}]}"#;
        assert_eq!(Reply::read(empty).unwrap().verdict(), Verdict::Nonsense(String::new()));
    }

    #[test]
    fn other_bodies_are_refused() {
        for (body, complaint) in
            [("<html>", "<html>"), ("{}", "choices"), ("{\"choices\":[]}", "without choices")]
        {
            assert!(Reply::read(body).unwrap_err().contains(complaint));
        }
    }
}
