//! Downloads models from the Hugging Face hub into the cache folder that Python's `huggingface_hub` uses, so that each
//! finds what the other has downloaded.
//!
//! | environment variable | meaning | default |
//! |---|---|---|
//! | `HF_HOME` | folder of the cache and the token | `$XDG_CACHE_HOME/huggingface`, else `~/.cache/huggingface` |
//! | `HF_HUB_CACHE` | folder of models | `$HF_HOME/hub` |
//! | `HF_ENDPOINT` | address of the server | `https://huggingface.co` |
//! | `HF_TOKEN` | access to private and gated models | the content of `$HF_HOME/token` |
//! | `HF_HUB_OFFLINE` | 1: use the cache only | 0 |

use std::env;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use tokensieve_base::files::wait_for;
use tokensieve_base::http::{
    self, Agent, Body, RedirectAuthHeaders, RequestBuilder, Response, Secrets, header,
};
use tokensieve_data::{Progress, download, sha256_of};

use crate::Error;
use crate::Result;
use crate::error::MODEL;
use crate::text::is_further;
use crate::weights::safetensors::{INDEX, OTHERS_TOKENIZER, TEXT_FILES, WHOLE, is_complete, listed};

/// Timeout for a connection, and for the beginning of a response (choice).
const TIMEOUT: Duration = Duration::from_secs(20);

/// How many redirections are followed.
const REDIRECTS: u32 = 10;

/// `organisation/name`, with `@revision` for other than the newest one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Name<'a> {
    repository: &'a str,
    revision: &'a str,
}

impl<'a> Name<'a> {
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let (repository, revision) = text.split_once('@').unwrap_or((text, "main"));
        let (organisation, name) = repository.split_once('/')?;
        // The parts become parts of paths and addresses.
        let plain = |part: &str| {
            !part.is_empty()
                && !part.starts_with('.')
                && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        };
        [organisation, name, revision].into_iter().all(plain).then_some(Self { repository, revision })
    }

    /// The model's folder in the cache.
    fn folder(&self, cache: &Path) -> PathBuf {
        cache.join(format!("models--{}", self.repository.replace('/', "--")))
    }
}

/// A server, and the cache folder of its models. Without `Debug`: that would print the token.
#[derive(Clone)]
pub(super) struct Hub {
    endpoint: String,
    cache: PathBuf,
    token: Option<String>,
    offline: bool,
}

/// The server's description of a revision.
#[derive(Deserialize)]
struct Revision {
    sha: String,
    /// The model's name, which is another than the one asked for if it was renamed.
    id: Option<String>,
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
}

impl Hub {
    pub(super) fn from_env() -> Self {
        let set = |variable: &str| env::var(variable).ok().filter(|value| !value.trim().is_empty());
        let cache = set("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .or(set("HOME").map(|home| Path::new(&home).join(".cache")));
        let cache = cache.unwrap_or_else(env::temp_dir).join("huggingface");
        let home = set("HF_HOME").map_or(cache, PathBuf::from);
        let token = set("HF_TOKEN").or_else(|| fs::read_to_string(home.join("token")).ok());
        Self {
            endpoint: set("HF_ENDPOINT")
                .unwrap_or("https://huggingface.co".into())
                .trim_end_matches('/')
                .to_owned(),
            cache: set("HF_HUB_CACHE").map_or(home.join("hub"), PathBuf::from),
            token: token.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty()),
            // The words that huggingface_hub takes for yes.
            offline: set("HF_HUB_OFFLINE")
                .is_some_and(|value| ["1", "on", "yes", "true"].contains(&value.to_lowercase().as_str())),
        }
    }

    /// The folder of the model's files, downloaded as far as they are not cached.
    pub(super) fn fetch(&self, source: &str) -> Result<PathBuf> {
        let secrets = Secrets::new(&self.endpoint, self.token.as_deref());
        let wrong = |what: String| Error::setting(MODEL, format!("`{source}`: {}", secrets.hide(&what)));
        let Some(name) = Name::parse(source) else { return Err(wrong("not organisation/name".into())) };
        let folder = name.folder(&self.cache);
        let kept = Self::kept(&folder, name.revision);
        if self.offline {
            return kept
                .ok_or_else(|| wrong(format!("not in {}, and HF_HUB_OFFLINE is set", self.cache.display())));
        }
        let address = format!("{}/api/models/{}/revision/{}", self.endpoint, name.repository, name.revision);
        let asked = self.get(&address, None);
        let address = http::without_password(&address);
        let revision = match asked {
            Ok(body) => serde_json::from_reader::<_, Revision>(body.into_body().into_reader().take(1 << 24))
                .map_err(|error| wrong(format!("{address}: {error}")))?,
            Err(Failure::Refused(why)) => return Err(wrong(format!("{address}: {why}"))),
            Err(failure) => {
                let remedy = match failure {
                    Failure::Busy(_) => "try again later",
                    _ => "connect to the network",
                };
                return kept.ok_or_else(|| {
                    wrong(format!(
                        "{address}: {}; and the model is not in {}. To continue, {remedy}, or give the model's folder instead \
                         of its name",
                        failure.into_text(),
                        self.cache.display()
                    ))
                });
            }
        };
        if !is_hash(&revision.sha) {
            return Err(wrong(format!("{address}: `{}` is not a commit hash", revision.sha)));
        }
        let renamed = revision.id.as_deref().and_then(Name::parse);
        let repository = renamed.map_or(name.repository, |renamed| renamed.repository);
        let files = wanted(&revision).map_err(wrong)?;
        let snapshot = folder.join("snapshots").join(&revision.sha);
        // Of several processes one downloads, and the others find what it has.
        fs::create_dir_all(&folder).map_err(Error::io(&folder))?;
        let _held = wait_for(&folder.join(".lock"))?;
        let fetch = |file: &str| {
            if snapshot.join(file).exists() {
                return Ok(());
            }
            let address = format!("{}/{repository}/resolve/{}/{file}", self.endpoint, revision.sha);
            let fetched = self.download(&address, &folder, &revision.sha, file);
            fetched.map_err(|why| wrong(format!("{file}: {why}")))
        };
        files.iter().try_for_each(|file| fetch(file))?;
        if files.contains(&INDEX) {
            listed(&snapshot)?.iter().try_for_each(|part| fetch(part))?;
        }
        let reference = folder.join("refs").join(name.revision);
        let written =
            fs::create_dir_all(folder.join("refs")).and_then(|()| fs::write(&reference, &revision.sha));
        written.map_err(Error::io(&reference))?;
        Ok(snapshot)
    }

    /// The snapshot in the cache, if it is a complete model.
    fn kept(folder: &Path, revision: &str) -> Option<PathBuf> {
        let commit = fs::read_to_string(folder.join("refs").join(revision));
        let commit = commit.map_or_else(|_| revision.to_owned(), |commit| commit.trim().to_owned());
        let snapshot = folder.join("snapshots").join(commit);
        (snapshot.join("config.json").exists() && is_complete(&snapshot)).then_some(snapshot)
    }

    /// Downloads one file into the model's folder: its content as a blob named by its hash, and a link to that in the
    /// snapshot.
    fn download(&self, address: &str, folder: &Path, commit: &str, file: &str) -> Result<(), String> {
        let (blobs, link) = (folder.join("blobs"), folder.join("snapshots").join(commit).join(file));
        for needed in [Some(blobs.as_path()), link.parent()].into_iter().flatten() {
            fs::create_dir_all(needed).map_err(|error| format!("{}: {error}", needed.display()))?;
        }
        let etag = self.etag(address)?;
        let blob = blobs.join(&etag);
        if !blob.exists() {
            self.download_blob(address, &blob, &etag, file)?;
        }
        // A dangling link would be in the way.
        let _ = fs::remove_file(&link);
        let up = "../".repeat(2 + file.matches('/').count());
        symlink(Path::new(&up).join("blobs").join(&etag), &link)
            .map_err(|error| format!("{}: {error}", link.display()))
    }

    /// The hash of the file's content: SHA-256 for large files, git's hash for others.
    fn etag(&self, address: &str) -> Result<String, String> {
        let mut address = address.to_owned();
        for _ in 0..REDIRECTS {
            let request = Self::agent(0).head(&address);
            let response = self.authorised(request).call().map_err(|error| error.to_string())?;
            if response.status().is_client_error() || response.status().is_server_error() {
                return Err(refusal(response.status().as_u16()));
            }
            let text = |name: &str| Some(response.headers().get(name)?.to_str().ok()?.to_owned());
            if let Some(etag) = text("x-linked-etag").or(text("etag")) {
                let etag = etag.trim_start_matches("W/").trim_matches('"').to_owned();
                return if is_hash(&etag) {
                    Ok(etag)
                } else {
                    Err(format!("the etag `{etag}` is not a hash"))
                };
            }
            // A mirror may send on to another path. Another host is where the content lies, and says less of it.
            let Some(next) = text("location").and_then(|to| within_host(&address, &to)) else { break };
            address = next;
        }
        Err("the server gives no etag".to_owned())
    }

    fn download_blob(&self, address: &str, blob: &Path, etag: &str, file: &str) -> Result<(), String> {
        let part = blob.with_extension("incomplete");
        download(
            |from| self.get(address, from).map_err(Failure::into_text),
            &part,
            u64::MAX,
            &Progress::new(file, false),
        )
        .map_err(|failure| failure.to_string())?;
        if etag.len() == 64 {
            let found = sha256_of(&part).map_err(|error| error.to_string())?;
            if found != etag {
                let _ = fs::remove_file(&part);
                return Err(format!("the content has SHA-256 {found}, expected {etag}"));
            }
        }
        fs::rename(&part, blob).map_err(|error| format!("{}: {error}", blob.display()))
    }

    fn get(&self, address: &str, from: Option<u64>) -> Result<Response<Body>, Failure> {
        let mut request = self.authorised(Self::agent(REDIRECTS).get(address));
        if let Some(from) = from {
            request = request.header(header::RANGE, format!("bytes={from}-"));
        }
        let response = request.call().map_err(|error| Failure::Unreachable(error.to_string()))?;
        match response.status().as_u16() {
            200 | 206 => Ok(response),
            // Nothing lies beyond what is there already.
            416 if from.is_some() => Ok(response),
            // Too many requests pass, as what the server itself lacks does.
            status @ (408 | 429 | 500..) => Err(Failure::Busy(refusal(status))),
            status => Err(Failure::Refused(refusal(status))),
        }
    }

    fn authorised<T>(&self, request: RequestBuilder<T>) -> RequestBuilder<T> {
        match &self.token {
            Some(token) => request.header(header::AUTHORIZATION, format!("Bearer {token}")),
            None => request,
        }
    }

    /// The token is sent to the server itself only: redirections to another host are followed without it.
    fn agent(redirects: u32) -> Agent {
        http::agent()
            .timeout_connect(Some(TIMEOUT))
            .timeout_recv_response(Some(TIMEOUT))
            .redirect_auth_headers(RedirectAuthHeaders::SameHost)
            .max_redirects(redirects)
            .max_redirects_will_error(false)
            .build()
            .into()
    }
}

/// The address that a redirection leads to, if that is on the same server.
fn within_host(from: &str, to: &str) -> Option<String> {
    let (scheme, rest) = from.split_once("://")?;
    let server = format!("{scheme}://{}", rest.split('/').next()?);
    if to.starts_with('/') && !to.starts_with("//") {
        return Some(server + to);
    }
    to.strip_prefix(&server)?.starts_with('/').then(|| to.to_owned())
}

/// Why a request failed.
enum Failure {
    Unreachable(String),
    /// It may succeed later.
    Busy(String),
    Refused(String),
}

impl Failure {
    fn into_text(self) -> String {
        let (Self::Unreachable(why) | Self::Busy(why) | Self::Refused(why)) = self;
        why
    }
}

fn refusal(status: u16) -> String {
    match status {
        401 | 403 => "the server denies access: the name is wrong, or the model is private or gated; accept its terms on its \
            page and set HF_TOKEN"
            .into(),
        404 => "there is no such model or revision".into(),
        status => format!("the server answered {status}"),
    }
}

/// The files of a revision that are needed, but for those that an index lists.
fn wanted(revision: &Revision) -> Result<Vec<&str>, String> {
    let names = || revision.siblings.iter().map(|sibling| sibling.rfilename.as_str());
    let Some(weights) = [WHOLE, INDEX].into_iter().find(|file| names().any(|name| name == *file)) else {
        return Err(format!("has neither {WHOLE} nor {INDEX}; other formats of weights are not supported"));
    };
    // The weights come last, so that errors in the small files show early. What other programs read is for copies.
    let is_text = |name: &&str| {
        ["config.json", OTHERS_TOKENIZER].contains(name) || TEXT_FILES.contains(name) || is_further(name)
    };
    let texts = names().filter(is_text);
    Ok(texts.chain([weights]).collect())
}

fn is_hash(text: &str) -> bool {
    (40..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests;
