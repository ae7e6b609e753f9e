//! Models' names, and what is claimed and drawn of each model by itself.

use super::scoring;
use crate::Profile;
use crate::finetune::{Plan, Work};
use crate::lab::Verb;
use crate::planned::PlannedRuns as _;
use crate::provenance::{Provenance, Unit};
use crate::table::distinct;
use clap::ValueEnum as _;

/// How the figures that score a published model's tokens depart from the papers.
pub const SMALL_MODEL: &str = "Every profile except paper uses SmolLM2-135M-Instruct, whose weights were rounded to 4 bits \
                               (GGUF, Q4_1) and read back.";

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

/// The profile whose training runs are behind a table, and how large they were; `None` if no published model was trained.
pub fn sizes(provenance: &Provenance) -> Option<(&'static str, String)> {
    let (profile, plan) = of_profile(provenance)?;
    let model = plan.model(profile).ok()?;
    let verb =
        |unit: &Unit| unit.config.get("verb").and_then(|verb| verb.as_str()) == Some(Verb::Train.name());
    let trained = provenance.units.iter().any(|unit| verb(unit) && reads(unit, model));
    if trained { Some((profile.name(), plan.describe(profile).ok()?)) } else { None }
}

/// The published language models behind a table, by their publishers' names.
pub fn behind(provenance: &Provenance) -> Option<Vec<String>> {
    let (profile, plan) = of_profile(provenance)?;
    let known = scoring::models(profile).iter().copied().chain(plan.model(profile).ok());
    let read = known.filter(|model| provenance.units.iter().any(|unit| reads(unit, model)));
    let models = distinct(read.map(|model| published(model).to_owned()));
    (!models.is_empty()).then_some(models)
}

/// The profile of a table's runs, and the plan of fine-tuning. What the repository keeps is of profile study, whoever reads it.
fn of_profile(provenance: &Provenance) -> Option<(Profile, Plan)> {
    let is_kept = provenance.units.iter().any(|unit| unit.name == Work::KEPT);
    let profile =
        if is_kept { Profile::Study } else { Profile::from_str(&provenance.profile, false).ok()? };
    Some((profile, Plan::load().ok()?))
}

/// Whether a job reads a model of the catalogue.
fn reads(unit: &Unit, model: &str) -> bool {
    let reads = unit.config.get("reads").and_then(|reads| reads.as_array());
    reads.into_iter().flatten().any(|name| name.as_str() == Some(model))
}
