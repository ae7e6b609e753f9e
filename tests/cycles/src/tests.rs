use std::fs;

use crate::{graph, imports, tree::Tree};

/// The cycles of a crate made of these files; the root is `lib.rs`.
fn cycles(files: &[(&str, &str)]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    graph::cycles(&imports::of_crate(&Tree::read(&folder.path().join("lib.rs")).unwrap()))
}

#[test]
fn two_files_that_import_from_each_other_are_a_cycle() {
    let found = cycles(&[
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", "use crate::b::{B, c}; pub struct A(B); fn f() { c() }"),
        ("b.rs", "pub struct B; pub fn c() { let _: Option<super::a::A> = None; }"),
    ]);
    assert_eq!(found, ["a.rs -> b.rs (B, c) -> a.rs (A)"]);
}

#[test]
fn imports_in_one_direction_are_none() {
    let found = cycles(&[
        ("lib.rs", "mod a; mod b; pub use a::A; use b::B; pub fn f() -> B { B }"),
        ("a.rs", "use crate::b::B; pub struct A(B);"),
        ("b.rs", "pub struct B;"),
    ]);
    assert_eq!(found, [""; 0]);
}

#[test]
fn a_parent_that_declares_and_re_exports_imports_nothing() {
    let found = cycles(&[
        ("lib.rs", "mod group; pub use group::{A, B};"),
        ("group/mod.rs", "mod a; mod b; pub(crate) use a::A; pub use b::*;"),
        ("group/a.rs", "use super::B; pub struct A(B);"),
        ("group/b.rs", "use crate::group; pub struct B; fn f() -> group::B { B }"),
    ]);
    assert_eq!(found, [""; 0]);
}

#[test]
fn a_re_exported_name_leads_to_the_file_that_defines_it() {
    let found = cycles(&[
        ("lib.rs", "mod a; mod group;"),
        ("a.rs", "pub struct A(crate::group::B);"),
        ("group.rs", "mod b; pub use b::Inner as B;"),
        ("group/b.rs", "pub struct Inner(Option<Box<crate::a::A>>);"),
    ]);
    assert_eq!(found, ["a.rs -> group/b.rs (Inner) -> a.rs (A)"]);
}

#[test]
fn a_parent_and_a_child_that_name_each_other_are_a_cycle() {
    let found = cycles(&[
        ("lib.rs", "mod child; pub struct Shared; pub fn f() { child::g(Shared) }"),
        ("child.rs", "pub fn g(_: super::Shared) {}"),
    ]);
    assert_eq!(found, ["child.rs -> lib.rs (Shared) -> child.rs (g)"]);
    let through_a_glob = cycles(&[
        ("lib.rs", "mod child; use child::*; pub struct Shared; fn f() { g(Shared) }"),
        ("child.rs", "use super::*; pub fn g(_: Shared) {}"),
    ]);
    assert_eq!(through_a_glob, found);
}

#[test]
fn a_longer_cycle_is_found_once() {
    let found = cycles(&[
        ("lib.rs", "mod a; mod b; mod c;"),
        ("a.rs", "use crate::b::B; pub enum A { One(B) }"),
        ("b.rs", "use crate::c::C; pub struct B(C);"),
        ("c.rs", "pub struct C; fn f(a: &crate::a::A) { if let crate::a::A::One(_) = a {} }"),
    ]);
    assert_eq!(found, ["a.rs -> b.rs (B) -> c.rs (C) -> a.rs (A)"]);
}

#[test]
fn code_for_tests_does_not_count() {
    let found = cycles(&[
        ("lib.rs", "mod a; mod b; #[cfg(all(test, unix))] mod tests; pub fn f() {}"),
        ("tests.rs", "use super::*; fn g() { f() }"),
        ("a.rs", "use crate::b::B; pub struct A(B); #[cfg(test)] impl A { fn f(self) -> B { self.0 } }"),
        (
            "b.rs",
            "pub struct B; #[cfg(test)] mod tests { use crate::a::A; fn f(_: A) {} } #[test] fn g() { crate::f() }",
        ),
    ]);
    assert_eq!(found, [""; 0]);
    let with_a_feature = cycles(&[
        ("lib.rs", "#[cfg(any(test, feature = \"x\"))] mod a; pub fn f() { a::g() }"),
        ("a.rs", "#[cfg(not(test))] pub fn g() { crate::f() }"),
    ]);
    assert_eq!(with_a_feature, ["a.rs -> lib.rs (f) -> lib.rs (g)".replace("-> lib.rs (g)", "-> a.rs (g)")]);
}

#[test]
fn macros_and_attributes_are_looked_into() {
    let found = cycles(&[
        (
            "lib.rs",
            "#[macro_use] mod say; mod a; pub fn f() { println!(\"{}\", a::g(|x| x.h())) } pub fn h() {}",
        ),
        ("say.rs", "macro_rules! say { ($x:expr) => { $crate::h($x) } }"),
        (
            "a.rs",
            "pub fn g() { say!(1) } #[derive(serde::Serialize)] struct S { #[serde(with = \"crate::h\")] x: u8 }",
        ),
    ]);
    assert_eq!(found, ["a.rs -> lib.rs (h) -> a.rs (g)", "a.rs -> say.rs (say!) -> lib.rs (h) -> a.rs (g)"]);
    let declared = cycles(&[
        ("lib.rs", "list![one, two]; pub struct Shared;"),
        ("one.rs", "pub fn make() -> super::Shared { super::Shared }"),
        ("two/mod.rs", "pub fn make() {}"),
    ]);
    assert_eq!(declared, ["lib.rs -> one.rs (one) -> lib.rs (Shared)"]);
}
