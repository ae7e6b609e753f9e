//! `tokensieve diagnose`.

use std::io::{self, IsTerminal as _};
use std::iter;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde_json::Value;
use tokensieve_base::files::{Destination, LARGEST, read_text};
use tokensieve_diagnose::{
    Diagnosis, LEAST_DOCUMENTS, Measure, Settings, Subject, Suspicious, page, summary,
};
use tokensieve_documents::{DataSet, DataSource, Format, Truncate};
use tokensieve_model::text::{ChatTemplate, Moment};
use tokensieve_model::{Error, Result, weights};
use tokensieve_objective::Objective;

use super::model_arguments::{LoadedModel, ModelArguments, PrecisionWord, count, seed};
use super::show::{Paint, colour, styled};

/// Model, data, and where the diagnosis is written.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Nothing is trained for good: the diagnosis takes a few steps, measures gradients of a sample, and throws \
    the steps away, as it does those of a race. docs/diagnose.md explains every number, and \
    docs/theory.md why nine gradients predict the first step of every objective without a reference.\n\nExit code: 0 done, whatever was found; 1 an error; 2 wrong arguments."
)]
pub struct Arguments {
    /// Rows to train on: a file (JSON lines, a JSON array, Parquet), or name of a data set: alpaca, gsm8k/train
    #[arg(long, value_name = "DATA")]
    data: String,
    /// Name (smollm2-135m), GGUF file, Hugging Face folder, or organisation/name on the hub
    #[arg(long, default_value = weights::DEFAULT)]
    model: String,
    /// Rows that the trained model should do well on, with labels that are right. Default: half of the sample
    #[arg(long, value_name = "DATA")]
    held_out: Option<String>,
    /// What is measured on held-out rows, and decides
    #[arg(long, value_enum, default_value_t = By::Nll)]
    measure: By,
    /// Presets that may be recommended, with commas between them: `tokensieve objectives` lists them. Default: all
    #[arg(long, value_name = "PRESETS", value_delimiter = ',', value_parser = preset, allow_hyphen_values = true)]
    among: Vec<String>,
    /// Number of rows to read, from the first on
    #[arg(short, value_name = "N", default_value_t = 500, value_parser = count, allow_negative_numbers = true)]
    n: usize,
    /// Number of documents whose gradients are measured, at least 4, and from 8 on rounded down to a multiple of 8; as many are
    /// held out. Default: 32, and up to 256 for models smaller than the default one
    #[arg(long, value_name = "N", value_parser = documents, allow_negative_numbers = true)]
    documents: Option<usize>,
    /// Number of steps of plain training before gradients are measured; 0: before training. Default: 6, and up to 40 for models
    /// smaller than the default one
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    steps: Option<u64>,
    /// Number of passes with dropout for the uncertainty of some documents; 0: none
    #[arg(long, value_name = "N", default_value_t = Settings::default().passes, allow_negative_numbers = true)]
    passes: usize,
    /// Train a short way plainly and with the best few objectives, and let held-out rows decide
    #[arg(long)]
    race: bool,
    /// Number of steps of the race's longest runs. Default: 32, and up to 96 for models smaller than the default one
    #[arg(long, value_name = "N", value_parser = count, requires = "race", allow_negative_numbers = true)]
    race_steps: Option<usize>,
    /// Write the diagnosis as a page to look at; only such a page is replaced
    #[arg(long, value_name = "FILE.html")]
    html: Option<PathBuf>,
    /// Write all numbers; only such a file is replaced
    #[arg(long, value_name = "FILE.json")]
    json: Option<PathBuf>,
    /// Write a configuration for `tokensieve train` with the recommended objective; only such a configuration is
    /// replaced
    #[arg(long, value_name = "FILE.toml")]
    config: Option<PathBuf>,
    /// Format of the rows: messages, sharegpt, alpaca, gsm8k, prompt-completion, text. Default: found by the keys of a
    /// row
    #[arg(long)]
    format: Option<Format>,
    /// Split of a named data set. Default: train
    #[arg(long)]
    split: Option<String>,
    /// Cut documents to this number of tokens. Default: the model's context
    #[arg(long, value_name = "TOKENS", value_parser = count, allow_negative_numbers = true)]
    max_length: Option<usize>,
    /// Data type of the computation; `auto`: bf16, or f32 where the processor has no instructions for bf16; `nf4`: the same,
    /// with the layers' matrices in four bits
    #[arg(long, default_value = "auto", value_parser = PrecisionWord::parser())]
    precision: PrecisionWord,
    /// Chat template: a Jinja file, or `plain`. Default: the model's own
    #[arg(long, value_name = "FILE|plain", value_parser = chat_template)]
    chat_template: Option<String>,
    /// Date for chat templates that print today's date. Default: 2024-07-26
    #[arg(long, value_name = "DAY")]
    date: Option<Moment>,
    /// Seed of the sample, the adapter and dropout
    #[arg(long, default_value_t = 0, value_parser = seed, allow_negative_numbers = true)]
    seed: u64,
}

/// [`Measure`] by its name.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum By {
    /// Mean −log p of the labels
    Nll,
    /// Mean p of the labels: the share that sampled tokens would have right; wrong held-out labels move it little
    Probability,
    /// Share of the labels that are the most probable token: what greedy replies would have right. --race counts them; without
    /// it they are predicted by probability
    Accuracy,
}

/// The first line of a configuration that was written here.
const WRITTEN: &str = "# Written by `tokensieve diagnose`";

impl Arguments {
    pub(super) fn run(self) -> anyhow::Result<()> {
        self.check_destinations()?;
        let model = ModelArguments {
            model: self.model.clone(),
            adapter: None,
            precision: self.precision.clone(),
            chat_template: self.chat_template.as_deref().map(ChatTemplate::read).transpose()?,
            date: self.date,
        };
        let LoadedModel { tokenizer, mut model, .. } =
            model.without_adapter(model.template(None)?, Moment::default())?;
        let longest = model.config().max_positions.max(1) as usize;
        let data =
            DataSource { split: self.split.clone(), format: self.format, ..self.source(&self.data, longest) };
        let set = read(&data, &tokenizer)?;
        let held_out_source = self.held_out.as_ref();
        let held_out_source = held_out_source.map(|name| self.source(name, longest).preferring_test());
        let held_out_source = held_out_source.transpose()?;
        let held_out = held_out_source.as_ref().map(|source| {
            read(source, &tokenizer).map_err(|error| match error {
                Error::Setting { what, .. } => Error::setting("--held-out", what),
                other => other,
            })
        });
        let held_out = held_out.transpose()?;
        let subject = Subject {
            model: self.model.clone(),
            dtype: self.precision.name().to_owned(),
            chat_template: self.chat_template.clone(),
            date: self.date.map(|date| date.to_string()),
            data: DataSource { limit: None, ..data },
            held_out: held_out_source,
        };
        let settings = Settings {
            documents: self.documents,
            steps: self.steps,
            measure: match self.measure {
                By::Nll => Measure::Nll,
                By::Probability => Measure::Probability,
                By::Accuracy => Measure::Accuracy,
            },
            among: self.among.clone(),
            passes: self.passes,
            race: self.race,
            race_steps: self.race_steps.map(|steps| steps as u64),
            seed: self.seed,
        };
        let mut say = |what: &str| tokensieve_base::status!("{what}");
        let found = tokensieve_diagnose::diagnose(
            &mut model,
            &tokenizer,
            &subject,
            &set,
            held_out.as_ref(),
            &settings,
            &mut say,
        )?;
        // Nothing that was found is lost because one of the places for it cannot be written.
        let written = self.write(&found);
        let paint = Paint::of_terminal(io::stdout().is_terminal());
        let printed = tokensieve_base::output!("{}", summary(&found, &|row| coloured(row, paint)));
        written?;
        Ok(printed?)
    }

    /// The rows of a source, as a training run of the configuration reads them.
    fn source(&self, name: &str, longest: usize) -> DataSource {
        DataSource {
            skip_bad: true,
            truncate: Truncate::End,
            max_length: Some(self.max_length.unwrap_or(longest).min(longest)),
            limit: Some(self.n),
            ..DataSource::new(name)
        }
    }

    /// The files that may be written.
    fn outputs(&self) -> [Output<'_>; 3] {
        [
            Output {
                flag: "--html",
                path: self.html.as_deref(),
                what: "a page of `tokensieve diagnose`",
                is_own: |text| text.starts_with("<!doctype html>") && text.contains("docs/diagnose.md"),
            },
            Output { flag: "--json", path: self.json.as_deref(), what: "a diagnosis", is_own: is_diagnosis },
            Output {
                flag: "--config",
                path: self.config.as_deref(),
                what: "a configuration of `tokensieve diagnose`",
                is_own: |text| text.starts_with(WRITTEN),
            },
        ]
    }

    /// Before anything is computed: nobody's files are overwritten, and no two outputs share one.
    fn check_destinations(&self) -> anyhow::Result<()> {
        let all = self.outputs();
        for (index, output) in all.iter().enumerate() {
            let Some(path) = output.path else { continue };
            let others = all[..index].iter().filter_map(|other| Some((other.flag, other.path?)));
            let held_out = self.held_out.as_ref().map(|name| ("--held-out", Path::new(name)));
            let read = iter::once(("--data", Path::new(&self.data))).chain(held_out);
            let is_own = |path: &Path| read_text(path, LARGEST).is_ok_and(|text| (output.is_own)(&text));
            Destination::of(path)?.apart_from(others.chain(read))?.replacing(output.what, is_own)?;
        }
        Ok(())
    }

    fn write(&self, found: &Diagnosis) -> anyhow::Result<()> {
        let config = format!("{WRITTEN}: {}\n{}", found.recommendation.because, found.recommendation.config);
        let json = serde_json::to_string_pretty(found)? + "\n";
        let contents = self.outputs().into_iter().zip([page(found), json, config]);
        write(contents.filter_map(|(output, content)| Some((output.path?, content))))
    }
}

/// Writes every file that can be written, and returns the first error.
fn write<'p>(files: impl Iterator<Item = (&'p Path, String)>) -> anyhow::Result<()> {
    let one = |(path, content): (&Path, String)| -> Result<()> {
        let destination = Destination::of(path)?;
        destination.write_with(|out| out.write_all(content.as_bytes()).map_err(Error::io(path)))?;
        tokensieve_base::status!("{}", path.display());
        Ok(())
    };
    // All are tried before the first that failed is looked for.
    let outcomes: Vec<Result<()>> = files.map(one).collect();
    Ok(outcomes.into_iter().collect::<Result<()>>()?)
}

/// Whether a text is what `--json` writes.
fn is_diagnosis(text: &str) -> bool {
    let keys = ["schema", "data_sha256", "recommendation"];
    serde_json::from_str::<Value>(text).is_ok_and(|found| keys.iter().all(|key| found.get(key).is_some()))
}

/// A file that may be written.
struct Output<'a> {
    flag: &'static str,
    /// `None`: it is not asked for.
    path: Option<&'a Path>,
    /// What may be replaced there, and how it is recognised.
    what: &'static str,
    is_own: fn(&str) -> bool,
}

/// The text of a row, its tokens coloured by how likely they are wrong; nothing where there are no colours.
fn coloured(row: &Suspicious, paint: Paint) -> Option<String> {
    let Paint::Colours(depth) = paint else { return None };
    let mut out = String::new();
    for token in &row.tokens {
        let style = token.suspicion.map_or("2".to_owned(), |suspicion| colour(suspicion as f32, depth));
        styled(&token.text, &style, &mut out);
    }
    Some(out.trim_end_matches('\n').to_owned() + "\n")
}

/// Reads how many documents' gradients are measured.
fn documents(text: &str) -> std::result::Result<usize, String> {
    let number = text.parse().ok().filter(|number| *number >= LEAST_DOCUMENTS);
    number.ok_or_else(|| format!("expected a whole number, at least {LEAST_DOCUMENTS}"))
}

/// Reads the name of a chat template, which the configuration repeats.
fn chat_template(name: &str) -> Result<String> {
    ChatTemplate::read(name).map(|_| name.to_owned())
}

/// Checks the name of a preset.
fn preset(name: &str) -> std::result::Result<String, tokensieve_objective::Error> {
    Objective::preset(name).map(|_| name.to_owned())
}

fn read(source: &DataSource, tokenizer: &tokensieve_model::text::Tokenizer) -> Result<DataSet> {
    let set = tokensieve_documents::load(source, tokenizer)?;
    if let Some(substitution) = &set.substitution {
        tokensieve_base::status!("note: {substitution}");
    }
    Ok(set)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_cannot_be_written_costs_no_other_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let paths = [path("none/page.html"), path("all.json"), path("none/train.toml")];
        let files = paths.iter().map(|path| (path.as_path(), "found".to_owned()));
        let error = write(files).unwrap_err().to_string();
        assert!(error.contains("none/page.html: No such file"), "{error}");
        assert_eq!(fs::read_to_string(path("all.json")).unwrap(), "found");
    }

    #[test]
    fn only_a_diagnosis_is_taken_for_one() {
        let own = r#"{"schema": 2, "data_sha256": "0", "recommendation": {}}"#;
        assert!(is_diagnosis(own));
        // As estimates of a text about diagnoses.
        let foreign = format!("{{\"header\": {own}}}\n{{\"row\": 0}}\n");
        for other in
            [foreign.as_str(), &format!("[{own}]"), r#"{"text": "\"data_sha256\" \"recommendation\""}"#, ""]
        {
            assert!(!is_diagnosis(other), "{other}");
        }
    }
}
