//! The rows that the training figures share: how much better one way of training is than another, by every outcome.

use super::arm::Arm;
use super::corpus::{Corpus, REPLACEMENT};
use super::outcome::{Better, Draws, Evaluation, Tallies, gain};
use super::preference::{judged, preference};
use super::study::{JUDGED, Outcome, Study, short};
use crate::{Column, Run, Table};
use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use tokensieve_base::statistics::Estimate;

use claims::at_floor;

mod claims;
#[cfg(test)]
mod tests;

pub use claims::{
    ENOUGH_SEEDS, INTERVAL, TOO_FEW_SEEDS, best, better, claim, judge, measure, source, title, units,
    untested, worse,
};

/// One comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Base model.
    pub model: String,
    /// Corpus trained on.
    pub trained_on: String,
    /// The way of training.
    pub arm: String,
    /// What it is compared with.
    pub versus: String,
    /// What is measured: an outcome, `mean` of several, or `won`: the share of all that are better than plain training's.
    pub outcome: String,
    /// `in` the trained corpus' distribution, `out` of it, `all`, or [`ABROAD_MINUS_HOME`].
    pub distribution: String,
    /// `nats` (of loss), `share` (see [`measure`]), `preference` (above half) or `tasks` (share of them).
    pub unit: String,
    /// Training runs of each.
    pub seeds: u64,
    /// Questions or documents.
    pub questions: usize,
    /// What a mean is the mean of, or wins are counted among; empty for single outcomes.
    #[serde(default)]
    pub of: String,
    /// The outcome itself, or its mean.
    pub value: Option<f64>,
    /// The same of what it is compared with.
    pub versus_value: Option<f64>,
    /// The difference, positive when better.
    pub gain: f64,
    /// Lower end of the 95 % interval.
    pub gain_low: f64,
    /// Upper end of the 95 % interval.
    pub gain_high: f64,
}

impl Row {
    /// The gain with its interval; `n` are seeds.
    pub fn estimate(&self) -> Estimate {
        Estimate { value: self.gain, low: self.gain_low, high: self.gain_high, n: self.seeds as usize }
    }

    /// With an interval of possible values: a share lies between 0 and 1, whatever Student says. The difference of two
    /// shares is left as it is.
    #[must_use]
    fn possible(self) -> Self {
        if self.unit != "tasks" || self.versus != Arm::mle().name {
            return self;
        }
        Self { gain_low: self.gain_low.max(0.0), gain_high: self.gain_high.min(1.0), ..self }
    }
}

/// The columns of [`Row`].
pub fn columns() -> Vec<Column> {
    vec![
        Column::new("model", "", "base model"),
        Column::new("trained_on", "", "corpus trained on"),
        Column::new("arm", "", "way of training"),
        Column::new("versus", "", "way of training that it is compared with"),
        Column::new(
            "outcome",
            "",
            "what is measured; `mean` of all outcomes of the unit and distribution, but of shares without those at the floor (neither model answers more than 2 % rightly) unless all are, `won`: share of all outcomes, a judge's win rate among them where there is a judge, on which the gain is positive",
        ),
        Column::new(
            "distribution",
            "",
            "`in` the trained corpus' distribution, `out` of it, or `all`; `out - in`: by how much the mean gain out of it is above that in it",
        ),
        Column::new(
            "unit",
            "",
            "`nats`: mean loss per response token; `share`: of right answers, of constraints met, of characters shared with a reference (alpaca-overlap); `preference`: length-controlled win rate above one half, by a judge (alpaca-eval) or a stand-in for one; `tasks`: share of outcomes",
        ),
        Column::new("seeds", "", "training runs of each"),
        Column::new("questions", "", "questions, or held-out documents"),
        Column::new("of", "", "the outcomes that a mean is of, or wins are counted among"),
        Column::new("value", "", "the outcome itself, over all seeds, or the mean of these"),
        Column::new("versus_value", "", "the same of what it is compared with"),
        Column::new("gain", "", "difference of the two, positive when better"),
        Column::new(
            "gain_low",
            "",
            "lower end of the 95 % interval: bootstrap over questions and seeds, paired, never narrower than Student's over seeds or, but for `won`, over questions; of a share of outcomes, cut at 0 and 1",
        ),
        Column::new("gain_high", "", "its upper end"),
    ]
}

/// The rows of these comparisons on every model and corpus of the run's profile: every outcome, then the means of in- and
/// out-of-distribution gains.
pub fn rows(run: &Run, contrasts: impl Fn(&Study) -> Vec<(Arm, Arm)>) -> Result<Vec<Row>> {
    let study = study(run);
    let all = comparisons(run, &study, &contrasts(&study))?;
    rows_of(&all, Comparison::rows)
}

/// The same, then how often the arm's replies are preferred, on every outcome with replies to free questions.
pub fn rows_and_preferences(run: &Run, contrasts: impl Fn(&Study) -> Vec<(Arm, Arm)>) -> Result<Vec<Row>> {
    let study = study(run);
    let all = comparisons(run, &study, &contrasts(&study))?;
    let mut rows = rows_of(&all, Comparison::rows)?;
    rows.extend(rows_of(&all, Comparison::preferences)?);
    Ok(rows)
}

/// The unit of how often replies are preferred: above half of the time.
pub const PREFERENCE: &str = "preference";

/// The distribution of the difference between the mean gains out of and in the trained corpus' distribution.
pub const ABROAD_MINUS_HOME: &str = "out - in";

/// What the training figures say among their departures of what they measure in which profile.
pub const MEASURED_ELSEWHERE: &str = "IFEval, the paper's measure out of distribution, and answers to GSM8K are measured in profiles study and \
                                      paper only. Elsewhere, in the recorded tables too: held-out loss, answers to generated word problems, \
                                      and overlap with Alpaca's answers.";

/// Between the outcomes of [`Row::of`].
const AND: &str = " + ";

/// What stands for all corpora in [`Row::trained_on`].
pub const ALL_CORPORA: &str = "all";

/// On what share of all outcomes each arm does better than plain training: on every corpus, and over all of them; then how
/// much larger the first arm's share is than each other's, over the corpora that both are trained on.
pub fn wins(run: &Run, arms: impl Fn(&Study) -> Vec<Arm>) -> Result<Vec<Row>> {
    let study = study(run);
    wins_of(run, &study, arms(&study))
}

/// The same of a table, which may be one of before intervals were cut to possible values.
pub fn won_rows(table: &Table) -> Result<Vec<Row>> {
    Ok(table.rows::<Row>()?.into_iter().map(Row::possible).collect())
}

fn wins_of(run: &Run, study: &Study, arms: Vec<Arm>) -> Result<Vec<Row>> {
    let contrasts: Vec<(Arm, Arm)> = arms.into_iter().map(|arm| (arm, Arm::mle())).collect();
    let mut rows = Vec::new();
    let all = comparisons(run, study, &contrasts)?;
    for of_model in all.chunk_by(|a, b| a.model == b.model) {
        let won: Vec<(&Comparison<'_>, Draws)> =
            of_model.iter().map(|one| Ok((one, one.won()?))).collect::<Result<_>>()?;
        for (one, draws) in &won {
            rows.push(one.won_row(draws)?);
        }
        let over_corpora = |row: Row| Row { trained_on: ALL_CORPORA.into(), ..row };
        for (arm, _) in &contrasts {
            let here = won.iter().filter(|(one, _)| one.arms[0] == *arm);
            let (ones, draws): (Vec<&Comparison<'_>>, Vec<Draws>) = here.cloned().unzip();
            if let Some((one, mean)) = ones.first().zip(Draws::mean(&draws)) {
                rows.push(over_corpora(one.won_row(&mean)?));
            }
        }
        let [(first, _), others @ ..] = contrasts.as_slice() else { continue };
        for (other, _) in others {
            let of = |corpus: Corpus, arm: &Arm| {
                won.iter().find(|(one, _)| one.corpus == corpus && one.arms[0] == *arm)
            };
            let both = study.corpora.iter().filter_map(|corpus| of(*corpus, first).zip(of(*corpus, other)));
            let (ones, draws): (Vec<&Comparison<'_>>, Vec<Draws>) =
                both.map(|((one, first), (_, other))| (*one, first.minus(other))).unzip();
            if let Some((one, mean)) = ones.first().zip(Draws::mean(&draws)) {
                rows.push(Row { versus: other.name.clone(), ..over_corpora(one.won_row(&mean)?) });
            }
        }
    }
    Ok(rows.into_iter().map(Row::possible).collect())
}

fn rows_of<'a>(
    all: &[Comparison<'a>],
    rows: impl Fn(&Comparison<'a>) -> Result<Vec<Row>>,
) -> Result<Vec<Row>> {
    let rows = all.iter().map(rows).collect::<Result<Vec<_>>>()?;
    Ok(rows.into_iter().flatten().collect())
}

/// Those of which both sides are trained.
fn comparisons<'a>(run: &'a Run, study: &'a Study, contrasts: &[(Arm, Arm)]) -> Result<Vec<Comparison<'a>>> {
    let mut all = Vec::new();
    for model in study.scale.models {
        for corpus in study.corpora.iter().copied() {
            for (arm, versus) in contrasts {
                if study.trains(corpus, arm) && study.trains(corpus, versus) {
                    all.push(Comparison::new(run, study, model, corpus, [arm.clone(), versus.clone()])?);
                }
            }
        }
    }
    Ok(all)
}

/// The grid of a run; what could not be had is named in the figure's title.
pub fn study(run: &Run) -> Study {
    let study = Study::new(run.profile, run.lab());
    for set in &study.missing {
        run.replaced(set, REPLACEMENT);
    }
    study
}

/// A way of training beside another, with what both answered from every seed.
struct Comparison<'a> {
    run: &'a Run,
    study: &'a Study,
    model: &'a str,
    corpus: Corpus,
    /// The arm, and what it is compared with.
    arms: [Arm; 2],
    evaluations: [Vec<Evaluation>; 2],
}

impl<'a> Comparison<'a> {
    fn new(run: &'a Run, study: &'a Study, model: &'a str, corpus: Corpus, arms: [Arm; 2]) -> Result<Self> {
        let seeds = arms.iter().map(|arm| study.seeds(arm)).min().unwrap_or(0);
        let mut evaluations = [Vec::new(), Vec::new()];
        for (arm, of_seeds) in arms.iter().zip(&mut evaluations) {
            for seed in 0..seeds {
                let job = study.evaluated(model, corpus, arm, seed)?;
                of_seeds.push(Evaluation::read(&run.job(&job)?.join(job.verb.output()))?);
            }
        }
        Ok(Self { run, study, model, corpus, arms, evaluations })
    }

    /// An outcome's tallies, one per seed, of the arm and of the other.
    fn tallies(&self, outcome: &Outcome) -> Result<[Vec<&Tallies>; 2]> {
        let key = self.study.key(outcome, self.run.lab())?;
        let mut sides = [Vec::new(), Vec::new()];
        for (side, evaluations) in sides.iter_mut().zip(&self.evaluations) {
            *side = evaluations.iter().map(|one| one.headline(&key)).collect::<Result<_>>()?;
        }
        Ok(sides)
    }

    fn row(
        &self,
        outcome: &str,
        distribution: &str,
        unit: &str,
        draws: &Draws,
        values: [Option<f64>; 2],
    ) -> Result<Row> {
        let [arm, versus] = &self.arms;
        let gain = draws.estimate().with_context(|| format!("{} on {outcome}: no gain", arm.name))?;
        Ok(Row {
            model: short(self.model).into(),
            trained_on: self.corpus.name().into(),
            arm: arm.name.clone(),
            versus: versus.name.clone(),
            outcome: outcome.into(),
            distribution: distribution.into(),
            unit: unit.into(),
            seeds: self.evaluations[0].len() as u64,
            questions: gain.n,
            of: String::new(),
            value: values[0],
            versus_value: values[1],
            gain: gain.value,
            gain_low: gain.low,
            gain_high: gain.high,
        })
    }

    fn won(&self) -> Result<Draws> {
        let won = |outcome: &Outcome| -> Result<Draws> {
            let [arm, versus] = self.tallies(outcome)?;
            Ok(gain(&arm, &versus, outcome.better, outcome.name)?.won())
        };
        let mut all = self.study.outcomes.iter().map(won).collect::<Result<Vec<_>>>()?;
        if self.study.judge.is_some() {
            all.push(self.win_rate(0)?.won());
        }
        Draws::mean(&all).context("nothing is measured")
    }

    fn won_row(&self, won: &Draws) -> Result<Row> {
        let measures = self.study.outcomes.iter().map(|outcome| outcome.name);
        let measures: Vec<&str> = measures.chain(self.study.judge.map(|_| JUDGED)).collect();
        let row = self.row("won", "all", "tasks", won, [None, None])?;
        Ok(Row { of: measures.join(AND), ..row })
    }

    /// How much more often than half the time the judge prefers one arm's replies to plain training's.
    fn win_rate(&self, side: usize) -> Result<Draws> {
        let all = self.evaluations[side].iter().map(|one| one.headline(JUDGED));
        let of_seeds = all.collect::<Result<Vec<_>>>()?;
        judged(&of_seeds).with_context(|| format!("{}: no verdicts", self.arms[side].name))
    }

    fn rows(&self) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        let mut gains: Vec<(&Outcome, Draws, [Option<f64>; 2])> = Vec::new();
        for outcome in &self.study.outcomes {
            let [arm, versus] = self.tallies(outcome)?;
            let draws = gain(&arm, &versus, outcome.better, outcome.name)?;
            let value = |side: &[&Tallies]| {
                let pairs = side.iter().flat_map(|t| t.pairs.clone()).collect();
                Tallies { pairs, ..Tallies::default() }.value()
            };
            let place = distribution(outcome, self.corpus);
            let values = [value(&arm), value(&versus)];
            rows.push(self.row(outcome.name, place, unit(outcome), &draws, values)?);
            gains.push((outcome, draws, values));
        }
        let mut means: Vec<(&str, &str, Draws)> = Vec::new();
        for place in ["in", "out"] {
            for counted in ["nats", "share"] {
                let counts = |o: &Outcome| distribution(o, self.corpus) == place && unit(o) == counted;
                let here: Vec<_> = gains.iter().filter(|(outcome, ..)| counts(outcome)).collect();
                let here = if counted == "share" { above_floor(here, |(.., values)| *values) } else { here };
                let none_above = counted == "share" && here.iter().all(|(.., values)| at_floor(*values));
                let draws: Vec<Draws> = here.iter().map(|(_, draws, _)| draws.clone()).collect();
                let Some(mean) = Draws::mean(&draws) else { continue };
                let value = |side: usize| {
                    let values: Option<Vec<f64>> = here.iter().map(|(.., values)| values[side]).collect();
                    values.map(|values| values.iter().sum::<f64>() / values.len() as f64)
                };
                let row = self.row("mean", place, counted, &mean, [value(0), value(1)])?;
                let of: Vec<&str> = here.iter().map(|(outcome, ..)| outcome.name).collect();
                rows.push(Row { of: of.join(AND), ..row });
                if !none_above {
                    means.push((place, counted, mean));
                }
            }
        }
        for counted in ["nats", "share"] {
            let mean =
                |wanted: &str| means.iter().find(|(place, unit, _)| (*place, *unit) == (wanted, counted));
            let Some(((.., home), (.., abroad))) = mean("in").zip(mean("out")) else { continue };
            let row = self.row("mean", ABROAD_MINUS_HOME, counted, &abroad.minus(home), [None, None])?;
            let of = |place: &str| {
                let is = |row: &&Row| {
                    row.outcome == "mean"
                        && (row.distribution.as_str(), row.unit.as_str()) == (place, counted)
                };
                rows.iter().find(is).map_or_else(String::new, |row| row.of.clone())
            };
            let of = format!("{} against {}", of("out"), of("in"));
            rows.push(Row { of, ..row });
        }
        Ok(rows)
    }

    /// By the judge if there is one, else by overlap in its place. The judge compares with plain training's replies; of
    /// two other arms the one's win rate is above the other's.
    fn preferences(&self) -> Result<Vec<Row>> {
        if self.study.judge.is_some() {
            let place = if self.corpus == Corpus::Alpaca { "in" } else { "out" };
            let preferred = match &self.arms[1] {
                plain if *plain == Arm::mle() => self.win_rate(0)?,
                _ => self.win_rate(0)?.minus(&self.win_rate(1)?),
            };
            return Ok(vec![self.row(JUDGED, place, PREFERENCE, &preferred, [None, None])?]);
        }
        let mut rows = Vec::new();
        for outcome in &self.study.outcomes {
            let [arm, versus] = self.tallies(outcome)?;
            if let Some(preferred) = preference(&arm, &versus) {
                let place = distribution(outcome, self.corpus);
                rows.push(self.row(outcome.name, place, PREFERENCE, &preferred, [None, None])?);
            }
        }
        Ok(rows)
    }
}

/// Those of several outcomes that are above the floor, or all if none is: what neither model answers can neither gain nor
/// lose, and would only make a mean look surer than it is.
fn above_floor<T>(all: Vec<T>, values: impl Fn(&T) -> [Option<f64>; 2]) -> Vec<T> {
    if all.iter().all(|one| at_floor(values(one))) {
        return all;
    }
    all.into_iter().filter(|one| !at_floor(values(one))).collect()
}

fn distribution(outcome: &Outcome, corpus: Corpus) -> &'static str {
    if outcome.is_in_distribution(corpus) { "in" } else { "out" }
}

fn unit(outcome: &Outcome) -> &'static str {
    match outcome.better {
        Better::Less => "nats",
        Better::More => "share",
    }
}
