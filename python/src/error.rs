//! Errors of the objectives as Python's.

use pyo3::PyErr;
use pyo3::exceptions::PyValueError;

/// A `ValueError` in the error's own words.
pub(crate) fn value_error(error: &impl ToString) -> PyErr {
    PyValueError::new_err(error.to_string())
}
