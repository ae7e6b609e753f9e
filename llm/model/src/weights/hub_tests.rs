//! The hub's client against a server of our own.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use super::*;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A server with these files; every request's first line and headers are kept.
struct Stub {
    endpoint: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Stub {
    fn start(files: HashMap<&'static str, Vec<u8>>, needs_token: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let kept = requests.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut request = String::new();
                for line in BufReader::new(&stream).lines() {
                    let line = line.unwrap();
                    if line.is_empty() {
                        break;
                    }
                    request += &(line + "\n");
                }
                let answer = answer(&request, &files, needs_token);
                kept.lock().unwrap().push(request);
                let _ = stream.write_all(&answer);
            }
        });
        Self { endpoint, requests }
    }

    fn hub(&self, cache: &Path, token: Option<&str>) -> Hub {
        Hub {
            endpoint: self.endpoint.clone(),
            cache: cache.to_owned(),
            token: token.map(str::to_owned),
            offline: false,
        }
    }
}

fn answer(request: &str, files: &HashMap<&'static str, Vec<u8>>, needs_token: bool) -> Vec<u8> {
    let respond = |status: &str, headers: &str, body: &[u8]| {
        let head = format!(
            "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n",
            body.len()
        );
        [head.as_bytes(), if request.starts_with("HEAD") { &[] } else { body }].concat()
    };
    if needs_token && !request.to_lowercase().contains("authorization: bearer secret") {
        return respond("401 Unauthorized", "", b"");
    }
    let path = request.split(' ').nth(1).unwrap();
    if path == "/api/models/org/tiny/revision/main" {
        let siblings: Vec<_> = files.keys().map(|name| serde_json::json!({"rfilename": name})).collect();
        return respond(
            "200 OK",
            "",
            serde_json::json!({"sha": COMMIT, "siblings": siblings}).to_string().as_bytes(),
        );
    }
    let file = path.strip_prefix(&format!("/org/tiny/resolve/{COMMIT}/")).and_then(|name| files.get(name));
    let Some(content) = file else { return respond("404 Not Found", "", b"") };
    let hash = format!("{:x}", Sha256::digest(content));
    let etag = format!("x-linked-etag: \"{hash}\"\r\n");
    let from = request.to_lowercase().lines().find_map(|line| {
        Some(line.strip_prefix("range: bytes=")?.trim_end_matches('-').parse::<usize>().unwrap())
    });
    match from {
        Some(from) => respond("206 Partial Content", &etag, &content[from..]),
        None => respond("200 OK", &etag, content),
    }
}

fn files() -> HashMap<&'static str, Vec<u8>> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/gguf/qwen2");
    let read = |name: &str| fs::read(fixtures.join(name)).unwrap();
    HashMap::from([
        ("config.json", read("config.json")),
        ("model.safetensors", read("model.safetensors")),
        ("chat_template.json", br#"{"chat_template": "of its own"}"#.to_vec()),
        ("pytorch_model.bin", b"never fetched".to_vec()),
        ("original/consolidated.safetensors", b"never fetched".to_vec()),
    ])
}

#[test]
fn a_model_is_fetched_once_and_found_again_without_the_server() {
    let stub = Stub::start(files(), false);
    let cache = tempfile::tempdir().unwrap();
    let hub = stub.hub(cache.path(), None);
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
    assert!(stub.requests.lock().unwrap().iter().any(|request| request.contains("bytes=1000-")));
    assert!(snapshot.join("chat_template.json").is_file());
    assert!(
        !stub
            .requests
            .lock()
            .unwrap()
            .iter()
            .any(|request| request.contains("pytorch_model") || request.contains("original"))
    );
    crate::weights::Checkpoint::open(snapshot.to_str().unwrap()).unwrap();

    // Again: only the question which commit is the newest.
    stub.requests.lock().unwrap().clear();
    assert_eq!(hub.fetch("org/tiny").unwrap(), snapshot);
    assert_eq!(stub.requests.lock().unwrap().len(), 1);

    let offline = Hub { offline: true, ..hub.clone() };
    assert_eq!(offline.fetch("org/tiny").unwrap(), snapshot);
    // Port 9 discards; nobody listens.
    let unreachable = Hub { endpoint: "http://127.0.0.1:9".into(), ..hub.clone() };
    assert_eq!(unreachable.fetch("org/tiny").unwrap(), snapshot);
    let error = unreachable.fetch("org/other").unwrap_err().to_string();
    assert!(
        error.contains("org/other") && error.contains("not in") && error.contains("What helps"),
        "{error}"
    );
    let error = offline.fetch("org/other").unwrap_err().to_string();
    assert!(error.contains("HF_HUB_OFFLINE"), "{error}");
    let error = hub.fetch("org/other").unwrap_err().to_string();
    assert!(error.contains("no such model"), "{error}");
}

#[test]
fn the_token_opens_a_gated_model() {
    let stub = Stub::start(files(), true);
    let cache = tempfile::tempdir().unwrap();
    let error = stub.hub(cache.path(), None).fetch("org/tiny").unwrap_err().to_string();
    assert!(error.contains("HF_TOKEN"), "{error}");
    stub.hub(cache.path(), Some("secret")).fetch("org/tiny").unwrap();
}

#[test]
fn a_model_without_safetensors_is_refused() {
    let stub = Stub::start(HashMap::from([("config.json", b"{}".to_vec())]), false);
    let cache = tempfile::tempdir().unwrap();
    let error = stub.hub(cache.path(), None).fetch("org/tiny").unwrap_err().to_string();
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
