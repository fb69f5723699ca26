//! `proofmark explain` from the outside.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "what a test relies on may fail loudly")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

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
    for name in ["values.csv", "values.json", "values.npy"] {
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
