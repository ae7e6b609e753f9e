//! Comparisons of two ways of training by every outcome: what the training figures' tables are made of.

use super::arm::Arm;
use super::claims::at_floor;
use super::corpus::{Corpora, Corpus, REPLACEMENT};
use super::draws::{Draws, gain};
use super::gain::{Gain, names};
use super::grid::Study;
use super::models::short;
use super::outcome::{Distribution, Measure, Outcome, Unit};
use super::preference::{judged, preference};
use super::scale::Scale;
use crate::Run;
use crate::lab::evaluation::{Evaluation, JUDGED, Tallies};
use anyhow::{Context as _, Result};

/// A departure from the papers of all training figures: what is measured in which profile.
pub const MEASURED_ELSEWHERE: &str = "IFEval, the paper's measure out of distribution, and answers to GSM8K are measured in the \
                                      profiles study and paper only. The other profiles, and so the recorded tables, measure \
                                      held-out loss, answers to generated word problems, and overlap with Alpaca's answers.";

/// The rows of these comparisons on every model and corpus of the run's profile: every outcome, then the means of in- and
/// out-of-distribution gains.
pub fn rows(run: &Run, contrasts: impl Fn(&Study) -> Vec<(Arm, Arm)>) -> Result<Vec<Gain>> {
    let study = study(run);
    let all = comparisons(run, &study, &contrasts(&study))?;
    rows_of(&all, Comparison::rows)
}

/// The same, then how often the arm's replies are preferred, on every outcome with replies to free questions.
pub fn rows_and_preferences(run: &Run, contrasts: impl Fn(&Study) -> Vec<(Arm, Arm)>) -> Result<Vec<Gain>> {
    let study = study(run);
    let all = comparisons(run, &study, &contrasts(&study))?;
    let mut rows = rows_of(&all, Comparison::rows)?;
    rows.extend(rows_of(&all, Comparison::preferences)?);
    Ok(rows)
}

/// On what share of all outcomes each arm does better than plain training: on every corpus, and over all of them; then how
/// much larger the first arm's share is than each other's, over the corpora that both are trained on.
pub fn wins(run: &Run, arms: impl Fn(&Study) -> Vec<Arm>) -> Result<Vec<Gain>> {
    let study = study(run);
    wins_of(run, &study, arms(&study))
}

pub(super) fn wins_of(run: &Run, study: &Study, arms: Vec<Arm>) -> Result<Vec<Gain>> {
    let contrasts: Vec<(Arm, Arm)> = arms.into_iter().map(|arm| (arm, Arm::Mle)).collect();
    let mut rows = Vec::new();
    let all = comparisons(run, study, &contrasts)?;
    for of_model in all.chunk_by(|a, b| a.model == b.model) {
        let won: Vec<(&Comparison<'_>, Draws)> =
            of_model.iter().map(|one| Ok((one, one.won()?))).collect::<Result<_>>()?;
        for (one, draws) in &won {
            rows.push(one.won_row(draws)?);
        }
        let over_corpora = |row: Gain| Gain { trained_on: Corpora::All, ..row };
        for (arm, _) in &contrasts {
            let here = won.iter().filter(|(one, _)| one.arms[0] == *arm);
            let (ones, draws): (Vec<&Comparison<'_>>, Vec<Draws>) = here.cloned().unzip();
            if let Some((one, mean)) = ones.first().zip(Draws::mean(&draws)) {
                rows.push(over_corpora(one.won_row(&mean)?));
            }
        }
        let [(first, _), others @ ..] = contrasts.as_slice() else { continue };
        for (other, _) in others {
            let of = |corpus: Corpus, arm: Arm| {
                won.iter().find(|(one, _)| one.corpus == corpus && one.arms[0] == arm)
            };
            let both = study.corpora.iter().filter_map(|corpus| of(*corpus, *first).zip(of(*corpus, *other)));
            let (ones, draws): (Vec<&Comparison<'_>>, Vec<Draws>) =
                both.map(|((one, first), (_, other))| (*one, first.minus(other))).unzip();
            if let Some((one, mean)) = ones.first().zip(Draws::mean(&draws)) {
                rows.push(Gain { versus: *other, ..over_corpora(one.won_row(&mean)?) });
            }
        }
    }
    Ok(rows.into_iter().map(Gain::possible).collect())
}

fn rows_of<'a>(
    all: &[Comparison<'a>],
    rows: impl Fn(&Comparison<'a>) -> Result<Vec<Gain>>,
) -> Result<Vec<Gain>> {
    let rows = all.iter().map(rows).collect::<Result<Vec<_>>>()?;
    Ok(rows.into_iter().flatten().collect())
}

/// The comparisons both of whose arms are trained.
fn comparisons<'a>(run: &'a Run, study: &'a Study, contrasts: &[(Arm, Arm)]) -> Result<Vec<Comparison<'a>>> {
    let mut all = Vec::new();
    for model in study.scale.models {
        for corpus in study.corpora.iter().copied() {
            for (arm, versus) in contrasts {
                if study.trains(corpus, *arm) && study.trains(corpus, *versus) {
                    all.push(Comparison::new(run, study, model, corpus, [*arm, *versus])?);
                }
            }
        }
    }
    Ok(all)
}

/// The grid of a run; what could not be obtained is named in the figure's title.
pub fn study(run: &Run) -> Study {
    let scale = if run.synthetic_data() { Scale::made_up() } else { Scale::of(run.profile) };
    let study = Study::of(scale, run.lab());
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
        let seeds = arms.iter().map(|arm| study.seeds(*arm)).min().unwrap_or(0);
        let mut evaluations = [Vec::new(), Vec::new()];
        for (arm, of_seeds) in arms.iter().zip(&mut evaluations) {
            for seed in 0..seeds {
                let job = study.evaluated(model, corpus, *arm, seed)?;
                of_seeds.push(Evaluation::read(&run.job(&job)?.join(job.verb.output()))?);
            }
        }
        Ok(Self { run, study, model, corpus, arms, evaluations })
    }

    /// An outcome's tallies, one per seed, of the arm and of the other.
    fn tallies(&self, outcome: Outcome) -> Result<[Vec<&Tallies>; 2]> {
        let key = self.study.key(outcome, self.run.lab())?;
        let mut sides = [Vec::new(), Vec::new()];
        for (side, evaluations) in sides.iter_mut().zip(&self.evaluations) {
            *side = evaluations.iter().map(|one| one.headline(&key)).collect::<Result<_>>()?;
        }
        Ok(sides)
    }

    fn row(&self, measure: Measure, distribution: Distribution, unit: Unit, draws: &Draws) -> Result<Gain> {
        let [arm, versus] = self.arms;
        let gain = draws.estimate().with_context(|| format!("{arm} on {measure}: the gain is undefined"))?;
        Ok(Gain {
            model: short(self.model).into(),
            trained_on: Corpora::One(self.corpus),
            arm,
            versus,
            measure,
            distribution,
            unit,
            seeds: self.evaluations[0].len() as u64,
            questions: gain.n,
            of: String::new(),
            value: None,
            versus_value: None,
            gain: gain.value,
            gain_low: gain.low,
            gain_high: gain.high,
        })
    }

    fn won(&self) -> Result<Draws> {
        let won = |outcome: &Outcome| -> Result<Draws> {
            let [arm, versus] = self.tallies(*outcome)?;
            Ok(gain(&arm, &versus, outcome.better(), outcome.name())?.won())
        };
        let mut all = self.study.outcomes.iter().map(won).collect::<Result<Vec<_>>>()?;
        if self.study.judge.is_some() {
            all.push(self.win_rate(0)?.won());
        }
        Draws::mean(&all).context("nothing is measured")
    }

    fn won_row(&self, won: &Draws) -> Result<Gain> {
        let judged = self.study.judge.map(|_| Outcome::AlpacaEval);
        let row = self.row(Measure::Won, Distribution::All, Unit::Tasks, won)?;
        Ok(Gain { of: names(self.study.outcomes.iter().copied().chain(judged)), ..row })
    }

    /// How much more often than half the time the judge prefers one arm's replies to plain training's.
    fn win_rate(&self, side: usize) -> Result<Draws> {
        let all = self.evaluations[side].iter().map(|one| one.headline(JUDGED));
        let of_seeds = all.collect::<Result<Vec<_>>>()?;
        judged(&of_seeds).with_context(|| format!("{}: no verdicts", self.arms[side]))
    }

    /// Every outcome, then the means by distribution and unit, then the means out of distribution minus those in
    /// distribution.
    fn rows(&self) -> Result<Vec<Gain>> {
        let single = self.study.outcomes.iter().map(|outcome| self.single(*outcome));
        let single = single.collect::<Result<Vec<Single>>>()?;
        let mut rows: Vec<Gain> = single.iter().map(|one| one.row.clone()).collect();
        let mut means = Vec::new();
        for distribution in [Distribution::In, Distribution::Out] {
            for unit in [Unit::Nats, Unit::Share] {
                let here = |one: &&Single| one.row.distribution == distribution && one.row.unit == unit;
                means.extend(self.mean(single.iter().filter(here).collect(), distribution, unit)?);
            }
        }
        rows.extend(means.iter().map(|mean| mean.row.clone()));
        for unit in [Unit::Nats, Unit::Share] {
            let mean = |distribution: Distribution| {
                let is = |mean: &&Mean| mean.row.distribution == distribution && mean.row.unit == unit;
                means.iter().find(is).filter(|mean| !mean.at_floor)
            };
            let Some((home, abroad)) = mean(Distribution::In).zip(mean(Distribution::Out)) else { continue };
            let further = abroad.draws.minus(&home.draws);
            let row = self.row(Measure::Mean, Distribution::OutMinusIn, unit, &further)?;
            rows.push(Gain { of: format!("{} against {}", abroad.row.of, home.row.of), ..row });
        }
        Ok(rows)
    }

    fn single(&self, outcome: Outcome) -> Result<Single> {
        let [arm, versus] = self.tallies(outcome)?;
        let draws = gain(&arm, &versus, outcome.better(), outcome.name())?;
        let value = |side: &[&Tallies]| {
            let pairs = side.iter().flat_map(|t| t.pairs.clone()).collect();
            Tallies { pairs, ..Tallies::default() }.value()
        };
        let distribution = outcome.distribution(self.corpus);
        let row = self.row(Measure::Of(outcome), distribution, outcome.unit(), &draws)?;
        let row = Gain { value: value(&arm), versus_value: value(&versus), ..row };
        Ok(Single { outcome, draws, row })
    }

    /// The mean of outcomes of one distribution and unit, if there are any.
    fn mean(&self, of: Vec<&Single>, distribution: Distribution, unit: Unit) -> Result<Option<Mean>> {
        let of = if unit == Unit::Share { above_floor(of, |one| one.values()) } else { of };
        let draws: Vec<Draws> = of.iter().map(|one| one.draws.clone()).collect();
        let Some(draws) = Draws::mean(&draws) else { return Ok(None) };
        let value = |side: usize| {
            let values: Option<Vec<f64>> = of.iter().map(|one| one.values()[side]).collect();
            values.map(|values| values.iter().sum::<f64>() / values.len() as f64)
        };
        let row = self.row(Measure::Mean, distribution, unit, &draws)?;
        let names = names(of.iter().map(|one| one.outcome));
        let row = Gain { of: names, value: value(0), versus_value: value(1), ..row };
        let at_floor = unit == Unit::Share && of.iter().all(|one| at_floor(one.values()));
        Ok(Some(Mean { row, draws, at_floor }))
    }

    /// By the judge if there is one, else by overlap. The judge compares replies with those of plain training; two other arms
    /// are compared by the difference of their win rates.
    fn preferences(&self) -> Result<Vec<Gain>> {
        if self.study.judge.is_some() {
            let alpaca = self.corpus == Corpus::Alpaca;
            let place = if alpaca { Distribution::In } else { Distribution::Out };
            let preferred = match self.arms[1] {
                Arm::Mle => self.win_rate(0)?,
                _ => self.win_rate(0)?.minus(&self.win_rate(1)?),
            };
            let judged = Measure::Of(Outcome::AlpacaEval);
            return Ok(vec![self.row(judged, place, Unit::Preference, &preferred)?]);
        }
        let mut rows = Vec::new();
        for outcome in &self.study.outcomes {
            let [arm, versus] = self.tallies(*outcome)?;
            if let Some(preferred) = preference(&arm, &versus) {
                let place = outcome.distribution(self.corpus);
                rows.push(self.row(Measure::Of(*outcome), place, Unit::Preference, &preferred)?);
            }
        }
        Ok(rows)
    }
}

/// One outcome of a comparison.
struct Single {
    outcome: Outcome,
    draws: Draws,
    row: Gain,
}

impl Single {
    /// What the two models reach.
    fn values(&self) -> [Option<f64>; 2] {
        [self.row.value, self.row.versus_value]
    }
}

/// The mean of several outcomes of a comparison.
struct Mean {
    row: Gain,
    draws: Draws,
    /// Whether neither model answers anything.
    at_floor: bool,
}

/// Those of several outcomes that are above the floor, or all if none is. An outcome at the floor can neither gain nor lose,
/// and would only make the interval of a mean too narrow.
pub(super) fn above_floor<T>(all: Vec<T>, values: impl Fn(&T) -> [Option<f64>; 2]) -> Vec<T> {
    if all.iter().all(|one| at_floor(values(one))) {
        return all;
    }
    all.into_iter().filter(|one| !at_floor(values(one))).collect()
}
