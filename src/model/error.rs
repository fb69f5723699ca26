//! Why a model file was refused.

use std::path::PathBuf;

/// A model file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The file cannot be read.
    #[error("cannot read the model file {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The content is of no known format.
    #[error(
        "unknown model format: expected XGBoost JSON (`Booster.save_model(\"model.json\")`), \
         found a file that begins with {beginning:?}"
    )]
    UnknownFormat {
        /// The first bytes.
        beginning: String,
    },
    /// The content is not JSON, or ends too early.
    #[error(
        "the model file is not valid JSON: {message}; the file may be truncated, or hold NaN or Infinity, \
         which JSON does not have"
    )]
    NotJson {
        /// What the parser says, with line and column.
        message: String,
    },
    /// The content is JSON of another layout.
    #[error("the model file is JSON, but not a model that XGBoost writes: {message}")]
    Layout {
        /// What the parser says, with line and column.
        message: String,
    },
    /// A value is impossible.
    #[error("{place}: expected {expected}, found {found}; the model file is damaged")]
    Invalid {
        /// Where in the file.
        place: String,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// The model is sound, but uses something that is not supported.
    #[error("unsupported {what}: expected {supported}, found {found}")]
    Unsupported {
        /// The property of the model.
        what: &'static str,
        /// What is there.
        found: String,
        /// What could be there.
        supported: &'static str,
    },
    /// A limit is exceeded.
    #[error("{what}: expected at most {limit}, found {found}")]
    TooLarge {
        /// What is limited, with its unit.
        what: &'static str,
        /// How much there is.
        found: u64,
        /// How much there may be.
        limit: u64,
    },
    /// The model has not as many iterations as were asked for.
    #[error(
        "expected a model of at least {wanted} iterations, found {found}; none means that they cannot be told apart"
    )]
    Iterations {
        /// How many were asked for.
        wanted: usize,
        /// How many there are.
        found: usize,
    },
}

impl ModelError {
    /// An impossible value.
    pub(super) fn invalid(
        place: impl Into<String>,
        expected: impl Into<String>,
        found: impl std::fmt::Display,
    ) -> Self {
        Self::Invalid { place: place.into(), expected: expected.into(), found: found.to_string() }
    }
}
