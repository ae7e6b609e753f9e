//! Which figures' numbers moved since a commit: their tables then and now, with both drawings and the verdicts that changed.
//!
//! Tables of two kinds lie in the repository: recorded ones, and the tests' snapshots of tables on generated data. A change
//! to an objective moves the latter even where nobody has recorded anew.

mod tables;

use crate::cache::write_atomically;
use crate::checkout::{self, git};
use crate::ledger::{effect, range};
use crate::provenance::Provenance;
use crate::{Claim, Entry, Made, Table, engine};
use anyhow::{Context as _, Result};
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior, context};
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use tables::Moves;
use tokensieve_plot::{Theme, unmarked};

/// Where the repository keeps tables, what kind they are, and what stands before and after a figure's id in their names.
const TABLES: [(&str, &str, &str, &str); 2] = [
    ("recorded", checkout::RECORDED, "", ".csv"),
    ("on generated data", "tests/tests/snapshots", "figures__", ".snap.csv"),
];

/// A table that is not what it was.
#[derive(Debug, Serialize)]
pub struct Moved {
    id: &'static str,
    title: String,
    /// The kind of the table.
    kind: &'static str,
    /// Its file in the repository.
    file: String,
    moves: Moves,
    claims: Vec<ClaimMoved>,
    /// The drawings then and now, as addresses that hold them; none where this program cannot draw the table.
    #[serde(skip_serializing)]
    drawings: [Option<String>; 2],
}

/// A claim whose verdict or effect is not what it was.
#[derive(Debug, PartialEq, Serialize)]
struct ClaimMoved {
    id: String,
    /// Verdict, effect and interval, then and now.
    before: String,
    now: String,
    /// Whether it is the verdict that changed.
    verdict: bool,
}

/// The tables that moved since a commit, in the order of the figures.
pub fn since(base: &str, entries: &[Entry]) -> Result<Vec<Moved>> {
    let root = &checkout::needed()?;
    git(root, &["rev-parse", "--verify", "--quiet", "--end-of-options", &format!("{base}^{{commit}}")])
        .with_context(|| format!("{base:?} names no commit of {}", root.display()))?;
    let mut all = Vec::new();
    for entry in entries {
        for (kind, folder, before_id, after_id) in TABLES {
            let id = entry.figure.about().id;
            let file = format!("{folder}/{before_id}{id}{after_id}");
            let then = git(root, &["show", &format!("{base}:{file}")]).ok();
            let now = fs::read_to_string(root.join(&file)).ok();
            if then == now {
                continue;
            }
            let read = |text: &Option<String>| {
                text.as_deref().map(Table::from_csv).transpose().with_context(|| file.clone())
            };
            all.push(moved(entry, kind, &file, read(&then)?.as_ref(), read(&now)?.as_ref()));
        }
    }
    Ok(all)
}

fn moved(entry: &Entry, kind: &'static str, file: &str, then: Option<&Table>, now: Option<&Table>) -> Moved {
    let made = |table: Option<&Table>| engine::assemble(entry, table?.clone(), Provenance::default()).ok();
    let (before, after) = (made(then), made(now));
    // A table of other columns is one of another program: this one may fail to draw it, and cannot test its claims.
    let is_known = then.is_some() == before.is_some() && now.is_some() == after.is_some();
    let about = entry.figure.about();
    Moved {
        id: about.id,
        title: unmarked(about.title),
        kind,
        file: file.to_owned(),
        moves: Moves::of(then, now),
        claims: if is_known { claims(before.as_ref(), after.as_ref()) } else { Vec::new() },
        drawings: [before, after].map(|made| Some(address(&made?.svg(&Theme::LIGHT)))),
    }
}

/// The claims that changed, by name; those of a table that is not there, or cannot be tested, are `–`.
fn claims(then: Option<&Made>, now: Option<&Made>) -> Vec<ClaimMoved> {
    let of = |made: Option<&Made>| made.map_or_else(Vec::new, |made| made.claims.clone());
    let (then, now) = (of(then), of(now));
    let ids: BTreeSet<&str> = then.iter().chain(&now).map(|claim| claim.id.as_str()).collect();
    let find = |claims: &[Claim], id: &str| claims.iter().find(|claim| claim.id == id).cloned();
    let changed = |id: &str| {
        let (then, now) = (find(&then, id), find(&now, id));
        let text = |claim: &Option<Claim>| claim.as_ref().map_or_else(|| "–".to_owned(), verdict_text);
        let name = |claim: &Option<Claim>| claim.as_ref().map(|claim| claim.verdict.name());
        let moved = ClaimMoved {
            id: id.to_owned(),
            before: text(&then),
            now: text(&now),
            verdict: name(&then) != name(&now),
        };
        (moved.before != moved.now).then_some(moved)
    };
    ids.into_iter().filter_map(changed).collect()
}

/// Verdict, effect and interval.
fn verdict_text(claim: &Claim) -> String {
    let interval = claim.estimate.map_or_else(|| "–".into(), range);
    format!("{}: {} ({interval})", claim.verdict.name(), effect(claim))
}

/// An address that holds a drawing, so that two of them on a page share no names.
fn address(svg: &str) -> String {
    let mut address = "data:image/svg+xml,".to_owned();
    for byte in svg.bytes() {
        if byte.is_ascii_alphanumeric() || b" =:/.-,;()'<>".contains(&byte) {
            address.push(byte as char);
        } else {
            // Writing to a string cannot fail.
            let _ = write!(address, "%{byte:02X}");
        }
    }
    address
}

/// What moved, for a comment on a pull request.
pub fn markdown(base: &str, all: &[Moved]) -> String {
    if all.is_empty() {
        return format!("No figure's numbers moved since `{base}`.\n");
    }
    let mut text = format!("Tables that moved since `{base}`: {}.\n", all.len());
    for Moved { id, title, kind, moves, claims, .. } in all {
        let _ = write!(text, "\n**{id}** ({kind}): {title}. {}\n", moves.summary);
        if !moves.largest.is_empty() {
            text += "\n| row | column | before | now |\n|---|---|--:|--:|\n";
            for number in &moves.largest {
                let _ = writeln!(
                    text,
                    "| {} | {} | {} | {} |",
                    number.row, number.column, number.before, number.now
                );
            }
        }
        let verdicts: Vec<&ClaimMoved> = claims.iter().filter(|claim| claim.verdict).collect();
        if !verdicts.is_empty() {
            text += "\n| claim | before | now |\n|---|---|---|\n";
            for ClaimMoved { id, before, now, .. } in verdicts {
                let _ = writeln!(text, "| {id} | {before} | {now} |");
            }
        }
    }
    text
}

/// Writes one page with both drawings of every table side by side; returns its path.
pub fn write(base: &str, all: &[Moved], folder: &Path) -> Result<PathBuf> {
    let mut templates = Environment::new();
    templates.set_undefined_behavior(UndefinedBehavior::Strict);
    templates.add_template("moved.html", include_str!("moved.html"))?;
    let drawings: Vec<&[Option<String>; 2]> = all.iter().map(|moved| &moved.drawings).collect();
    let page = templates
        .get_template("moved.html")?
        .render(context! { base, all => Serde(all), drawings => Serde(&drawings) })?;
    let path = folder.join("index.html");
    write_atomically(&path, page)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures;

    #[test]
    fn a_moved_number_is_drawn_and_its_claims_are_compared() -> Result<()> {
        let entry = &figures::named("a-2c")?;
        let table = engine::make_synthetic(entry)?.table;
        let same = moved(entry, "recorded", "f.csv", Some(&table), Some(&table));
        assert!(same.claims.is_empty() && same.moves.largest.is_empty(), "{same:?}");

        // The table of which only some rows are left decides otherwise, or not at all.
        let text = table.to_csv()?;
        let fewer = Table::from_csv(&text.lines().take(table.len() / 2).collect::<Vec<_>>().join("\n"))?;
        let other = moved(entry, "recorded", "f.csv", Some(&table), Some(&fewer));
        assert!(!other.claims.is_empty());
        assert!(other.moves.summary.contains("rows are gone"), "{}", other.moves.summary);
        let new = moved(entry, "recorded", "f.csv", None, Some(&table));
        assert!(new.drawings[0].is_none() && new.drawings[1].is_some());
        assert!(new.claims.iter().all(|claim| claim.before == "–"));

        let scratch = tempfile::tempdir()?;
        let folder = scratch.path();
        let all = [other, new];
        let page = fs::read_to_string(write("main", &all, folder)?)?;
        assert_eq!(page.matches("data:image/svg+xml").count(), 3);
        assert!(markdown("main", &all).contains("**a-2c** (recorded)"));
        assert_eq!(markdown("main", &[]), "No figure's numbers moved since `main`.\n");
        Ok(())
    }

    #[test]
    fn nothing_moved_since_what_is_checked_out_and_an_unknown_commit_is_named() {
        let unknown = format!("{:#}", since("no-such-branch", &[]).unwrap_err());
        assert!(unknown.contains("\"no-such-branch\" names no commit"), "{unknown}");
    }
}
