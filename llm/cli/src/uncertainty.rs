//! `tokensieve uncertainty`.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use clap::builder::PossibleValue;
use indicatif::{ProgressBar, ProgressStyle};

use super::choice::{Chosen, ModelChoice};
use tokensieve_documents::estimates::{DocumentRecord, Header, Masks, Named, Prompt, Writer};
use tokensieve_documents::{DataSet, DataSource, Format, Truncate};
use tokensieve_infer::uncertainty::{Budget, Chances, Posterior, Recorder, Work, estimate, write_table};
use tokensieve_kernels::memory;
use tokensieve_model::Document;
use tokensieve_model::Error;
use tokensieve_model::Result;
use tokensieve_model::text::{ChatTemplate, Moment, Tokenizer};
use tokensieve_model::weights::Checkpoint;
use tokensieve_model::{Adapter, DropoutSite, Model};

/// Of what, drawn from what, and whereto.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "The file has one JSON line for the settings, then one for each document. A run that was stopped goes on \
    where it was when the same command is given again. docs/uncertainty.md has the formulas."
)]
pub struct Arguments {
    /// A file (JSON lines, a JSON array, Parquet), or a data set by name: alpaca, gsm8k/test
    data: String,
    /// How many rows; all if not given
    #[arg(short)]
    n: Option<usize>,
    /// The estimates, as JSON lines
    #[arg(long, value_name = "FILE.jsonl")]
    out: PathBuf,
    /// The same as a Parquet table, a row per predicted token
    #[arg(long, value_name = "FILE.parquet")]
    parquet: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    reading: Reading,
}

/// How data are read.
#[derive(clap::Args, Debug)]
pub(super) struct Reading {
    /// How rows are written: messages, sharegpt, alpaca, gsm8k, prompt-completion, text; found by their keys if not given
    #[arg(long)]
    format: Option<Format>,
    /// Which file of a named data set; train if not given
    #[arg(long)]
    split: Option<String>,
    /// Leaves out bad rows
    #[arg(long)]
    skip_bad: bool,
    /// Cuts documents to so many tokens; longer ones are bad rows if not given
    #[arg(long, value_name = "TOKENS")]
    max_length: Option<usize>,
}

/// The model, and what predictions are drawn from.
#[derive(clap::Args, Debug)]
pub(super) struct Settings {
    #[command(flatten)]
    choice: ModelChoice,
    /// Predictions of each token; 0: only loss, entropy, probability and alternatives
    #[arg(long, default_value_t = 100)]
    passes: usize,
    /// Share of numbers that dropout drops
    #[arg(long, default_value_t = 0.1)]
    rate: f64,
    /// Where dropout acts
    #[arg(long, value_enum, value_delimiter = ',', default_value = "attention,residual")]
    places: Vec<Word<DropoutSite>>,
    /// Which tokens of a document lose the same numbers in a pass
    #[arg(long, value_enum, default_value_t = Word(Masks::Token))]
    masks: Word<Masks>,
    /// Whether the tokens before a response lose numbers too
    #[arg(long, value_enum, default_value_t = Word(Prompt::Stochastic))]
    prompt: Word<Prompt>,
    /// What all masks follow from
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// An ensemble of adapters in dropout's place: DIR,DIR,DIR
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "DIRS",
        conflicts_with_all = ["passes", "rate", "places", "masks", "prompt", "seed"]
    )]
    adapters: Vec<PathBuf>,
    /// Alternatives of each token
    #[arg(long, default_value_t = 5)]
    top: usize,
}

/// A setting of another crate, with its words on the command line: those that the file of estimates has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Word<T>(T);

/// A setting that [`Word`] takes from the command line.
trait Words: Sized + 'static {
    const ALL: &'static [Word<Self>];

    /// The word, and what `--help` says of it.
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
        DropoutSite::Attention => "attention", "attention's probabilities";
        DropoutSite::Residual => "residual", "what each half of a layer adds to the residual stream";
        DropoutSite::Embedding => "embedding", "the embedding";
        DropoutSite::Lora => "lora", "what enters the adapter";
    }
    Masks {
        Masks::Token => "token", "none: each its own";
        Masks::Document => "document", "all";
    }
    Prompt {
        Prompt::Stochastic => "stochastic", "as all others";
        Prompt::Deterministic => "deterministic", "they lose nothing, and are computed once for many passes";
    }
}

impl Arguments {
    pub(super) fn run(self) -> anyhow::Result<()> {
        memory::keep();
        let mut loaded = self.settings.load()?;
        let set = self.reading.read(&self.data, self.n, &loaded)?;
        let header = loaded.header(&self.settings, &self.data, self.reading.split.clone(), &set);
        let mut writer = Writer::open(&self.out, &header)?;
        let documents: Vec<&Document> = set.documents.iter().skip(writer.done()).collect();
        if writer.done() > 0 {
            tokensieve_model::status!(
                "{}: {} documents are there already",
                self.out.display(),
                writer.done()
            );
        }
        let bar = bar(documents.len());
        let began = Instant::now();
        let work = loaded.records(&documents, self.settings.top, &mut |record| {
            bar.inc(1);
            writer.write(&record)
        })?;
        bar.finish_and_clear();
        if let Some(table) = &self.parquet {
            write_table(&self.out, table)?;
        }
        tokensieve_model::output!("{}\n", told(documents.len(), &loaded.posterior, &work, began.elapsed()))?;
        Ok(())
    }
}

fn bar(documents: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} documents, {eta} left");
    ProgressBar::new(documents as u64).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn told(documents: usize, posterior: &Posterior, work: &Work, took: Duration) -> String {
    let passes = posterior.passes().max(1);
    let speed = (work.tokens * passes) as f64 / took.as_secs_f64();
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
        let longest = loaded.model.config().max_positions.max(1) as usize;
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
        if let Some(why) = &set.substitution {
            tokensieve_model::status!("note: {why}");
        }
        for (count, what) in
            [(set.skipped.len(), "rows left out"), (set.truncated, "documents cut at the end")]
        {
            if count > 0 {
                tokensieve_model::status!("note: {count} {what}");
            }
        }
        Ok(set)
    }
}

/// What was asked for, in memory.
pub(super) struct Loaded {
    checkpoint: Checkpoint,
    pub(super) tokenizer: Tokenizer,
    pub(super) model: Model,
    pub(super) adapter: Option<Adapter>,
    pub(super) posterior: Posterior,
    named: Option<Named>,
    ensemble: Vec<Named>,
}

impl Settings {
    pub(super) fn load(&self) -> Result<Loaded> {
        let posterior = self.dropout()?;
        let Chosen { checkpoint, tokenizer, model } =
            self.choice.without_adapter(self.template()?, Moment::default())?;
        let load = |folder: &Path| Adapter::load(model.config(), folder, model.device());
        let adapter = self.choice.adapter.as_deref().map(load).transpose()?;
        let named = self.choice.adapter.as_deref().map(Named::adapter).transpose()?;
        let ensemble = self.adapters.iter().map(|folder| Named::adapter(folder)).collect::<Result<_>>()?;
        let posterior = if self.adapters.is_empty() {
            posterior
        } else {
            Posterior::Adapters(self.adapters.iter().map(|folder| load(folder)).collect::<Result<_>>()?)
        };
        Ok(Loaded { checkpoint, tokenizer, model, adapter, posterior, named, ensemble })
    }

    fn template(&self) -> Result<Option<ChatTemplate>> {
        self.choice.template(self.adapters.first().map(PathBuf::as_path))
    }

    /// The tokenizer alone: a folder's can be had without its weights.
    pub(super) fn tokenizer(&self) -> Result<Tokenizer> {
        let (model, template) = (&self.choice.model, self.template()?);
        let date = self.choice.date.unwrap_or_default();
        if Path::new(model).join("tokenizer.json").is_file() {
            Tokenizer::from_folder(model, template.as_ref(), date)
        } else {
            let opened = Checkpoint::open_with(model, template);
            Tokenizer::open_on(&opened.map_err(|error| error.model_named_by("--model"))?, date)
        }
    }

    fn dropout(&self) -> Result<Posterior> {
        if !(0.0..=0.99).contains(&self.rate) {
            return Err(Error::setting("--rate", format!("is {}; it is a share from 0 to 0.99", self.rate)));
        }
        if self.places.contains(&Word(DropoutSite::Lora))
            && self.choice.adapter.is_none()
            && self.adapters.is_empty()
        {
            return Err(Error::setting(
                "--places",
                "names lora, and there is no adapter; give one with --adapter",
            ));
        }
        let mut places: Vec<DropoutSite> = self.places.iter().map(|word| word.0).collect();
        places.sort_unstable();
        if let Some(pair) = places.windows(2).find(|pair| pair[0] == pair[1]) {
            let word = pair[0].word().0;
            return Err(Error::setting("--places", format!("names {word} twice; name each place once")));
        }
        if self.passes == 0 {
            return Ok(Posterior::None);
        }
        Ok(Posterior::Dropout(Chances {
            passes: self.passes,
            rate: self.rate,
            places,
            masks: self.masks.0,
            prompt: self.prompt.0,
            seed: self.seed,
        }))
    }
}

impl Loaded {
    /// Estimates documents, and hands out what is to be written.
    pub(super) fn records(
        &mut self,
        documents: &[&Document],
        top: usize,
        each: &mut dyn FnMut(DocumentRecord) -> Result<()>,
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
            &mut |index, estimates| each(recorder.document(documents[index], &estimates)?),
        )
    }

    fn header(&self, settings: &Settings, data: &str, split: Option<String>, set: &DataSet) -> Header {
        Header {
            model: settings.choice.model.clone(),
            model_sha256: self.checkpoint.hash(),
            adapter: self.named.clone(),
            precision: settings.choice.precision.name().to_owned(),
            data: data.to_owned(),
            split,
            data_sha256: set.hash.clone(),
            documents: set.documents.len(),
            top: settings.top,
            posterior: self.posterior.drawn(&self.ensemble),
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
}
