//! Columns of numbers in Python's memory, as one `TokenStats` per token.

use pyo3::buffer::Element;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use tokensieve_objective::TokenStats;

use crate::column::Column;

/// A column of one of the types that are read.
#[derive(FromPyObject)]
enum Numbers {
    F64(Column<f64>),
    F32(Column<f32>),
    U32(Column<u32>),
}

type Set = fn(&mut TokenStats, f64);

/// The statistics by their Python names, and where each belongs. Documents and positions are exact in an f64.
const COLUMNS: [(&str, Set); 14] = [
    ("loss", |token, value| token.loss = value),
    ("entropy", |token, value| token.entropy = value),
    ("top_entropy", |token, value| token.top_entropy = Some(value)),
    ("concentration", |token, value| token.concentration = Some(value)),
    ("reference_loss", |token, value| token.reference_loss = Some(value)),
    ("reference_mass", |token, value| token.reference_mass = Some(value)),
    ("divergence", |token, value| token.divergence = Some(value)),
    ("base_loss", |token, value| token.base_loss = Some(value)),
    ("bald", |token, value| token.bald = Some(value)),
    ("advantage", |token, value| token.advantage = Some(value)),
    ("score", |token, value| token.score = Some(value)),
    ("weight", |token, value| token.weight = value),
    ("document", |token, value| token.document = value as u32),
    ("position", |token, value| token.position = value as u32),
];

/// Fills `tokens` with the statistics of a batch: as many as there are losses.
pub(crate) fn read(
    columns: &Bound<'_, PyDict>,
    vocabulary: u32,
    tokens: &mut Vec<TokenStats>,
) -> PyResult<()> {
    let count = columns.get_item("loss")?.map_or(Ok(0), |loss| loss.len())?;
    tokens.clear();
    tokens.extend((0..count).map(|_| TokenStats { vocabulary, ..TokenStats::new(0.0, 0.0) }));
    for (name, column) in columns {
        let name: String = name.extract()?;
        let Some((_, set)) = COLUMNS.iter().find(|(known, _)| *known == name) else {
            return Err(PyValueError::new_err(format!("`{name}` is not a statistic")));
        };
        match column.extract()? {
            Numbers::F64(column) => fill(&column, &name, tokens, *set)?,
            Numbers::F32(column) => fill(&column, &name, tokens, *set)?,
            Numbers::U32(column) => fill(&column, &name, tokens, *set)?,
        }
    }
    Ok(())
}

fn fill<T: Element + Into<f64>>(
    column: &Column<T>,
    name: &str,
    tokens: &mut [TokenStats],
    set: Set,
) -> PyResult<()> {
    if column.len() != tokens.len() {
        let (found, right) = (column.len(), tokens.len());
        let problem = format!("`{name}` has {found} values, but there are {right} losses");
        return Err(PyValueError::new_err(problem));
    }
    for (token, value) in tokens.iter_mut().zip(column.values()) {
        set(token, value.into());
    }
    Ok(())
}
