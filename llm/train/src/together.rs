//! Several processes begin one run: all from the same configuration, model and data, and from the same checkpoint.

use tokensieve_model::{Error, Model, Result};
use tokensieve_processes::{Group, all_same};

use crate::checkpoint::State;
use crate::config::Config;
use crate::resume::{self, Found};

/// Sees that all processes are about to begin the same run, and returns what this one begins with: `found` by process 0,
/// which the others read too. `new` is the state of a run without a checkpoint.
pub(super) fn begin(
    group: Option<&Group>,
    config: &Config,
    model: &Model,
    new: &State,
    found: Option<Found>,
) -> Result<Option<Found>> {
    let Some(group) = group else { return Ok(found) };
    for (what, own) in identity(config, new) {
        all_same(&what, &group.gather(own.as_bytes()).map_err(Error::other)?).map_err(Error::Run)?;
    }
    let step = found.as_ref().map(|found| found.state.step.to_le_bytes().to_vec());
    let step = group.broadcast(&step.unwrap_or_default()).map_err(Error::other)?;
    match step.try_into() {
        Ok(step) if group.rank() > 0 => resume::after(config, model, u64::from_le_bytes(step)).map(Some),
        _ => Ok(found),
    }
}

/// What all processes of a run have in common: names and values. The configuration comes before what it names.
fn identity(config: &Config, state: &State) -> Vec<(String, String)> {
    let mut all = vec![
        ("version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        ("configuration".to_owned(), state.config.clone()),
        // No number depends on it, but processes wait for each other at each checkpoint.
        ("train.save_every".to_owned(), config.train.save_every.to_string()),
        ("model".to_owned(), state.model.clone()),
    ];
    all.extend(state.data.iter().map(|(name, hash)| (format!("data set `{name}`"), hash.clone())));
    all.extend(state.reference.iter().map(|hash| ("reference".to_owned(), hash.clone())));
    all
}
