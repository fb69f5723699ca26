//! Rows from a CSV file, in the order of the model's features.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use csv::{Reader, ReaderBuilder, StringRecord};
use proofmark::model::TreeEnsemble;

use crate::cli::error::CliError;

/// The longest row, in bytes: a quote that is never closed would make the rest of the file one field.
const ROW_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// A file that may be read only so far, until it is told to go on.
struct Limited {
    file: File,
    left: Rc<Cell<u64>>,
}

impl Read for Limited {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.left.get();
        if left == 0 {
            return Err(io::Error::other(format!(
                "expected rows of at most {ROW_BYTES_MAX} bytes, found a longer one; is a quote left open?"
            )));
        }
        let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let count = self.file.read(&mut buffer[..most])?;
        self.left.set(left - count as u64);
        Ok(count)
    }
}

/// A data file that is read row by row.
pub(super) struct Input {
    path: PathBuf,
    reader: Reader<Limited>,
    /// What may still be read for the row at hand.
    left: Rc<Cell<u64>>,
    record: StringRecord,
    /// Where the model's features are in a record.
    places: Vec<usize>,
    columns: usize,
    names: Vec<String>,
    ignored: Vec<String>,
}

impl Input {
    /// Opens a file and matches its columns with the features: by name if the model has names, else by place.
    pub(super) fn open(path: &Path, model: &TreeEnsemble) -> Result<Self, CliError> {
        let unreadable =
            |source: csv::Error| CliError::Data { path: path.to_owned(), message: source.to_string() };
        let file = File::open(path).map_err(|source| unreadable(source.into()))?;
        let left = Rc::new(Cell::new(ROW_BYTES_MAX));
        let mut reader = ReaderBuilder::new().flexible(true).from_reader(Limited { file, left: Rc::clone(&left) });
        let header: Vec<String> = reader.headers().map_err(unreadable)?.iter().map(str::to_owned).collect();
        let mismatch = |message| CliError::Data { path: path.to_owned(), message };
        let (places, names) = if model.feature_names().is_empty() {
            let expected = model.feature_count();
            if header.len() != expected {
                let found = header.len();
                return Err(mismatch(format!("expected {expected} columns, one for each feature, found {found}")));
            }
            ((0..expected).collect(), header.clone())
        } else {
            (by_name(model.feature_names(), &header).map_err(mismatch)?, model.feature_names().to_vec())
        };
        let used: HashSet<usize> = places.iter().copied().collect();
        let ignored = (0..header.len()).filter(|place| !used.contains(place));
        let ignored = ignored.map(|place| header[place].clone()).collect();
        Ok(Self {
            path: path.to_owned(),
            reader,
            left,
            record: StringRecord::new(),
            places,
            columns: header.len(),
            names,
            ignored,
        })
    }

    /// The features' names.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// The columns that are no features.
    pub(super) fn ignored(&self) -> &[String] {
        &self.ignored
    }

    /// At most so many further rows; a row that is no row of numbers says why.
    pub(super) fn next_rows(&mut self, most: usize) -> Result<Vec<Result<Vec<f64>, String>>, CliError> {
        let mut rows = Vec::new();
        while rows.len() < most {
            self.left.set(ROW_BYTES_MAX);
            let read = self.reader.read_record(&mut self.record);
            match read {
                Ok(false) => break,
                Ok(true) => rows.push(self.row()),
                Err(error) if matches!(error.kind(), csv::ErrorKind::Utf8 { .. }) => {
                    rows.push(Err("expected UTF-8, found another encoding".to_owned()));
                }
                Err(error) => {
                    return Err(CliError::Data { path: self.path.clone(), message: error.to_string() });
                }
            }
        }
        Ok(rows)
    }

    fn row(&self) -> Result<Vec<f64>, String> {
        if self.record.len() != self.columns {
            return Err(format!("expected {} fields as in the header, found {}", self.columns, self.record.len()));
        }
        let number = |(place, name): (&usize, &String)| {
            let text = self.record[*place].trim();
            match text {
                "" | "NA" | "null" => Ok(f64::NAN),
                _ => text.parse().map_err(|_| format!("column {name}: expected a number, found {text:?}")),
            }
        };
        self.places.iter().zip(&self.names).map(number).collect()
    }
}

/// The places of the features among the columns.
fn by_name(features: &[String], header: &[String]) -> Result<Vec<usize>, String> {
    let mut by_name: HashMap<&str, (usize, bool)> = HashMap::new();
    for (place, name) in header.iter().enumerate() {
        by_name.entry(name).and_modify(|(_, is_repeated)| *is_repeated = true).or_insert((place, false));
    }
    let mut missing = Vec::new();
    let mut places = Vec::new();
    for feature in features {
        match by_name.get(feature.as_str()) {
            Some((place, false)) => places.push(*place),
            Some((_, true)) => return Err(format!("expected one column {feature:?}, found several")),
            None => missing.push(feature.as_str()),
        }
    }
    if missing.is_empty() {
        Ok(places)
    } else {
        let shown = missing.len().min(5);
        let more = missing.len() - shown;
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        let shown = missing[..shown].join(", ");
        Err(format!("expected a column for each feature of the model, found none for {shown}{more}"))
    }
}
