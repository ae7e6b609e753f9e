//! A chat template chosen by the user instead of the model's own.

use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use sha2::{Digest as _, Sha256};
use tokensieve_base::files::read_text;

use super::Moment;
use super::template::Template;
use crate::Error;
use crate::Result;

/// Name of the template's file in a model's folder and beside an adapter, as in `transformers` and `peft`.
pub(crate) const FILE: &str = "chat_template.jinja";

/// Name of the folder of a model's further templates, each in a file of its name, as in `transformers`.
const FURTHER: &str = "additional_chat_templates";

/// Path of the one for conversations with tools.
pub(super) const TOOL_USE: &str = "additional_chat_templates/tool_use.jinja";

/// Whether a path within a model's folder is that of a further template.
pub(crate) fn is_further(path: &str) -> bool {
    let file = path.strip_prefix(FURTHER).and_then(|rest| rest.strip_prefix('/'));
    file.and_then(|file| file.strip_suffix(".jinja")).is_some_and(|name| !name.contains('/'))
}

/// The paths of the further templates within a model's folder.
pub(crate) fn further(folder: &Path) -> Result<Vec<String>> {
    let path = folder.join(FURTHER);
    if !path.is_dir() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(&path).map_err(Error::io(&path))? {
        let name = entry.map_err(Error::io(&path))?.file_name();
        found.push(format!("{FURTHER}/{}", name.to_string_lossy()));
    }
    found.retain(|path| is_further(path));
    Ok(found)
}

/// Bytes of the largest template (choice: those of today have 10,000).
const LARGEST: u64 = 1 << 20;

/// A template for models that have none: a heading for each role, and the end-of-text token after each reply.
const PLAIN: (&str, &str) = ("plain", include_str!("plain.jinja"));

/// The source of a chosen template, checked to compile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatTemplate(String);

impl ChatTemplate {
    /// Reads a choice: `plain`, or the path of a file.
    pub fn read(choice: &str) -> Result<Self> {
        let (name, plain) = PLAIN;
        if choice == name { Ok(Self(plain.to_owned())) } else { Self::from_file(Path::new(choice)) }
    }

    /// The chosen template; without a choice the one that lies beside the adapter, because the adapter was trained
    /// with a template other than its model's own.
    pub fn resolve(chosen: Option<&Self>, adapter: Option<&Path>) -> Result<Option<Self>> {
        let beside = adapter.map(|folder| folder.join(FILE)).filter(|path| path.is_file());
        match (chosen, beside) {
            (None, Some(path)) => Self::from_file(&path).map(Some),
            (chosen, _) => Ok(chosen.cloned()),
        }
    }

    fn from_file(path: &Path) -> Result<Self> {
        let source = read_text(path, LARGEST)?;
        Template::new(&source, [], Moment::default()).map_err(|what| Error::file(path, what))?;
        Ok(Self(source))
    }

    /// The path that a choice names; `None` for `plain`.
    pub fn file(choice: &str) -> Option<PathBuf> {
        (choice != PLAIN.0).then(|| choice.into())
    }

    /// The Jinja source.
    pub fn source(&self) -> &str {
        &self.0
    }

    /// SHA-256 of the source.
    pub fn hash(&self) -> String {
        format!("{:x}", Sha256::digest(&self.0))
    }
}

impl FromStr for ChatTemplate {
    type Err = Error;

    fn from_str(choice: &str) -> Result<Self> {
        Self::read(choice)
    }
}
