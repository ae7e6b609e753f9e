//! Reads the rows of Parquet files as JSON.

use std::fs::File;
use std::path::Path;

use parquet::column::page::Page;
use parquet::data_type::Decimal;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};
use parquet::record::{Field, Row};
use serde_json::{Map, Number, Value};

use crate::format;
use crate::row::{OnRow, Row as JsonRow};
use crate::thrift;
use tokensieve_base::panics::caught;
use tokensieve_model::{Error, Result};

/// Supported compressions of pages.
const COMPRESSIONS: &str = "snappy, gzip, zstd, uncompressed";

/// Passes the rows of a file to `take`.
pub(super) fn rows(path: &Path, take: &mut OnRow) -> Result<()> {
    let input = File::open(path).map_err(Error::io(path))?;
    guarded(path, || thrift::check_footer(&input))?;
    let reader = guarded(path, || SerializedFileReader::new(input.try_clone()?))?;
    let mut number = 0;
    for group in 0..reader.num_row_groups() {
        let group = guarded(path, || reader.get_row_group(group))?;
        guarded(path, || {
            for (start, bytes) in group.metadata().columns().iter().map(|column| column.byte_range()) {
                thrift::check_pages(&input, start..start.saturating_add(bytes))?;
            }
            dictionaries_hold_what_they_promise(group.as_ref())
        })?;
        let mut rows = guarded(path, || group.get_row_iter(None))?;
        while let Some(row) = guarded(path, || rows.next().transpose())? {
            number += 1;
            if take(number, object(&row, format::reads_row_key, format::reads_nested_key))?.is_break() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// The library sets memory aside for as many values as a dictionary's header promises. None takes less than a byte.
fn dictionaries_hold_what_they_promise(group: &dyn RowGroupReader) -> parquet::errors::Result<()> {
    for column in 0..group.num_columns() {
        let mut pages = group.get_column_page_reader(column)?;
        while let Some(page) = pages.peek_next_page()? {
            if !page.is_dict {
                pages.skip_next_page()?;
            } else if let Some(Page::DictionaryPage { buf, num_values, .. }) = pages.get_next_page()?
                && num_values as usize > buf.len()
            {
                let what = format!("a dictionary of {} bytes cannot hold {num_values} values", buf.len());
                return Err(ParquetError::General(what));
            }
        }
    }
    Ok(())
}

/// What the reader returns, which panics on some damaged files.
fn guarded<T>(path: &Path, read: impl FnOnce() -> parquet::errors::Result<T>) -> Result<T> {
    let found = caught(read).ok_or_else(|| Error::file(path, "is a damaged Parquet file"))?;
    found.map_err(|error| {
        let what = error.to_string();
        // The reader's message for a compression that was disabled at compile time.
        match what.split_once("feature at compile time: ") {
            Some((_, name)) => Error::file(
                path,
                format!("is compressed with {name}, which is not supported; supported are {COMPRESSIONS}"),
            ),
            None => Error::file(path, what),
        }
    })
}

/// Whether any format reads a key.
type Reads = fn(&str) -> bool;

/// A row, or a struct within a row. `reads` applies to its keys, and `within` to the keys of nested structs.
fn object(row: &Row, reads: Reads, within: Reads) -> JsonRow {
    row.get_column_iter()
        .map(|(name, field)| Ok((name.clone(), value(name, field, reads, within)?)))
        .collect()
}

/// A value that JSON cannot represent is an error under a key that some format reads, and null under other keys.
fn value(name: &str, field: &Field, reads: Reads, within: Reads) -> Result<Value, String> {
    let within: Reads = if format::is_passed_to_template(name) { |_: &str| true } else { within };
    match json(field, within) {
        Err(what) if reads(name) => Err(format!("`{name}`: {what}")),
        value => Ok(value.unwrap_or(Value::Null)),
    }
}

/// The number nearest to a decimal of up to 128 bits.
fn nearest(decimal: &Decimal) -> Option<f64> {
    let bytes = decimal.data();
    let sign = if bytes.first()? & 0x80 == 0 { 0 } else { 0xff };
    let mut whole = [sign; 16];
    whole[16_usize.checked_sub(bytes.len())?..].copy_from_slice(bytes);
    format!("{}e{}", i128::from_be_bytes(whole), -i64::from(decimal.scale())).parse().ok()
}

fn json(field: &Field, within: Reads) -> Result<Value, String> {
    let float = |number: f64| {
        Number::from_f64(number).map(Value::Number).ok_or_else(|| format!("{number} is not a finite number"))
    };
    Ok(match field {
        Field::Null => Value::Null,
        Field::Bool(yes) => Value::Bool(*yes),
        Field::Byte(n) => Value::from(*n),
        Field::Short(n) => Value::from(*n),
        Field::Int(n) => Value::from(*n),
        Field::Long(n) => Value::from(*n),
        Field::UByte(n) => Value::from(*n),
        Field::UShort(n) => Value::from(*n),
        Field::UInt(n) => Value::from(*n),
        Field::ULong(n) => Value::from(*n),
        Field::Float16(x) => float(f64::from(x.to_f32()))?,
        Field::Float(x) => float(f64::from(*x))?,
        Field::Double(x) => float(*x)?,
        Field::Decimal(decimal) => {
            float(nearest(decimal).ok_or("decimals of more than 128 bits are not supported")?)?
        }
        Field::Str(text) => Value::from(text.as_str()),
        // Strings written without their logical type.
        Field::Bytes(bytes) => Value::from(bytes.as_utf8().map_err(|_| "the bytes are not valid UTF-8")?),
        Field::Group(row) => Value::Object(object(row, within, within)?),
        Field::ListInternal(list) => {
            list.elements().iter().map(|field| json(field, within)).collect::<Result<_, _>>()?
        }
        Field::MapInternal(map) => {
            let mut entries = Map::new();
            for (key, field) in map.entries() {
                // JSON keys are strings.
                let Ok(Value::String(key)) = json(key, within) else { continue };
                entries.insert(key.clone(), value(&key, field, within, within)?);
            }
            Value::Object(entries)
        }
        Field::Date(_)
        | Field::TimeMillis(_)
        | Field::TimeMicros(_)
        | Field::TimestampMillis(_)
        | Field::TimestampMicros(_) => return Err("dates and times are not supported".to_owned()),
    })
}
