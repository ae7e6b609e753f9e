//! An objective as Python gives it: a preset's name, an expression, TOML, or a table as a dict.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyString};
use tokensieve_objective::{Error, Objective, presets};
use toml::{Table, Value};

use crate::error::value_error;

/// Reads an objective.
pub(crate) fn objective(definition: &Bound<'_, PyAny>) -> PyResult<Objective> {
    if let Ok(text) = definition.cast::<PyString>() {
        return from_text(text.to_str()?).map_err(|error| value_error(&error));
    }
    let Ok(dict) = definition.cast::<PyDict>() else {
        let kind = definition.get_type().name()?;
        let problem = format!("an objective is a preset's name, an expression or a table, not {kind}");
        return Err(PyTypeError::new_err(problem));
    };
    let text = table(dict, "")?.to_string();
    Objective::from_toml(&text).map_err(|error| value_error(&error))
}

/// A preset, else a table in TOML (a key of it has a `=` that is no comparison), else an expression.
fn from_text(text: &str) -> Result<Objective, String> {
    let text = text.trim();
    if presets::names().any(|name| name == text) {
        return Objective::preset(text).map_err(|error| error.to_string());
    }
    if text.parse::<Table>().is_ok_and(|table| !table.is_empty()) {
        return Objective::from_toml(text).map_err(|error| error.to_string());
    }
    Objective::loss(text).map_err(|error| match (error, Objective::preset(text)) {
        (syntax @ Error::Syntax { .. }, Err(unknown)) => {
            format!("{unknown}; nor is it an expression: {syntax}")
        }
        (other, _) => other.to_string(),
    })
}

fn table(dict: &Bound<'_, PyDict>, prefix: &str) -> PyResult<Table> {
    let mut table = Table::new();
    for (key, value) in dict {
        let name = key
            .extract::<String>()
            .map_err(|_| PyTypeError::new_err(format!("the key {key} is not text")))?;
        let place = format!("{prefix}{name}");
        table.insert(name, toml_value(&value, &place)?);
    }
    Ok(table)
}

fn toml_value(value: &Bound<'_, PyAny>, place: &str) -> PyResult<Value> {
    // True is an int to Python, so booleans come first.
    if value.is_instance_of::<PyBool>() {
        return Ok(Value::Boolean(value.extract()?));
    }
    if value.is_instance_of::<PyInt>() {
        return Ok(Value::Integer(value.extract()?));
    }
    if value.is_instance_of::<PyFloat>() {
        return Ok(Value::Float(value.extract()?));
    }
    if let Ok(dict) = value.cast::<PyDict>() {
        return Ok(Value::Table(table(dict, &format!("{place}."))?));
    }
    match value.extract() {
        Ok(text) => Ok(Value::String(text)),
        Err(_) => Err(PyValueError::new_err(format!(
            "`{place}`: expected text, a number or a table, found {value}"
        ))),
    }
}
