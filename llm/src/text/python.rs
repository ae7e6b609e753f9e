//! Where chat templates count on Python's own ways: white space, JSON, dates, how values print.

use std::fmt::Write;

use minijinja::value::Kwargs;
use minijinja::{Error, ErrorKind, Output, State, Value};
use serde::Deserialize;

/// What `str.strip` takes away: Unicode's white space and the four separators of ASCII.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

/// Methods of Python's types that templates call: those that differ from minijinja-contrib's by their white space, then
/// the latter's.
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
    minijinja_contrib::pycompat::unknown_method_callback(state, value, name, args)
}

/// The `trim` filter, which is `str.strip`.
pub(super) fn trim(text: &str, chosen: Option<&str>) -> String {
    match chosen {
        Some(chosen) => text.trim_matches(|c| chosen.contains(c)).to_owned(),
        None => text.trim_matches(is_space).to_owned(),
    }
}

/// How `{{ value }}` prints: `None`, `True` and `False` by Python's names.
pub(super) fn print(out: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    let name = match value.kind() {
        minijinja::value::ValueKind::None => "None",
        minijinja::value::ValueKind::Bool if value.is_true() => "True",
        minijinja::value::ValueKind::Bool => "False",
        _ => return minijinja::escape_formatter(out, state, value),
    };
    Ok(out.write_str(name)?)
}

/// The `tojson` filter as transformers has it: `json.dumps` with `ensure_ascii=False`.
#[allow(clippy::needless_pass_by_value, reason = "minijinja hands filters their options so")]
pub(super) fn tojson(value: &Value, options: Kwargs) -> Result<Value, Error> {
    let indent: Option<usize> = options.get("indent")?;
    let ascii: Option<bool> = options.get("ensure_ascii")?;
    let sort: Option<bool> = options.get("sort_keys")?;
    let separators: Option<Vec<String>> = options.get("separators")?;
    options.assert_all_used()?;
    let (item, key) = match separators.as_deref() {
        Some([item, key]) => (item.as_str(), key.as_str()),
        // A line break follows the comma where there is an indent.
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
            // Numbers, constants and what is empty are written alike.
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

/// `datetime.strftime` of a moment in seconds since 1970, in universal time: the same text on every machine.
pub(super) fn strftime(moment: u64, format: &str) -> String {
    const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
    const MONTHS: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    let (days, seconds) = (moment / 86_400, moment % 86_400);
    let (year, month, day) = civil(days);
    let of_year = days - days_before(year);
    // 1 January 1970 was a Thursday.
    let weekday = DAYS[(days as usize + 3) % 7];
    let name = MONTHS[month - 1];
    let mut out = String::new();
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let _ = match chars.next() {
            Some('Y') => write!(out, "{year}"),
            Some('y') => write!(out, "{:02}", year % 100),
            Some('m') => write!(out, "{month:02}"),
            Some('d') => write!(out, "{day:02}"),
            Some('e') => write!(out, "{day:2}"),
            Some('B') => write!(out, "{name}"),
            Some('b' | 'h') => write!(out, "{}", &name[..3]),
            Some('A') => write!(out, "{weekday}"),
            Some('a') => write!(out, "{}", &weekday[..3]),
            Some('j') => write!(out, "{:03}", of_year + 1),
            Some('H') => write!(out, "{:02}", seconds / 3600),
            Some('M') => write!(out, "{:02}", seconds / 60 % 60),
            Some('S') => write!(out, "{:02}", seconds % 60),
            Some('F') => write!(out, "{year}-{month:02}-{day:02}"),
            Some('T') => write!(out, "{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60),
            Some('%') | None => write!(out, "%"),
            Some(other) => write!(out, "%{other}"),
        };
    }
    out
}

/// Days from 1970 to the first of January of a year.
fn days_before(year: u64) -> u64 {
    let leaps = |year: u64| year / 4 - year / 100 + year / 400;
    (year - 1970) * 365 + leaps(year - 1) - leaps(1969)
}

/// Year, month (from 1) and day (from 1).
fn civil(days: u64) -> (u64, usize, u64) {
    // Never too late, and at most one year too early in the first centuries after 1970.
    let mut year = 1970 + days / 366;
    while days_before(year + 1) <= days {
        year += 1;
    }
    let leap = days_before(year + 1) - days_before(year) == 366;
    let lengths = [31, 28 + u64::from(leap), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut day = days - days_before(year);
    for (month, length) in (1..).zip(lengths) {
        if day < length {
            return (year, month, day + 1);
        }
        day -= length;
    }
    unreachable!("a year's months cover its days")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_python_writes_them() {
        // python3 -c "import datetime as d; print(d.datetime.fromtimestamp(…, d.UTC).strftime(…))"
        assert_eq!(strftime(0, "%A %d %b %Y"), "Thursday 01 Jan 1970");
        assert_eq!(strftime(951_782_400, "%a %d %B %y, day %j"), "Tue 29 February 00, day 060");
        assert_eq!(strftime(1_735_689_599, "%F %T %H%M%S %% %q"), "2024-12-31 23:59:59 235959 % %q");
        assert_eq!(strftime(4_107_542_400, "%F"), "2100-03-01");
    }
}
