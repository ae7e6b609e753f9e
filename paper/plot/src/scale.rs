//! Axes: from data to the unit interval, and ticks at round numbers.

/// One axis of a panel: label, scale, range and ticks.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Axis {
    pub(crate) label: String,
    pub(crate) scale: Scale,
    pub(crate) range: Option<(f64, f64)>,
    pub(crate) ticks: Option<Vec<(f64, String)>>,
    pub(crate) quiet: bool,
    /// What follows tick labels in hundredths.
    pub(crate) hundredths: Option<&'static str>,
    pub(crate) tight: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Scale {
    Linear,
    Log,
    SymLog { within: f64 },
    Categories(Vec<String>),
}

impl Axis {
    fn new(label: &str, scale: Scale) -> Self {
        Self {
            label: label.into(),
            scale,
            range: None,
            ticks: None,
            quiet: false,
            hundredths: None,
            tight: false,
        }
    }

    /// Equal steps.
    pub fn linear(label: &str) -> Self {
        Self::new(label, Scale::Linear)
    }

    /// Equal ratios; values at or below zero are not drawn.
    pub fn log(label: &str) -> Self {
        Self::new(label, Scale::Log)
    }

    /// Linear within ±`within` of zero and logarithmic beyond.
    pub fn symlog(label: &str, within: f64) -> Self {
        Self::new(label, Scale::SymLog { within })
    }

    /// Named places: the n-th name sits at x = n (from 0).
    pub fn categories<S: Into<String>>(label: &str, names: impl IntoIterator<Item = S>) -> Self {
        Self::new(label, Scale::Categories(names.into_iter().map(Into::into).collect()))
    }

    /// Fixes the range; otherwise it spans the panel's marks.
    pub fn range(self, low: f64, high: f64) -> Self {
        Self { range: Some((low, high)), ..self }
    }

    /// Ends the axis exactly at its data, as a heat map wants.
    pub fn tight(self) -> Self {
        Self { tight: true, ..self }
    }

    /// Sets ticks and their labels by hand.
    pub fn ticks<S: Into<String>>(self, ticks: impl IntoIterator<Item = (f64, S)>) -> Self {
        Self { ticks: Some(ticks.into_iter().map(|(at, label)| (at, label.into())).collect()), ..self }
    }

    /// Tick labels as percentages of one.
    pub fn percent(self) -> Self {
        Self { hundredths: Some(" %"), ..self }
    }

    /// Tick labels in hundredths without a sign, for differences of percentages.
    pub fn points(self) -> Self {
        Self { hundredths: Some(""), ..self }
    }

    /// Keeps the ticks but drops all text: for the inner panels of a grid that shares its axes.
    pub fn quiet(self) -> Self {
        Self { quiet: true, ..self }
    }

    /// Bends the axis so that its scale becomes linear; `None` where the scale has no such value.
    fn bend(&self, value: f64) -> Option<f64> {
        let bent = match self.scale {
            Scale::Linear | Scale::Categories(_) => value,
            Scale::Log if value > 0.0 => libm::log10(value),
            Scale::Log => return None,
            Scale::SymLog { within } => {
                let size = value.abs() / within;
                libm::copysign(if size <= 1.0 { size } else { 1.0 + libm::log10(size) }, value)
            }
        };
        bent.is_finite().then_some(bent)
    }

    /// Fits the axis to `values` (every x or every y of a panel's marks).
    pub(crate) fn fit(&self, values: impl Iterator<Item = f64>) -> Fitted<'_> {
        let asked = self.range.and_then(|(low, high)| Some((self.bend(low)?, self.bend(high)?)));
        let (low, high) = asked.unwrap_or_else(|| self.span(values));
        let (low, high) = if low < high { (low, high) } else { (low - 0.5, high + 0.5) };
        Fitted { axis: self, low, high }
    }

    fn span(&self, values: impl Iterator<Item = f64>) -> (f64, f64) {
        if let Scale::Categories(names) = &self.scale {
            return (-0.5, names.len() as f64 - 0.5);
        }
        let bent = values.filter_map(|value| self.bend(value));
        let (low, high) = bent.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
        if low > high {
            return (0.0, 1.0);
        }
        let pad = if self.tight { 0.0 } else { (high - low) * 0.04 };
        (low - pad, high + pad)
    }
}

/// An axis whose range is known.
#[derive(Debug)]
pub(crate) struct Fitted<'a> {
    pub axis: &'a Axis,
    low: f64,
    high: f64,
}

impl Fitted<'_> {
    /// Where `value` lies between the ends, 0 to 1 (outside when it lies outside).
    pub(crate) fn at(&self, value: f64) -> Option<f64> {
        Some((self.axis.bend(value)? - self.low) / (self.high - self.low))
    }

    /// Major ticks with their labels, at most about `wanted` of them.
    pub(crate) fn ticks(&self, wanted: usize) -> Vec<(f64, String)> {
        let inside = |at: &f64| (-1e-9..=1.0 + 1e-9).contains(at);
        let place = |(value, label): (f64, String)| Some((self.at(value).filter(inside)?, label));
        if let Some(ticks) = &self.axis.ticks {
            return ticks.iter().cloned().filter_map(place).collect();
        }
        let values: Vec<f64> = match &self.axis.scale {
            Scale::Categories(names) => {
                return names
                    .iter()
                    .enumerate()
                    .filter_map(|(n, name)| place((n as f64, name.clone())))
                    .collect();
            }
            Scale::Linear => linear_ticks(self.low, self.high, wanted),
            Scale::Log => log_ticks(self.low, self.high, wanted),
            Scale::SymLog { within } => symlog_ticks(self.low, self.high, *within),
        };
        let step = values.windows(2).map(|pair| pair[1] - pair[0]).fold(f64::INFINITY, f64::min);
        let by_ratio = !matches!(self.axis.scale, Scale::Linear);
        // Either every tick of a logarithmic axis is a power of ten, or none is.
        let short = values.iter().all(|value| *value == 0.0 || (9e-4..=10_001.0).contains(&value.abs()));
        let label = |value: f64| match (self.axis.hundredths, by_ratio) {
            (Some(sign), _) => plain(value * 100.0, decimals(step * 100.0)) + sign,
            (None, true) if short || value == 0.0 => shortest(value),
            (None, true) => scientific(value),
            (None, false) => linear_label(value, step),
        };
        values.into_iter().map(|value| (value, label(value))).filter_map(place).collect()
    }
}

/// Multiples of 1, 2 or 5 × 10ᵏ.
fn linear_ticks(low: f64, high: f64, wanted: usize) -> Vec<f64> {
    let rough = (high - low) / wanted.max(1) as f64;
    let power = libm::pow(10.0, libm::log10(rough).floor());
    // The round step nearest to the wanted one, by ratio: the borders are the geometric means of neighbours.
    let step = power
        * match rough / power {
            ratio if ratio < 1.41 => 1.0,
            ratio if ratio < 3.16 => 2.0,
            ratio if ratio < 7.07 => 5.0,
            _ => 10.0,
        };
    let (first, last) = ((low / step - 1e-9).ceil() as i64, (high / step + 1e-9).floor() as i64);
    (first..=last).map(|k| k as f64 * step).collect()
}

/// Powers of ten, thinned; 1-2-5 where there are fewer than three of them.
fn log_ticks(low: f64, high: f64, wanted: usize) -> Vec<f64> {
    let (first, last) = ((low - 1e-9).ceil() as i32, (high + 1e-9).floor() as i32);
    if last - first >= 2 {
        let every = (f64::from(last - first) / wanted.max(1) as f64).ceil() as usize;
        return (first..=last).step_by(every).map(|k| libm::pow(10.0, f64::from(k))).collect();
    }
    let inside = |value: &f64| (low - 1e-9..=high + 1e-9).contains(&libm::log10(*value));
    let fine = |k: i32| [1.0, 2.0, 5.0].map(|digit| digit * libm::pow(10.0, f64::from(k)));
    (first - 1..=last).flat_map(fine).filter(inside).collect()
}

/// Zero, and ±`within` × 10ᵏ up to the ends.
fn symlog_ticks(low: f64, high: f64, within: f64) -> Vec<f64> {
    let reach = (low.abs().max(high.abs()) - 1.0).max(0.0).floor() as i32;
    let sizes = (0..=reach).map(|k| within * libm::pow(10.0, f64::from(k)));
    let mut ticks: Vec<f64> = sizes.flat_map(|size| [-size, size]).chain([0.0]).collect();
    ticks.sort_by(f64::total_cmp);
    ticks
}

/// Decimals that a step of this size needs.
fn decimals(step: f64) -> usize {
    if step.is_finite() && step > 0.0 {
        (-(libm::log10(step) + 1e-9).floor()).clamp(0.0, 12.0) as usize
    } else {
        2
    }
}

fn plain(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    let negative_zero = text.starts_with('-') && text.chars().all(|c| "-0.".contains(c));
    if negative_zero { text[1..].into() } else { text.replace('-', "−") }
}

/// Plain digits where they are short, powers of ten where they are not.
fn linear_label(value: f64, step: f64) -> String {
    let size = value.abs();
    if value == 0.0 {
        "0".into()
    } else if size >= 1e5 || step < 1e-4 {
        scientific(value)
    } else if size >= 1e4 {
        let digits = plain(size, 0);
        let (front, back) = digits.split_at(digits.len() - 3);
        format!("{}{front},{back}", if value < 0.0 { "−" } else { "" })
    } else {
        plain(value, decimals(step))
    }
}

/// `3 × 10⁻⁵`, as label markup.
fn scientific(value: f64) -> String {
    let exponent = (libm::log10(value.abs()) + 1e-9).floor();
    let digits = shortest(((value / libm::pow(10.0, exponent)) * 1e6).round() / 1e6);
    let power = format!("10^{{{}}}", plain(exponent, 0));
    match digits.as_str() {
        "1" => power,
        "−1" => format!("−{power}"),
        _ => format!("{digits}×{power}"),
    }
}

/// At most ten significant decimals, no trailing zeros, a real minus sign.
fn shortest(value: f64) -> String {
    let rounded = format!("{value:.10}");
    rounded.trim_end_matches('0').trim_end_matches('.').replace('-', "−")
}

/// A number for prose and labels: `digits` significant digits, a real minus sign, powers of ten as ×10ⁿ.
pub fn number(value: f64, digits: usize) -> String {
    if !value.is_finite() {
        return if value.is_nan() { "–".into() } else { plain(value, 0).replace("inf", "∞") };
    }
    // Of the rounded number, which may have one digit more: 9.9996 is 10.0.
    let rounded = format!("{value:.*e}", digits.saturating_sub(1));
    let exponent = rounded.rsplit_once('e').and_then(|(_, exponent)| exponent.parse().ok()).unwrap_or(0);
    if (-4..=5).contains(&exponent) {
        plain(value, (i32::try_from(digits).unwrap_or(12) - 1 - exponent).clamp(0, 12) as usize)
    } else {
        let mantissa = plain(value / libm::pow(10.0, f64::from(exponent)), digits.saturating_sub(1));
        let superscript: String = exponent
            .to_string()
            .chars()
            .map(|c| {
                if c == '-' {
                    '⁻'
                } else {
                    ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'][c as usize - 48]
                }
            })
            .collect();
        format!("{mantissa}×10{superscript}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis, values: &[f64]) -> Vec<String> {
        axis.fit(values.iter().copied()).ticks(5).into_iter().map(|tick| tick.1).collect()
    }

    #[test]
    fn linear_ticks_are_round() {
        assert_eq!(labels(&Axis::linear(""), &[0.0, 1.0]), ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels(&Axis::linear(""), &[-30.0, 61.0]), ["−20", "0", "20", "40", "60"]);
        assert_eq!(labels(&Axis::linear("").percent(), &[0.0, 0.2]), ["0 %", "5 %", "10 %", "15 %", "20 %"]);
        assert_eq!(labels(&Axis::linear("").points(), &[-0.1, 0.1]), ["−10", "−5", "0", "5", "10"]);
        assert_eq!(
            labels(&Axis::linear(""), &[0.0, 40_000.0]),
            ["0", "10,000", "20,000", "30,000", "40,000"]
        );
    }

    #[test]
    fn log_ticks_are_powers_or_one_two_five() {
        assert_eq!(labels(&Axis::log(""), &[1e-3, 1.0]), ["0.001", "0.01", "0.1", "1"]);
        assert_eq!(labels(&Axis::log(""), &[1e-4, 0.1])[0], "10^{−4}");
        assert_eq!(labels(&Axis::log(""), &[1.0, 30.0]), ["1", "2", "5", "10", "20"]);
        // Five powers of which every second is wanted are not filled with others, wherever they begin.
        let narrow = |low: f64, high: f64| -> Vec<String> {
            let axis = Axis::log("");
            axis.fit([low, high].into_iter()).ticks(3).into_iter().map(|tick| tick.1).collect()
        };
        assert_eq!(narrow(1e-7, 1e-3), ["10^{−7}", "10^{−5}", "10^{−3}"]);
        assert_eq!(narrow(1e-6, 1e-2), ["10^{−6}", "10^{−4}", "10^{−2}"]);
        assert_eq!(labels(&Axis::symlog("", 0.1), &[-1.0, 10.0]).first().map(String::as_str), Some("−1"));
    }

    #[test]
    fn values_map_to_the_unit_interval() {
        let axis = Axis::log("").range(0.01, 100.0);
        let fitted = axis.fit(std::iter::empty());
        assert_eq!(fitted.at(1.0), Some(0.5));
        assert_eq!(fitted.at(0.0), None);
        let names = Axis::categories("", ["a", "b"]);
        assert_eq!(names.fit(std::iter::empty()).at(0.0), Some(0.25));
    }

    #[test]
    fn degenerate_data_still_gives_an_axis() {
        for axis in [Axis::linear(""), Axis::log(""), Axis::symlog("", 1.0)] {
            for values in [&[][..], &[2.0], &[f64::NAN], &[0.0, 0.0]] {
                let fitted = axis.fit(values.iter().copied());
                assert!(fitted.at(2.0).is_some_and(f64::is_finite), "{axis:?} {values:?}");
                assert!(fitted.ticks(5).len() < 20);
            }
        }
    }

    #[test]
    fn numbers_for_prose() {
        assert_eq!(number(-0.1234, 2), "−0.12");
        assert_eq!(number(12345.6, 3), "12346");
        // As many digits where rounding adds one before the point.
        assert_eq!(
            [9.9996, 0.09996, 9.9996e-6].map(|value| number(value, 3)),
            ["10.0", "0.100", "1.00×10⁻⁵"]
        );
        assert_eq!(number(1.5e-7, 2), "1.5×10⁻⁷");
        assert_eq!(number(f64::NAN, 2), "–");
    }
}
