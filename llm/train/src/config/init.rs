//! The table `model.init`: a model that is initialised at random, instead of `model.source`.

use toml::Value;

use super::keys::KEYS;
use super::settings::Settings;
use tokensieve_model::weights::RandomModel;
use tokensieve_model::{Error, Result};

const TABLE: &str = "model.init";

/// The table's model. Without the table there is none, and the table's defaults are removed.
pub(super) fn init(settings: &mut Settings) -> Result<Option<RandomModel>> {
    if !settings.mentions(TABLE) {
        let keys = KEYS.iter().filter(|key| key.name.starts_with(TABLE));
        keys.for_each(|key| settings.remove(key.name));
        return Ok(None);
    }
    if settings.mentions("model.source") {
        return Err(settings.wrong(TABLE, "give model.source or model.init, not both"));
    }
    if !settings.required::<bool>("train.full")? {
        let what =
            "a model that is initialised at random needs `train.full = true`: all its weights are trained";
        return Err(settings.wrong(TABLE, what));
    }
    settings.remove("model.source");
    let key = |name: &str| format!("{TABLE}.{name}");
    if settings.value(&key("kv_heads")).is_none() {
        let heads = settings.required::<i64>(&key("heads"))?;
        settings.set(&key("kv_heads"), Value::Integer(heads));
    }
    let model = RandomModel {
        family: settings.required(&key("architecture"))?,
        hidden_size: settings.required(&key("hidden_size"))?,
        layers: settings.required(&key("layers"))?,
        heads: settings.required(&key("heads"))?,
        kv_heads: settings.required(&key("kv_heads"))?,
        intermediate_size: settings.required(&key("intermediate_size"))?,
        context: settings.required(&key("context"))?,
        tied: settings.required(&key("tie_embeddings"))?,
        characters: settings.required(&key("characters"))?,
        end: settings.optional(&key("end")),
        std: settings.required(&key("std"))?,
        seed: settings.required(&key("seed"))?,
    };
    match model.config() {
        Ok(_) => Ok(Some(model)),
        Err(Error::Setting { what, .. }) => Err(settings.wrong(TABLE, what)),
        Err(other) => Err(other),
    }
}
