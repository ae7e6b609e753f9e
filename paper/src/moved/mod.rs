//! Which figures' numbers moved since a commit: their tables then and now, with both drawings and the verdicts that changed.
//!
//! Tables of two kinds lie in the repository: recorded ones, and the tests' snapshots of tables on generated data. A change
//! to an objective moves the latter even where nobody has recorded anew.

mod tables;

use crate::cache::write_atomically;
use crate::checkout::{self, git};
use crate::ledger::{effect, range};
use crate::provenance::Provenance;
use crate::recorded::{LEDGER, RecordedVerdict};
use crate::table::from_csv;
use crate::{Claim, Entry, Made, Table, engine};
use anyhow::{Context as _, Result};
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior, context};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
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

/// All that moved since a commit.
#[derive(Debug, Default)]
pub struct Since {
    /// The commit that all is compared with, where it is another than the one that was named.
    left: Option<String>,
    /// The tables, in the order of the figures.
    tables: Vec<Moved>,
    /// Recorded verdicts that are not what they were though their table is, or that came or went with a claim.
    verdicts: Vec<ClaimMoved>,
}

impl Since {
    /// What stands behind the base's name.
    fn left_at(&self) -> String {
        self.left.as_ref().map_or_else(String::new, |commit| format!(", left at {}", &commit[..12]))
    }
}

/// What moved since a commit, or since what is checked out left it.
pub fn since(base: &str, entries: &[Entry]) -> Result<Since> {
    let root = &checkout::needed()?;
    let named =
        git(root, &["rev-parse", "--verify", "--quiet", "--end-of-options", &format!("{base}^{{commit}}")])
            .with_context(|| format!("{base:?} names no commit of {}", root.display()))?;
    let named = named.trim();
    let commit = common(root, named);
    let mut tables = Vec::new();
    for entry in entries {
        for (kind, folder, before_id, after_id) in TABLES {
            let id = entry.figure.about().id;
            let file = format!("{folder}/{before_id}{id}{after_id}");
            let then = git(root, &["show", &format!("{commit}:{file}")]).ok();
            let now = fs::read_to_string(root.join(&file)).ok();
            if then == now {
                continue;
            }
            let read = |text: &Option<String>| {
                text.as_deref().map(Table::from_csv).transpose().with_context(|| file.clone())
            };
            tables.push(moved(entry, kind, &file, read(&then)?.as_ref(), read(&now)?.as_ref()));
        }
    }
    let file = format!("{}/{LEDGER}", checkout::RECORDED);
    let then = git(root, &["show", &format!("{commit}:{file}")]).unwrap_or_default();
    let now = fs::read_to_string(root.join(&file)).unwrap_or_default();
    let mut verdicts = verdicts(&then, &now).context(file)?;
    let shown: BTreeSet<&String> =
        tables.iter().flat_map(|moved| &moved.claims).map(|claim| &claim.id).collect();
    verdicts.retain(|claim| !shown.contains(&claim.id));
    Ok(Since { left: (commit != named).then_some(commit), tables, verdicts })
}

/// The newest commit that is in the history of both this one and what is checked out: what came to a base after a branch had
/// left it did not move on the branch. This one itself where they have none in common.
fn common(root: &Path, commit: &str) -> String {
    git(root, &["merge-base", commit, "HEAD"])
        .map_or_else(|_| commit.to_owned(), |found| found.trim().to_owned())
}

/// The verdicts that differ between two ledgers.
fn verdicts(then: &str, now: &str) -> Result<Vec<ClaimMoved>> {
    let read = |text: &str| -> Result<BTreeMap<String, RecordedVerdict>> {
        let all: Vec<RecordedVerdict> = from_csv(text)?;
        Ok(all.into_iter().map(|verdict| (verdict.id.clone(), verdict)).collect())
    };
    let (then, now) = (read(then)?, read(now)?);
    let ids: BTreeSet<&String> = then.keys().chain(now.keys()).collect();
    let name = |verdict: Option<&RecordedVerdict>| verdict.map(|verdict| verdict.verdict.clone());
    let changed = |id: &String| {
        let (before, now) = (name(then.get(id)), name(now.get(id)));
        let text = |name: &Option<String>| name.clone().unwrap_or_else(|| "–".to_owned());
        (before != now).then(|| ClaimMoved {
            id: id.clone(),
            before: text(&before),
            now: text(&now),
            verdict: true,
        })
    };
    Ok(ids.into_iter().filter_map(changed).collect())
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
pub fn markdown(base: &str, all: &Since) -> String {
    let left = all.left_at();
    let mut text = match all.tables.len() {
        0 => format!("No figure's numbers moved since `{base}`{left}.\n"),
        n => format!("Tables that moved since `{base}`{left}: {n}.\n"),
    };
    for Moved { id, title, kind, moves, claims, .. } in &all.tables {
        let _ = write!(text, "\n**{id}** ({kind}): {title}. {}\n", moves.summary);
        if !moves.largest.is_empty() {
            text += "\n| row | column | before | now |\n|---|---|--:|--:|\n";
            for number in &moves.largest {
                // A token may be what separates fields or rows.
                let row = number.row.replace('|', "\\|").replace(['\n', '\r'], "↵");
                let _ = writeln!(text, "| {row} | {} | {} | {} |", number.column, number.before, number.now);
            }
        }
        text += &of_claims(claims.iter().filter(|claim| claim.verdict));
    }
    if !all.verdicts.is_empty() {
        let _ = write!(text, "\nVerdicts that changed though their table did not: {}.\n", all.verdicts.len());
        text += &of_claims(all.verdicts.iter());
    }
    text
}

/// A table of claims; empty if there are none.
fn of_claims<'c>(claims: impl Iterator<Item = &'c ClaimMoved>) -> String {
    let mut text = String::new();
    for ClaimMoved { id, before, now, .. } in claims {
        if text.is_empty() {
            text += "\n| claim | before | now |\n|---|---|---|\n";
        }
        let _ = writeln!(text, "| {id} | {before} | {now} |");
    }
    text
}

/// Writes one page with both drawings of every table side by side; returns its path.
pub fn write(base: &str, all: &Since, folder: &Path) -> Result<PathBuf> {
    let mut templates = Environment::new();
    templates.set_undefined_behavior(UndefinedBehavior::Strict);
    templates.add_template("moved.html", include_str!("moved.html"))?;
    let drawings: Vec<&[Option<String>; 2]> = all.tables.iter().map(|moved| &moved.drawings).collect();
    let page = templates.get_template("moved.html")?.render(context! {
        base => format!("{base}{}", all.left_at()),
        all => Serde(&all.tables),
        drawings => Serde(&drawings),
        verdicts => Serde(&all.verdicts),
    })?;
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
        let all = Since { left: None, tables: vec![other, new], verdicts: verdicts("", "")? };
        let page = fs::read_to_string(write("main", &all, folder)?)?;
        assert_eq!(page.matches("data:image/svg+xml").count(), 3);
        assert!(markdown("main", &all).contains("**a-2c** (recorded)"));
        assert_eq!(markdown("main", &Since::default()), "No figure's numbers moved since `main`.\n");
        Ok(())
    }

    #[test]
    fn a_verdict_may_change_where_no_number_does() -> Result<()> {
        let ledger = |rows: &str| format!("id,verdict,effect,low,high,n\n{rows}");
        let then = ledger("a/x,holds,1,0,2,3\na/y,holds,1,0,2,3\na/z,undecided,1,0,2,3\n");
        let now = ledger("a/x,does not hold,1,0,2,3\na/y,holds,1.5,1,2,3\na/new,holds,1,0,2,3\n");
        let all = Since { verdicts: verdicts(&then, &now)?, ..Since::default() };
        let text = markdown("main", &all);
        for line in ["| a/x | holds | does not hold |", "| a/z | undecided | – |", "| a/new | – | holds |"]
        {
            assert!(text.contains(line), "{text}");
        }
        assert!(!text.contains("a/y"), "{text}");
        let scratch = tempfile::tempdir()?;
        assert!(fs::read_to_string(write("main", &all, scratch.path())?)?.contains("a&#x2f;z"));
        Ok(())
    }

    #[test]
    fn a_token_that_separates_fields_keeps_the_table_whole() -> Result<()> {
        let table = |value| Table::from_csv(&format!("token,value\n\"|\n\",{value}\n"));
        let entry = &figures::named("a-2c")?;
        let one = moved(entry, "recorded", "x.csv", Some(&table("0.5")?), Some(&table("0.25")?));
        let text = markdown("main", &Since { tables: vec![one], ..Since::default() });
        assert!(text.contains("| \\|↵ | value | 0.5000 | 0.2500 |"), "{text}");
        Ok(())
    }

    #[test]
    fn a_branch_is_compared_with_the_commit_at_which_it_left_its_base() -> Result<()> {
        let scratch = tempfile::tempdir()?;
        let root = scratch.path();
        let commit = |message: &str| -> Result<String> {
            let ours = ["user.name=-", "user.email=-", "commit.gpgsign=false", "core.hooksPath=/dev/null"];
            let mut arguments: Vec<&str> = ours.into_iter().flat_map(|setting| ["-c", setting]).collect();
            arguments.extend(["commit", "--quiet", "--allow-empty", "--message", message]);
            git(root, &arguments)?;
            Ok(git(root, &["rev-parse", "HEAD"])?.trim().to_owned())
        };
        git(root, &["init", "--quiet"])?;
        let left = commit("of both")?;
        git(root, &["branch", "base"])?;
        let own = commit("the branch's")?;
        assert_eq!(common(root, &left), left);
        git(root, &["checkout", "--quiet", "base"])?;
        let gone_on = commit("the base's")?;
        git(root, &["checkout", "--quiet", "--detach", &own])?;
        assert_eq!(common(root, &gone_on), left);
        git(root, &["checkout", "--quiet", "--orphan", "other"])?;
        commit("of another history")?;
        assert_eq!(common(root, &gone_on), gone_on);

        let text = markdown("main", &Since { left: Some(left.clone()), ..Since::default() });
        assert_eq!(text, format!("No figure's numbers moved since `main`, left at {}.\n", &left[..12]));
        Ok(())
    }

    #[test]
    fn nothing_moved_since_what_is_checked_out_and_an_unknown_commit_is_named() {
        let unknown = format!("{:#}", since("no-such-branch", &[]).unwrap_err());
        assert!(unknown.contains("\"no-such-branch\" names no commit"), "{unknown}");
    }
}
