//! Hashes of the sources that decide what `tokensieve` computes, one per verb. The program says them of itself; whoever
//! files its results under them can tell whether it was built from the sources at hand.

/// Hash of what decides the numbers of `train`.
pub const TRAIN: &str = env!("TOKENSIEVE_CODE_TRAIN");
/// Of `evaluate` and `generate`.
pub const EVALUATE: &str = env!("TOKENSIEVE_CODE_EVALUATE");
/// Of `uncertainty`.
pub const UNCERTAINTY: &str = env!("TOKENSIEVE_CODE_UNCERTAINTY");
/// Of `make`.
pub const MAKE: &str = env!("TOKENSIEVE_CODE_MAKE");
/// Of all verbs together.
pub const ALL: &str = env!("TOKENSIEVE_CODE");

/// What `tokensieve --version` says behind the program's name.
pub const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\ncode ", env!("TOKENSIEVE_CODE"));

#[cfg(test)]
mod sources;

#[cfg(test)]
mod tests {
    use super::sources::{VERBS, hash};
    use std::fs;
    use std::path::Path;

    #[test]
    fn every_source_is_there() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for (verb, parts) in VERBS {
            for source in parts.iter().copied().flatten() {
                assert!(root.join(source).exists(), "{verb}: there is no {source}");
            }
        }
    }

    #[test]
    fn code_counts_and_comments_and_tests_do_not() {
        let folder = tempfile::tempdir().unwrap();
        let hash_of = |text: &str| {
            fs::write(folder.path().join("a.rs"), text).unwrap();
            hash(folder.path(), ["a.rs", "nowhere"]).unwrap()
        };
        let code = hash_of("fn a() {\n    1\n}\n");
        assert_eq!(code.len(), 64);
        assert_eq!(hash_of("// Why.\nfn a() {\n\n    1\n}\n\n#[cfg(test)]\nmod tests {\n    2\n}\n"), code);
        assert_ne!(hash_of("fn a() {\n    2\n}\n"), code);
    }
}
