//! Claims about ways of training, declared as data and tested on rows of gains.

use super::arm::Arm;
use super::corpus::{Corpora, Corpus};
use super::gain::Gain;
use super::outcome::{Distribution, Measure, Unit};
use crate::claim::{Evidence, Expected, OURS, least};
use crate::{Claim, Table, Verdict};
use anyhow::Result;
use std::borrow::Cow;

/// With fewer seeds, claims that compare training runs are not tested.
pub const ENOUGH_SEEDS: u64 = 3;
/// Where neither model answers a larger share of the questions, an objective can neither gain nor lose by answers.
const FLOOR: f64 = 0.02;
/// Why a claim is not tested when there are too few seeds.
pub const TOO_FEW_SEEDS: &str = "not tested at this scale: with fewer than three seeds nothing can be concluded about \
                                 another training run";

/// How intervals of gains come about.
pub const INTERVAL: &str =
    "95 % interval: bootstrap over questions and seeds, never narrower than Student's over either";

/// A claim that one way of training does better than others, or worse. It is tested on each corpus, in each unit.
#[derive(Clone, Debug)]
pub struct Contrast {
    /// Its name in the claim's id: `loss-gains`.
    pub id: Cow<'static, str>,
    /// Who makes the claim, by corpus.
    pub source: fn(Corpus) -> &'static str,
    /// The claim, in our words, without corpus and measure.
    pub statement: Cow<'static, str>,
    /// The way of training.
    pub arm: Arm,
    /// What it is compared with: if several, with each of them, and it must do better than all.
    pub versus: Vec<Arm>,
    /// Where gains are measured.
    pub place: Distribution,
    /// Above: it does better. Below: worse.
    pub expected: Expected,
}

impl Contrast {
    /// The claim that an arm does better in distribution.
    pub fn better(
        id: impl Into<Cow<'static, str>>,
        source: fn(Corpus) -> &'static str,
        statement: impl Into<Cow<'static, str>>,
        arm: Arm,
        versus: &[Arm],
    ) -> Self {
        let (place, expected) = (Distribution::In, Expected::Above(0.0));
        Self {
            id: id.into(),
            source,
            statement: statement.into(),
            arm,
            versus: versus.to_vec(),
            place,
            expected,
        }
    }

    /// The claim that it does worse.
    #[must_use]
    pub fn worse(self) -> Self {
        Self { expected: Expected::Below(0.0), ..self }
    }

    /// The same claim elsewhere than in distribution.
    #[must_use]
    pub fn measured(self, place: Distribution) -> Self {
        Self { place, ..self }
    }

    /// The claim as a figure makes it about models trained on one corpus, tested in one unit on one model's rows. Without
    /// such a row, or with too few seeds, it is not tested.
    pub fn tested(&self, figure: &str, rows: &[Gain], corpus: Corpus, unit: Unit) -> Claim {
        let question = format!("{figure}/{}", self.id);
        let statement = format!("{corpus}: {} ({}).", self.statement, measure(corpus, self.place, unit));
        let source = (self.source)(corpus);
        let is_judged = unit == Unit::Preference && rows.iter().any(Gain::is_judged);
        let claim = Claim::new(&format!("{question}-{corpus}-{unit}"), source, &statement)
            .by(evidence(source, corpus, unit, is_judged))
            .of_question(&question)
            .on_data(&corpus.set().into_iter().collect::<Vec<_>>());
        let each: Vec<Claim> = self
            .versus
            .iter()
            .map(|versus| self.against(claim.clone(), rows, corpus, *versus, unit))
            .collect();
        let untested = |one: &&Claim| matches!(one.verdict, Verdict::NotTested(_));
        match each.as_slice() {
            [one] => one.clone(),
            all => all.iter().find(untested).cloned().unwrap_or_else(|| {
                let others: Vec<&str> = self.versus.iter().map(|arm| arm.name()).collect();
                let test = format!(
                    "{}; {} against each of {}, paired; of these differences the least, in value and in both ends of the \
                     interval; {INTERVAL}",
                    measure(corpus, self.place, unit),
                    self.arm,
                    others.join(", ")
                );
                claim.expecting(self.expected, least(all.iter().filter_map(|one| one.estimate)), &test)
            }),
        }
    }

    /// Tested against one other way of training.
    fn against(&self, claim: Claim, rows: &[Gain], corpus: Corpus, versus: Arm, unit: Unit) -> Claim {
        let is = |row: &&Gain| {
            (row.measure == Measure::Mean || row.unit == Unit::Preference)
                && (row.trained_on, row.arm, row.versus) == (Corpora::One(corpus), self.arm, versus)
                && (row.distribution, row.unit) == (self.place, unit)
        };
        let measured = measure(corpus, self.place, unit);
        let Some(row) = rows.iter().find(is) else {
            return claim.not_tested(&format!(
                "not tested at this scale: no run measures {measured} of {} and {versus} trained on {corpus}",
                self.arm
            ));
        };
        if row.seeds < ENOUGH_SEEDS {
            return claim.not_tested(TOO_FEW_SEEDS);
        }
        if unit == Unit::Share && at_floor([row.value, row.versus_value]) {
            let floor = 100.0 * FLOOR;
            return claim.not_tested(&format!(
                "at the floor: neither model answers more than {floor} % of {} correctly",
                row.of
            ));
        }
        let test = format!("{}; {} against {versus}, paired; {INTERVAL}", described(row, measured), self.arm);
        claim.expecting(self.expected, row.estimate(), &test)
    }
}

/// What kind of evidence a gain is for a claim of a source: the paper has right answers and a judge. The loss on held-out text
/// is what plain training minimises.
fn evidence(source: &str, corpus: Corpus, unit: Unit, is_judged: bool) -> Evidence {
    match unit {
        _ if source.starts_with(OURS) => Evidence::Ours,
        Unit::Preference if is_judged => Evidence::Paper,
        Unit::Share if corpus != Corpus::Alpaca => Evidence::Paper,
        _ => Evidence::Proxy,
    }
}

/// What a row compares, in full.
fn described(row: &Gain, measured: &str) -> String {
    match (row.distribution, row.unit) {
        (_, Unit::Preference) if row.is_judged() => format!("{measured} {}", row.judge()),
        (_, Unit::Preference) => format!("{measured} {}, a stand-in for a judge", row.judge()),
        (Distribution::In, _) => format!("{measured}, in distribution"),
        (Distribution::OutMinusIn, _) => {
            format!("{measured}: the gain out of distribution minus the gain in distribution ({})", row.of)
        }
        _ => format!("{measured}, out of distribution: {}", row.of),
    }
}

/// Why claims about models trained on a corpus are not tested, if so, given the training runs of an arm (`None`: no model is
/// trained on it).
pub fn untested(corpus: Corpus, seeds: Option<u64>) -> Option<String> {
    match seeds {
        None => Some(format!("not tested at this scale: no model is trained on {corpus}")),
        Some(seeds) => (seeds < ENOUGH_SEEDS).then(|| TOO_FEW_SEEDS.to_owned()),
    }
}

/// A departure from the papers of all figures that compare replies to instructions.
pub const NO_JUDGE: &str = "Only the profile paper has a judge. In the other profiles three measures replace AlpacaEval's win rate: \
                            overlap with the reference, how often a reply has more overlap than the reply of the model it is \
                            compared with (length-controlled, ties count one half), and held-out loss.";

/// Subtitle of figures that need a judge, where there was none.
pub const STAND_IN: &str = "Stand-in for the judge: overlap with reference answers";

/// [`STAND_IN`], unless a judge's verdicts are in the table.
pub fn subtitle(table: &Table) -> Result<Option<&'static str>> {
    let judged = table.rows::<Gain>()?.iter().any(Gain::is_judged);
    Ok((!judged).then_some(STAND_IN))
}

/// Units in which a model trained on the corpus is measured in its distribution: replies to free instructions are also
/// compared, by a judge or by a stand-in for one.
pub fn units(corpus: Corpus) -> &'static [Unit] {
    match corpus {
        Corpus::Alpaca => &[Unit::Share, Unit::Nats, Unit::Preference],
        // No task asks for more of a conversation.
        Corpus::Chat => &[Unit::Nats],
        Corpus::Gsm8k | Corpus::Arithmetic | Corpus::Instructions => &[Unit::Share, Unit::Nats],
    }
}

/// Our own corpus is in no paper, so claims about it are ours.
pub fn source(paper: &'static str, corpus: Corpus) -> &'static str {
    if corpus == Corpus::Arithmetic { OURS } else { paper }
}

/// Whether both of two models are at the floor.
pub(super) fn at_floor(answered: [Option<f64>; 2]) -> bool {
    answered.into_iter().all(|value| value.is_some_and(|value| value <= FLOOR))
}

/// What a mean in a unit measures, for a model trained on a corpus, in its distribution or out of it.
pub fn measure(trained_on: Corpus, place: Distribution, unit: Unit) -> &'static str {
    match (unit, place, trained_on) {
        (Unit::Nats, ..) => "loss on held-out text",
        (Unit::Preference, ..) => "replies preferred",
        (_, Distribution::In, Corpus::Alpaca) => "overlap with references",
        (_, Distribution::In, Corpus::Instructions) => "constraints met",
        (_, Distribution::In, _) => "right answers",
        _ => "answers",
    }
}
