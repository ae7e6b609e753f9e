//! The files of a crate that are compiled in.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use sha2::{Digest as _, Sha256};

use super::tokens;

/// Folders of a package beside what is compiled into its library.
const ASIDE: [&str; 6] = ["benches", "examples", "fuzz", "proptest-regressions", "target", "tests"];

/// How a package's programs are linked: a build script that changes no result.
const LINKING: &str = "link.rs";

/// A crate's files, by their paths below its folder, with what counts of each.
pub(super) struct Sources {
    pub(super) files: BTreeMap<String, String>,
}

impl Sources {
    /// Reads the crate in `folder`, without the modules `left_out`.
    pub(super) fn read(folder: &Path, left_out: impl Fn(&str) -> bool) -> io::Result<Self> {
        let mut paths = Vec::new();
        list(folder, true, &mut paths)?;
        let (mut files, mut only_tests) = (BTreeMap::new(), Vec::new());
        for path in paths {
            let name = relative(folder, &path);
            let module = name.strip_prefix("src/").and_then(|name| name.split(['/', '.']).next());
            if module.is_some_and(&left_out) {
                continue;
            }
            let bytes = fs::read(&path)?;
            let is_rust = has_ending(&path, "rs");
            let counts = if is_rust {
                let wrong = |error: String| io::Error::other(format!("{}: {error}", path.display()));
                let file = tokens::read(&String::from_utf8_lossy(&bytes)).map_err(wrong)?;
                only_tests.extend(file.test_modules.iter().map(|module| module.place(&name)));
                file.code
            } else {
                format!("{:x}", Sha256::digest(&bytes))
            };
            files.insert(name, counts);
        }
        let of_a_test = |name: &str| {
            only_tests.iter().any(|place: &String| {
                name.strip_prefix(place.as_str()).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
            })
        };
        files.retain(|name, _| !of_a_test(name));
        Ok(Self { files })
    }
}

/// Every file of a package, in the order of their names.
fn list(folder: &Path, is_root: bool, into: &mut Vec<PathBuf>) -> io::Result<()> {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    entries.sort();
    for path in entries {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            // A folder with a manifest is another package.
            let aside = is_root && ASIDE.contains(&name.as_str());
            if !aside && !name.starts_with('.') && !path.join("Cargo.toml").exists() {
                list(&path, false, into)?;
            }
        } else {
            let aside = is_root && (has_ending(&path, "toml") || name == LINKING);
            if !(aside || name.starts_with('.') || has_ending(&path, "md")) {
                into.push(path);
            }
        }
    }
    Ok(())
}

fn has_ending(path: &Path, ending: &str) -> bool {
    path.extension().is_some_and(|of| of == ending)
}

fn relative(folder: &Path, path: &Path) -> String {
    path.strip_prefix(folder).unwrap_or(path).to_string_lossy().replace('\\', "/")
}
