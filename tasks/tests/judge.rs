//! The judge behind an OpenAI-compatible endpoint, against a stub that answers, fails, stalls, hangs up and talks
//! nonsense. Needs the loopback.

mod stub;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use stub::{by_length, shown};
use tokensieve_base::testing::{Answer, Server};
use tokensieve_tasks::judge::{
    Endpoint, Judge, Pair, Patience, Prices, Settings, Verdict, both_orders, pairwise,
};

/// Soon back, so that the tests are quick; patient with one answer, so that a busy machine does not change their outcome.
fn settings(base: &str, cache: &Path) -> Settings {
    Settings {
        base: base.into(),
        key_variable: None,
        concurrency: 4,
        patience: Patience {
            timeout: Duration::from_secs(20),
            tries: 4,
            first_pause: Duration::from_millis(10),
            longest_pause: Duration::from_millis(200),
            ..Patience::default()
        },
        ..Settings::new("stub-1", cache)
    }
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn cache(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().join("answers.jsonl")
}

/// The base address that a judge is given.
fn base(stub: &Server) -> String {
    stub.url("/v1")
}

fn endpoint(stub: &Server, folder: &tempfile::TempDir) -> Endpoint {
    Endpoint::new(settings(&base(stub), &cache(folder))).unwrap()
}

fn words(text: &str) -> Answer {
    let body = serde_json::json!({"choices": [{"message": {"role": "assistant", "content": text}}]});
    Answer::new("200 OK", "", body.to_string())
}

fn error(status: &'static str, headers: &'static str, message: &str, code: &str) -> Answer {
    Answer::new(status, headers, serde_json::json!({"error": {"message": message, "code": code}}).to_string())
}

const ONE: Pair<'static> = Pair { instruction: "Say something.", first: "short", second: "rather longer" };

fn texts(n: usize, text: impl Fn(usize) -> String) -> Vec<String> {
    (0..n).map(text).collect()
}

#[test]
fn a_model_is_compared_with_a_baseline_in_both_orders() {
    let stub = Server::start(|_, asked| by_length(asked));
    let folder = folder();
    let judge = endpoint(&stub, &folder);
    let instructions = texts(10, |i| format!("Instruction {i}"));
    let model = texts(10, |i| if i < 6 { format!("long answer {i}") } else { format!("s{i}") });
    let baseline = texts(10, |i| if i == 0 { model[0].clone() } else { format!("medium {i}") });

    let pairs = both_orders(&instructions, &model, &baseline).unwrap();
    let cost = judge.cost(&pairs);
    assert_eq!((cost.requests, cost.kept, cost.reply_tokens), (18, 0, 72));
    let letters: usize = pairs.iter().map(|p| p.instruction.len() + p.first.len() + p.second.len()).sum();
    assert!(
        cost.prompt_tokens > letters / 4 + 18 * 50 && cost.prompt_tokens < letters + 18 * 400,
        "{cost:?}"
    );
    let dollars = cost.dollars(Prices { prompt: 10.0, reply: 30.0 });
    assert!((dollars - (cost.prompt_tokens as f64 * 10.0 + 72.0 * 30.0) / 1e6).abs() < 1e-12);

    let result = pairwise(&judge, &instructions, &model, &baseline).unwrap();
    assert_eq!(result.preferences[0], Some(0.5));
    // Longer: (0.95 + 0.75) / 2; shorter: (0.25 + 0.05) / 2.
    for (i, preference) in result.preferences.iter().enumerate().skip(1) {
        let expected = if i < 6 { 0.85 } else { 0.15 };
        assert!((preference.unwrap() - expected).abs() < 1e-9, "{i}: {preference:?}");
    }
    assert!((result.position_bias - 0.1).abs() < 1e-9 && result.nonsense.is_empty());
    assert_eq!(stub.requests().len(), 18);

    // Everything is kept: neither a second evaluation nor a second process asks again.
    assert_eq!(pairwise(&judge, &instructions, &model, &baseline).unwrap(), result);
    drop(judge);
    let again = endpoint(&stub, &folder);
    assert_eq!((again.cost(&pairs).requests, again.cost(&pairs).kept), (0, 18));
    assert_eq!(pairwise(&again, &instructions, &model, &baseline).unwrap(), result);
    assert_eq!(stub.requests().len(), 18);
}

#[test]
fn requests_are_as_the_interface_has_them() {
    let stub = Server::start(|_, asked| by_length(asked));
    let folder = folder();
    // Cargo sets this one for tests, so that no environment needs to be changed.
    let variable = "CARGO_PKG_NAME";
    let settings = Settings {
        base: format!("{}/", base(&stub)),
        key_variable: Some(variable.into()),
        ..settings(&base(&stub), &cache(&folder))
    };
    let judge = Endpoint::new(settings).unwrap();
    judge.prefer(&[ONE, ONE]).unwrap();
    let asked = stub.requests();
    assert_eq!(asked.len(), 1, "the same question is asked once");
    assert!(asked[0].head.starts_with("post /v1/chat/completions "), "{}", asked[0].head);
    assert!(asked[0].head.contains("authorization: bearer tokensieve-tasks\r\n"));
    assert!(asked[0].head.contains("content-type: application/json\r\n"));
    let body: Value = serde_json::from_str(&asked[0].body).unwrap();
    assert_eq!(body["model"], "stub-1");
    assert_eq!((&body["logprobs"], &body["top_logprobs"]), (&Value::Bool(true), &Value::from(5)));
    assert_eq!((&body["temperature"], &body["max_tokens"]), (&Value::from(0), &Value::from(4)));
    assert_eq!(shown(&asked[0]), [ONE.first, ONE.second]);
    assert!(
        !std::fs::read_to_string(cache(&folder)).unwrap().contains("tokensieve-tasks"),
        "keys are not kept"
    );
}

#[test]
fn what_a_service_repeats_of_what_it_was_sent_is_hidden() {
    const BASIC: &str = "bWFydGluOm9wZW4tc2VzYW1l";
    for key_variable in [Some("CARGO_PKG_NAME"), None] {
        let stub = Server::start(|before, asked| {
            let sent = asked.header("authorization").unwrap();
            let message = format!("got {sent}, martin:open-sesame, Basic {BASIC}");
            match before {
                0 => error("500 Internal Server Error", "", &message, ""),
                1 => error("429 Too Many Requests", "retry-after: 0\r\n", &message, ""),
                2 => Answer::new("200 OK", "", message),
                3 => error("400 Bad Request", "", &message, "content_filter"),
                4 => words(&message),
                _ => error("401 Unauthorized", "", &message, "invalid_api_key"),
            }
        });
        let folder = folder();
        let address = base(&stub).replace("//", "//martin:open-sesame@");
        let settings =
            Settings { key_variable: key_variable.map(str::to_owned), ..settings(&address, &cache(&folder)) };
        let said = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&said);
        let judge = Endpoint::new(settings).unwrap();
        let judge = judge.with_notice(move |line| heard.lock().unwrap().push(line.to_owned()));
        let mut texts = vec![judge.name()];
        for question in ["one", "another"] {
            let verdict = judge.prefer(&[Pair { instruction: question, ..ONE }]).unwrap().remove(0);
            let Verdict::Nonsense(answer) = verdict else { panic!("{verdict:?}") };
            texts.push(answer);
        }
        texts.push(judge.prefer(&[ONE]).unwrap_err().to_string());
        texts.append(&mut said.lock().unwrap());
        texts.push(std::fs::read_to_string(cache(&folder)).unwrap());
        assert_eq!(texts.len(), 8, "the name, two answers, an error, three notices, the cache: {texts:?}");
        for text in texts {
            assert!(text.contains("***"), "{text}");
            for secret in ["tokensieve-tasks", "martin", "open-sesame", BASIC] {
                assert!(!text.contains(secret), "{secret}: {text}");
            }
        }
    }
}

#[test]
fn a_missing_key_is_named() {
    let folder = folder();
    let settings = Settings {
        key_variable: Some("TOKENSIEVE_NO_SUCH_KEY".into()),
        ..settings("http://x", &cache(&folder))
    };
    let error = Endpoint::new(settings).err().unwrap().to_string();
    assert!(error.contains("TOKENSIEVE_NO_SUCH_KEY must hold the key"), "{error}");
}

#[test]
fn what_passes_is_waited_out() {
    let stub = Server::start(|before, asked| match before {
        0 => error("500 Internal Server Error", "", "oops", ""),
        1 => Answer::Stall(Duration::from_secs(30)),
        2 => Answer::ok(b"{\"choices\":[]}").cut_after(12),
        _ => by_length(asked),
    });
    let folder = folder();
    let usual = settings(&base(&stub), &cache(&folder));
    let patience = Patience { timeout: Duration::from_secs(1), tries: 8, ..usual.patience };
    let judge = Endpoint::new(Settings { patience, ..usual }).unwrap();
    let start = Instant::now();
    let verdicts = judge.prefer(&[ONE]).unwrap();
    assert!(matches!(verdicts[..], [Verdict::Second(p)] if (p - 0.95).abs() < 1e-9), "{verdicts:?}");
    assert!(start.elapsed() >= Duration::from_secs(1) && stub.requests().len() >= 4);
}

#[test]
fn connections_that_break_and_pages_that_are_no_answer_are_asked_again() {
    let stub = Server::start(|before, asked| match before {
        0 => Answer::HangUp,
        1 => Answer::new("200 OK", "", "<html>welcome to the hotel</html>"),
        2 => Answer::new("503 Service Unavailable", "retry-after: 0\r\n", "busy"),
        _ => by_length(asked),
    });
    let folder = folder();
    assert!(endpoint(&stub, &folder).prefer(&[ONE]).is_ok());
    assert_eq!(stub.requests().len(), 4);
}

#[test]
fn a_service_that_names_its_pause_is_obeyed_by_all() {
    let stub = Server::start(|before, asked| match before {
        0 => error("429 Too Many Requests", "retry-after: 0.7\r\n", "slow down", "rate_limit_exceeded"),
        _ => by_length(asked),
    });
    let folder = folder();
    let settings = Settings { concurrency: 1, ..settings(&base(&stub), &cache(&folder)) };
    let judge = Endpoint::new(settings).unwrap();
    let start = Instant::now();
    judge.prefer(&[ONE]).unwrap();
    assert!(start.elapsed() >= Duration::from_millis(700));
    assert_eq!(stub.requests().len(), 2);
}

#[test]
fn a_pause_beyond_all_patience_is_an_error() {
    let stub = Server::start(|_, _| error("429 Too Many Requests", "retry-after: 3600\r\n", "tomorrow", ""));
    let folder = folder();
    let error = endpoint(&stub, &folder).prefer(&[ONE]).unwrap_err().to_string();
    assert!(error.contains("asks to come back in 3600 s") && error.contains("tomorrow"), "{error}");
}

#[test]
fn what_lasts_is_said_at_once() {
    for (status, message, code, expected) in [
        (
            "401 Unauthorized",
            "Incorrect API key",
            "invalid_api_key",
            "it wants a key (401 Unauthorized): Incorrect API key",
        ),
        ("404 Not Found", "The model `stub-1` does not exist", "model_not_found", "no such address or model"),
        ("400 Bad Request", "logprobs are not supported", "unsupported", "the request was refused (400"),
        ("429 Too Many Requests", "check your plan", "insufficient_quota", "quota is used up"),
    ] {
        let stub = Server::start(move |_, _| error(status, "", message, code));
        let folder = folder();
        let error = endpoint(&stub, &folder).prefer(&[ONE]).unwrap_err().to_string();
        assert!(
            error.contains(expected) && error.contains(message) && error.contains(&base(&stub)),
            "{error}"
        );
        assert_eq!(stub.requests().len(), 1, "{error}");
    }
}

#[test]
fn what_does_not_pass_is_given_up() {
    let folder = folder();
    for (body, complaint) in [("not json", "not a chat completion"), ("{\"choices\":[]}", "without choices")]
    {
        let stub = Server::start(move |_, _| Answer::new("200 OK", "", body));
        let error = endpoint(&stub, &folder).prefer(&[ONE]).unwrap_err().to_string();
        assert!(error.contains(complaint) && error.contains("given up after 4 tries"), "{error}");
        assert_eq!(stub.requests().len(), 4);
    }
}

#[test]
fn nobody_at_the_address_is_said_at_once() {
    let folder = folder();
    let usual =
        Settings { patience: Patience::default(), ..settings("http://127.0.0.1:9/v1", &cache(&folder)) };
    let start = Instant::now();
    let error = Endpoint::new(usual).unwrap().prefer(&[ONE]).unwrap_err().to_string();
    assert_eq!(
        error,
        "http://127.0.0.1:9/v1/chat/completions: nothing answers at this address (connection refused)"
    );
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn every_further_try_is_announced() {
    let stub = Server::start(|before, asked| match before {
        0 => Answer::new("503 Service Unavailable", "", "busy"),
        1 => error("429 Too Many Requests", "retry-after: 0.1\r\n", "slow down", ""),
        _ => by_length(asked),
    });
    let folder = folder();
    let lines = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&lines);
    let judge = endpoint(&stub, &folder).with_notice(move |line| heard.lock().unwrap().push(line.to_owned()));
    judge.prefer(&[ONE]).unwrap();
    let lines = lines.lock().unwrap();
    assert_eq!(lines.len(), 2);
    let address = format!("{}/chat/completions: ", base(&stub));
    assert!(lines[0].starts_with(&format!("{address}503 Service Unavailable: busy; try 2 of 4 in 0.0 s")));
    assert_eq!(lines[1], format!("{address}429 Too Many Requests: slow down; try 3 of 4 in 0.1 s"));
}

/// A service that accepts and never answers.
#[test]
fn a_wait_ends_with_the_time_or_the_users_interruption() {
    let stub = Server::start(|_, _| Answer::Stall(Duration::from_secs(60)));
    let folder = folder();
    let usual = settings(&base(&stub), &cache(&folder));
    let short =
        Patience { timeout: Duration::from_millis(300), total: Duration::from_secs(1), ..usual.patience };
    let start = Instant::now();
    let judge =
        Endpoint::new(Settings { patience: Patience { tries: 100, ..short }, ..usual.clone() }).unwrap();
    let error = judge.prefer(&[ONE]).unwrap_err().to_string();
    assert!(error.contains("no answer within 0.") && error.ends_with("1 s are over"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(10));
    drop(judge);

    let stopped = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&stopped);
    let judge = Endpoint::new(usual).unwrap().with_stop(move || asked.load(Ordering::Relaxed));
    let start = Instant::now();
    let error = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| judge.prefer(&[ONE]).unwrap_err().to_string());
        std::thread::sleep(Duration::from_millis(200));
        stopped.store(true, Ordering::Relaxed);
        waiting.join().unwrap()
    });
    assert!(error.ends_with(": interrupted"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[test]
fn nonsense_is_listed_and_never_a_half() {
    let stub = Server::start(|_, asked| match asked.body.as_str() {
        body if body.contains("Instruction 0") => words("I cannot choose."),
        body if body.contains("Instruction 1") => words(" M."),
        body if body.contains("Instruction 2") => error("400 Bad Request", "", "filtered", "content_filter"),
        _ => by_length(asked),
    });
    let folder = folder();
    let instructions = texts(4, |i| format!("Instruction {i}"));
    let (model, baseline) = (texts(4, |i| format!("some words {i}")), texts(4, |i| format!("x{i}")));
    let result = pairwise(&endpoint(&stub, &folder), &instructions, &model, &baseline).unwrap();
    assert_eq!(result.preferences[0], None);
    // Always the second, whichever it is: a draw over both orders, and all of it bias.
    assert_eq!(result.preferences[1], Some(0.5));
    assert_eq!(result.preferences[2], None);
    let answers: Vec<(usize, &str)> = result.nonsense.iter().map(|n| (n.index, n.answer.as_str())).collect();
    assert_eq!(answers, [(0, "I cannot choose."), (0, "I cannot choose."), (2, "filtered"), (2, "filtered")]);
    assert!((result.consistent - 0.5).abs() < 1e-12);
}

/// A run that ends in an error, and another after it.
#[test]
fn after_an_error_only_what_is_missing_is_asked() {
    let stub = Server::start(|before, asked| {
        if (7..12).contains(&before) {
            return error("401 Unauthorized", "", "expired", "");
        }
        by_length(asked)
    });
    let folder = folder();
    let instructions = texts(10, |i| format!("Instruction {i}"));
    let (model, baseline) = (texts(10, |i| format!("some words {i}")), texts(10, |i| format!("x{i}")));
    let pairs = both_orders(&instructions, &model, &baseline).unwrap();
    let first = endpoint(&stub, &folder);
    assert!(first.prefer(&pairs).is_err());
    let refused = stub.requests().len() - 7;
    assert!((1..=4).contains(&refused), "the others take nothing new: {refused}");
    drop(first);
    // The rest of the refusals, one try each.
    for _ in refused..5 {
        assert!(endpoint(&stub, &folder).prefer(&pairs[19..]).is_err());
    }
    let second = endpoint(&stub, &folder);
    assert_eq!(second.cost(&pairs).kept, 7);
    assert_eq!(second.prefer(&pairs).unwrap().len(), 20);
    assert_eq!(stub.requests().len(), 12 + 13);
}

#[test]
#[ignore = "what the killed process of the next test does"]
fn asks_until_killed() {
    let (Ok(base), Ok(cache)) = (std::env::var("JUDGE_TEST_BASE"), std::env::var("JUDGE_TEST_CACHE")) else {
        return;
    };
    let judge = Endpoint::new(Settings { concurrency: 1, ..settings(&base, Path::new(&cache)) }).unwrap();
    judge.prefer(&both_orders(&many("Instruction"), &many("some words"), &many("x")).unwrap()).unwrap();
}

fn many(text: &str) -> Vec<String> {
    texts(10, |i| format!("{text} {i}"))
}

#[test]
fn a_killed_run_goes_on_where_it_was() {
    // The ninth answer never comes; by then eight are kept, and the process is killed.
    let stub = Server::start(|before, asked| {
        if before == 8 {
            return Answer::Stall(Duration::from_secs(60));
        }
        by_length(asked)
    });
    let folder = folder();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "asks_until_killed", "--ignored"])
        .env("JUDGE_TEST_BASE", base(&stub))
        .env("JUDGE_TEST_CACHE", cache(&folder))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let start = Instant::now();
    while stub.requests().len() < 9 {
        assert!(start.elapsed() < Duration::from_secs(60), "the process asks");
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // And it was killed while writing, too.
    let mut kept = std::fs::read(cache(&folder)).unwrap();
    kept.extend_from_slice(b"{\"key\":\"12");
    std::fs::write(cache(&folder), kept).unwrap();

    let asked_before = stub.requests().len();
    let judge = endpoint(&stub, &folder);
    let (instructions, model, baseline) = (many("Instruction"), many("some words"), many("x"));
    let result = pairwise(&judge, &instructions, &model, &baseline).unwrap();
    assert!(result.preferences.iter().all(|preference| (preference.unwrap() - 0.85).abs() < 1e-9));
    assert_eq!(stub.requests().len() - asked_before, 12);
}

#[test]
fn no_more_requests_at_a_time_than_allowed() {
    use std::sync::atomic::AtomicUsize;
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (now_in, most_in) = (Arc::clone(&now), Arc::clone(&most));
    let stub = Server::start(move |_, asked| {
        most_in.fetch_max(now_in.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(20));
        now_in.fetch_sub(1, Ordering::SeqCst);
        by_length(asked)
    });
    let folder = folder();
    let (instructions, model, baseline) = (many("Instruction"), many("some words"), many("x"));
    let judge =
        Endpoint::new(Settings { concurrency: 3, ..settings(&base(&stub), &cache(&folder)) }).unwrap();
    pairwise(&judge, &instructions, &model, &baseline).unwrap();
    assert_eq!(stub.requests().len(), 20);
    let most = most.load(Ordering::SeqCst);
    assert!((2..=3).contains(&most), "{most}");
}
