//! Prints results and differences as tables.

use super::compare::{Difference, ask_the_same, share};
use super::groups::{Group, Proxies};
use super::results::{Measured, Results};
use tokensieve_tasks::Unit;

/// A table with one row per measure and, with a baseline, the relative gain over it.
pub fn results_table(results: &Results, baseline: Option<&Results>) -> String {
    let mut rows = Vec::new();
    for (name, task) in &results.tasks {
        let base = baseline.and_then(|baseline| baseline.tasks.get(name));
        let base = base.filter(|base| ask_the_same(base, task));
        for (i, (measure, found)) in task.measures.iter().enumerate() {
            let base = base.filter(|base| share(measure, base, task));
            let gain = gain(found, base.and_then(|base| base.measures.get(measure)));
            rows.push([
                name.clone(),
                measure.clone(),
                number(found.value, found.unit),
                format!("[{}, {}]", number(found.low, found.unit), number(found.high, found.unit)),
                found.n.to_string(),
                if i == 0 { format!("{:.1}", task.seconds) } else { String::new() },
                gain.map_or_else(String::new, |gain| format!("{:+.1} %", 100.0 * gain)),
            ]);
        }
    }
    let gain = if baseline.is_some() { "gain" } else { "" };
    columns(["task", "measure", "value", "95 % interval", "n", "seconds", gain], rows)
}

/// A table with one row per group of tokens; empty where no task has groups.
pub fn groups_table(results: &Results) -> String {
    let head = [
        "task",
        "tokens of",
        "n",
        "KL",
        "KL data",
        "H",
        "H model",
        "loss",
        "right",
        "accuracy",
        "outside",
        "ρ loss",
        "ρ entropy",
        "AUROC loss",
        "AUROC entropy",
    ];
    let row = |task: &str, name: &str, group: &Group| {
        let nats = |sum: f64| number(Some(group.mean(sum)), Unit::Nats);
        let share = |sum: f64| number(Some(group.mean(sum)), Unit::Share);
        let Proxies { loss, entropy } = group.spearman;
        let of_rank = |rank: Option<f64>| number(rank, Unit::Number);
        [
            task.to_owned(),
            name.to_owned(),
            group.tokens.to_string(),
            nats(group.kl),
            nats(group.kl_data),
            nats(group.entropy),
            nats(group.model_entropy),
            nats(group.loss),
            share(group.right as f64),
            share(group.accurate as f64),
            share(group.outside),
            of_rank(loss),
            of_rank(entropy),
            of_rank(group.auroc.loss),
            of_rank(group.auroc.entropy),
        ]
    };
    let groups =
        results.tasks.iter().flat_map(|(task, found)| found.groups.iter().map(move |pair| (task, pair)));
    let rows: Vec<_> = groups.map(|(task, (name, group))| row(task, name, group)).collect();
    if rows.is_empty() { String::new() } else { columns(head, rows) }
}

/// A table with one row per measure and whether the difference is significant.
pub fn differences_table(differences: &[Difference]) -> String {
    let head = ["task", "measure", "first", "second", "difference", "95 % interval", "n", ""];
    let rows = differences.iter().map(|found| {
        let Difference { task, measure, values: [old, new], difference } = found;
        let number = |x: Option<f64>| number(x, difference.unit);
        let signed = |x: Option<f64>| signed(x, difference.unit);
        let unit = if difference.unit == Unit::Share { "points" } else { "" };
        [
            task.clone(),
            measure.clone(),
            number(*old),
            number(*new),
            format!("{} {unit}", signed(difference.value)).trim_end().to_owned(),
            format!("[{}, {}]", signed(difference.low), signed(difference.high)),
            difference.n.to_string(),
            verdict(difference).to_owned(),
        ]
    });
    columns(head, rows)
}

/// `better` or `worse` if the interval excludes zero; neither where it has no width: differences that are all the same are
/// no evidence of how much they vary.
pub(super) fn verdict(difference: &Measured) -> &'static str {
    let [less, more] = match difference.more_is_better {
        Some(true) => ["worse", "better"],
        Some(false) => ["better", "worse"],
        None => ["less", "more"],
    };
    match (difference.low, difference.high) {
        (low, high) if low == high => "",
        (Some(low), _) if low > 0.0 => more,
        (_, Some(high)) if high < 0.0 => less,
        _ => "",
    }
}

/// (model − baseline) / baseline; of a baseline that is not positive nothing is a share.
pub fn gain(found: &Measured, baseline: Option<&Measured>) -> Option<f64> {
    let (value, base) = (found.value?, baseline?.value?);
    (base > 0.0).then(|| (value - base) / base)
}

/// A number with as many digits as typical intervals of its unit leave significant.
fn number(x: Option<f64>, unit: Unit) -> String {
    match (x, unit) {
        (None, _) => "–".to_owned(),
        (Some(x), Unit::Share) => format!("{:.2} %", 100.0 * x),
        (Some(x), Unit::Nats) => format!("{x:.4}"),
        (Some(x), Unit::Number) => format!("{x:.3}"),
    }
}

/// A difference; for shares in percentage points.
fn signed(x: Option<f64>, unit: Unit) -> String {
    match (x, unit) {
        (None, _) => "–".to_owned(),
        (Some(x), Unit::Share) => format!("{:+.2}", 100.0 * x),
        (Some(x), Unit::Nats) => format!("{x:+.4}"),
        (Some(x), Unit::Number) => format!("{x:+.3}"),
    }
}

/// Aligns columns: the first two to the left, numbers to the right.
fn columns<const N: usize>(head: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let rows: Vec<[String; N]> = std::iter::once(head.map(str::to_owned)).chain(rows).collect();
    let width = |i: usize| rows.iter().map(|row| row[i].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (i, (cell, width)) in row.iter().zip(widths).enumerate() {
            let cell = if i < 2 { format!("{cell:<width$}") } else { format!("{cell:>width$}") };
            line += &format!("{cell}  ");
        }
        text += &format!("{}\n", line.trim_end());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_baseline_that_is_not_positive_has_no_gain() {
        let of = |value| Measured {
            value: Some(value),
            low: None,
            high: None,
            n: 1,
            unit: Unit::Nats,
            more_is_better: Some(true),
        };
        let over = |base, value| gain(&of(value), Some(&of(base)));
        assert_eq!(over(2.0, 3.0), Some(0.5));
        assert_eq!([over(-2.0, -1.0), over(0.0, 1.0)], [None, None]);
        assert_eq!(gain(&of(1.0), None), None);
    }

    #[test]
    fn numbers_stand_below_one_another() {
        let cell = |text: &str| text.to_owned();
        let text = columns(["task", "n"], [[cell("a–b"), cell("1")], [cell("longer"), cell("22")]]);
        assert_eq!(text, "task    n\na–b     1\nlonger  22\n");
        let text = columns(["t", "m", "n"], [[cell("t"), cell("m"), cell("100")]]);
        assert_eq!(text, "t  m    n\nt  m  100\n");
    }
}
