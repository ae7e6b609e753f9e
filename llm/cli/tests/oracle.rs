//! `tokensieve evaluate --suite oracle:FILE` on a tiny random model with a token per character, against distributions
//! and predictions computed one prefix at a time; and what it refuses.
//!
//! Needs libtorch; makes its own model and data in a temporary folder. `cargo test -p tokensieve-cli --test oracle`.

#[path = "../../tests/bench/mod.rs"]
mod bench;

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use tch::{Device, Kind, no_grad};
use tempfile::TempDir;
use tokensieve_infer::evaluate::Results;
use tokensieve_model::weights::Checkpoint;
use tokensieve_model::{Document, Model, Pack, Precomputed};
use tokensieve_tasks::oracle::{Language, Next, settings, symbols, tokens};

/// The token before every text.
const BEGIN: u32 = 86;

/// Gives a model's folder a tokenizer whose tokens are the symbols, and one that begins every text.
fn tokenizer_of_symbols(folder: &Path) {
    let vocabulary: serde_json::Map<String, Value> =
        symbols().into_iter().zip(0..).map(|(symbol, id)| (symbol.to_string(), json!(id))).collect();
    let begin = json!({"SpecialToken": {"id": "<|begin|>", "type_id": 0}});
    let text = json!({"Sequence": {"id": "A", "type_id": 0}});
    let tokenizer = json!({
        "version": "1.0",
        "added_tokens": [{"id": BEGIN, "content": "<|begin|>", "special": true, "single_word": false, "lstrip": false,
            "rstrip": false, "normalized": false}],
        "pre_tokenizer": {"type": "Split", "pattern": {"Regex": r"[\s\S]"}, "behavior": "Isolated", "invert": false},
        "post_processor": {"type": "TemplateProcessing", "single": [begin, text], "pair": [begin, text],
            "special_tokens": {"<|begin|>": {"id": "<|begin|>", "ids": [BEGIN], "tokens": ["<|begin|>"]}}},
        "decoder": {"type": "Fuse"},
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "<|unknown|>"},
    });
    fs::write(folder.join("tokenizer.json"), tokenizer.to_string()).unwrap();
    let config = json!({"bos_token": "<|begin|>", "eos_token": "$"});
    fs::write(folder.join("tokenizer_config.json"), config.to_string()).unwrap();
    fs::remove_file(folder.join("generation_config.json")).unwrap();
}

struct Bench(TempDir);

impl Bench {
    fn new() -> Self {
        let bench = Self(tempfile::tempdir().unwrap());
        bench::model_of(100, &bench.0.path().join("model"));
        tokenizer_of_symbols(&bench.0.path().join("model"));
        bench
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    /// Makes a file of rows and returns the name of its entry in a suite.
    fn make(&self, split: &str, n: usize) -> String {
        let out = self.path(&format!("{split}.jsonl"));
        let n = n.to_string();
        succeeds(&run(&["make", "oracle", "--split", split, "--n", &n, "--seed", "3", "--out", &out]));
        format!("oracle:{out}")
    }

    fn evaluate(&self, arguments: &[&str]) -> Output {
        let (model, out) = (self.path("model"), self.path("results.json"));
        let model = ["evaluate", "--model", &model, "--precision", "f32", "--out", &out];
        run(&[&model[..], arguments].concat())
    }
}

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tokensieve")).args(arguments).output().unwrap()
}

fn succeeds(output: &Output) {
    assert!(output.status.success(), "{}", bench::said(output));
}

fn json_lines(path: &str) -> Vec<Value> {
    fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

fn close(a: f64, b: f64, what: &str) {
    assert!((a - b).abs() <= 2e-5 * (1.0 + b.abs()), "{what}: {a}, not {b}");
}

/// log pθ of every token of the vocabulary after every prefix of a text: one document alone.
fn log_p(model: &Model, text: &str) -> Vec<Vec<f64>> {
    let ids = tokens(text).unwrap();
    let tokens: Vec<u32> = [BEGIN].into_iter().chain(ids.iter().map(|token| u32::from(token.0))).collect();
    let weights = vec![1.0; tokens.len()];
    let document = Document { row: 0, index_in_row: 0, tokens, weights, precomputed: Precomputed::default() };
    let pack = Pack::new(&[&document], false, Device::Cpu);
    let log_p = no_grad(|| model.unembedding().logits(&model.forward(&pack)).log_softmax(1, Kind::Double));
    (0..ids.len() as i64).map(|place| Vec::try_from(&log_p.get(place)).unwrap()).collect()
}

fn divergence(next: &Next, log_p: &[f64]) -> f64 {
    next.tokens.iter().map(|(token, p)| p * (p.ln() - log_p[usize::from(token.0)])).sum()
}

#[test]
fn every_token_is_compared_with_its_exact_distribution() {
    let bench = Bench::new();
    let suites = ["uniform-20", "deep"].map(|split| bench.make(split, 9));
    let tokens_file = bench.path("tokens.jsonl");
    let output = bench.evaluate(&[
        "--suite",
        &suites[0],
        "--suite",
        &suites[1],
        "--tokens",
        &tokens_file,
        "--limit",
        "7",
    ]);
    succeeds(&output);
    let shown = bench::said(&output);
    assert!(
        shown.contains("rare-fact/unchanged") && shown.contains("rule/5") && shown.contains("AUROC"),
        "{shown}"
    );
    assert!(!Path::new(&bench.path("results.answers.jsonl")).exists(), "no answers are stored");

    let checkpoint = Checkpoint::open(&bench.path("model")).unwrap();
    let model = Model::load(&checkpoint, Kind::Float, Device::Cpu).unwrap();
    let results = Results::read(Path::new(&bench.path("results.json"))).unwrap();
    let lines = json_lines(&tokens_file);
    assert_eq!(lines.len(), 14);
    for (suite, split) in suites.iter().zip(["uniform-20", "deep"]) {
        let noisy = Language::new(3, settings(split).unwrap());
        let truthful = Language::new(3, settings("test").unwrap());
        let rows = json_lines(suite.strip_prefix("oracle:").unwrap());
        let (mut kl, mut count) = (0.0, 0);
        for line in lines.iter().filter(|line| line["suite"] == suite.as_str()) {
            let row = &rows[line["row"].as_u64().unwrap() as usize];
            assert_eq!(line["id"], row["id"]);
            let text = row["text"].as_str().unwrap();
            let (ids, log_p) = (tokens(text).unwrap(), log_p(&model, text));
            let column = |name: &str| numbers(&line[name]);
            let expected: Vec<f64> = (1..=ids.len()).map(|position| position as f64).collect();
            assert_eq!(column("position"), expected);
            let wrong: Vec<bool> = serde_json::from_value(row["tokens"]["wrong"].clone()).unwrap();
            assert_eq!(column("wrong"), wrong.iter().map(|is| f64::from(u8::from(*is))).collect::<Vec<_>>());
            for (place, token) in ids.iter().enumerate() {
                let next = noisy.next(&ids[..place]).unwrap();
                let log_p = &log_p[place];
                close(column("kl_data")[place], divergence(&next, log_p), "kl_data");
                close(
                    column("entropy_data")[place],
                    row["tokens"]["entropy"][place].as_f64().unwrap(),
                    "entropy",
                );
                close(column("loss")[place], -log_p[usize::from(token.0)], "loss");
                close(column("p")[place], log_p[usize::from(token.0)].exp(), "p");
                close(
                    column("model_entropy")[place],
                    -log_p.iter().map(|x| x.exp() * x).sum::<f64>(),
                    "H(p)",
                );
                // Without a wrong value before it, the truth is the language without noise.
                if split == "uniform-20" && !wrong[..place].contains(&true) {
                    let truth = truthful.next(&ids[..place]).unwrap();
                    close(column("kl")[place], divergence(&truth, log_p), "kl");
                    close(column("entropy")[place], truth.entropy(), "entropy of the truth");
                }
                if split == "deep" {
                    assert_eq!(column("kl")[place].to_bits(), column("kl_data")[place].to_bits());
                }
                assert_eq!(line["class"][place], next.class.full_name());
            }
            kl += column("kl").iter().sum::<f64>();
            count += ids.len();
        }
        let found = &results.tasks[suite];
        let all = &found.groups["all"];
        assert_eq!((found.n, all.tokens), (7, count));
        close(all.kl, kl, "sum of kl");
        close(found.measures["kl"].value.unwrap(), kl / count as f64, "kl");
        let classes = found.groups.iter().filter(|(name, _)| !["all", "wrong"].contains(&name.as_str()));
        let (fine, coarse): (Vec<_>, Vec<_>) = classes.partition(|(name, _)| name.contains('/'));
        assert_eq!(coarse.iter().map(|(_, group)| group.tokens).sum::<usize>(), count);
        close(coarse.iter().map(|(_, group)| group.kl).sum(), all.kl, "sum over classes");
        for (name, group) in &found.groups {
            close(group.cross_entropy, group.entropy + group.kl, name);
            let parts: Vec<_> =
                fine.iter().filter(|(part, _)| part.starts_with(&format!("{name}/"))).collect();
            if !parts.is_empty() {
                assert_eq!(parts.iter().map(|(_, part)| part.tokens).sum::<usize>(), group.tokens, "{name}");
            }
        }
        assert_eq!(all.wrong > 0, split == "uniform-20");
    }
    let results = bench.path("results.json");
    let compared = run(&["evaluate", "--compare", &results, &results]);
    succeeds(&compared);
    assert!(bench::said(&compared).contains("kl-rare-fact"));
}

#[test]
fn estimates_of_uncertainty_have_the_same_rows_and_positions() {
    let bench = Bench::new();
    let suite = bench.make("test", 5);
    let (data, model) = (suite.strip_prefix("oracle:").unwrap(), bench.path("model"));
    let [tokens, estimates] = ["tokens.jsonl", "uncertainty.jsonl"].map(|name| bench.path(name));
    succeeds(&bench.evaluate(&["--suite", &suite, "--tokens", &tokens]));
    let model = ["--model", &model, "--precision", "f32", "--passes", "2", "--out", &estimates];
    succeeds(&run(&[&["uncertainty", data][..], &model].concat()));
    let estimates: HashMap<u64, Value> = json_lines(&estimates)[1..]
        .iter()
        .map(|document| (document["row"].as_u64().unwrap(), document["tokens"].clone()))
        .collect();
    for line in json_lines(&tokens) {
        let found = estimates[&line["row"].as_u64().unwrap()].as_array().unwrap();
        let predicted: Vec<usize> =
            (0..found.len()).filter(|place| found[*place]["response"] == true).collect();
        let positions: Vec<usize> =
            numbers(&line["position"]).iter().map(|position| *position as usize).collect();
        assert_eq!(predicted, positions);
        for (position, loss) in positions.iter().zip(numbers(&line["loss"])) {
            close(found[*position]["loss"].as_f64().unwrap(), loss, "loss");
            assert!(found[*position]["epistemic"].is_number());
        }
    }
}

#[test]
fn what_is_not_of_the_language_is_refused() {
    let bench = Bench::new();
    let suite = bench.make("test", 3);
    let path = suite.strip_prefix("oracle:").unwrap();
    let refused = |arguments: &[&str], why: &[&str]| {
        let output = bench.evaluate(arguments);
        assert_eq!(output.status.code(), Some(1), "{}", bench::said(&output));
        assert!(
            why.iter().all(|why| bench::said(&output).contains(why)),
            "{why:?}: {}",
            bench::said(&output)
        );
    };
    refused(&["--suite", "oracle:nowhere.jsonl"], &["--suite oracle:nowhere.jsonl", "make oracle"]);
    let whole = fs::read_to_string(path).unwrap();
    fs::write(path, whole.clone() + "{\"id\": \"oracle/test/3/9\", \"text\": \"{C12|13.$\"}\n").unwrap();
    refused(&["--suite", &suite], &["test.jsonl:4: ", "`3` cannot follow `{C12|1`"]);
    fs::write(path, whole.clone() + "{\"text\": \"{C12|12.$\"}\n").unwrap();
    refused(&["--suite", &suite], &["test.jsonl:4: ", "has no `id`"]);
    fs::write(path, &whole).unwrap();
    refused(&["--suite", "poems"], &["`poems`", "oracle:FILE"]);
    let text = format!("nll:{path}");
    refused(&["--suite", &text, "--tokens", path], &["test.jsonl: is the file of --suite, too"]);
    let tokens = bench.path("tokens.jsonl");
    refused(&["--suite", &text, "--tokens", &tokens], &["--tokens: needs oracle:FILE"]);

    // Another tokenizer: of Latin letters, which has no Greek ones.
    let tokenizer = bench.path("model/tokenizer.json");
    let other = fs::read_to_string(&tokenizer).unwrap().replace("\"ω\"", "\"w\"");
    fs::write(&tokenizer, other).unwrap();
    refused(&["--suite", &suite], &["model/tokenizer.json: ", "no token for the symbol `ω`"]);
    bench::model_of(420, Path::new(&bench.path("model")));
    refused(&["--suite", &suite], &["model/tokenizer.json: ", "becomes 2 tokens"]);
}
