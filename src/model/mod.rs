//! Models, read from the files that their libraries write.
//!
//! The format is detected from the content, never from the file's name. Files are untrusted: every size is
//! limited, every index checked, and what cannot be represented exactly is refused by name.

pub mod catboost;
mod detect;
mod ensemble;
mod error;
#[cfg(test)]
mod goldens;
pub mod lightgbm;
mod linear;
pub mod linear_json;
mod link;
mod mlflow;
mod network;
#[cfg(feature = "sklearn")]
mod npy;
#[cfg(feature = "onnx")]
pub mod onnx;
#[cfg(feature = "sklearn")]
pub mod sklearn;
mod test;
mod tree;
mod ubjson;
pub mod xgboost;

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use detect::Format;
pub use ensemble::{Missing, TreeEnsemble};
pub use error::ModelError;
pub use linear::LinearModel;
pub use link::Link;
pub use network::{Activation, Layer, Network};
pub use test::{CategorySet, Test};
pub use tree::{Node, Split, Tree};

/// The largest model file that is read, in bytes.
pub const MODEL_BYTES_MAX: u64 = 4 << 30;

/// The most features that a model may have.
pub const FEATURES_MAX: u64 = 1 << 24;

/// The most outputs that a model may have.
pub const OUTPUTS_MAX: u64 = 1 << 16;

/// A model of any supported family.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Model {
    /// An ensemble of decision trees.
    Trees(TreeEnsemble),
    /// A linear model.
    Linear(LinearModel),
    /// A feed-forward network.
    Network(Network),
}

impl Model {
    /// Reads a model from the bytes of its file.
    ///
    /// # Errors
    /// [`ModelError`] when the format is unknown, the content is malformed, or the model uses something that
    /// cannot be represented exactly.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ModelError> {
        match detect::detect(bytes) {
            Some(Format::XgboostJson) => xgboost::from_json(bytes),
            Some(Format::XgboostUbjson) => xgboost::from_ubjson(bytes),
            Some(Format::LightgbmText) => lightgbm::from_text(bytes).map(Self::Trees),
            Some(Format::CatboostJson) => catboost::from_json(bytes).map(Self::Trees),
            Some(Format::LinearJson) => linear_json::from_json(bytes).map(Self::Linear),
            #[cfg(feature = "sklearn")]
            Some(Format::Skops) => sklearn::from_skops(bytes),
            #[cfg(not(feature = "sklearn"))]
            Some(Format::Skops) => Err(ModelError::NotBuilt { format: "skops", feature: "sklearn" }),
            #[cfg(feature = "onnx")]
            Some(Format::Onnx) => onnx::from_protobuf(bytes),
            #[cfg(not(feature = "onnx"))]
            Some(Format::Onnx) => Err(ModelError::NotBuilt { format: "ONNX", feature: "onnx" }),
            None => Err(ModelError::UnknownFormat { beginning: beginning(bytes) }),
        }
    }

    /// Reads a model file of at most [`MODEL_BYTES_MAX`] bytes, or the one that a model directory of MLflow names.
    ///
    /// # Errors
    /// [`ModelError`] when the file cannot be read, or as for [`Model::from_bytes`].
    pub fn from_file(path: &Path) -> Result<Self, ModelError> {
        if path.is_dir() && path.join(mlflow::DESCRIPTION).is_file() {
            let file = mlflow::resolve(path)?;
            // Not another directory: each would lead on.
            return Self::from_plain_file(&file);
        }
        Self::from_plain_file(path)
    }

    fn from_plain_file(path: &Path) -> Result<Self, ModelError> {
        let unreadable = |source| ModelError::Unreadable { path: path.to_owned(), source };
        let file = File::open(path).map_err(unreadable)?;
        let mut bytes = Vec::new();
        // The limit holds for what is read, not for what the file system says: a pipe has no size.
        file.take(MODEL_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() as u64 > MODEL_BYTES_MAX {
            return Err(ModelError::TooLarge {
                what: "model file, in bytes",
                found: bytes.len() as u64,
                limit: MODEL_BYTES_MAX,
            });
        }
        Self::from_bytes(&bytes)
    }

    /// How many features a row must have.
    #[must_use]
    pub fn feature_count(&self) -> usize {
        match self {
            Self::Trees(trees) => trees.feature_count(),
            Self::Linear(linear) => linear.feature_count(),
            Self::Network(network) => network.feature_count(),
        }
    }

    /// The features' names; empty when the file has none.
    #[must_use]
    pub fn feature_names(&self) -> &[String] {
        match self {
            Self::Trees(trees) => trees.feature_names(),
            Self::Linear(linear) => linear.feature_names(),
            Self::Network(network) => network.feature_names(),
        }
    }

    /// How many outputs there are; at least one.
    #[must_use]
    pub fn output_count(&self) -> usize {
        match self {
            Self::Trees(trees) => trees.output_count(),
            Self::Linear(linear) => linear.output_count(),
            Self::Network(network) => network.output_count(),
        }
    }

    /// The raw outputs (before the inverse link) for a row of [`feature_count`](Self::feature_count) values.
    ///
    /// # Panics
    /// When the row has fewer values.
    #[must_use]
    pub fn margins(&self, row: &[f64]) -> Vec<f64> {
        match self {
            Self::Trees(trees) => trees.margins(row),
            Self::Linear(linear) => linear.margins(row),
            Self::Network(network) => network.margins(row),
        }
    }

    /// The margins as the model's library computes them: where it does so in 32-bit floats they are equal to the last
    /// bit, which are in 64-bit floats here.
    ///
    /// # Panics
    /// When the row has fewer values.
    #[must_use]
    pub fn library_margins(&self, row: &[f64]) -> Vec<f64> {
        match self {
            Self::Trees(trees) => trees.library_margins(row),
            Self::Linear(linear) => linear.library_margins(row),
            Self::Network(network) => network.margins(row),
        }
    }

    /// The predictions for a row of [`feature_count`](Self::feature_count) values.
    ///
    /// # Panics
    /// When the row has fewer values.
    #[must_use]
    pub fn predictions(&self, row: &[f64]) -> Vec<f64> {
        match self {
            Self::Trees(trees) => trees.predictions(row),
            Self::Linear(linear) => linear.predictions(row),
            Self::Network(network) => network.predictions(row),
        }
    }
}

/// The first bytes of a file, fit for an error message.
fn beginning(bytes: &[u8]) -> String {
    const SHOWN: usize = 24;
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN)]);
    text.chars().map(|c| if c.is_control() { '.' } else { c }).collect()
}
