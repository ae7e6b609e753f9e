//! `tokensieve evaluate --suite alpaca-eval` from end to end: the real default model's replies, and a judge behind an
//! endpoint, which here is a stub that fails once. Needs libtorch and the loopback; the win rates also the model and the
//! data sets `alpaca-eval`, `alpaca-eval-outputs` and `alpaca-eval-preferences` (`./just setup libtorch model`). What is
//! secret is tested on a model and instructions of the test's own, wherever it runs.

#[path = "../../tests/bench/mod.rs"]
mod bench;
#[path = "../../../tasks/tests/data/mod.rs"]
mod others;
#[path = "../../../tasks/tests/stub/mod.rs"]
mod stub;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::UNIX_EPOCH;

use bench::{Folder, MODEL, said};
use others::at_hand;
use serde_json::{Value, json};
use stub::{by_length, second_is_better, shown};
use tokensieve_base::testing::{Answer, Request, Server, tree};
use tokensieve_data::Catalogue;
use tokensieve_infer::evaluate::Results;

/// Instructions.
const ASKED: usize = 2;

/// In lower case, as the stub shows what it was sent.
const KEY: &str = "sk-7f3a-key-of-the-judge";

/// User and password in an address, and both as they are sent.
const USER_AND_PASSWORD: [&str; 2] = ["martin:open-sesame", "bWFydGluOm9wZW4tc2VzYW1l"];

/// Nothing of what no one is to read.
#[track_caller]
fn holds_no_secret(what: &str, text: &str) {
    for secret in [KEY, "open-sesame", USER_AND_PASSWORD[1]] {
        assert!(!text.contains(secret), "{what} holds {secret}:\n{text}");
    }
}

/// The first answer is a failure.
fn judge(before: usize, asked: &Request) -> Answer {
    if before == 0 {
        return Answer::new("503 Service Unavailable", "", "{\"error\": {\"message\": \"later\"}}");
    }
    by_length(asked)
}

struct Bench {
    folder: tempfile::TempDir,
    stub: Server,
}

impl Bench {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn evaluate(&self, out: &str, arguments: &[&str]) -> Output {
        self.command(&self.stub.url("/v1"), out).args(arguments).output().unwrap()
    }

    /// An evaluation whose judge is at an address, without a key.
    fn command(&self, address: &str, out: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tokensieve"));
        command.args(["evaluate", "--suite", "alpaca-eval", "--limit", &ASKED.to_string()]);
        command.arg("--judge").arg(format!("{address}#stub-1")).arg("--out").arg(self.path(out));
        command.env_remove("OPENAI_API_KEY").stdin(Stdio::null());
        command
    }

    fn win_rate(&self, out: &str) -> f64 {
        Results::read(&self.path(out)).unwrap().tasks["alpaca-eval"].measures["win_rate"].value.unwrap()
    }
}

fn near(a: f64, b: f64) {
    assert!((a - b).abs() < 1e-9, "{a} {b}");
}

/// The replies, by the instruction's number.
fn replies(answers: &Path) -> HashMap<String, String> {
    let text = std::fs::read_to_string(answers).unwrap();
    let lines = text.lines().skip(1).map(|line| serde_json::from_str::<Value>(line).unwrap());
    let text = |line: &Value| line["answer"]["text"].as_str().unwrap().trim().to_owned();
    lines.map(|line| (line["id"].to_string(), text(&line))).collect()
}

/// A tiny model, outputs of a baseline, and a cache in which two sets hold instructions and outputs of the test's own. What the cache says that it has checked is not hashed again.
fn of_its_own() -> Folder {
    let folder = Folder::new("", "");
    let instructions = ["Name a colour.", "Name a fruit."];
    let outputs = instructions.map(|instruction| {
        json!({"instruction": instruction, "output": "One that people know."}).to_string() + "\n"
    });
    fs::write(folder.path("outputs.jsonl"), outputs.concat()).unwrap();
    let catalogue = Catalogue::load().unwrap();
    for set in ["alpaca-eval", "alpaca-eval-outputs"] {
        let cache = folder.path("cache/data").join(set);
        fs::create_dir_all(&cache).unwrap();
        for file in catalogue.set(set).unwrap().files.values() {
            let path = cache.join(&file.name);
            fs::write(&path, outputs.concat()).unwrap();
            let about = fs::metadata(&path).unwrap();
            let changed = about.modified().unwrap().duration_since(UNIX_EPOCH).unwrap().as_nanos();
            let stamp = format!("{} {} {changed}\n", file.sha256, about.len());
            fs::write(cache.join(format!(".{}.checked", file.name)), stamp).unwrap();
        }
    }
    folder
}

/// An evaluation in it, without a key.
fn evaluation(folder: &Folder) -> Command {
    let mut command = folder.command(&format!("evaluate --suite alpaca-eval {MODEL} --out x.json"));
    command.env("TOKENSIEVE_CACHE", folder.path("cache")).env_remove("OPENAI_API_KEY");
    command
}

#[test]
fn a_judge_or_baseline_that_is_not_there_is_named_before_anything_is_asked() {
    let folder = of_its_own();
    let before = tree(&folder.root());
    for (arguments, complaint) in [
        (
            &["--judge", "somebody"][..],
            "--judge: `somebody` is neither local:MODEL nor https://endpoint#model",
        ),
        (&["--judge", "local:nowhere"], "--judge: there is no file or folder `nowhere`"),
        (
            &["--judge", "http://localhost#x", "--baseline-outputs", "nobody.json"],
            "--baseline-outputs: there is no file `nobody.json`; there are no outputs of `nobody.json`",
        ),
        (
            &["--judge", "http://example.org/v1#x"],
            "--judge: http://example.org/v1 would get the key in OPENAI_API_KEY unencrypted",
        ),
        (
            &["--judge", "http://martin:open-sesame@example.org/v1#x"],
            "--judge: http://***@example.org/v1 would get the key in OPENAI_API_KEY unencrypted",
        ),
        (
            &["--judge", "https://martin:open-sesame@example.org/v1"],
            "--judge: `https://***@example.org/v1` is neither local:MODEL nor https://endpoint#model",
        ),
    ] {
        let output = evaluation(&folder).args(arguments).env("OPENAI_API_KEY", KEY).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(said(&output).contains(complaint), "{complaint}\n{}", said(&output));
        holds_no_secret("the complaint", &said(&output));
        assert!(tree(&folder.root()) == before, "{}", said(&output));
    }
}

#[test]
fn replies_are_judged_against_a_public_model_and_against_themselves() {
    let catalogue = Catalogue::load().unwrap();
    let mut sets = ["alpaca-eval", "alpaca-eval-outputs", "alpaca-eval-preferences"].into_iter();
    if sets.any(|set| at_hand(catalogue.fetch(set)).is_none()) {
        return;
    }
    let bench = Bench { folder: tempfile::tempdir().unwrap(), stub: Server::start(judge) };

    // Nobody is there to agree to the costs.
    let output = bench.evaluate("first.json", &["--prices", "10,30"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let text = said(&output);
    assert!(text.contains(&format!("{} requests", 2 * ASKED)) && text.contains("dollars in all"), "{text}");
    assert!(text.contains("--yes skips the confirmation") && bench.stub.requests().is_empty(), "{text}");
    let replies = replies(&bench.path("first.answers.jsonl"));
    assert_eq!(replies.len(), ASKED);

    let output = bench.evaluate("first.json", &["--yes"]);
    assert!(output.status.success() && said(&output).contains("lc_win_rate"), "{}", said(&output));
    let asked = bench.stub.requests();
    assert_eq!(asked.len(), 2 * ASKED + 1, "each pair in both orders, and one that had failed again");
    // Instructions that were not asked lack no verdict.
    assert!(!said(&output).contains("have no verdict"), "{}", said(&output));
    // What the judge said of ours, wherever it stood; the first answer was a failure.
    let ours = |asked: &Request| {
        let [first, second] = shown(asked).map(|text| replies.values().any(|reply| *reply == text));
        assert!(first != second, "one of the two is ours");
        if second { second_is_better(asked) } else { 1.0 - second_is_better(asked) }
    };
    let expected = asked[1..].iter().map(ours).sum::<f64>() / (2 * ASKED) as f64;
    near(bench.win_rate("first.json"), expected);

    // Everything is known: nobody is asked again, nor for leave.
    let output = bench.evaluate("first.json", &[]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(bench.stub.requests().len(), asked.len());
    near(bench.win_rate("first.json"), expected);

    // Against another evaluation's answers, here its own: whatever the judge likes, both orders even out.
    let own = bench.path("first.answers.jsonl");
    std::fs::copy(&own, bench.path("second.answers.jsonl")).unwrap();
    let first = bench.path("first.json");
    let output = bench.evaluate(
        "second.json",
        &["--yes", "--baseline-outputs", own.to_str().unwrap(), "--baseline", first.to_str().unwrap()],
    );
    assert!(output.status.success() && said(&output).contains(" %"), "{}", said(&output));
    near(bench.win_rate("second.json"), 0.5);

    let mut compare = Command::new(env!("CARGO_BIN_EXE_tokensieve"));
    let output =
        compare.arg("evaluate").arg("--compare").arg(first).arg(bench.path("second.json")).output().unwrap();
    // Each over other outputs.
    let text = said(&output);
    assert!(
        output.status.success() && text.contains("the win rates of alpaca-eval are not compared"),
        "{text}"
    );
    assert!(!text.contains("win_rate"), "{text}");
}

/// A judge that says nothing about one of two instructions.
fn half_silent(_: usize, asked: &Request) -> Answer {
    if !asked.body.contains("Name a fruit.") {
        return by_length(asked);
    }
    let message = json!({"role": "assistant", "content": "I cannot say."});
    let body = json!({
        "id": "x", "object": "chat.completion", "usage": {"prompt_tokens": 100, "completion_tokens": 1},
        "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
    });
    Answer::new("200 OK", "content-type: application/json\r\n", body.to_string())
}

#[test]
fn too_few_verdicts_give_no_win_rate_and_do_not_end_the_evaluation() {
    let folder = of_its_own();
    let stub = Server::start(half_silent);
    let judge = format!("{}#stub-1", stub.url("/v1"));
    let evaluate = |limit: &str| {
        let mut command = evaluation(&folder);
        command.args(["--suite", "arithmetic", "--limit", limit, "--yes", "--judge", &judge]);
        command.args(["--baseline-outputs", "outputs.jsonl"]).output().unwrap()
    };
    // Of one instruction there could be no win rate.
    let before = tree(&folder.root());
    let output = evaluate("1");
    let complaint = "error: --limit: alpaca-eval with a judge needs at least 2 instructions for a win rate\n";
    assert!(output.status.code() == Some(1) && said(&output).contains(complaint), "{}", said(&output));
    assert!(tree(&folder.root()) == before && stub.requests().is_empty());

    // The same again asks nobody, and ends as well.
    for _ in 0..2 {
        let output = evaluate("2");
        let note = "alpaca-eval: no win rates, because 1 of 2 instructions have a verdict; at least 2 must have one\n";
        assert!(output.status.success() && said(&output).contains(note), "{}", said(&output));
        assert_eq!(stub.requests().len(), 4);
        let results = Results::read(&folder.path("x.json")).unwrap();
        assert_eq!(results.tasks.keys().collect::<Vec<_>>(), ["alpaca-eval", "arithmetic"]);
        let judged = &results.tasks["alpaca-eval"];
        let value = |measure: &str| judged.measures[measure].value;
        assert_eq!([value("win_rate"), value("lc_win_rate")], [None, None]);
        assert!(value("characters").is_some() && judged.measures["win_rate"].n == 1, "{judged:?}");
    }
}

#[test]
fn a_local_judge_without_a_chat_template_is_refused_before_anything_is_asked() {
    let folder = of_its_own();
    bench::model(&folder.path("judge"));
    let config = |text: &str| fs::write(folder.path("judge/tokenizer_config.json"), text).unwrap();
    let refused = |complaint: &str| {
        let before = tree(&folder.root());
        let mut command = evaluation(&folder);
        command.args(["--judge", "local:judge", "--baseline-outputs", "outputs.jsonl"]);
        let output = command.args(["--chat-template", "plain"]).output().unwrap();
        assert!(output.status.code() == Some(1) && said(&output).contains(complaint), "{}", said(&output));
        assert!(tree(&folder.root()) == before, "{}", said(&output));
    };
    config("{}");
    refused(
        "error: --judge: `judge` has no chat template, and --chat-template is the evaluated model's; the judge's own \
         folder must hold one: chat_template.jinja\n",
    );
    config("{\"chat_template\": \"{{ raise_exception('no system message') }}\"}");
    refused("error: --judge: `judge` cannot be asked: ");
}

/// A judge that refuses with what it was sent below one path, and judges below every other. What it repeats in answers that
/// are kept, and in failures that are tried again, is tested where requests are sent (`tasks/tests/judge.rs`).
fn repeating(key: Option<&'static str>) -> Server {
    Server::start(move |_, asked| {
        let [shown, sent] = USER_AND_PASSWORD;
        let message = format!("refused: {}, {shown}, Basic {sent}", key.unwrap_or_default());
        if asked.path.starts_with("/401/") {
            let body = serde_json::json!({"error": {"message": message, "code": "invalid_api_key"}});
            return Answer::new("401 Unauthorized", "", body.to_string());
        }
        by_length(asked)
    })
}

#[test]
fn an_endpoint_that_repeats_what_it_was_sent_puts_no_secret_anywhere() {
    let folder = of_its_own();
    for key in [None, Some(KEY)] {
        let stub = repeating(key);
        let host = stub.address.strip_prefix("http://").unwrap();
        for (path, complaint) in [("401", "(401 Unauthorized): refused: "), ("v1", "4 requests")] {
            let address = format!("http://{}@{host}/{path}#stub-1", USER_AND_PASSWORD[0]);
            let key = key.map(|key| ("OPENAI_API_KEY", key));
            let mut command = evaluation(&folder);
            command.args(["--yes", "--baseline-outputs", "outputs.jsonl", "--judge", &address]).envs(key);
            let output = command.output().unwrap();
            let text = said(&output);
            assert_eq!(output.status.success(), path == "v1", "{text}");
            assert!(
                text.contains(complaint) && text.contains(&format!("http://***@{host}/{path}")),
                "{text}"
            );
            holds_no_secret("the output", &text);
        }
        let authorization =
            key.map_or(format!("basic {}", USER_AND_PASSWORD[1]), |key| format!("bearer {key}"));
        let is_sent = |asked: &Request| asked.header("authorization") == Some(&authorization.to_lowercase());
        assert!(!stub.requests().is_empty() && stub.requests().iter().all(is_sent));
    }
    let left = tree(&folder.root());
    let read = |name: &str| String::from_utf8_lossy(left[Path::new(name)].as_ref().unwrap()).into_owned();
    assert!(read("x.json").contains("http://***@127.0.0.1"), "{}", read("x.json"));
    assert!(!read("x.judge.jsonl").is_empty());
    for (path, content) in &left {
        let text = String::from_utf8_lossy(content.as_deref().unwrap_or_default());
        holds_no_secret(&path.display().to_string(), &text);
    }
}
