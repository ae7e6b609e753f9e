//! Paper A, figure 4, as a picture: which tokens of one conversation would be selected after more and more training.

use crate::lab::gains;
use crate::lab::study::{Arm, Study, short};
use crate::lab::{Job, Lab, Value};
use crate::plot::Drawing;
use crate::tokens::{
    Conversation, Document, Quantity, TokenRow, conversations, picture, read, scoring, synthetic,
};
use crate::{About, Claim, Run, Table};
use anyhow::{Context as _, Result};
use std::sync::Arc;

/// The figure.
pub(super) struct Figure;

/// Held-out documents among which a conversation's tokens compete for selection.
const DOCUMENTS: usize = 8;
/// Steps that the drawing shows; the token viewer shows all.
const DRAWN: usize = 4;

impl crate::Figure for Figure {
    fn about(&self) -> About {
        About {
            id: "a-4-tokens",
            title: "One conversation's selected tokens as training goes on",
            source: "A, figure 4",
            caption: "A held-out conversation of the corpus trained on, before and during masked training: framed is the quarter \
                      of the response tokens with the largest loss, which training would select; colours are losses, on \
                      one scale for all steps. The token viewer steps through every checkpoint.",
            protocol: "The model of figure 4 with its first seed is kept every few steps. At each of these steps the same eight \
                       held-out documents are scored, teacher-forced and without dropout, and the objective itself selects \
                       among their response tokens. Shown is the first document whose reply has 12 to 110 tokens.",
            deviations: &["SmolLM2-135M-Instruct in all profiles but paper."],
            columns: TokenRow::columns(),
        }
    }

    fn table(&self, run: &Run) -> Result<Table> {
        let mut rows = Vec::new();
        for (step, name, documents) in scored(run)? {
            rows.extend(picture::rows(&name, step, &documents, 1)?);
        }
        Table::from_rows(&rows)
    }

    fn draw(&self, table: &Table) -> Result<Drawing> {
        let all = self.conversations(table)?;
        let steps = &all.first().context("a table without conversations")?.steps;
        let last = steps.len() - 1;
        let mut shown: Vec<usize> = (0..DRAWN).map(|part| part * last / (DRAWN - 1)).collect();
        shown.dedup();
        let high = picture::strong_end(&all, Quantity::Loss);
        let blocks = shown.into_iter().map(|at| {
            let (step, rows) = &steps[at];
            let title = if *step == 0 { "before training".to_owned() } else { format!("after {step} steps") };
            picture::block(&title, rows, Quantity::Loss, high, true)
        });
        Ok(Drawing::new([]).words(blocks.collect::<Vec<_>>()).columns(2))
    }

    fn conversations(&self, table: &Table) -> Result<Vec<Conversation>> {
        Ok(conversations(table.rows::<TokenRow>()?))
    }

    fn claims(&self, _: &Table) -> Result<Vec<Claim>> {
        Ok(Vec::new())
    }
}

/// The documents as the model sees them after so many steps, with their name.
fn scored(run: &Run) -> Result<Vec<(u64, String, Vec<Document>)>> {
    if run.synthetic_data() {
        let at = |step: u64| (step, "made up".to_owned(), synthetic::trained("figure 4", DOCUMENTS, step));
        return Ok([0, 2, 4].map(at).into());
    }
    let study = gains::study(run);
    let (model, corpus) = (study.scale.models[0], study.corpora[0]);
    let trained = study.trained(model, corpus, &Arm::masked(), 0)?;
    run.job(&trained)?;
    let mut found = Vec::new();
    for (step, folder) in checkpoints(run.lab(), &trained)? {
        let job = after(&study, &trained, model, step, folder)?;
        let documents = read(&run.job(&job)?.join(job.verb.output()))?;
        found.push((step, format!("{}, held out", corpus.name()), documents));
    }
    Ok(found)
}

/// Steps after which a finished run was kept, with the folder of the adapter in its result; first, without a folder, none.
fn checkpoints(lab: &Lab, trained: &Job) -> Result<Vec<(u64, Option<String>)>> {
    let parent = lab.place(trained).join("checkpoints");
    let mut found = vec![(0, None)];
    for entry in std::fs::read_dir(&parent).with_context(|| format!("reading {}", parent.display()))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if let Some(step) = name.strip_prefix("step-").and_then(|step| step.parse().ok()) {
            found.push((step, Some(format!("checkpoints/{name}"))));
        }
    }
    found.sort();
    Ok(found)
}

fn after(study: &Study, trained: &Arc<Job>, model: &str, step: u64, folder: Option<String>) -> Result<Job> {
    let corpus = study.corpora[0];
    let name = format!("score {} {} after {step} steps", short(model), corpus.name());
    let mut job = scoring::work(name, corpus.unseen(DOCUMENTS)?, model, DOCUMENTS, 0)?;
    if let Some(set) = corpus.set() {
        job = job.reading(set)?;
    }
    Ok(match folder {
        Some(folder) => job.set("adapter", Value::Result(trained.clone(), folder.into())),
        None => job,
    })
}
