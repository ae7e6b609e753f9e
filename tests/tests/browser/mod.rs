//! A browser for tests: headless Chromium, driven through chromedriver by the W3C `WebDriver` protocol over plain
//! HTTP. Only what the tests use.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The height in pixels of the longest picture that Chromium makes.
const LONGEST: f64 = 16_000.0;

/// One browser with one page; closed and cleaned up on drop.
pub(crate) struct Browser {
    driver: Child,
    port: u16,
    session: String,
    profile: PathBuf,
}

impl Browser {
    /// Starts one, or says why it cannot: `None` only where no chromedriver is installed.
    pub(crate) fn start() -> Option<Self> {
        let mut command = Command::new("chromedriver");
        command.arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null());
        let mut driver = match command.spawn() {
            Ok(driver) => driver,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
            Err(error) => panic!("starting chromedriver: {error}"),
        };
        let output = BufReader::new(driver.stdout.take().expect("chromedriver's output is piped"));
        let port = output
            .lines()
            .map_while(Result::ok)
            .find_map(|line| line.split("successfully on port ").nth(1)?.trim_end_matches('.').parse().ok())
            .expect("chromedriver says its port");
        let profile = std::env::temp_dir().join(format!("tokensieve-browser-{}", driver.id()));
        let mut browser = Self { driver, port, session: String::new(), profile };
        let arguments = [
            "--headless=new",
            // Containers run as root, which Chromium's sandbox refuses.
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            // Containers give few megabytes of it.
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--hide-scrollbars",
            &format!("--user-data-dir={}", browser.profile.display()),
        ];
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
        } } });
        let session = browser.call("POST", "/session", &wanted);
        browser.session.push_str(session["sessionId"].as_str().expect("a session"));
        Some(browser)
    }

    /// Shows the page as on a screen of this size.
    pub(crate) fn screen(&self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", &size);
    }

    /// What the system says it prefers: `light` or `dark`.
    pub(crate) fn prefer(&self, scheme: &str) {
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.devtools("Emulation.setEmulatedMedia", &features);
    }

    pub(crate) fn open(&self, address: &str) {
        self.command("/url", &json!({ "url": address }));
        // On a busy machine the command may return before all of a long page is there.
        self.wait_for("document.readyState === 'complete'");
    }

    /// The value of a JavaScript expression in the page.
    pub(crate) fn eval(&self, expression: &str) -> Value {
        self.command("/execute/sync", &json!({ "script": format!("return ({expression})"), "args": [] }))
    }

    /// Waits until an expression is true.
    pub(crate) fn wait_for(&self, expression: &str) {
        assert!(self.becomes(expression), "still not true after a minute: {expression}");
    }

    /// Whether an expression is true within a minute.
    pub(crate) fn becomes(&self, expression: &str) -> bool {
        (0..1200).any(|_| {
            let is_so = self.eval(expression) == Value::Bool(true);
            if !is_so {
                std::thread::sleep(Duration::from_millis(50));
            }
            is_so
        })
    }

    /// Presses and releases a key.
    pub(crate) fn press(&self, key: &str) {
        let actions = json!([{ "type": "keyDown", "value": key }, { "type": "keyUp", "value": key }]);
        self.command(
            "/actions",
            &json!({ "actions": [{ "type": "key", "id": "keys", "actions": actions }] }),
        );
    }

    /// Messages of level SEVERE in the page's console since the last call.
    pub(crate) fn console_errors(&self) -> Vec<String> {
        let log = self.command("/se/log", &json!({ "type": "browser" }));
        let entries = log.as_array().cloned().unwrap_or_default();
        entries
            .iter()
            .filter(|entry| entry["level"] == "SEVERE")
            .map(|entry| entry["message"].to_string())
            .collect()
    }

    /// Saves the whole page as PNG, or as much of it as Chromium can draw at once.
    pub(crate) fn screenshot(&self, path: &Path) {
        let page = &self.devtools("Page.getLayoutMetrics", &json!({}))["cssContentSize"];
        let [width, height] = ["width", "height"].map(|side| page[side].as_f64().expect("a size"));
        let clip = json!({ "x": 0, "y": 0, "width": width, "height": height.min(LONGEST), "scale": 1 });
        let whole = json!({ "captureBeyondViewport": true, "clip": clip });
        let shot = self.devtools("Page.captureScreenshot", &whole);
        fs::create_dir_all(path.parent().expect("a file in a folder")).unwrap();
        let picture = shot["data"].as_str().expect("a picture");
        fs::write(path, BASE64_STANDARD.decode(picture).expect("base64")).unwrap();
    }

    fn devtools(&self, command: &str, parameters: &Value) -> Value {
        self.command("/goog/cdp/execute", &json!({ "cmd": command, "params": parameters }))
    }

    fn command(&self, path: &str, body: &Value) -> Value {
        self.call("POST", &format!("/session/{}{path}", self.session), body)
    }

    fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = if method == "POST" { body.to_string() } else { String::new() };
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("chromedriver listens");
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
        .expect("chromedriver takes a request");
        let mut answer = BufReader::new(stream);
        let mut length = 0;
        loop {
            let mut line = String::new();
            answer.read_line(&mut line).expect("chromedriver answers");
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().expect("a length");
            }
            if line.trim().is_empty() {
                break;
            }
        }
        let mut content = vec![0; length];
        answer.read_exact(&mut content).expect("chromedriver's whole answer");
        let mut answer: Value = serde_json::from_slice(&content).expect("chromedriver speaks JSON");
        assert!(answer["value"]["error"].is_null(), "{path}: {}", answer["value"]["message"]);
        answer["value"].take()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() && !std::thread::panicking() {
            self.call("DELETE", &format!("/session/{}", self.session), &Value::Null);
        }
        // Both may be gone already, which is what is wanted.
        let _ = self.driver.kill();
        let _ = self.driver.wait();
        let _ = fs::remove_dir_all(&self.profile);
    }
}
