//! Paper B, theory: where −p starts to beat −log p, by formula and by simulation.

use crate::claim::{estimate, least};
use crate::{About, Claim, Declared, Estimate, Evidence, Expected, Run, Table, columns, exact};
use anyhow::Result;
use tokensieve_plot::{Anchor, Axis, Cell, Colours, Drawing, Ink, Panel, Series};
use tokensieve_toy::crossover::{self, CrossoverConfig, CrossoverRow};

/// The figure.
pub(super) struct Figure;

/// Masses on the truth that panel D cuts the map at.
const SLICES: [f64; 3] = [0.3, 0.5, 0.8];

impl crate::Figure for Figure {
    fn about(&self) -> About {
        About {
            id: "b-crossover",
            title: "The label noise beyond which −p beats −log p",
            source: "B, theory (both regimes)",
            caption: "First-order difference of the risk reductions, Ṙ(−log *p*) − Ṙ(−*p*). Orange: −log *p* reduces \
                      the risk faster; blue: −*p* does. A–C: by formula, for three vocabularies, with the exact \
                      boundary (solid) and the boundary for many labels (1 − a)²/(a + (1 − a)²) (dashed). D: cuts \
                      through the map of V = 64, formula (lines) and real steps on sampled labels (95 % intervals). \
                      The noise axis is a square root.",
            protocol: "The prediction puts probability a on the true label and spreads the rest evenly over V − 1 \
                       labels. A label is wrong with probability E, and then any of the V − 1 with equal \
                       probability. By formula: the exact first-order difference at this V. By simulation (V = 8, \
                       64): 16 seeds with 1,024 sampled labels each, the pulls of both objectives from the objective \
                       crate, a real step of length 0.01 on the same labels, and the difference of the risks after \
                       it; Student's 95 % interval over seeds.",
            deviations: &["The published map is for many labels; the formula here is exact for every V."],
            columns: columns! {
                "vocabulary": "V, number of labels",
                "truth_probability": "a, probability of the true label; the first of each V is 1/V",
                "noise_rate": "E, share of wrong labels",
                "difference": "Ṙ(−log *p*) − Ṙ(−*p*), exact to first order",
                "difference_limit": "its limit for many labels, a(1−a)[(1−E)(1−a)² − E a]",
                "boundary_noise_rate": "E at which the difference is 0",
                "boundary_limit": "(1−a)²/(a + (1−a)²)",
                "simulated": "difference after real steps on sampled labels, mean over seeds",
                "simulated_low": "lower end of its 95 % interval",
                "simulated_high": "upper end of its 95 % interval",
                "seeds": "seeds of the simulation",
            },
        }
    }

    fn table(&self, run: &Run) -> Result<Table> {
        let config = run.profile.pick(CrossoverConfig::smoke(), CrossoverConfig::default());
        let rows = run.cached("map", &config, || crossover::run(&config))?;
        Table::from_rows(&rows)
    }

    fn draw(&self, table: &Table) -> Result<Drawing> {
        let rows: Vec<CrossoverRow> = table.rows()?;
        let reach = rows.iter().map(|row| row.difference.abs()).fold(0.0, f64::max);
        let noise = || {
            let ticks = [0.0, 0.01, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0];
            Axis::linear("wrong labels, *E*")
                .tight()
                .ticks(ticks.map(|e: f64| (e.sqrt(), format!("{:.0} %", 100.0 * e))))
        };
        let mut panels: Vec<Panel> = rows
            .chunk_by(|a, b| a.vocabulary == b.vocabulary)
            .map(|map| {
                let columns: Vec<&[CrossoverRow]> = map
                    .chunk_by(|a, b| a.truth_probability.to_bits() == b.truth_probability.to_bits())
                    .collect();
                let masses: Vec<f64> = columns.iter().map(|column| column[0].truth_probability).collect();
                let roots: Vec<f64> = columns[0].iter().map(|row| row.noise_rate.sqrt()).collect();
                let (x, y) = (edges(&masses), edges(&roots));
                let cells = columns.iter().enumerate().flat_map(|(i, column)| {
                    let (x, y) = (&x, &y);
                    column.iter().enumerate().map(move |(k, row)| Cell {
                        x: (x[i], x[i + 1]),
                        y: (y[k], y[k + 1]),
                        value: row.difference,
                    })
                });
                let boundary =
                    columns.iter().map(|c| (c[0].truth_probability, c[0].boundary_noise_rate.sqrt()));
                let limit = columns.iter().map(|c| (c[0].truth_probability, c[0].boundary_limit.sqrt()));
                Panel::new(
                    &format!("*V* = {}", grouped(map[0].vocabulary)),
                    Axis::linear("mass on the truth, *a*").tight(),
                    noise(),
                )
                .with(Series::cells(cells))
                .with(Series::line(limit).ink(Ink::Strong).dashed().label("boundary, many labels"))
                .with(Series::line(boundary).ink(Ink::Strong).stroke(2.2).label("boundary, exact"))
                .with(Series::text(0.93, 0.93, "−*p* ahead", Anchor::End).ink(Ink::Strong))
                .with(Series::text(0.16, 0.08, "−log *p* ahead", Anchor::Start).ink(Ink::Strong))
            })
            .collect();
        panels.push(cut(&rows));
        Ok(Drawing::new(panels)
            .columns(2)
            .width(860.0)
            .panel_height(270.0)
            .colours(Colours::diverging("first-order gain of −log *p* over −*p*", reach)))
    }

    fn claims(&self, table: &Table) -> Result<Vec<Claim>> {
        let rows: Vec<CrossoverRow> = table.rows()?;
        let largest = rows.iter().map(|row| row.vocabulary).max().unwrap_or(0);
        let tested = |(claim, is): &(Declared<[CrossoverRow]>, IsCell)| {
            let cells: Vec<CrossoverRow> = rows.iter().filter(|row| is(row, largest)).cloned().collect();
            claim.tested("b-crossover", &cells).remarking(&format!("{} cells", cells.len()))
        };
        Ok(CLAIMS.iter().map(tested).collect())
    }
}

/// Whether a claim is about a cell of the map, given the largest vocabulary.
type IsCell = fn(&CrossoverRow, usize) -> bool;

/// What paper B says about the weak end is its own; the boundary, the strong end without noise and the steps are derived here.
const DERIVED: &str = "ours, on B, theory";

const CLAIMS: [(Declared<[CrossoverRow]>, IsCell); 5] = [
    (
        Declared {
            id: "boundary",
            source: DERIVED,
            evidence: Evidence::Check,
            statement: "With many labels −*p* reduces the risk faster exactly where E > (1−a)²/(a + (1−a)²).",
            test: "share of cells of the largest vocabulary whose sign is on the boundary's right side",
            expected: Expected::Above(0.999),
            effect: |cells| {
                share(cells, |row| (row.difference < 0.0) == (row.noise_rate > row.boundary_limit))
            },
        },
        // The published map is about a truth more probable than the tail: not the uniform prediction.
        |row, largest| row.vocabulary == largest && row.truth_probability * largest as f64 > 1.5,
    ),
    (
        Declared {
            id: "simulated-sign",
            source: DERIVED,
            evidence: Evidence::Check,
            statement: "Real steps on sampled labels have the formula's sign.",
            test: "share among the simulated cells whose 95 % interval excludes 0",
            expected: Expected::Above(0.99),
            effect: |cells| {
                share(cells, |row| row.simulated.is_some_and(|mean| (mean > 0.0) == (row.difference > 0.0)))
            },
        },
        |row, _| simulated(row).is_some_and(|(low, high)| low > 0.0 || high < 0.0),
    ),
    (
        Declared {
            id: "simulated-size",
            source: DERIVED,
            evidence: Evidence::Ours,
            statement: "Real steps on sampled labels have the formula's size.",
            test: "share of the cells with 0 < E < 1 whose 95 % interval covers the formula, with Wilson's 95 % interval, against \
                   the 95 % that intervals promise; the second order of a step and small samples of rare noise are part of \
                   what is tested",
            expected: Expected::Above(0.95),
            effect: |cells| {
                let covers = |row: &CrossoverRow, (low, high)| (low..=high).contains(&row.difference);
                share(cells, |row| simulated(row).is_some_and(|interval| covers(row, interval)))
                    .and_then(|covered| wilson(covered.value, cells.len()))
            },
        },
        |row, _| row.simulated.is_some() && row.noise_rate > 0.0 && row.noise_rate < 1.0,
    ),
    (
        Declared {
            id: "clean-weak",
            source: "B, theory",
            evidence: Evidence::Check,
            statement: "With clean labels −log *p* reduces the risk faster at the weak end (a ≤ 0.3).",
            test: SMALLEST,
            expected: Expected::Above(0.0),
            effect: smallest,
        },
        |row, _| row.noise_rate == 0.0 && row.truth_probability <= 0.3,
    ),
    (
        Declared {
            id: "clean-strong",
            source: DERIVED,
            evidence: Evidence::Check,
            statement: "With clean labels −log *p* reduces the risk faster at the strong end too (a ≥ 0.75).",
            test: SMALLEST,
            expected: Expected::Above(0.0),
            effect: smallest,
        },
        |row, _| row.noise_rate == 0.0 && row.truth_probability >= 0.75,
    ),
];

const SMALLEST: &str = "smallest difference over V and a: lower end of the simulation's interval, or the formula where nothing was simulated";

fn share(cells: &[CrossoverRow], holds: impl Fn(&CrossoverRow) -> bool) -> Option<Estimate> {
    let kept = cells.iter().filter(|row| holds(row)).count();
    (!cells.is_empty()).then(|| exact(kept as f64 / cells.len() as f64))
}

/// A share of `n` with Wilson's 95 % interval.
fn wilson(share: f64, n: usize) -> Option<Estimate> {
    let z = 1.959_963_984_540_054;
    let (n, squared) = (n as f64, z * z);
    let centre = (share + squared / (2.0 * n)) / (1.0 + squared / n);
    let half = z / (1.0 + squared / n) * libm::sqrt(share * (1.0 - share) / n + squared / (4.0 * n * n));
    (n > 0.0).then(|| estimate([share, centre - half, centre + half], n as usize))
}

/// The 95 % interval of the simulation.
fn simulated(row: &CrossoverRow) -> Option<(f64, f64)> {
    row.simulated_low.zip(row.simulated_high)
}

fn smallest(cells: &[CrossoverRow]) -> Option<Estimate> {
    least(cells.iter().map(|row| exact(row.simulated_low.unwrap_or(row.difference))))
}

/// Formula and simulation along the noise axis, where the map of the larger simulated vocabulary is cut.
fn cut(rows: &[CrossoverRow]) -> Panel {
    let vocabulary =
        rows.iter().filter(|row| row.simulated.is_some()).map(|row| row.vocabulary).max().unwrap_or(0);
    let mut panel = Panel::new(
        &format!("Formula and simulation, *V* = {}", grouped(vocabulary)),
        Axis::linear("wrong labels, *E*").percent(),
        Axis::linear("first-order gain of −log *p* over −*p*"),
    )
    .with(Series::horizontal(0.0));
    for (index, a) in SLICES.into_iter().enumerate() {
        let slice: Vec<&CrossoverRow> = rows
            .iter()
            .filter(|row| row.vocabulary == vocabulary && (row.truth_probability - a).abs() < 1e-9)
            .collect();
        let ink = Ink::Category(index);
        let bars =
            slice.iter().filter_map(|row| Some((row.noise_rate, row.simulated_low?, row.simulated_high?)));
        let points = slice.iter().filter_map(|row| Some((row.noise_rate, row.simulated?)));
        panel = panel
            .with(
                Series::line(slice.iter().map(|row| (row.noise_rate, row.difference)))
                    .ink(ink)
                    .label(&format!("*a* = {a}")),
            )
            .with(Series::error_bars(bars).ink(ink))
            .with(Series::points(points).ink(ink));
    }
    panel
}

/// Edges half-way between ascending centres, the outer ones as far out as the inner ones are in.
fn edges(centres: &[f64]) -> Vec<f64> {
    let inner = centres.windows(2).map(|pair| f64::midpoint(pair[0], pair[1]));
    let Some(((first, second), (last, before))) =
        centres.first().zip(centres.get(1)).zip(centres.last().zip(centres.iter().rev().nth(1)))
    else {
        return centres.iter().flat_map(|c| [c - 0.5, c + 0.5]).collect();
    };
    let low = (first - (second - first) / 2.0).max(0.0);
    let high = (last + (last - before) / 2.0).min(1.0);
    std::iter::once(low).chain(inner).chain([high]).collect()
}

fn grouped(n: usize) -> String {
    if n >= 10_000 { format!("{},{:03}", n / 1000, n % 1000) } else { n.to_string() }
}
