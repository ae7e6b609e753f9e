//! What a model's files specify about text besides the tokenizer: special tokens, chat template, end-of-text tokens.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use tokensieve_base::files::read_text;

use super::chat_template::{FILE, TOOL_USE};
use super::{ChatTemplate, Moment};
use crate::Error;
use crate::Result;
use crate::weights::LARGEST_JSON;

/// Special tokens, chat template, and end-of-text tokens.
#[derive(Clone, Debug, Default)]
pub struct Extras {
    /// Special tokens by role: `bos_token`, `eos_token`, …
    pub tokens: BTreeMap<String, String>,
    /// The source of the chat template.
    pub template: Option<String>,
    /// The source of a second chat template, which takes the first one's place in conversations with tools.
    pub tool_use: Option<String>,
    /// Tokens, besides `eos_token`, at which generation stops.
    pub eos: Vec<u32>,
    /// Whether plain text begins with `bos_token` if the tokenizer itself adds no tokens.
    pub add_bos: bool,
    /// The date and time that a template's `strftime_now` prints.
    pub moment: Moment,
}

impl Extras {
    /// Reads a Hugging Face folder's files; each is optional.
    pub(super) fn of_folder(folder: &Path) -> Result<Self> {
        let mut extras = Self::default();
        // Values of the second file override those of the first.
        for name in ["special_tokens_map.json", "tokenizer_config.json"] {
            let Some(config) = json(&folder.join(name))? else { continue };
            for (key, value) in config.as_object().into_iter().flatten() {
                let Some(token) = key.ends_with("_token").then(|| text(value)).flatten() else { continue };
                extras.tokens.insert(key.clone(), token.to_owned());
            }
            extras.take_templates(&config["chat_template"]);
        }
        if let Some(config) = json(&folder.join("chat_template.json"))? {
            extras.take_templates(&config["chat_template"]);
        }
        if let Some(source) = source(&folder.join(FILE))? {
            (extras.template, extras.tool_use) = (Some(source), None);
        }
        if let Some(source) = source(&folder.join(TOOL_USE))? {
            extras.tool_use = Some(source);
        }
        // config.json has them where there is no generation_config.json.
        for name in ["generation_config.json", "config.json"] {
            let Some(config) = json(&folder.join(name))? else { continue };
            extras.eos = match &config["eos_token_id"] {
                Value::Array(ids) => ids.iter().filter_map(id).collect(),
                one => id(one).into_iter().collect(),
            };
            if !extras.eos.is_empty() {
                break;
            }
        }
        Ok(extras)
    }

    /// These with a chosen template, if there is one, in place of both of the model's own.
    pub(super) fn with_chosen(self, template: Option<&ChatTemplate>) -> Self {
        let Some(template) = template else { return self };
        Self { template: Some(template.source().to_owned()), tool_use: None, ..self }
    }

    /// Takes over a file's templates: a single one, or of several those named `default` and `tool_use`.
    fn take_templates(&mut self, value: &Value) {
        let named =
            |name: &str| value.as_array()?.iter().find(|entry| entry["name"] == name)?["template"].as_str();
        if let Some(default) = value.as_str().or_else(|| named("default")) {
            self.template = Some(default.to_owned());
            self.tool_use = named("tool_use").map(str::to_owned);
        }
    }
}

/// The template in a file, if there is one.
fn source(path: &Path) -> Result<Option<String>> {
    path.is_file().then(|| Ok(read_text(path, LARGEST_JSON)?)).transpose()
}

pub(super) fn json(path: &Path) -> Result<Option<Value>> {
    match read_text(path, LARGEST_JSON) {
        Ok(text) => {
            let wrong = |error: serde_json::Error| Error::line(path, error.line(), error);
            serde_json::from_str(&text).map(Some).map_err(wrong)
        }
        Err(error) if error.error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

pub(super) fn id(value: &Value) -> Option<u32> {
    value.as_u64()?.try_into().ok()
}

/// A token's text: a string, or an object with a `content`.
pub(super) fn text(value: &Value) -> Option<&str> {
    value.as_str().or_else(|| value["content"].as_str())
}
