//! Paper A, figure 2C: which uncertainty predicts whether an example helps, near the solution and far from it.

use crate::claim::{apart, estimate};
use crate::{About, Claim, Declared, Evidence, Expected, Run, Table, columns};
use anyhow::Result;
use tokensieve_base::statistics::Estimate;
use tokensieve_plot::{Axis, Drawing, Ink, Panel, Series};
use tokensieve_toy::polynomial::{self, PolynomialConfig, PolynomialRow, Uncertainty};

/// The figure.
pub(super) struct Figure;

impl crate::Figure for Figure {
    fn about(&self) -> About {
        About {
            id: "a-2c",
            title: "Which uncertainty predicts whether training on an example helps",
            source: "A, figure 2C and appendix C.1.1",
            caption: "Spearman's correlation, over the 20 examples of a polynomial regression, between an example's \
                      uncertainty and the drop in validation error after one gradient step on it, against the \
                      distance from the solution. Mean over repetitions with its 95 % interval. Below zero: the more \
                      uncertain the example, the less its step helps.",
            protocol: "A polynomial of degree 5 with N(0, 1) coefficients; 20 training examples, x uniform on [−1, \
                       1]. The noise of each has its own standard deviation, 0.1·U(0, 1), which is its aleatoric \
                       uncertainty. Its epistemic uncertainty is the variance of 1,000 predictions with N(0, 0.002²) \
                       added to the coefficients.\n\nThe coefficients start at the truth plus N(0, s²). From there \
                       one gradient step of rate 0.01 is tried on the squared error of each example. Its benefit is \
                       the validation MSE (100 evenly spaced points without noise) before the step minus after it. \
                       Both uncertainties are rank-correlated with the benefit over the 20 examples; 31 values of s, \
                       1,000 repetitions.",
            deviations: &[
                "The paper does not state the distribution of the coefficients and of x, the factor of the loss, the \
                 grid of s or the number of repetitions. We use N(0, 1), uniform, (f(x) − y)² without a half, 31 \
                 values and 1,000 repetitions.",
                "A repetition keeps truth, examples and noise for all s and draws only the offset anew, so that the \
                 increase from the nearest s is a paired difference.",
            ],
            columns: columns! {
                "uncertainty": "epistemic or aleatoric",
                "distance": "s, standard deviation of the coefficients' offset from the truth",
                "correlation": "mean over repetitions of Spearman's ρ(uncertainty, benefit)",
                "correlation_low": "lower end of its 95 % interval (Student)",
                "correlation_high": "upper end",
                "rise": "mean of ρ at this s minus ρ at the nearest s, repetition by repetition",
                "rise_low": "lower end of its 95 % interval (Student)",
                "rise_high": "upper end",
                "helpful_share": "share of examples whose step lowered the validation error",
                "repetitions": "number of repetitions",
            },
        }
    }

    fn table(&self, run: &Run) -> Result<Table> {
        let config = run.profile.pick(PolynomialConfig::smoke(), PolynomialConfig::default());
        Table::from_rows(&run.cached("correlations", &config, || polynomial::run(&config))?)
    }

    fn draw(&self, table: &Table) -> Result<Drawing> {
        let rows: Vec<PolynomialRow> = table.rows()?;
        let x = Axis::log("distance from the solution, *s*").tight();
        let y = Axis::linear("Spearman's *ρ* with the error's decrement").range(-0.4, 0.4);
        let mut panel = Panel::new("", x, y).with(Series::horizontal(0.0));
        let lines = [
            (Uncertainty::Epistemic, "epistemic uncertainty"),
            (Uncertainty::Aleatoric, "aleatoric uncertainty"),
        ];
        for (index, (uncertainty, name)) in lines.into_iter().enumerate() {
            let line: Vec<&PolynomialRow> =
                rows.iter().filter(|row| row.uncertainty == uncertainty).collect();
            let ink = Ink::Category(index);
            let band = line.iter().map(|row| (row.distance, row.correlation_low, row.correlation_high));
            let mean = line.iter().map(|row| (row.distance, row.correlation));
            panel = panel.with(Series::band(band).ink(ink)).with(Series::line(mean).ink(ink).label(name));
        }
        Ok(Drawing::new([panel]).width(560.0).panel_height(280.0))
    }

    fn claims(&self, table: &Table) -> Result<Vec<Claim>> {
        let rows: Vec<PolynomialRow> = table.rows()?;
        Ok(CLAIMS.iter().map(|claim| claim.tested("a-2c", rows.as_slice())).collect())
    }
}

const SOURCE: &str = "A, section 3 and appendix C.1.1";
const MEAN: &str = "mean Spearman correlation over the repetitions, Student's 95 % interval";
const PAIRED: &str =
    "correlation at the farthest minus at the nearest s, paired by repetition; mean, Student's 95 % interval";

const CLAIMS: [Declared<[PolynomialRow]>; 5] = [
    Declared {
        id: "far-epistemic-helps",
        source: SOURCE,
        evidence: Evidence::Paper,
        statement: "Far from the solution, examples of high epistemic uncertainty help most.",
        test: MEAN,
        expected: Expected::Above(0.0),
        effect: |rows| farthest(rows, Uncertainty::Epistemic).map(level),
    },
    Declared {
        id: "near-epistemic-hurts",
        source: SOURCE,
        evidence: Evidence::Paper,
        statement: "Near the solution, training on examples of high epistemic uncertainty is worse.",
        test: MEAN,
        expected: Expected::Below(0.0),
        effect: |rows| nearest(rows, Uncertainty::Epistemic).map(level),
    },
    Declared {
        id: "epistemic-rises",
        source: SOURCE,
        evidence: Evidence::Paper,
        statement: "The farther from the solution, the better epistemic uncertainty indicates a helpful example.",
        test: PAIRED,
        expected: Expected::Above(0.0),
        effect: |rows| farthest(rows, Uncertainty::Epistemic).map(rise),
    },
    Declared {
        id: "near-aleatoric-hurts",
        source: SOURCE,
        evidence: Evidence::Paper,
        statement: "Near the solution, training on examples of high aleatoric uncertainty is worse.",
        test: MEAN,
        expected: Expected::Below(0.0),
        effect: |rows| nearest(rows, Uncertainty::Aleatoric).map(level),
    },
    Declared {
        id: "aleatoric-fades",
        source: SOURCE,
        evidence: Evidence::Paper,
        statement: "Far from the solution, aleatoric uncertainty matters less than near it.",
        test: "size of the mean correlation at the nearest s minus its size at the farthest; the interval is from both of theirs",
        expected: Expected::Above(0.0),
        effect: |rows| {
            let [near, far] = [nearest, farthest].map(|at| at(rows, Uncertainty::Aleatoric).map(level));
            Some(apart(size(near?), size(far?)))
        },
    },
];

fn nearest(rows: &[PolynomialRow], of: Uncertainty) -> Option<&PolynomialRow> {
    rows.iter().filter(|row| row.uncertainty == of).min_by(|a, b| a.distance.total_cmp(&b.distance))
}

fn farthest(rows: &[PolynomialRow], of: Uncertainty) -> Option<&PolynomialRow> {
    rows.iter().filter(|row| row.uncertainty == of).max_by(|a, b| a.distance.total_cmp(&b.distance))
}

fn level(row: &PolynomialRow) -> Estimate {
    estimate([row.correlation, row.correlation_low, row.correlation_high], row.repetitions)
}

/// Of an estimate without its sign.
fn size(Estimate { value, low, high, n }: Estimate) -> Estimate {
    let least = if low <= 0.0 && high >= 0.0 { 0.0 } else { low.abs().min(high.abs()) };
    estimate([value.abs(), least, low.abs().max(high.abs())], n)
}

fn rise(row: &PolynomialRow) -> Estimate {
    estimate([row.rise, row.rise_low, row.rise_high], row.repetitions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_has_no_sign() {
        let of = |value, low, high| size(estimate([value, low, high], 3));
        assert_eq!(of(-0.3, -0.4, -0.2), estimate([0.3, 0.2, 0.4], 3));
        assert_eq!(of(0.1, -0.2, 0.4), estimate([0.1, 0.0, 0.4], 3));
        // As large the other way is no less.
        assert!(apart(of(-0.3, -0.4, -0.2), of(0.6, 0.5, 0.7)).high < 0.0);
    }
}
