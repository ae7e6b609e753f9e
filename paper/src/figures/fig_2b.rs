//! Paper A, figure 2B: with what the two uncertainties are correlated.

use crate::study::models::each_model;
use crate::study::scoring::{Dataset, Scoring, models, places};
use crate::tokens::{Method, Quantity, correlations};
use crate::{About, Claim, Column, Estimate, Run, Table};
use anyhow::Result;
use serde::{Deserialize, Serialize};
use tokensieve_plot::{Axis, Drawing, Ink, Panel, Series, Shape};

/// The figure.
pub(super) struct Figure;

/// One uncertainty, by one method, of one model on one data set.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Correlated {
    model: String,
    dataset: Dataset,
    places: String,
    uncertainty: Quantity,
    method: Method,
    documents: usize,
    tokens: usize,
    loss: f64,
    loss_low: f64,
    loss_high: f64,
    entropy: f64,
    entropy_low: f64,
    entropy_high: f64,
    difference: f64,
    difference_low: f64,
    difference_high: f64,
}

impl crate::Figure for Figure {
    fn about(&self) -> About {
        About {
            id: "a-2b",
            title: "What the uncertainties are correlated with",
            source: "A, figure 2B",
            caption: "Correlation, over the tokens of replies, of epistemic and aleatoric uncertainty with the \
                      predictive loss and with the entropy, by data set and by where dropout acts. Solid: Spearman; \
                      rings: Pearson. 95 % intervals over documents.",
            protocol: "The first documents of each data set under the model's chat template, teacher-forced; uncertainties over stochastic passes of the model \
                       (10 documents and 20 passes; in the profile study, of which the recorded table is, 64 and 100), with dropout at rate 0.1 on attention and residual \
                       connections, on attention alone, and on the embeddings: each counts as one model. All tokens of \
                       all replies are pooled; 1,000 resamples of whole documents give the intervals, never \
                       narrower than Student's by the jackknife. The difference \
                       of two correlations is resampled as such.",
            deviations: &[
                "The paper compares five models; here one model with dropout at different places stands for them until \
                 others are at hand (profile paper).",
                "The paper names neither the correlation nor its uncertainty: Spearman decides the claims, Pearson \
                 stands beside it. \"A good proxy\" is read as a correlation above one half.",
            ],
            columns: vec![
                Column::new("model", "", "name of the model"),
                Column::new("dataset", "", "what is scored"),
                Column::new("places", "", "where dropout acts"),
                Column::new("uncertainty", "", "epistemic or aleatoric"),
                Column::new("method", "", "spearman or pearson"),
                Column::new("documents", "", "number of documents"),
                Column::new("tokens", "", "number of response tokens"),
                Column::new("loss", "", "correlation with the loss"),
                Column::new(
                    "loss_low",
                    "",
                    "lower end of its 95 % interval (bootstrap over documents, never narrower than Student's)",
                ),
                Column::new("loss_high", "", "upper end"),
                Column::new("entropy", "", "correlation with the entropy"),
                Column::new(
                    "entropy_low",
                    "",
                    "lower end of its 95 % interval (bootstrap over documents, never narrower than Student's)",
                ),
                Column::new("entropy_high", "", "upper end"),
                Column::new("difference", "", "correlation with the loss minus correlation with the entropy"),
                Column::new("difference_low", "", "lower end of its 95 % interval, both resampled together"),
                Column::new("difference_high", "", "upper end"),
            ],
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
            let groups = rows.chunk_by(|a, b| (&a.dataset, &a.places) == (&b.dataset, &b.places));
            groups.map(panel).collect()
        };
        let panels = each_model(&rows, |row| &row.model, panels, Panel::of);
        let columns = panels.len().min(3);
        Ok(Drawing::new(panels).columns(columns).panel_height(190.0))
    }

    fn claims(&self, table: &Table) -> Result<Vec<Claim>> {
        let rows: Vec<Correlated> = table.rows()?;
        let setting = |row: &Correlated| {
            [row.model.as_str(), row.dataset.name(), row.places.as_str()]
                .map(|part| part.replace([',', '/'], "-").to_lowercase())
                .join("-")
        };
        let of = |row: &Correlated| {
            let places = row.places.replace(',', " and ");
            format!(" ({}, {}, dropout on {places})", row.model, row.dataset)
        };
        let test = "Spearman with the loss minus Spearman with the entropy, over response tokens; 95 % interval: bootstrap \
                    over documents, never narrower than Student's";
        let claim = |row: &Correlated| {
            let (name, statement) = match row.uncertainty {
                Quantity::Epistemic => (
                    "epistemic-follows-loss",
                    "Epistemic uncertainty is more correlated with the loss than with the entropy",
                ),
                _ => (
                    "aleatoric-follows-entropy",
                    "Aleatoric uncertainty is more correlated with the entropy than with the loss",
                ),
            };
            let id = format!("a-2b/{name}-{}", setting(row));
            let statement = format!("{statement}{}", of(row));
            let difference = Estimate {
                value: row.difference,
                low: row.difference_low,
                high: row.difference_high,
                n: row.documents,
            };
            let claim = Claim::new(&id, "A, section 3 and figure 2B", &statement)
                .asking(&format!("a-2b/{name}"))
                .on_data(&[row.dataset.name()]);
            match row.uncertainty {
                Quantity::Epistemic => claim.above(0.0, difference, test),
                _ => claim.below(0.0, difference, test),
            }
        };
        let spearman = || rows.iter().filter(|row| row.method == Method::Spearman);
        let mut claims: Vec<Claim> = spearman().map(claim).collect();
        for row in spearman().filter(|row| row.uncertainty == Quantity::Epistemic) {
            let correlation =
                Estimate { value: row.loss, low: row.loss_low, high: row.loss_high, n: row.documents };
            for (name, source, statement, threshold) in [
                (
                    "epistemic-correlates",
                    "A, section 3",
                    "Epistemic uncertainty is correlated with the loss",
                    0.0,
                ),
                (
                    "loss-is-a-proxy",
                    "A, section 1",
                    "The loss is a good proxy for epistemic uncertainty",
                    PROXY,
                ),
            ] {
                let id = format!("a-2b/{name}-{}", setting(row));
                let claim = Claim::new(&id, source, &format!("{statement}{}", of(row)))
                    .asking(&format!("a-2b/{name}"))
                    .on_data(&[row.dataset.name()]);
                let test = "Spearman of the loss and epistemic uncertainty over response tokens; 95 % interval: bootstrap \
                            over documents, never narrower than Student's";
                claims.push(claim.above(threshold, correlation, test));
            }
        }
        Ok(claims)
    }
}

/// From which correlation on we call the loss a good proxy; the paper gives no number.
const PROXY: f64 = 0.5;

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
