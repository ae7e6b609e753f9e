//! A short race instead of a prediction: the objectives of the largest predicted gain and plain training start from the
//! same weights, take the same batches, and held-out documents decide.
//!
//! After a half of the steps the better half of plain training's rivals goes on. Halving earlier and more often would be
//! cheaper, but the first steps say who learns fast, and not who learns well (docs/LOG.md, 26 November). Plain training
//! goes all the way, so that every rival has something to be compared with after as many steps. Differences are paired by
//! held-out document. Since the documents that decide who goes on are those that judge at the end, a p-value counts for
//! all rivals that started (Bonferroni), whoever is left. That they also predicted who starts is not corrected for: of
//! simulated races without any effect 5 to 9 % found one.

use serde::Serialize;
use tokensieve_base::statistics::{Estimate, mean, mean_interval, student_test};
use tokensieve_infer::evaluate::Scorer;
use tokensieve_model::head::{self, Head};
use tokensieve_model::{Document, Error, Model, Result, chunks_by_length};
use tokensieve_objective::{Objective, Plan};
use tokensieve_train::Trained;
use tokensieve_train::config::Config;
use tokensieve_train::step::StepOptions;

use crate::candidates::{LeftOut, PLAIN};
use crate::course::Course;
use crate::gain::{LEVEL, are_alike};
use crate::measure::{Learner, Measure, Measurement, ObjectiveRow};

/// Tokens of held-out documents that go through the model together (choice).
const TOKENS: usize = 4096;

/// Rivals of plain training (choice).
const RIVALS: usize = 4;

/// Number of measures.
const MEASURES: usize = Measure::ALL.len();

/// By measure the mean over documents of a token's score, larger ones better: log-likelihood (nats), probability, accuracy.
pub type Scores = [f64; MEASURES];

/// What a race of plain training and its rivals came to.
#[derive(Clone, Debug, Serialize)]
pub struct Race {
    /// Steps of the longest runs.
    pub steps: u64,
    /// Documents of a step.
    pub batch: usize,
    /// Held-out documents that judge.
    pub judges: usize,
    /// The measure that decides.
    pub measure: Measure,
    /// Held-out scores before training, by measure.
    pub before: Scores,
    /// Plain training, then its rivals, the best first.
    pub rows: Vec<RaceRow>,
    /// Rivals whose loss turned NaN or infinite on the way.
    pub failed: Vec<LeftOut>,
    /// The best rival of those that went all the way, if it is better than plain training for sure.
    pub winner: Option<String>,
}

/// A run of a race.
#[derive(Clone, Debug, Serialize)]
pub struct RaceRow {
    /// The preset.
    pub objective: String,
    /// Its steps.
    pub steps: u64,
    /// Held-out scores after them, by measure.
    pub held_out: Scores,
    /// By measure how much better it is than plain training after as many steps; `None` for plain training itself.
    pub beside_plain: Option<[Difference; MEASURES]>,
}

/// How much better a run is than plain training, over held-out documents.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// With Student's 95 % interval.
    pub value: Option<Estimate>,
    /// p-value of no difference, times the number of rivals.
    pub p: Option<f64>,
}

impl Difference {
    /// Of paired scores, larger ones better.
    fn of(own: &[f64], plain: &[f64], rivals: usize) -> Self {
        let differences: Vec<f64> = own.iter().zip(plain).map(|(own, plain)| own - plain).collect();
        let p = student_test(&differences).map(|p| (p * rivals as f64).min(1.0));
        Self { value: mean_interval(&differences), p }
    }

    /// Whether the run is better for sure.
    pub fn is_better(&self) -> bool {
        self.differs() && self.value.is_some_and(|value| value.value > 0.0)
    }

    /// Whether there is a difference for sure.
    pub fn differs(&self) -> bool {
        self.p.is_some_and(|p| p < LEVEL)
    }
}

impl Race {
    /// The rivals that are not worse than plain training for sure.
    pub(crate) fn not_worse(&self) -> impl Iterator<Item = &str> {
        let is_worse = |found: &Difference| found.differs() && !found.is_better();
        self.rivals(self.measure)
            .filter(move |(_, found)| !is_worse(found))
            .map(|(row, _)| row.objective.as_str())
    }

    /// The rival that a measure favours: the best of those that went all the way, if it is better than plain training for sure.
    pub(crate) fn winner_by(&self, measure: Measure) -> Option<&str> {
        let value = |found: &Difference| found.value.map_or(f64::NEG_INFINITY, |value| value.value);
        let all_the_way = self.rivals(measure).filter(|(row, _)| row.steps == self.steps);
        // The first of equals, which `rows` have in the order of the measure that decides.
        let best = all_the_way.min_by(|(_, a), (_, b)| value(b).total_cmp(&value(a)));
        best.filter(|(_, found)| found.is_better()).map(|(row, _)| row.objective.as_str())
    }

    /// Plain training's rivals, each with its difference from it by a measure.
    fn rivals(&self, measure: Measure) -> impl Iterator<Item = (&RaceRow, &Difference)> {
        self.rows.iter().filter_map(move |row| Some((row, &row.beside_plain.as_ref()?[measure as usize])))
    }

    /// What it shows, in a sentence.
    pub fn verdict(&self) -> String {
        let Some(best) = self.rows.get(1) else {
            let what = if self.failed.is_empty() { "has no rival" } else { "alone is left" };
            return format!("`{PLAIN}` {what}");
        };
        let (name, measure) = (&best.objective, self.measure.name());
        match best.beside_plain.as_ref().map(|beside| &beside[self.measure as usize]) {
            Some(found) if found.is_better() => {
                format!("`{name}` is better than `{PLAIN}` by held-out {measure}")
            }
            Some(found) if found.differs() => {
                format!("`{PLAIN}` is better by held-out {measure} than `{name}`, the best of its rivals")
            }
            _ => format!(
                "no difference seen by held-out {measure} between `{PLAIN}` and `{name}`, the best of its rivals"
            ),
        }
    }
}

/// Plain training's rivals: the recommended objective, if there is one, and those of the largest predicted gain. Of
/// those with the same profile, and of those with plain training's, one runs.
pub(crate) fn rivals(
    measured: &Measurement,
    objectives: &[Objective],
    measure: Measure,
    recommended: Option<&str>,
) -> Vec<Objective> {
    let gain = |row: &ObjectiveRow| row.gain(measure).value();
    let mut rows: Vec<&ObjectiveRow> = measured.objectives.iter().collect();
    rows.sort_by(|a, b| gain(b).total_cmp(&gain(a)));
    rows.sort_by_key(|row| recommended != Some(row.objective.as_str()));
    let mut profiles = vec![vec![1.0; measured.bands.len()]];
    rows.retain(|row| {
        let is_new = !profiles.iter().any(|known| are_alike(known, &row.profile));
        profiles.push(row.profile.clone());
        is_new
    });
    let of = |row: &ObjectiveRow| objectives.iter().find(|objective| objective.name() == row.objective);
    rows.into_iter().filter_map(of).take(RIVALS).cloned().collect()
}

/// Who runs, on what, and how it is decided.
pub(crate) struct Entry<'e> {
    pub(crate) rivals: &'e [Objective],
    /// What is trained on.
    pub(crate) documents: &'e [&'e Document],
    pub(crate) judges: &'e [&'e Document],
    pub(crate) measure: Measure,
    pub(crate) steps: u64,
    pub(crate) batch: usize,
    pub(crate) seed: u64,
}

/// A run on its way.
struct Runner<'e> {
    name: String,
    trained: Trained,
    course: Course<'e>,
    /// Scores of the judges by measure.
    scores: [Vec<f64>; MEASURES],
}

impl Runner<'_> {
    fn means(&self) -> Scores {
        self.scores.each_ref().map(|scores| mean(scores).unwrap_or(f64::NAN))
    }

    fn row(&self, steps: u64, beside_plain: Option<[Difference; MEASURES]>) -> RaceRow {
        RaceRow { objective: self.name.clone(), steps, held_out: self.means(), beside_plain }
    }
}

/// Runs the race. `say` receives what is being done.
pub(crate) fn race(
    model: &mut Model,
    config: &Config,
    options: StepOptions<'static>,
    entry: &Entry,
    say: &mut dyn FnMut(&str),
) -> Result<Race> {
    let plain = Objective::preset(PLAIN)?;
    let plan = Plan { steps: entry.steps, seed: entry.seed };
    let mut runners = Vec::new();
    for objective in std::iter::once(&plain).chain(entry.rivals) {
        let trained = Trained::new(model, config.lora.as_ref(), entry.seed)?;
        let mut learner = learner(model, &trained, options)?;
        let course =
            Course::begin(objective, plan, entry.batch, entry.documents, &config.train, &mut learner)?;
        // A new adapter changes nothing: everybody's scores before training are the first one's.
        let first = runners.first().map(|first: &Runner| first.scores.clone());
        let scores = first.map_or_else(|| scores(learner.model, entry.judges), Ok)?;
        runners.push(Runner { name: objective.name().to_owned(), trained, course, scores });
    }
    let (before, judges) = (runners[0].means(), runners[0].scores[0].len());

    // The rows of those who are out, the last one first.
    let mut out: Vec<RaceRow> = Vec::new();
    let mut failed = Vec::new();
    for (until, kept) in rounds(entry.rivals.len(), entry.steps) {
        let names: Vec<&str> = runners.iter().map(|runner| runner.name.as_str()).collect();
        say(&format!("racing {} to step {until}", names.join(", ")));
        for runner in &mut runners {
            let mut learner = learner(model, &runner.trained, options)?;
            let gone = runner.course.go(&mut learner, until);
            match gone.and_then(|()| scores(learner.model, entry.judges)) {
                Ok(scores) => runner.scores = scores,
                Err(error) => {
                    failed.push(LeftOut {
                        preset: runner.name.clone(),
                        because: failure(error, &runner.name)?,
                    });
                }
            }
        }
        runners.retain(|runner| failed.iter().all(|one| one.preset != runner.name));
        let mut rivals = runners.split_off(1);
        let of = |runner: &Runner| runner.means()[entry.measure as usize];
        rivals.sort_by(|a, b| of(a).total_cmp(&of(b)));
        for rival in rivals.drain(..rivals.len().saturating_sub(kept)) {
            out.push(rival.row(until, Some(beside(&rival, &runners[0], entry.rivals.len()))));
        }
        runners.extend(rivals);
    }
    let mut rows = vec![runners[0].row(entry.steps, None)];
    rows.extend(out.into_iter().rev());
    let batch = entry.batch.min(entry.documents.len());
    let (steps, measure) = (entry.steps, entry.measure);
    let mut race = Race { steps, batch, judges, measure, before, rows, failed, winner: None };
    race.winner = race.winner_by(race.measure).map(str::to_owned);
    Ok(race)
}

/// Why a rival is out: its loss is not finite. Without plain training there is no race.
fn failure(error: Error, name: &str) -> Result<String> {
    match error {
        Error::Run(why) if name != PLAIN => Ok(why),
        Error::Objective(error) if name != PLAIN => Ok(error.to_string()),
        Error::Run(_) | Error::Objective(_) => Err(Error::Run(format!("`{name}` in the race: {error}"))),
        other => Err(other),
    }
}

fn beside(rival: &Runner, plain: &Runner, rivals: usize) -> [Difference; MEASURES] {
    Measure::ALL.map(|measure| {
        let at = measure as usize;
        Difference::of(&rival.scores[at], &plain.scores[at], rivals)
    })
}

fn learner<'a>(
    model: &'a mut Model,
    trained: &'a Trained,
    options: StepOptions<'static>,
) -> Result<Learner<'a>> {
    trained.refresh(model)?;
    Ok(Learner { head: Head::on(model.device()), model, trained, options })
}

/// Until which step each round goes, and how many rivals are left after it: none after the last.
fn rounds(rivals: usize, steps: u64) -> [(u64, usize); 2] {
    [(steps.div_ceil(2), rivals.div_ceil(2)), (steps, 0)]
}

/// By measure, for every document that has something to predict, the mean over its tokens.
fn scores(model: &Model, documents: &[&Document]) -> Result<[Vec<f64>; MEASURES]> {
    let mut scorer = Scorer::new(model);
    let mut scores = [const { Vec::new() }; MEASURES];
    for batch in chunks_by_length(documents.iter().copied(), |document| document.tokens.len(), TOKENS) {
        let packs = [scorer.pack(&batch)];
        let found = scorer.score(&packs, &head::Request::default());
        for ((own, stats), document) in (0..).zip(&found[0]).zip(&batch) {
            let mut sums = [0.0; 1 + MEASURES];
            let targets = packs[0].targets.iter().filter(|target| target.document == own);
            for (target, stats) in targets.zip(stats) {
                if !stats.is_finite() {
                    let place = format!("row {}, predicted token {}", document.row, target.position);
                    return Err(Error::not_finite(place));
                }
                let score = [1.0, -stats.loss, (-stats.loss).exp(), f64::from(u8::from(stats.greedy))];
                let weight = f64::from(target.weight);
                sums.iter_mut().zip(score).for_each(|(sum, score)| *sum += weight * score);
            }
            let [weight, of @ ..] = sums;
            if weight > 0.0 {
                scores.iter_mut().zip(of).for_each(|(scores, sum)| scores.push(sum / weight));
            }
        }
    }
    Ok(scores)
}

#[cfg(test)]
mod tests;
