//! Which judge compares replies, and with which baseline.

use tokensieve_tasks::judge::Prices;

use tokensieve_model::Error;
use tokensieve_model::Result;

/// Prefix of the name of a judge that is a local model.
const LOCAL: &str = "local:";

/// The baseline of the published length control.
pub const BASELINE: &str = "gpt4-1106-preview";

/// The flag that names the judge.
pub(super) const JUDGE: &str = "--judge";

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
    /// A model behind an HTTP endpoint.
    Endpoint { base: &'a str, model: &'a str },
}

impl Judging {
    pub(super) fn address(&self) -> Result<JudgeAddress<'_>> {
        let endpoint = self.judge.rsplit_once('#');
        let endpoint = endpoint.filter(|(base, model)| base.starts_with("http") && !model.is_empty());
        match (self.judge.strip_prefix(LOCAL), endpoint) {
            (Some(model), _) if !model.is_empty() => Ok(JudgeAddress::Local(model)),
            (None, Some((base, model))) => Ok(JudgeAddress::Endpoint { base, model }),
            _ => {
                let what = format!("`{}` is neither local:MODEL nor https://endpoint#model", self.judge);
                Err(Error::setting(JUDGE, what))
            }
        }
    }
}
