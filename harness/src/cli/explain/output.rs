//! Explained rows as CSV, JSON, NPY, Parquet, or a table to be read.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Seek as _, Write};
use std::path::{Path, PathBuf};

use proofmark::explain::Attribution;

use super::Explained;
#[cfg(feature = "parquet")]
use super::parquet::ParquetRows;
use crate::cli::error::CliError;
use crate::cli::output::{check, replace_with};

/// Rows that the table shows.
const ROWS_SHOWN: usize = 20;

/// Features that the table names in a row.
const FEATURES_SHOWN: usize = 4;

/// Where explained rows go.
pub(super) struct Output {
    names: Vec<String>,
    kind: Kind,
}

enum Kind {
    Table(String),
    /// Rows go to a file without a name, which the system removes however this ends, and from there into place.
    File {
        format: Format,
        path: PathBuf,
        rows: BufWriter<File>,
    },
    #[cfg(feature = "parquet")]
    Parquet(PathBuf, Box<ParquetRows>),
}

#[derive(Clone, Copy)]
enum Format {
    Csv,
    Json,
    Npy,
}

impl Output {
    pub(super) fn open(path: Option<&Path>, names: &[String]) -> Result<Self, CliError> {
        let kind = match path {
            None => Kind::Table(String::new()),
            #[cfg(feature = "parquet")]
            Some(path) if path.extension().is_some_and(|ending| ending == "parquet") => {
                let unwritable = |source| CliError::Output { path: path.to_owned(), source };
                check(path).map_err(unwritable)?;
                Kind::Parquet(path.to_owned(), Box::new(ParquetRows::begin(names).map_err(unwritable)?))
            }
            Some(path) => {
                let format = match path.extension().and_then(|ending| ending.to_str()) {
                    Some("csv") => Format::Csv,
                    Some("json") => Format::Json,
                    Some("npy") => Format::Npy,
                    _ => return Err(CliError::OutputFormat { path: path.to_owned() }),
                };
                let unwritable = |source| CliError::Output { path: path.to_owned(), source };
                check(path).map_err(unwritable)?;
                let rows = BufWriter::new(tempfile::tempfile().map_err(unwritable)?);
                Kind::File { format, path: path.to_owned(), rows }
            }
        };
        Ok(Self { names: names.to_vec(), kind })
    }

    /// Adds a row.
    pub(super) fn add(&mut self, row: usize, base_value: f64, result: &Explained) -> Result<(), CliError> {
        match &mut self.kind {
            Kind::Table(text) => {
                if row < ROWS_SHOWN {
                    describe(text, row, base_value, result, &self.names);
                }
                Ok(())
            }
            Kind::File { format, path, rows } => {
                let written = match format {
                    Format::Csv => csv_row(rows, base_value, result, self.names.len()),
                    Format::Json => json_row(rows, row, base_value, result),
                    Format::Npy => npy_row(rows, result, self.names.len()),
                };
                written.map_err(|source| CliError::Write { path: path.clone(), source })
            }
            #[cfg(feature = "parquet")]
            Kind::Parquet(path, rows) => {
                rows.add(base_value, result).map_err(|source| CliError::Write { path: path.clone(), source })
            }
        }
    }

    /// Puts the file into place; returns what is to be shown.
    pub(super) fn finish(self, count: usize) -> Result<String, CliError> {
        match self.kind {
            Kind::Table(mut text) => {
                if count > ROWS_SHOWN {
                    let _ = writeln!(text, "... and {} more; --out FILE writes all of them", count - ROWS_SHOWN);
                }
                Ok(text)
            }
            Kind::File { format, path, rows } => {
                let names = &self.names;
                let written = rows.into_inner().map_err(io::IntoInnerError::into_error).and_then(|mut rows| {
                    rows.rewind()?;
                    replace_with(&path, |file| {
                        begin(file, format, names, count)?;
                        io::copy(&mut BufReader::new(&rows), file)?;
                        if matches!(format, Format::Json) {
                            file.write_all(b"\n]}\n")?;
                        }
                        Ok(())
                    })
                });
                written.map_err(|source| CliError::Write { path, source })?;
                Ok(String::new())
            }
            #[cfg(feature = "parquet")]
            Kind::Parquet(path, rows) => {
                let written = rows.finish().and_then(|rows| {
                    replace_with(&path, |file| io::copy(&mut BufReader::new(&rows), file).map(drop))
                });
                written.map_err(|source| CliError::Write { path, source })?;
                Ok(String::new())
            }
        }
    }
}

/// What stands before the rows.
fn begin(file: &mut dyn Write, format: Format, names: &[String], count: usize) -> io::Result<()> {
    match format {
        Format::Csv => {
            let mut writer = csv::Writer::from_writer(file);
            writer.write_record(names.iter().map(String::as_str).chain(["base_value", "output", "error"]))?;
            writer.flush()
        }
        Format::Json => write!(file, "{{\"feature_names\": {}, \"rows\": [", serde_json::to_string(names)?),
        Format::Npy => {
            // Version 1.0 of the format (NEP 1): the header is padded so that the data begin at a multiple of 64.
            let dictionary =
                format!("{{'descr': '<f8', 'fortran_order': False, 'shape': ({count}, {}), }}", names.len());
            let length = (10 + dictionary.len() + 1).next_multiple_of(64) - 10;
            let size = u16::try_from(length).map_err(io::Error::other)?;
            file.write_all(b"\x93NUMPY\x01\x00")?;
            file.write_all(&size.to_le_bytes())?;
            writeln!(file, "{dictionary:<width$}", width = length - 1)
        }
    }
}

fn csv_row(rows: &mut impl Write, base_value: f64, result: &Explained, width: usize) -> io::Result<()> {
    let mut writer = csv::Writer::from_writer(rows);
    match result {
        Ok(row) => {
            let numbers =
                row.values().iter().copied().chain([base_value, row.output()]).map(|number| number.to_string());
            writer.write_record(numbers.collect::<Vec<_>>().iter().map(String::as_str).chain([""]))?;
        }
        Err(error) => {
            let error = error.to_string();
            writer.write_record(std::iter::repeat_n("", width + 2).chain([error.as_str()]))?;
        }
    }
    writer.flush()
}

fn json_row(rows: &mut impl Write, row: usize, base_value: f64, result: &Explained) -> io::Result<()> {
    let value = match result {
        Ok(row) => serde_json::json!({"values": row.values(), "base_value": base_value, "output": row.output()}),
        Err(error) => serde_json::json!({"error": error.to_string()}),
    };
    write!(rows, "{}\n{value}", if row == 0 { "" } else { "," })
}

fn npy_row(rows: &mut impl Write, result: &Explained, width: usize) -> io::Result<()> {
    match result {
        Ok(row) => row.values().iter().try_for_each(|value| rows.write_all(&value.to_le_bytes())),
        Err(_) => (0..width).try_for_each(|_| rows.write_all(&f64::NAN.to_le_bytes())),
    }
}

/// A row as a sum to be read, its largest terms first.
fn describe(text: &mut String, row: usize, base_value: f64, result: &Explained, names: &[String]) {
    let sum = |row: &Attribution| {
        let mut terms: Vec<(f64, &str)> =
            row.values().iter().copied().zip(names.iter().map(String::as_str)).collect();
        terms.sort_by(|(a, _), (b, _)| b.abs().total_cmp(&a.abs()));
        let mut sum = format!("{:.4} = {base_value:.4}", row.output());
        let others = terms.split_off(FEATURES_SHOWN.min(terms.len()));
        let rest: f64 = others.iter().map(|(value, _)| value).sum();
        for (value, name) in terms {
            let _ = write!(sum, " {} {:.4} {name}", sign(value), value.abs());
        }
        if !others.is_empty() {
            let _ = write!(sum, " {} {:.4} in {} others", sign(rest), rest.abs(), others.len());
        }
        sum
    };
    let _ = match result {
        Ok(explained) => writeln!(text, "row {row:<4} {}", sum(explained)),
        Err(error) => writeln!(text, "row {row:<4} not explained: {error}"),
    };
}

fn sign(value: f64) -> char {
    if value.is_sign_negative() { '-' } else { '+' }
}
