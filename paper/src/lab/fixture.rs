//! Made-up results in the formats of the real ones, for tests of what reads them: no model is run, and the numbers mean
//! nothing. Everything drawn follows from the job's name, so that tables can be locked. What a job changes is drawn from its
//! name without the seed, so that seeds agree as far as real ones do: some ways of training are clearly better than others,
//! some clearly worse, and some do not differ, so that claims about them reach every verdict.

use super::evaluation;
use super::job::{Job, Verb};
use crate::tokens::{Document, RATE, synthetic};
use anyhow::{Context as _, Result};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use tokensieve_base::streams::Stream;

/// Classes of tokens in a training run's record of selection.
const CLASSES: [&str; 8] =
    ["number", "operator", "punctuation", "word", "continuation", "space", "special", "other"];
/// Steps of a made-up training run.
const STEPS: u64 = 6;
/// Questions of a made-up task, documents of a made-up set.
const QUESTIONS: usize = 12;
/// Rows of a made-up data set.
const ROWS: usize = 4;
/// Scored documents at most: an emulated processor writes and reads a megabyte in a second.
const DOCUMENTS: usize = 6;
/// Predicted tokens of a made-up document.
const TOKENS: usize = 16;

/// Writes into `folder` what the program would have left there.
pub(super) fn write(job: &Job, folder: &Path, place: &dyn Fn(&Job) -> PathBuf) -> Result<()> {
    let mut stream = Stream::new(0, &format!("fixture/{}", job.name));
    match job.verb {
        Verb::Train => {
            train(folder, &mut stream)?;
            job.following().map_or(Ok(()), |following| write(following, folder, place))
        }
        Verb::Evaluate => {
            let found = evaluation(job, &job.list("suite", place), &mut stream);
            write_json(&folder.join(job.verb.output()), &found)?;
            write_lines(&folder.join("evaluation.answers.jsonl"), &losses(&found)?)?;
            job.own("tokens").map_or(Ok(()), |file| exact(&folder.join(file), &mut stream))
        }
        Verb::Make => write_lines(
            &folder.join(job.verb.output()),
            &vec![
                json!({ "prompt": "question", "completion": "answer", "text": "{Fab:3;R3+5:8.".repeat(9) });
                ROWS
            ],
        ),
        Verb::Uncertainty => uncertainty(job, &folder.join(job.verb.output()), &mut stream),
        // Only objectives read it.
        Verb::Truth => Ok(()),
        Verb::Diagnose => {
            let preset = ["mle", "-p", "f-alpha"][stream.below(3)];
            let found = json!({ "classes": [{ "mean_p": stream.uniform() }], "recommendation": { "objective": preset } });
            write_json(&folder.join(job.verb.output()), &found)
        }
    }
}

/// What a job changes in one respect: as likely nothing as one way or the other.
fn effect(job: &Job, respect: &str) -> f64 {
    let without_seed = job.name.rsplit_once(" seed ").map_or(job.name.as_str(), |(name, _)| name);
    let mut stream = Stream::new(0, &format!("fixture/{without_seed}/{respect}"));
    [-1.0, 0.0, 0.0, 1.0][stream.below(4)]
}

fn train(folder: &Path, stream: &mut Stream) -> Result<()> {
    let (mut metrics, mut timing, mut selection) = (Vec::new(), Vec::new(), Vec::new());
    for step in 1..=STEPS {
        let nll = 1.5 - 0.1 * step as f64 + 0.05 * stream.normal();
        metrics
            .push(json!({ "step": step, "loss": nll, "nll": nll, "tokens": 160, "selected": 40, "lr": 1e-4,
                             "gradient_norm": 1.0 }));
        let phases = json!({ "reference": 0.1, "forward": 0.5 + 0.1 * stream.uniform(), "head": 0.2, "backward": 0.7 });
        timing
            .push(json!({ "step": step, "seconds": 1.5 + 0.1 * stream.uniform(), "tokens_per_second": 600.0,
                            "peak_bytes": 2_000_000_000_u64, "phases": phases }));
        let all: Vec<u64> = CLASSES.iter().map(|_| 20 + stream.below(20) as u64).collect();
        let selected: Vec<u64> = all.iter().map(|count| stream.below(*count as usize) as u64).collect();
        let named = |counts: &[u64]| -> Map<String, Value> {
            CLASSES.iter().zip(counts).map(|(class, count)| ((*class).to_owned(), json!(count))).collect()
        };
        selection.push(json!({ "step": step, "all": named(&all), "selected": named(&selected) }));
    }
    write_lines(&folder.join("metrics.jsonl"), &metrics)?;
    write_lines(&folder.join("timing.jsonl"), &timing)?;
    write_lines(&folder.join("selection.jsonl"), &selection)
}

/// Documents that many jobs share, made once in a process.
fn documents(n: usize, rate: f64) -> Vec<Document> {
    static MADE: Mutex<BTreeMap<(usize, u64), Vec<Document>>> = Mutex::new(BTreeMap::new());
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    made.entry((n, rate.to_bits())).or_insert_with(|| synthetic::documents("made up", n, rate)).clone()
}

/// The same documents for all models, each of which has factors of its own on the numbers of each class of tokens.
fn uncertainty(job: &Job, path: &Path, stream: &mut Stream) -> Result<()> {
    // Without a number, all rows of the data.
    let n = job.whole("n").map_or(ROWS, |n| DOCUMENTS.min(n as usize));
    let rate = if job.whole("passes") == Some(0) { 0.0 } else { RATE };
    let mut lines = vec![r#"{"header":{}}"#.to_owned()];
    for mut document in documents(n, rate) {
        for token in &mut document.tokens {
            let class = token.class.as_deref().unwrap_or("prompt");
            let factor = libm::exp(0.7 * effect(job, class)) * (0.95 + 0.1 * stream.uniform());
            let all = [
                &mut token.loss,
                &mut token.entropy,
                &mut token.total,
                &mut token.aleatoric,
                &mut token.epistemic,
            ];
            for value in all.into_iter().flatten() {
                *value *= factor;
            }
        }
        lines.push(serde_json::to_string(&document).context("writing JSON")?);
    }
    write_lines(path, &lines)
}

/// Every task of a suite: shares for tasks, sums of losses for `nll:` sets. All jobs answer the same questions, some of
/// which are harder than others; only few of them solve GSM8K's.
fn evaluation(job: &Job, suite: &[String], stream: &mut Stream) -> Value {
    let mut tasks = Map::new();
    for (task, at) in suite.iter().zip(0..) {
        let ids: Vec<String> = (0..QUESTIONS).map(|i| i.to_string()).collect();
        let mut tallies = Map::from_iter([("ids".to_owned(), json!(ids))]);
        let mut measures = Map::new();
        let effect = effect(job, &format!("task {at}"));
        if task.starts_with("oracle:") {
            tasks.insert(task.clone(), json!({ "groups": oracle(effect, stream) }));
            continue;
        }
        let mut questions = Stream::new(0, &format!("fixture/questions of task {at}"));
        let solved = 0.5 + 0.4 * effect;
        for (measure, is_share) in evaluation::measures(task) {
            let mut tally = || {
                let hardness = questions.uniform();
                if *is_share {
                    let solves = hardness < solved + 0.02 * stream.normal();
                    return [f64::from(u8::from(solves)), 1.0];
                }
                let loss = 1.0 + hardness - 0.15 * effect + 0.05 * stream.normal();
                [TOKENS as f64 * loss, TOKENS as f64]
            };
            let rows: Vec<[f64; 2]> = (0..QUESTIONS).map(|_| tally()).collect();
            let sum = |at: usize| rows.iter().map(|row| row[at]).sum::<f64>();
            let value = sum(0) / sum(1);
            measures.insert(
                (*measure).to_owned(),
                json!({ "value": value, "low": value - 0.1, "high": value + 0.1, "n": QUESTIONS }),
            );
            tallies.insert((*measure).to_owned(), json!(rows));
        }
        if task.starts_with("nll:") {
            let nll = measures["nll"]["value"].as_f64().unwrap_or(1.0);
            for (name, value) in [
                ("nll-fitted", nll - 0.02),
                ("probability", libm::exp(-nll)),
                ("accuracy", 0.6 + 0.05 * effect),
                ("ece", 0.1 - 0.02 * effect),
                ("entropy", nll - 0.1 - 0.05 * effect),
            ] {
                measures.insert(name.to_owned(), json!({ "value": value }));
            }
        }
        let found = json!({ "n": QUESTIONS, "seconds": 1.0, "measures": measures, "tallies": tallies });
        tasks.insert(task.clone(), found);
    }
    json!({ "model": "made up", "adapter": null, "precision": "none", "tasks": tasks })
}

/// The stored answers of sets of documents: of each token its loss, in falling parts of the document's.
fn losses(found: &Value) -> Result<Vec<Value>> {
    let mut lines = vec![json!({ "header": {} })];
    let tasks = found["tasks"].as_object().context("tasks")?;
    for (task, found) in tasks.iter().filter(|(task, _)| task.starts_with("nll:")) {
        for (id, pair) in found["tallies"]["nll"].as_array().context("losses")?.iter().enumerate() {
            let sum = pair[0].as_f64().context("a sum")?;
            let parts = (TOKENS * (TOKENS + 1) / 2) as f64;
            let losses: Vec<f64> = (1..=TOKENS).rev().map(|part| sum * part as f64 / parts).collect();
            lines.push(json!({ "task": task, "id": id.to_string(), "answer": { "losses": losses } }));
        }
    }
    Ok(lines)
}

/// Exact numbers of the first of the documents that [`uncertainty`] makes up.
fn exact(path: &Path, stream: &mut Stream) -> Result<()> {
    let mut lines = Vec::new();
    for document in documents(ROWS, RATE) {
        let response = |at: &usize| document.tokens[*at].response;
        let position: Vec<usize> = (0..document.tokens.len()).filter(response).collect();
        let mut column = |scale: f64| position.iter().map(|_| scale * stream.uniform()).collect::<Vec<f64>>();
        lines.push(json!({
            "row": document.row, "position": position, "class": vec!["free"; position.len()], "kl": column(0.5),
            "entropy": column(1.0), "loss": column(2.0), "model_entropy": column(1.0), "p": column(1.0),
        }));
    }
    write_lines(path, &lines)
}

/// Sums over each group of tokens of the oracle language.
fn oracle(effect: f64, stream: &mut Stream) -> Value {
    let mut group = |count: u64| {
        let tokens = count as f64;
        let kl = 0.2 - 0.05 * effect + 0.005 * stream.normal();
        let rank = |center: f64, stream: &mut Stream| center + 0.02 * stream.normal();
        json!({
            "tokens": count, "kl": tokens * kl, "loss": tokens * (1.0 + kl),
            "model_entropy": tokens * (1.0 + 0.02 * stream.normal()), "entropy_gap": tokens * (0.1 - 0.03 * effect),
            "probability": tokens * 0.4,
            "right": (tokens * (0.7 + 0.05 * effect + 0.01 * stream.normal())).clamp(0.0, tokens) as u64,
            "selected": count / 4,
            "spearman": { "loss": rank(0.5, stream), "entropy": rank(0.3, stream) },
            "auroc": { "loss": rank(0.7, stream), "entropy": rank(0.6, stream) },
        })
    };
    let groups =
        ["all", "structure", "free", "choice", "frequent-fact", "rare-fact", "rule", "new-rule", "copy"];
    let sums = groups.map(|name| (name.to_owned(), group(if name == "all" { 8000 } else { 1000 })));
    Value::Object(sums.into_iter().collect())
}

fn write_json(path: &Path, value: &Value) -> Result<()> {
    write_text(path, serde_json::to_string_pretty(value).context("writing JSON")? + "\n")
}

fn write_lines(path: &Path, lines: &[impl ToString]) -> Result<()> {
    write_text(path, lines.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n") + "\n")
}

/// Into a folder that nobody reads before all of it is there, and that does not outlive the process.
fn write_text(path: &Path, text: String) -> Result<()> {
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}
