//! JSON objects in which no key stands twice: serde keeps the last value, and the row would mean what nobody wrote.

use std::cell::RefCell;
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::map::Entry;
use serde_json::{Map, Number, Value};

use crate::row::Row;

/// A line or element of a file of rows. Anything but an object with each key once, objects within it included, is a bad
/// row; what is not JSON is an error.
pub(super) struct Object(pub(super) Row);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let twice = RefCell::new(None);
        let value = AnyValue { twice: &twice }.deserialize(input)?;
        Ok(Self(match (value, twice.into_inner()) {
            (_, Some(key)) => Err(format!("the key {} stands twice; keep one", Value::String(key))),
            (Value::Object(row), None) => Ok(row),
            _ => Err("is not a JSON object".to_owned()),
        }))
    }
}

/// Reads any value, and notes the first key that stands twice in its object.
#[derive(Clone, Copy)]
struct AnyValue<'a> {
    twice: &'a RefCell<Option<String>>,
}

impl<'de> DeserializeSeed<'de> for AnyValue<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Value, D::Error> {
        input.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for AnyValue<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = elements.next_element_seed(self)? {
            list.push(value);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let value = entries.next_value_seed(self)?;
            match map.entry(key) {
                Entry::Vacant(place) => {
                    place.insert(value);
                }
                Entry::Occupied(place) => {
                    self.twice.borrow_mut().get_or_insert_with(|| place.key().clone());
                }
            }
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Row {
        serde_json::from_str::<Object>(text).unwrap().0
    }

    #[test]
    fn a_key_stands_once() {
        for text in [
            r#"{"a": 1, "a": 1}"#,
            r#"{"b": [{"a": 1, "c": null, "a": 2}]}"#,
            r#"{"b": {"a": {}, "\u0061": []}, "a": 1}"#,
        ] {
            assert_eq!(read(text).unwrap_err(), "the key \"a\" stands twice; keep one");
        }
        let same_elsewhere =
            r#"{"a":{"a":[{"a":-1},{"a":0.1},{"a":18446744073709551615}]},"b":["ö\n",null,true,1e300]}"#;
        let whole: Value = serde_json::from_str(same_elsewhere).unwrap();
        assert_eq!(Value::Object(read(same_elsewhere).unwrap()), whole);
        assert_eq!(read("[]").unwrap_err(), "is not a JSON object");
        assert!(serde_json::from_str::<Object>("{").is_err());
    }
}
