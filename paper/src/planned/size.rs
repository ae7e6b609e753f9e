//! How much of a plan a profile runs.

use crate::Profile;
use anyhow::{Context as _, Result};
use std::collections::BTreeMap;

/// The size whose outcomes the repository keeps.
pub const FULL: &str = "study";

/// The size that a profile runs, with its name. Where a plan has none of its own for them, profiles laptop and paper have the
/// study's.
pub fn of<S>(sizes: &BTreeMap<String, S>, profile: Profile) -> Result<(&str, &S)> {
    let names: &[&str] = match profile {
        Profile::Smoke => &["smoke"],
        Profile::Laptop => &["laptop", FULL],
        Profile::Study => &[FULL],
        Profile::Paper => &["paper", FULL],
    };
    let mut found = names.iter().filter_map(|name| sizes.get_key_value(*name));
    let found = found.next().map(|(name, size)| (name.as_str(), size));
    found.with_context(|| format!("no size is called `{}`", names[0]))
}
