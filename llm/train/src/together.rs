//! Several processes begin one run: all from the same configuration, model and data, and from the same checkpoint.

use std::str::from_utf8;

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
    let all = group.gather(identity(new).join("\n").as_bytes()).map_err(Error::other)?;
    differences(&all)?;
    let step = found.as_ref().map(|found| found.state.step.to_le_bytes().to_vec());
    let step = group.broadcast(&step.unwrap_or_default()).map_err(Error::other)?;
    match step.try_into() {
        Ok(step) if group.rank() > 0 => resume::after(config, model, u64::from_le_bytes(step)).map(Some),
        _ => Ok(found),
    }
}

/// What all processes of a run have in common: names and values.
fn identity(state: &State) -> Vec<String> {
    let mut all = vec![
        format!("version\t{}", env!("CARGO_PKG_VERSION")),
        format!("configuration\t{}", state.config),
        format!("model\t{}", state.model),
    ];
    all.extend(state.data.iter().map(|(name, hash)| format!("data set `{name}`\t{hash}")));
    all.extend(state.reference.iter().map(|hash| format!("reference\t{hash}")));
    all
}

/// Refuses processes of which one is not what process 0 is.
fn differences(all: &[Vec<u8>]) -> Result<()> {
    let lines =
        |bytes: &[u8]| from_utf8(bytes).unwrap_or_default().lines().map(str::to_owned).collect::<Vec<_>>();
    let first = lines(&all[0]);
    for (rank, other) in all.iter().enumerate() {
        let other = lines(other);
        let differs = |line: &&String| !other.contains(line);
        if let Some(line) = first.iter().find(differs) {
            let name = line.split('\t').next().unwrap_or_default();
            let what =
                format!("process {rank} has another {name} than process 0: all must have the same files");
            return Err(Error::Run(what));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_that_differs_is_named_and_what_differs() {
        let of = |model: &str| format!("version\t1\nmodel\t{model}").into_bytes();
        assert!(differences(&[of("a"), of("a"), of("a")]).is_ok());
        let error = differences(&[of("a"), of("a"), of("b")]).unwrap_err().to_string();
        assert_eq!(error, "process 2 has another model than process 0: all must have the same files");
    }
}
