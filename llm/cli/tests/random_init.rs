//! The real program trains a model from a random initialisation, on the oracle language, and saves it on the way.
//!
//! Needs libtorch; makes its own data in a temporary folder. `cargo test -p tokensieve-cli --test random_init`.

#[path = "../../tests/bench/mod.rs"]
mod bench;

use std::fs;
use std::path::Path;
use std::process::Command;

use bench::{Bench, said};
use serde_json::Value;
use tch::{Device, Kind};
use tokensieve_model::text::{Conversation, Message, Tokenizer};
use tokensieve_model::weights::Checkpoint;
use tokensieve_model::{Document, Model, head::Head};
use tokensieve_tasks::oracle;
use tokensieve_train::step;

/// Two layers of width 48, which 200 steps train in seconds.
const SMALL: [&str; 10] = [
    "model.init.hidden_size=48",
    "model.init.layers=2",
    "model.init.heads=2",
    "model.init.intermediate_size=96",
    "train.steps=200",
    "train.batch_size=8",
    "train.lr=5e-3",
    "train.save_every=50",
    "train.save_at=[40, 200]",
    "model.device=cpu",
];

fn small() -> Vec<&'static str> {
    SMALL.iter().flat_map(|set| ["--set", set]).collect()
}

/// Documents of rows, as the model of a folder reads them.
fn documents(checkpoint: &Checkpoint, rows: &Path) -> Vec<Document> {
    let tokenizer = Tokenizer::open(checkpoint).unwrap();
    let lines = fs::read_to_string(rows).unwrap();
    let document = |(row, line): (usize, &str)| {
        let row_of_json: Value = serde_json::from_str(line).unwrap();
        let completion = Message::new("assistant", row_of_json["text"].as_str().unwrap());
        tokenizer.document(&Conversation::Plain { prompt: String::new(), completion }, row).unwrap()
    };
    lines.lines().take(50).enumerate().map(document).collect()
}

/// Mean −log p of the rows under the model of a folder.
fn nll(folder: &Path, rows: &Path) -> f64 {
    let checkpoint = Checkpoint::open(folder.to_str().unwrap()).unwrap();
    let documents = documents(&checkpoint, rows);
    let documents: Vec<&Document> = documents.iter().collect();
    let model = Model::load(&checkpoint, Kind::Float, Device::Cpu).unwrap();
    step::evaluate(&mut Head::on(Device::Cpu), &model, &documents, 4096, None, None).unwrap().nll
}

#[test]
fn a_random_model_learns_and_is_saved_on_the_way() {
    let bench = Bench::random();
    bench.undisturbed("whole", &small());
    let curve = fs::read_to_string(bench.path("whole/metrics.jsonl")).unwrap();
    let losses: Vec<f64> = curve
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).unwrap()["nll"].as_f64())
        .collect();
    assert_eq!(losses.len(), 200);
    let (uniform, rows) = (87_f64.ln(), bench.path("rows.jsonl"));
    assert!((losses[0] / uniform - 1.0).abs() < 0.05, "{}", losses[0]);
    let [early, late] = ["step-40", "step-200"].map(|name| nll(&bench.path("whole").join(name), &rows));
    assert!(late < early && early < 0.9 * uniform && late < 0.6 * uniform, "{early} {late}");
    bench.same("whole/step-200", "whole/model", &["model.safetensors", "config.json", "tokenizer.json"]);

    // Interrupted and continued, it is the same, byte for byte.
    bench.interrupted("out", &small(), 60);
    fs::remove_dir_all(bench.path("out/step-40")).unwrap();
    // A step that has passed is named: it is saved by no run that continues.
    let output = bench.run("out", &small());
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("warning: train.save_at: step 40 has passed"), "{}", said(&output));
    assert!(!bench.path("out/step-40").exists());
    bench.same("whole", "out", &["metrics.jsonl", "model/model.safetensors", "step-200/model.safetensors"]);

    // Another initialisation is another run, and beginning afresh removes what was saved.
    let seed = ["--set", "model.init.seed=2", "--set", "train.steps=3", "--set", "train.save_at=[]"];
    let other = [&small()[..], &seed].concat();
    let refused = said(&bench.run("out", &other));
    assert!(refused.contains("model.init.seed: 1 there, 2 here"), "{refused}");
    bench.undisturbed("out", &[&other[..], &["--fresh"]].concat());
    assert!(!bench.path("out/step-200").exists());
}

#[test]
fn a_saved_model_is_trained_further() {
    let bench = Bench::random();
    let short = ["--set", "train.steps=4", "--set", "train.save_at=[2]"];
    bench.undisturbed("first", &[&small()[..], &short].concat());
    let rows = bench.path("rows.jsonl");
    let further = format!(
        "[model]\nsource = {:?}\ndtype = \"f32\"\ndevice = \"cpu\"\n[data]\ntrain = {rows:?}\n[train]\nsteps = 2\n",
        bench.path("first/step-2")
    );
    let file = bench.path("further.toml");
    fs::write(&file, further).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_tokensieve"))
        .arg("train")
        .arg(&file)
        .arg("--out")
        .arg(bench.path("further"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert!(bench.path("further/adapter/adapter_model.safetensors").is_file());
}

/// So that a token of the model is the same number as in the language.
#[test]
fn the_examples_alphabet_is_the_oracle_languages() {
    let bench = Bench::random();
    bench.undisturbed(
        "out",
        &[&small()[..], &["--set", "train.steps=1", "--set", "train.save_at=[]"]].concat(),
    );
    let checkpoint = Checkpoint::open(bench.path("out/model").to_str().unwrap()).unwrap();
    let tokenizer = Tokenizer::open(&checkpoint).unwrap();
    let symbols: String = oracle::symbols().into_iter().collect();
    assert_eq!(tokenizer.encode(&symbols).unwrap(), (0..symbols.chars().count() as u32).collect::<Vec<_>>());
    for document in documents(&checkpoint, &bench.path("rows.jsonl")) {
        assert_eq!(document.tokens.last(), Some(&tokenizer.encode("$").unwrap()[0]));
        assert_eq!(document.response_tokens() + 1, document.tokens.len());
    }
}
