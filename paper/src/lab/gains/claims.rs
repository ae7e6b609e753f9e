//! Claims on the rows of the training figures, and what titles say of a judge.

use super::{ABROAD_MINUS_HOME, AND, PREFERENCE, Row};
use crate::claim::{Measured, OURS, least};
use crate::lab::corpus::Corpus;
use crate::lab::study::JUDGED;
use crate::{About, Claim, Table, Verdict};
use anyhow::Result;
use tokensieve_base::statistics::Estimate;

/// Fewer seeds say nothing of another training run: claims about objectives are then not tested.
pub const ENOUGH_SEEDS: u64 = 3;
/// Where neither model answers more of the questions, an objective can neither gain nor lose by answers.
const FLOOR: f64 = 0.02;
/// What a claim says that is not tested for want of seeds.
pub const TOO_FEW_SEEDS: &str =
    "not tested at this scale: fewer than three seeds say nothing of another training run";

/// Why nothing is said of a corpus that so many training runs of an arm saw (`None`: nothing is trained on it), if so.
pub fn untested(corpus: Corpus, seeds: Option<u64>) -> Option<String> {
    match seeds {
        None => Some(format!("not tested at this scale: nothing is trained on {}", corpus.name())),
        Some(seeds) => (seeds < ENOUGH_SEEDS).then(|| TOO_FEW_SEEDS.to_owned()),
    }
}

/// Who prefers.
pub fn judge(row: &Row) -> &'static str {
    if row.outcome == JUDGED { "by the judge" } else { "by overlap" }
}

/// What titles say of figures that want a judge.
pub(super) const STAND_IN: &str = " (in a judge's place: overlap with references)";

/// The figure's title, without its words on what stands in a judge's place if a judge's verdicts are in the table.
pub fn title(about: &About, table: &Table) -> Result<&'static str> {
    let of_judge = |row: &Row| row.outcome == JUDGED || row.of.split(AND).any(|outcome| outcome == JUDGED);
    let judged = table.rows::<Row>()?.iter().any(of_judge);
    Ok(about.title.strip_suffix(STAND_IN).filter(|_| judged).unwrap_or(about.title))
}

/// Units that say how a model trained on the corpus does in its distribution: of replies to free instructions a judge, or
/// what stands in its place, tells which are preferred.
pub fn units(corpus: Corpus) -> &'static [&'static str] {
    match corpus {
        Corpus::Alpaca => &["share", "nats", PREFERENCE],
        // No task asks for more of a conversation.
        Corpus::Chat => &["nats"],
        Corpus::Gsm8k | Corpus::Arithmetic | Corpus::Instructions => &["share", "nats"],
    }
}

/// A claim about training on a corpus, before its test: what is measured is added to its name and statement.
pub fn claim(id: &str, source: &str, corpus: Corpus, text: &str, (place, unit): (&str, &str)) -> Claim {
    let name = corpus.name();
    let statement = format!("{name}: {text} ({}).", measure(name, place, unit));
    let measured = if unit == "nats" { Measured::Loss } else { Measured::Answers };
    Claim::new(&format!("{id}-{name}-{unit}"), source, &statement).asking(id).measured(measured)
}

/// Our own corpus is in no paper: what is said of it is ours.
pub fn source(paper: &'static str, corpus: Corpus) -> &'static str {
    if corpus == Corpus::Arithmetic { OURS } else { paper }
}

/// A claim that the arm does better than what it is compared with on this corpus, by the mean of the outcomes of a
/// distribution and unit. Without such a row, or with too few seeds, it is not tested.
pub fn better(
    rows: &[Row],
    claim: Claim,
    corpus: Corpus,
    (arm, versus): (&str, &str),
    (place, unit): (&str, &str),
) -> Claim {
    tested(rows, claim, corpus, (arm, versus), (place, unit), Claim::above)
}

/// The claim that it does worse.
pub fn worse(
    rows: &[Row],
    claim: Claim,
    corpus: Corpus,
    (arm, versus): (&str, &str),
    (place, unit): (&str, &str),
) -> Claim {
    tested(rows, claim, corpus, (arm, versus), (place, unit), Claim::below)
}

/// The claim that the arm does better than every one of several others, each paired with it: by the least of the differences.
pub fn best(
    rows: &[Row],
    claim: Claim,
    corpus: Corpus,
    (arm, others): (&str, &[String]),
    (place, unit): (&str, &str),
) -> Claim {
    let beside: Vec<Claim> =
        others.iter().map(|other| better(rows, claim.clone(), corpus, (arm, other), (place, unit))).collect();
    if let Some(untested) = beside.iter().find(|one| matches!(one.verdict, Verdict::NotTested(_))) {
        return untested.clone();
    }
    let test = format!(
        "{}; {arm} against each of {}, paired, and of these differences the least in value and interval's ends; {INTERVAL}",
        measure(corpus.name(), place, unit),
        others.join(", ")
    );
    on_data_of(claim, corpus).above(0.0, least(beside.iter().filter_map(|one| one.estimate)), &test)
}

/// An arm's row beside what it is compared with: the mean of a distribution's outcomes of a unit, or of preferences.
fn find<'a>(
    rows: &'a [Row],
    corpus: Corpus,
    (arm, versus): (&str, &str),
    (place, unit): (&str, &str),
) -> Option<&'a Row> {
    rows.iter().find(|row| {
        (row.outcome == "mean" || row.unit == PREFERENCE)
            && (row.trained_on.as_str(), row.arm.as_str(), row.versus.as_str())
                == (corpus.name(), arm, versus)
            && (row.distribution.as_str(), row.unit.as_str()) == (place, unit)
    })
}

fn on_data_of(claim: Claim, corpus: Corpus) -> Claim {
    claim.on_data(&corpus.set().into_iter().collect::<Vec<_>>())
}

fn tested(
    rows: &[Row],
    claim: Claim,
    corpus: Corpus,
    (arm, versus): (&str, &str),
    (place, unit): (&str, &str),
    test: fn(Claim, f64, Option<Estimate>, &str) -> Claim,
) -> Claim {
    let claim = on_data_of(claim, corpus);
    match find(rows, corpus, (arm, versus), (place, unit)) {
        None => claim.not_tested(&format!(
            "not tested at this scale: its runs have no {} of {arm} and {versus} trained on {}",
            measure(corpus.name(), place, unit),
            corpus.name()
        )),
        Some(row) if row.seeds < ENOUGH_SEEDS => claim.not_tested(TOO_FEW_SEEDS),
        Some(row) => {
            let measured = measure(corpus.name(), place, unit);
            let measured = match (place, unit) {
                (_, PREFERENCE) if row.outcome == JUDGED => format!("{measured} {}", judge(row)),
                (_, PREFERENCE) => format!("{measured} {}, in a judge's place", judge(row)),
                ("in", _) => format!("{measured}, in distribution"),
                (ABROAD_MINUS_HOME, _) => {
                    format!("{measured}: the gain out of distribution minus the gain in it ({})", row.of)
                }
                _ => format!("{measured}, out of distribution: {}", row.of),
            };
            let text = format!("{measured}; {arm} against {versus}, paired; {INTERVAL}");
            if unit == "share" && at_floor([row.value, row.versus_value]) {
                let floor = 100.0 * FLOOR;
                return claim.not_tested(&format!(
                    "at the floor: neither model answers more than {floor} % of {} rightly",
                    row.of
                ));
            }
            test(claim, 0.0, Some(row.estimate()), &text)
        }
    }
}

/// Whether neither of two models answers more of the questions than nothing.
pub(super) fn at_floor(answered: [Option<f64>; 2]) -> bool {
    answered.into_iter().all(|value| value.is_some_and(|value| value <= FLOOR))
}

/// How intervals of gains come about.
pub const INTERVAL: &str =
    "95 % interval: bootstrap over questions and seeds, never narrower than Student's over either";

/// What a mean of a unit is of, for a model trained on a corpus, in its distribution or out of it.
pub fn measure(trained_on: &str, place: &str, unit: &str) -> &'static str {
    match (unit, place, trained_on) {
        ("nats", ..) => "loss on held-out text",
        (PREFERENCE, ..) => "replies preferred",
        (_, ABROAD_MINUS_HOME, _) => "answers",
        (_, "in", "alpaca") => "overlap with references",
        (_, "in", "instructions") => "constraints met",
        (_, "in", _) => "right answers",
        _ => "answers",
    }
}
