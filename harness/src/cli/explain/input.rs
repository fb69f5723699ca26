//! Rows from a CSV file, in the order of the model's features.

use std::fs::File;
use std::path::{Path, PathBuf};

use csv::{Reader, ReaderBuilder, StringRecord};
use proofmark::model::TreeEnsemble;

use crate::cli::error::CliError;

/// A data file that is read row by row.
pub(super) struct Input {
    path: PathBuf,
    reader: Reader<File>,
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
        let mut reader = ReaderBuilder::new().flexible(true).from_reader(file);
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
        let ignored = (0..header.len()).filter(|place| !places.contains(place));
        let ignored = ignored.map(|place| header[place].clone()).collect();
        Ok(Self {
            path: path.to_owned(),
            reader,
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
    let mut missing = Vec::new();
    let mut places = Vec::new();
    for feature in features {
        let mut found = (0..header.len()).filter(|place| header[*place] == *feature);
        match (found.next(), found.next()) {
            (Some(place), None) => places.push(place),
            (Some(_), Some(_)) => return Err(format!("expected one column {feature:?}, found several")),
            (None, _) => missing.push(feature.as_str()),
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
