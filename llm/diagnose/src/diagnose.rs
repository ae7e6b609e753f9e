//! The diagnosis, from documents to the recommendation.

use std::collections::BTreeMap;
use std::time::Instant;

use tokensieve_documents::estimates::DocumentRecord;
use tokensieve_documents::{Class, DataSet};
use tokensieve_infer::uncertainty::{Budget, Documents, DropoutSettings, Posterior, Recorder, estimate};
use tokensieve_model::head::Head;
use tokensieve_model::text::Tokenizer;
use tokensieve_model::{Document, DropoutSite, Error, Model, Precomputed, Result};
use tokensieve_objective::{Objective, Plan};
use tokensieve_train::Trained;
use tokensieve_train::config::Config;
use tokensieve_train::step::{Ranking, StepOptions};

use crate::candidates::{self, PLAIN};
use crate::course::Course;
use crate::defects::{self, Defect, Finding};
use crate::markup::Markup;
use crate::measure::{Learner, Measure, Measurement};
use crate::noise::{self, ALL, Hit, LabelNoise};
use crate::race::{self, Entry, Race, race};
use crate::recommend::{Circumstances, Rows, predicted, recommend, too_few};
use crate::report::{Diagnosis, Read, SCHEMA};
use crate::sample::{Division, LEAST_FOLDS, repeating, rows, spread, unseen};
use crate::subject::Subject;
use crate::{describe, suspicious};

/// How much is computed.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Documents that gradients are measured on at most, and as many held-out ones; `None`: by the size of the model.
    pub documents: Option<usize>,
    /// Steps of plain training before gradients are measured; `None`: by the size of the model.
    pub steps: Option<u64>,
    /// What is measured on held-out documents.
    pub measure: Measure,
    /// Names of the presets that may be recommended besides plain training; empty: all.
    pub among: Vec<String>,
    /// Passes with dropout, for the uncertainty of a few documents; 0: none.
    pub passes: usize,
    /// Whether there is a race.
    pub race: bool,
    /// Steps of its longest runs; `None`: by the size of the model.
    pub race_steps: Option<u64>,
    /// Seed of the sample, the adapter and dropout.
    pub seed: u64,
}

impl Default for Settings {
    /// Choices: 500 documents of 200 tokens in two minutes on two cores.
    fn default() -> Self {
        Self {
            documents: None,
            steps: None,
            measure: Measure::Nll,
            among: Vec::new(),
            passes: 10,
            race: false,
            race_steps: None,
            seed: 0,
        }
    }
}

impl Settings {
    /// How many documents' gradients are measured at most, after how many steps, and how many steps a race has. By default all
    /// take as long as the default model needs for [`DOCUMENTS`], [`STEPS`] and [`RACE_STEPS`].
    fn sizes(&self, model: &Model) -> (usize, u64, u64) {
        let shape = model.config();
        let width = shape.hidden_size as f64;
        let layer = width * (3 * shape.intermediate_size) as f64 + 4.0 * width * width;
        let times_smaller = SIZE / (shape.layers as f64 * layer + shape.vocab_size as f64 * width);
        let by_size = |[least, most]: [u64; 2]| ((least as f64 * times_smaller) as u64).clamp(least, most);
        let documents = self.documents.unwrap_or(by_size(DOCUMENTS) as usize);
        let steps = |asked: Option<u64>, sizes| asked.unwrap_or(by_size(sizes));
        (documents, steps(self.steps, STEPS), steps(self.race_steps, RACE_STEPS))
    }
}

/// Documents that gradients are measured on, of a model of the default one's size and of the smallest: intervals narrow with their
/// root.
const DOCUMENTS: [u64; 2] = [32, 256];
/// Steps before they are measured, likewise: what an objective gains late in a run decides more than what it gains at first
/// (docs/LOG.md, 25 November).
const STEPS: [u64; 2] = [6, 40];
/// Steps of a race's longest runs, likewise: minutes on two cores; who learns well shows late (docs/LOG.md, 26 November).
const RACE_STEPS: [u64; 2] = [32, 96];
/// Weights of the default model.
const SIZE: f64 = 135e6;

/// Documents whose uncertainty is estimated (choice).
const UNCERTAIN: usize = 8;

/// Documents of a step (choice: half of a training run's batch).
const BATCH: usize = 16;

/// With fewer documents nothing is measured: each fold has one at least.
pub const LEAST_DOCUMENTS: usize = LEAST_FOLDS;

/// Diagnoses a data set for a model that has no adapter. `say` receives what is being done.
pub fn diagnose(
    model: &mut Model,
    tokenizer: &Tokenizer,
    subject: &Subject,
    set: &DataSet,
    held_out: Option<&DataSet>,
    settings: &Settings,
    say: &mut dyn FnMut(&str),
) -> Result<Diagnosis> {
    let mut clock = Clock { began: Instant::now(), seconds: Vec::new() };
    let config = subject.config(PLAIN)?;
    say(&format!("scoring {} documents", set.documents.len()));
    let mut records = scored(model, tokenizer, &set.documents.iter().collect::<Vec<_>>(), &Posterior::None)?;
    let documents = with_losses(&set.documents, &records);
    clock.lap("scoring");

    let markup = Markup::of(tokenizer);
    let mut findings = unusable(set, subject);
    findings.extend(defects::find(&records, &markup));
    let trusted = held_out.map(|set| trusted(set, tokenizer, &markup, &records, say)).transpose()?;
    let repeating = repeating(&findings);
    records.retain(|record| !repeating.contains(&record.row));
    let distinct: Vec<&Document> =
        documents.iter().filter(|document| !repeating.contains(&document.row)).collect();
    clock.lap("rows");

    if settings.passes > 0 {
        say("sampling predictions with dropout");
    }
    let uncertainty = uncertainty(model, tokenizer, &distinct, settings)?;
    clock.lap("uncertainty");

    let (most, steps, race_steps) = settings.sizes(model);
    let division = Division::of(&distinct, trusted.as_deref(), (most, settings.seed));
    let (objectives, mut left_out) = candidates::presets(&settings.among)?;
    let (mut measured, mut raced, mut no_race) = (None, None, None);
    let size = division.as_ref().map_or(0, |division| division.sample.documents().len());
    if let Some(division) = &division {
        let Division { sample, rest, judges } = division;
        let options = options(&config);
        let trained = Trained::new(model, config.lora.as_ref(), settings.seed)?;
        trained.refresh(model)?;
        let head = Head::on(model.device());
        let mut learner = Learner { head, model, trained: &trained, options };
        let mut on_sample = false;
        if steps > 0 {
            say(&format!("{steps} steps of plain training"));
            let plan = Plan { steps, seed: settings.seed };
            on_sample = plain_steps(&mut learner, division, &config, plan)?;
            clock.lap("training");
        }
        say(&format!("gradients of {size} documents and as many held-out ones"));
        let at = (steps, config.train.batch_size, settings.seed);
        let found = learner.measure(sample, &objectives, at)?;
        let found = measured.insert(Measurement { on_sample, ..found });
        left_out.extend(found.unresolved.iter().cloned());
        clock.lap("gradients");
        if settings.race {
            let best = predicted(found, settings.measure).map(|row| row.objective.as_str());
            let entry = Entry {
                rivals: &race::rivals(found, &objectives, settings.measure, best),
                documents: &[sample.documents(), rest.clone()].concat(),
                judges,
                measure: settings.measure,
                steps: race_steps,
                batch: BATCH,
                seed: settings.seed,
            };
            (raced, no_race) = ended(race(model, &config, options, &entry, say))?;
            clock.lap("race");
        }
        model.attach(None)?;
    }

    let noise = label_noise(&records);
    let known = Circumstances {
        data: Rows { distinct: rows(distinct), repeating: repeating.len() },
        held_out: held_out.zip(trusted).map(|(all, unseen)| Rows::of(unseen, &all.documents)),
        noise: noise.get(ALL).filter(|noise| noise.is_trusted()).map(|noise| noise.share.value),
    };
    let no_race = no_race.or_else(|| (settings.race && division.is_none()).then(|| too_few(&known)));
    let mut recommendation = recommend(measured.as_ref(), raced.as_ref(), settings.measure, &known);
    recommendation.config = subject.configuration(&recommendation.objective)?;
    let suspicious =
        noise.get(ALL).map_or_else(Vec::new, |noise| suspicious::most(&records, &findings, noise));
    Ok(Diagnosis {
        schema: SCHEMA,
        model: subject.model.clone(),
        data: subject.data.source.clone(),
        data_sha256: set.hash.clone(),
        held_out: subject.held_out.as_ref().map(|held_out| held_out.source.clone()),
        read: Read {
            rows: set.rows,
            more: set.more,
            documents: documents.len(),
            tokens: documents.iter().map(|document| document.tokens.len()).sum(),
            predicted: documents.iter().map(Document::response_tokens).sum(),
        },
        findings,
        classes: describe::classes(&records),
        histogram: describe::histogram(&records),
        uncertainty,
        noise,
        measured,
        sample: size,
        left_out,
        race: raced,
        no_race,
        recommendation,
        suspicious,
        seconds: clock.seconds,
    })
}

/// Seconds by phase.
struct Clock {
    began: Instant,
    seconds: Vec<(String, f64)>,
}

impl Clock {
    fn lap(&mut self, phase: &str) {
        self.seconds.push((phase.to_owned(), self.began.elapsed().as_secs_f64()));
        self.began = Instant::now();
    }
}

/// How gradients are computed: as the training run would, without its dropout.
fn options(config: &Config) -> StepOptions<'static> {
    StepOptions {
        micro_tokens: config.train.micro_tokens,
        checkpointing: config.train.checkpointing,
        dropout: 0,
        ranking: Ranking::Exact,
        processes: None,
    }
}

/// Plain steps before gradients are measured: outside of the sample, where there are enough documents, so that its gradients stay
/// those of unseen ones. Returns whether there are not.
fn plain_steps(learner: &mut Learner, division: &Division, config: &Config, plan: Plan) -> Result<bool> {
    let own = division.sample.documents();
    let on_sample = division.rest.len() < BATCH;
    let from = if on_sample { &own } else { &division.rest };
    let plain = Objective::preset(PLAIN)?;
    Course::begin(&plain, plan, BATCH, from, &config.train, learner)?.go(learner, plan.steps)?;
    Ok(on_sample)
}

/// A race, or why there is none: what was found before is not lost with it.
fn ended(race: Result<Race>) -> Result<(Option<Race>, Option<String>)> {
    match race {
        Ok(race) => Ok((Some(race), None)),
        Err(Error::Run(why)) => Ok((None, Some(why))),
        Err(error) => Err(error),
    }
}

/// The documents with losses, entropies and the most probable tokens.
fn scored(
    model: &mut Model,
    tokenizer: &Tokenizer,
    documents: &[&Document],
    posterior: &Posterior,
) -> Result<Vec<DocumentRecord>> {
    let recorder = Recorder::new(tokenizer);
    let mut records = Vec::new();
    let all = Documents::all(documents);
    estimate(model, None, all, posterior, 1, &Budget::default(), &mut |index, estimates| {
        records.push(recorder.document(documents[index], &estimates)?);
        Ok(())
    })?;
    Ok(records)
}

/// The documents with the losses of a model that has not been trained, which some objectives read.
fn with_losses(documents: &[Document], records: &[DocumentRecord]) -> Vec<Document> {
    let known = |(document, record): (&Document, &DocumentRecord)| {
        let losses = record.tokens.iter().filter_map(|token| token.loss.map(f64::from)).collect();
        let precomputed = Precomputed { base_loss: Some(losses), ..document.precomputed.clone() };
        Document { precomputed, ..document.clone() }
    };
    documents.iter().zip(records).map(known).collect()
}

/// The user's held-out documents that are [`unseen`] in the data.
fn trusted<'d>(
    held_out: &'d DataSet,
    tokenizer: &Tokenizer,
    markup: &Markup,
    data: &[DocumentRecord],
    say: &mut dyn FnMut(&str),
) -> Result<Vec<&'d Document>> {
    let recorder = Recorder::new(tokenizer);
    let all = &held_out.documents;
    let texts = all.iter().map(|document| recorder.document(document, &[])).collect::<Result<_>>()?;
    let unseen = unseen(all, texts, data, markup);
    let seen = all.len() - unseen.len();
    if seen > 0 {
        say(&format!("{seen} held-out documents left out, which repeat the data's or each other"));
    }
    Ok(unseen)
}

/// Rows that the reader skipped or cut.
fn unusable(set: &DataSet, subject: &Subject) -> Vec<Finding> {
    let skipped = set.skipped.iter().map(|bad| Finding {
        defect: Defect::Untrainable,
        row: bad.row,
        what: format!("line {}: {}", bad.line, bad.reason),
    });
    let cut = subject.data.max_length.into_iter().flat_map(|longest| {
        let what = format!("has more than {longest} tokens");
        set.cut_rows.iter().map(move |row| Finding {
            defect: Defect::Truncated,
            row: *row,
            what: what.clone(),
        })
    });
    skipped.chain(cut).collect()
}

fn uncertainty(
    model: &mut Model,
    tokenizer: &Tokenizer,
    documents: &[&Document],
    settings: &Settings,
) -> Result<Option<describe::Uncertainty>> {
    if settings.passes == 0 {
        return Ok(None);
    }
    let sample = spread(documents, UNCERTAIN, settings.seed);
    // Attention alone, as Llama is trained: dropout on the residual stream damages a model that never had it.
    let places = vec![DropoutSite::Attention];
    let dropout = DropoutSettings {
        passes: settings.passes,
        places,
        seed: settings.seed,
        ..DropoutSettings::default()
    };
    let records = scored(model, tokenizer, &sample, &Posterior::Dropout(dropout))?;
    Ok(describe::uncertainty(&records, settings.passes))
}

/// Label noise of all tokens, and of the numbers, in which a wrong result hides among right words.
fn label_noise(records: &[DocumentRecord]) -> BTreeMap<String, LabelNoise> {
    let hits = describe::hits(records);
    let numbers: Vec<Hit> = describe::predicted(records)
        .zip(&hits)
        .filter(|(token, _)| token.class.as_deref() == Some(Class::Number.name()))
        .map(|(_, hit)| *hit)
        .collect();
    let both = [(ALL, hits), (Class::Number.name(), numbers)];
    both.into_iter().filter_map(|(name, hits)| Some((name.to_owned(), noise::estimate(&hits)?))).collect()
}

#[cfg(test)]
mod tests {
    use tokensieve_documents::{DataSource, Truncate};

    use super::*;

    #[test]
    fn a_document_that_just_fits_is_not_cut() {
        let document = |row| Document {
            row,
            index_in_row: 0,
            tokens: vec![1; 50],
            weights: vec![1.0; 50],
            precomputed: Precomputed::default(),
        };
        let set = DataSet {
            documents: vec![document(0), document(1)],
            rows: 2,
            truncated: 1,
            cut_rows: vec![1],
            ..DataSet::default()
        };
        let subject = Subject {
            model: "m".to_owned(),
            dtype: "f32".to_owned(),
            chat_template: None,
            date: None,
            data: DataSource { truncate: Truncate::End, max_length: Some(50), ..DataSource::new("d") },
            held_out: None,
        };
        let what = "has more than 50 tokens".to_owned();
        assert_eq!(unusable(&set, &subject), [Finding { defect: Defect::Truncated, row: 1, what }]);
    }
}
