//! Rows from a data file, in the order of the model's features, in pieces that fit into memory.
//!
//! The format is told by how the content begins, never by the file's name. A file is untrusted: what its header claims is
//! compared with what there is before memory is taken for it.

#[cfg(feature = "parquet")]
mod arrow;
mod csv;
mod npy;

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::path::{Path, PathBuf};

use crate::cli::error::CliError;

/// How many of the first bytes tell the format.
const MAGIC_BYTES: u64 = 8;

/// How many names a message shows.
const SHOWN_MAX: usize = 5;

/// A row of values in the order of the features, or why it is none.
pub(super) type Row = Result<Vec<f64>, String>;

/// How far a file has been read, in whatever it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) read: u64,
    /// None when nobody knows, as of a pipe.
    pub(super) of: Option<u64>,
}

/// A file of some format, opened.
trait Table {
    /// The columns' names in their order, or how many there are.
    fn columns(&self) -> Columns;

    /// Says once, before the first row is read, which columns are wanted, in this order.
    fn select(&mut self, places: &[usize]) -> Result<(), String>;

    /// At most so many further rows; none at the end.
    fn next_rows(&mut self, most: usize) -> Result<Vec<Row>, String>;

    /// How far it has got.
    fn position(&self) -> Position;
}

/// What is known of the columns of a file.
enum Columns {
    Named(Vec<String>),
    /// An array without names.
    Counted(usize),
}

/// A data file whose columns were matched with a model's features.
pub(super) struct Input {
    path: PathBuf,
    table: Box<dyn Table>,
    names: Vec<String>,
    ignored: Vec<String>,
}

impl Input {
    /// Opens a file and matches its columns with the features: by name if both have names, else by place.
    pub(super) fn open(path: &Path, features: &[String], feature_count: usize) -> Result<Self, CliError> {
        let fault = |message: String| CliError::Data { path: path.to_owned(), message };
        let mut table = open(path).map_err(fault)?;
        let (places, names, ignored) = match table.columns() {
            Columns::Named(header) if !features.is_empty() => {
                let places = by_name(features, &header).map_err(fault)?;
                let used: HashSet<usize> = places.iter().copied().collect();
                let ignored = (0..header.len()).filter(|place| !used.contains(place));
                let ignored = ignored.map(|place| header[place].clone()).collect();
                (places, features.to_vec(), ignored)
            }
            columns => {
                let found = match &columns {
                    Columns::Named(header) => header.len(),
                    Columns::Counted(count) => *count,
                };
                if found != feature_count {
                    let message = format!("expected {feature_count} columns, one for each feature, found {found}");
                    return Err(fault(message));
                }
                let names = match columns {
                    Columns::Named(header) => header,
                    Columns::Counted(_) if features.is_empty() => (0..found).map(|n| format!("f{n}")).collect(),
                    Columns::Counted(_) => features.to_vec(),
                };
                ((0..found).collect(), names, Vec::new())
            }
        };
        table.select(&places).map_err(fault)?;
        Ok(Self { path: path.to_owned(), table, names, ignored })
    }

    /// The features' names.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// The columns that are no features.
    pub(super) fn ignored(&self) -> &[String] {
        &self.ignored
    }

    /// At most so many further rows; a row that is no row of numbers says why. None at the end.
    pub(super) fn next_rows(&mut self, most: usize) -> Result<Vec<Row>, CliError> {
        self.table.next_rows(most).map_err(|message| CliError::Data { path: self.path.clone(), message })
    }

    /// How far the file has been read.
    pub(super) fn position(&self) -> Position {
        self.table.position()
    }
}

fn open(path: &Path) -> Result<Box<dyn Table>, String> {
    let unreadable = |error: io::Error| format!("expected a file that can be read, found: {error}");
    let mut file = File::open(path).map_err(unreadable)?;
    let size = file.metadata().ok().filter(std::fs::Metadata::is_file).map(|metadata| metadata.len());
    let mut magic = Vec::new();
    (&mut file).take(MAGIC_BYTES).read_to_end(&mut magic).map_err(unreadable)?;
    // A pipe cannot be read again from its beginning; only what is read from front to back can come through one.
    let is_seekable = file.rewind().is_ok();
    let needs_file = |what: &str| format!("expected {what} in a file, found a pipe; save it to a file first");
    Ok(match magic.as_slice() {
        [b'P', b'A', b'R', b'1', ..] | [b'A', b'R', b'R', b'O', b'W', b'1', ..] | [0xff, 0xff, 0xff, 0xff, ..] => {
            if !is_seekable {
                return Err(needs_file("Parquet or Arrow"));
            }
            columnar(file, &magic)?
        }
        [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => {
            if !is_seekable {
                return Err(needs_file("NPY"));
            }
            Box::new(npy::Npy::open(file)?)
        }
        [b'P', b'K', 3, 4, ..] => {
            return Err(
                "expected CSV, NPY, Parquet or Arrow, found a zip archive (NPZ, XLSX?); save its one array \
                        as .npy, or its one sheet as .csv"
                    .to_owned(),
            );
        }
        [0x1f, 0x8b, ..] => {
            return Err(
                "expected CSV, NPY, Parquet or Arrow, found a file compressed by gzip; unpack it first, or pass \
                        --data <(zcat FILE)"
                    .to_owned(),
            );
        }
        _ => {
            let beginning = if is_seekable { Vec::new() } else { magic };
            Box::new(csv::Csv::open(beginning, file, size)?)
        }
    })
}

#[cfg(feature = "parquet")]
fn columnar(file: File, magic: &[u8]) -> Result<Box<dyn Table>, String> {
    Ok(match magic[0] {
        b'P' => Box::new(arrow::Columnar::parquet(file)?),
        b'A' => Box::new(arrow::Columnar::file(file)?),
        _ => Box::new(arrow::Columnar::stream(file)?),
    })
}

#[cfg(not(feature = "parquet"))]
fn columnar(_: File, _: &[u8]) -> Result<Box<dyn Table>, String> {
    Err("expected CSV or NPY, found Parquet or Arrow, which this build cannot read; build with the feature `parquet`"
        .to_owned())
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
        let shown = missing.len().min(SHOWN_MAX);
        let more = missing.len() - shown;
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        let shown = missing[..shown].join(", ");
        Err(format!("expected a column for each feature of the model, found none for {shown}{more}"))
    }
}
