//! Locks every figure's smoke table, number by number, and the claims ledger.
//!
//! Checks: the table of each registered figure, made on generated data (so on any machine, with no data set at
//! hand), equals its snapshot **exactly**: toy data are bit-identical everywhere, and a refactor moves no number.
//! Needs nothing. Run: `cargo test -p tokensieve-tests --test figures`; accept what should move with
//! `cargo insta review`. The `.snap.csv` beside each snapshot is what a pull request shows.

use insta::{assert_binary_snapshot, assert_snapshot};
use tokensieve_paper::ledger::{Ledger, effect, interval, seeds};
use tokensieve_paper::recorded::Recorded;
use tokensieve_paper::{Made, engine, figures};

fn all() -> Vec<Made> {
    figures::registry().iter().map(|entry| engine::make_synthetic(entry).unwrap()).collect()
}

#[test]
fn tables_and_claims_are_as_recorded() {
    let made = all();
    for made in &made {
        let csv = made.table.to_csv().unwrap().into_bytes();
        assert_binary_snapshot!(&format!("{}.csv", made.about.id), csv);
    }
    let recorded = Recorded::default();
    let lines: Vec<String> = Ledger::new(&made, &recorded)
        .claims()
        .map(|c| {
            [c.id.clone(), c.verdict.to_string(), effect(c), interval(c), format!("n {}", seeds(c))]
                .join(" | ")
        })
        .collect();
    assert_snapshot!("ledger", lines.join("\n"));
}

#[test]
fn every_column_is_documented_and_every_claim_belongs_to_its_figure() {
    for made in all() {
        let id = made.about.id;
        let documented: Vec<&str> = made.about.columns.iter().map(|column| column.name).collect();
        assert_eq!(
            made.table.header(),
            documented,
            "{id}: the columns of `about` are not those of the table"
        );
        assert!(!made.table.is_empty(), "{id}");
        for claim in &made.claims {
            assert!(claim.id.starts_with(&format!("{id}/")), "{}", claim.id);
            assert!(!claim.statement.is_empty() && !claim.source.is_empty(), "{}", claim.id);
        }
    }
}
