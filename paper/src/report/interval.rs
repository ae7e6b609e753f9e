//! A claim's effect as a small inline drawing: the interval, the point, and the threshold it must clear.

use crate::Claim;
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
    let low = estimate.low.min(claim.threshold);
    let high = estimate.high.max(claim.threshold);
    let span = if high > low { high - low } else { claim.threshold.abs().max(1.0) };
    let (low, span) = (low - 0.14 * span, 1.28 * span);
    let x = |value: f64| (value - low) / span * WIDTH;
    let claimed = if claim.above { (x(claim.threshold), WIDTH) } else { (0.0, x(claim.threshold)) };
    let label = format!(
        "effect {}, interval {} to {}, threshold {}",
        number(estimate.value, 3),
        number(estimate.low, 3),
        number(estimate.high, 3),
        number(claim.threshold, 3)
    );
    format!(
        concat!(
            r#"<svg class="interval" viewBox="0 0 {width} 22" width="{width}" height="22" role="img" aria-label="{label}">"#,
            r#"<rect class="claimed" x="{from:.1}" y="2" width="{reach:.1}" height="18"/>"#,
            r#"<line class="threshold" x1="{at:.1}" x2="{at:.1}" y1="1" y2="21"/>"#,
            r#"<line class="range" x1="{low:.1}" x2="{high:.1}" y1="{middle}" y2="{middle}"/>"#,
            r#"<circle class="effect" cx="{value:.1}" cy="{middle}" r="4"/></svg>"#
        ),
        width = WIDTH,
        label = escape(&label),
        from = claimed.0,
        reach = claimed.1 - claimed.0,
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
    use crate::exact;

    #[test]
    fn every_finite_estimate_is_drawn_inside_the_box() {
        for (value, threshold) in [(0.0, 0.0), (1e-9, 0.0), (-5.0, 3.0), (1e6, 0.0)] {
            let drawing = svg(&Claim::new("x/y", "A", "s").above(threshold, exact(value), "t"));
            let x: f64 =
                drawing.split("cx=\"").nth(1).and_then(|s| s.split('"').next()).unwrap().parse().unwrap();
            assert!((0.0..=WIDTH).contains(&x), "{value} {threshold}: {x}");
        }
        assert_eq!(svg(&Claim::new("x/y", "A", "s").not_tested("no data")), "");
    }
}
