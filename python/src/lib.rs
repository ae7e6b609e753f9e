//! `tokensieve._objectives`: the objectives as an extension of Python.
//!
//! Numbers go in and out through the buffer protocol. The Python half (`python/tokensieve/objectives.py`) turns arrays
//! and tensors into buffers; `_objectives.pyi` has the types. Users read the documentation of both halves.

mod column;
mod definition;
mod error;
mod statistics;
mod training;

use pyo3::prelude::pymodule;

/// The extension's module.
#[pymodule]
mod _objectives {
    use pyo3::prelude::{PyResult, pyfunction};
    use tokensieve_objective::{KEYS, presets};

    use crate::column::Column;
    use crate::error::value_error;

    #[pymodule_export]
    use crate::training::Training;

    /// The names of all preset objectives.
    #[pyfunction]
    fn names() -> Vec<&'static str> {
        presets::names().collect()
    }

    /// The TOML table of a preset.
    #[pyfunction]
    fn preset(name: &str) -> PyResult<&'static str> {
        presets::text(name).map_err(|error| value_error(&error))
    }

    /// Every key of an objective's table, with its default and meaning.
    #[pyfunction]
    fn keys() -> Vec<(&'static str, &'static str, &'static str)> {
        KEYS.iter().map(|key| (key.name, key.default, key.about)).collect()
    }

    /// Where the first number of a column in single precision is read, for tests: where the array has it.
    #[pyfunction]
    #[allow(clippy::needless_pass_by_value, reason = "pyo3 passes columns by value")]
    fn read_at(column: Column<f32>) -> usize {
        column.address()
    }
}
