//! A configuration as written: a TOML file and the overrides of `--set`, every key known and of its kind.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use super::keys::{self, KEYS, Key, Kind};
use tokensieve_model::{Error, Result};

/// Values by full name, defaults included.
#[derive(Debug)]
pub(super) struct Settings {
    /// What errors point to.
    origin: Origin,
    values: BTreeMap<String, Value>,
}

/// Where the values come from.
#[derive(Debug)]
struct Origin {
    file: PathBuf,
    text: String,
    /// Names given by `--set`.
    overridden: Vec<String>,
}

impl Settings {
    /// Reads a file's text, then the overrides `key=value`.
    pub(super) fn read(file: &Path, text: &str, overrides: &[String]) -> Result<Self> {
        let mut table = text.parse::<Table>().map_err(|error| syntax(file, text, &error))?;
        normalise(&mut table);
        let mut origin = Origin { file: file.to_owned(), text: text.to_owned(), overridden: Vec::new() };
        for text in overrides {
            origin.overridden.extend(set(&mut table, text)?);
        }
        let mut values = BTreeMap::new();
        flatten("", table, &origin, &mut values)?;
        let mut settings = Self { origin, values };
        settings.fill();
        Ok(settings)
    }

    /// The values of a derived configuration, and the same with the defaults of the keys that it does not name. Nothing is
    /// checked, so that one of another machine or version can be compared.
    pub(super) fn written(file: &Path, text: &str) -> Result<[BTreeMap<String, Value>; 2]> {
        let table = text.parse::<Table>().map_err(|error| syntax(file, text, &error))?;
        let mut written = BTreeMap::new();
        collect("", table, &mut written);
        let origin = Origin { file: file.to_owned(), text: String::new(), overridden: Vec::new() };
        let mut filled = Self { origin, values: written.clone() };
        filled.fill();
        Ok([written, filled.values])
    }

    /// Adds the defaults; those of `eval.NAME` for every name.
    fn fill(&mut self) {
        let names = self.names_of_evals();
        for key in KEYS.iter().filter(|key| !key.default.is_empty()) {
            let wanted = match key.name.strip_prefix("eval.NAME.") {
                Some(rest) => names.iter().map(|name| format!("eval.{name}.{rest}")).collect(),
                None => vec![key.name.to_owned()],
            };
            for name in wanted {
                let value =
                    format!("x = {}", key.default).parse::<Table>().ok().and_then(|mut t| t.remove("x"));
                if let Some(value) = value {
                    self.values.entry(name).or_insert(value);
                }
            }
        }
    }

    /// The names NAME of `[eval.NAME]`.
    pub(super) fn names_of_evals(&self) -> Vec<String> {
        let name = |key: &String| Some(key.strip_prefix("eval.")?.rsplit_once('.')?.0.to_owned());
        let mut names: Vec<String> = self.values.keys().filter_map(name).collect();
        names.dedup();
        names
    }

    /// The file, and what it holds.
    pub(super) fn origin(&self) -> (&Path, &str) {
        (&self.origin.file, &self.origin.text)
    }

    /// All values by full name.
    pub(super) fn values(&self) -> &BTreeMap<String, Value> {
        &self.values
    }

    /// Removes a value, so that the derived configuration does not show it.
    pub(super) fn remove(&mut self, name: &str) {
        self.values.remove(name);
    }

    /// Sets a value that follows from other keys.
    pub(super) fn set(&mut self, name: &str, value: Value) {
        self.values.insert(name.to_owned(), value);
    }

    /// Whether the user gave a key of this table.
    pub(super) fn mentions(&self, prefix: &str) -> bool {
        let mut set = self.origin.overridden.iter();
        // What the file says inside of a table whose place an override has taken does not count.
        let is_replaced = set.clone().any(|name| within(prefix, name));
        set.any(|name| name.starts_with(prefix))
            || (!is_replaced && self.origin.place(prefix.trim_end_matches('.')).is_some())
    }

    /// Whether `--set` gave a key.
    pub(super) fn overridden(&self, name: &str) -> bool {
        self.origin.overridden.iter().any(|set| set == name)
    }

    /// An error about a key's value, with its place.
    pub(super) fn wrong(&self, name: &str, what: impl std::fmt::Display) -> Error {
        self.origin.wrong(name, what)
    }

    /// A key's value as this type; `None` where it has none.
    pub(super) fn optional<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        self.values.get(name)?.clone().try_into().ok()
    }

    pub(super) fn required<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        self.optional(name).ok_or_else(|| self.missing(name))
    }

    /// The error of a key that has no value, or none of its kind.
    pub(super) fn missing(&self, name: &str) -> Error {
        let about = known(name).map_or("", |key| key.about);
        Error::file(&self.origin.file, format!("`{name}` is missing: {about}"))
    }

    /// What the word of a key stands for.
    pub(super) fn choice<T: Copy>(&self, name: &str, table: &[(&str, T)]) -> Result<T> {
        let word: String = self.required(name)?;
        table.iter().find(|(known, _)| *known == word).map(|(_, meaning)| *meaning).ok_or_else(|| {
            let words: Vec<&str> = table.iter().map(|(word, _)| *word).collect();
            self.wrong(name, format!("`{word}` is not one of {}", words.join(", ")))
        })
    }

    pub(super) fn value(&self, name: &str) -> Option<&Value> {
        self.values.get(name)
    }
}

impl Origin {
    fn wrong(&self, name: &str, what: impl std::fmt::Display) -> Error {
        let what = with_short_values(&what.to_string());
        let mut sets = self.overridden.iter();
        if let Some(set) = sets.find(|set| *set == name || within(name, set) || within(set, name)) {
            // The longer of both: as typed, or the key inside of what was typed.
            let name = if within(set, name) { set } else { name };
            return Error::setting(format!("--set {name}"), what);
        }
        let what = format!("`{name}`: {what}");
        match self.place(name) {
            Some(line) => Error::line(&self.file, line, what),
            None => Error::file(&self.file, what),
        }
    }

    /// The line of a key or table, if the file has it.
    fn place(&self, name: &str) -> Option<usize> {
        let table = DeTable::parse(&self.text).ok()?;
        place(table.get_ref(), name).map(|at| line_of(&self.text, at))
    }
}

/// Where the key of this path begins. Keys in quotes may have dots, too.
fn place(table: &DeTable, name: &str) -> Option<usize> {
    table.iter().find_map(|(key, value)| {
        match (name.strip_prefix(key.get_ref().as_ref())?, value.get_ref()) {
            ("", _) => Some(key.span().start),
            (rest, DeValue::Table(inner)) => place(inner, rest.strip_prefix('.')?),
            _ => None,
        }
    })
}

/// The error of a text that is not TOML.
fn syntax(file: &Path, text: &str, error: &toml::de::Error) -> Error {
    let line = error.span().map_or(1, |span| line_of(text, span.start));
    Error::line(file, line, error.message())
}

fn line_of(text: &str, at: usize) -> usize {
    text[..at.min(text.len())].matches('\n').count() + 1
}

/// `objective = "mle"` is short for `[objective] preset = "mle"`, so that an override can add a key to it.
fn normalise(table: &mut Table) {
    if let Some(Value::String(preset)) = table.get_mut("objective") {
        let preset = Value::String(std::mem::take(preset));
        table.insert("objective".to_owned(), Value::Table(Table::from_iter([("preset".to_owned(), preset)])));
    }
}

/// Sets `key=value` in a table and returns the keys that it sets: several where the value is a table of keys. A value that
/// is not TOML is read as text, and so is any value without quotes if the key takes text.
fn set(table: &mut Table, text: &str) -> Result<Vec<String>> {
    let parts = text.split_once('=').filter(|(name, _)| !name.trim().is_empty());
    let Some((name, value)) = parts else {
        let set = format!("--set {}", shorten(text));
        return Err(Error::setting(set, "expected key=value, for example train.lr=2e-4"));
    };
    let (path, value) = (path(name.trim()), value.trim());
    let name = path.join(".");
    let parsed = format!("x = {value}").parse::<Table>().ok().filter(|table| table.len() == 1);
    let parsed = parsed.and_then(|mut t| t.remove("x"));
    let is_text = known(&name).is_some_and(|key| key.kind == Kind::Text);
    let parsed = parsed.filter(|parsed| !is_text || parsed.is_str());
    let value = parsed.unwrap_or_else(|| Value::String(value.to_owned()));
    let mut names = Vec::new();
    for (path, value) in each_key(path, value) {
        insert(table, &path, value)?;
        names.push(path.join("."));
    }
    normalise(table);
    Ok(names)
}

/// Whether a name is inside of another.
fn within(inner: &str, outer: &str) -> bool {
    inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('.'))
}

/// A value and its path; of a table of keys each key by itself, so that the file's others stay. An empty one takes the
/// table's place, which removes the file's keys.
fn each_key(path: Vec<String>, value: Value) -> Vec<(Vec<String>, Value)> {
    match value {
        Value::Table(keys) if !keys.is_empty() && is_table(&path.join(".")) => {
            let inner = |(key, value)| each_key([path.as_slice(), &[key]].concat(), value);
            keys.into_iter().flat_map(inner).collect()
        }
        value => vec![(path, value)],
    }
}

/// Puts a value into a table, at the end of a path through tables.
fn insert(table: &mut Table, path: &[String], value: Value) -> Result<()> {
    let mut here = table;
    let (last, outer) = path.split_last().expect("a name has at least one part");
    for part in outer {
        let inner = here.entry(part.as_str()).or_insert_with(|| Value::Table(Table::new()));
        let kind = inner.type_str();
        here = inner.as_table_mut().ok_or_else(|| {
            let set = format!("--set {}", path.join("."));
            Error::setting(set, format!("`{part}` is not a table but {kind}"))
        })?;
    }
    here.insert(last.clone(), value);
    Ok(())
}

/// The parts of a key; a part in quotes may have dots. Text that is not a TOML key is split at its dots.
fn path(name: &str) -> Vec<String> {
    let mut parts = Vec::new();
    let mut value =
        format!("{name} = 0").parse::<Table>().ok().filter(|_| !name.contains('\n')).map(Value::Table);
    while let Some(Value::Table(table)) = value {
        let Some((part, inner)) = table.into_iter().next() else { break };
        parts.push(part);
        value = Some(inner);
    }
    if parts.is_empty() { name.split('.').map(str::to_owned).collect() } else { parts }
}

/// The key of this full name.
pub(super) fn known(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| match key.name.strip_prefix("eval.NAME.") {
        None => key.name == name,
        Some(rest) => name
            .strip_prefix("eval.")
            .and_then(|name| name.rsplit_once('.'))
            .is_some_and(|(evaluation, key)| key == rest && !evaluation.contains('.')),
    })
}

/// Whether `eval.NAME` may be: the name becomes part of files' names.
fn is_name(of_eval: &str) -> bool {
    of_eval.strip_prefix("eval.").is_some_and(|name| !name.is_empty() && !name.contains(['.', '/', '\0']))
}

/// Whether keys lie below this name.
fn is_table(name: &str) -> bool {
    let eval = name == "eval" || name.strip_prefix("eval.").is_some_and(|name| !name.contains('.'));
    let below = |key: &Key| key.name.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'));
    eval || KEYS.iter().any(below)
}

fn flatten(prefix: &str, table: Table, origin: &Origin, into: &mut BTreeMap<String, Value>) -> Result<()> {
    for (key, value) in table {
        let name = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
        match (known(&name), value) {
            (Some(key), value) => {
                if !key.kind.accepts(&value) {
                    let found = shorten(&value.to_string());
                    return Err(origin.wrong(&name, format!("expected {}, found {found}", key.kind.right())));
                }
                into.insert(name, settled(key.kind, value));
            }
            (None, _) if prefix == "eval" && !is_name(&name) => {
                let what = "is not a valid name for a held-out set: file names contain it, so it must not be empty or contain `.` or `/`";
                return Err(origin.wrong(&name, what));
            }
            (None, Value::Table(inner)) if prefix == "eval" && inner.is_empty() => {
                return Err(
                    origin.wrong(&name, format!("names no data set; give {name}.data, or leave it out"))
                );
            }
            (None, Value::Table(inner)) if is_table(&name) => flatten(&name, inner, origin, into)?,
            (None, value) if is_table(&name) => {
                let found = shorten(&value.to_string());
                return Err(origin.wrong(&name, format!("expected a table, found {found}")));
            }
            (None, value) => {
                // Of a table that nobody knows, a key inside says more than its own name.
                let inner = value.as_table().and_then(|table| table.keys().next());
                let near = nearest(&inner.map_or(name.clone(), |inner| format!("{name}.{inner}")));
                let hint = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
                let all = "`tokensieve train --keys` lists all";
                return Err(origin.wrong(&name, format!("there is no such key{hint} ({all})")));
            }
        }
    }
    Ok(())
}

/// Values by full name, whatever they are.
fn collect(prefix: &str, table: Table, into: &mut BTreeMap<String, Value>) {
    for (key, value) in table {
        let name = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
        match (known(&name), value) {
            (Some(key), value) => {
                into.insert(name, settled(key.kind, value));
            }
            (None, Value::Table(inner)) => collect(&name, inner, into),
            (None, value) => {
                into.insert(name, value);
            }
        }
    }
}

/// A value of this kind as the derived configuration has it.
fn settled(kind: Kind, value: Value) -> Value {
    match kind {
        // The order of patterns counts.
        Kind::Ranks | Kind::Pattern => value,
        Kind::Day => Value::String(keys::day(&value)),
        _ => sorted(value),
    }
}

/// The value of a key whose numbers may have a fraction, all written with one: 0 and 0.0 are the same there.
pub(super) fn number(name: &str, value: &Value) -> Value {
    fn number(value: &Value) -> Value {
        match value {
            Value::Integer(n) => Value::Float(*n as f64),
            Value::Array(list) => Value::Array(list.iter().map(number).collect()),
            Value::Table(table) => {
                Value::Table(table.iter().map(|(key, value)| (key.clone(), number(value))).collect())
            }
            other => other.clone(),
        }
    }
    match known(name).map(|key| key.kind) {
        Some(Kind::Number(..) | Kind::Positive(_) | Kind::Shares(_) | Kind::Pattern) => number(value),
        _ => value.clone(),
    }
}

/// A value with the keys of its tables in alphabetical order: their order in the file means nothing.
fn sorted(value: Value) -> Value {
    match value {
        Value::Table(table) => {
            let sorted: BTreeMap<_, _> = table.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            Value::Table(sorted.into_iter().collect())
        }
        Value::Array(list) => Value::Array(list.into_iter().map(sorted).collect()),
        other => other,
    }
}

fn shorten(text: &str) -> String {
    cut(text, 60)
}

fn cut(text: &str, most: usize) -> String {
    if text.chars().count() > most {
        text.chars().take(most - 3).chain("…".chars()).collect()
    } else {
        text.to_owned()
    }
}

/// A message with what stands between backticks cut to what one can read. One that quotes a backtick itself stays.
fn with_short_values(what: &str) -> String {
    let parts: Vec<&str> = what.split('`').collect();
    if parts.len().is_multiple_of(2) {
        return what.to_owned();
    }
    let short = parts.iter().enumerate();
    let short: Vec<_> =
        short.map(|(i, part)| if i % 2 == 1 { cut(part, 200) } else { (*part).to_owned() }).collect();
    short.join("`")
}

/// The key most like a wrong one: the whole name by edit distance, or the same last part elsewhere.
fn nearest(wrong: &str) -> Option<&'static str> {
    let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    if let Some(elsewhere) = KEYS.iter().find(|key| last(key.name) == last(wrong)) {
        return Some(elsewhere.name);
    }
    // What is so long is no slip, and its distance takes long.
    let cut = |name: &str| name.chars().take(64).collect::<String>();
    let (whole_name, last_part) = (cut(wrong), cut(&last(wrong)));
    let scored = KEYS.iter().map(|key| {
        let whole = strsim::levenshtein(&whole_name, key.name);
        let part = strsim::levenshtein(&last_part, &last(key.name)) + 1;
        (whole.min(part), key.name)
    });
    let (score, name) = scored.min_by_key(|(score, _)| *score)?;
    (score <= last(name).len().max(2) / 2).then_some(name)
}

/// Values as a TOML file in the order of the manual, each under its table.
pub(super) fn write(values: &BTreeMap<String, Value>) -> String {
    let mut text = String::new();
    let mut section = String::new();
    for (name, value) in in_order(values) {
        if known(name).is_some_and(|key| key.kind == Kind::Objective) {
            if let Value::Table(table) = value {
                text += "\n[objective]\n";
                table
                    .iter()
                    .filter(|(_, v)| !v.is_table())
                    .for_each(|(k, v)| text += &format!("{k} = {v}\n"));
                for (inner, keys) in table.iter().filter_map(|(k, v)| Some((k, v.as_table()?))) {
                    text += &format!("\n[objective.{inner}]\n");
                    keys.iter().for_each(|(k, v)| text += &format!("{k} = {v}\n"));
                }
            }
            continue;
        }
        let (table, key) = name.rsplit_once('.').unwrap_or(("", name));
        if table != section {
            text += &format!("\n[{}]\n", table.split('.').map(quoted).collect::<Vec<_>>().join("."));
            table.clone_into(&mut section);
        }
        text += &format!("{key} = {value}\n");
    }
    text.trim_start().to_owned()
}

/// A name as TOML wants it.
fn quoted(name: &str) -> String {
    let bare = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if bare { name.to_owned() } else { Value::String(name.to_owned()).to_string() }
}

/// Values in the order of the manual, tables of one level together; eval sets in alphabetical order.
fn in_order(values: &BTreeMap<String, Value>) -> Vec<(&String, &Value)> {
    let place = |name: &str| KEYS.iter().position(|key| known(name).is_some_and(|k| k.name == key.name));
    let table = |name: &str| name.rsplit_once('.').map_or("", |(table, _)| table).to_owned();
    let first = |name: &str| {
        let own = known(name).map(|key| table(key.name)).unwrap_or_default();
        KEYS.iter().position(|key| table(key.name) == own)
    };
    let mut ordered: Vec<_> = values.iter().collect();
    ordered.sort_by_cached_key(|(name, _)| (first(name), table(name), place(name)));
    ordered
}
