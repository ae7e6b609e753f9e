//! Tables: CSV in memory, numbers in full.
//!
//! Every number is written as the shortest decimal that reads back as the same bits, so a table on disk *is*
//! the result, and two machines agree exactly when their files do.

use anyhow::{Context as _, Result, ensure};
use serde::{Serialize, de::DeserializeOwned};

/// A header and rows of text fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with one line per row; the header is the row type's field names.
    pub fn from_rows<R: Serialize>(rows: &[R]) -> Result<Self> {
        Self::from_csv(&to_csv(rows)?)
    }

    /// Reads CSV text.
    pub fn from_csv(text: &str) -> Result<Self> {
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let header = reader.headers()?.iter().map(String::from).collect();
        let rows = reader
            .records()
            .map(|record| Ok(record?.iter().map(String::from).collect()))
            .collect::<Result<_>>()?;
        Ok(Self { header, rows })
    }

    /// CSV text, lines ended by `\n`.
    pub fn to_csv(&self) -> Result<String> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        if !self.header.is_empty() {
            writer.write_record(&self.header)?;
        }
        for row in &self.rows {
            writer.write_record(row)?;
        }
        Ok(String::from_utf8(writer.into_inner().context("closing a CSV table")?)?)
    }

    /// The rows as the type that they were made from.
    pub fn rows<R: DeserializeOwned>(&self) -> Result<Vec<R>> {
        from_csv(&self.to_csv()?).with_context(|| {
            format!("reading the columns {} as {}", self.header.join(", "), std::any::type_name::<R>())
        })
    }

    /// Column names.
    pub fn header(&self) -> &[String] {
        &self.header
    }

    /// Fields of every row, as text.
    pub fn records(&self) -> &[Vec<String>] {
        &self.rows
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// How far `other` is from this table: the largest relative difference of two numbers in the same place.
    /// An error says what makes the two incomparable (shape, header, or text that differs).
    pub fn difference(&self, other: &Self) -> Result<f64> {
        ensure!(self.header == other.header, "columns {:?} against {:?}", self.header, other.header);
        ensure!(self.rows.len() == other.rows.len(), "{} rows against {}", self.rows.len(), other.rows.len());
        let mut largest = 0.0_f64;
        for (line, (mine, theirs)) in self.rows.iter().zip(&other.rows).enumerate() {
            for (column, (a, b)) in mine.iter().zip(theirs).enumerate() {
                if a == b {
                    continue;
                }
                let both = a.parse::<f64>().ok().zip(b.parse::<f64>().ok());
                let place =
                    || format!("row {}, column {}: {a:?} against {b:?}", line + 1, self.header[column]);
                let (a, b) = both.with_context(place)?;
                ensure!(a.is_finite() && b.is_finite(), "{}", place());
                largest = largest.max((a - b).abs() / a.abs().max(b.abs()));
            }
        }
        Ok(largest)
    }
}

/// A column's documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Name in the header.
    pub name: &'static str,
    /// Unit, empty for a name or a plain number.
    pub unit: &'static str,
    /// What it is, with its formula.
    pub meaning: &'static str,
}

/// The columns of a table: name, unit if there is one, meaning, as in `"loss_nats" in "nats": "−log *p* of the label"`.
macro_rules! columns {
    ($($name:literal $(in $unit:literal)?: $meaning:literal),+ $(,)?) => {
        vec![$($crate::Column { name: $name, unit: concat!("" $(, $unit)?), meaning: $meaning }),+]
    };
}

/// A table's row and its columns in one list: the struct, whose fields say what they mean, and `columns()` of a table of such
/// rows. A field has a name, a unit if there is one, a type and a meaning, as in `loss_nats in "nats": f64 = "−log *p* of the
/// label"`.
macro_rules! row {
    ($(#[$about:meta])* $vis:vis struct $Row:ident {
        $($name:ident $(in $unit:literal)?: $Type:ty = $meaning:literal),+ $(,)?
    }) => {
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        $vis struct $Row {
            $(#[doc = $meaning] $vis $name: $Type),+
        }

        impl $Row {
            /// What the columns mean.
            $vis fn columns() -> Vec<$crate::Column> {
                vec![$($crate::Column { name: stringify!($name), unit: concat!("" $(, $unit)?), meaning: $meaning }),+]
            }
        }
    };
}

pub(crate) use {columns, row};

/// Rows as CSV text with a header.
pub(crate) fn to_csv<R: Serialize>(rows: &[R]) -> Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.serialize(row).context("a table's row must be flat: numbers, text, options of them")?;
    }
    let text = String::from_utf8(writer.into_inner().context("closing a CSV table")?)?;
    // A row type without field names writes no header, and its first row would be read back as one.
    let lines =
        csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes()).into_records().count();
    ensure!(
        rows.is_empty() || lines == rows.len() + 1,
        "{} has no field names: a table's row must be a struct",
        std::any::type_name::<R>()
    );
    Ok(text)
}

/// Rows from CSV text with a header.
pub(crate) fn from_csv<R: DeserializeOwned>(text: &str) -> Result<Vec<R>> {
    csv::Reader::from_reader(text.as_bytes()).deserialize().map(|row| Ok(row?)).collect()
}

/// The distinct items, in order of first appearance.
pub fn distinct<T: PartialEq>(all: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut found = Vec::new();
    for one in all {
        if !found.contains(&one) {
            found.push(one);
        }
    }
    found
}

/// Whether two numbers of a table are the very same: a cell is found by the number that it was made from.
pub(crate) fn same(a: f64, b: f64) -> bool {
    a.to_bits() == b.to_bits()
}

/// The distinct numbers, ascending.
pub(crate) fn ascending(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.dedup();
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Row {
        seed: u64,
        arm: String,
        loss_nats: f64,
        entropy_nats: Option<f64>,
    }

    fn row(loss_nats: f64) -> Row {
        Row { seed: 3, arm: "top 25 %, \"hard\"".into(), loss_nats, entropy_nats: None }
    }

    #[test]
    fn every_bit_survives_the_text() -> Result<()> {
        let rows: Vec<Row> =
            [0.1 + 0.2, f64::MIN_POSITIVE, 5e-324, -0.0, 1e300, f64::INFINITY, 1.0 / 3.0].map(row).into();
        let back: Vec<Row> = Table::from_csv(&Table::from_rows(&rows)?.to_csv()?)?.rows()?;
        assert_eq!(back, rows);
        assert!(back[3].loss_nats.is_sign_negative());
        let nan: Vec<Row> = Table::from_rows(&[row(f64::NAN)])?.rows()?;
        assert!(nan[0].loss_nats.is_nan());
        Ok(())
    }

    #[test]
    fn rows_without_names_are_refused() {
        let error = Table::from_rows(&[(1.0, 2.0)]).unwrap_err().to_string();
        assert!(error.contains("must be a struct"), "{error}");
        assert_eq!(Table::from_rows::<Row>(&[]).unwrap(), Table::default());
    }

    #[test]
    fn differences_are_relative_and_text_must_match() -> Result<()> {
        let table = |loss| Table::from_rows(&[row(loss)]);
        assert!((table(1.0)?.difference(&table(1.0 + 1e-9)?)? - 1e-9).abs() < 1e-15);
        assert!(table(1.0)?.difference(&table(1.0)?)? == 0.0);
        let named = Table::from_rows(&[Row { arm: "other".into(), ..row(1.0) }])?;
        let error = table(1.0)?.difference(&named).unwrap_err().to_string();
        assert!(error.contains("row 1, column arm"), "{error}");
        Ok(())
    }
}
