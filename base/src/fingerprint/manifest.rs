//! `Cargo.toml`: what a crate depends on.

use std::path::{Path, PathBuf};
use std::{fs, io};

use toml::{Table, Value};

/// A crate's manifest, and the workspace's, whose dependencies it may inherit.
pub(super) struct Manifest {
    table: Table,
}

/// A dependency: its package's name, where it lies if it is of the workspace, and the rest of what is said of it
/// (version, features).
pub(super) struct Dependency {
    pub(super) package: String,
    pub(super) path: Option<PathBuf>,
    pub(super) rest: String,
}

impl Manifest {
    pub(super) fn read(path: &Path) -> io::Result<Self> {
        let wrong = |error: &dyn std::fmt::Display| io::Error::other(format!("{}: {error}", path.display()));
        let text = fs::read_to_string(path).map_err(|error| wrong(&error))?;
        Ok(Self { table: text.parse().map_err(|error| wrong(&error))? })
    }

    /// The package's name; `None` for a workspace's manifest alone.
    pub(super) fn name(&self) -> Option<&str> {
        self.table.get("package")?.get("name")?.as_str()
    }

    /// The folders of the workspace's members.
    pub(super) fn members(&self) -> Vec<&str> {
        let members = self.table.get("workspace").and_then(|workspace| workspace.get("members"));
        members.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// What the crate in `folder` is compiled with outside of tests, on any machine.
    pub(super) fn dependencies(&self, folder: &Path, root: &Self, root_folder: &Path) -> Vec<Dependency> {
        let targets = self.table.get("target").and_then(Value::as_table);
        let of_targets = targets.into_iter().flat_map(|targets| targets.values());
        let tables =
            of_targets.filter_map(|target| target.get("dependencies")).chain(self.table.get("dependencies"));
        let entries = tables.filter_map(Value::as_table).flatten();
        entries.map(|(key, value)| dependency(key, value, folder, root, root_folder)).collect()
    }

    /// The features that it declares.
    pub(super) fn features(&self) -> String {
        self.table.get("features").map(Value::to_string).unwrap_or_default()
    }
}

fn dependency(key: &str, value: &Value, folder: &Path, root: &Manifest, root_folder: &Path) -> Dependency {
    let inherits = value.get("workspace").and_then(Value::as_bool) == Some(true);
    let shared = root.table.get("workspace").and_then(|workspace| workspace.get("dependencies")?.get(key));
    let shared = shared.filter(|_| inherits);
    let say = |name: &str| [Some(value), shared].into_iter().flatten().find_map(|of| of.get(name)?.as_str());
    let path =
        say("path").map(|path| if shared.is_some() { root_folder.join(path) } else { folder.join(path) });
    let rest = [Some(value), shared].into_iter().flatten().map(what_decides).collect::<Vec<_>>().join(" ");
    Dependency { package: say("package").unwrap_or(key).to_owned(), path, rest }
}

/// An entry as far as it decides what is compiled. Beside a path a version does not: it is for the registry, and a
/// release changes it.
fn what_decides(entry: &Value) -> String {
    let mut entry = entry.clone();
    if let Some(table) = entry.as_table_mut().filter(|table| table.contains_key("path")) {
        table.remove("version");
    }
    entry.to_string()
}
