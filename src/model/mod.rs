//! Models, read from the files that their libraries write.
//!
//! The format is detected from the content, never from the file's name. Files are untrusted: every size is
//! limited, every index checked, and what cannot be represented exactly is refused by name.

#[allow(dead_code, reason = "the loaders of further formats use the rest")]
mod ensemble;
mod error;
mod link;
#[allow(dead_code, reason = "the loaders of further formats use the rest")]
mod test;
#[allow(dead_code, reason = "the loaders of further formats use the rest")]
mod tree;
pub mod xgboost;

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

pub use ensemble::{Missing, TreeEnsemble};
pub use error::ModelError;
pub use link::Link;
pub use test::{CategorySet, Test};
pub use tree::{Node, Split, Tree};

/// The largest model file that is read, in bytes.
pub const MODEL_BYTES_MAX: u64 = 4 << 30;

/// A model of any supported family.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Model {
    /// An ensemble of decision trees.
    Trees(TreeEnsemble),
}

impl Model {
    /// Reads a model from the bytes of its file.
    ///
    /// # Errors
    /// [`ModelError`] when the format is unknown, the content is malformed, or the model uses something that
    /// cannot be represented exactly.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ModelError> {
        let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
        match first {
            Some(b'{') => xgboost::from_json(bytes).map(Self::Trees),
            _ => Err(ModelError::UnknownFormat { beginning: beginning(bytes) }),
        }
    }

    /// Reads a model file of at most [`MODEL_BYTES_MAX`] bytes.
    ///
    /// # Errors
    /// [`ModelError`] when the file cannot be read, or as for [`Model::from_bytes`].
    pub fn from_file(path: &Path) -> Result<Self, ModelError> {
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
        }
    }

    /// The features' names; empty when the file has none.
    #[must_use]
    pub fn feature_names(&self) -> &[String] {
        match self {
            Self::Trees(trees) => trees.feature_names(),
        }
    }

    /// How many outputs there are; at least one.
    #[must_use]
    pub fn output_count(&self) -> usize {
        match self {
            Self::Trees(trees) => trees.output_count(),
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
        }
    }
}

/// The first bytes of a file, fit for an error message.
fn beginning(bytes: &[u8]) -> String {
    const SHOWN: usize = 24;
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN)]);
    text.chars().map(|c| if c.is_control() { '.' } else { c }).collect()
}
