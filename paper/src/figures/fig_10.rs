//! Paper A, figure 10: epistemic uncertainty grows with the dropout rate.

use crate::claim::least;
use crate::study::models::SMALL_MODEL;
use crate::study::scoring::{Dataset, RATES, Scoring, models, rated_places};
use crate::tokens::{Document, Quantity, over_documents};
use crate::{About, Claim, Declared, Estimate, Evidence, Expected, Run, Table, row};
use anyhow::{Context as _, Result, ensure};
use tokensieve_base::statistics::quantile;
use tokensieve_plot::{Axis, Drawing, Ink, Panel, Series, Shape};

/// The figure.
pub(super) struct Figure;

row! {
    /// The distribution of BALD at one rate, and its median's rise from the rate before.
    struct Rated {
        model: String = "name of the model",
        places: String = "where dropout acts",
        rate: f64 = "dropout rate",
        lowest_nats in "nats": f64 = "5 % quantile of BALD over response tokens",
        lower_nats in "nats": f64 = "25 % quantile",
        median_nats in "nats": f64 = "median",
        median_low_nats in "nats": f64 = "lower end of its 95 % interval (bootstrap over documents, never narrower \
                                          than Student's)",
        median_high_nats in "nats": f64 = "upper end",
        upper_nats in "nats": f64 = "75 % quantile",
        highest_nats in "nats": f64 = "95 % quantile",
        rise_nats in "nats": Option<f64> = "median minus the median at the rate before",
        rise_low_nats in "nats": Option<f64> = "lower end of its 95 % interval, both resampled together",
        rise_high_nats in "nats": Option<f64> = "upper end",
        tokens: usize = "number of response tokens",
        documents: usize = "number of documents",
        passes: usize = "passes with dropout over each",
    }
}

impl crate::Figure for Figure {
    fn about(&self) -> About {
        About {
            id: "a-10",
            title: "Epistemic uncertainty against the dropout rate",
            source: "A, figure 10",
            caption: "Distribution over response tokens of epistemic uncertainty (BALD) at dropout rates 0.05 to \
                      0.5: median with its 95 % interval over documents, and bands of the middle 50 % and 90 % of \
                      the tokens. Dotted: the logarithm of the number of passes, which an estimate of BALD cannot \
                      exceed.",
            protocol: "The table's models score the first documents of GSM8K's training set, the same at each rate, \
                       teacher-forced under their chat templates, with 100 passes at each rate. Dropout acts on \
                       attention and residual connections; in the profile study also on attention alone and on the \
                       embeddings. The increase of the median from one rate to the next is resampled over documents, \
                       the same documents at both rates (1,000 times).",
            deviations: &[
                SMALL_MODEL,
                "The paper does not state its data set and number of tokens. We score whole answers of GSM8K.",
                "An estimate of BALD is biased low, the more so the larger it is: the curve bends towards the \
                 logarithm of the number of passes. The order of the rates is unaffected.",
                "The model was trained without dropout, which disturbs its predictions at all but the smallest \
                 rates.",
            ],
            columns: Rated::columns(),
        }
    }

    fn table(&self, run: &Run) -> Result<Table> {
        let resamples = run.profile.pick(200, 1000);
        let mut rows = Vec::new();
        for model in models(run.profile) {
            for places in rated_places(run.profile) {
                let mut before: Option<Vec<Document>> = None;
                for rate in RATES {
                    let scoring = Scoring::uncertainty(run.profile, model, Dataset::Gsm8k, places);
                    let scoring = scoring.at_rate(run.profile, rate);
                    let documents = scoring.documents(run)?;
                    let all: Vec<f64> =
                        documents.iter().flat_map(|document| document.values(Quantity::Epistemic)).collect();
                    let at = |q: f64| quantile(&all, q).context(UNMEASURED);
                    let median = over_documents(&documents, resamples, "median", |sample| {
                        median_of(sample.iter().copied())
                    });
                    let median = median.context(UNMEASURED)?;
                    let rise = rise(&documents, before.as_deref(), resamples)?;
                    rows.push(Rated {
                        model: (*model).into(),
                        places: (*places).into(),
                        rate,
                        lowest_nats: at(0.05)?,
                        lower_nats: at(0.25)?,
                        median_nats: median.value,
                        median_low_nats: median.low,
                        median_high_nats: median.high,
                        upper_nats: at(0.75)?,
                        highest_nats: at(0.95)?,
                        rise_nats: rise.map(|rise| rise.value),
                        rise_low_nats: rise.map(|rise| rise.low),
                        rise_high_nats: rise.map(|rise| rise.high),
                        tokens: all.len(),
                        documents: documents.len(),
                        passes: scoring.passes,
                    });
                    before = Some(documents);
                }
            }
        }
        Table::from_rows(&rows)
    }

    fn draw(&self, table: &Table) -> Result<Drawing> {
        let rows: Vec<Rated> = table.rows()?;
        let panel = |rows: &[Rated]| {
            let title = format!("{}, dropout on {}", rows[0].model, rows[0].places.replace(',', " and "));
            let ink = Ink::Category(0);
            let band = |low: fn(&Rated) -> f64, high: fn(&Rated) -> f64| {
                Series::band(rows.iter().map(move |row| (row.rate, low(row), high(row)))).ink(ink)
            };
            let x =
                Axis::linear("dropout rate").ticks(rows.iter().map(|row| (row.rate, row.rate.to_string())));
            let most = Series::horizontal((rows[0].passes as f64).ln()).ink(Ink::Muted).dotted();
            Panel::new(&title, x, Axis::log("BALD (nats)"))
                .with(
                    band(|row| row.lowest_nats, |row| row.highest_nats).label("tokens: middle 50 % and 90 %"),
                )
                .with(band(|row| row.lower_nats, |row| row.upper_nats))
                .with(Series::line(rows.iter().map(|row| (row.rate, row.median_nats))).ink(ink))
                .with(
                    Series::error_bars(
                        rows.iter().map(|row| (row.rate, row.median_low_nats, row.median_high_nats)),
                    )
                    .ink(ink),
                )
                .with(
                    Series::points(rows.iter().map(|row| (row.rate, row.median_nats)))
                        .ink(ink)
                        .shape(Shape::Circle)
                        .label("median"),
                )
                .with(most.label("logarithm of the number of passes"))
        };
        let groups = rows.chunk_by(|a, b| (&a.model, &a.places) == (&b.model, &b.places));
        let panels: Vec<Panel> = groups.map(panel).collect();
        let width = 240.0 * panels.len().min(3) as f64 + 260.0;
        Ok(Drawing::new(panels).panel_height(250.0).width(width))
    }

    fn claims(&self, table: &Table) -> Result<Vec<Claim>> {
        let rows: Vec<Rated> = table.rows()?;
        let groups = rows.chunk_by(|a, b| (&a.model, &a.places) == (&b.model, &b.places));
        let claim = |rows: &[Rated]| {
            let Rated { model, places, .. } = &rows[0];
            MONOTONE
                .tested("a-10", rows)
                .of_case(
                    &format!("{model}-{places}"),
                    &format!("{model}, dropout on {}", places.replace(',', " and ")),
                )
                .on_data(&[Dataset::Gsm8k.name()])
        };
        Ok(groups.map(claim).collect())
    }
}

const MONOTONE: Declared<[Rated]> = Declared {
    id: "monotone",
    source: "A, appendix A and figure 10",
    evidence: Evidence::Paper,
    statement: "The median of BALD increases monotonically with the dropout rate.",
    test: "increase of the median from one rate to the next, in nats: of all increases the least, in value and in both ends of \
           the interval; 95 % interval: bootstrap over documents, upper ends corrected for their number (Bonferroni)",
    expected: Expected::Above(0.0),
    effect: |rows| {
        least(rows.iter().filter_map(|row| {
            let ((value, low), high) = row.rise_nats.zip(row.rise_low_nats).zip(row.rise_high_nats)?;
            Some(Estimate { value, low, high, n: row.documents })
        }))
    },
};

/// Of documents that have no distribution.
const UNMEASURED: &str = "no token has an epistemic uncertainty";

/// The median's rise over the same documents `before`, if there are any.
fn rise(documents: &[Document], before: Option<&[Document]>, resamples: usize) -> Result<Option<Estimate>> {
    let Some(before) = before else { return Ok(None) };
    let rows = |documents: &[Document]| documents.iter().map(|d| d.row).collect::<Vec<_>>();
    ensure!(rows(before) == rows(documents), "two rates were scored on different documents");
    Ok(over_documents(documents, resamples, "rise", |sample| {
        let earlier = sample.iter().filter_map(|document| before.iter().find(|b| b.row == document.row));
        Some(median_of(sample.iter().copied())? - median_of(earlier)?)
    }))
}

fn median_of<'a>(documents: impl Iterator<Item = &'a Document>) -> Option<f64> {
    quantile(&documents.flat_map(|document| document.values(Quantity::Epistemic)).collect::<Vec<_>>(), 0.5)
}
