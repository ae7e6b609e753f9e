//! Paper A's abstract: masked training reduces epistemic uncertainty; and what distillation does to the aleatoric one.

use crate::claim::OURS;
use crate::lab::arm::Arm;
use crate::lab::corpus::{Corpus, OF_CHAT};
use crate::lab::gains;
use crate::lab::models::each_model;
use crate::lab::outcome::{Better, Draws, Tallies, gain, level};
use crate::lab::study::{Study, short};
use tokensieve_plot::{Axis, Drawing, Ink, Panel, Series};
use crate::tokens::held_out::{self, HeldOut};
use crate::tokens::{Document, Quantity, scoring};
use crate::{About, Claim, Column, Estimate, Run, Table};
use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

/// The figure.
pub(super) struct Figure;

/// What the model before training is called.
const BASE: &str = "base";

/// What is measured: epistemic uncertainty twice, and the aleatoric one.
const QUANTITIES: [Quantity; 3] = [Quantity::Epistemic, Quantity::Pairwise, Quantity::Aleatoric];

/// What a row says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Measure {
    /// The mean after one way of training.
    Mean,
    /// That minus another's.
    Difference,
    /// How much further it is from plain training's than another's is.
    Distance,
}

/// One uncertainty after one way of training, by itself or beside another.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Row {
    model: String,
    trained_on: String,
    uncertainty: Quantity,
    measure: Measure,
    arm: String,
    versus: Option<String>,
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
            title: "Does training reduce epistemic uncertainty, and does distillation keep the aleatoric one?",
            source: "A, abstract and sections 1 and 4.3",
            caption: "Mean epistemic uncertainty and aleatoric uncertainty per response token of held-out documents of the \
                      corpus trained on: of the base model, and after plain training, masked training, and masked training with \
                      distillation of the other tokens from the plain model; 95 % intervals over documents and seeds. \
                      Epistemic uncertainty as BALD, which is the paper's measure, and as the divergence of two predictions. \
                      Differences, paired, are in the table.",
            protocol: "The same held-out documents are scored by the base model and by every trained one, teacher-forced, over passes \
                       with dropout at rate 0.1 on attention and residual connections (10 documents and 20 passes, in the profile \
                       study 64 and 100), with the same masks for all models. Means are over all response tokens.\n\nOf P passes BALD cannot \
                       exceed the logarithm of P and is too small, the more so the larger it is. Another measure, the mean divergence of the \
                       predictions of two different passes, is unbiased: over all pairs, times P/(P − 1). Claims \
                       about epistemic uncertainty are tested by each, and say by which.\n\nA difference is \
                       of the same documents and seeds; both are resampled together (1,000 times).",
            deviations: &[
                "The paper gives no numbers for these statements: what is measured, and on what, is our choice.",
                "Dropout disturbs a model that was trained without it: entropies under dropout are a multiple of the model's own.",
                "SmolLM2-135M-Instruct in all profiles but paper.",
                OF_CHAT,
            ],
            columns: vec![
                Column::new("model", "", "base model"),
                Column::new("trained_on", "", "corpus trained on, from which the held-out documents are too"),
                Column::new(
                    "uncertainty",
                    "",
                    "`epistemic`: BALD; `pairwise`: divergence of two passes' predictions; `aleatoric`",
                ),
                Column::new(
                    "measure",
                    "",
                    "`mean` of an arm; `difference`: that minus the mean of `versus`; `distance`: how much further the arm's mean is \
                     from plain training's than that of `versus` is",
                ),
                Column::new("arm", "", "way of training; `base`: none"),
                Column::new("versus", "", "what it is compared with; empty for means"),
                Column::new("seeds", "", "training runs of each arm"),
                Column::new("documents", "", "held-out documents"),
                Column::new("nats", "nats", "the measure, per response token"),
                Column::new(
                    "nats_low",
                    "nats",
                    "lower end of its 95 % interval: bootstrap over documents and seeds, paired, never narrower than Student's over \
                     either",
                ),
                Column::new("nats_high", "nats", "its upper end"),
            ],
        }
    }

    fn table(&self, run: &Run) -> Result<Table> {
        let study = gains::study(run);
        let seeds = study.scale.seeds;
        let mut rows = Vec::new();
        for model in study.scale.models {
            for corpus in held_out::corpora(&study, run.lab()) {
                let (documents, passes) = scoring::uncertain(run.profile);
                let held_out = HeldOut::new(&study, model, corpus, (documents, passes));
                let scored = |job| Ok(unbiased(held_out::documents(run, &job)?, passes));
                let base = scored(held_out.before()?)?;
                let mut all = vec![(BASE.to_owned(), vec![base; seeds as usize])];
                for arm in Study::uncertain_arms() {
                    let of_seeds =
                        (0..seeds).map(|seed| scored(held_out.after(&arm, seed)?)).collect::<Result<_>>()?;
                    all.push((arm.name, of_seeds));
                }
                for uncertainty in QUANTITIES {
                    let found = rows_of(&all, uncertainty)
                        .with_context(|| format!("trained on {}", corpus.name()))?;
                    let named =
                        |row| Row { model: short(model).into(), trained_on: corpus.name().into(), ..row };
                    rows.extend(found.into_iter().map(named));
                }
            }
        }
        Table::from_rows(&rows)
    }

    fn draw(&self, table: &Table) -> Result<Drawing> {
        let mut rows: Vec<Row> = table.rows()?;
        rows.retain(|row| row.measure == Measure::Mean);
        let masked = Arm::masked().name;
        let panel = |rows: &[Row]| {
            let Row { trained_on, uncertainty, .. } = &rows[0];
            let what = match uncertainty {
                Quantity::Epistemic => "BALD",
                Quantity::Pairwise => "two passes apart",
                other => other.name(),
            };
            let title = format!("trained on {trained_on}: {what}");
            let arms = rows.iter().map(|row| if row.arm == masked { "masked" } else { row.arm.as_str() });
            let at = |of: fn(&Row) -> f64| rows.iter().enumerate().map(move |(at, row)| (at as f64, of(row)));
            let ends = rows.iter().enumerate().map(|(at, row)| (at as f64, row.nats_low, row.nats_high));
            let ink = Ink::Category(usize::from(*uncertainty == Quantity::Aleatoric));
            let y = Axis::linear("nats per response token");
            Panel::new(&title, Axis::categories("", arms).range(-0.5, rows.len() as f64 - 0.5), y)
                .with(Series::error_bars(ends).ink(ink))
                .with(Series::points(at(|row| row.nats)).ink(ink))
        };
        let panels = |rows: &[Row]| {
            let groups =
                rows.chunk_by(|a, b| (&a.trained_on, a.uncertainty) == (&b.trained_on, b.uncertainty));
            groups.map(panel).collect()
        };
        let panels = each_model(&rows, |row| &row.model, panels, Panel::of);
        Ok(Drawing::new(panels).columns(QUANTITIES.len()).width(1060.0))
    }

    fn claims(&self, table: &Table) -> Result<Vec<Claim>> {
        Ok(each_model(&table.rows()?, |row: &Row| &row.model, claims, Claim::of_model))
    }
}

/// What is claimed of one model.
fn claims(rows: &[Row]) -> Vec<Claim> {
    let arms = Study::uncertain_arms().map(|arm| arm.name);
    let [plain, masked, both] = arms.each_ref().map(String::as_str);
    let mut claims = Vec::new();
    for corpus in [Corpus::Alpaca, Corpus::Gsm8k, Corpus::Arithmetic] {
        let below = |id: &str,
                     source,
                     text: &str,
                     quantity: Quantity,
                     measure: Measure,
                     [arm, versus]: [&str; 2]| {
            let name = corpus.name();
            let asks = format!("a-epistemic/{id}");
            let (suffix, said, what) = match (measure, quantity) {
                (Measure::Distance, _) => ("", "", "distance from plain training's mean"),
                (_, Quantity::Epistemic) => ("-bald", ", measured as BALD", "BALD"),
                _ => (
                    "",
                    ", measured as the divergence of two passes' predictions",
                    "mean divergence of two passes' predictions",
                ),
            };
            let (id, text) = (format!("{asks}{suffix}-{name}"), format!("{name}: {text}{said}."));
            let claim = Claim::new(&id, gains::source(source, corpus), &text)
                .asking(&asks)
                .on_data(&corpus.set().into_iter().collect::<Vec<_>>());
            let uncertainty = quantity;
            let row = rows.iter().find(|row| {
                (row.trained_on.as_str(), row.uncertainty, row.measure) == (name, uncertainty, measure)
                    && (row.arm.as_str(), row.versus.as_deref()) == (arm, Some(versus))
            });
            if let Some(reason) = gains::untested(corpus, row.map(|row| row.seeds as u64)) {
                return claim.not_tested(&reason);
            }
            let test = format!(
                "{what}, nats per response token, {arm} minus {versus}, paired; 95 % interval: bootstrap over \
                 documents and seeds, never narrower than Student's over either"
            );
            claim.below(0.0, row.map(Row::estimate), &test)
        };
        for of in [Quantity::Pairwise, Quantity::Epistemic] {
            let reduced = |id: &str, source, text: &str, arms: [&str; 2]| {
                below(id, source, text, of, Measure::Difference, arms)
            };
            let text = "masked training reduces epistemic uncertainty";
            claims.push(reduced("masked-reduces", "A, abstract", text, [masked, BASE]));
            let text = "plain training reduces epistemic uncertainty";
            claims.push(reduced("plain-reduces", "A, section 1", text, [plain, BASE]));
            let text = "masked training reduces epistemic uncertainty more than plain training does";
            claims.push(reduced("masked-reduces-more", OURS, text, [masked, plain]));
        }
        let text =
            "with distillation, masked training stays closer to plain training's aleatoric uncertainty";
        claims.push(below(
            "distillation-keeps-aleatoric",
            "A, section 4.3",
            text,
            Quantity::Aleatoric,
            Measure::Distance,
            [both, masked],
        ));
    }
    claims
}

/// Pairs of a pass with itself do not count: they are no divergence of two.
fn unbiased(mut documents: Vec<Document>, passes: usize) -> Vec<Document> {
    let of_all_pairs = passes as f64 / (passes as f64 - 1.0);
    for token in documents.iter_mut().flat_map(|document| &mut document.tokens) {
        token.pairwise_kl = token.pairwise_kl.map(|divergence| divergence * of_all_pairs);
    }
    documents
}

impl Row {
    /// With its interval; `n` are seeds.
    fn estimate(&self) -> Estimate {
        Estimate { value: self.nats, low: self.nats_low, high: self.nats_high, n: self.seeds }
    }
}

/// An uncertainty of the base, of plain, masked, and masked and distilling training, each with one entry per seed; model and
/// corpus are left to be named.
fn rows_of(scored: &[(String, Vec<Vec<Document>>)], uncertainty: Quantity) -> Result<Vec<Row>> {
    let tallies: Vec<Vec<Tallies>> = scored
        .iter()
        .map(|(_, seeds)| seeds.iter().map(|documents| sums(documents, uncertainty)).collect())
        .collect();
    let side = |arm: usize| tallies[arm].iter().collect::<Vec<&Tallies>>();
    // One name for all: the same resamples.
    let difference = |arm: usize, versus: usize| gain(&side(arm), &side(versus), Better::More, "uncertainty");
    let row = |measure: Measure, arm: usize, versus: Option<usize>, draws: &Draws| -> Result<Row> {
        let found = draws.estimate().context("no token has an uncertainty")?;
        Ok(Row {
            model: String::new(),
            trained_on: String::new(),
            uncertainty,
            measure,
            arm: scored[arm].0.clone(),
            versus: versus.map(|versus| scored[versus].0.clone()),
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
        let arms =
            [(BASE, [0.0; 3]), ("plain", [-0.2; 3]), ("masked", [-0.6, -0.5, -0.7]), ("both", [-0.1; 3])];
        let arms = arms.map(|(name, more)| (name.to_owned(), more.map(scored).to_vec()));
        let rows = rows_of(&arms, Quantity::Epistemic)?;
        let find = |measure: Measure, arm: &str, versus: Option<&str>| {
            let is =
                |row: &&Row| (row.measure, row.arm.as_str(), row.versus.as_deref()) == (measure, arm, versus);
            rows.iter().find(is).context("no such row")
        };
        let near = |a: f64, b: f64| (a - b).abs() < 1e-12;
        let base = find(Measure::Mean, BASE, None)?;
        let expected = sums(&scored(0.0), Quantity::Epistemic).value().context("defined")?;
        assert!(near(base.nats, expected) && base.nats_low < base.nats && base.nats < base.nats_high);
        // The same on every token and from every seed: pairing leaves no spread.
        let plain = find(Measure::Difference, "plain", Some(BASE))?;
        assert!(
            [plain.nats, plain.nats_low, plain.nats_high].iter().all(|nats| near(*nats, -0.2)),
            "{plain:?}"
        );
        let masked = find(Measure::Difference, "masked", Some("plain"))?;
        assert!(near(masked.nats, -0.4) && masked.nats_low < -0.5 && masked.nats_high > -0.3, "{masked:?}");
        // 0.1 above plain training is nearer than 0.4 below.
        let nearer = find(Measure::Distance, "both", Some("masked"))?;
        assert!(near(nearer.nats, 0.1 - 0.4) && nearer.nats_high < 0.0, "{nearer:?}");
        // Of two passes a divergence of 1 each way, and none of each with itself.
        let token = Token { response: true, pairwise_kl: Some(0.5), ..Token::default() };
        let apart = unbiased(vec![Document { row: 0, tokens: vec![token] }], 2);
        assert_eq!(apart[0].values(Quantity::Pairwise), [1.0]);
        assert_eq!((nearer.seeds, nearer.documents), (3, 12));
        let arm = |name: &str, documents: &[Document]| (name.to_owned(), vec![documents.to_vec()]);
        let all = scored(0.0);
        let torn = [arm(BASE, &all), arm("plain", &all[1..]), arm("masked", &all), arm("both", &all)];
        assert!(rows_of(&torn, Quantity::Epistemic).is_err());
        Ok(())
    }
}
