//! `Cargo.lock`: which versions of registry crates are compiled in.

use std::collections::BTreeSet;
use std::io;

use serde::Deserialize;

use super::left_out::is_left_out;

/// The packages of a lock file.
#[derive(Debug, Deserialize)]
pub(super) struct Lock {
    #[serde(default)]
    package: Vec<Package>,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    version: String,
    source: Option<String>,
    checksum: Option<String>,
    #[serde(default)]
    dependencies: Vec<String>,
}

impl Lock {
    pub(super) fn parse(text: &str) -> io::Result<Self> {
        toml::from_str(text).map_err(|error| io::Error::other(format!("Cargo.lock: {error}")))
    }

    /// Adds what a crate's dependency `name` brings with it: a line for every registry crate that is reached. Where there
    /// are several versions of a name and `of` does not say which it means, all of them count.
    pub(super) fn reach(&self, of: &str, name: &str, found: &mut BTreeSet<String>) {
        let user = self.package.iter().find(|package| package.name == of && package.source.is_none());
        let named =
            user.into_iter().flat_map(|user| &user.dependencies).filter(|entry| words(entry).0 == name);
        let mut queue: Vec<&str> = named.map(String::as_str).collect();
        if queue.is_empty() {
            queue.push(name);
        }
        while let Some(entry) = queue.pop() {
            let (name, version) = words(entry);
            if is_left_out(name) {
                continue;
            }
            let meant = |package: &&Package| {
                package.name == name && version.is_none_or(|version| package.version == version)
            };
            for package in self.package.iter().filter(meant) {
                let checksum = package.checksum.as_deref().unwrap_or("");
                if found.insert(format!("{name} {} {checksum}", package.version)) {
                    queue.extend(package.dependencies.iter().map(String::as_str));
                }
            }
        }
    }
}

/// Name and version of `name`, `name version` or `name version (source)`.
fn words(entry: &str) -> (&str, Option<&str>) {
    let mut words = entry.split(' ');
    (words.next().unwrap_or(""), words.next())
}
