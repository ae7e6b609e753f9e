//! The hub's client against a server of our own.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use sha2::{Digest as _, Sha256};
use tokensieve_base::testing::{Answer, Request, Server};

use super::*;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A server with these files.
fn server(files: HashMap<&'static str, Vec<u8>>, needs_token: bool) -> Server {
    Server::start(move |_, request| answer(request, &files, needs_token))
}

fn hub(server: &Server, cache: &Path, token: Option<&str>) -> Hub {
    Hub {
        endpoint: server.address.clone(),
        cache: cache.to_owned(),
        token: token.map(str::to_owned),
        offline: false,
    }
}

fn answer(request: &Request, files: &HashMap<&'static str, Vec<u8>>, needs_token: bool) -> Answer {
    if let Some(path) = request.path.strip_prefix("/api/models/org/old/") {
        let moved = Answer::status("307 Temporary Redirect");
        return moved.with_header(&format!("location: /api/models/org/tiny/{path}"));
    }
    if needs_token && request.header("authorization") != Some("bearer secret") {
        return Answer::status("401 Unauthorized");
    }
    if request.path == "/api/models/org/tiny/revision/main" {
        let siblings: Vec<_> = files.keys().map(|name| serde_json::json!({"rfilename": name})).collect();
        let revision = serde_json::json!({"id": "org/tiny", "sha": COMMIT, "siblings": siblings});
        return Answer::ok(revision.to_string().as_bytes());
    }
    let file = request.path.strip_prefix(&format!("/org/tiny/resolve/{COMMIT}/"));
    let Some(content) = file.and_then(|name| files.get(name)) else { return Answer::status("404 Not Found") };
    let answer = match request.range_start() {
        Some(start) if start >= content.len() => Answer::status("416 Range Not Satisfiable")
            .with_header(&format!("content-range: bytes */{}", content.len())),
        Some(start) => Answer::partial(content, start),
        None => Answer::ok(content),
    };
    answer.with_header(&format!("x-linked-etag: \"{:x}\"", Sha256::digest(content)))
}

fn files() -> HashMap<&'static str, Vec<u8>> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/gguf/qwen2");
    let read = |name: &str| fs::read(fixtures.join(name)).unwrap();
    HashMap::from([
        ("config.json", read("config.json")),
        ("model.safetensors", read("model.safetensors")),
        ("chat_template.json", br#"{"chat_template": "of its own"}"#.to_vec()),
        ("additional_chat_templates/tool_use.jinja", b"of its own, for tools".to_vec()),
        ("additional_chat_templates/notes/original.jinja", b"never fetched".to_vec()),
        ("pytorch_model.bin", b"never fetched".to_vec()),
        // Some programs write an index of a single file.
        ("model.safetensors.index.json", b"never fetched".to_vec()),
        ("tokenizer.model", b"for llama.cpp".to_vec()),
        ("original/consolidated.safetensors", b"never fetched".to_vec()),
    ])
}

#[test]
fn a_model_is_fetched_once_and_found_again_without_the_server() {
    let server = server(files(), false);
    let cache = tempfile::tempdir().unwrap();
    let hub = hub(&server, cache.path(), None);
    // As an interrupted download leaves it.
    let weights = &files()["model.safetensors"];
    let hash = format!("{:x}", Sha256::digest(weights));
    let blobs = cache.path().join("models--org--tiny/blobs");
    fs::create_dir_all(&blobs).unwrap();
    fs::write(blobs.join(format!("{hash}.incomplete")), &weights[..1000]).unwrap();

    let snapshot = hub.fetch("org/tiny").unwrap();
    assert_eq!(snapshot, cache.path().join("models--org--tiny/snapshots").join(COMMIT));
    assert_eq!(&fs::read(snapshot.join("model.safetensors")).unwrap(), weights);
    assert_eq!(
        fs::read_link(snapshot.join("model.safetensors")).unwrap(),
        Path::new("../../blobs").join(&hash)
    );
    assert_eq!(fs::read_to_string(cache.path().join("models--org--tiny/refs/main")).unwrap(), COMMIT);
    assert!(server.requests().iter().any(|request| request.range_start() == Some(1000)));
    for text in ["chat_template.json", "tokenizer.model", "additional_chat_templates/tool_use.jinja"] {
        assert!(snapshot.join(text).is_file());
    }
    let is_wanted = |path: &str| {
        !["pytorch_model", "original", "index.json"].iter().any(|unwanted| path.contains(unwanted))
    };
    assert!(server.requests().iter().all(|request| is_wanted(&request.path)));
    crate::weights::Checkpoint::open(snapshot.to_str().unwrap()).unwrap();

    // Again: only the question which commit is the newest.
    let before = server.requests().len();
    assert_eq!(hub.fetch("org/tiny").unwrap(), snapshot);
    assert_eq!(server.requests().len(), before + 1);

    let offline = Hub { offline: true, ..hub.clone() };
    assert_eq!(offline.fetch("org/tiny").unwrap(), snapshot);
    // Port 9 discards; nobody listens.
    let unreachable = Hub { endpoint: "http://127.0.0.1:9".into(), ..hub.clone() };
    assert_eq!(unreachable.fetch("org/tiny").unwrap(), snapshot);
    let error = unreachable.fetch("org/other").unwrap_err().to_string();
    assert!(
        error.contains("org/other") && error.contains("not in") && error.contains("connect to the network"),
        "{error}"
    );
    let error = offline.fetch("org/other").unwrap_err().to_string();
    assert!(error.contains("HF_HUB_OFFLINE"), "{error}");
    let error = hub.fetch("org/other").unwrap_err().to_string();
    assert!(error.contains("no such model"), "{error}");
}

/// Processes of one run ask for it at once.
#[test]
fn several_that_ask_at_once_download_once() {
    let bodies = Arc::new(AtomicUsize::new(0));
    let (counted, files) = (bodies.clone(), files());
    let server = Server::start(move |_, request| {
        if request.method == "GET" && request.path.ends_with("model.safetensors") {
            counted.fetch_add(1, Ordering::Relaxed);
            thread::sleep(Duration::from_millis(50));
        }
        answer(request, &files, false)
    });
    let cache = tempfile::tempdir().unwrap();
    let snapshots: Vec<PathBuf> = thread::scope(|scope| {
        let fetch = || hub(&server, cache.path(), None).fetch("org/tiny").unwrap();
        let all: Vec<_> = (0..4).map(|_| scope.spawn(fetch)).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert!(snapshots.iter().all(|snapshot| is_complete(snapshot)));
    assert_eq!(bodies.load(Ordering::Relaxed), 1);
}

#[test]
fn a_mirror_may_send_on_to_another_path_of_its_own() {
    let files = files();
    let server = Server::start(move |_, request| {
        if let Some(path) = request.path.strip_prefix("/mirror") {
            let there = request.path.contains("/resolve/") && !request.path.contains("/there/");
            if there {
                let moved = Answer::status("307 Temporary Redirect");
                return moved.with_header(&format!("location: /mirror/there{path}"));
            }
            let path = path.strip_prefix("/there").unwrap_or(path).to_owned();
            return answer(&Request { path, ..request.clone() }, &files, false);
        }
        Answer::status("404 Not Found")
    });
    let cache = tempfile::tempdir().unwrap();
    let hub = Hub { endpoint: format!("{}/mirror", server.address), ..hub(&server, cache.path(), None) };
    assert!(hub.fetch("org/tiny").unwrap().join("model.safetensors").is_file());
    assert_eq!(within_host("https://a.b/c", "https://a.b/d").as_deref(), Some("https://a.b/d"));
    for elsewhere in ["https://a.b.c/d", "http://a.b/d", "//c/d", "d"] {
        assert_eq!(within_host("https://a.b/c", elsewhere), None, "{elsewhere}");
    }
}

#[test]
fn a_model_in_parts_is_kept_when_all_parts_are() {
    let folder = tempfile::tempdir().unwrap();
    let snapshot = folder.path().join("snapshots").join(COMMIT);
    fs::create_dir_all(&snapshot).unwrap();
    let index = r#"{"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}"#;
    let files =
        [("config.json", "{}"), (INDEX, index), ("model-1.safetensors", ""), ("model-2.safetensors", "")];
    for (name, text) in files {
        assert_eq!(Hub::kept(folder.path(), COMMIT), None, "without {name}");
        fs::write(snapshot.join(name), text).unwrap();
    }
    assert_eq!(Hub::kept(folder.path(), COMMIT), Some(snapshot));
}

/// Another checkpoint's parts may lie beside them.
#[test]
fn of_a_model_in_parts_those_are_fetched_that_its_index_lists() {
    let whole = files();
    let mut files = HashMap::from([
        ("config.json", whole["config.json"].clone()),
        (INDEX, br#"{"weight_map": {"a": "first.safetensors", "b": "model-2.safetensors"}}"#.to_vec()),
    ]);
    for part in ["first", "model-2", "model-1-of-2", "other-1-of-2"] {
        files.insert(format!("{part}.safetensors").leak(), part.into());
    }
    let server = server(files, false);
    let cache = tempfile::tempdir().unwrap();
    let snapshot = hub(&server, cache.path(), None).fetch("org/tiny").unwrap();
    for (part, is_fetched) in
        [("first", true), ("model-2", true), ("model-1-of-2", false), ("other-1-of-2", false)]
    {
        assert_eq!(snapshot.join(format!("{part}.safetensors")).is_file(), is_fetched, "{part}");
    }
    assert!(is_complete(&snapshot));
}

#[test]
fn a_server_that_is_busy_may_be_asked_later() {
    let cache = tempfile::tempdir().unwrap();
    for status in ["429 Too Many Requests", "503 Service Unavailable"] {
        let server = Server::start(move |_, _| Answer::status(status));
        let error = hub(&server, cache.path(), None).fetch("org/tiny").unwrap_err().to_string();
        assert!(error.contains(&format!("the server answered {}", &status[..3])), "{error}");
        assert!(error.contains("To continue, try again later, or give"), "{error}");
    }
}

#[test]
fn the_token_opens_a_gated_model() {
    let server = server(files(), true);
    let cache = tempfile::tempdir().unwrap();
    let error = hub(&server, cache.path(), None).fetch("org/tiny").unwrap_err().to_string();
    assert!(error.contains("HF_TOKEN"), "{error}");
    hub(&server, cache.path(), Some("secret")).fetch("org/tiny").unwrap();
}

/// Servers that repeat what they were sent, in every text of theirs that an error shows.
#[test]
fn neither_the_token_nor_a_password_is_shown_or_kept() {
    const TOKEN: &str = "hf_token-of-mine";
    fn sent(request: &Request) -> &str {
        request.header("authorization").unwrap()
    }
    fn revision(sha: &str) -> Answer {
        let siblings = [serde_json::json!({"rfilename": "model.safetensors"})];
        Answer::ok(serde_json::json!({"sha": sha, "siblings": siblings}).to_string().as_bytes())
    }
    type Repeats = fn(&Request) -> Answer;
    let answers: [(Repeats, &str); 6] = [
        (|asked| Answer::new("401 Unauthorized", "", sent(asked)), "the server denies access"),
        (|asked| Answer::new("500 Internal Server Error", "", sent(asked)), "the server answered 500"),
        (
            |asked| Answer::new("429 Too Many Requests", "", sent(asked)),
            "the server answered 429; and the model is not",
        ),
        (|asked| revision(sent(asked)), "` is not a commit hash"),
        (
            |asked| {
                Answer::ok(serde_json::json!({"sha": COMMIT, "siblings": sent(asked)}).to_string().as_bytes())
            },
            "invalid type",
        ),
        (
            |asked| match asked.method.as_str() {
                "HEAD" => Answer::ok(b"").with_header(&format!("etag: \"{}\"", sent(asked))),
                _ => revision(COMMIT),
            },
            "` is not a hash",
        ),
    ];
    for (answer, complaint) in answers {
        let server = Server::start(move |_, asked| answer(asked));
        let cache = tempfile::tempdir().unwrap();
        let mut hub = hub(&server, cache.path(), Some(TOKEN));
        hub.endpoint = server.address.replace("//", "//martin:open-sesame@");
        let error = hub.fetch("org/tiny").unwrap_err().to_string();
        assert!(error.contains(complaint) && error.contains("***"), "{error}");
        assert!(server.requests().iter().all(|asked| sent(asked) == format!("bearer {TOKEN}")));
        for secret in [TOKEN, "martin", "open-sesame"] {
            assert!(!error.contains(secret), "{error}");
        }
        assert!(!cache.path().join("models--org--tiny/refs").exists());
    }
}

#[test]
fn the_token_opens_a_model_under_its_former_name() {
    let server = server(files(), true);
    let cache = tempfile::tempdir().unwrap();
    let snapshot = hub(&server, cache.path(), Some("secret")).fetch("org/old").unwrap();
    assert_eq!(snapshot, cache.path().join("models--org--old/snapshots").join(COMMIT));
    assert_eq!(fs::read(snapshot.join("model.safetensors")).unwrap(), files()["model.safetensors"]);
}

#[test]
fn a_download_that_broke_off_at_the_end_is_taken_and_one_of_another_file_is_made_again() {
    let weights = &files()["model.safetensors"];
    for (left, fetched) in [(weights.clone(), false), ([&weights[..], b"more"].concat(), true)] {
        let server = server(files(), false);
        let cache = tempfile::tempdir().unwrap();
        let blobs = cache.path().join("models--org--tiny/blobs");
        fs::create_dir_all(&blobs).unwrap();
        fs::write(blobs.join(format!("{:x}.incomplete", Sha256::digest(weights))), left).unwrap();
        let snapshot = hub(&server, cache.path(), None).fetch("org/tiny").unwrap();
        assert_eq!(&fs::read(snapshot.join("model.safetensors")).unwrap(), weights);
        let asked = |request: &Request| {
            let is_whole = request.method == "GET" && request.range_start().is_none();
            is_whole && request.path.ends_with("/model.safetensors")
        };
        assert_eq!(server.requests().iter().any(asked), fetched);
    }
}

#[test]
fn a_model_without_safetensors_is_refused() {
    let server = server(HashMap::from([("config.json", b"{}".to_vec())]), false);
    let cache = tempfile::tempdir().unwrap();
    let error = hub(&server, cache.path(), None).fetch("org/tiny").unwrap_err().to_string();
    assert!(error.contains("model.safetensors"), "{error}");
}

#[test]
fn names() {
    let parsed = Name::parse("HuggingFaceTB/SmolLM2-360M@v1").unwrap();
    assert_eq!((parsed.repository, parsed.revision), ("HuggingFaceTB/SmolLM2-360M", "v1"));
    for wrong in ["smollm2", "a/b/c", "../b", "a/..", "a/b@", "/b", "a/b c"] {
        assert_eq!(Name::parse(wrong), None, "{wrong}");
    }
}
