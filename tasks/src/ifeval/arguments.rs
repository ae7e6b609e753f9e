//! The arguments of an instruction: numbers, words, relations.

use serde_json::Value;

use crate::{Error, Result};

/// The arguments of an instruction, with its name for errors.
pub(super) struct Arguments<'a> {
    pub(super) instruction: &'a str,
    pub(super) values: &'a Value,
    /// The prompt that the instruction is part of.
    pub(super) prompt: &'a str,
}

impl Arguments<'_> {
    /// A count.
    pub(super) fn count(&self, key: &str) -> Result<usize> {
        let count = |value: &Value| value.as_u64().or_else(|| whole(value.as_f64()?));
        let value = self.value(key).ok_or_else(|| self.wants(key, "a number"))?;
        count(value)
            .map(|count| count as usize)
            .ok_or_else(|| self.wants(key, "a whole number of at least 0"))
    }

    /// A text.
    pub(super) fn text(&self, key: &str) -> Result<&str> {
        self.text_if_any(key)?.ok_or_else(|| self.wants(key, "a text"))
    }

    /// A text that may be missing.
    pub(super) fn text_if_any(&self, key: &str) -> Result<Option<&str>> {
        let text = |value| Value::as_str(value).ok_or_else(|| self.wants(key, "a text"));
        self.value(key).map(text).transpose()
    }

    /// At least one text.
    pub(super) fn texts(&self, key: &str) -> Result<Vec<&str>> {
        let texts = self.value(key).and_then(Value::as_array).filter(|texts| !texts.is_empty());
        let texts = texts.and_then(|texts| texts.iter().map(Value::as_str).collect());
        texts.ok_or_else(|| self.wants(key, "a list of texts"))
    }

    /// Whether `found` satisfies the relation in the argument `relation` to the number in the argument `threshold`.
    pub(super) fn holds(&self, relation: &str, threshold: &str, found: usize) -> Result<bool> {
        let threshold = self.count(threshold)?;
        match self.text(relation)? {
            "less than" => Ok(found < threshold),
            "at least" => Ok(found >= threshold),
            _ => Err(self.wants(relation, "`less than` or `at least`")),
        }
    }

    /// An error about an argument.
    pub(super) fn wants(&self, key: &str, what: &str) -> Error {
        let found = self.value(key).map_or("nothing".to_owned(), Value::to_string);
        Error::Setting(format!("instruction `{}`: `{key}` is {found}, not {what}", self.instruction))
    }

    /// A `null` argument counts as missing: some copies of the data have all keys for all instructions.
    fn value(&self, key: &str) -> Option<&Value> {
        self.values.get(key).filter(|value| !value.is_null())
    }
}

/// Some copies of the data write every number as a float.
fn whole(number: f64) -> Option<u64> {
    (number >= 0.0 && number.fract() == 0.0 && number < 1e15).then_some(number as u64)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_wrong_is_named() {
        let values = json!({"n": -1, "relation": "about", "whole": 3.0, "words": [], "none": null});
        let arguments = Arguments { instruction: "a:b", values: &values, prompt: "" };
        assert_eq!(arguments.count("whole").unwrap(), 3);
        assert_eq!(arguments.text_if_any("none").unwrap(), None);
        let says = |error: Error| error.to_string();
        assert_eq!(
            says(arguments.count("n").unwrap_err()),
            "instruction `a:b`: `n` is -1, not a whole number of at least 0"
        );
        assert_eq!(
            says(arguments.holds("relation", "whole", 3).unwrap_err()),
            "instruction `a:b`: `relation` is \"about\", not `less than` or `at least`"
        );
        assert_eq!(
            says(arguments.texts("words").unwrap_err()),
            "instruction `a:b`: `words` is [], not a list of texts"
        );
        assert_eq!(
            says(arguments.text("none").unwrap_err()),
            "instruction `a:b`: `none` is nothing, not a text"
        );
    }
}
