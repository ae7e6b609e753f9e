//! What is diagnosed, by the names that a configuration has for it, and the configuration that follows.

use std::path::Path;

use tokensieve_documents::{DataSource, Format, Truncate};
use tokensieve_model::{Error, Result};
use tokensieve_train::config::Config;
use toml::{Table, Value};

/// A model and a data set as the user names them.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The model, as `model.source`.
    pub model: String,
    /// Type of the computation, as `model.dtype`.
    pub dtype: String,
    /// A chat template instead of the model's own, as `model.chat_template`.
    pub chat_template: Option<String>,
    /// Date passed to chat templates, as `data.date`.
    pub date: Option<String>,
    /// The rows, as `[data]`.
    pub data: DataSource,
    /// Held-out rows of the user's, as `[eval.held-out]`.
    pub held_out: Option<DataSource>,
}

/// The name that errors have for a configuration that was never a file.
const NOWHERE: &str = "diagnose.toml";

impl Subject {
    /// The configuration that trains with this objective, as TOML.
    pub fn configuration(&self, objective: &str) -> Result<String> {
        let text = |value: &str| Value::String(value.to_owned());
        let table = |entries: Vec<(&str, Option<Value>)>| {
            let entries = entries.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
            Value::Table(entries.collect::<Table>())
        };
        let data = &self.data;
        let is_cut = data.truncate == Truncate::End;
        let mut tables = vec![
            (
                "model",
                table(vec![
                    ("source", Some(text(&self.model))),
                    ("dtype", Some(text(&self.dtype))),
                    ("chat_template", self.chat_template.as_deref().map(text)),
                ]),
            ),
            (
                "data",
                table(vec![
                    ("train", Some(text(&data.source))),
                    ("split", data.split.as_deref().map(text)),
                    ("format", data.format.map(Format::name).map(text)),
                    ("max_length", data.max_length.map(|length| Value::Integer(length as i64))),
                    ("truncate", is_cut.then(|| text("end"))),
                    ("skip_bad", Some(Value::Boolean(true))),
                    ("date", self.date.as_deref().map(text)),
                ]),
            ),
            ("objective", table(vec![("preset", Some(text(objective)))])),
            ("lora", table(vec![("r", Some(Value::Integer(32)))])),
            ("train", table(vec![("epochs", Some(Value::Float(1.0)))])),
        ];
        if let Some(held_out) = &self.held_out {
            // Without this key training reads the split `test`.
            let split = held_out.split_read()?;
            let set =
                table(vec![("data", Some(text(&held_out.source))), ("split", split.as_deref().map(text))]);
            tables.push(("eval", table(vec![("held-out", Some(set))])));
        }
        let whole: Table = tables.into_iter().map(|(name, table)| (name.to_owned(), table)).collect();
        toml::to_string(&whole).map_err(|error| Error::Run(error.to_string()))
    }

    /// The same configuration, read by the trainer.
    pub(crate) fn config(&self, objective: &str) -> Result<Config> {
        Config::parse(Path::new(NOWHERE), &self.configuration(objective)?, &[])
    }
}

#[cfg(test)]
mod tests {
    use tokensieve_objective::Objective;

    use super::*;
    use crate::candidates;

    #[test]
    fn the_trainer_reads_the_configuration_of_every_objective() {
        let subject = Subject {
            model: "a \"model\"".to_owned(),
            dtype: "f32".to_owned(),
            chat_template: Some("plain".to_owned()),
            date: Some("2024-07-26".to_owned()),
            data: DataSource {
                format: Some(Format::Gsm8k),
                truncate: Truncate::End,
                max_length: Some(100),
                ..DataSource::new("rows.jsonl")
            },
            held_out: Some(DataSource::new("alpaca")),
        };
        let names = candidates::presets(&[]).unwrap().0;
        for name in names.iter().map(Objective::name).chain([candidates::PLAIN]) {
            let config = subject.config(name).unwrap();
            assert_eq!((config.objective.name(), config.model.source.as_str()), (name, "a \"model\""));
            assert_eq!((config.data.max_length, config.data.skip_bad), (Some(100), true));
            let (set, held_out) = &config.evaluations[0];
            assert_eq!((set.as_str(), held_out.split.as_deref()), ("held-out", Some("train")));
        }
    }
}
