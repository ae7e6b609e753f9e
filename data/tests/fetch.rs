//! Fetching from a mirror folder and from a stub server on loopback: what is accepted, what is rejected, and the messages.
//! Needs nothing but this machine.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::{Compression, write::GzEncoder};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokensieve_base::testing::{Answer, Request, Server};
use tokensieve_data::{Catalogue, Error, Folders};

fn sha256(content: &[u8]) -> String {
    format!("{:x}", Sha256::digest(content))
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// 300 kB that gzip cannot make much smaller.
fn content() -> Vec<u8> {
    let mut state = 1_u32;
    (0..300_000)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect()
}

/// An empty cache and an empty mirror.
struct Machine {
    folder: TempDir,
}

impl Machine {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("mirror")).unwrap();
        Self { folder }
    }

    fn mirror(&self, name: &str) -> PathBuf {
        self.folder.path().join("mirror").join(name)
    }

    fn cached(&self, name: &str) -> PathBuf {
        self.folder.path().join("cache/data").join(name)
    }

    fn catalogue(&self, text: &str) -> Catalogue {
        let folders = Folders {
            cache: self.folder.path().join("cache"),
            mirror: Some(self.folder.path().join("mirror")),
        };
        Catalogue::parse(text, folders).unwrap().quiet()
    }

    /// Names of what lies in the set's folder besides the files, stamps and locks that belong there.
    fn leftovers(&self, set: &str) -> Vec<String> {
        let names = fs::read_dir(self.cached(set)).unwrap().map(|entry| entry.unwrap().file_name());
        let names = names.map(|name| name.into_string().unwrap()).filter(|name| name.starts_with('.'));
        names.filter(|name| !is(name, "checked") && !is(name, "lock")).collect()
    }
}

fn is(name: &str, extension: &str) -> bool {
    Path::new(name).extension().is_some_and(|found| found == extension)
}

/// A catalogue of one set `s` with one file `f`.
fn one_file(content: &[u8], sources: &str) -> String {
    format!(
        "[set.s]\ntitle = 'Sample'\nlicence = 'MIT'\n[set.s.file.f]\nname = 'f.bin'\nsha256 = '{}'\nbytes = {}\nsources = [{sources}]\n",
        sha256(content),
        content.len()
    )
}

#[test]
fn a_compressed_mirror_file_is_kept_uncompressed_and_not_read_twice() {
    let (machine, content) = (Machine::new(), content());
    let zipped = gzip(&content);
    fs::write(machine.mirror("f.bin.gz"), &zipped).unwrap();
    let source = format!("{{ mirror = 'f.bin.gz', stored = '{}' }}", sha256(&zipped));
    let catalogue = machine.catalogue(&one_file(&content, &source));
    let files = catalogue.fetch("s").unwrap();
    assert_eq!(fs::read(files.path("f")).unwrap(), content);
    assert_eq!(files.substitution(), None);
    assert!(catalogue.is_cached("s").unwrap());
    assert!(machine.leftovers("s").is_empty());
    // Neither the mirror nor the content is needed once the stamp stands.
    fs::remove_file(machine.mirror("f.bin.gz")).unwrap();
    assert_eq!(catalogue.fetch("s").unwrap().hash(), files.hash());
}

#[test]
fn a_damaged_cache_file_is_noticed_and_fetched_again() {
    let (machine, content) = (Machine::new(), content());
    fs::write(machine.mirror("f.bin"), &content).unwrap();
    let catalogue = machine.catalogue(&one_file(&content, "{ mirror = 'f.bin' }"));
    catalogue.fetch("s").unwrap();
    fs::write(machine.cached("s/f.bin"), b"damaged").unwrap();
    assert!(!catalogue.is_cached("s").unwrap());
    assert_eq!(catalogue.verify("s").unwrap(), [("f".to_owned(), false)]);
    assert_eq!(fs::read(catalogue.fetch("s").unwrap().path("f")).unwrap(), content);
}

/// As a disk or a restored backup may leave it.
#[test]
fn damage_that_size_and_time_hide_is_mended_once_it_is_verified() {
    let (machine, content) = (Machine::new(), content());
    fs::write(machine.mirror("f.bin"), &content).unwrap();
    let catalogue = machine.catalogue(&one_file(&content, "{ mirror = 'f.bin' }"));
    catalogue.fetch("s").unwrap();
    let cached = machine.cached("s/f.bin");
    let time = fs::metadata(&cached).unwrap().modified().unwrap();
    let mut damaged = content.clone();
    damaged[0] ^= 1;
    fs::write(&cached, damaged).unwrap();
    fs::File::options().append(true).open(&cached).unwrap().set_modified(time).unwrap();
    assert!(catalogue.is_cached("s").unwrap());
    assert_eq!(catalogue.verify("s").unwrap(), [("f".to_owned(), false)]);
    assert_eq!(fs::read(catalogue.fetch("s").unwrap().path("f")).unwrap(), content);
}

#[test]
fn wrong_truncated_and_overlong_files_are_refused_with_the_reason() {
    let content = content();
    let mut wrong = content.clone();
    wrong[1000] ^= 1;
    let mut longer = content.clone();
    longer.push(0);
    let zipped = gzip(&content);
    let mut spoilt = zipped.clone();
    spoilt[zipped.len() / 2] ^= 0xff;
    for (name, bytes, reason) in [
        ("f.bin", &wrong, "its content has sha256"),
        ("f.bin", &content[..9000].to_vec(), "truncated: 9000 of 300000 bytes"),
        ("f.bin", &longer, "longer than its 300000 bytes"),
        ("f.bin.gz", &gzip(&wrong), "its content has sha256"),
        ("f.bin.gz", &zipped[..zipped.len() / 2].to_vec(), "truncated: the compressed file ends"),
        ("f.bin.gz", &content, "damaged: "),
    ] {
        let machine = Machine::new();
        fs::write(machine.mirror(name), bytes).unwrap();
        let catalogue = machine.catalogue(&one_file(&content, &format!("{{ mirror = '{name}' }}")));
        let error = catalogue.fetch("s").unwrap_err().to_string();
        assert!(error.contains(reason), "{reason}: {error}");
        assert!(!machine.cached("s/f.bin").exists());
        assert!(machine.leftovers("s").is_empty());
    }
    // What exactly deflate makes of a flipped byte is its own affair; that the file is refused is not.
    let machine = Machine::new();
    fs::write(machine.mirror("f.bin.gz"), &spoilt).unwrap();
    assert!(machine.catalogue(&one_file(&content, "{ mirror = 'f.bin.gz' }")).fetch("s").is_err());
}

#[test]
fn where_nothing_is_reachable_the_error_lists_what_was_tried_and_what_helps() {
    let machine = Machine::new();
    let server = Server::start(|_, _| Answer::status("404 Not Found"));
    let closed = "http://127.0.0.1:1/f.bin";
    let sources =
        format!("{{ mirror = 'sub/f.bin' }}, {{ url = '{}' }}, {{ url = '{closed}' }}", server.url("/f.bin"));
    let error = machine.catalogue(&one_file(b"x", &sources)).fetch("s").unwrap_err();
    let Error::Unobtainable(missing) = &error else { panic!("{error}") };
    assert_eq!(missing.attempts.len(), 3);
    let text = error.to_string();
    for part in [
        "cannot get `f` of data set `s` (Sample, 0.0 kB uncompressed)",
        "mirror/sub/f.bin: No such file",
        "/f.bin: the server answered 404 Not Found",
        closed,
        "TOKENSIEVE_MIRROR",
        "cache/data/s/f.bin",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(error.brief().lines().count(), 1);
}

#[test]
fn a_download_goes_on_where_it_broke_off() {
    let (machine, content) = (Machine::new(), content());
    let body = content.clone();
    // The first answer breaks off half-way, the second continues.
    let server = Server::start(move |_, request| match request.range_start() {
        None => Answer::ok(&body).cut_after(body.len() / 2),
        Some(start) => Answer::partial(&body, start),
    });
    let catalogue =
        machine.catalogue(&one_file(&content, &format!("{{ url = '{}' }}", server.url("/f.bin"))));
    assert_eq!(fs::read(catalogue.fetch("s").unwrap().path("f")).unwrap(), content);
    let starts: Vec<_> = server.requests().iter().map(Request::range_start).collect();
    assert_eq!((starts.len(), starts[0]), (2, None));
    assert!(starts[1].is_some_and(|start| start > 0));
    assert!(machine.leftovers("s").is_empty());
}

#[test]
fn an_interrupted_fetch_is_continued_by_the_next_one() {
    let (machine, content) = (Machine::new(), content());
    let body = content.clone();
    let broken = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let state = broken.clone();
    let server = Server::start(move |_, request| {
        let answer = match request.range_start() {
            None => Answer::ok(&body),
            Some(start) => Answer::partial(&body, start),
        };
        if state.load(std::sync::atomic::Ordering::SeqCst) { answer.cut_after(50_000) } else { answer }
    });
    let catalogue =
        machine.catalogue(&one_file(&content, &format!("{{ url = '{}' }}", server.url("/f.bin"))));
    let error = catalogue.fetch("s").unwrap_err().to_string();
    assert!(error.contains("goes on from there"), "{error}");
    broken.store(false, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(fs::read(catalogue.fetch("s").unwrap().path("f")).unwrap(), content);
    assert!(server.requests().last().unwrap().range_start().is_some_and(|start| start > 50_000));
}

#[test]
fn a_server_without_ranges_is_read_from_the_start() {
    let (machine, content) = (Machine::new(), content());
    let body = content.clone();
    let first = std::sync::atomic::AtomicBool::new(true);
    let server = Server::start(move |_, _| {
        let answer = Answer::ok(&body);
        if first.swap(false, std::sync::atomic::Ordering::SeqCst) { answer.cut_after(1000) } else { answer }
    });
    let catalogue =
        machine.catalogue(&one_file(&content, &format!("{{ url = '{}' }}", server.url("/f.bin"))));
    assert_eq!(fs::read(catalogue.fetch("s").unwrap().path("f")).unwrap(), content);
}

#[test]
fn a_compressed_download_with_wrong_content_leaves_nothing_and_the_next_source_is_tried() {
    let (machine, content) = (Machine::new(), content());
    let (good, bad) = (gzip(&content), gzip(b"another file"));
    let server =
        Server::start(move |_, request| Answer::ok(if request.path == "/good.gz" { &good } else { &bad }));
    let sources =
        format!("{{ url = '{}' }}, {{ url = '{}' }}", server.url("/bad.gz"), server.url("/good.gz"));
    let catalogue = machine.catalogue(&one_file(&content, &sources));
    assert_eq!(fs::read(catalogue.fetch("s").unwrap().path("f")).unwrap(), content);
    assert!(machine.leftovers("s").is_empty());
}

#[test]
fn a_download_that_is_longer_than_the_file_is_given_up() {
    let (machine, content) = (Machine::new(), content());
    let longer = [content.clone(), content.clone()].concat();
    for zipped in [false, true] {
        let (name, body) = if zipped {
            ("f.gz", [longer.clone(), vec![0; 2 << 20]].concat())
        } else {
            ("f", longer.clone())
        };
        let server = Server::start(move |_, _| Answer::ok(&body));
        let source = format!("{{ url = '{}' }}", server.url(&format!("/{name}")));
        let error = machine.catalogue(&one_file(&content, &source)).fetch("s").unwrap_err().to_string();
        assert!(error.contains("what comes from there is longer than"), "{error}");
        assert!(machine.leftovers("s").is_empty());
    }
}

/// Another set is no remedy for it, nor is it said that the set is not available.
#[test]
fn a_cache_that_cannot_be_written_is_named_and_no_fallback_taken() {
    let machine = Machine::new();
    for name in ["a", "b"] {
        fs::write(machine.mirror(name), name).unwrap();
    }
    let set = |name: &str| {
        format!(
            "[set.{name}]\ntitle='T'\nlicence='MIT'\n{}[set.{name}.file.f]\nname='f'\nsha256='{}'\nbytes=1\nsources=[{{mirror='{name}'}}]\n",
            if name == "a" { "fallback='b'\n" } else { "" },
            sha256(name.as_bytes())
        )
    };
    let catalogue = machine.catalogue(&(set("a") + &set("b")));
    catalogue.fetch("b").unwrap();
    fs::create_dir_all(machine.cached("a/.f.new/in-the-way")).unwrap();
    let error = catalogue.fetch("a").unwrap_err();
    assert!(matches!(&error, Error::Cache { path, .. } if path.ends_with(".f.new")), "{error}");
}

#[test]
fn an_unreachable_set_is_replaced_by_its_fallback_and_reported() {
    let machine = Machine::new();
    fs::write(machine.mirror("b"), b"bb").unwrap();
    let text = format!(
        "[set.a]\ntitle='A'\nlicence='MIT'\nfallback='b'\n[set.a.file.f]\nname='f'\nsha256='{}'\nbytes=2\nsources=[{{mirror='a'}}]\n\
         [set.b]\ntitle='B'\nlicence='MIT'\n[set.b.file.f]\nname='f'\nsha256='{}'\nbytes=2\nsources=[{{mirror='b'}}]\n",
        sha256(b"aa"),
        sha256(b"bb")
    );
    let catalogue = machine.catalogue(&text);
    let files = catalogue.fetch("a").unwrap();
    assert_eq!(files.name(), "b");
    assert_eq!(fs::read(files.path("f")).unwrap(), b"bb");
    let instead = files.substitution().unwrap();
    assert_eq!((instead.asked.as_str(), instead.title.as_str()), ("a", "A"));
    assert!(instead.reason.contains("`f` of `a`"), "{}", instead.reason);
    assert!(catalogue.fetch_exactly("a").is_err());

    // Once the set itself is there, it is used, and its results cannot be taken for the other's.
    let other = files.hash().to_owned();
    fs::write(machine.mirror("a"), b"aa").unwrap();
    let files = catalogue.fetch("a").unwrap();
    assert_eq!((files.name(), files.substitution()), ("a", None));
    assert_ne!(files.hash(), other);

    // Neither is available: the error explains both.
    let bare = Machine::new();
    let error = bare.catalogue(&text).fetch("a").unwrap_err().to_string();
    assert!(error.contains("data set `a`") && error.contains("data set `b`"), "{error}");
}

#[test]
fn many_at_once_download_once() {
    let (machine, content) = (Machine::new(), content());
    let body = content.clone();
    let server = Server::start(move |_, _| {
        std::thread::sleep(std::time::Duration::from_millis(100));
        Answer::ok(&body)
    });
    let catalogue =
        machine.catalogue(&one_file(&content, &format!("{{ url = '{}' }}", server.url("/f.bin"))));
    std::thread::scope(|scope| {
        let fetches: Vec<_> = (0..8).map(|_| scope.spawn(|| catalogue.fetch("s").unwrap())).collect();
        for fetch in fetches {
            assert_eq!(fs::read(fetch.join().unwrap().path("f")).unwrap(), content);
        }
    });
    assert_eq!(server.requests().len(), 1);
}
