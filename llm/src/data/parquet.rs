//! Rows of Parquet files, as the JSON they would be.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row};
use serde_json::{Map, Number, Value};

use super::read::Take;
use crate::{Error, Result};

/// Hands out a file's rows.
pub(super) fn rows(path: &Path, take: &mut Take) -> Result<()> {
    let wrong = |error: parquet::errors::ParquetError| Error::file(path, error);
    let input = File::open(path).map_err(Error::io(path))?;
    // The reader panics on some damaged files.
    let damaged = |_| Error::file(path, "is a damaged Parquet file");
    let guarded = |body: &mut dyn FnMut() -> parquet::errors::Result<Option<Row>>| {
        catch_unwind(AssertUnwindSafe(body)).map_err(damaged)?.map_err(wrong)
    };
    let mut reader = None;
    let mut input = Some(input);
    guarded(&mut || {
        reader = input.take().map(SerializedFileReader::new).transpose()?;
        Ok(None)
    })?;
    let Some(reader) = reader else { return Ok(()) };
    let mut rows = None;
    guarded(&mut || {
        rows = Some(reader.get_row_iter(None)?);
        Ok(None)
    })?;
    let Some(mut rows) = rows else { return Ok(()) };
    for number in 1.. {
        let Some(row) = guarded(&mut || rows.next().transpose())? else { break };
        let map: Map<String, Value> =
            row.get_column_iter().map(|(name, field)| (name.clone(), json(field))).collect();
        if take(number, Ok(map))?.is_break() {
            break;
        }
    }
    Ok(())
}

fn json(field: &Field) -> Value {
    let float = |number: f64| Number::from_f64(number).map_or(Value::Null, Value::Number);
    match field {
        Field::Bool(yes) => Value::Bool(*yes),
        Field::Byte(n) => Value::from(*n),
        Field::Short(n) => Value::from(*n),
        Field::Int(n) => Value::from(*n),
        Field::Long(n) => Value::from(*n),
        Field::UByte(n) => Value::from(*n),
        Field::UShort(n) => Value::from(*n),
        Field::UInt(n) => Value::from(*n),
        Field::ULong(n) => Value::from(*n),
        Field::Float16(x) => float(f64::from(x.to_f32())),
        Field::Float(x) => float(f64::from(*x)),
        Field::Double(x) => float(*x),
        Field::Str(text) => Value::from(text.as_str()),
        // Texts written without their type.
        Field::Bytes(bytes) => bytes.as_utf8().map_or(Value::Null, Value::from),
        Field::Group(row) => row.get_column_iter().map(|(name, field)| (name.clone(), json(field))).collect(),
        Field::ListInternal(list) => list.elements().iter().map(json).collect(),
        Field::MapInternal(map) => {
            let pair = |(key, value): &(Field, Field)| Some((json(key).as_str()?.to_owned(), json(value)));
            Value::Object(map.entries().iter().filter_map(pair).collect())
        }
        // Dates and decimals mean nothing to any format.
        _ => Value::Null,
    }
}
