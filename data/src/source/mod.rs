//! The kinds of source a file may come from. Each provides the file as it is stored there; the store unpacks and
//! checks it.

mod http;
mod package;
mod provided;

use std::fs;
use std::path::{Component, Path};

use provided::Provided;
use serde::Deserialize;

use crate::error::Failure;
use crate::folders::Folders;
use crate::progress::Progress;
use crate::sha256::is_sha256;

/// A source of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The kind, with its address.
    pub(crate) kind: Kind,
    /// SHA-256 of the file as it is stored there, where that differs from its content's.
    pub(crate) stored: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Path below the mirror folder.
    Mirror(String),
    /// A file of a Debian package.
    Debian { package: String, path: String },
    /// A wheel of the Python package index, whole or one member of it.
    Pypi { requirement: String, platform: Option<String>, member: Option<String> },
    /// An http or https address.
    Url(String),
}

/// A source as written in `data.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawSource {
    mirror: Option<String>,
    debian: Option<String>,
    path: Option<String>,
    pypi: Option<String>,
    platform: Option<String>,
    member: Option<String>,
    url: Option<String>,
    stored: Option<String>,
}

impl RawSource {
    /// The source, if exactly one kind is named and every key belongs to it.
    pub(crate) fn check(self) -> Result<Source, String> {
        if self.debian.is_some() != self.path.is_some() {
            return Err("debian = PACKAGE and path = FILE belong together".into());
        }
        if self.pypi.is_none() && (self.platform.is_some() || self.member.is_some()) {
            return Err("platform and member belong to pypi".into());
        }
        if self.stored.as_deref().is_some_and(|hash| !is_sha256(hash)) {
            return Err("stored must be 64 lower-case hex digits".into());
        }
        let kind = match (self.mirror, self.debian.zip(self.path), self.pypi, self.url) {
            (Some(path), None, None, None) if !stays_below(&path) => {
                return Err(format!("`{path}` does not stay below the mirror folder"));
            }
            (Some(path), None, None, None) => Kind::Mirror(path),
            (None, Some((_, path)), None, None) if !path.starts_with('/') || !stays_below(&path[1..]) => {
                return Err(format!("`{path}` is not an absolute path"));
            }
            (None, Some((package, path)), None, None) => Kind::Debian { package, path },
            (None, None, Some(requirement), None) => {
                Kind::Pypi { requirement, platform: self.platform, member: self.member }
            }
            (None, None, None, Some(url)) if !url.starts_with("https://") && !url.starts_with("http://") => {
                return Err(format!("`{url}` is neither an http nor an https address"));
            }
            (None, None, None, Some(url)) => Kind::Url(url),
            _ => return Err("a source names exactly one of mirror, debian, pypi, url".into()),
        };
        Ok(Source { kind, stored: self.stored })
    }
}

fn stays_below(path: &str) -> bool {
    !path.is_empty() && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
}

impl Source {
    /// The source, as messages name it.
    pub fn describe(&self, folders: &Folders) -> String {
        match &self.kind {
            Kind::Mirror(path) => match &folders.mirror {
                Some(folder) => format!("mirror {}", folder.join(path).display()),
                None => format!("mirror folder (for {path})"),
            },
            Kind::Debian { package, .. } => format!("Debian package {package}"),
            Kind::Pypi { requirement, .. } => format!("Python package {requirement}"),
            Kind::Url(url) => url.clone(),
        }
    }

    /// The path below a mirror folder, if this is a mirror.
    pub(crate) fn mirrored(&self) -> Option<&str> {
        if let Kind::Mirror(path) = &self.kind { Some(path) } else { None }
    }

    /// Name of the file as it is stored there; a name that ends in `.gz` means compressed.
    pub(crate) fn stored_name(&self) -> &str {
        match &self.kind {
            Kind::Mirror(path) | Kind::Debian { path, .. } => path,
            Kind::Pypi { member, .. } => member.as_deref().unwrap_or_default(),
            Kind::Url(url) => url.split(['?', '#']).next().unwrap_or_default(),
        }
    }

    /// Whether the source would probably succeed: the file exists, the package's client is installed, the server answers.
    pub(crate) fn answers(&self, folders: &Folders) -> bool {
        match &self.kind {
            Kind::Mirror(path) => folders.mirror.as_ref().is_some_and(|folder| folder.join(path).is_file()),
            Kind::Debian { path, .. } => Path::new(path).is_file() || package::has_apt(),
            Kind::Pypi { .. } => package::has_pip(),
            Kind::Url(url) => http::answers(url),
        }
    }

    /// Makes the file available on this machine. `scratch` is a path in the cache for this file and source; an
    /// interrupted download there is continued. `sha256`: of the file as it is stored there, where that is known; it has
    /// `most` bytes at most.
    pub(crate) fn provide(
        &self,
        sha256: Option<&str>,
        most: u64,
        folders: &Folders,
        scratch: &Path,
        bar: &Progress,
    ) -> Result<Provided, Failure> {
        let source = |reason: &str| Failure::Source(reason.to_owned());
        match &self.kind {
            Kind::Mirror(path) => {
                let path =
                    folders.mirror.as_ref().ok_or_else(|| source("no mirror folder is set"))?.join(path);
                let about = fs::metadata(&path).map_err(|error| error.to_string())?;
                if about.is_file() { Ok(Provided::in_place(path)) } else { Err(source("not a file")) }
            }
            Kind::Debian { package, path } => package::debian(package, path, sha256, folders, scratch, bar),
            Kind::Pypi { requirement, platform, member } => {
                let wheel = package::Wheel {
                    requirement,
                    platform: platform.as_deref(),
                    member: member.as_deref(),
                    sha256: self.stored.as_deref(),
                };
                wheel.provide(scratch, most, bar)
            }
            Kind::Url(url) => {
                http::fetch(url, scratch, most, bar)?;
                Ok(Provided { path: scratch.to_owned(), temporary: Some(scratch.to_owned()) })
            }
        }
    }
}
