//! A claim's effect as a small inline drawing: the interval, the point, the threshold it must clear, and the differences
//! that would not matter.

use crate::Claim;
use crate::ledger::range;
use tokensieve_plot::{escape, number};

const WIDTH: f64 = 150.0;
const MIDDLE: f64 = 11.0;

/// Inline SVG that takes its colours from the page; empty without an estimate to draw.
pub(super) fn svg(claim: &Claim) -> String {
    let Some(estimate) =
        claim.estimate.filter(|e| e.value.is_finite() && e.low.is_finite() && e.high.is_finite())
    else {
        return String::new();
    };
    let matters = claim.matters;
    let margin = matters.unwrap_or(0.0);
    let low = estimate.low.min(claim.threshold - margin);
    let high = estimate.high.max(claim.threshold + margin);
    let span = if high > low { high - low } else { claim.threshold.abs().max(1.0) };
    let (low, span) = (low - 0.14 * span, 1.28 * span);
    let x = |value: f64| (value - low) / span * WIDTH;
    let claimed = if claim.above { (x(claim.threshold), WIDTH) } else { (0.0, x(claim.threshold)) };
    let around = matters.map_or_else(String::new, |margin| format!(" ± {margin}"));
    let label = format!(
        "effect {}, interval {}, threshold {}{around}",
        number(estimate.value, 3),
        range(estimate),
        number(claim.threshold, 3)
    );
    let band = matters.map_or_else(String::new, |margin| {
        let [from, to] = [claim.threshold - margin, claim.threshold + margin].map(x);
        format!(r#"<rect class="margin" x="{from:.1}" y="2" width="{:.1}" height="18"/>"#, to - from)
    });
    format!(
        concat!(
            r#"<svg class="interval" viewBox="0 0 {width} 22" width="{width}" height="22" role="img" aria-label="{label}">"#,
            r#"<rect class="claimed" x="{from:.1}" y="2" width="{reach:.1}" height="18"/>{band}"#,
            r#"<line class="threshold" x1="{at:.1}" x2="{at:.1}" y1="1" y2="21"/>"#,
            r#"<line class="range" x1="{low:.1}" x2="{high:.1}" y1="{middle}" y2="{middle}"/>"#,
            r#"<circle class="effect" cx="{value:.1}" cy="{middle}" r="4"/></svg>"#
        ),
        width = WIDTH,
        label = escape(&label),
        from = claimed.0,
        reach = claimed.1 - claimed.0,
        band = band,
        at = x(claim.threshold),
        low = x(estimate.low),
        high = x(estimate.high),
        value = x(estimate.value),
        middle = MIDDLE,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Estimate, Verdict, exact};

    /// The number behind a mark.
    fn after(drawing: &str, mark: &str) -> f64 {
        drawing.split(mark).nth(1).and_then(|s| s.split('"').next()).unwrap().parse().unwrap()
    }

    #[test]
    fn every_finite_estimate_is_drawn_inside_the_box() {
        for (value, threshold) in [(0.0, 0.0), (1e-9, 0.0), (-5.0, 3.0), (1e6, 0.0)] {
            let drawing = svg(&Claim::new("x/y", "A", "s").above(threshold, exact(value), "t"));
            let x = after(&drawing, "cx=\"");
            assert!((0.0..=WIDTH).contains(&x), "{value} {threshold}: {x}");
        }
        assert_eq!(svg(&Claim::new("x/y", "A", "s").not_tested("no data")), "");
    }

    #[test]
    fn an_interval_too_small_to_matter_lies_in_the_band() {
        let estimate = Estimate { value: -0.011, low: -0.016, high: -0.006, n: 8 };
        let claim =
            Claim::new("x/y", "A", "s").decided(Verdict::PracticallyEqual, Some(estimate), false, "t");
        let drawing = svg(&Claim { matters: Some(0.02), ..claim.clone() });
        let band = after(&drawing, r#"class="margin" x=""#);
        let width = after(&drawing, &format!(r#"class="margin" x="{band:.1}" y="2" width=""#));
        let [low, high] = ["x1", "x2"].map(|end| {
            let range = drawing.split("class=\"range\"").nth(1).unwrap();
            after(range, &format!("{end}=\""))
        });
        assert!(0.0 < band && band < low && high < band + width && band + width < WIDTH, "{drawing}");
        assert!(drawing.contains("threshold 0.00 ± 0.02"), "{drawing}");
        assert!(!svg(&claim).contains("margin"));
    }
}
