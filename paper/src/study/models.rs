//! Models' names, and what is claimed and drawn of each model by itself.

use super::scale::Scale;
use crate::Profile;
use crate::lab::Verb;
use crate::oracle;
use crate::provenance::{Provenance, Unit};
use crate::table::distinct;
use clap::ValueEnum as _;

/// A departure from the papers of all figures about trained models.
pub const SMALL_MODEL: &str = "Every profile except paper uses SmolLM2-135M-Instruct.";

/// A model's name without its organisation.
pub fn short(model: &str) -> &str {
    model.rsplit('/').next().unwrap_or(model)
}

/// What its publishers call a model.
pub fn published(model: &str) -> &str {
    if model == "smollm2-135m" { "SmolLM2-135M-Instruct" } else { short(model) }
}

/// What `make` makes of every model's rows by themselves, in the table's order. Where there are several models, `named` puts
/// a model's name to what is its own.
pub fn each_model<R: Clone, T>(
    rows: &[R],
    model: impl Fn(&R) -> &str,
    make: impl Fn(&[R]) -> Vec<T>,
    named: impl Fn(T, &str) -> T,
) -> Vec<T> {
    let models = distinct(rows.iter().map(|row| model(row).to_owned()));
    if models.len() < 2 {
        return make(rows);
    }
    let of_model = |name: &String| {
        let own: Vec<R> = rows.iter().filter(|row| model(row) == name).cloned().collect();
        make(&own).into_iter().map(|one| named(one, name)).collect::<Vec<T>>()
    };
    models.iter().flat_map(of_model).collect()
}

/// How large the training runs behind a table were; `None` if nothing was trained, or by a plan of its own.
pub fn sizes(provenance: &Provenance) -> Option<String> {
    if provenance.figure.starts_with(oracle::FIGURES) {
        return None;
    }
    let of_training = |unit: &Unit| {
        let verb = unit.config.get("verb").and_then(|verb| verb.as_str());
        [Verb::Train, Verb::Evaluate].map(Verb::name).into_iter().any(|name| verb == Some(name))
    };
    let profile = Profile::from_str(&provenance.profile, false).ok()?;
    provenance.units.iter().any(of_training).then(|| Scale::of(profile).describe())
}

/// The language models behind a table, by their publishers' names; `None` if there is none, or only such as nobody published.
pub fn behind(provenance: &Provenance) -> Option<Vec<String>> {
    if provenance.figure.starts_with(oracle::FIGURES) {
        return None;
    }
    let profile = Profile::from_str(&provenance.profile, false).ok()?;
    let of_model = provenance.units.iter().any(|unit| unit.config.get("verb").is_some());
    of_model.then(|| Scale::of(profile).models.iter().map(|model| published(model).into()).collect())
}
