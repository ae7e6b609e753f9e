//! Models' names, and what is claimed and drawn of each model by itself.

use super::scale::Scale;
use crate::Profile;
use crate::lab::Verb;
use crate::provenance::{Provenance, Unit};
use crate::table::distinct;
use clap::ValueEnum as _;

/// A departure from the papers of all figures about trained models.
pub const SMALL_MODEL: &str = "Every profile except paper uses SmolLM2-135M-Instruct, whose weights were rounded to 4 bits (GGUF, Q4_1) and read back.";

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

/// How large the training runs behind a table were; `None` if no published model was trained.
pub fn sizes(provenance: &Provenance) -> Option<String> {
    let scale = scale(provenance)?;
    let of_training = |unit: &Unit| {
        let verb = unit.config.get("verb").and_then(|verb| verb.as_str());
        [Verb::Train, Verb::Evaluate].map(Verb::name).into_iter().any(|name| verb == Some(name))
    };
    let trained = |unit: &Unit| of_training(unit) && reads_a_model(unit, &scale);
    provenance.units.iter().any(trained).then(|| scale.describe())
}

/// The published language models behind a table, by their publishers' names; `None` if there is none.
pub fn behind(provenance: &Provenance) -> Option<Vec<String>> {
    let scale = scale(provenance)?;
    let of_model = provenance.units.iter().any(|unit| reads_a_model(unit, &scale));
    of_model.then(|| scale.models.iter().map(|model| published(model).into()).collect())
}

/// The sizes of a table's profile.
fn scale(provenance: &Provenance) -> Option<Scale> {
    Profile::from_str(&provenance.profile, false).ok().map(Scale::of)
}

/// Whether a job reads one of the models of a scale; one that is trained from random weights reads none.
fn reads_a_model(unit: &Unit, scale: &Scale) -> bool {
    let reads = unit.config.get("reads").and_then(|reads| reads.as_array());
    reads.into_iter().flatten().filter_map(|name| name.as_str()).any(|name| scale.models.contains(&name))
}
