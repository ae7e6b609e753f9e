//! The objectives known by name: TOML files under `presets/`, compiled in.

use toml::Table;

use crate::{Error, error::hint, settings};

/// Name and file. A new preset is a new file and its line here.
const PRESETS: &[(&str, &str)] = &[
    ("mle", include_str!("../presets/mle.toml")),
    ("masked-mle", include_str!("../presets/masked-mle.toml")),
    ("distill", include_str!("../presets/distill.toml")),
    ("masked-mle+distill", include_str!("../presets/masked-mle+distill.toml")),
    ("-p", include_str!("../presets/minus-p.toml")),
];

/// The names of all presets, in the order of the manual.
pub fn names() -> impl Iterator<Item = &'static str> {
    PRESETS.iter().map(|(name, _)| *name)
}

/// A preset's file.
pub fn text(name: &str) -> Result<&'static str, Error> {
    let found = PRESETS.iter().find(|(known, _)| *known == name).map(|(_, text)| *text);
    found.ok_or_else(|| Error::UnknownPreset { name: name.to_owned(), hint: hint(name, names()) })
}

pub(crate) fn table(name: &str) -> Result<Table, Error> {
    settings::table(text(name)?)
}
