//! Python's behaviour that chat templates rely on: white space, lines, JSON, and how values print.

#![allow(clippy::needless_pass_by_value, reason = "the signatures that minijinja requires of filters")]

#[cfg(test)]
mod tests;

use std::fmt::{self, Write};

use minijinja::value::{DynObject, Kwargs, ValueKind, from_args};
use minijinja::{Error, ErrorKind, Output, State, Value};
use serde::Deserialize;

/// What `str.strip` removes: Unicode white space and the four ASCII separators.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

/// Methods of Python's types that templates call: `strip` and its variants with Python's white space, `rsplit`, and
/// minijinja-contrib's.
pub(super) fn method(state: &mut State, value: &Value, name: &str, args: &[Value]) -> Result<Value, Error> {
    if let (Some(text), [] | [_], "strip" | "lstrip" | "rstrip") = (value.as_str(), args, name) {
        let chosen: Option<Vec<char>> = args.first().and_then(Value::as_str).map(|set| set.chars().collect());
        let cut = |c: char| chosen.as_ref().map_or_else(|| is_space(c), |chosen| chosen.contains(&c));
        return Ok(Value::from(match name {
            "strip" => text.trim_matches(cut),
            "lstrip" => text.trim_start_matches(cut),
            _ => text.trim_end_matches(cut),
        }));
    }
    if let (Some(text), "rsplit") = (value.as_str(), name) {
        return rsplit(text, args);
    }
    minijinja_contrib::pycompat::unknown_method_callback(state, value, name, args)
}

/// `str.rsplit`: by a separator, or by white space, at most as often as asked from the end.
fn rsplit(text: &str, args: &[Value]) -> Result<Value, Error> {
    let (separator, most, options): (Option<&str>, Option<i64>, Kwargs) = from_args(args)?;
    let separator = separator.or(options.get("sep")?);
    let most = most.or(options.get("maxsplit")?);
    options.assert_all_used()?;
    // A negative number is no limit.
    let most = most.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX);
    let mut parts: Vec<&str> = Vec::new();
    match separator {
        Some("") => return Err(Error::new(ErrorKind::InvalidOperation, "rsplit: the separator is empty")),
        Some(separator) => parts.extend(text.rsplitn(most.saturating_add(1), separator)),
        None => {
            let mut rest = text.trim_end_matches(is_space);
            while let Some((before, word)) = rest.rsplit_once(is_space).filter(|_| parts.len() < most) {
                parts.push(word);
                rest = before.trim_end_matches(is_space);
            }
            parts.extend(Some(rest).filter(|rest| !rest.is_empty()));
        }
    }
    Ok(parts.into_iter().rev().map(Value::from).collect())
}

/// The `trim` filter, which is `str.strip`.
pub(super) fn trim(text: &str, chosen: Option<&str>) -> String {
    match chosen {
        Some(chosen) => text.trim_matches(|c| chosen.contains(c)).to_owned(),
        None => text.trim_matches(is_space).to_owned(),
    }
}

/// `is iterable`, which `None` is not.
pub(super) fn is_iterable(value: &Value) -> bool {
    !value.is_none() && value.try_iter().is_ok()
}

/// `is sequence`: what has a length and items, strings and mappings included.
pub(super) fn is_sequence(value: &Value) -> bool {
    value.is_undefined() || value.len().is_some()
}

/// The `indent` filter of Jinja2. `width` is a number of spaces, or the text that lines begin with.
pub(super) fn indent(
    text: &str,
    width: Option<Value>,
    first: Option<bool>,
    blank: Option<bool>,
    options: Kwargs,
) -> Result<String, Error> {
    let width = width.or(options.get("width")?).unwrap_or_else(|| 4.into());
    let first = first.or(options.get("first")?) == Some(true);
    let blank = blank.or(options.get("blank")?) == Some(true);
    options.assert_all_used()?;
    let beginning = match width.as_str() {
        Some(text) => text.to_owned(),
        // As in Python, less than none is none.
        None => " ".repeat(usize::try_from(i64::try_from(width)?).unwrap_or(0)),
    };
    let mut out = String::new();
    for (number, line) in lines(text).into_iter().enumerate() {
        if number > 0 {
            out.push('\n');
        }
        let is_indented = if number == 0 { first } else { blank || !line.is_empty() };
        if is_indented {
            out.push_str(&beginning);
        }
        out.push_str(line);
    }
    Ok(out)
}

/// `(text + '\n').splitlines()`.
fn lines(text: &str) -> Vec<&str> {
    const ENDS: [char; 10] =
        ['\n', '\r', '\x0b', '\x0c', '\x1c', '\x1d', '\x1e', '\u{85}', '\u{2028}', '\u{2029}'];
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some((line, after)) = rest.split_once(ENDS) {
        lines.push(line);
        let is_return = rest[line.len()..].starts_with('\r');
        rest = after.strip_prefix('\n').filter(|_| is_return).unwrap_or(after);
    }
    // A return at the end makes one line break with the one that is added.
    if !text.ends_with('\r') {
        lines.push(rest);
    }
    lines
}

/// The `join` filter, which writes items that are no texts as `str` does.
pub(super) fn join(
    state: &mut State,
    value: Value,
    joiner: Option<&str>,
    attribute: Option<Value>,
    options: Kwargs,
) -> Result<String, Error> {
    let joiner = joiner.or(options.get("d")?).unwrap_or_default();
    let attribute = attribute.or(options.get("attribute")?);
    options.assert_all_used()?;
    let items = match attribute {
        Some(attribute) => {
            state.apply_filter("map", &[value, Kwargs::from_iter([("attribute", attribute)]).into()])?
        }
        None => value,
    };
    let items: Vec<String> = items.try_iter()?.map(|item| Printed(item).to_string()).collect();
    Ok(items.join(joiner))
}

/// The `string` filter, which is `str`.
pub(super) fn string(value: Value) -> Value {
    if value.kind() == ValueKind::String { value } else { Printed(value).to_string().into() }
}

/// Prints `{{ value }}`, as `str` writes it.
pub(super) fn print(out: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    minijinja::escape_formatter(out, state, &string(value.clone()))
}

/// A value as Python's `str` (`Display`) and `repr` (`Debug`) write it: as minijinja does, but for floats.
struct Printed(Value);

impl fmt::Display for Printed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.kind() {
            ValueKind::Number | ValueKind::Seq | ValueKind::Iterable | ValueKind::Map => {
                fmt::Debug::fmt(self, f)
            }
            _ => fmt::Display::fmt(&self.0, f),
        }
    }
}

impl fmt::Debug for Printed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = &self.0;
        let items = || value.try_iter().into_iter().flatten().map(Self);
        match (value.kind(), value.len(), opening(value)) {
            (ValueKind::Number, ..) if !value.is_integer() => {
                f.write_str(&f64::try_from(value.clone()).map_or_else(|_| value.to_string(), float))
            }
            (ValueKind::Seq | ValueKind::Iterable, _, Some('[')) => f.debug_list().entries(items()).finish(),
            // `debug_tuple` writes no brackets without items.
            (ValueKind::Seq, Some(1..), Some('(')) => {
                let mut tuple = f.debug_tuple("");
                items().for_each(|item| {
                    tuple.field(&item);
                });
                tuple.finish()
            }
            (ValueKind::Map, _, Some('{')) => {
                let pairs = value.as_object().and_then(DynObject::try_iter_pairs).into_iter().flatten();
                f.debug_map().entries(pairs.map(|(key, value)| (Self(key), Self(value)))).finish()
            }
            _ => fmt::Debug::fmt(value, f),
        }
    }
}

/// The first character that minijinja prints, which tells lists from tuples, and from objects that print in their own way.
fn opening(value: &Value) -> Option<char> {
    struct First(Option<char>);
    impl Write for First {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0 = text.chars().next();
            // No more is wanted.
            if self.0.is_some() { Err(fmt::Error) } else { Ok(()) }
        }
    }
    let mut first = First(None);
    let _ = write!(first, "{value:?}");
    first.0
}

/// The `tojson` filter of transformers: `json.dumps` with `ensure_ascii=False`.
pub(super) fn tojson(value: &Value, options: Kwargs) -> Result<Value, Error> {
    let indent: Option<usize> = options.get("indent")?;
    let ascii: Option<bool> = options.get("ensure_ascii")?;
    let sort: Option<bool> = options.get("sort_keys")?;
    let separators: Option<Vec<String>> = options.get("separators")?;
    options.assert_all_used()?;
    let (item, key) = match separators.as_deref() {
        Some([item, key]) => (item.as_str(), key.as_str()),
        // With an indent, a line break follows the comma.
        _ => (if indent.is_some() { "," } else { ", " }, ": "),
    };
    let wrong = |error: serde_json::Error| Error::new(ErrorKind::BadSerialization, error.to_string());
    let json = serde_json::Value::deserialize(value.clone())
        .or_else(|_| serde_json::to_value(value))
        .map_err(wrong)?;
    let dump = Dump { item, key, indent, ascii: ascii == Some(true), sort: sort == Some(true) };
    let mut out = String::new();
    dump.value(&json, 0, &mut out);
    Ok(Value::from(out))
}

/// `json.dumps` with its options.
struct Dump<'a> {
    item: &'a str,
    key: &'a str,
    indent: Option<usize>,
    ascii: bool,
    sort: bool,
}

impl Dump<'_> {
    fn value(&self, value: &serde_json::Value, depth: usize, out: &mut String) {
        match value {
            serde_json::Value::Array(items) if !items.is_empty() => {
                self.list('[', ']', items, depth, out, |item, out| self.value(item, depth + 1, out));
            }
            serde_json::Value::Object(map) if !map.is_empty() => {
                let mut pairs: Vec<_> = map.iter().collect();
                if self.sort {
                    pairs.sort_by_key(|(key, _)| key.as_str());
                }
                self.list('{', '}', &pairs, depth, out, |(key, value), out| {
                    self.string(key, out);
                    out.push_str(self.key);
                    self.value(value, depth + 1, out);
                });
            }
            serde_json::Value::String(text) => self.string(text, out),
            serde_json::Value::Number(number) if number.is_f64() => out.extend(number.as_f64().map(float)),
            // Integers, constants and empty containers are written as in serde_json.
            other => out.push_str(&other.to_string()),
        }
    }

    fn list<T>(
        &self,
        open: char,
        close: char,
        items: &[T],
        depth: usize,
        out: &mut String,
        each: impl Fn(&T, &mut String),
    ) {
        let break_line = |out: &mut String, depth: usize| {
            if let Some(indent) = self.indent {
                out.push('\n');
                out.extend(std::iter::repeat_n(' ', indent * depth));
            }
        };
        out.push(open);
        for (i, item) in items.iter().enumerate() {
            if i > 0 {
                out.push_str(self.item);
            }
            break_line(out, depth + 1);
            each(item, out);
        }
        break_line(out, depth);
        out.push(close);
    }

    fn string(&self, text: &str, out: &mut String) {
        out.push('"');
        for c in text.chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\x08' => out.push_str("\\b"),
                '\x0c' => out.push_str("\\f"),
                c if c < ' ' || (self.ascii && !c.is_ascii()) || (self.ascii && c == '\x7f') => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        let _ = write!(out, "\\u{unit:04x}");
                    }
                }
                c => out.push(c),
            }
        }
        out.push('"');
    }
}

/// `repr` of a float: Rust's `Debug`, but an exponent has a sign and at least two digits, and `nan` small letters.
fn float(number: f64) -> String {
    let text = format!("{number:?}").to_lowercase();
    let Some((digits, power)) = text.split_once('e') else { return text };
    let (sign, power) = power.strip_prefix('-').map_or(('+', power), |power| ('-', power));
    format!("{digits}e{sign}{power:0>2}")
}
