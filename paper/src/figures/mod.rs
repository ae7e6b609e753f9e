//! Every figure of the study, one file each.

use crate::Entry;

/// Declares the figures' files and lists them, in the report's order.
macro_rules! figures {
    ($($file:ident),* $(,)?) => {
        $(mod $file;)*

        /// All figures, in the report's order.
        pub fn registry() -> Vec<Entry> {
            vec![$(Entry { figure: &$file::Figure, source: include_str!(concat!(stringify!($file), ".rs")) }),*]
        }
    };
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
    ablation_threshold,
    ablation_rank,
    ablation_curriculum,
    compute,
    b1_ordering,
    b_gradient_weight,
    b_identity,
    b_crossover,
    b_continuum,
    seam,
];

#[cfg(test)]
mod tests {
    use super::*;

    /// The cache key covers the text between `fn table(` and `fn draw(`.
    #[test]
    fn every_file_computes_before_it_draws() {
        for entry in registry() {
            let id = entry.figure.about().id;
            let computing = entry.computing_source();
            assert!(computing.starts_with("fn table("), "{id}");
            assert!(computing.len() < entry.source.len(), "{id}: `fn draw(` must follow `fn table(`");
            assert!(!computing.contains("fn claims("), "{id}: `fn claims(` must come last");
        }
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
