//! The parts of an OpenAI-compatible chat completion that a verdict needs.

use serde::{Deserialize, Serialize};
use tokensieve_base::http::Secrets;

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
    /// Reads the body of an HTTP response. The reply is going to be kept, so that it holds none of the secrets.
    pub(super) fn read(body: &str, secrets: &Secrets) -> Result<Self, String> {
        let body: Completion = serde_json::from_str(body).map_err(|error| {
            let error = secrets.hide(&error.to_string());
            format!("not a chat completion: {error}: {}", beginning(body, secrets))
        })?;
        let Some(choice) = body.choices.into_iter().next() else {
            return Err("a chat completion without choices".into());
        };
        let positions = choice.logprobs.and_then(|logprobs| logprobs.content).unwrap_or_default();
        // Some models begin with a quote or a line break.
        let first_word = positions.into_iter().find(|position| !unwrapped(&position.token).is_empty());
        let tokens = first_word.map_or_else(Vec::new, |position| {
            position.top_logprobs.into_iter().map(|top| (secrets.hide(&top.token), top.logprob)).collect()
        });
        Ok(Self { text: secrets.hide(&choice.message.content.unwrap_or_default()), tokens })
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

/// The first words of a text, for messages. Secrets are hidden first: cut in two they could not be recognised.
pub(super) fn beginning(text: &str, secrets: &Secrets) -> String {
    secrets.hide(text).chars().take(200).collect()
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

    fn read(body: &str) -> Result<Reply, String> {
        Reply::read(body, &Secrets::new("https://example.org", Some("sk-123")))
    }

    #[test]
    fn log_probabilities_count_before_words() {
        let body = r#"{"choices":[{"message":{"content":"m"},"logprobs":{"content":[
            {"token":"\"","top_logprobs":[{"token":"\"","logprob":-0.1}]},
            {"token":"m","top_logprobs":[{"token":"m","logprob":-0.2876820724517809},{"token":"M","logprob":-1.3862943611198906}]}]}}]}"#;
        let Verdict::Second(p) = read(body).unwrap().verdict() else { panic!() };
        assert!((p - 0.25).abs() < 1e-12);
    }

    #[test]
    fn words_do_where_there_are_no_log_probabilities() {
        for logprobs in ["null", "{\"content\":null}", "{\"content\":[]}"] {
            let body = format!(r#"{{"choices":[{{"message":{{"content":" M."}},"logprobs":{logprobs}}}]}}"#);
            assert_eq!(read(&body).unwrap().verdict(), Verdict::Second(1.0));
        }
        let empty = r#"{"choices":[{"message":{"content":null}}]}"#;
        assert_eq!(read(empty).unwrap().verdict(), Verdict::Nonsense(String::new()));
    }

    #[test]
    fn other_bodies_are_refused() {
        for (body, complaint) in
            [("<html>", "<html>"), ("{}", "choices"), ("{\"choices\":[]}", "without choices")]
        {
            assert!(read(body).unwrap_err().contains(complaint));
        }
    }
    #[test]
    fn secrets_are_neither_kept_nor_named() {
        let body = r#"{"choices":[{"message":{"content":"no sk-123"},"logprobs":{"content":[
            {"token":"no","top_logprobs":[{"token":"sk-123","logprob":-0.1}]}]}}]}"#;
        let kept = Reply { text: "no ***".into(), tokens: vec![("***".into(), -0.1)] };
        assert_eq!(read(body).unwrap(), kept);
        // The second one is cut by the end of what is shown.
        for body in ["{\"choices\":\"sk-123\"}".to_owned(), format!("{}sk-123", "-".repeat(197))] {
            let error = read(&body).unwrap_err();
            assert!(error.contains("***") && !error.contains("sk-"), "{error}");
        }
    }
}
