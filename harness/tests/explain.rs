//! `proofmark explain` from the outside.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "what a test relies on may fail loudly")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::types::Float64Type;
use arrow_array::{Array as _, ArrayRef, Float64Array, RecordBatch, StringArray};
use arrow_ipc::writer::{FileWriter, StreamWriter};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proofmark_harness::fixture::{BAD_MODELS, Fixture, Table};
use serde_json::Value;
use tempfile::TempDir;

/// A model with its rows in files, and a place for results.
struct Files {
    directory: TempDir,
    golden: Table,
}

impl Files {
    fn new() -> Self {
        let fixture = Fixture::named("breast-cancer-binary").unwrap();
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("model.json"), fixture.model).unwrap();
        let files = Self { directory, golden: fixture.shap_contributions().unwrap() };
        let table = fixture.rows().unwrap();
        files.write_rows(&table.columns, &table.rows);
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write_rows(&self, columns: &[String], rows: &[Vec<f64>]) {
        let mut writer = csv::Writer::from_path(self.path("rows.csv")).unwrap();
        writer.write_record(columns).unwrap();
        for row in rows {
            let text = |value: &f64| if value.is_nan() { String::new() } else { value.to_string() };
            writer.write_record(row.iter().map(text)).unwrap();
        }
        writer.flush().unwrap();
    }

    fn explain(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_proofmark"));
        command.args(["explain", "--model", "model.json", "--data", "rows.csv"]).args(arguments);
        command.current_dir(self.directory.path()).output().unwrap()
    }

    /// As `explain`, with another file of rows.
    fn explain_rows(&self, data: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_proofmark"));
        command.args(["explain", "--model", "model.json", "--data", data]).args(arguments);
        command.current_dir(self.directory.path()).output().unwrap()
    }

    fn is_golden(&self, row: usize, values: &[f64]) {
        let golden = &self.golden.rows[row];
        assert_eq!(values.len() + 1, golden.len());
        for (found, expected) in values.iter().zip(golden) {
            assert!((found - expected).abs() < 1e-11, "row {row}: {found} instead of {expected}");
        }
    }
}

fn code(output: &Output) -> i32 {
    assert!(!String::from_utf8_lossy(&output.stderr).contains("panicked"), "{output:?}");
    output.status.code().expect("an exit code")
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn every_format_holds_the_golden_values() {
    let files = Files::new();
    for name in ["values.csv", "values.json", "values.npy", "values.parquet"] {
        let output = files.explain(&["--out", name, "--workers", "2"]);
        assert_eq!(code(&output), 0, "{output:?}");
    }
    let rows = files.golden.rows.len();
    let mut reader = csv::Reader::from_path(files.path("values.csv")).unwrap();
    let records: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(records.len(), rows);
    for (row, record) in records.iter().enumerate() {
        let values: Vec<f64> = record.iter().take(30).map(|field| field.parse().unwrap()).collect();
        files.is_golden(row, &values);
    }
    let values = json(&files.path("values.json"));
    assert_eq!(values["rows"].as_array().unwrap().len(), rows);
    for row in 0..rows {
        let values: Vec<f64> = serde_json::from_value(values["rows"][row]["values"].clone()).unwrap();
        files.is_golden(row, &values);
    }
    let file = File::open(files.path("values.parquet")).unwrap();
    let batches = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().with_batch_size(rows).build().unwrap();
    let batch = batches.into_iter().next().unwrap().unwrap();
    assert_eq!((batch.num_rows(), batch.num_columns()), (rows, 33));
    assert_eq!(batch.schema().field(32).name(), "error");
    for row in 0..rows {
        let values = batch.columns()[..30].iter().map(|column| column.as_primitive::<Float64Type>().value(row));
        files.is_golden(row, &values.collect::<Vec<_>>());
        assert!(batch.column(32).is_null(row));
    }
    let bytes = fs::read(files.path("values.npy")).unwrap();
    let data = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    assert!(data.is_multiple_of(64) && bytes.len() == data + rows * 30 * 8);
    let header = String::from_utf8_lossy(&bytes[10..data]);
    assert!(header.contains(&format!("'shape': ({rows}, 30)")) && header.ends_with('\n'), "{header}");
    let (values, rest) = bytes[data..].as_chunks::<8>();
    assert!(rest.is_empty());
    for (row, values) in values.chunks(30).enumerate() {
        let values: Vec<f64> = values.iter().copied().map(f64::from_le_bytes).collect();
        files.is_golden(row, &values);
    }
}

#[test]
fn columns_are_found_by_name_and_bad_rows_cost_no_other() {
    let files = Files::new();
    let text = fs::read_to_string(files.path("rows.csv")).unwrap();
    let turned = |line: &str| {
        let mut fields: Vec<&str> = line.split(',').collect();
        fields.reverse();
        format!("id,{}", fields.join(","))
    };
    let mut lines: Vec<String> = text.lines().take(6).map(turned).collect();
    lines[2] = "1,2,3".to_owned();
    lines[4] = lines[4].replacen(',', ",some", 1);
    fs::write(files.path("rows.csv"), lines.join("\n")).unwrap();
    let output = files.explain(&["--out", "values.json"]);
    assert_eq!(code(&output), 1, "{output:?}");
    let notes = String::from_utf8_lossy(&output.stderr);
    assert!(notes.contains("does not use these columns: id") && notes.contains("2 failed"), "{notes}");
    let rows = json(&files.path("values.json"))["rows"].clone();
    for row in [0, 2, 4] {
        let values: Vec<f64> = serde_json::from_value(rows[row]["values"].clone()).unwrap();
        files.is_golden(row, &values);
    }
    assert!(rows[1]["error"].as_str().unwrap().contains("expected 31 fields"));
    assert!(rows[3]["error"].as_str().unwrap().contains("expected a number"));
}

#[test]
fn what_cannot_be_explained_is_told_and_leaves_the_old_file() {
    let files = Files::new();
    fs::write(files.path("values.csv"), "old").unwrap();
    for (arguments, named) in [
        (&["--out", "values.txt"][..], ".npy"),
        (&["--out", "none/values.csv"], "none"),
        (&["--out", "values.csv", "--memory", "1000"], "memory"),
        (&["--out", "values.csv", "--workers", "0"], "--workers"),
    ] {
        let output = files.explain(arguments);
        assert_eq!(code(&output), 2, "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(named), "{named}: {output:?}");
    }
    for bad in BAD_MODELS {
        fs::write(files.path("model.json"), bad.bytes).unwrap();
        let output = files.explain(&["--out", "values.csv"]);
        assert_eq!(code(&output), 2, "{}: {output:?}", bad.name);
        assert!(String::from_utf8_lossy(&output.stderr).contains(bad.names), "{}: {output:?}", bad.name);
    }
    assert_eq!(fs::read_to_string(files.path("values.csv")).unwrap(), "old");
    let fixture = Fixture::named("breast-cancer-binary").unwrap();
    fs::write(files.path("model.json"), fixture.model).unwrap();
    files.write_rows(&fixture.rows().unwrap().columns, &[]);
    assert_eq!(code(&files.explain(&[])), 4);
    fs::write(files.path("rows.csv"), "a,b\n1,2\n").unwrap();
    assert_eq!(code(&files.explain(&[])), 2);
}

#[test]
fn a_quote_that_is_left_open_does_not_fill_the_memory() {
    let files = Files::new();
    let text = fs::read_to_string(files.path("rows.csv")).unwrap();
    let header = text.lines().next().unwrap();
    fs::write(files.path("rows.csv"), format!("{header}\n\"{}", "1,".repeat(33 << 20))).unwrap();
    let output = files.explain(&[]);
    assert_eq!(code(&output), 2, "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("quote left open"), "{output:?}");
}

/// The rows as a batch: an identifier in text, then the columns in reverse.
fn batch(table: &Table) -> RecordBatch {
    let ids: ArrayRef = Arc::new(StringArray::from_iter_values((0..table.rows.len()).map(|row| row.to_string())));
    let column = |place: usize| -> ArrayRef {
        let value = |row: &Vec<f64>| (!row[place].is_nan()).then_some(row[place]);
        Arc::new(table.rows.iter().map(value).collect::<Float64Array>())
    };
    let columns = (0..table.columns.len()).rev().map(|place| (table.columns[place].as_str(), column(place)));
    RecordBatch::try_from_iter_with_nullable(
        [("id", ids)].into_iter().chain(columns).map(|(name, column)| (name, column, true)),
    )
    .unwrap()
}

/// The rows as an array of 64-bit floats, stored by rows or by columns.
fn npy(table: &Table, by_columns: bool, number: impl Fn(f64) -> Vec<u8>, kind: &str) -> Vec<u8> {
    let (rows, columns) = (table.rows.len(), table.columns.len());
    let order = if by_columns { "True" } else { "False" };
    let header = format!("{{'descr': '{kind}', 'fortran_order': {order}, 'shape': ({rows}, {columns}), }}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(u16::try_from(header.len()).unwrap().to_le_bytes());
    bytes.extend(header.as_bytes());
    let places = (0..rows * columns)
        .map(|place| if by_columns { (place % rows, place / rows) } else { (place / columns, place % columns) });
    for (row, column) in places {
        bytes.extend(number(table.rows[row][column]));
    }
    bytes
}

fn write_rows_in_every_format(files: &Files) -> Vec<&'static str> {
    let table = Fixture::named("breast-cancer-binary").unwrap().rows().unwrap();
    let batch = batch(&table);
    let schema = batch.schema();
    let mut parquet =
        ArrowWriter::try_new(File::create(files.path("rows.parquet")).unwrap(), schema.clone(), None).unwrap();
    parquet.write(&batch).unwrap();
    parquet.close().unwrap();
    let mut file = FileWriter::try_new(File::create(files.path("rows.arrow")).unwrap(), &schema).unwrap();
    file.write(&batch).unwrap();
    file.finish().unwrap();
    let mut stream = StreamWriter::try_new(File::create(files.path("rows.arrows")).unwrap(), &schema).unwrap();
    let half = batch.num_rows() / 2;
    stream.write(&batch.slice(0, half)).unwrap();
    stream.write(&batch.slice(half, batch.num_rows() - half)).unwrap();
    stream.finish().unwrap();
    let little = |number: f64| number.to_le_bytes().to_vec();
    let big = |number: f64| number.to_be_bytes().to_vec();
    fs::write(files.path("rows.npy"), npy(&table, false, little, "<f8")).unwrap();
    fs::write(files.path("columns.npy"), npy(&table, true, big, ">f8")).unwrap();
    vec!["rows.parquet", "rows.arrow", "rows.arrows", "rows.npy", "columns.npy"]
}

#[test]
fn rows_come_from_every_format() {
    let files = Files::new();
    for data in write_rows_in_every_format(&files) {
        let output = files.explain_rows(data, &["--out", "values.json"]);
        assert_eq!(code(&output), 0, "{data}: {output:?}");
        let values = json(&files.path("values.json"));
        assert_eq!(values["rows"].as_array().unwrap().len(), files.golden.rows.len(), "{data}");
        for row in 0..files.golden.rows.len() {
            let values: Vec<f64> = serde_json::from_value(values["rows"][row]["values"].clone()).unwrap();
            files.is_golden(row, &values);
        }
        let is_named = !data.ends_with(".npy");
        let notes = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(notes.contains("does not use these columns: id"), is_named, "{data}: {notes}");
    }
}

#[test]
fn what_is_no_table_of_numbers_is_told() {
    let files = Files::new();
    let table = Fixture::named("breast-cancer-binary").unwrap().rows().unwrap();
    let text: ArrayRef = Arc::new(StringArray::from_iter_values(table.columns.iter().map(|_| "red")));
    let columns = table.columns.iter().map(|name| (name.as_str(), Arc::clone(&text)));
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut parquet =
        ArrowWriter::try_new(File::create(files.path("text")).unwrap(), batch.schema(), None).unwrap();
    parquet.write(&batch).unwrap();
    parquet.close().unwrap();
    let narrow = |number: f64| number.to_le_bytes()[..3].to_vec();
    fs::write(files.path("kind"), npy(&table, false, narrow, "<c16")).unwrap();
    let wide = npy(&table, false, |number| number.to_le_bytes().to_vec(), "<f8");
    fs::write(files.path("cut"), &wide[..wide.len() - 1]).unwrap();
    let claimed = String::from_utf8_lossy(&wide[10..100]).replace(", 30)", ", 3000000000000000000)");
    fs::write(files.path("claims"), [&wide[..10], claimed.as_bytes(), &wide[100..]].concat()).unwrap();
    fs::write(files.path("zip"), b"PK\x03\x04....").unwrap();
    fs::write(files.path("gzip"), [0x1f, 0x8b, 8, 0]).unwrap();
    fs::write(files.path("magic"), b"PAR1").unwrap();
    for (data, named) in [
        ("text", "expected numbers or booleans, found Utf8"),
        ("kind", "expected numbers of 1, 2, 4 or 8 bytes"),
        ("cut", "is it cut off?"),
        ("claims", "expected"),
        ("zip", "zip archive"),
        ("gzip", "compressed by gzip"),
        ("magic", "expected"),
        (".", "a file that can be read"),
    ] {
        let output = files.explain_rows(data, &[]);
        assert_eq!(code(&output), 2, "{data}: {output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(named), "{data}: {output:?}");
    }
}

#[test]
fn broken_files_are_refused_or_read_but_never_panic() {
    let files = Files::new();
    let mut seed = 1_u64;
    let mut random = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).unwrap() % below
    };
    for data in write_rows_in_every_format(&files) {
        let sound = fs::read(files.path(data)).unwrap();
        for number in 0..12 {
            let mut broken = sound.clone();
            if number % 3 == 0 {
                broken.truncate(random(sound.len()));
            }
            // Lengths and types are at the ends, for the most part.
            for _ in 0..3 {
                let within = broken.len().min(400);
                if within > 0 {
                    let place = random(within);
                    let place = if number % 2 == 0 { place } else { broken.len() - 1 - place };
                    broken[place] = u8::try_from(random(256)).unwrap();
                }
            }
            fs::write(files.path("broken"), broken).unwrap();
            let output = files.explain_rows("broken", &[]);
            assert!(matches!(code(&output), 0 | 1 | 2 | 4), "{data}, {number}: {output:?}");
        }
    }
}
