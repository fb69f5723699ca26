//! Comma-separated values with a header.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::rc::Rc;

use ::csv::{ErrorKind, Reader, ReaderBuilder, StringRecord};

use super::{Columns, Position, Row, Table};

/// The longest row, in bytes: a quote that is never closed would make the rest of the file one field.
const ROW_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// A file that may be read only so far, until it is told to go on.
struct Limited<R> {
    file: R,
    left: Rc<Cell<u64>>,
}

impl<R: Read> Read for Limited<R> {
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

/// What was read to know the format, and the rest.
type Whole = io::Chain<Cursor<Vec<u8>>, File>;

/// A file that is read row by row.
pub(super) struct Csv {
    reader: Reader<Limited<Whole>>,
    /// What may still be read for the row at hand.
    left: Rc<Cell<u64>>,
    record: StringRecord,
    header: Vec<String>,
    /// Where the wanted columns are in a record.
    places: Vec<usize>,
    size: Option<u64>,
}

impl Csv {
    /// Reads the header. `beginning` was read from the file already.
    pub(super) fn open(beginning: Vec<u8>, file: File, size: Option<u64>) -> Result<Self, String> {
        let left = Rc::new(Cell::new(ROW_BYTES_MAX));
        let file = Limited { file: Cursor::new(beginning).chain(file), left: Rc::clone(&left) };
        let mut reader = ReaderBuilder::new().flexible(true).from_reader(file);
        let header = reader.headers().map_err(|error| error.to_string())?;
        let mut header: Vec<String> = header.iter().map(str::to_owned).collect();
        // A byte order mark, as spreadsheets write it.
        if let Some(first) = header.first_mut()
            && let Some(rest) = first.strip_prefix('\u{feff}')
        {
            *first = rest.to_owned();
        }
        Ok(Self { reader, left, record: StringRecord::new(), header, places: Vec::new(), size })
    }

    fn row(&self) -> Row {
        let columns = self.header.len();
        if self.record.len() != columns {
            return Err(format!("expected {columns} fields as in the header, found {}", self.record.len()));
        }
        let number = |place: &usize| {
            let text = self.record[*place].trim();
            match text {
                "" | "NA" | "null" => Ok(f64::NAN),
                _ => text
                    .parse()
                    .map_err(|_| format!("column {}: expected a number, found {text:?}", self.header[*place])),
            }
        };
        self.places.iter().map(number).collect()
    }
}

impl Table for Csv {
    fn columns(&self) -> Columns {
        Columns::Named(self.header.clone())
    }

    fn select(&mut self, places: &[usize]) -> Result<(), String> {
        self.places = places.to_vec();
        Ok(())
    }

    fn next_rows(&mut self, most: usize) -> Result<Vec<Row>, String> {
        let mut rows = Vec::new();
        while rows.len() < most {
            self.left.set(ROW_BYTES_MAX);
            let read = self.reader.read_record(&mut self.record);
            match read {
                Ok(false) => break,
                Ok(true) => rows.push(self.row()),
                Err(error) if matches!(error.kind(), ErrorKind::Utf8 { .. }) => {
                    rows.push(Err("expected UTF-8, found another encoding".to_owned()));
                }
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(rows)
    }

    fn position(&self) -> Position {
        Position { read: self.reader.position().byte(), of: self.size }
    }
}
