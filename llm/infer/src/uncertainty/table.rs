//! Writes estimates as a Parquet table with one row per predicted token.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, FloatType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;

use tokensieve_base::files::write_atomically_with;
use tokensieve_documents::estimates::{DocumentRecord, Header, Measures, Reader, TokenRecord};
use tokensieve_model::{Error, Result};

/// Key of the header among the table's metadata.
const HEADER: &str = "header";

/// Number of tokens in a row group (choice).
const GROUP: usize = 1 << 16;

/// A float column's value of a token.
type Number = fn(&TokenRecord) -> Option<f32>;

/// The columns of floats.
const NUMBERS: [(&str, Number); 13] = [
    ("loss", |token| token.loss),
    ("entropy", |token| token.entropy),
    ("probability", |token| token.probability),
    ("total", |token| token.total),
    ("aleatoric", |token| token.aleatoric),
    ("epistemic", |token| token.epistemic),
    ("pairwise_kl", |token| token.pairwise_kl),
    ("reverse_mi", |token| token.reverse_mi),
    ("se_total", |token| error(token, |se| se.total)),
    ("se_aleatoric", |token| error(token, |se| se.aleatoric)),
    ("se_epistemic", |token| error(token, |se| se.epistemic)),
    ("se_pairwise_kl", |token| error(token, |se| se.pairwise_kl)),
    ("se_reverse_mi", |token| error(token, |se| se.reverse_mi)),
];

fn error(token: &TokenRecord, of: fn(&Measures<f32>) -> f32) -> Option<f32> {
    token.se.as_ref().map(of)
}

/// An integer column's value of a token.
type Integer = fn(&Cell) -> i64;

/// The columns of integers.
const INTEGERS: [(&str, Integer); 4] = [
    ("document", |cell| cell.document as i64),
    ("row", |cell| cell.row as i64),
    ("position", |cell| cell.position as i64),
    ("id", |cell| i64::from(cell.token.id)),
];

/// A string column's value of a token.
type Text = fn(&TokenRecord) -> String;

/// The columns of strings.
const TEXTS: [(&str, Text); 4] = [
    ("text", |token| token.text.clone()),
    ("class", |token| token.class.clone().unwrap_or_default()),
    // Pairs of text and probability, and numbers in the vocabulary, as JSON.
    ("top", |token| serde_json::json!(token.top).to_string()),
    ("top_ids", |token| serde_json::json!(token.top_ids).to_string()),
];

/// A predicted token: its document, the document's row in the data set, and its position in the document.
struct Cell {
    document: usize,
    row: usize,
    position: usize,
    token: TokenRecord,
}

/// Whether a file is a table of estimates: a Parquet file with a header among its metadata.
pub fn is_table(path: &Path) -> bool {
    let reader = File::open(path).ok().and_then(|file| SerializedFileReader::new(file).ok());
    let metadata = reader.and_then(|reader| reader.metadata().file_metadata().key_value_metadata().cloned());
    let is_header = |pair: &KeyValue| {
        let value = pair.value.as_deref().unwrap_or_default();
        pair.key == HEADER && serde_json::from_str::<Header>(value).is_ok()
    };
    metadata.is_some_and(|pairs| pairs.iter().any(is_header))
}

/// Writes the predicted tokens of a file of estimates as a table, atomically. The header becomes metadata of the table.
pub fn write_table(estimates: &Path, table: &Path) -> Result<()> {
    let wrong = |error: ParquetError| Error::file(table, error);
    let mut reader = Reader::open(estimates)?;
    let header = serde_json::to_string(reader.header()).map_err(|error| Error::file(estimates, error))?;
    write_atomically_with(table, |out| {
        let schema = Arc::new(parse_message_type(&schema()).map_err(wrong)?);
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_key_value_metadata(Some(vec![KeyValue::new(HEADER.to_owned(), header)]))
            .build();
        let mut writer = SerializedFileWriter::new(out, schema, Arc::new(properties)).map_err(wrong)?;
        let (mut cells, mut number) = (Vec::new(), 0);
        loop {
            let document = reader.next_document()?;
            let last = document.is_none();
            cells.extend(document.into_iter().flat_map(|document| cells_of(number, document)));
            number += 1;
            if cells.len() >= GROUP || (last && !cells.is_empty()) {
                let mut group = writer.next_row_group().map_err(wrong)?;
                write_group(&mut group, &cells).map_err(wrong)?;
                group.close().map_err(wrong)?;
                cells.clear();
            }
            if last {
                break;
            }
        }
        writer.close().map(drop).map_err(wrong)
    })
}

fn cells_of(document: usize, record: DocumentRecord) -> impl Iterator<Item = Cell> {
    let row = record.row;
    let tokens = record.tokens.into_iter().enumerate().filter(|(_, token)| token.response);
    tokens.map(move |(position, token)| Cell { document, row, position, token })
}

fn schema() -> String {
    let integers = INTEGERS.iter().map(|(name, _)| format!("required int64 {name};"));
    let texts = TEXTS.iter().map(|(name, _)| format!("required binary {name} (UTF8);"));
    let numbers = NUMBERS.iter().map(|(name, _)| format!("optional float {name};"));
    format!("message tokens {{ {} }}", integers.chain(texts).chain(numbers).collect::<Vec<_>>().join(" "))
}

fn write_group<W: std::io::Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    cells: &[Cell],
) -> parquet::errors::Result<()> {
    let missing = || ParquetError::General("the schema has too few columns".to_owned());
    for (_, of) in INTEGERS {
        let mut column = group.next_column()?.ok_or_else(missing)?;
        let values: Vec<i64> = cells.iter().map(of).collect();
        column.typed::<Int64Type>().write_batch(&values, None, None)?;
        column.close()?;
    }
    for (_, of) in TEXTS {
        let mut column = group.next_column()?.ok_or_else(missing)?;
        let values: Vec<ByteArray> = cells.iter().map(|cell| of(&cell.token).into_bytes().into()).collect();
        column.typed::<ByteArrayType>().write_batch(&values, None, None)?;
        column.close()?;
    }
    for (_, of) in NUMBERS {
        let mut column = group.next_column()?.ok_or_else(missing)?;
        let all: Vec<Option<f32>> = cells.iter().map(|cell| of(&cell.token)).collect();
        let levels: Vec<i16> = all.iter().map(|value| i16::from(value.is_some())).collect();
        let values: Vec<f32> = all.into_iter().flatten().collect();
        column.typed::<FloatType>().write_batch(&values, Some(&levels), None)?;
        column.close()?;
    }
    Ok(())
}
