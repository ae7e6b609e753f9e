//! `tokensieve diagnose` on the real default model: planted defects are found, and what it writes can be read.
//!
//! Needs libtorch and the default model (`./just setup libtorch model`), and a minute on two cores.
//! `cargo test -p tokensieve-cli --test diagnose`.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use tokensieve_train::config::Config;

/// Rows that count. The model is sure of the numbers after the first few; in every third row one of them is wrong.
fn counting(rows: usize) -> Vec<Value> {
    let row = |index: usize| {
        let first = 100 * index + 10;
        let mut numbers: Vec<usize> = (first..first + 10).collect();
        if is_wrong(index) {
            numbers[7] += 60;
        }
        let answer: Vec<String> = numbers.iter().map(usize::to_string).collect();
        json!({ "question": format!("Count ten numbers, starting from {first}."), "answer": answer.join(", ") })
    };
    (0..rows).map(row).collect()
}

fn is_wrong(index: usize) -> bool {
    index % 3 == 1
}

const ROWS: usize = 20;

/// The rows above, then a duplicate, one with another answer, one with the answer in the prompt, one without an answer.
fn rows() -> Vec<Value> {
    let mut rows = counting(ROWS);
    rows.push(rows[0].clone());
    rows.push(json!({ "question": rows[3]["question"], "answer": "No, thank you." }));
    rows.push(
        json!({ "question": "What is 20 times 3? The answer is 60.", "answer": "20 * 3 = 60\n#### 60" }),
    );
    rows.push(json!({ "question": "And what about this one?", "answer": "" }));
    rows.push(json!({ "question": "Think about cats.", "answer": "<think>\n\n</think>\nCats are small." }));
    rows.push(json!({ "question": "[INST] Say hello. [/INST]", "answer": "Hello to you." }));
    rows
}

fn write(path: &Path, rows: &[Value]) {
    let lines: Vec<String> = rows.iter().map(Value::to_string).collect();
    fs::write(path, lines.join("\n") + "\n").unwrap();
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tokensieve"));
    command.arg("diagnose").args(arguments).current_dir(folder);
    command.output().unwrap()
}

fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes)).concat()
}

#[test]
fn planted_defects_are_found_and_the_outputs_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    write(&path("rows.jsonl"), &rows());
    let arguments =
        ["--data", "rows.jsonl", "--html", "page.html", "--json", "all.json", "--config", "train.toml"];
    let few = ["--documents", "8", "--steps", "2", "--passes", "2"];
    let output = run(folder.path(), &[&arguments[..], &few].concat());
    assert!(output.status.success(), "{}", said(&output));

    let found: Value = serde_json::from_str(&fs::read_to_string(path("all.json")).unwrap()).unwrap();
    let rows_with = |defect: &str| -> Vec<u64> {
        let findings = found["findings"].as_array().unwrap().iter();
        findings.filter(|one| one["defect"] == defect).map(|one| one["row"].as_u64().unwrap()).collect()
    };
    let planted = ROWS as u64;
    assert_eq!(rows_with("duplicate"), [planted], "{}", said(&output));
    assert_eq!(rows_with("contradiction"), [planted + 1]);
    assert_eq!(rows_with("leak"), [planted + 2]);
    assert_eq!(rows_with("untrainable"), [planted + 3]);
    assert_eq!(rows_with("empty-reasoning"), [planted + 4]);
    assert_eq!(rows_with("foreign-template"), [planted + 5]);
    for other in ["mask", "truncated", "near-duplicate"] {
        assert!(rows_with(other).is_empty(), "{other}: {}", said(&output));
    }

    // The duplicate is read, and counted no second time.
    let tokens = |of: &Value| of.as_u64().unwrap();
    assert_eq!((&found["read"]["rows"], &found["read"]["more"]), (&json!(rows().len()), &json!(false)));
    let (counted, read) = (tokens(&found["classes"][0]["tokens"]), tokens(&found["read"]["predicted"]));
    assert!(counted < read, "{counted} of {read}");
    let is_repeated = |row: &Value| row["row"] == planted;
    assert!(!found["suspicious"].as_array().unwrap().iter().any(is_repeated), "{}", said(&output));

    // The wrong numbers: most of the rows that look most suspicious have one.
    let suspicious = found["suspicious"].as_array().unwrap().iter();
    let first: Vec<usize> = suspicious.take(6).map(|row| row["row"].as_u64().unwrap() as usize).collect();
    let wrong = first.iter().filter(|row| **row < ROWS && is_wrong(**row)).count();
    assert!(wrong >= 4, "{first:?}\n{}", said(&output));

    let measured = &found["measured"];
    assert_eq!(measured["after"], 2);
    assert!(measured["objectives"].as_array().unwrap().iter().any(|row| row["objective"] == "masked-mle"));
    let page = fs::read_to_string(path("page.html")).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.matches("<svg").count() == 6, "{}", page.len());
    let config =
        Config::parse(&path("train.toml"), &fs::read_to_string(path("train.toml")).unwrap(), &[]).unwrap();
    assert_eq!(Value::from(config.objective.name()), found["recommendation"]["objective"]);
    assert_eq!(config.data.source, "rows.jsonl");

    // Its own files are replaced, others are not; few rows give no recommendation but a diagnosis all the same.
    write(&path("few.jsonl"), &counting(5));
    let few = ["-n", "4", "--json", "all.json", "--passes", "0", "--race"];
    let output = run(folder.path(), &[&["--data", "few.jsonl"], &few[..]].concat());
    assert!(output.status.success(), "{}", said(&output));
    for place in ["No race:", "Recommendation: `mle`,"] {
        let why = format!("{place} too few rows to measure (4; at least 8 are needed)");
        assert!(said(&output).contains(&why), "{}", said(&output));
    }
    assert!(said(&output).contains("the first 4 rows (there are more) of few.jsonl:"), "{}", said(&output));
    let output = run(folder.path(), &["--data", "few.jsonl", "--among", "mle,focall"]);
    assert!(output.status.code() == Some(2) && said(&output).contains("focal"), "{}", said(&output));
    let output = run(folder.path(), &["--data", "few.jsonl", "--json", "rows.jsonl"]);
    let refused = "rows.jsonl: holds something other than a diagnosis";
    assert!(output.status.code() == Some(1) && said(&output).contains(refused), "{}", said(&output));
}

/// Rows that all say the same in their own way: a few steps of any training learn it, so that plain training's held-out
/// log-likelihood rises, whoever wins.
#[test]
fn a_race_trains_on_the_rows_and_decides_by_others() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("rows.jsonl"), &counting(24));
    let few = ["--documents", "8", "--steps", "0", "--passes", "0", "--race", "--race-steps", "2"];
    let among = "--among=-p,focal,eaft,threshold-below,rho";
    let output = run(
        folder.path(),
        &[&["--data", "rows.jsonl", "--json", "all.json", "--html", "page.html", among][..], &few].concat(),
    );
    assert!(output.status.success(), "{}", said(&output));
    let found: Value =
        serde_json::from_str(&fs::read_to_string(folder.path().join("all.json")).unwrap()).unwrap();
    let (race, rows) = (&found["race"], found["race"]["rows"].as_array().unwrap());
    let steps: Vec<u64> = rows.iter().map(|row| row["steps"].as_u64().unwrap()).collect();
    assert_eq!((steps, race["judges"].as_u64()), (vec![2, 2, 2, 1, 1], Some(8)), "{}", said(&output));
    assert_eq!((&rows[0]["objective"], &rows[0]["beside_plain"]), (&json!("mle"), &Value::Null));
    let likelihood = |scores: &Value| scores[0].as_f64().unwrap();
    assert!(likelihood(&rows[0]["held_out"]) > likelihood(&race["before"]), "{race}");
    let accuracy = rows[0]["held_out"][2].as_f64().unwrap();
    assert!(accuracy > 0.5 && accuracy <= 1.0, "{race}");

    // Of what may be recommended, one cannot be predicted.
    let objectives = found["measured"]["objectives"].as_array().unwrap();
    let compared: Vec<&Value> = objectives.iter().map(|row| &row["objective"]).collect();
    assert_eq!(compared, ["-p", "threshold-below", "eaft", "focal"], "{}", said(&output));
    assert_eq!(found["left_out"][0]["preset"], "rho");

    // A rival is recommended if it is better for sure, plain training otherwise.
    let last = &rows[1]["beside_plain"][0];
    let is_better = last["p"].as_f64().unwrap() < 0.05 && last["value"]["value"].as_f64().unwrap() > 0.0;
    let wanted = if is_better { &rows[1]["objective"] } else { &rows[0]["objective"] };
    assert_eq!(&found["recommendation"]["objective"], wanted, "{race}");
    assert_eq!(race["winner"].is_null(), !is_better);
    let verdict = if is_better { "is better than `mle`" } else { "`mle`" };
    assert!(said(&output).contains("in the race, ") && said(&output).contains(verdict), "{}", said(&output));
    assert!(fs::read_to_string(folder.path().join("page.html")).unwrap().contains("<h2>Race</h2>"));
}
