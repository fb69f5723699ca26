//! Parquet files, and Arrow's files and streams.

use std::fs::File;
use std::io::BufReader;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{
    Decimal128Type, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, RecordBatch};
use arrow_ipc::reader::{FileReader, StreamReader};
use arrow_schema::{ArrowError, DataType, SchemaRef};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReaderBuilder};
use proofmark_harness::panic::{catch, install_hook};

use super::{Columns, Position, Row, Table};

/// How many rows of a Parquet file are decoded at a time.
const BATCH_ROWS: usize = 4096;

/// Batches of rows, one after another.
type Batches = Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>>>;

/// A file whose columns are stored one by one.
pub(super) struct Columnar {
    source: Source,
    schema: SchemaRef,
    /// What there is of the batch at hand, column by column in the order that was asked for.
    batch: Vec<Vec<f64>>,
    /// Its next row, and how many there are.
    next: usize,
    rows: usize,
    position: Position,
}

enum Source {
    Parquet(Box<ParquetRecordBatchReaderBuilder<File>>),
    File(File),
    Stream(File),
    /// Columns were chosen; their places among those that are read.
    Reading(Batches, Vec<usize>),
}

/// What a library says about a file, also when it gives up by a panic: nobody has tried it with every broken file.
fn guarded<T, E: std::fmt::Display>(run: impl FnOnce() -> Result<T, E>) -> Result<T, String> {
    install_hook();
    match catch(run) {
        Ok(result) => result.map_err(|error| format!("expected a sound file of columns, found: {error}")),
        Err(panic) => Err(format!("expected a sound file, found one that cannot be decoded: {panic}")),
    }
}

impl Columnar {
    pub(super) fn parquet(file: File) -> Result<Self, String> {
        let builder = guarded(|| {
            let metadata =
                ArrowReaderMetadata::load(&file, parquet::arrow::arrow_reader::ArrowReaderOptions::new())?;
            Ok::<_, parquet::errors::ParquetError>(ParquetRecordBatchReaderBuilder::new_with_metadata(
                file, metadata,
            ))
        })?;
        let rows = builder.metadata().file_metadata().num_rows();
        let schema = builder.schema().clone();
        Ok(Self::new(Source::Parquet(Box::new(builder)), schema, u64::try_from(rows).ok()))
    }

    pub(super) fn file(file: File) -> Result<Self, String> {
        let reader = guarded(|| FileReader::try_new(BufReader::new(file.try_clone()?), None))?;
        let schema = reader.schema();
        Ok(Self::new(Source::File(file), schema, None))
    }

    pub(super) fn stream(file: File) -> Result<Self, String> {
        let reader = guarded(|| StreamReader::try_new(BufReader::new(file.try_clone()?), None))?;
        let schema = reader.schema();
        Ok(Self::new(Source::Stream(file), schema, None))
    }

    fn new(source: Source, schema: SchemaRef, of: Option<u64>) -> Self {
        Self { source, schema, batch: Vec::new(), next: 0, rows: 0, position: Position { read: 0, of } }
    }

    /// Decodes the next batch that has rows; false at the end.
    fn advance(&mut self) -> Result<bool, String> {
        let Source::Reading(batches, places) = &mut self.source else {
            return Err("no columns were chosen".to_owned());
        };
        loop {
            let Some(batch) = guarded(|| batches.next().transpose())? else { return Ok(false) };
            if batch.num_rows() == 0 {
                continue;
            }
            let schema = batch.schema();
            let column = |place: &usize| numbers(schema.field(*place).name(), batch.column(*place).as_ref());
            self.batch = places.iter().map(column).collect::<Result<_, _>>()?;
            (self.next, self.rows) = (0, batch.num_rows());
            return Ok(true);
        }
    }
}

impl Table for Columnar {
    fn columns(&self) -> Columns {
        Columns::Named(self.schema.fields().iter().map(|field| field.name().clone()).collect())
    }

    fn select(&mut self, places: &[usize]) -> Result<(), String> {
        for place in places {
            let field = self.schema.field(*place);
            if !is_number(field.data_type()) {
                return Err(not_numbers(field.name(), field.data_type()));
            }
        }
        // Columns are read in the order of the file.
        let mut sorted = places.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        let among = places.iter().map(|place| sorted.binary_search(place).unwrap_or_default()).collect();
        let source =
            std::mem::replace(&mut self.source, Source::Reading(Box::new(std::iter::empty()), Vec::new()));
        let batches: Batches = match source {
            Source::Parquet(builder) => guarded(|| {
                let mask = ProjectionMask::roots(builder.parquet_schema(), sorted);
                builder
                    .with_projection(mask)
                    .with_batch_size(BATCH_ROWS)
                    .build()
                    .map(|reader| Box::new(reader) as Batches)
            })?,
            Source::File(mut file) => guarded(|| {
                std::io::Seek::rewind(&mut file)?;
                FileReader::try_new(BufReader::new(file), Some(sorted)).map(|reader| Box::new(reader) as Batches)
            })?,
            Source::Stream(mut file) => guarded(|| {
                std::io::Seek::rewind(&mut file)?;
                StreamReader::try_new(BufReader::new(file), Some(sorted)).map(|reader| Box::new(reader) as Batches)
            })?,
            Source::Reading(batches, _) => batches,
        };
        self.source = Source::Reading(batches, among);
        Ok(())
    }

    fn next_rows(&mut self, most: usize) -> Result<Vec<Row>, String> {
        let mut rows = Vec::new();
        while rows.len() < most {
            if self.next == self.rows && !self.advance()? {
                break;
            }
            let until = self.rows.min(self.next + most - rows.len());
            rows.extend((self.next..until).map(|row| Ok(self.batch.iter().map(|column| column[row]).collect())));
            self.next = until;
        }
        self.position.read += rows.len() as u64;
        Ok(rows)
    }

    fn position(&self) -> Position {
        self.position
    }
}

fn is_number(kind: &DataType) -> bool {
    kind.is_integer()
        || kind.is_floating()
        || matches!(kind, DataType::Boolean | DataType::Null | DataType::Decimal128(..))
}

fn not_numbers(name: &str, kind: &DataType) -> String {
    format!("column {name}: expected numbers or booleans, found {kind}; encode it as the model was trained")
}

/// A column as numbers; null is a missing value. Integers that no 64-bit float can hold become the nearest one.
#[expect(clippy::cast_precision_loss, reason = "models compute in floats: the nearest is what they would get")]
fn numbers(name: &str, column: &dyn Array) -> Result<Vec<f64>, String> {
    macro_rules! primitive {
        ($kind:ty, $convert:expr) => {{
            let convert = $convert;
            column.as_primitive::<$kind>().iter().map(|value| value.map_or(f64::NAN, convert)).collect()
        }};
    }
    Ok(match column.data_type() {
        DataType::Null => vec![f64::NAN; column.len()],
        DataType::Boolean => column
            .as_boolean()
            .iter()
            .map(|value| value.map_or(f64::NAN, |value| f64::from(u8::from(value))))
            .collect(),
        DataType::Int8 => primitive!(Int8Type, f64::from),
        DataType::Int16 => primitive!(Int16Type, f64::from),
        DataType::Int32 => primitive!(Int32Type, f64::from),
        DataType::Int64 => primitive!(Int64Type, |value| value as f64),
        DataType::UInt8 => primitive!(UInt8Type, f64::from),
        DataType::UInt16 => primitive!(UInt16Type, f64::from),
        DataType::UInt32 => primitive!(UInt32Type, f64::from),
        DataType::UInt64 => primitive!(UInt64Type, |value| value as f64),
        DataType::Float16 => primitive!(Float16Type, f64::from),
        DataType::Float32 => primitive!(Float32Type, f64::from),
        DataType::Float64 => primitive!(Float64Type, |value| value),
        DataType::Decimal128(_, scale) => {
            let unit = 10.0_f64.powi(i32::from(*scale));
            primitive!(Decimal128Type, |value| value as f64 / unit)
        }
        other => return Err(not_numbers(name, other)),
    })
}
