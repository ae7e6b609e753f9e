//! `tokensieve uncertainty`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use clap::builder::PossibleValue;
use indicatif::{ProgressBar, ProgressStyle};

use tokensieve_base::files::Destination;

use super::model_arguments::{LoadedModel, ModelArguments, count, seed};
use super::processes::{Processes, Sharing, WAY_BACK};
use tokensieve_documents::estimates::{DocumentRecord, HashedPath, Header, MaskScope, PromptDropout, Writer};
use tokensieve_documents::{DataSet, DataSource, Format, Truncate};
use tokensieve_infer::together::Together;
use tokensieve_infer::uncertainty::{
    ALTERNATIVES, Budget, Documents, DropoutSettings, Posterior, Recorder, Work, estimate, is_table,
    write_table,
};
use tokensieve_kernels::memory;
use tokensieve_model::text::{ChatTemplate, Moment, Tokenizer};
use tokensieve_model::weights::Checkpoint;
use tokensieve_model::{Adapter, Document, DropoutSite, Error, Model, Result};

/// Data, posterior and destination.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "The file has one JSON line for the settings, then one for each document. An interrupted run continues \
    when the same command is given again. docs/uncertainty.md has the formulas."
)]
pub struct Arguments {
    /// File (JSON lines, a JSON array, Parquet), or name of a data set: alpaca, gsm8k/test
    data: String,
    /// Number of rows to read. Default: all
    #[arg(short, value_name = "N", value_parser = count, allow_negative_numbers = true)]
    n: Option<usize>,
    /// File of estimates to write, in JSON lines
    #[arg(long, value_name = "FILE.jsonl")]
    out: PathBuf,
    /// Also write the estimates as a Parquet table, with one row per predicted token; only such a table is replaced
    #[arg(long, value_name = "FILE.parquet")]
    parquet: Option<PathBuf>,
    /// Number of most probable tokens to record at each position
    #[arg(long, default_value_t = ALTERNATIVES)]
    top: usize,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    reading: Reading,
    #[command(flatten)]
    sharing: Sharing,
}

/// How the data are read.
#[derive(clap::Args, Debug)]
pub(super) struct Reading {
    /// Format of the rows: messages, sharegpt, alpaca, gsm8k, prompt-completion, text. Default: found by the keys of a row
    #[arg(long)]
    format: Option<Format>,
    /// Split of a named data set. Default: train
    #[arg(long)]
    split: Option<String>,
    /// Skip bad rows
    #[arg(long)]
    skip_bad: bool,
    /// Cut documents to this number of tokens. Default: documents longer than the model's context are bad rows
    #[arg(long, value_name = "TOKENS", value_parser = count, allow_negative_numbers = true)]
    max_length: Option<usize>,
}

/// The model and the posterior from which predictions are sampled.
#[derive(clap::Args, Debug)]
pub(super) struct Settings {
    #[command(flatten)]
    model: ModelArguments,
    /// Number of passes with dropout; 0: only loss, entropy, probability and alternatives
    #[arg(long, default_value_t = DropoutSettings::default().passes, allow_negative_numbers = true)]
    passes: usize,
    /// Dropout rate
    #[arg(long, default_value_t = DropoutSettings::default().rate, allow_negative_numbers = true)]
    rate: f64,
    /// Where dropout acts
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_values_t = DropoutSettings::default().places.into_iter().map(Word)
    )]
    places: Vec<Word<DropoutSite>>,
    /// Which tokens of a document share a dropout mask in a pass
    #[arg(long, value_enum, default_value_t = Word(DropoutSettings::default().masks))]
    masks: Word<MaskScope>,
    /// Whether dropout also acts on the prompt
    #[arg(long, value_enum, default_value_t = Word(DropoutSettings::default().prompt))]
    prompt: Word<PromptDropout>,
    /// Seed of the dropout masks
    #[arg(long, default_value_t = DropoutSettings::default().seed, value_parser = seed, allow_negative_numbers = true)]
    seed: u64,
    /// Sample predictions from an ensemble of adapters instead of dropout: DIR,DIR,DIR
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "DIRS",
        conflicts_with_all = ["passes", "rate", "places", "masks", "prompt", "seed"]
    )]
    adapters: Vec<PathBuf>,
}

/// A setting of another crate, with the names of its values on the command line, which are those in files of estimates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Word<T>(T);

/// A setting that [`Word`] reads from the command line.
trait Words: Sized + 'static {
    const ALL: &'static [Word<Self>];

    /// The name of the value, and its text in `--help`.
    fn word(&self) -> (&'static str, &'static str);
}

impl<T: Words + Clone> ValueEnum for Word<T> {
    fn value_variants<'a>() -> &'a [Self] {
        T::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let (word, help) = self.0.word();
        Some(PossibleValue::new(word).help(help))
    }
}

macro_rules! words {
    ($($kind:ty { $($value:path => $word:literal, $help:literal;)+ })+) => {$(
        impl Words for $kind {
            const ALL: &'static [Word<Self>] = &[$(Word($value)),+];

            fn word(&self) -> (&'static str, &'static str) {
                match self {
                    $($value => ($word, $help),)+
                }
            }
        }
    )+};
}

words! {
    DropoutSite {
        DropoutSite::Attention => "attention", "attention probabilities";
        DropoutSite::Residual => "residual", "outputs of attention and feed-forward block, before the residual stream";
        DropoutSite::Embedding => "embedding", "token embeddings";
        DropoutSite::Lora => "lora", "input of the adapter";
    }
    MaskScope {
        MaskScope::Token => "token", "independent masks for every token";
        MaskScope::Document => "document", "one mask for all tokens of a document";
    }
    PromptDropout {
        PromptDropout::Stochastic => "stochastic", "dropout acts on the prompt, too";
        PromptDropout::Deterministic => "deterministic", "no dropout on the prompt, which is computed once for many passes";
    }
}

impl Arguments {
    pub(super) fn run(self) -> anyhow::Result<()> {
        memory::keep();
        if let Some(table) = &self.parquet {
            Destination::of(table)?
                .apart_from([("--out", self.out.as_path()), ("DATA", Path::new(&self.data))])?
                .replacing("a table of `tokensieve uncertainty`", is_table)?;
        }
        let processes = self.sharing.join(WAY_BACK)?;
        let together = Together::of(processes.as_ref().map(Processes::group));
        Processes::checked(processes.as_ref(), || self.estimate(&together))
    }

    /// Each process estimates its part of the documents, and process 0 writes the file.
    fn estimate(&self, together: &Together<'_>) -> anyhow::Result<()> {
        let mut loaded = self.settings.load()?;
        let set = self.reading.read(&self.data, self.n, &loaded)?;
        let header = loaded.header(self, &set);
        together.same("model", || &header.model_sha256)?;
        together.same("data set", || &header.data_sha256)?;
        together.same("adapter or setting", || &header)?;
        let writer = if together.stores() { Some(Writer::open(&self.out, &header)?) } else { None };
        let done = together.agreed(writer.as_ref().map(Writer::done).unwrap_or_default())?;
        let documents: Vec<&Document> = set.documents.iter().collect();
        let share = (together.rank(), together.size());
        let documents = Documents { all: &documents, done, share };
        let missing = documents.all.len() - done;
        if done > 0 {
            tokensieve_base::status!("{}: {done} documents are in the file already", self.out.display());
        }
        let began = Instant::now();
        let mut storing = writer.map(|writer| Storing::new(writer, done, missing));
        let work = loaded.records(documents, self.top, &mut |index, record| match &mut storing {
            Some(storing) => {
                storing.store(index, record)?;
                together.received(|(index, record)| storing.store(index, record))
            }
            None => together.send(&(index, record)),
        })?;
        let _ = together.finish(
            || false,
            |(index, record)| match &mut storing {
                Some(storing) => storing.store(index, record),
                None => Ok(()),
            },
        )?;
        let Some(Storing { bar, tokens, predicted, next, .. }) = storing else { return Ok(()) };
        if next < set.documents.len() {
            let what = format!("document {next} is missing: no process computed it");
            return Err(Error::Run(what).into());
        }
        bar.finish_and_clear();
        if let Some(table) = &self.parquet {
            write_table(&self.out, table)?;
        }
        let work = Work { tokens, predicted, ..work };
        tokensieve_base::output!("{}\n", summary(missing, &loaded.posterior, &work, began.elapsed()))?;
        Ok(())
    }
}

/// The file of estimates, to which documents are added in order.
struct Storing {
    writer: Writer,
    /// The next document of the file, and those that came before their turn.
    next: usize,
    waiting: BTreeMap<usize, DocumentRecord>,
    bar: ProgressBar,
    tokens: usize,
    predicted: usize,
}

impl Storing {
    fn new(writer: Writer, done: usize, missing: usize) -> Self {
        Self { writer, next: done, waiting: BTreeMap::new(), bar: bar(missing), tokens: 0, predicted: 0 }
    }

    fn store(&mut self, index: usize, record: DocumentRecord) -> Result<()> {
        self.bar.inc(1);
        let predicted = record.tokens.iter().filter(|token| token.loss.is_some()).count();
        self.predicted += predicted;
        // Of a document without a response nothing is computed.
        self.tokens += if predicted > 0 { record.tokens.len() } else { 0 };
        self.waiting.insert(index, record);
        while let Some(record) = self.waiting.remove(&self.next) {
            self.writer.write(&record)?;
            self.next += 1;
        }
        Ok(())
    }
}

fn bar(documents: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} documents, {eta} left");
    ProgressBar::new(documents as u64).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// One line on how much was computed, and how fast.
fn summary(documents: usize, posterior: &Posterior, work: &Work, took: Duration) -> String {
    let passes = posterior.passes();
    let speed = (work.tokens * passes.max(1)) as f64 / took.as_secs_f64();
    format!(
        "{documents} documents, {} tokens of which {} are predicted, {passes} passes: {:.1} s ({:.1} model, {:.1} head), \
         {speed:.0} tokens/s",
        work.tokens,
        work.predicted,
        took.as_secs_f64(),
        work.model.as_secs_f64(),
        work.head.as_secs_f64(),
    )
}

impl Reading {
    pub(super) fn read(&self, data: &str, n: Option<usize>, loaded: &Loaded) -> Result<DataSet> {
        let longest = loaded.context();
        let source = DataSource {
            split: self.split.clone(),
            format: self.format,
            skip_bad: self.skip_bad,
            truncate: if self.max_length.is_some() { Truncate::End } else { Truncate::Never },
            max_length: Some(self.max_length.unwrap_or(longest).min(longest)),
            limit: n,
            ..DataSource::new(data)
        };
        let set = tokensieve_documents::load(&source, &loaded.tokenizer)?;
        if let Some(substitution) = &set.substitution {
            tokensieve_base::status!("note: {substitution}");
        }
        for (count, what) in
            [(set.skipped.len(), "bad rows skipped"), (set.truncated, "documents cut at the end")]
        {
            if count > 0 {
                tokensieve_base::status!("note: {count} {what}");
            }
        }
        Ok(set)
    }
}

/// Model and posterior in memory.
pub(super) struct Loaded {
    checkpoint: Checkpoint,
    pub(super) tokenizer: Tokenizer,
    pub(super) model: Model,
    pub(super) adapter: Option<Adapter>,
    pub(super) posterior: Posterior,
    named: Option<HashedPath>,
    ensemble: Vec<HashedPath>,
}

impl Settings {
    pub(super) fn load(&self) -> Result<Loaded> {
        let posterior = self.dropout()?;
        let LoadedModel { checkpoint, tokenizer, model } =
            self.model.without_adapter(self.template()?, Moment::default())?;
        let load = |folder: &Path| Adapter::load_on(&checkpoint, folder, model.device());
        let adapter = self.model.adapter.as_deref().map(load).transpose()?;
        let named = self.model.adapter.as_deref().map(HashedPath::adapter).transpose()?;
        let ensemble =
            self.adapters.iter().map(|folder| HashedPath::adapter(folder)).collect::<Result<_>>()?;
        let posterior = if self.adapters.is_empty() {
            posterior
        } else {
            Posterior::Adapters(self.adapters.iter().map(|folder| load(folder)).collect::<Result<_>>()?)
        };
        Ok(Loaded { checkpoint, tokenizer, model, adapter, posterior, named, ensemble })
    }

    fn template(&self) -> Result<Option<ChatTemplate>> {
        self.model.template(self.adapters.first().map(PathBuf::as_path))
    }

    /// Loads the tokenizer alone; that of a folder does not need the weights.
    pub(super) fn tokenizer(&self) -> Result<Tokenizer> {
        // Only its chat template is read, which an adapter may lack.
        if let Some(folder) = self.model.adapter.as_deref().filter(|folder| !folder.is_dir()) {
            return Err(Error::setting("--adapter", format!("there is no folder `{}`", folder.display())));
        }
        let (model, template) = (&self.model.model, self.template()?);
        let date = self.model.date.unwrap_or_default();
        if Path::new(model).join("tokenizer.json").is_file() {
            Tokenizer::from_folder(model, template.as_ref(), date)
        } else {
            let opened = Checkpoint::open_with(model, template);
            Tokenizer::open_on(&opened.map_err(|error| error.model_named_by("--model"))?, date)
        }
    }

    /// The posterior by dropout, after checking its settings.
    fn dropout(&self) -> Result<Posterior> {
        if !(0.0..=0.99).contains(&self.rate) {
            return Err(Error::setting("--rate", format!("must be from 0 to 0.99, not {}", self.rate)));
        }
        if self.places.contains(&Word(DropoutSite::Lora))
            && self.model.adapter.is_none()
            && self.adapters.is_empty()
        {
            return Err(Error::setting(
                "--places",
                "names lora, but there is no adapter; give one with --adapter",
            ));
        }
        let mut places: Vec<DropoutSite> = self.places.iter().map(|word| word.0).collect();
        places.sort_unstable();
        if let Some(pair) = places.windows(2).find(|pair| pair[0] == pair[1]) {
            let word = pair[0].word().0;
            return Err(Error::setting("--places", format!("names {word} twice; name each place once")));
        }
        let dropout = DropoutSettings {
            passes: self.passes,
            rate: self.rate,
            places,
            masks: self.masks.0,
            prompt: self.prompt.0,
            seed: self.seed,
        };
        if self.passes > 0 {
            return Ok(Posterior::Dropout(dropout));
        }
        if dropout != (DropoutSettings { passes: 0, ..DropoutSettings::default() }) {
            let what = "--rate, --places, --masks, --prompt and --seed have no effect without dropout; leave them out";
            return Err(Error::setting("--passes 0", what));
        }
        Ok(Posterior::None)
    }
}

impl Loaded {
    /// The most tokens that a document may have.
    pub(super) fn context(&self) -> usize {
        self.model.config().max_positions.max(1) as usize
    }

    /// Estimates documents; `each` receives their records, in order.
    pub(super) fn records(
        &mut self,
        documents: Documents<'_>,
        top: usize,
        each: &mut dyn FnMut(usize, DocumentRecord) -> Result<()>,
    ) -> Result<Work> {
        let recorder = Recorder::new(&self.tokenizer);
        let adapter = self.adapter.as_ref();
        let budget = Budget::default();
        estimate(
            &mut self.model,
            adapter,
            documents,
            &self.posterior,
            top,
            &budget,
            &mut |index, estimates| each(index, recorder.document(documents.all[index], &estimates)?),
        )
    }

    fn header(&self, arguments: &Arguments, set: &DataSet) -> Header {
        let model = &arguments.settings.model;
        Header {
            model: model.model.clone(),
            model_sha256: self.checkpoint.hash(),
            adapter: self.named.clone(),
            precision: model.precision.name().to_owned(),
            data: arguments.data.clone(),
            split: arguments.reading.split.clone(),
            data_sha256: set.hash.clone(),
            documents: set.documents.len(),
            top: arguments.top,
            posterior: self.posterior.settings(&self.ensemble),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        settings: Settings,
    }

    #[test]
    fn a_place_is_named_once() {
        let dropout = |places: &str| Line::parse_from(["", "--places", places]).settings.dropout();
        assert!(dropout("residual,attention").is_ok());
        let error = dropout("attention,residual,attention").unwrap_err().to_string();
        assert_eq!(error, "--places: names attention twice; name each place once");
    }

    #[test]
    fn a_negative_rate_is_rejected_with_the_range() {
        let error = Line::parse_from(["", "--rate", "-0.1"]).settings.dropout().unwrap_err().to_string();
        assert_eq!(error, "--rate: must be from 0 to 0.99, not -0.1");
    }

    #[test]
    fn without_passes_the_settings_of_dropout_are_refused() {
        let dropout = |flag: &str| Line::parse_from(["", "--passes=0", flag]).settings.dropout();
        for flag in
            ["--rate=0.5", "--places=embedding", "--masks=document", "--prompt=deterministic", "--seed=9"]
        {
            let error = dropout(flag).unwrap_err().to_string();
            assert!(error.starts_with("--passes 0: --rate, --places"), "{flag}: {error}");
        }
        assert!(matches!(dropout("--places=residual,attention").unwrap(), Posterior::None));
    }

    #[test]
    fn the_summary_counts_the_passes_that_were_computed() {
        let work = Work { tokens: 10, predicted: 5, model: Duration::ZERO, head: Duration::ZERO };
        let line = summary(1, &Posterior::None, &work, Duration::from_secs(1));
        assert!(line.contains(", 0 passes: 1.0 s") && line.ends_with("10 tokens/s"), "{line}");
    }

    #[test]
    fn without_flags_dropout_has_its_defaults() {
        let Posterior::Dropout(dropout) = Line::parse_from([""]).settings.dropout().unwrap() else {
            panic!("no dropout");
        };
        assert_eq!(dropout, DropoutSettings::default());
    }
}
