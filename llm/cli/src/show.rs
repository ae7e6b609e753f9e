//! `tokensieve show`: documents as the model sees them, token by token.

mod paint;
mod view;

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::model_arguments::count;
use super::uncertainty::Settings;
pub(super) use paint::{Paint, styled};
use tokensieve_documents::estimates::{DocumentRecord, Reader};
use tokensieve_documents::{DataSet, DataSource, Format};
use tokensieve_infer::uncertainty::Documents;
use tokensieve_model::Document;
use tokensieve_model::text::Tokenizer;
pub(super) use view::colour;
use view::{By, View};

/// Maximum number of bad rows that are listed (choice).
const LISTED: usize = 20;

/// Error where no token has the measure.
const NO_MEASURE: &str = "no token of these documents has this measure: --passes 0 only gives --by loss, entropy and \
    selected, and documents without a response have no measures";

/// What to show, and how to colour it.
#[derive(clap::Args, Debug)]
#[command(
    // Without estimates nothing but the tokenizer is loaded, and these would have no effect; a file of estimates needs no model.
    mut_args(|arg| match arg.get_id().as_str() {
        "passes" | "rate" | "places" | "masks" | "prompt" | "seed" | "adapters" | "precision" => {
            arg.requires("uncertainty").requires("data")
        }
        "model" | "adapter" | "chat_template" | "date" => arg.requires("data"),
        _ => arg,
    })
)]
pub struct Arguments {
    /// File (JSON lines, a JSON array, Parquet), or name of a data set: gsm8k, gsm8k/test
    #[arg(required_unless_present = "uncertainty")]
    data: Option<String>,
    /// Number of documents
    #[arg(short, default_value_t = 3, value_parser = count, allow_negative_numbers = true)]
    n: usize,
    /// Format of the rows: messages, sharegpt, alpaca, gsm8k, prompt-completion, text. Default: found by the keys of a row
    #[arg(long, requires = "data")]
    format: Option<Format>,
    /// Split of a named data set. Default: train
    #[arg(long, requires = "data")]
    split: Option<String>,
    /// Read the whole data set, skip bad rows and list them
    #[arg(long, requires = "data")]
    skip_bad: bool,
    /// No colours: [prompt] and {response} in brackets, escaped so that the exact text can be recovered
    #[arg(long)]
    plain: bool,
    /// Colour the response by the model's uncertainty: from a file of `tokensieve uncertainty`, or computed now.
    /// Without colours, print a table of the numbers
    #[arg(long, value_name = "FILE.jsonl", num_args = 0..=1)]
    #[expect(clippy::option_option, reason = "a flag with an optional value")]
    uncertainty: Option<Option<PathBuf>>,
    /// Measure shown by the colours
    #[arg(long, value_enum, default_value_t = By::Epistemic, requires = "uncertainty")]
    by: By,
    /// With --by selected: percentage of the tokens shown that are selected, those with the largest loss
    #[arg(
        long,
        default_value_t = 25.0,
        allow_negative_numbers = true,
        value_parser = percentage,
        requires = "uncertainty"
    )]
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
                    Some(file) => self.read_file(file)?,
                    None => self.compute()?,
                };
                let view = View::new(&records, self.by, self.keep);
                view.context(NO_MEASURE)?.render(paint)
            }
        };
        match io::stdout().write_all(text.as_bytes()) {
            // The reader has closed the pipe.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            outcome => Ok(outcome?),
        }
    }

    fn documents(&self, paint: Paint) -> anyhow::Result<String> {
        let tokenizer = self.settings.tokenizer()?;
        let set = tokensieve_documents::load(&self.source(), &tokenizer)?;
        Ok(render(&set, &tokenizer, self.n, paint)?)
    }

    /// Reads the first documents of a file of estimates, which takes the place of DATA.
    fn read_file(&self, file: &Path) -> anyhow::Result<Vec<DocumentRecord>> {
        if let Some(data) = &self.data {
            let file = file.display();
            let what = format!(
                "shows the documents in `{file}`, not those of `{data}`; leave out `{data}`, or leave out `{file}` to \
                 compute the measures now"
            );
            return Err(tokensieve_model::Error::setting("--uncertainty", what).into());
        }
        let mut reader = Reader::open(file)?;
        let mut records = Vec::new();
        while records.len() < self.n {
            let Some(record) = reader.next_document()? else { break };
            records.push(record);
        }
        if records.is_empty() && self.n > 0 {
            let what = "has no document yet; give the interrupted command again to continue it";
            return Err(tokensieve_model::Error::file(file, what).into());
        }
        Ok(records)
    }

    /// Estimates the first documents now.
    fn compute(&self) -> anyhow::Result<Vec<DocumentRecord>> {
        self.data.as_ref().context("name a data set, or a file of estimates after --uncertainty")?;
        let mut loaded = self.settings.load()?;
        let source = DataSource { max_length: Some(loaded.context()), ..self.source() };
        let set = tokensieve_documents::load(&source, &loaded.tokenizer)?;
        for line in skipped(&set) {
            tokensieve_base::status!("{line}");
        }
        let documents: Vec<&Document> = set.documents.iter().take(self.n).collect();
        let mut records = Vec::new();
        loaded.records(Documents::all(&documents), 0, &mut |_, record| {
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
            // Later rows are not shown, so that bad rows among them do not matter.
            limit: (!self.skip_bad).then_some(self.n),
            ..DataSource::new(self.data.as_deref().unwrap_or_default())
        }
    }
}

/// Parses a percentage.
fn percentage(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number| (0.0..=100.0).contains(number));
    number.ok_or_else(|| "expected a number from 0 to 100".to_owned())
}

/// The documents and a summary of the data set.
fn render(set: &DataSet, tokenizer: &Tokenizer, n: usize, paint: Paint) -> tokensieve_model::Result<String> {
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
    lines.extend(skipped(set));
    Ok(lines.join("\n") + "\n")
}

/// The rows that were left out.
fn skipped(set: &DataSet) -> Vec<String> {
    let mut lines = Vec::new();
    if !set.skipped.is_empty() {
        lines.push(format!("{} rows skipped:", set.skipped.len()));
        let bad = set.skipped.iter().take(LISTED);
        lines.extend(bad.map(|bad| format!("  {}:{}: {}", set.path.display(), bad.line, bad.reason)));
        let more = set.skipped.len().saturating_sub(LISTED);
        lines.extend((more > 0).then(|| format!("  and {more} more")));
    }
    lines
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
    fn flags_of_the_estimates_require_them() {
        for flag in [
            "--passes=5",
            "--rate=0.9",
            "--places=lora",
            "--masks=document",
            "--prompt=deterministic",
            "--seed=3",
            "--adapters=a,b",
            "--precision=f32",
        ] {
            let error = Line::try_parse_from(["", "rows.jsonl", flag]).err().unwrap().to_string();
            assert!(error.contains("--uncertainty"), "{flag}: {error}");
            assert!(Line::try_parse_from(["", "rows.jsonl", "--uncertainty", flag]).is_ok(), "{flag}");
        }
        assert!(Line::try_parse_from(["", "rows.jsonl", "--adapter=a", "--date=2025-01-31"]).is_ok());
        for flag in ["--model=m", "--adapter=a", "--passes=5"] {
            assert!(Line::try_parse_from(["", "--uncertainty", "u.jsonl", flag]).is_err(), "{flag}");
        }
    }

    #[test]
    fn a_file_without_documents_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("u.jsonl");
        let header = serde_json::json!({
            "model": "m", "model_sha256": "0", "adapter": null, "precision": "bf16", "data": "d", "split": null,
            "data_sha256": "1", "documents": 3, "top": 5, "posterior": { "kind": "none" },
        });
        std::fs::write(&path, format!("{}\n", serde_json::json!({ "header": header }))).unwrap();
        let line = Line::parse_from(["", "--uncertainty", path.to_str().unwrap()]);
        let error = line.arguments.run().unwrap_err().to_string();
        assert!(error.contains("u.jsonl: has no document yet"), "{error}");
    }
}
