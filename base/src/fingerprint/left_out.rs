/// What cannot change a result, by name and with the reason: crates, and modules of crates as `crate/module`. Neither they nor
/// what is reached through them alone counts.
pub const LEFT_OUT: [(&str, &str); 14] = [
    ("anyhow", "carries errors"),
    ("thiserror", "words errors"),
    ("clap", "reads the command line"),
    ("comfy-table", "prints tables"),
    ("console", "colours what is printed"),
    ("ctrlc", "ends a run early"),
    ("indicatif", "shows progress"),
    ("ureq", "fetches what is compared with a hash, or asks a service that no hash describes"),
    ("tokensieve-data", "fetches files by their SHA-256, which is part of every result's identity"),
    ("tokensieve-base/files", "where bytes lie, not what they are"),
    ("tokensieve-base/http", "as ureq"),
    ("tokensieve-base/fingerprint", "names results, and makes none"),
    ("tokensieve-base/terminal", "shows progress"),
    ("tokensieve-base/testing", "for tests alone"),
];

pub(super) fn is_left_out(name: &str) -> bool {
    LEFT_OUT.iter().any(|(left_out, _)| *left_out == name)
}
