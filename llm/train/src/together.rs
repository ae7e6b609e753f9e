//! Several processes begin one run: all from the same configuration, model and data, and from the same checkpoint.

use tokensieve_model::{Error, Model, Result};
use tokensieve_processes::Group;

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
    for (what, own) in identity(new) {
        same(&what, &group.gather(own.as_bytes()).map_err(Error::other)?)?;
    }
    let step = found.as_ref().map(|found| found.state.step.to_le_bytes().to_vec());
    let step = group.broadcast(&step.unwrap_or_default()).map_err(Error::other)?;
    match step.try_into() {
        Ok(step) if group.rank() > 0 => resume::after(config, model, u64::from_le_bytes(step)).map(Some),
        _ => Ok(found),
    }
}

/// What all processes of a run have in common: names and values. The configuration comes before what it names.
fn identity(state: &State) -> Vec<(String, &str)> {
    let mut all = vec![
        ("version".to_owned(), env!("CARGO_PKG_VERSION")),
        ("configuration".to_owned(), state.config.as_str()),
        ("model".to_owned(), state.model.as_str()),
    ];
    all.extend(state.data.iter().map(|(name, hash)| (format!("data set `{name}`"), hash.as_str())));
    all.extend(state.reference.iter().map(|hash| ("reference".to_owned(), hash.as_str())));
    all
}

/// Refuses processes of which one has something else than process 0.
fn same(what: &str, all: &[Vec<u8>]) -> Result<()> {
    let differs = all.iter().position(|other| *other != all[0]);
    differs.map_or(Ok(()), |rank| {
        let what = format!("process {rank} has another {what} than process 0: all must have the same files");
        Err(Error::Run(what))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_that_differs_is_named_and_what_differs() {
        let models = |all: [&str; 3]| same("model", &all.map(|model| model.as_bytes().to_vec()));
        assert!(models(["a", "a", "a"]).is_ok());
        let error = models(["a", "a", "b"]).unwrap_err().to_string();
        assert_eq!(error, "process 2 has another model than process 0: all must have the same files");
    }
}
