//! Explained rows as a Parquet file: a column for each feature, then `base_value`, `output` and `error`.

use std::fs::File;
use std::io::{self, Seek as _};
use std::sync::Arc;

use arrow_array::builder::{Float64Builder, StringBuilder};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::Explained;

/// How many rows are held before they are encoded.
const BATCH_ROWS: usize = 4096;

/// The largest row group: the rows' encoded columns are held until one is full.
const GROUP_ROWS_MAX: usize = 128 * 1024;

/// A file in the making.
pub(super) struct ParquetRows {
    schema: SchemaRef,
    writer: ArrowWriter<File>,
    /// One for each feature, then the base value and the output.
    numbers: Vec<Float64Builder>,
    errors: StringBuilder,
    count: usize,
}

impl ParquetRows {
    /// A file without a name, which the system removes however this ends.
    pub(super) fn begin(names: &[String]) -> io::Result<Self> {
        let numbers = names.iter().map(String::as_str).chain(["base_value", "output"]);
        let mut fields: Vec<Field> = numbers.map(|name| Field::new(name, DataType::Float64, true)).collect();
        fields.push(Field::new("error", DataType::Utf8, true));
        let schema = Arc::new(Schema::new(fields));
        let level = ZstdLevel::try_new(1).map_err(io::Error::other)?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(level))
            // Hardly two contributions are the same.
            .set_dictionary_enabled(false)
            .set_max_row_group_row_count(Some(GROUP_ROWS_MAX))
            .build();
        let writer = ArrowWriter::try_new(tempfile::tempfile()?, Arc::clone(&schema), Some(properties));
        Ok(Self {
            schema,
            writer: writer.map_err(io::Error::other)?,
            numbers: (0..names.len() + 2).map(|_| Float64Builder::new()).collect(),
            errors: StringBuilder::new(),
            count: 0,
        })
    }

    /// Adds a row; one that failed has its error and nulls.
    pub(super) fn add(&mut self, base_value: f64, result: &Explained) -> io::Result<()> {
        match result {
            Ok(row) => {
                let numbers = row.values().iter().copied().chain([base_value, row.output()]);
                self.numbers.iter_mut().zip(numbers).for_each(|(column, number)| column.append_value(number));
                self.errors.append_null();
            }
            Err(error) => {
                self.numbers.iter_mut().for_each(Float64Builder::append_null);
                self.errors.append_value(error.to_string());
            }
        }
        self.count += 1;
        if self.count == BATCH_ROWS { self.encode() } else { Ok(()) }
    }

    fn encode(&mut self) -> io::Result<()> {
        self.count = 0;
        let numbers = self.numbers.iter_mut().map(|column| Arc::new(column.finish()) as ArrayRef);
        let mut columns: Vec<ArrayRef> = numbers.collect();
        columns.push(Arc::new(self.errors.finish()));
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns).map_err(io::Error::other)?;
        self.writer.write(&batch).map_err(io::Error::other)
    }

    /// The whole file, to be read from its beginning.
    pub(super) fn finish(mut self) -> io::Result<File> {
        if self.count > 0 {
            self.encode()?;
        }
        let mut file = self.writer.into_inner().map_err(io::Error::other)?;
        file.rewind()?;
        Ok(file)
    }
}
