//! Paper A's abstract: masked training reduces epistemic uncertainty; and what distillation does to the aleatoric one.

use crate::claim::OURS;
use crate::lab::evaluation::Tallies;
use crate::named::{named, print_and_parse};
use crate::study::corpus::OF_CHAT;
use crate::study::held_out::{self, HeldOut};
use crate::study::models::{SMALL_MODEL, each_model, short};
use crate::study::{Arm, Better, Corpus, Draws, Study, claims, compare, gain, level, scoring};
use crate::tokens::{Document, Quantity};
use crate::{About, Claim, Estimate, Evidence, Run, Table, columns};
use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use tokensieve_plot::{Axis, Drawing, Ink, Panel, Series};

/// The figure.
pub(super) struct Figure;

/// The model before training, or after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Model {
    Base,
    After(Arm),
}

impl Model {
    fn name(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::After(arm) => arm.name(),
        }
    }

    fn find(name: &str) -> Option<Self> {
        let after = Arm::ALL.iter().map(|arm| Self::After(*arm));
        [Self::Base].into_iter().chain(after).find(|model| model.name() == name)
    }
}

print_and_parse!(Model, Model::find);

/// What is measured: epistemic uncertainty twice, and the aleatoric one.
const QUANTITIES: [Quantity; 3] = [Quantity::Epistemic, Quantity::Pairwise, Quantity::Aleatoric];

named! {
    /// What a row says.
    enum Measure {
        /// The mean after one way of training.
        Mean = "mean",
        /// That minus another's.
        Difference = "difference",
        /// How much further it is from plain training's than another's is.
        Distance = "distance",
    }
}

/// One uncertainty after one way of training, by itself or beside another.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Measured {
    model: String,
    trained_on: Corpus,
    uncertainty: Quantity,
    measure: Measure,
    arm: Model,
    versus: Option<Model>,
    seeds: usize,
    documents: usize,
    nats: f64,
    nats_low: f64,
    nats_high: f64,
}

impl crate::Figure for Figure {
    fn about(&self) -> About {
        About {
            id: "a-epistemic",
            title: "Does training reduce epistemic uncertainty, and does distillation preserve aleatoric \
                    uncertainty?",
            source: "A, abstract and sections 1 and 4.3",
            caption: "Mean epistemic and aleatoric uncertainty per response token of held-out documents of the \
                      training corpus: of the base model, and after plain training, masked training, and masked \
                      training with distillation of the other tokens from the plain model. 95 % intervals over \
                      documents and seeds. Epistemic uncertainty is measured as BALD, as in the paper, and as the \
                      divergence of two predictions. Paired differences are in the table.",
            protocol: "The base model and every trained model score the same held-out documents, teacher-forced, \
                       over passes with dropout at rate 0.1 on attention and residual connections (10 documents and \
                       20 passes, in the profile study 64 and 100), with the same masks for all models. Means are \
                       over all response tokens.\n\nOver P passes BALD cannot exceed the logarithm of P, and it is \
                       biased low, the more so the larger it is. The mean divergence between the predictions of two \
                       different passes is unbiased: the mean over all pairs, times P/(P − 1). Claims about \
                       epistemic uncertainty are tested with each of the two measures and name the measure.\n\nA \
                       difference is between the same documents and seeds; both are resampled together (1,000 \
                       times).",
            deviations: &[
                "The paper gives no numbers for these statements: what is measured, and on what, is our choice.",
                "Dropout disturbs a model that was trained without it: entropies under dropout are several times as \
                 large as the model's own.",
                SMALL_MODEL,
                OF_CHAT,
            ],
            columns: columns! {
                "model": "base model",
                "trained_on": "corpus of the training documents and of the held-out ones",
                "uncertainty": "`epistemic`: BALD; `pairwise`: divergence of two passes' predictions; `aleatoric`",
                "measure": "`mean` of an arm; `difference`: that minus the mean of `versus`; `distance`: how much \
                            further the arm's mean is from plain training's than that of `versus` is",
                "arm": "way of training; `base`: before training",
                "versus": "what it is compared with; empty for means",
                "seeds": "training runs of each arm",
                "documents": "held-out documents",
                "nats" in "nats": "the measure, per response token",
                "nats_low" in "nats": "lower end of its 95 % interval: bootstrap over documents and seeds, paired, \
                                       never narrower than Student's over either",
                "nats_high" in "nats": "its upper end",
            },
        }
    }

    fn table(&self, run: &Run) -> Result<Table> {
        let study = compare::study(run);
        let seeds = study.scale.seeds;
        let mut rows = Vec::new();
        for model in study.scale.models {
            for corpus in held_out::corpora(&study, run.lab()) {
                let (documents, passes) = scoring::uncertain(run.profile);
                let held_out = HeldOut::new(&study, model, corpus, (documents, passes));
                let scored = |job| Ok(unbiased(held_out::documents(run, &job)?, passes));
                let base = scored(held_out.before()?)?;
                let mut all = vec![(Model::Base, vec![base; seeds as usize])];
                for arm in Study::UNCERTAIN {
                    let of_seeds =
                        (0..seeds).map(|seed| scored(held_out.after(arm, seed)?)).collect::<Result<_>>()?;
                    all.push((Model::After(arm), of_seeds));
                }
                for uncertainty in QUANTITIES {
                    let found =
                        rows_of(&all, corpus, uncertainty).with_context(|| format!("trained on {corpus}"))?;
                    let named = |row| Measured { model: short(model).into(), ..row };
                    rows.extend(found.into_iter().map(named));
                }
            }
        }
        Table::from_rows(&rows)
    }

    fn draw(&self, table: &Table) -> Result<Drawing> {
        let mut rows: Vec<Measured> = table.rows()?;
        rows.retain(|row| row.measure == Measure::Mean);
        let panel = |rows: &[Measured]| {
            let Measured { trained_on, uncertainty, .. } = &rows[0];
            let what = match uncertainty {
                Quantity::Epistemic => "BALD",
                Quantity::Pairwise => "two passes apart",
                other => other.name(),
            };
            let title = format!("trained on {trained_on}: {what}");
            let arms = rows.iter().map(|row| if row.arm == MASKED { "masked" } else { row.arm.name() });
            let at =
                |of: fn(&Measured) -> f64| rows.iter().enumerate().map(move |(at, row)| (at as f64, of(row)));
            let ends = rows.iter().enumerate().map(|(at, row)| (at as f64, row.nats_low, row.nats_high));
            let ink = Ink::Category(usize::from(*uncertainty == Quantity::Aleatoric));
            let y = Axis::linear("nats per response token");
            Panel::new(&title, Axis::categories("", arms).range(-0.5, rows.len() as f64 - 0.5), y)
                .with(Series::error_bars(ends).ink(ink))
                .with(Series::points(at(|row| row.nats)).ink(ink))
        };
        let panels = |rows: &[Measured]| {
            let groups =
                rows.chunk_by(|a, b| (&a.trained_on, a.uncertainty) == (&b.trained_on, b.uncertainty));
            groups.map(panel).collect()
        };
        let panels = each_model(&rows, |row| &row.model, panels, Panel::of);
        Ok(Drawing::new(panels).columns(QUANTITIES.len()).width(1060.0))
    }

    fn claims(&self, table: &Table) -> Result<Vec<Claim>> {
        Ok(each_model(&table.rows()?, |row: &Measured| &row.model, of_model, Claim::of_model))
    }
}

/// A claim that an uncertainty is smaller after one way of training than after another, or before any.
struct Reduced {
    id: &'static str,
    source: &'static str,
    statement: &'static str,
    uncertainty: &'static [Quantity],
    measure: Measure,
    evidence: Evidence,
    model: Model,
    versus: Model,
}

const MLE: Model = Model::After(Arm::Mle);
const MASKED: Model = Model::After(Arm::Masked);
const MASKED_DISTILL: Model = Model::After(Arm::MaskedDistill);
/// Epistemic uncertainty without bias, and as the paper measures it.
const BOTH_WAYS: &[Quantity] = &[Quantity::Pairwise, Quantity::Epistemic];

const CLAIMS: [Reduced; 4] = [
    Reduced {
        id: "masked-reduces",
        source: "A, abstract",
        statement: "masked training reduces epistemic uncertainty",
        uncertainty: BOTH_WAYS,
        measure: Measure::Difference,
        evidence: Evidence::Paper,
        model: MASKED,
        versus: Model::Base,
    },
    Reduced {
        id: "plain-reduces",
        source: "A, section 1",
        statement: "plain training reduces epistemic uncertainty",
        uncertainty: BOTH_WAYS,
        measure: Measure::Difference,
        evidence: Evidence::Paper,
        model: MLE,
        versus: Model::Base,
    },
    Reduced {
        id: "masked-reduces-more",
        source: OURS,
        statement: "masked training reduces epistemic uncertainty more than plain training does",
        uncertainty: BOTH_WAYS,
        measure: Measure::Difference,
        evidence: Evidence::Ours,
        model: MASKED,
        versus: MLE,
    },
    Reduced {
        id: "distillation-keeps-aleatoric",
        source: "A, section 4.3",
        statement: "with distillation, masked training stays closer to plain training's aleatoric uncertainty",
        uncertainty: &[Quantity::Aleatoric],
        measure: Measure::Distance,
        // Plain training's model is the very teacher that is distilled from.
        evidence: Evidence::Check,
        model: MASKED_DISTILL,
        versus: MASKED,
    },
];

/// What is claimed of one model.
fn of_model(rows: &[Measured]) -> Vec<Claim> {
    let mut claims = Vec::new();
    for corpus in [Corpus::Alpaca, Corpus::Gsm8k, Corpus::Arithmetic] {
        for uncertainty in [Quantity::Pairwise, Quantity::Epistemic, Quantity::Aleatoric] {
            let here = CLAIMS.iter().filter(|claim| claim.uncertainty.contains(&uncertainty));
            claims.extend(here.map(|claim| claim.tested(rows, corpus, uncertainty)));
        }
    }
    claims
}

impl Reduced {
    fn tested(&self, rows: &[Measured], corpus: Corpus, uncertainty: Quantity) -> Claim {
        let question = format!("a-epistemic/{}", self.id);
        let (suffix, how, what) = match (self.measure, uncertainty) {
            (Measure::Distance, _) => ("", "", "distance from plain training's mean"),
            (_, Quantity::Epistemic) => ("-bald", ", measured as BALD", "BALD"),
            _ => (
                "",
                ", measured as the divergence of two passes' predictions",
                "mean divergence of two passes' predictions",
            ),
        };
        let (id, statement) =
            (format!("{question}{suffix}-{corpus}"), format!("{corpus}: {}{how}.", self.statement));
        let source = claims::source(self.source, corpus);
        // The paper measures BALD; the divergence of two passes has less bias.
        let evidence = match self.evidence {
            Evidence::Paper if source == OURS => Evidence::Ours,
            Evidence::Paper if uncertainty == Quantity::Pairwise => Evidence::Proxy,
            known => known,
        };
        let claim = Claim::new(&id, source, &statement)
            .by(evidence)
            .of_question(&question)
            .on_data(&corpus.set().into_iter().collect::<Vec<_>>());
        let row = rows.iter().find(|row| {
            (row.trained_on, row.uncertainty, row.measure) == (corpus, uncertainty, self.measure)
                && (row.arm, row.versus) == (self.model, Some(self.versus))
        });
        if let Some(reason) = claims::untested(corpus, row.map(|row| row.seeds as u64)) {
            return claim.not_tested(&reason);
        }
        let test = format!(
            "{what}, nats per response token, {} minus {}, paired; 95 % interval: bootstrap over documents and seeds, never \
             narrower than Student's over either",
            self.model, self.versus
        );
        claim.below(0.0, row.map(Measured::estimate), &test)
    }
}

/// Pairs of a pass with itself do not count: they are no divergence of two.
fn unbiased(mut documents: Vec<Document>, passes: usize) -> Vec<Document> {
    let of_all_pairs = passes as f64 / (passes as f64 - 1.0);
    for token in documents.iter_mut().flat_map(|document| &mut document.tokens) {
        token.pairwise_kl = token.pairwise_kl.map(|divergence| divergence * of_all_pairs);
    }
    documents
}

impl Measured {
    /// With its interval; `n` are seeds.
    fn estimate(&self) -> Estimate {
        Estimate { value: self.nats, low: self.nats_low, high: self.nats_high, n: self.seeds }
    }
}

/// An uncertainty of the base, of plain, masked, and masked and distilling training, each with one entry per seed; the model is
/// left to be named.
fn rows_of(
    scored: &[(Model, Vec<Vec<Document>>)],
    corpus: Corpus,
    uncertainty: Quantity,
) -> Result<Vec<Measured>> {
    let tallies: Vec<Vec<Tallies>> = scored
        .iter()
        .map(|(_, seeds)| seeds.iter().map(|documents| sums(documents, uncertainty)).collect())
        .collect();
    let side = |arm: usize| tallies[arm].iter().collect::<Vec<&Tallies>>();
    // One name for all: the same resamples.
    let difference = |arm: usize, versus: usize| gain(&side(arm), &side(versus), Better::More, "uncertainty");
    let row = |measure: Measure, arm: usize, versus: Option<usize>, draws: &Draws| -> Result<Measured> {
        let found = draws.estimate().context("no token has an uncertainty")?;
        Ok(Measured {
            model: String::new(),
            trained_on: corpus,
            uncertainty,
            measure,
            arm: scored[arm].0,
            versus: versus.map(|versus| scored[versus].0),
            seeds: scored[arm].1.len(),
            documents: found.n,
            nats: found.value,
            nats_low: found.low,
            nats_high: found.high,
        })
    };
    let [base, plain, masked, both] = [0, 1, 2, 3];
    let mut rows = Vec::new();
    for arm in [base, plain, masked, both] {
        rows.push(row(Measure::Mean, arm, None, &level(&side(arm), "uncertainty")?)?);
    }
    for (arm, versus) in [(plain, base), (masked, base), (both, base), (masked, plain), (both, plain)] {
        rows.push(row(Measure::Difference, arm, Some(versus), &difference(arm, versus)?)?);
    }
    let further = difference(both, plain)?.abs().minus(&difference(masked, plain)?.abs());
    rows.push(row(Measure::Distance, both, Some(masked), &further)?);
    Ok(rows)
}

/// Of every document: nats, and tokens that have them.
fn sums(documents: &[Document], uncertainty: Quantity) -> Tallies {
    Tallies::of(documents.iter().map(|document| {
        let values = document.values(uncertainty);
        (document.row, [values.iter().sum(), values.len() as f64])
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::{Token, synthetic};

    /// The documents with so many nats of uncertainty more.
    fn scored(more: f64) -> Vec<Document> {
        let mut documents = synthetic::documents("epistemic test", 12, 0.1);
        for token in documents.iter_mut().flat_map(|document| &mut document.tokens) {
            token.epistemic = token.epistemic.map(|nats| nats + more);
        }
        documents
    }

    #[test]
    fn differences_are_paired_and_distances_know_no_sign() -> Result<()> {
        let base = Model::Base;
        let arms =
            [(base, [0.0; 3]), (MLE, [-0.2; 3]), (MASKED, [-0.6, -0.5, -0.7]), (MASKED_DISTILL, [-0.1; 3])];
        let arms = arms.map(|(model, more)| (model, more.map(scored).to_vec()));
        let rows = rows_of(&arms, Corpus::Alpaca, Quantity::Epistemic)?;
        let find = |measure: Measure, arm: Model, versus: Option<Model>| {
            let is = |row: &&Measured| (row.measure, row.arm, row.versus) == (measure, arm, versus);
            rows.iter().find(is).context("no such row")
        };
        let near = |a: f64, b: f64| (a - b).abs() < 1e-12;
        let before = find(Measure::Mean, base, None)?;
        let expected = sums(&scored(0.0), Quantity::Epistemic).value().context("defined")?;
        assert!(
            near(before.nats, expected) && before.nats_low < before.nats && before.nats < before.nats_high
        );
        // The same on every token and from every seed: pairing leaves no spread.
        let plain = find(Measure::Difference, MLE, Some(base))?;
        assert!(
            [plain.nats, plain.nats_low, plain.nats_high].iter().all(|nats| near(*nats, -0.2)),
            "{plain:?}"
        );
        let masked = find(Measure::Difference, MASKED, Some(MLE))?;
        assert!(near(masked.nats, -0.4) && masked.nats_low < -0.5 && masked.nats_high > -0.3, "{masked:?}");
        // 0.1 above plain training is nearer than 0.4 below.
        let nearer = find(Measure::Distance, MASKED_DISTILL, Some(MASKED))?;
        assert!(near(nearer.nats, 0.1 - 0.4) && nearer.nats_high < 0.0, "{nearer:?}");
        // Of two passes a divergence of 1 each way, and none of each with itself.
        let token = Token { response: true, pairwise_kl: Some(0.5), ..Token::default() };
        let apart = unbiased(vec![Document { row: 0, tokens: vec![token] }], 2);
        assert_eq!(apart[0].values(Quantity::Pairwise), [1.0]);
        assert_eq!((nearer.seeds, nearer.documents), (3, 12));
        let after = |model: Model, documents: &[Document]| (model, vec![documents.to_vec()]);
        let all = scored(0.0);
        let torn =
            [after(base, &all), after(MLE, &all[1..]), after(MASKED, &all), after(MASKED_DISTILL, &all)];
        assert!(rows_of(&torn, Corpus::Alpaca, Quantity::Epistemic).is_err());
        Ok(())
    }
}
