//! A chat template in the place of a model's own.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

use super::Moment;
use super::template::Template;
use crate::Error;
use crate::Result;

/// The file that it lies in, in a model's folder and beside an adapter, as `transformers` and `peft` have it.
pub(crate) const FILE: &str = "chat_template.jinja";

/// One for models that have none: headings for who speaks, and the end-of-text token after each reply.
const PLAIN: (&str, &str) = ("plain", include_str!("plain.jinja"));

/// A template that somebody chose, and knows to be one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatTemplate(String);

impl ChatTemplate {
    /// `plain`, or a file.
    pub fn read(choice: &str) -> Result<Self> {
        let (name, plain) = PLAIN;
        if choice == name { Ok(Self(plain.to_owned())) } else { Self::from_file(Path::new(choice)) }
    }

    /// The one that was chosen; else the one that the adapter was trained with, where it was another than its model's.
    pub fn resolve(chosen: Option<&Self>, adapter: Option<&Path>) -> Result<Option<Self>> {
        let beside = adapter.map(|folder| folder.join(FILE)).filter(|path| path.is_file());
        match (chosen, beside) {
            (None, Some(path)) => Self::from_file(&path).map(Some),
            (chosen, _) => Ok(chosen.cloned()),
        }
    }

    fn from_file(path: &Path) -> Result<Self> {
        let source = std::fs::read_to_string(path).map_err(Error::io(path))?;
        Template::new(&source, [], Moment::default()).map_err(|what| Error::file(path, what))?;
        Ok(Self(source))
    }

    /// The file that a choice names, if it names one.
    pub fn file(choice: &str) -> Option<PathBuf> {
        (choice != PLAIN.0).then(|| choice.into())
    }

    /// As it is written.
    pub fn source(&self) -> &str {
        &self.0
    }

    /// SHA-256 of it.
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
