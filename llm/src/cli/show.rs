//! `tokensieve show`: documents as the model gets them, token by token.

mod paint;

use std::io::{self, IsTerminal, Write};

use crate::data::{self, DataSet, DataSource, Format};
use crate::text::Tokenizer;
use crate::weights::{self, Checkpoint};
use paint::Paint;

/// Bad rows that are listed (choice).
const LISTED: usize = 20;

/// What to show, and how.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// A file (JSON lines, a JSON array, Parquet), or a data set by name: gsm8k
    data: String,
    /// How many documents
    #[arg(short, default_value_t = 3)]
    n: usize,
    /// The model whose tokenizer and chat template are used
    #[arg(long, default_value = weights::DEFAULT)]
    model: String,
    /// How rows are written: messages, sharegpt, alpaca, gsm8k, prompt-completion; found by their keys if not given
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
}

impl Arguments {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let tokenizer = Tokenizer::open(&Checkpoint::open(&self.model)?)?;
        let source = DataSource {
            split: self.split.clone(),
            format: self.format,
            skip_bad: self.skip_bad,
            // Bad rows further on do not matter where nobody asked for them.
            limit: (!self.skip_bad).then_some(self.n),
            ..DataSource::new(&self.data)
        };
        let paint = if self.plain { Paint::Plain } else { Paint::of_terminal(io::stdout().is_terminal()) };
        let set = data::load(&source, &tokenizer)?;
        let text = told(&set, &tokenizer, self.n, paint)?;
        match io::stdout().write_all(text.as_bytes()) {
            // Whoever reads has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            outcome => Ok(outcome?),
        }
    }
}

/// All that is printed.
fn told(set: &DataSet, tokenizer: &Tokenizer, n: usize, paint: Paint) -> crate::Result<String> {
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
    let response: usize = set.documents.iter().map(crate::Document::response_tokens).sum();
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
