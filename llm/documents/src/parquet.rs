//! Reads the rows of Parquet files as JSON.

use std::collections::HashSet;
use std::fs::File;
use std::path::Path;

use parquet::column::page::Page;
use parquet::data_type::Decimal;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};
use parquet::record::{Field, Row};
use serde_json::{Number, Value};

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
    let mut columns_named = HashSet::new();
    for column in reader.metadata().file_metadata().schema().get_fields() {
        if !columns_named.insert(column.name()) {
            return Err(Error::file(path, format!("has two columns with the name `{}`", column.name())));
        }
    }
    let mut number = 0;
    for group in 0..reader.num_row_groups() {
        let group = guarded(path, || reader.get_row_group(group))?;
        guarded(path, || {
            for column in group.metadata().columns() {
                let (start, bytes) = column.byte_range();
                thrift::check_pages(&input, start..start.saturating_add(bytes))?;
            }
            dictionaries_hold_what_they_promise(group.as_ref())
        })?;
        let mut rows = guarded(path, || group.get_row_iter(None))?;
        while let Some(row) = guarded(path, || rows.next().transpose())? {
            number += 1;
            if take(number, columns(&row))?.is_break() {
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

/// A row. A value that JSON cannot represent is an error in a column that some format reads, with all that is within, as
/// a chat template may read any key of a message. In another column it is null.
fn columns(row: &Row) -> JsonRow {
    let value = |(name, field): (&String, &Field)| match named(name, field) {
        Err(_) if !format::reads_row_key(name) => Ok((name.clone(), Value::Null)),
        value => value,
    };
    row.get_column_iter().map(value).collect()
}

/// A value with its name, by which the error calls it.
fn named(name: &str, field: &Field) -> Result<(String, Value), String> {
    let value = json(field).map_err(|what| format!("`{name}`: {what}"))?;
    Ok((name.to_owned(), value))
}

/// The number nearest to a decimal of up to 128 bits.
fn nearest(decimal: &Decimal) -> Option<f64> {
    let bytes = decimal.data();
    let sign = if bytes.first()? & 0x80 == 0 { 0 } else { 0xff };
    let mut whole = [sign; 16];
    whole[16_usize.checked_sub(bytes.len())?..].copy_from_slice(bytes);
    format!("{}e{}", i128::from_be_bytes(whole), -i64::from(decimal.scale())).parse().ok()
}

fn json(field: &Field) -> Result<Value, String> {
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
        Field::Group(row) => {
            let fields = row.get_column_iter().map(|(name, field)| named(name, field));
            Value::Object(fields.collect::<Result<_, _>>()?)
        }
        Field::ListInternal(list) => list.elements().iter().map(json).collect::<Result<_, _>>()?,
        Field::MapInternal(map) => {
            let entry = |(key, field): &(Field, Field)| match json(key)? {
                Value::String(key) => named(&key, field),
                other => Err(format!("the key {other} is not a text")),
            };
            Value::Object(map.entries().iter().map(entry).collect::<Result<_, _>>()?)
        }
        Field::Date(_)
        | Field::TimeMillis(_)
        | Field::TimeMicros(_)
        | Field::TimestampMillis(_)
        | Field::TimestampMicros(_) => {
            return Err("dates and times are not supported; write them as texts".to_owned());
        }
    })
}
