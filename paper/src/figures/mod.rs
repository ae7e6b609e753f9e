//! Every figure of the study, one file each.

use crate::Entry;
use anyhow::{Context as _, Result};

/// Declares the figures' files and lists them, in the report's order. A file with several figures names them: `[A, B]`.
macro_rules! figures {
    ($($file:ident $([$($name:ident),+])?),* $(,)?) => {
        $(mod $file;)*

        /// All figures, in the report's order.
        pub fn registry() -> Vec<Entry> {
            let mut all = Vec::new();
            $(figures!(@of all, $file $($($name),+)?);)*
            all
        }
    };
    (@of $all:ident, $file:ident) => { figures!(@of $all, $file Figure) };
    (@of $all:ident, $file:ident $($name:ident),+) => {
        let code = code(stringify!($file));
        $all.extend([$(Entry { figure: &$file::$name, code }),+]);
    };
}

/// The figure with this id.
pub fn named(id: &str) -> Result<Entry> {
    let all = registry();
    let ids = || all.iter().map(|entry| entry.figure.about().id).collect::<Vec<_>>().join(", ");
    let found = all.iter().find(|entry| entry.figure.about().id == id).copied();
    found.with_context(|| format!("no figure is called {id:?}; there are: {}", ids()))
}

figures![
    fig_1,
    fig_2a,
    fig_2b,
    fig_2c,
    fig_3,
    fig_4,
    fig_4_tokens,
    fig_5,
    fig_6a,
    fig_6b,
    epistemic,
    fig_7,
    fig_8,
    fig_9,
    fig_10,
    fig_11,
    fig_12,
    mnist_uncertainty,
    table_1,
    ablations[THRESHOLD, RANK, CURRICULUM],
    compute,
    b1_ordering,
    b_gradient_weight,
    b_identity,
    b_crossover,
    b_continuum,
    b_model_continuum,
    b_model_steps[POWERS, QUANTILES],
    b_model_likelihood,
    seam,
    map,
    study,
    diagnosis,
    oracle,
    oracle_proxies,
    oracle_selection,
    oracle_distillation,
    oracle_curriculum,
    oracle_probability,
    oracle_growth,
    oracle_tokens,
];

/// Fingerprint of what computes the table of the figure in a file, by the file's name.
fn code(file: &str) -> &'static str {
    const CODES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/figures.rs"));
    CODES.iter().find(|(name, _)| *name == file).expect("the build script reads every file here").1
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_file_of_figures_has_a_fingerprint_of_its_own() {
        let codes: BTreeSet<&str> = registry().iter().map(|entry| entry.code).collect();
        // Paper A's three ablations are one file, two of paper B's another.
        assert_eq!(codes.len(), registry().len() - 3);
        assert!(codes.iter().all(|code| code.len() == 64));
    }

    #[test]
    fn ids_are_unique_and_fit_in_file_names() {
        let ids: Vec<&str> = registry().iter().map(|entry| entry.figure.about().id).collect();
        for (at, id) in ids.iter().enumerate() {
            assert!(!ids[..at].contains(id), "{id} twice");
            assert!(id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'), "{id}");
        }
    }
}
