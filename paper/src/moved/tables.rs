//! A table then and now: which of its numbers moved, and by how much.

use crate::Table;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use tokensieve_plot::number;

/// Numbers that are shown of a table.
const SHOWN: usize = 8;

/// What moved in a table.
#[derive(Debug, Serialize)]
pub(super) struct Moves {
    /// In a sentence or two.
    pub(super) summary: String,
    /// The numbers that moved most, relative to their size.
    pub(super) largest: Vec<Number>,
}

/// A number that moved.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Number {
    /// Its row, by the fields that are no measured numbers.
    pub(super) row: String,
    pub(super) column: String,
    pub(super) before: String,
    pub(super) now: String,
    #[serde(skip)]
    by: f64,
}

impl Moves {
    pub(super) fn of(then: Option<&Table>, now: Option<&Table>) -> Self {
        let (then, now) = match (then, now) {
            (Some(then), Some(now)) => (then, now),
            (None, Some(now)) => return Self::only(format!("The table is new: {} rows.", now.len())),
            (Some(then), None) => {
                return Self::only(format!("The table is gone: it had {} rows.", then.len()));
            }
            (None, None) => return Self::only(String::new()),
        };
        if then.header() != now.header() {
            let columns = |of: &Table, not_of: &Table| -> Vec<String> {
                let known: BTreeSet<&String> = not_of.header().iter().collect();
                of.header().iter().filter(|name| !known.contains(name)).cloned().collect()
            };
            let list = |names: Vec<String>| if names.is_empty() { "none".into() } else { names.join(", ") };
            return Self::only(format!(
                "Its columns changed: new {}, gone {}; {} rows became {}.",
                list(columns(now, then)),
                list(columns(then, now)),
                then.len(),
                now.len()
            ));
        }
        Self::of_rows(then, now)
    }

    fn only(summary: String) -> Self {
        Self { summary, largest: Vec::new() }
    }

    fn of_rows(then: &Table, now: &Table) -> Self {
        let keys = keys(then, now);
        let (before, after) = (by_key(then, &keys), by_key(now, &keys));
        let gone = before.keys().filter(|key| !after.contains_key(*key)).count();
        let new = after.keys().filter(|key| !before.contains_key(*key)).count();
        let (mut numbers, mut texts, mut all) = (Vec::new(), 0, 0);
        for (key, then) in &before {
            let Some(now) = after.get(key) else { continue };
            for (column, (before, now)) in then.iter().zip(*now).enumerate() {
                all += 1;
                let numbers_of = before.parse::<f64>().ok().zip(now.parse::<f64>().ok());
                // Zero with another sign is the same number.
                if before == now || numbers_of.is_some_and(|(a, b)| a - b == 0.0) {
                    continue;
                }
                let Some((a, b)) = numbers_of else {
                    texts += 1;
                    continue;
                };
                let by = (a - b).abs() / a.abs().max(b.abs());
                // One of the two is undefined or without bound.
                let by = if by.is_nan() { 1.0 } else { by };
                let show = |value: f64| number(value, 4);
                let (row, column) = (key.0.clone(), keys.header[column].clone());
                numbers.push(Number { row, column, before: show(a), now: show(b), by });
            }
        }
        let mut parts = vec![format!("{} of {all} fields are other numbers", numbers.len())];
        let counted = |count: usize, what: &str| (count > 0).then(|| format!("{count} {what}"));
        parts.extend(counted(texts, "are other words"));
        parts.extend(counted(new, "rows are new"));
        parts.extend(counted(gone, "rows are gone"));
        numbers.sort_by(|a, b| b.by.total_cmp(&a.by));
        if let Some(most) = numbers.first() {
            parts.push(format!("the largest move is {} % of a number's size", number(100.0 * most.by, 2)));
        }
        numbers.truncate(SHOWN);
        Self { summary: parts.join(", ") + ".", largest: numbers }
    }
}

/// The columns that identify a row in both tables: those that have no fraction anywhere.
struct Keys<'a> {
    header: &'a [String],
    columns: Vec<usize>,
}

fn keys<'a>(then: &Table, now: &'a Table) -> Keys<'a> {
    let is_key = |column: &usize| {
        let fields = then.records().iter().chain(now.records()).map(|row| &row[*column]);
        fields.into_iter().all(|field| field.parse::<f64>().is_err() || !field.contains(['.', 'e']))
    };
    Keys { header: now.header(), columns: (0..now.header().len()).filter(is_key).collect() }
}

/// Rows by their key's fields, and where several have the same by their number among those.
fn by_key<'t>(table: &'t Table, keys: &Keys<'_>) -> BTreeMap<(String, usize), &'t [String]> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let row = |row: &'t Vec<String>| {
        let fields: Vec<&str> = keys
            .columns
            .iter()
            .map(|column| row[*column].as_str())
            .filter(|field| !field.is_empty())
            .collect();
        let key = fields.join(", ");
        let number = seen.entry(key.clone()).or_default();
        *number += 1;
        ((key, *number), row.as_slice())
    };
    table.records().iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moves(then: &str, now: &str) -> Moves {
        let table = |text: &str| Table::from_csv(text).unwrap();
        Moves::of(Some(&table(then)), Some(&table(now)))
    }

    #[test]
    fn rows_are_told_apart_by_what_is_not_measured_wherever_they_stand() {
        let then = "arm,seed,value\nmle,0,0.5\nmle,1,0.25\nmasked,0,0.125\n";
        let now = "arm,seed,value\nmasked,0,0.125\nmle,1,0.75\nmle,2,0.5\n";
        let found = moves(then, now);
        let expected = Number {
            row: "mle, 1".into(),
            column: "value".into(),
            before: "0.2500".into(),
            now: "0.7500".into(),
            by: 0.5 / 0.75,
        };
        assert_eq!(found.largest, [expected]);
        for part in ["1 of 6 fields are other numbers", "1 rows are new", "1 rows are gone", "67 %"] {
            assert!(found.summary.contains(part), "{part}: {}", found.summary);
        }
    }

    #[test]
    fn rows_with_the_same_key_are_compared_in_their_order() {
        let found = moves("x,y\na,0.5\na,0.25\n", "x,y\na,0.5\na,0.5\n");
        assert_eq!(found.largest.len(), 1);
        assert_eq!(found.largest[0].row, "a");
    }

    #[test]
    fn zero_with_another_sign_has_not_moved_and_what_became_undefined_has() {
        let found = moves("x,y\na,0.0\nb,0.5\n", "x,y\na,-0.0\nb,0.25\n");
        assert_eq!(found.largest.len(), 1);
        assert!(found.summary.contains("50 %"), "{}", found.summary);
        assert!(moves("x,y\na,0.5\n", "x,y\na,NaN\n").summary.contains("100 %"));
    }

    #[test]
    fn other_columns_are_named() {
        let found = moves("x,y\na,0.5\n", "x,z\na,0.5\n");
        assert_eq!(found.summary, "Its columns changed: new z, gone y; 1 rows became 1.");
        assert!(Moves::of(None, Some(&Table::default())).summary.contains("new"));
        assert!(Moves::of(Some(&Table::default()), None).summary.contains("gone"));
    }
}
