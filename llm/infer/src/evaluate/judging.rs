//! Which judge compares replies, and with which baseline.

use std::env;

use tokensieve_base::http::{is_on_this_machine, without_password};
use tokensieve_tasks::judge::Prices;

use tokensieve_model::{Error, Result};

/// Prefix of the name of a judge that is a local model.
const LOCAL: &str = "local:";

/// The baseline of the published length control.
pub const BASELINE: &str = "gpt4-1106-preview";

/// The flag that names the judge.
pub(super) const JUDGE: &str = "--judge";

/// Environment variable with the key of an endpoint, if it needs one.
const KEY: &str = "OPENAI_API_KEY";

/// The judge and the baseline of `alpaca-eval`.
#[derive(Clone, Debug)]
pub struct Judging {
    /// `local:MODEL`, or `https://endpoint#model`.
    pub judge: String,
    /// A file of outputs, the answers of another evaluation, or the name of a public model.
    pub baseline: String,
    /// Prices of an endpoint.
    pub prices: Option<Prices>,
    /// Receives the estimated cost of asking an endpoint, and returns whether to proceed.
    pub agree: fn(&str) -> bool,
}

/// Where a judge runs.
pub(super) enum JudgeAddress<'a> {
    /// A local model.
    Local(&'a str),
    /// A model behind an HTTP endpoint, and the environment variable with its key.
    Endpoint { base: &'a str, model: &'a str, key_variable: Option<&'static str> },
}

impl Judging {
    /// Whether the judge is a model on this machine.
    pub fn is_local(&self) -> bool {
        self.judge.starts_with(LOCAL)
    }

    /// The judge as it may be printed and kept: an address without its user and password.
    pub(super) fn shown(&self) -> String {
        if self.is_local() { self.judge.clone() } else { without_password(&self.judge) }
    }

    pub(super) fn address(&self) -> Result<JudgeAddress<'_>> {
        let endpoint = self.judge.rsplit_once('#');
        let endpoint = endpoint.filter(|(base, model)| base.starts_with("http") && !model.is_empty());
        match (self.judge.strip_prefix(LOCAL), endpoint) {
            (Some(model), _) if !model.is_empty() => Ok(JudgeAddress::Local(model)),
            (None, Some((base, model))) => {
                let key_variable = env::var_os(KEY).filter(|key| !key.is_empty()).map(|_| KEY);
                if key_variable.is_some() {
                    refuse_unencrypted_key(base)?;
                }
                Ok(JudgeAddress::Endpoint { base, model, key_variable })
            }
            _ => {
                let what = format!("`{}` is neither local:MODEL nor https://endpoint#model", self.shown());
                Err(Error::setting(JUDGE, what))
            }
        }
    }
}

/// Refuses to send a key where everybody on the way can read it.
fn refuse_unencrypted_key(base: &str) -> Result<()> {
    if base.starts_with("https://") || is_on_this_machine(base) {
        return Ok(());
    }
    let what = format!(
        "{} would get the key in {KEY} unencrypted; use https://, or unset {KEY} if the judge wants no key",
        without_password(base)
    );
    Err(Error::setting(JUDGE, what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_sent_encrypted_or_stay_on_this_machine() {
        for base in [
            "https://api.openai.com/v1",
            "http://localhost",
            "http://LOCALHOST:8000/v1",
            "http://127.0.0.1:8000/v1",
            "http://127.1.2.3",
            "http://[::1]:8000/v1",
            "http://me@localhost/v1",
        ] {
            assert!(refuse_unencrypted_key(base).is_ok(), "{base}");
        }
        for base in [
            "http://api.openai.com/v1",
            "http://10.0.0.5:8000/v1",
            "http://[2001:db8::1]/v1",
            "http://localhost@example.org/v1",
            "http://localhost:80@example.org",
            "http://localhost.example.org",
            "http://example.org/?@localhost",
        ] {
            let error = refuse_unencrypted_key(base).unwrap_err().to_string();
            let shown = without_password(base);
            assert!(
                error.starts_with(&format!("--judge: {shown} would get the key in OPENAI_API_KEY")),
                "{error}"
            );
            assert!(error.contains("use https://"), "{error}");
        }
    }
}
