//! Paper B, section 2: the gradient that each objective puts on the label's logit, and the theorem's constants.

use crate::claim::{largest, least};
use crate::{About, Claim, Declared, Evidence, Expected, Run, Table, columns, exact};
use anyhow::Result;
use tokensieve_plot::{Axis, Drawing, Ink, Panel, Series, Shape};
use tokensieve_toy::gradient_weight::{self, Constants, GradientWeightConfig, GradientWeightRow};

/// The figure.
pub(super) struct Figure;

impl crate::Figure for Figure {
    fn about(&self) -> About {
        About {
            id: "b-gradient-weight",
            title: "Which tokens an objective pulls on",
            source: "B, section 2",
            caption: "Size of the gradient on the label's logit against the label's probability. A: the family \
                      *f*_{α}(*p*) = (1 − *p*^{α})/α, from −log *p* (α = 0) over −*p* (α = 1) to −*p*^{10}-like; α = −0.5 leaves the panel below *p* = 0.31. B: \
                      other objectives. C: where each curve of the family peaks, read off the grid, on the line α/(1 \
                      + α). Convex objectives pull on improbable tokens, concave ones on probable tokens.",
            protocol: "A distribution over 1,000 labels puts p on the label and spreads the rest evenly. The \
                       objective crate computes the pull and, from it, the gradient on all logits. The figure draws \
                       the size of the label's entry, W(p) = −f′(p)·p·(1 − p), for p = k/200, k = 1 … 199.",
            deviations: &[
                "log(1 − *p*): ε = 10^{-3} is added inside the logarithm, which gives the published weight p(1 − \
                 p)/(1 − p + ε).",
                "focal: γ = 2. eaft: the entropy of the renormalised top 20, divided by log 20; it depends on the \
                 vocabulary through the even spread of the rest.",
            ],
            columns: columns! {
                "objective": "name of the objective",
                "alpha": "α, where the objective is *f*_{α}",
                "p": "probability of the label",
                "pull": "a = −f′(p)·p, the pull onto the label",
                "weight": "size of the gradient on the label's logit, a·(1 − p)",
                "closed_form": "*p*^{α} (1 − *p*), where α is given",
            },
        }
    }

    fn table(&self, run: &Run) -> Result<Table> {
        let config = run.profile.pick(GradientWeightConfig::smoke(), GradientWeightConfig::default());
        let rows = run.cached("curves", &config, || gradient_weight::run(&config))?;
        Table::from_rows(&rows)
    }

    fn draw(&self, table: &Table) -> Result<Drawing> {
        let rows: Vec<GradientWeightRow> = table.rows()?;
        let (mut family, mut others) = (curves(&rows), curves(&rows));
        family.retain(|curve| curve[0].alpha.is_some());
        others.retain(|curve| curve[0].alpha.is_none());
        let line = |curve: &[GradientWeightRow]| Series::line(curve.iter().map(|row| (row.p, row.weight)));
        let p_axis = || Axis::linear("probability of the label, *p*").range(0.0, 1.0);
        let last = family.len().saturating_sub(1).max(1) as f64;
        let ordered = family.iter().enumerate().map(|(index, curve)| {
            let alpha = curve[0].alpha.unwrap_or_default();
            let name = match curve[0].objective.as_str() {
                plain @ ("-log p" | "-p") => format!("α = {alpha} ({})", pretty(plain)),
                _ => format!("α = {}", alpha.to_string().replace('-', "−")),
            };
            line(curve).ink(Ink::Sequence(index as f64 / last)).label(&name)
        });
        let named = others.iter().enumerate().map(|(index, curve)| {
            let series = line(curve).ink(Ink::Category(index)).label(&pretty(&curve[0].objective));
            if index % 2 == 1 { series.dashed() } else { series }
        });
        let peaks = family.iter().filter_map(|curve| Some((curve[0].alpha?, gradient_weight::peak(curve)?)));
        let peaks: Vec<(f64, f64)> = peaks.filter(|(alpha, _)| *alpha > 0.0).collect();
        let theory =
            (0..=60).map(|k| libm::pow(10.0, -1.3 + 2.6 * f64::from(k) / 60.0)).map(|a| (a, a / (1.0 + a)));
        let weight = || Axis::linear("|∂*L*/∂*z*_{label}|").range(0.0, 1.25);
        Ok(Drawing::new([
            Panel::new("The family *f*_{α}", p_axis(), weight()).with_all(ordered),
            Panel::new("Other objectives", p_axis(), weight()).with_all(named),
            Panel::new(
                "Place of the peak",
                Axis::log("α"),
                Axis::linear("*p* of the largest pull").range(0.0, 1.0),
            )
            .with(Series::line(theory).ink(Ink::Muted).label("α/(1 + α)"))
            .with(
                Series::points(peaks)
                    .ink(Ink::Category(1))
                    .shape(Shape::Circle)
                    .size(4.0)
                    .label("read off the grid"),
            ),
        ])
        .width(960.0)
        .panel_height(250.0))
    }

    fn claims(&self, table: &Table) -> Result<Vec<Claim>> {
        let rows: Vec<GradientWeightRow> = table.rows()?;
        let step = rows.get(1).zip(rows.first()).map_or(f64::NAN, |(b, a)| b.p - a.p);
        // What is read off the grid is known to one grid step.
        let on_grid = |claim: &Declared<[GradientWeightRow]>| {
            Declared { expected: claim.expected.loosened(step), ..*claim }.tested(ID, &rows)
        };
        let theorem = THEOREM.tested(ID, &rows);
        let theorem = match constants(&rows) {
            Some(Constants { c, d }) => {
                theorem.remarking(&format!("c = {c:.3} (1 in the limit p → 0), d = {d:.3}"))
            }
            None => theorem,
        };
        Ok([CLOSED_FORM.tested(ID, &rows)]
            .into_iter()
            .chain(PEAKS.iter().map(on_grid))
            .chain([theorem])
            .collect())
    }
}

const ID: &str = "b-gradient-weight";

const CLOSED_FORM: Declared<[GradientWeightRow]> = Declared {
    id: "closed-form",
    source: "B, section 2",
    evidence: Evidence::Check,
    statement: "The pull of *f*_{α} on the label's logit is *p*^{α} (1 − *p*).",
    test: "largest relative difference between the objective crate's gradient and the closed form",
    expected: Expected::Below(1e-9),
    effect: |rows| {
        largest(rows.iter().filter_map(|row| Some((row.weight - row.closed_form?).abs() / row.closed_form?)))
    },
};

/// Where the pull is largest; thresholds are those of an infinitely fine grid.
const PEAKS: [Declared<[GradientWeightRow]>; 3] = [
    Declared {
        id: "peak",
        source: "B, section 2",
        evidence: Evidence::Check,
        statement: "The pull of *f*_{α} peaks at p = α/(1 + α).",
        test: "largest distance of the grid's peak from α/(1 + α), against one grid step",
        expected: Expected::Below(0.0),
        effect: |rows| {
            largest(curves(rows).iter().filter_map(|curve| {
                let alpha = curve[0].alpha.filter(|alpha| *alpha > 0.0)?;
                Some((gradient_weight::peak(curve)? - alpha / (1.0 + alpha)).abs())
            }))
        },
    },
    Declared {
        id: "concave",
        source: "B, section 2",
        evidence: Evidence::Check,
        statement: "Concave objectives pull hardest on tokens of p in [½, 1].",
        test: "smallest peak of all curves whose −f′ rises over the whole grid",
        expected: Expected::Above(0.5),
        effect: |rows| least(peaks(rows, gradient_weight::Shape::Concave).map(exact)),
    },
    Declared {
        id: "convex",
        source: "B, section 2",
        evidence: Evidence::Check,
        statement: "Convex objectives pull hardest on tokens of p in [0, ½].",
        test: "largest peak of all curves whose −f′ falls over the whole grid",
        expected: Expected::Below(0.5),
        effect: |rows| largest(peaks(rows, gradient_weight::Shape::Convex)),
    },
];

const THEOREM: Declared<[GradientWeightRow]> = Declared {
    id: "theorem-constants",
    // The condition is sufficient: what misses it refutes nothing.
    source: "ours, on B, theorem on the two regimes",
    evidence: Evidence::Ours,
    statement: "The headline pair −log *p* and −*p* meets the theorem's condition c < 10 d.",
    test: "c − 10 d, where c is the largest p(f2′ − f1′) on [0, 0.55] and d the smallest on [0.55, 0.95], from the pulls on \
           the grid",
    expected: Expected::Below(0.0),
    effect: |rows| constants(rows).map(|Constants { c, d }| exact(c - 10.0 * d)),
};

/// The peaks of all curves of a shape.
fn peaks(rows: &[GradientWeightRow], shape: gradient_weight::Shape) -> impl Iterator<Item = f64> {
    let these = curves(rows).into_iter().filter(move |curve| gradient_weight::shape(curve) == shape);
    these.filter_map(gradient_weight::peak)
}

/// The theorem's constants for −log p and −p.
fn constants(rows: &[GradientWeightRow]) -> Option<Constants> {
    let curves = curves(rows);
    let curve = |name: &str| curves.iter().find(|curve| curve[0].objective == name);
    Some(gradient_weight::constants(curve("-log p")?, curve("-p")?))
}

fn curves(rows: &[GradientWeightRow]) -> Vec<&[GradientWeightRow]> {
    rows.chunk_by(|a, b| a.objective == b.objective).collect()
}

/// An objective's name as labels write it.
pub(super) fn pretty(objective: &str) -> String {
    let name = match objective {
        "log(1-p)" => "log(1 − *p*)",
        "-log p, p >= 0.2" => "−log *p* where *p* ≥ 0.2",
        "-log p, p <= 0.2" => "−log *p* where *p* ≤ 0.2",
        "focal" => "focal, γ = 2",
        "eaft" => "entropy-adaptive",
        "-log p" => "−log *p*",
        "-p" => "−*p*",
        "-p^10" => "−*p*^{10}",
        other => other,
    };
    name.into()
}
