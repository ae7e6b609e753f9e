use std::fs;
use std::path::Path;

use super::tokens::{self, reached};
use super::*;
use crate::testing::skipped;

fn code(text: &str) -> String {
    tokens::read(text).unwrap().code
}

const CODE: &str = r#"
pub fn share(values: &[f64]) -> Result<f64> {
    let (low, high) = (0.25, "top");
    if values.is_empty() { return Err(Error::None); }
    Ok(values[0] * low)
}
"#;

#[test]
fn comments_layout_tests_and_words_do_not_count() {
    let same = r#"//! The module's text.
/// Its text.
#[must_use]
#[allow(clippy::all, reason = "why")]
pub fn share(
    // Why.
    values: &[f64],
) -> Result<f64> {
    let (low, high) = (
        0.25, /* a quarter */
        "top",
    );
    if values.is_empty() {
        return Err(Error::None);
    }
    Ok(values[0] * low)
}

#[cfg(test)]
use std::{fs, io};
#[cfg(test)]
const fn helper() -> u32 {
    1
}
#[cfg(test)]
#[path = "elsewhere.rs"]
mod tests;
#[cfg(test)]
#[allow(unused)]
mod inline {
    #[test]
    fn a() {}
}
"#;
    let file = tokens::read(same).unwrap();
    assert_eq!(file.code, code(CODE));
    let places: Vec<String> = file.test_modules.iter().map(|module| module.place("src/a/b.rs")).collect();
    assert_eq!(places, ["src/a/elsewhere"]);
    let place = |file: &str| tokens::read("#[cfg(test)] mod tests;").unwrap().test_modules[0].place(file);
    assert_eq!(
        [place("src/a.rs"), place("src/a/mod.rs"), place("src/lib.rs")],
        ["src/a/tests", "src/a/tests", "src/tests"]
    );

    let words = |said: &str| {
        code(&format!(
            r#"#[derive(Debug)] enum E {{ #[error("{said}")] A }}
            fn f() -> Result<u32> {{ ensure!(g(2), "{said}"); eprintln!("{said} {{}}", 3); h().context("{said}") }}"#
        ))
    };
    assert_eq!(words("one"), words("two words"));
}

#[test]
fn code_and_data_count() {
    let changes = [
        ("0.25", "0.26"),
        ("\"top\"", "\"bottom\""),
        ("* low", "/ low"),
        ("is_empty", "is_full"),
        ("f64", "f32"),
    ];
    for (from, to) in changes {
        assert_ne!(code(&CODE.replace(from, to)), code(CODE), "{from} → {to}");
    }
    // Only what is for tests alone goes.
    assert_ne!(code("#[cfg(feature = \"a\")] mod b;"), code(""));
    assert_ne!(code("#[cfg(any(test, feature = \"a\"))] fn b() {}"), code(""));
    assert_eq!(code("struct A { #[cfg(test)] b: u32, c: u32 }"), code("struct A { c: u32 }"));
    assert_ne!(code("fn f() { ensure!(g(2)) }"), code("fn f() { ensure!(g(3)) }"));
    assert!(tokens::read("fn f() {\n    \"").unwrap_err().starts_with("no Rust"));
}

#[test]
fn what_a_function_names_is_reached() {
    let text = r#"
use toy::bands::{self, Row};
use crate::plot::Drawing;
const SEEDS: u32 = 3;
const INK: u32 = 4;
struct Figure;
impl crate::Figure for Figure {
    fn about(&self) -> &str { "words" }
    fn table(&self) -> Table { rows(SEEDS) }
    fn draw(&self) -> Drawing { ink(INK) }
}
fn rows(seeds: u32) -> Vec<Row> { bands::run(seeds) }
fn ink(ink: u32) -> Drawing { ink }
"#;
    let whole = reached(text, "table").unwrap();
    for same in [
        ("INK: u32 = 4", "INK: u32 = 5"),
        ("\"words\"", "\"others\""),
        ("{ ink }", "{ 2 * ink }"),
        ("plot::", "pilot::"),
    ] {
        assert_eq!(reached(&text.replace(same.0, same.1), "table").unwrap(), whole, "{same:?}");
    }
    for other in [
        ("SEEDS: u32 = 3", "SEEDS: u32 = 4"),
        ("bands::run", "bands::walk"),
        ("toy::bands", "toy::lines"),
        ("rows(SEEDS)", "rows(2)"),
    ] {
        assert_ne!(reached(&text.replace(other.0, other.1), "table").unwrap(), whole, "{other:?}");
    }
}

const LOCK: &str = r#"
version = 4
[[package]]
name = "compute"
version = "0.1.0"
dependencies = ["clap", "libm", "numbers", "proptest"]
[[package]]
name = "numbers"
version = "0.1.0"
dependencies = ["half 2.0.0"]
[[package]]
name = "libm"
version = "0.2.0"
source = "registry"
checksum = "aa"
dependencies = ["cfg"]
[[package]]
name = "cfg"
version = "1.0.0"
source = "registry"
checksum = "bb"
[[package]]
name = "half"
version = "1.0.0"
source = "registry"
checksum = "cc"
[[package]]
name = "half"
version = "2.0.0"
source = "registry"
checksum = "dd"
[[package]]
name = "clap"
version = "4.0.0"
source = "registry"
checksum = "ee"
[[package]]
name = "proptest"
version = "1.0.0"
source = "registry"
checksum = "ff"
"#;

/// A workspace of two crates: `compute`, which depends on `numbers`.
fn workspace(folder: &Path) {
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("Cargo.lock", LOCK);
    write(
        "Cargo.toml",
        "[workspace]\nmembers = ['compute']\n[workspace.dependencies]\nnumbers = { path = 'in/numbers', version = '1.0.0' }\n\
         libm = { version = '0.2', features = ['a'] }",
    );
    write(
        "compute/Cargo.toml",
        "[package]\nname = 'compute'\n[dependencies]\nclap = '4'\nlibm.workspace = true\nnumbers.workspace = true\n\
         [dev-dependencies]\nproptest = '1'",
    );
    write(
        "in/numbers/Cargo.toml",
        "[package]\nname = 'numbers'\n[target.'cfg(unix)'.dependencies]\nhalf = '2'",
    );
    write("compute/src/lib.rs", "mod a;");
    write("compute/src/a.rs", "pub fn a() -> u32 { 1 }\n#[cfg(test)]\nmod tests;\n");
    write("compute/src/a/tests.rs", "fn b() {}");
    write("compute/src/a.txt", "text");
    write("compute/shim/shim.cc", "int a;");
    write("compute/tests/whole.rs", "fn c() {}");
    write("in/numbers/src/lib.rs", "pub const ONE: f64 = 1.0;");
}

#[test]
fn a_workspace_is_followed_to_its_last_number() {
    let folder = tempfile::tempdir().unwrap();
    let of = |crates: &[&str]| Workspace::around(&folder.path().join("compute")).unwrap().of(crates).unwrap();
    let after = |file: &str, from: &str, to: &str| {
        workspace(folder.path());
        let path = folder.path().join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{file}: {from}");
        fs::write(path, text.replace(from, to)).unwrap();
        of(&["compute"])
    };
    workspace(folder.path());
    let before = of(&["compute"]);
    assert_eq!(before.len(), 64);

    for (file, from, to) in [
        ("compute/src/a.rs", "u32 { 1 }", "u32 {\n    // One.\n    1\n}"),
        ("compute/src/a/tests.rs", "b", "c"),
        ("compute/tests/whole.rs", "c", "d"),
        ("Cargo.lock", "4.0.0", "4.1.0"),
        (
            "Cargo.lock",
            "name = \"proptest\"\nversion = \"1.0.0\"",
            "name = \"proptest\"\nversion = \"1.1.0\"",
        ),
        ("Cargo.lock", "checksum = \"cc\"", "checksum = \"c0\""),
        ("compute/Cargo.toml", "proptest = '1'", "proptest = '1.1'"),
        ("Cargo.toml", "version = '1.0.0'", "version = '1.1.0'"),
    ] {
        assert_eq!(after(file, from, to), before, "{file}: {from} → {to}");
    }
    for (file, from, to) in [
        ("compute/src/a.rs", "1", "2"),
        ("compute/src/a.txt", "text", "words"),
        ("compute/shim/shim.cc", "a", "b"),
        ("in/numbers/src/lib.rs", "1.0", "2.0"),
        ("Cargo.lock", "version = \"0.2.0\"", "version = \"0.2.1\""),
        ("Cargo.lock", "checksum = \"bb\"", "checksum = \"b0\""),
        ("Cargo.lock", "checksum = \"dd\"", "checksum = \"d0\""),
        ("Cargo.toml", "['a']", "['b']"),
        ("in/numbers/Cargo.toml", "half = '2'", "half = '2'\n[features]\ndefault = ['x']"),
    ] {
        assert_ne!(after(file, from, to), before, "{file}: {from} → {to}");
    }
    workspace(folder.path());
    fs::write(folder.path().join("in/numbers/src/lib.rs"), "fn {").unwrap();
    let error = Workspace::around(folder.path()).unwrap().of(&["compute"]).unwrap_err().to_string();
    assert!(error.contains("lib.rs: no Rust"), "{error}");
}

/// What a registry has: one package, with a lock file of its own, whose dependencies come from the registry.
#[test]
fn a_package_by_itself_counts_its_dependencies_by_version() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("Cargo.toml", "[package]\nname = 'compute'\n[dependencies]\nlibm = '0.2'");
    let of = |lock: &str| {
        write("Cargo.lock", lock);
        Workspace::around(folder.path()).unwrap().of(&["libm"]).unwrap()
    };
    assert_ne!(of(LOCK), of(&LOCK.replace("0.2.0", "0.2.1")));
}

/// The names that are left out, and the verbs' crates, are of this workspace.
#[test]
fn lists_name_what_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let Ok(lock) = fs::read_to_string(root.join("Cargo.lock")) else {
        return skipped("this package lies outside of its workspace");
    };
    let has = |name: &str| lock.contains(&format!("name = \"{name}\"\n"));
    for (name, _) in LEFT_OUT {
        match name.split_once('/') {
            None => assert!(has(name), "{name}"),
            Some((_, module)) => {
                let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(module);
                assert!(source.is_dir() || source.with_extension("rs").is_file(), "{name}");
            }
        }
    }
    for name in VERBS.iter().flat_map(|(_, crates)| *crates) {
        assert!(has(name), "{name}");
    }
}
