//! Locks every figure's smoke table, number by number, and the verdicts on its claims.
//!
//! Checks: the table of each registered figure, made on generated data (so on any machine, with no data set at
//! hand), equals its snapshot **exactly**: toy data are bit-identical everywhere, and a refactor moves no number.
//! Needs nothing. Run: `cargo test -p tokensieve-tests --test figures`; accept what should move with
//! `cargo insta review`. The `.snap.csv` beside each snapshot is what a pull request shows.

use insta::{assert_binary_snapshot, assert_snapshot};
use std::fs;
use std::path::Path;
use tokensieve_paper::finetune::Plan;
use tokensieve_paper::ledger::{effect, interval, seeds};
use tokensieve_paper::provenance::Unit;
use tokensieve_paper::recorded::Recorded;
use tokensieve_paper::{Claim, engine, figures};

#[test]
fn tables_and_claims_are_as_recorded_and_documented() {
    let line =
        |c: &Claim| [c.id.clone(), c.verdict.to_string(), effect(c), interval(c), seeds(c)].join(" | ");
    for made in engine::make_all_synthetic(&figures::registry()).unwrap() {
        let id = made.about.id;
        assert_binary_snapshot!(&format!("{id}.csv"), made.table.to_csv().unwrap().into_bytes());
        let claims: Vec<String> = made.claims.iter().map(line).collect();
        assert_snapshot!(format!("{id}-claims"), claims.join("\n"));

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

/// Whether the learning rate of a unit is the one that the study's plan has for it.
fn is_at_the_plans_rate(plan: &Plan, unit: &Unit) -> bool {
    let words: Vec<&str> = unit.name.split(' ').collect();
    let ["train", "finetune", data, arm, rate @ ("tuned" | "matched"), "seed", _] = words[..] else {
        return true;
    };
    let arm = if rate == "matched" { "mle" } else { arm };
    unit.config["settings"]["train.lr"].as_f64() == plan.rate(arm, data).ok()
}

/// The tables of fine-tuning were once left at the plan's first guesses when tuning had chosen other rates.
#[test]
fn recorded_tables_are_of_the_plans_rates() {
    let plan = Plan::load().unwrap();
    let recorded = Recorded::load().unwrap().figures(&figures::registry()).unwrap();
    let others: Vec<&str> = recorded
        .iter()
        .filter(|made| !made.provenance.units.iter().all(|unit| is_at_the_plans_rate(&plan, unit)))
        .map(|made| made.about.id)
        .collect();
    assert!(others.is_empty(), "trained at other rates than the plan's: {others:?}");
}

/// A figure that was renamed or dropped takes its snapshots with it.
#[test]
fn no_snapshot_is_left_over() {
    let ids: Vec<&str> = figures::registry().iter().map(|entry| entry.figure.about().id).collect();
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let Some(rest) = name.strip_prefix("figures__") else { continue };
        let of = |id: &&str| {
            rest.strip_prefix(*id).is_some_and(|end| end.starts_with('.') || end.starts_with("-claims."))
        };
        assert!(ids.iter().any(of), "{name} belongs to no figure");
    }
}
