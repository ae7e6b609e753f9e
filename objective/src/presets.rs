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
    ("-p^10", include_str!("../presets/minus-p-10.toml")),
    ("f-alpha", include_str!("../presets/f-alpha.toml")),
    ("log(1-p)", include_str!("../presets/log-1-minus-p.toml")),
    ("threshold-above", include_str!("../presets/threshold-above.toml")),
    ("threshold-below", include_str!("../presets/threshold-below.toml")),
    ("percentile", include_str!("../presets/percentile.toml")),
    ("dft", include_str!("../presets/dft.toml")),
    ("eaft", include_str!("../presets/eaft.toml")),
    ("asft", include_str!("../presets/asft.toml")),
    ("rho", include_str!("../presets/rho.toml")),
    ("token-cleaning", include_str!("../presets/token-cleaning.toml")),
    ("focal", include_str!("../presets/focal.toml")),
    ("label-smoothing", include_str!("../presets/label-smoothing.toml")),
    ("iw-sft", include_str!("../presets/iw-sft.toml")),
    ("psft", include_str!("../presets/psft.toml")),
    ("deft", include_str!("../presets/deft.toml")),
    ("cayley", include_str!("../presets/cayley.toml")),
    ("profit", include_str!("../presets/profit.toml")),
    ("prift-prob", include_str!("../presets/prift-prob.toml")),
    ("prift-mass", include_str!("../presets/prift-mass.toml")),
    ("minor-sft", include_str!("../presets/minor-sft.toml")),
    ("ss-token", include_str!("../presets/ss-token.toml")),
    ("tail-sft", include_str!("../presets/tail-sft.toml")),
    ("gem", include_str!("../presets/gem.toml")),
    ("truncated-kd", include_str!("../presets/truncated-kd.toml")),
    ("reverse-kl", include_str!("../presets/reverse-kl.toml")),
    ("policy-gradient", include_str!("../presets/policy-gradient.toml")),
    ("oracle", include_str!("../presets/oracle.toml")),
    ("bald", include_str!("../presets/bald.toml")),
    ("random", include_str!("../presets/random.toml")),
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
