//! Models trained on real data, with what other libraries say about them. Made by `harness/fixtures/generate.sh`;
//! `harness/fixtures/README.md` tells where everything comes from.

mod models;

use serde::Deserialize;

pub use models::{MODEL_FIXTURES, ModelFixture, ModelGolden};

/// A model with rows and golden values, embedded in the binary.
#[derive(Debug, Clone, Copy)]
pub struct Fixture {
    /// The name of its folder.
    pub name: &'static str,
    /// The model file.
    pub model: &'static [u8],
    meta: &'static str,
    rows: &'static str,
    margins: &'static str,
    xgboost: &'static str,
    shap: &'static str,
}

/// What is known of a fixture's making.
#[derive(Debug, Clone, Deserialize)]
pub struct Meta {
    /// The library's version that trained it.
    pub version: String,
    /// Features that no tree uses.
    pub unused_features: Vec<String>,
    /// Whether the library's own contributions are right; releases since 3.3 integrate with a fixed number of
    /// points, which is inexact on long paths.
    pub xgboost_golden_exact: bool,
}

/// Values of some rows, in columns with names.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// The columns' names.
    pub columns: Vec<String>,
    /// The rows; an empty field is NaN.
    pub rows: Vec<Vec<f64>>,
}

/// A fixture is damaged: a defect of this package, never of a subject.
#[derive(Debug, thiserror::Error)]
#[error("fixture {fixture}, {file}: {message}")]
pub struct FixtureError {
    fixture: &'static str,
    file: &'static str,
    message: String,
}

macro_rules! fixture {
    ($name:literal) => {
        Fixture {
            name: $name,
            model: include_bytes!(concat!("../fixtures/explanations/", $name, "/model.json")),
            meta: include_str!(concat!("../fixtures/explanations/", $name, "/fixture.json")),
            rows: include_str!(concat!("../fixtures/explanations/", $name, "/rows.csv")),
            margins: include_str!(concat!("../fixtures/explanations/", $name, "/margins.csv")),
            xgboost: include_str!(concat!("../fixtures/explanations/", $name, "/contributions.xgboost.csv")),
            shap: include_str!(concat!("../fixtures/explanations/", $name, "/contributions.shap.csv")),
        }
    };
}

/// Every fixture.
pub const FIXTURES: &[Fixture] = &[
    fixture!("diabetes-regression"),
    fixture!("diabetes-regression-xgboost2"),
    fixture!("diabetes-forest"),
    fixture!("diabetes-stumps"),
    fixture!("breast-cancer-binary"),
    fixture!("breast-cancer-binary-xgboost2"),
    fixture!("digits-binary"),
    fixture!("digits-deep"),
    fixture!("digits-deep-xgboost2"),
    fixture!("digits-chain"),
    fixture!("digits-chain-xgboost2"),
    fixture!("diabetes-pruned"),
    fixture!("single-leaf"),
];

/// A file that is no usable model, and a word that the refusal must have in it.
#[derive(Debug, Clone, Copy)]
pub struct BadModel {
    /// The name of its file.
    pub name: &'static str,
    /// The content.
    pub bytes: &'static [u8],
    /// What the error must name.
    pub names: &'static str,
}

macro_rules! bad_model {
    ($name:literal, $names:literal) => {
        BadModel { name: $name, bytes: include_bytes!(concat!("../fixtures/bad-models/", $name)), names: $names }
    };
}

/// Files that must be refused.
pub const BAD_MODELS: &[BadModel] = &[
    bad_model!("truncated.json", "truncated"),
    bad_model!("not-json.json", "format"),
    bad_model!("pickle.pkl", "format"),
    bad_model!("empty-object.json", "learner"),
    bad_model!("../models/lightgbm-linear-trees/model.txt", "linear_tree"),
    bad_model!("../models/catboost-ctr/model.json", "OnlineCtr"),
    bad_model!("cyclic.json", "cycle"),
    bad_model!("shared-child.json", "shared child"),
    bad_model!("out-of-range-child.json", "children"),
    bad_model!("out-of-range-feature.json", "feature index"),
    bad_model!("nan-threshold.json", "NaN"),
    bad_model!("nan-threshold-string.json", "f32"),
    bad_model!("negative-cover.json", "cover"),
    bad_model!("ragged-arrays.json", "entries"),
    bad_model!("huge-num-nodes.json", "num_nodes"),
];

impl Fixture {
    /// The fixture of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        FIXTURES.iter().find(|fixture| fixture.name == name)
    }

    /// What is known of its making.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn meta(&self) -> Result<Meta, FixtureError> {
        serde_json::from_str(self.meta).map_err(|error| self.damaged("fixture.json", error))
    }

    /// The rows to be explained.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn rows(&self) -> Result<Table, FixtureError> {
        self.table("rows.csv", self.rows)
    }

    /// The margin of each row as the model's library computes it, in 32-bit floats.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn margins(&self) -> Result<Vec<f64>, FixtureError> {
        let table = self.table("margins.csv", self.margins)?;
        Ok(table.rows.into_iter().flatten().collect())
    }

    /// The contributions that the model's library finds itself, in 32-bit floats; the last column is the base value.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn xgboost_contributions(&self) -> Result<Table, FixtureError> {
        self.table("contributions.xgboost.csv", self.xgboost)
    }

    /// The contributions that the shap package finds; the last column is the base value.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn shap_contributions(&self) -> Result<Table, FixtureError> {
        self.table("contributions.shap.csv", self.shap)
    }

    fn table(&self, file: &'static str, text: &str) -> Result<Table, FixtureError> {
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let header = reader.headers().map_err(|error| self.damaged(file, error))?;
        let columns = header.iter().map(str::to_owned).collect();
        let mut rows = Vec::new();
        for record in reader.records() {
            let record = record.map_err(|error| self.damaged(file, error))?;
            let row = record.iter().map(|field| if field.is_empty() { Ok(f64::NAN) } else { field.parse() });
            rows.push(row.collect::<Result<_, _>>().map_err(|error| self.damaged(file, error))?);
        }
        Ok(Table { columns, rows })
    }

    fn damaged(&self, file: &'static str, error: impl std::fmt::Display) -> FixtureError {
        FixtureError { fixture: self.name, file, message: error.to_string() }
    }
}
