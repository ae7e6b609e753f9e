//! A row of a data file, and what receives it.

use std::ops::ControlFlow;

use serde_json::{Map, Value};

use tokensieve_model::Result;

/// A row, or the reason why it cannot be read.
pub(super) type Row = Result<Map<String, Value>, String>;

/// Receives a row with its line number (for Parquet: the row's number), counted from 1, and decides whether to go on.
pub(super) type OnRow<'a> = dyn FnMut(usize, Row) -> Result<ControlFlow<()>> + 'a;
