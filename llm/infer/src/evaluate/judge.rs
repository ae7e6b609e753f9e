//! `AlpacaEval`: win rates of a model's replies against a baseline's outputs, according to a judge.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use tokensieve_data::Catalogue;
use tokensieve_tasks::alpaca_eval::{FEWEST_VERDICTS, LengthControl, instructions, outputs, read_outputs};
use tokensieve_tasks::judge::{self, Endpoint, Judge, Pairwise, both_orders, pairwise};
use tokensieve_tasks::{Answer, Estimate, Measure};

use super::answers::{self, Answers, beside};
use super::ask::stored_answer;
use super::benchmark::Benchmark;
use super::judging::{BASELINE, JUDGE, JudgeAddress, Judging};
use super::local_judge::{self, LocalJudge};
use super::model::{EvaluatedModel, answer_start};
use super::results::{Judged, Measured, TaskResults};
use super::settings::Settings;
use tokensieve_model::text::Tokenizer;
use tokensieve_model::weights::Checkpoint;
use tokensieve_model::{Error, Model, Result};

/// The task whose replies are judged.
pub(super) const TASK: &str = "alpaca-eval";

/// Computed from the tallies.
pub(super) const WIN_RATE: Measure =
    Measure::share("win_rate", "mean preference for the model's reply, both orders averaged");

/// Computed by a model fitted to all preferences, not from sums.
const CONTROLLED: Measure = Measure::share(
    "lc_win_rate",
    "win rate if all replies were as long as the baseline's, by AlpacaEval's logistic model",
);

/// Names of the measures that depend on the judge and the baseline.
pub(super) const WIN_RATES: [&str; 2] = [WIN_RATE.name, CONTROLLED.name];

/// Name of further tallies: characters of the reply and of the baseline's output.
const LENGTHS: &str = "lengths";

/// Checks, before any question is asked, that there are enough of them, that the judge is available and can be asked, and
/// that the baseline has an output for every question.
pub(super) fn check(benchmark: &dyn Benchmark, judging: &Judging, settings: &Settings) -> Result<()> {
    let address = judging.address()?;
    if benchmark.count() < FEWEST_VERDICTS {
        let what =
            format!("{TASK} with a judge needs at least {FEWEST_VERDICTS} instructions for a win rate");
        return Err(Error::setting("--limit", what));
    }
    let catalogue = Catalogue::load()?;
    let instructions = instructions(&catalogue).map_err(Error::other)?;
    let asked = (0..benchmark.count()).map(|question| place(benchmark, question, instructions.len()));
    baseline(&judging.baseline, &catalogue, &instructions, &asked.collect::<Result<Vec<_>>>()?)?;
    match address {
        JudgeAddress::Local(source) => {
            local_judge::check(source, &Tokenizer::open_on(&local(source)?, settings.date)?)
        }
        JudgeAddress::Endpoint { base, model, key_variable } => {
            endpoint((base, model, key_variable), &settings.out).map(drop)
        }
    }
}

/// The index of a question's instruction.
fn place(benchmark: &dyn Benchmark, question: usize, instructions: usize) -> Result<usize> {
    let id = benchmark.id(question);
    let place = id.parse().ok().filter(|place| *place < instructions);
    place.ok_or_else(|| Error::Run(format!("{TASK} has no instruction `{id}`")))
}

/// Adds win rates to the results of [`TASK`], whose replies are stored in `answers`. Of too few verdicts they are undefined.
pub(super) fn add_win_rates(
    benchmark: &dyn Benchmark,
    results: &mut TaskResults,
    answers: &mut Answers,
    (judging, settings): (&Judging, &Settings),
    interrupted: &'static AtomicBool,
) -> Result<ControlFlow<()>> {
    let catalogue = Catalogue::load()?;
    let instructions = instructions(&catalogue).map_err(Error::other)?;
    // Instructions that were not asked have no preference, so that their empty replies do not count.
    let mut replies = vec![String::new(); instructions.len()];
    let mut asked = Vec::new();
    for question in 0..benchmark.count() {
        let place = place(benchmark, question, replies.len())?;
        let answer = serde_json::from_value(stored_answer(benchmark, answers, question)?.answer.clone());
        if let Some(said) = answer.ok().as_ref().and_then(Answer::said) {
            said.clone_into(&mut replies[place]);
        }
        asked.push(place);
    }
    let baseline = baseline(&judging.baseline, &catalogue, &instructions, &asked)?;
    let control = length_control(&judging.baseline, &catalogue, replies.len())?;
    let of = |texts: &[String]| asked.iter().map(|place| texts[*place].clone()).collect::<Vec<_>>();
    let texts = [of(&instructions), of(&replies), of(&baseline)];
    let judged = match judging.address()? {
        JudgeAddress::Local(model) => by_local(model, &texts, answers, settings, interrupted),
        JudgeAddress::Endpoint { base, model, key_variable } => {
            let endpoint = endpoint((base, model, key_variable), &settings.out).map(|endpoint| {
                endpoint
                    .with_notice(|line| tokensieve_base::status!("{line}"))
                    .with_stop(move || interrupted.load(Ordering::Relaxed))
            });
            endpoint.and_then(|endpoint| by_endpoint(judging, &endpoint, &texts))
        }
    };
    if interrupted.load(Ordering::Relaxed) {
        return Ok(ControlFlow::Break(()));
    }
    let judged = judged?;
    if let Some(first) = judged.nonsense.first() {
        let count = judged.nonsense.len();
        tokensieve_base::status!(
            "{}: {count} verdicts name neither reply; the first is: {}",
            judging.shown(),
            first.answer
        );
    }
    let mut preferences = vec![None; replies.len()];
    for (place, preference) in asked.iter().zip(&judged.preferences) {
        preferences[*place] = *preference;
    }
    let is_controlled = control.is_some();
    let control = control.unwrap_or_else(|| LengthControl::plain(replies.len()));
    let n = judged.preferences.iter().flatten().count();
    let [raw, controlled] = if n < FEWEST_VERDICTS {
        let asked = asked.len();
        tokensieve_base::status!(
            "{TASK}: no win rates, because {n} of {asked} instructions have a verdict; at least {FEWEST_VERDICTS} must have one"
        );
        [Estimate { value: f64::NAN, low: f64::NAN, high: f64::NAN, n }; 2]
    } else {
        for note in control.notes(&judged.preferences) {
            tokensieve_base::status!("{TASK}: {note}");
        }
        let rates = control.win_rates(&preferences, &replies, &baseline, settings.seed);
        let rates = rates.map_err(Error::other)?;
        [rates.raw, rates.length_controlled]
    };
    let tally = |preference: &Option<f64>| preference.map_or(vec![0.0, 0.0], |p| vec![p, 1.0]);
    results.tallies.of.insert(WIN_RATE.name.to_owned(), judged.preferences.iter().map(tally).collect());
    let lengths =
        |place: &usize| [&replies, &baseline].map(|texts| texts[*place].chars().count() as f64).to_vec();
    results.tallies.of.insert(LENGTHS.to_owned(), asked.iter().map(lengths).collect());
    // In the order of the instructions, whatever the order in which they were asked.
    let compared: BTreeMap<usize, &String> = asked.iter().map(|place| (*place, &baseline[*place])).collect();
    results.judged = Some(Judged {
        judge: judging.shown(),
        baseline: judging.baseline.clone(),
        sha256: answers::hash(&json!(compared).to_string()),
    });
    let mut add = |measure: &Measure, estimate: &Estimate| {
        results.measures.shift_insert(0, measure.name.to_owned(), Measured::new(measure, estimate));
    };
    add(&WIN_RATE, &raw);
    if is_controlled {
        add(&CONTROLLED, &controlled);
    }
    Ok(ControlFlow::Continue(()))
}

/// The model that removes the effect of length from a win rate over this baseline. The published model includes the
/// difficulty of each instruction against the leaderboard's baseline; `None` if its data are not available.
fn length_control(
    baseline: &str,
    catalogue: &Catalogue,
    instructions: usize,
) -> Result<Option<LengthControl>> {
    if baseline != BASELINE {
        return Ok(Some(LengthControl::plain(instructions)));
    }
    match LengthControl::published(catalogue) {
        Err(tokensieve_tasks::Error::Data(error)) => {
            tokensieve_base::status!("{} is not computed: {}", CONTROLLED.name, error.brief());
            Ok(None)
        }
        control => Ok(Some(control.map_err(Error::other)?)),
    }
}

/// The outputs with which the replies are compared, one per instruction.
fn baseline(
    which: &str,
    catalogue: &Catalogue,
    instructions: &[String],
    asked: &[usize],
) -> Result<Vec<String>> {
    let file = Path::new(which);
    if !file.is_file() {
        return outputs(catalogue, which).map_err(|error| match error {
            tokensieve_tasks::Error::Setting(what) => {
                Error::setting("--baseline-outputs", format!("there is no file `{which}`; {what}"))
            }
            other => Error::other(other),
        });
    }
    if !answers::is_one(file)? {
        return read_outputs(file, instructions, asked).map_err(Error::other);
    }
    let mut replies = answers::replies(file, TASK)?;
    let mut all = vec![String::new(); instructions.len()];
    for place in asked {
        let missing = || Error::file(file, format!("has no reply to {TASK}'s instruction {place}"));
        all[*place] = replies.remove(&place.to_string()).ok_or_else(missing)?;
    }
    Ok(all)
}

/// Instructions, replies, and outputs of the baseline.
type Texts = [Vec<String>; 3];

fn judged(judge: &dyn Judge, [instructions, replies, baseline]: &Texts) -> Result<Pairwise> {
    pairwise(judge, instructions, replies, baseline).map_err(Error::other)
}

fn local(source: &str) -> Result<Checkpoint> {
    Checkpoint::open(source).map_err(|error| error.model_named_by(JUDGE))
}

fn by_local(
    source: &str,
    texts: &Texts,
    answers: &mut Answers,
    settings: &Settings,
    interrupted: &AtomicBool,
) -> Result<Pairwise> {
    let checkpoint = local(source)?;
    let tokenizer = Tokenizer::open_on(&checkpoint, settings.date)?;
    // The judge is not what is evaluated: its weights stay whole.
    let model = Model::load(&checkpoint, settings.precision.kind, settings.device)?;
    let evaluated = EvaluatedModel::new(&model, &tokenizer, settings.generation(), interrupted);
    let name = verdicts_name(source, &checkpoint, &tokenizer)?;
    judged(&LocalJudge::new(name, evaluated, answers), texts)
}

/// The name under which a local judge's verdicts are stored: all of the judge on which they depend. The header of the
/// answers describes only the model that is evaluated.
pub(super) fn verdicts_name(source: &str, checkpoint: &Checkpoint, tokenizer: &Tokenizer) -> Result<String> {
    let start = answer_start(tokenizer).map_or_else(String::new, |start| format!(" {start:?}"));
    Ok(format!("judge {source} {} {}{start}", &checkpoint.hash()[..16], &tokenizer.hash()?[..16]))
}

fn endpoint((base, model, key_variable): (&str, &str, Option<&str>), out: &Path) -> Result<Endpoint> {
    let settings = judge::Settings {
        base: base.to_owned(),
        key_variable: key_variable.map(str::to_owned),
        ..judge::Settings::new(model, beside(out, "judge.jsonl"))
    };
    Endpoint::new(settings).map_err(Error::other)
}

fn by_endpoint(judging: &Judging, endpoint: &Endpoint, texts: &Texts) -> Result<Pairwise> {
    let [instructions, replies, baseline] = texts;
    let cost = endpoint.cost(&both_orders(instructions, replies, baseline).map_err(Error::other)?);
    if cost.requests > 0 {
        let dollars = judging.prices.map(|prices| format!(", {:.2} dollars in all", cost.dollars(prices)));
        let what = format!(
            "{}: {} requests with about {} tokens, and at most {} tokens of answers{}; {} answers are already stored",
            judging.shown(),
            cost.requests,
            cost.prompt_tokens,
            cost.reply_tokens,
            dollars.unwrap_or_default(),
            cost.kept
        );
        if !(judging.agree)(&what) {
            return Err(Error::Run("the judge was not asked; --yes skips the confirmation".to_owned()));
        }
    }
    judged(endpoint, texts)
}
