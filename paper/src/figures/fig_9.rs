//! Paper A, figure 9: how token losses and datum losses are spread.

use crate::named::named;
use crate::study::models::SMALL_MODEL;
use crate::study::scoring::{Dataset, Scoring, models};
use crate::tokens::{Document, Quantity, over_documents};
use crate::{About, Claim, Declared, Estimate, Evidence, Expected, Run, Table, row};
use anyhow::{Context as _, Result};
use tokensieve_base::statistics::mean;
use tokensieve_plot::{Axis, Drawing, Ink, Panel, Series};

/// The figure.
pub(super) struct Figure;

/// How many times a token's spread must exceed a datum's to count as much larger.
const MUCH: f64 = 2.0;
const BIN: f64 = 0.25;
const BINS: usize = 40;

named! {
    /// What losses are of.
    enum Level {
        /// Single tokens.
        Token = "token",
        /// Documents, by the mean over their tokens.
        Datum = "datum",
    }
}

row! {
    /// One bin of a distribution, with the statistics of its data set.
    struct Bin {
        model: String = "name of the model",
        dataset: Dataset = "what is scored",
        level: Level = "`token`, or `datum`: the mean over a document",
        low_nats in "nats": f64 = "lower edge of the bin",
        high_nats in "nats": f64 = "upper edge; the last bin holds everything above its lower edge",
        share: f64 = "share of the level's losses in the bin",
        count: usize = "number of losses of the level, over all bins",
        mean_nats in "nats": f64 = "mean loss of the level",
        spread_nats in "nats": f64 = "standard deviation of the level's losses",
        ratio: f64 = "spread of tokens divided by spread of documents",
        ratio_low: f64 = "lower end of its 95 % interval (bootstrap over documents, never narrower than Student's)",
        ratio_high: f64 = "upper end",
        documents: usize = "number of documents",
    }
}

impl crate::Figure for Figure {
    fn about(&self) -> About {
        About {
            id: "a-9",
            title: "Losses vary more between tokens than between documents",
            source: "A, figure 9",
            caption: "Distribution of the loss over response tokens, and of the mean loss over documents, by data \
                      set. Shares per bin of 0.25 nats; the last bin is open.",
            protocol: "The table's models score the first documents of each data set, teacher-forced and without \
                       dropout; rows without a response are left out. The loss of a document (datum) is the mean \
                       over its response tokens. Spread is the standard deviation. The ratio of the two spreads has \
                       a 95 % interval over documents (1,000 resamples, never narrower than Student's by the \
                       jackknife).",
            deviations: &[
                SMALL_MODEL,
                "The paper shows histograms and no statistic. We take \"much larger\" to mean a ratio of standard \
                 deviations above two.",
                "A mean over some hundred tokens varies less than a single token even if documents do not differ. \
                 The claim is about what selection can act on, not about documents.",
            ],
            columns: Bin::columns(),
        }
    }

    fn table(&self, run: &Run) -> Result<Table> {
        let resamples = run.profile.pick(200, 1000);
        let mut rows = Vec::new();
        for model in models(run.profile) {
            for dataset in Dataset::ALL.iter().copied() {
                let documents = Scoring::losses(run.profile, model, dataset).documents(run)?;
                let ratio = over_documents(&documents, resamples, "spread", |sample| {
                    let (tokens, data) = (token_losses(sample), datum_losses(sample));
                    Some(deviation(&tokens)? / deviation(&data)?).filter(|ratio| ratio.is_finite())
                });
                let ratio = ratio.with_context(|| format!("too few documents of {dataset}"))?;
                let all: Vec<&Document> = documents.iter().collect();
                for (level, losses) in
                    [(Level::Token, token_losses(&all)), (Level::Datum, datum_losses(&all))]
                {
                    let (mean_nats, spread_nats) =
                        mean(&losses).zip(deviation(&losses)).context("too few losses")?;
                    for bin in 0..BINS {
                        let (low, high) = (bin as f64 * BIN, (bin + 1) as f64 * BIN);
                        let inside =
                            losses.iter().filter(|loss| **loss >= low && (**loss < high || bin + 1 == BINS));
                        rows.push(Bin {
                            model: (*model).into(),
                            dataset,
                            level,
                            low_nats: low,
                            high_nats: high,
                            share: inside.count() as f64 / losses.len() as f64,
                            count: losses.len(),
                            mean_nats,
                            spread_nats,
                            ratio: ratio.value,
                            ratio_low: ratio.low,
                            ratio_high: ratio.high,
                            documents: documents.len(),
                        });
                    }
                }
            }
        }
        Table::from_rows(&rows)
    }

    fn draw(&self, table: &Table) -> Result<Drawing> {
        let rows: Vec<Bin> = table.rows()?;
        let panels = rows.chunk_by(|a, b| (&a.model, &a.dataset) == (&b.model, &b.dataset)).map(|rows| {
            let title = format!("{}, {}", rows[0].dataset, rows[0].model);
            let mut panel = Panel::new(
                &title,
                Axis::linear("loss (nats)"),
                Axis::linear("share of the losses").percent(),
            );
            for (index, level) in [Level::Datum, Level::Token].into_iter().enumerate() {
                let ink = Ink::Category(1 - index);
                let bins: Vec<&Bin> = rows.iter().filter(|row| row.level == level).collect();
                let bars = bins.iter().map(|row| (row.low_nats, row.high_nats, row.share));
                panel = panel.with(Series::bars(bars).ink(ink).label(level.name()));
            }
            panel
        });
        Ok(Drawing::new(panels).columns(2))
    }

    fn claims(&self, table: &Table) -> Result<Vec<Claim>> {
        let rows: Vec<Bin> = table.rows()?;
        let groups = rows.chunk_by(|a, b| (&a.model, &a.dataset) == (&b.model, &b.dataset));
        let claim = |rows: &[Bin]| {
            let Bin { model, dataset, .. } = &rows[0];
            WIDER
                .tested("a-9", &rows[0])
                .of_case(&format!("{model}-{dataset}"), &format!("{model}, {dataset}"))
                .on_data(&[dataset.name()])
        };
        Ok(groups.map(claim).collect())
    }
}

const WIDER: Declared<Bin> = Declared {
    id: "token-spread",
    source: "A, appendix A and figure 9",
    evidence: Evidence::Paper,
    statement: "The losses of tokens vary much more than the mean losses of documents.",
    test: "standard deviation of token losses divided by that of documents' mean losses; 95 % interval: bootstrap over \
           documents, never narrower than Student's",
    expected: Expected::Above(MUCH),
    effect: |row| {
        Some(Estimate { value: row.ratio, low: row.ratio_low, high: row.ratio_high, n: row.documents })
    },
};

fn token_losses(documents: &[&Document]) -> Vec<f64> {
    documents.iter().flat_map(|document| document.values(Quantity::Loss)).collect()
}

fn datum_losses(documents: &[&Document]) -> Vec<f64> {
    documents.iter().filter_map(|document| mean(&document.values(Quantity::Loss))).collect()
}

/// Standard deviation (n − 1).
fn deviation(values: &[f64]) -> Option<f64> {
    let centre = mean(values)?;
    let squares: f64 = values.iter().map(|value| (value - centre) * (value - centre)).sum();
    (values.len() > 1).then(|| libm::sqrt(squares / (values.len() - 1) as f64))
}
