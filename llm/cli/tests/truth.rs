//! The exact distribution of the oracle language as the reference of real runs of a tiny model whose tokens are the
//! language's symbols, and a run that selects by the divergence from an adapter.
//!
//! Needs libtorch; makes its own models and data in temporary folders. `cargo test -p tokensieve-cli --test truth`.

#[path = "../../tests/bench/mod.rs"]
mod bench;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use bench::{Bench, NO_GROWTH, said};
use serde_json::{Value, json};
use tch::{Kind, Tensor};
use tokensieve_tasks::oracle::symbols;

/// Rows of the language, a model that reads its symbols, and a configuration without noise in training.
struct Case {
    folder: tempfile::TempDir,
    split: &'static str,
}

impl Case {
    fn new(split: &'static str) -> Self {
        let case = Self { folder: tempfile::tempdir().unwrap(), split };
        let [begin, end] = [86, 87];
        bench::model_of(end + 1, &case.path("model"));
        let mut vocabulary: BTreeMap<String, i64> =
            (0..).zip(symbols()).map(|(id, symbol)| (symbol.to_string(), id)).collect();
        assert_eq!(vocabulary.len() as i64, begin);
        vocabulary.extend([("<begin>".to_owned(), begin), ("<end>".to_owned(), end)]);
        let special = |id: i64, content: &str| {
            json!({ "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
                    "normalized": false, "special": true })
        };
        let [first, text] = [
            json!({ "SpecialToken": { "id": "<begin>", "type_id": 0 } }),
            json!({ "Sequence": { "id": "A", "type_id": 0 } }),
        ];
        let tokenizer = json!({
            "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "pre_tokenizer": null,
            "post_processor": {
                "type": "TemplateProcessing", "single": [first, text], "pair": [first, text, text],
                "special_tokens": { "<begin>": { "id": "<begin>", "ids": [begin], "tokens": ["<begin>"] } },
            },
            "decoder": null, "added_tokens": [special(begin, "<begin>"), special(end, "<end>")],
            "model": { "type": "BPE", "vocab": vocabulary, "merges": [] },
        });
        fs::write(case.path("model/tokenizer.json"), tokenizer.to_string()).unwrap();
        let config = json!({ "bos_token": "<begin>", "eos_token": "<end>" });
        fs::write(case.path("model/tokenizer_config.json"), config.to_string()).unwrap();
        fs::remove_file(case.path("model/generation_config.json")).unwrap();
        case.run(&["make", "oracle", "--split", split, "-n", "16", "--seed", "3", "--out", "rows.jsonl"]);
        let run = r#"
            [model]
            source = "model"
            dtype = "f32"
            device = "cpu"
            [data]
            train = "rows.jsonl"
            [objective]
            selected = "distill(oracle)"
            [reference]
            topk = "truth.safetensors"
            [train]
            full = true
            steps = 150
            batch_size = 16
            lr = 1e-2
            warmup = 0.13
        "#;
        fs::write(case.path("run.toml"), run).unwrap();
        case
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn try_run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tokensieve"));
        command.args(arguments).current_dir(self.folder.path());
        command.output().unwrap()
    }

    fn run(&self, arguments: &[&str]) -> String {
        let output = self.try_run(arguments);
        assert!(output.status.success(), "{}", said(&output));
        said(&output)
    }

    fn topk(&self) -> BTreeMap<String, Tensor> {
        self.run(&["topk", "run.toml", "truth.safetensors", "--oracle", self.split, "--seed", "3"]);
        Tensor::read_safetensors(self.path("truth.safetensors")).unwrap().into_iter().collect()
    }

    /// A column of all rows' tokens.
    fn column(&self, name: &str) -> Vec<f64> {
        let text = fs::read_to_string(self.path("rows.jsonl")).unwrap();
        let rows = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let number =
            |value: &Value| value.as_f64().unwrap_or_else(|| f64::from(u8::from(value == &json!(true))));
        rows.flat_map(|row| {
            // The end-of-text token is certain.
            let end = if name == "p" { 1.0 } else { 0.0 };
            let of_symbols = row["tokens"][name].as_array().unwrap().iter().map(number).collect::<Vec<_>>();
            of_symbols.into_iter().chain([end])
        })
        .collect()
    }

    fn losses(&self, out: &str) -> Vec<f64> {
        let text = fs::read_to_string(self.path(out).join("metrics.jsonl")).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| line.get("lr").is_some()).map(|line| line["loss"].as_f64().unwrap()).collect()
    }
}

fn mean(of: &[f64]) -> f64 {
    of.iter().sum::<f64>() / of.len() as f64
}

fn f64s(tensor: &Tensor) -> Vec<f64> {
    Vec::try_from(tensor.to_kind(Kind::Double).reshape(-1)).unwrap()
}

#[test]
fn distillation_from_the_truth_ends_at_the_languages_entropy() {
    let case = Case::new("train");
    let table = case.topk();
    let sums = f64s(&table["log_probs"].to_kind(Kind::Double).exp().sum_dim_intlist(1, false, Kind::Double));
    assert!(sums.iter().all(|sum| (sum - 1.0).abs() < 1e-6));
    // An item of a list: sixteen values, or the end of the list.
    assert_eq!(table["ids"].size()[1], 17);
    let (losses, p) = (f64s(&-&table["label_log_probs"]), case.column("p"));
    assert_eq!(losses.len(), p.len());
    assert!(losses.iter().zip(&p).all(|(loss, p)| (loss + p.ln()).abs() < 1e-6));

    case.run(&["train", "run.toml", "--out", "out"]);
    let (losses, entropy) = (case.losses("out"), mean(&case.column("entropy")));
    let last = losses[losses.len() - 1];
    assert!(losses[0] > entropy + 1.0, "{} {entropy}", losses[0]);
    assert!(last > entropy - 1e-5 && last < entropy + 0.05, "{last} {entropy}");

    // Tokens where the model is most wrong, and nothing else.
    let select = r#"objective={ against = "oracle", otherwise = "none", select = { by = "divergence", keep = "top 25%" } }"#;
    let short = ["--set", "train.steps=5", "--set", "train.lr=1e-3"];
    case.run(&[&["train", "run.toml", "--out", "selected", "--set", select][..], &short].concat());
    let losses = case.losses("selected");
    assert!(losses.len() == 5 && losses[4] < losses[0], "{losses:?}");
}

#[test]
fn wrong_values_have_no_probability_in_the_truth() {
    let case = Case::new("uniform-30");
    let table = case.topk();
    let (losses, wrong) = (f64s(&-&table["label_log_probs"]), case.column("wrong"));
    assert!(wrong.iter().sum::<f64>() > 10.0);
    for (loss, wrong) in losses.iter().zip(wrong) {
        assert_eq!(*loss > 80.0, wrong > 0.5, "{loss}");
        assert!(loss.is_finite());
    }
    // A run may read the loss of a wrong value under the truth, and distil from the truth there.
    case.run(&["train", "run.toml", "--set", "train.steps=2", "--set", "objective=rho"]);
}

#[test]
fn other_rows_and_other_tokens_are_refused() {
    let case = Case::new("train");
    let refused = |arguments: &[&str], complaint: &str| {
        let output = case.try_run(&[&["topk", "run.toml", "none.safetensors"], arguments].concat());
        assert_eq!(
            output.status.code(),
            Some(if complaint.starts_with("error: the argument") { 2 } else { 1 })
        );
        assert!(said(&output).contains(complaint), "{complaint}\n{}", said(&output));
        assert!(!case.path("none.safetensors").exists());
    };
    refused(&["--oracle", "train", "--seed", "4"], "is not of split train and seed 4: `");
    refused(&["--oracle", "trian"], "no split is called `trian`; there are pretrain, train");
    refused(
        &["--oracle", "train", "-k", "5"],
        "error: the argument '--oracle <SPLIT>' cannot be used with '-k <K>'",
    );
    // A tokenizer in which `α` is two bytes.
    bench::model(&case.path("model"));
    refused(&["--oracle", "train", "--seed", "3"], "one token per symbol");
}

#[test]
fn an_adapter_serves_as_reference_of_a_selection() {
    let bench = Bench::new();
    bench.undisturbed("twin", &["--set", "train.steps=6", "--set", NO_GROWTH, "--set", "objective=mle"]);
    let reference = format!("reference.adapter={}", bench.path("twin/adapter").display());
    let select = r#"objective={ against = "mle", weight = "divergence", select = { by = "divergence", keep = "top 25%" } }"#;
    let output = bench
        .run("out", &["--set", "train.steps=4", "--set", NO_GROWTH, "--set", select, "--set", &reference]);
    assert!(output.status.success(), "{}", said(&output));
    let output = bench.run("none", &["--set", "train.steps=4", "--set", NO_GROWTH, "--set", select]);
    assert!(
        said(&output).contains("name one as reference.adapter, reference.model or reference.topk"),
        "{}",
        said(&output)
    );
}
