//! `tokensieve show`: documents as the model gets them, token by token.

mod paint;
mod uncertain;

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::uncertainty::Settings;
use paint::Paint;
use tokensieve_documents::estimates::{DocumentRecord, Lines};
use tokensieve_documents::{DataSet, DataSource, Format};
use tokensieve_model::Document;
use tokensieve_model::text::Tokenizer;
use uncertain::{By, View};

/// Bad rows that are listed (choice).
const LISTED: usize = 20;

/// Said where there is nothing to colour.
const NO_MEASURE: &str = "no token of the documents shown has such a measure: with --passes 0 there are --by loss, entropy \
    and selected alone, and without a response there is none";

/// What to show, and how.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// A file (JSON lines, a JSON array, Parquet), or a data set by name: gsm8k, gsm8k/test
    #[arg(required_unless_present = "uncertainty")]
    data: Option<String>,
    /// How many documents
    #[arg(short, default_value_t = 3)]
    n: usize,
    /// How rows are written: messages, sharegpt, alpaca, gsm8k, prompt-completion, text; found by their keys if not given
    #[arg(long)]
    format: Option<Format>,
    /// Which file of a named data set; train if not given
    #[arg(long)]
    split: Option<String>,
    /// Reads the whole set, leaves out bad rows and lists them
    #[arg(long)]
    skip_bad: bool,
    /// No colours: [prompt] and {response} in brackets, from which the exact text can be had back
    #[arg(long)]
    plain: bool,
    /// Colours the response by how uncertain the model is: of a file of `tokensieve uncertainty`, or computed now.
    /// Without colours, a table of the numbers
    #[arg(long, value_name = "FILE.jsonl", num_args = 0..=1)]
    #[expect(clippy::option_option, reason = "clap's way to say: a flag with or without a value")]
    uncertainty: Option<Option<PathBuf>>,
    /// What the colours stand for
    #[arg(long, value_enum, default_value_t = By::Epistemic)]
    by: By,
    /// With --by selected: so many per cent of the tokens shown, those of the largest loss
    #[arg(long, default_value_t = 25.0, value_parser = per_cent)]
    keep: f64,
    #[command(flatten)]
    settings: Settings,
}

impl Arguments {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let paint = if self.plain { Paint::Plain } else { Paint::of_terminal(io::stdout().is_terminal()) };
        let text = match &self.uncertainty {
            None => self.documents(paint)?,
            Some(file) => {
                let records = match file {
                    Some(file) => self.recorded(file)?,
                    None => self.computed()?,
                };
                let view = View::new(&records, self.by, self.keep);
                view.context(NO_MEASURE)?.told(paint)
            }
        };
        match io::stdout().write_all(text.as_bytes()) {
            // Whoever reads has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            outcome => Ok(outcome?),
        }
    }

    fn documents(&self, paint: Paint) -> anyhow::Result<String> {
        let tokenizer = self.settings.tokenizer()?;
        let set = tokensieve_documents::load(&self.source(), &tokenizer)?;
        Ok(told(&set, &tokenizer, self.n, paint)?)
    }

    /// The first documents of a file of estimates.
    fn recorded(&self, file: &Path) -> anyhow::Result<Vec<DocumentRecord>> {
        let mut lines = Lines::open(file)?;
        let mut records = Vec::new();
        while records.len() < self.n {
            let Some(record) = lines.next_document()? else { break };
            records.push(record);
        }
        if records.is_empty() && self.n > 0 {
            let what = "holds no document yet: the command that was stopped goes on when it is given again";
            return Err(tokensieve_model::Error::file(file, what).into());
        }
        Ok(records)
    }

    fn computed(&self) -> anyhow::Result<Vec<DocumentRecord>> {
        self.data.as_ref().context("name a data set, or a file of estimates after --uncertainty")?;
        let mut loaded = self.settings.load()?;
        let set = tokensieve_documents::load(&self.source(), &loaded.tokenizer)?;
        let documents: Vec<&Document> = set.documents.iter().take(self.n).collect();
        let mut records = Vec::new();
        loaded.records(&documents, 0, &mut |record| {
            records.push(record);
            Ok(())
        })?;
        Ok(records)
    }

    fn source(&self) -> DataSource {
        DataSource {
            split: self.split.clone(),
            format: self.format,
            skip_bad: self.skip_bad,
            // Bad rows further on do not matter where nobody asked for them.
            limit: (!self.skip_bad).then_some(self.n),
            ..DataSource::new(self.data.as_deref().unwrap_or_default())
        }
    }
}

/// A share of a whole.
fn per_cent(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number| (0.0..=100.0).contains(number));
    number.ok_or_else(|| "a number from 0 to 100 is wanted".to_owned())
}

/// All that is printed.
fn told(set: &DataSet, tokenizer: &Tokenizer, n: usize, paint: Paint) -> tokensieve_model::Result<String> {
    let mut lines = Vec::new();
    if let Some(substitution) = &set.substitution {
        lines.push(format!("note: {substitution}"));
    }
    for document in set.documents.iter().take(n) {
        lines.push(paint.heading(document));
        lines.push(paint.document(document, tokenizer)?);
        lines.push(String::new());
    }
    let tokens: usize = set.documents.iter().map(|document| document.tokens.len()).sum();
    let response: usize = set.documents.iter().map(tokensieve_model::Document::response_tokens).sum();
    lines.push(format!(
        "{} documents of {} rows read: {} prompt and {response} response tokens",
        set.documents.len(),
        set.rows,
        tokens - response,
    ));
    if !set.skipped.is_empty() {
        lines.push(format!("{} rows left out:", set.skipped.len()));
        let bad = set.skipped.iter().take(LISTED);
        lines.extend(bad.map(|bad| format!("  {}:{}: {}", set.path.display(), bad.line, bad.reason)));
        let more = set.skipped.len().saturating_sub(LISTED);
        lines.extend((more > 0).then(|| format!("  and {more} more")));
    }
    Ok(lines.join("\n") + "\n")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    #[test]
    fn a_file_without_documents_is_called_that() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("u.jsonl");
        let header = serde_json::json!({
            "model": "m", "model_sha256": "0", "adapter": null, "precision": "bf16", "data": "d", "split": null,
            "data_sha256": "1", "documents": 3, "top": 5, "posterior": { "kind": "none" },
        });
        std::fs::write(&path, format!("{}\n", serde_json::json!({ "header": header }))).unwrap();
        let line = Line::parse_from(["", "--uncertainty", path.to_str().unwrap()]);
        let error = line.arguments.run().unwrap_err().to_string();
        assert!(error.contains("u.jsonl: holds no document yet"), "{error}");
    }
}
