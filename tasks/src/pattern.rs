//! Regular expressions that are compiled once.

/// Declares one by its name.
macro_rules! pattern {
    ($name:ident, $pattern:expr) => {
        static $name: std::sync::LazyLock<regex::Regex> =
            std::sync::LazyLock::new(|| regex::Regex::new(&$pattern).expect("a regex"));
    };
}
pub(crate) use pattern;
