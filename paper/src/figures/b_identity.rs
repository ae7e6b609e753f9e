//! Paper B, theory: the exact first-order identity, against dense gradients and against finite steps.

use super::b_gradient_weight::pretty;
use crate::claim::{largest, least};
use crate::table::same;
use crate::{About, Claim, Declared, Estimate, Evidence, Expected, Run, Table, columns, exact};
use anyhow::Result;
use tokensieve_base::statistics;
use tokensieve_plot::{Axis, Drawing, Ink, Panel, Series, Shape};
use tokensieve_toy::identity::{self, IdentityConfig, IdentityRow};

/// The figure.
pub(super) struct Figure;

impl crate::Figure for Figure {
    fn about(&self) -> About {
        About {
            id: "b-identity",
            title: "First-order difference in risk reduction between two objectives",
            source: "B, theory (first-order identity)",
            caption: "Random tables of logits with random true labels and random label noise. A: the difference of \
                      two objectives' first-order risk reductions, by the identity and from dense gradients. B: the \
                      error of the first-order value for a finite step, largest (points) and median (line) over all \
                      tables: with a tenth of the step, a tenth of the error. C: clean labels only, −log *p* against \
                      −*p*: the difference is never below zero.",
            protocol: "A table has 4 contexts. Each has logits of random spread, with the true label's raised by 0 \
                       to 6 nats, and its own random distribution of wrong labels at the table's noise rate (one \
                       table in eight is clean). The risk is R = E[−q(true label)]; training minimises \
                       E[f(q(observed label))]. 48 tables for each of V = 2, 8, 64 and each pair of objectives; the \
                       pulls come from the objective crate.\n\nThe identity, with t the true label and s the \
                       observed one: Ṙ1 − Ṙ2 = E[*q*_{s} *q*_{t} (f2′ − f1′)(*q*_{s}) ⟨e_{t} − *q*, e_{s} − *q*⟩].",
            deviations: &[],
            columns: columns! {
                "first": "f1",
                "second": "f2",
                "vocabulary": "V, number of labels",
                "table": "number of the random table",
                "truth_probability": "mean probability of the true label",
                "noise_rate": "share of wrong labels",
                "step": "length of the finite step",
                "identity": "Ṙ1 − Ṙ2 by the identity",
                "direct": "Ṙ1 − Ṙ2 from dense gradients of both objectives and of the risk",
                "finite": "(R after a step on f2 − R after a step on f1)/step",
            },
        }
    }

    fn table(&self, run: &Run) -> Result<Table> {
        let config = run.profile.pick(IdentityConfig::smoke(), IdentityConfig::default());
        let rows = run.cached("tables", &config, || identity::run(&config))?;
        Table::from_rows(&rows)
    }

    fn draw(&self, table: &Table) -> Result<Drawing> {
        let rows: Vec<IdentityRow> = table.rows()?;
        let mut pairs: Vec<(&str, &str)> =
            rows.iter().map(|row| (row.first.as_str(), row.second.as_str())).collect();
        pairs.dedup();
        let steps = steps(&rows);
        let smallest = steps.last().copied().unwrap_or(f64::NAN);
        let mut agreement =
            Panel::new("The identity", Axis::linear("by the identity"), Axis::linear("from dense gradients"));
        let mut convergence = Panel::new(
            "Finite steps",
            Axis::log("length of the step"),
            Axis::log("distance from the identity"),
        );
        for (index, (first, second)) in pairs.iter().enumerate() {
            let of_pair: Vec<&IdentityRow> =
                rows.iter().filter(|row| row.first == *first && row.second == *second).collect();
            let name = format!("{} over {}", pretty(first), pretty(second));
            let once =
                of_pair.iter().filter(|row| same(row.step, smallest)).map(|row| (row.identity, row.direct));
            agreement = agreement
                .with(Series::points(once).ink(Ink::Category(index)).shape(Shape::of(index)).label(&name));
            let errors = |step: f64| -> Vec<f64> {
                let here = of_pair.iter().filter(|row| same(row.step, step));
                here.map(|row| (row.finite - row.identity).abs()).collect()
            };
            let middle =
                steps.iter().filter_map(|step| Some((*step, statistics::quantile(&errors(*step), 0.5)?)));
            let worst =
                steps.iter().filter_map(|step| Some((*step, statistics::quantile(&errors(*step), 1.0)?)));
            convergence = convergence
                .with(Series::line(middle).ink(Ink::Category(index)))
                .with(Series::points(worst).ink(Ink::Category(index)).shape(Shape::of(index)));
        }
        let mut clean = Panel::new(
            "Clean labels",
            Axis::linear("mean probability of the true label").range(0.0, 1.04),
            Axis::log("gain of −log *p* over −*p*"),
        );
        let points = clean_rows(&rows)
            .filter(|row| same(row.step, smallest))
            .map(|row| (row.truth_probability, row.identity));
        clean = clean.with(Series::points(points).ink(Ink::Category(0)));
        Ok(Drawing::new([agreement, convergence, clean]).width(960.0).panel_height(240.0))
    }

    fn claims(&self, table: &Table) -> Result<Vec<Claim>> {
        let rows: Vec<IdentityRow> = table.rows()?;
        Ok(CLAIMS.iter().map(|claim| claim.tested("b-identity", rows.as_slice())).collect())
    }
}

/// The identity is B's; how steps of finite length come near it, and what follows from it for clean labels, is derived here.
const OURS_ON_B: &str = "ours, on B, theory";

const CLAIMS: [Declared<[IdentityRow]>; 4] = [
    Declared {
        id: "identity",
        source: "B, theory",
        evidence: Evidence::Check,
        statement: "The identity gives the difference of two objectives' first-order risk reductions.",
        test: "largest difference from dense gradients over all random tables and pairs",
        expected: Expected::Below(1e-12),
        effect: |rows| largest(rows.iter().map(|row| (row.identity - row.direct).abs())),
    },
    Declared {
        id: "first-order",
        source: OURS_ON_B,
        evidence: Evidence::Check,
        statement: "For a finite step, the error of the first-order value vanishes in proportion to the step: at least order 0.9.",
        test: "order of convergence between the longest and the shortest step; median over tables, middle half",
        expected: Expected::Above(0.9),
        effect: order,
    },
    Declared {
        id: "first-order-only",
        source: OURS_ON_B,
        evidence: Evidence::Check,
        statement: "The error of the first-order value vanishes no faster than in proportion to the step: at most order 1.1.",
        test: "the same order of convergence",
        expected: Expected::Below(1.1),
        effect: order,
    },
    Declared {
        id: "clean",
        source: OURS_ON_B,
        evidence: Evidence::Check,
        statement: "With clean labels −log *p* has the larger first-order reduction, whatever the prediction.",
        test: "smallest Ṙ(−log *p*) − Ṙ(−*p*) over all tables with clean labels",
        expected: Expected::Above(0.0),
        effect: |rows| least(clean_rows(rows).map(|row| exact(row.identity))),
    },
];

/// One order of convergence per table and pair; where the two steps are equally long it is undefined.
fn order(rows: &[IdentityRow]) -> Option<Estimate> {
    let of_pair = |pair: &[IdentityRow]| {
        let (long, short) = (pair.first()?, pair.last()?);
        let error = |row: &IdentityRow| (row.finite - row.identity).abs();
        (error(short) > 0.0)
            .then(|| libm::log(error(long) / error(short)) / libm::log(long.step / short.step))
    };
    let orders: Vec<f64> = rows.chunks(steps(rows).len().max(1)).filter_map(of_pair).collect();
    statistics::median_band(&orders, 0.5)
}

/// The lengths of step, in the order of the table.
fn steps(rows: &[IdentityRow]) -> Vec<f64> {
    // By its full path: the imports of this file are in the cache's key.
    crate::table::distinct(rows.iter().map(|row| row.step))
}

fn clean_rows(rows: &[IdentityRow]) -> impl Iterator<Item = &IdentityRow> {
    rows.iter().filter(|row| row.noise_rate == 0.0 && row.first == "-log p" && row.second == "-p")
}
