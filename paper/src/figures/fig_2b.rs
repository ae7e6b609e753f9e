//! Paper A, figure 2B: with what the two uncertainties are correlated.

use crate::study::models::{SMALL_MODEL, each_model};
use crate::study::scoring::{Dataset, Scoring, models, places};
use crate::tokens::{Method, Quantity, correlations};
use crate::{About, Claim, Declared, Estimate, Evidence, Expected, Run, Table, row};
use anyhow::Result;
use tokensieve_plot::{Axis, Drawing, Ink, Panel, Series, Shape};

/// The figure.
pub(super) struct Figure;

row! {
    /// One uncertainty, by one method, of one model on one data set.
    struct Correlated {
        model: String = "name of the model",
        dataset: Dataset = "what is scored",
        places: String = "where dropout acts",
        uncertainty: Quantity = "epistemic or aleatoric",
        method: Method = "spearman or pearson",
        documents: usize = "number of documents",
        tokens: usize = "number of response tokens",
        loss: f64 = "correlation with the loss",
        loss_low: f64 = "lower end of its 95 % interval (bootstrap over documents, never narrower than Student's)",
        loss_high: f64 = "upper end",
        entropy: f64 = "correlation with the entropy",
        entropy_low: f64 = "lower end of its 95 % interval (bootstrap over documents, never narrower than Student's)",
        entropy_high: f64 = "upper end",
        difference: f64 = "correlation with the loss minus correlation with the entropy",
        difference_low: f64 = "lower end of its 95 % interval, both resampled together",
        difference_high: f64 = "upper end",
    }
}

impl crate::Figure for Figure {
    fn about(&self) -> About {
        About {
            id: "a-2b",
            title: "Correlation of the uncertainties with loss and entropy",
            source: "A, figure 2B",
            caption: "Correlation of epistemic and of aleatoric uncertainty with the loss and with the entropy, over \
                      the tokens of replies, by data set and by where dropout acts. Solid marks: Spearman; rings: \
                      Pearson. 95 % intervals over documents.",
            protocol: "The model scores the first documents of each data set under its chat template, \
                       teacher-forced. Uncertainties come from stochastic passes (10 documents and 20 passes; in the \
                       profile study, which made the recorded table, 64 and 100) with dropout at rate 0.1 on \
                       attention and residual connections, on attention alone, and on the embeddings; each place \
                       counts as one model. The tokens of all replies are pooled. Intervals come from 1,000 \
                       resamples of whole documents and are never narrower than Student's by the jackknife. The \
                       difference of two correlations is resampled as a difference.",
            deviations: &[
                SMALL_MODEL,
                "The paper compares five models. Here one model with dropout at different places stands in for them, \
                 except in the profile paper.",
                "The paper names neither the kind of correlation nor its uncertainty. Spearman's decides the claims; \
                 Pearson's is shown beside it.",
            ],
            columns: Correlated::columns(),
        }
    }

    fn table(&self, run: &Run) -> Result<Table> {
        let resamples = run.profile.pick(200, 1000);
        let mut rows = Vec::new();
        for model in models(run.profile) {
            for dataset in Dataset::ALL.iter().copied() {
                for places in places(run.profile) {
                    let documents =
                        Scoring::uncertainty(run.profile, model, dataset, places).documents(run)?;
                    rows.extend(correlations(&documents, resamples).into_iter().map(|found| Correlated {
                        model: (*model).into(),
                        dataset,
                        places: (*places).into(),
                        uncertainty: found.uncertainty,
                        method: found.method,
                        documents: documents.len(),
                        tokens: documents.iter().map(|document| document.response().count()).sum(),
                        loss: found.loss.value,
                        loss_low: found.loss.low,
                        loss_high: found.loss.high,
                        entropy: found.entropy.value,
                        entropy_low: found.entropy.low,
                        entropy_high: found.entropy.high,
                        difference: found.difference.value,
                        difference_low: found.difference.low,
                        difference_high: found.difference.high,
                    }));
                }
            }
        }
        Table::from_rows(&rows)
    }

    fn draw(&self, table: &Table) -> Result<Drawing> {
        let rows: Vec<Correlated> = table.rows()?;
        let panels = |rows: &[Correlated]| {
            let groups = rows.chunk_by(|a, b| a.setting() == b.setting());
            groups.map(panel).collect()
        };
        let panels = each_model(&rows, |row| &row.model, panels, Panel::of);
        let columns = panels.len().min(3);
        Ok(Drawing::new(panels).columns(columns).panel_height(190.0))
    }

    fn claims(&self, table: &Table) -> Result<Vec<Claim>> {
        let rows: Vec<Correlated> = table.rows()?;
        let spearman: Vec<Correlated> =
            rows.into_iter().filter(|row| row.method == Method::Spearman).collect();
        let mut all = Vec::new();
        for claims in [FOLLOWS.as_slice(), &CORRELATES] {
            for rows in spearman.chunk_by(|a, b| a.setting() == b.setting()) {
                let Correlated { model, dataset, places, .. } = &rows[0];
                let id = format!("{model}-{dataset}-{places}");
                let case = format!("{model}, {dataset}, dropout on {}", places.replace(',', " and "));
                let tested = |claim: &Declared<[Correlated]>| claim.tested("a-2b", rows).of_case(&id, &case);
                all.extend(claims.iter().map(|claim| tested(claim).on_data(&[dataset.name()])));
            }
        }
        Ok(all)
    }
}

impl Correlated {
    /// What was scored, and how.
    fn setting(&self) -> (&str, Dataset, &str) {
        (&self.model, self.dataset, &self.places)
    }
}

/// Which of loss and entropy each uncertainty follows more, tested on one setting's rows.
const FOLLOWS: [Declared<[Correlated]>; 2] = [
    Declared {
        id: "epistemic-follows-loss",
        source: "A, section 3 and figure 2B",
        evidence: Evidence::Paper,
        statement: "Epistemic uncertainty is more correlated with the loss than with the entropy.",
        test: LOSS_OR_ENTROPY,
        expected: Expected::Above(0.0),
        effect: |rows| of(rows, Quantity::Epistemic).map(difference),
    },
    Declared {
        id: "aleatoric-follows-entropy",
        source: "A, section 3 and figure 2B",
        evidence: Evidence::Paper,
        statement: "Aleatoric uncertainty is more correlated with the entropy than with the loss.",
        test: LOSS_OR_ENTROPY,
        expected: Expected::Below(0.0),
        effect: |rows| of(rows, Quantity::Aleatoric).map(difference),
    },
];

const LOSS_OR_ENTROPY: &str = "Spearman with the loss minus Spearman with the entropy, over response tokens; 95 % interval: \
                               bootstrap over documents, never narrower than Student's";

/// How closely epistemic uncertainty follows the loss.
const CORRELATES: [Declared<[Correlated]>; 1] = [Declared {
    id: "epistemic-correlates",
    // That the loss is "a good proxy" (section 1) has no threshold of the paper's: the correlation is in the table.
    source: "A, sections 1 and 3",
    evidence: Evidence::Paper,
    statement: "Epistemic uncertainty is correlated with the loss.",
    test: WITH_LOSS,
    expected: Expected::Above(0.0),
    effect: |rows| of(rows, Quantity::Epistemic).map(with_loss),
}];

const WITH_LOSS: &str = "Spearman of the loss and epistemic uncertainty over response tokens; 95 % interval: bootstrap over \
                         documents, never narrower than Student's";

fn of(rows: &[Correlated], uncertainty: Quantity) -> Option<&Correlated> {
    rows.iter().find(|row| row.uncertainty == uncertainty)
}

fn difference(row: &Correlated) -> Estimate {
    Estimate { value: row.difference, low: row.difference_low, high: row.difference_high, n: row.documents }
}

fn with_loss(row: &Correlated) -> Estimate {
    Estimate { value: row.loss, low: row.loss_low, high: row.loss_high, n: row.documents }
}

/// A correlation with its interval.
type Of = fn(&Correlated) -> (f64, f64, f64);

/// One model on one data set: both uncertainties, each with loss and with entropy.
fn panel(rows: &[Correlated]) -> Panel {
    let title = format!("{}, {}", rows[0].dataset, rows[0].places.replace(',', " + "));
    let x = Axis::categories("", ["epistemic", "aleatoric"]).range(-0.5, 1.5);
    let mut panel =
        Panel::new(&title, x, Axis::linear("correlation").range(-0.1, 1.0)).with(Series::horizontal(0.0));
    let metrics: [(&str, Of); 2] = [
        ("with the loss", |row| (row.loss, row.loss_low, row.loss_high)),
        ("with the entropy", |row| (row.entropy, row.entropy_low, row.entropy_high)),
    ];
    for (index, (name, of)) in metrics.into_iter().enumerate() {
        for method in Method::ALL {
            let shift = -0.24 + 0.32 * index as f64 + if method == Method::Spearman { 0.0 } else { 0.12 };
            let at = |row: &Correlated| f64::from(u8::from(row.uncertainty != Quantity::Epistemic)) + shift;
            let of_method = || rows.iter().filter(|row| row.method == method);
            let bars = Series::error_bars(of_method().map(|row| (at(row), of(row).1, of(row).2)));
            let points = Series::points(of_method().map(|row| (at(row), of(row).0)));
            let points = match method {
                Method::Spearman => points.shape(Shape::of(index)).label(name),
                Method::Pearson => points.shape(Shape::Ring),
            };
            let ink = Ink::Category(index);
            panel = panel.with(bars.ink(ink)).with(points.size(4.0).ink(ink));
        }
    }
    panel
}
