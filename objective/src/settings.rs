//! The table that defines an objective: its keys, and how each is read.
//!
//! One list of keys serves reading, checking, error messages and the manual.

use toml::{Table, Value};

use crate::{
    Band, Error,
    error::hint,
    schedule::Schedule,
    select::{Criterion, Granularity, Selection, Within},
};

/// A key of the objective's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its name; keys of `[select]` are written `select.name`.
    pub name: &'static str,
    /// Its default.
    pub default: &'static str,
    /// What it does.
    pub about: &'static str,
}

const fn key(name: &'static str, default: &'static str, about: &'static str) -> Key {
    Key { name, default, about }
}

/// Every key, in the order of the manual.
pub const KEYS: &[Key] = &[
    key("preset", "none", "start from this preset; the other keys override its own"),
    key("name", "the preset's, or \"custom\"", "what reports call it"),
    key("about", "\"\"", "one sentence for the list of objectives"),
    key("source", "\"\"", "the paper it comes from"),
    key(
        "selected",
        "\"-log p\"",
        "what selected tokens are trained with: a loss f(p), \"none\" or \"distill(<against>)\"",
    ),
    key("weight", "none", "instead of `selected`: the pull on the label itself, an expression held constant"),
    key("otherwise", "\"none\"", "what the other tokens are trained with, written like `selected`"),
    key(
        "reference",
        "0",
        "pull of selected tokens on the reference distribution, an expression held constant",
    ),
    key(
        "against",
        "that of distill(…)",
        "the reference: base, mle, uniform, snapshot, oracle, reference or self (the model's own prediction, held constant)",
    ),
    key(
        "temperature",
        "none",
        "for `self`: that of its prediction, softmax(logits / temperature); below 1 sharpens it",
    ),
    key(
        "direction",
        "\"forward\"",
        "what a pull on the reference q lowers: forward, KL(q ‖ p), or reverse, KL(p ‖ q)",
    ),
    key("top_k", "all", "truncate the reference to its k most probable tokens and one bucket for the rest"),
    key("normalise", "\"pulled\"", "what a step's gradient is divided by: pulled, all, weights or documents"),
    key(
        "match",
        "\"none\"",
        "\"grad-norm\" scales the step until its gradients on the labels' logits, summed in size, are those of -log p on all tokens",
    ),
    key("parameters", "none", "table of numbers that the expressions may name"),
    key(
        "select.by",
        "\"loss\"",
        "criterion: loss, entropy, probability, excess-loss, base-excess-loss, divergence, bald, random, or an expression",
    ),
    key("select.keep", "\"all\"", "band of quantiles: \"top 25%\", \"bottom 10%\", \"20%..30%\", \"all\""),
    key("select.of", "\"tokens\"", "tokens, or whole documents by their mean"),
    key(
        "select.within",
        "\"batch\"",
        "set to rank in: batch, micro-batch, running (recent batches), corpus (surveyed before training)",
    ),
    key("select.window", "262144", "for running: the last so many tokens or documents, up to twice as many"),
    key(
        "select.schedule",
        "\"constant\"",
        "constant, ramp (straight from `from` to `keep`) or adaptive (as the mean loss falls)",
    ),
    key("select.from", "\"all\"", "for ramp and adaptive: the band at the start"),
    key("select.over", "\"100%\"", "for ramp: share of the run until `keep` is reached"),
];

/// A table together with the prefix of its keys.
pub(crate) struct Section<'a> {
    prefix: &'static str,
    table: &'a Table,
}

impl<'a> Section<'a> {
    /// A table all of whose keys are known.
    pub(crate) fn new(prefix: &'static str, table: &'a Table) -> Result<Self, Error> {
        let known: Vec<&str> = KEYS
            .iter()
            .filter_map(|key| key.name.strip_prefix(prefix))
            .filter(|name| !name.contains('.'))
            .chain(prefix.is_empty().then_some("select"))
            .collect();
        match table.keys().find(|key| !known.contains(&key.as_str())) {
            None => Ok(Self { prefix, table }),
            Some(key) => Err(Error::UnknownKey { key: format!("{prefix}{key}"), hint: hint(key, known) }),
        }
    }

    fn error(&self, key: &str, problem: impl Into<String>) -> Error {
        Error::value(format!("{}{key}", self.prefix), problem)
    }

    /// The text of a key; a number counts as the text of that number.
    pub(crate) fn text(&self, key: &str) -> Result<Option<String>, Error> {
        match self.table.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.trim().to_owned())),
            Some(Value::Integer(number)) => Ok(Some(number.to_string())),
            Some(Value::Float(number)) => Ok(Some(number.to_string())),
            Some(other) => Err(self.error(key, format!("expected text, found {}", other.type_str()))),
        }
    }

    pub(crate) fn integer(&self, key: &str) -> Result<Option<u64>, Error> {
        match self.table.get(key) {
            None => Ok(None),
            Some(Value::Integer(number)) if *number > 0 => Ok(Some(number.unsigned_abs())),
            Some(other) => Err(self.error(key, format!("expected a whole number above 0, found {other}"))),
        }
    }

    /// A number above 0.
    pub(crate) fn positive(&self, key: &str) -> Result<Option<f64>, Error> {
        let number = match self.table.get(key) {
            None => return Ok(None),
            Some(Value::Integer(number)) => *number as f64,
            Some(Value::Float(number)) => *number,
            Some(_) => f64::NAN,
        };
        if number > 0.0 && number.is_finite() {
            return Ok(Some(number));
        }
        Err(self.error(key, format!("expected a number above 0, found {}", self.table[key])))
    }

    pub(crate) fn table(&self, key: &str) -> Result<Option<&'a Table>, Error> {
        match self.table.get(key) {
            None => Ok(None),
            Some(Value::Table(table)) => Ok(Some(table)),
            Some(other) => Err(self.error(key, format!("expected a table, found {}", other.type_str()))),
        }
    }

    /// One of several words.
    pub(crate) fn word<T: Copy>(&self, key: &str, words: &[(&str, T)], default: T) -> Result<T, Error> {
        let Some(text) = self.text(key)? else { return Ok(default) };
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        found.ok_or_else(|| {
            self.error(
                key,
                format!(
                    "`{text}` is not one of its values{}",
                    hint(&text, words.iter().map(|(word, _)| *word))
                ),
            )
        })
    }

    fn band(&self, key: &str) -> Result<Band, Error> {
        let Some(text) = self.text(key)? else { return Ok(Band::ALL) };
        let band = parse_band(&text).and_then(|(low, high)| Band::new(low, high).ok());
        band.ok_or_else(|| {
            let right = "expected \"top 25%\", \"bottom 10%\", \"20%..30%\" or \"all\", from 0% to 100% and not empty";
            self.error(key, format!("`{text}` is not a band of quantiles; {right}"))
        })
    }
}

/// The text as TOML; a table `[objective]` may stand around the keys.
pub(crate) fn table(text: &str) -> Result<Table, Error> {
    let table: Table = text.parse().map_err(|error: toml::de::Error| Error::Toml(error.to_string()))?;
    match table.get("objective") {
        Some(Value::Table(inner)) if table.len() == 1 => Ok(inner.clone()),
        _ => Ok(table),
    }
}

/// Merges `over` into `under`, key by key; where both have a key, that of `over` wins.
pub(crate) fn overlay(under: &mut Table, over: Table) {
    // `selected` and `weight` exclude each other, so setting one removes the other.
    for (one, other) in [("selected", "weight"), ("weight", "selected")] {
        if over.contains_key(one) && !over.contains_key(other) {
            under.remove(other);
        }
    }
    for (key, value) in over {
        match (under.get_mut(&key), value) {
            (Some(Value::Table(under)), Value::Table(over)) => overlay(under, over),
            (_, value) => {
                under.insert(key, value);
            }
        }
    }
}

pub(crate) fn selection(table: &Table) -> Result<Selection, Error> {
    let section = Section::new("select.", table)?;
    let by = Criterion::named(section.text("by")?.as_deref().unwrap_or("loss"))?;
    let units = [("tokens", Granularity::Token), ("documents", Granularity::Document)];
    let of = section.word("of", &units, Granularity::Token)?;
    let running = Within::Running { window: section.integer("window")?.unwrap_or(262_144) };
    let scopes = [
        ("batch", Within::Batch),
        ("micro-batch", Within::MicroBatch),
        ("running", running),
        ("corpus", Within::Corpus),
    ];
    let within = section.word("within", &scopes, Within::Batch)?;
    if within != running && table.contains_key("window") {
        return Err(section.error("window", "applies only to `within = \"running\"`"));
    }
    let from = section.band("from")?;
    let over = section.text("over")?.map_or(Ok(1.0), |text| {
        let share = percent(&text).filter(|share| *share > 0.0 && *share <= 1.0);
        share.ok_or_else(|| {
            section.error("over", format!("expected a share of the run like \"50%\", found `{text}`"))
        })
    })?;
    let schedules = [
        ("constant", Schedule::Constant),
        ("ramp", Schedule::Ramp { from, over }),
        ("adaptive", Schedule::Adaptive { from }),
    ];
    let schedule = section.word("schedule", &schedules, Schedule::Constant)?;
    for (key, used) in
        [("from", schedule != Schedule::Constant), ("over", matches!(schedule, Schedule::Ramp { .. }))]
    {
        if table.contains_key(key) && !used {
            return Err(section.error(key, "applies only to a `schedule` that moves the band"));
        }
    }
    Ok(Selection { by, keep: section.band("keep")?, of, within, schedule })
}

/// `25%` as 25.
fn percentage(text: &str) -> Option<f64> {
    text.strip_suffix('%')?.trim().parse().ok()
}

/// `25%` as 0.25.
fn percent(text: &str) -> Option<f64> {
    percentage(text).map(|number| number / 100.0)
}

fn parse_band(text: &str) -> Option<(f64, f64)> {
    if text == "all" {
        return Some((0.0, 1.0));
    }
    if let Some(share) = text.strip_prefix("top ") {
        // Not 1 − 0.9, which lies below 0.1 and so rounds half a rank down.
        return Some(((100.0 - percentage(share.trim())?) / 100.0, 1.0));
    }
    if let Some(share) = text.strip_prefix("bottom ") {
        return Some((0.0, percent(share.trim())?));
    }
    let (low, high) = text.split_once("..")?;
    Some((percent(low.trim())?, percent(high.trim())?))
}
