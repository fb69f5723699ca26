//! Explanations of predictions: SHAP values, one `Result` per row.
//!
//! An [`Explainer`] takes a [`Batch`] of rows and a [`Budget`], and returns an [`Explanation`]. A row that cannot
//! be explained is an error in its place; the others are not affected by it.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let json = proofmark::explain::EXAMPLE_MODEL;
//! use proofmark::explain::{Batch, Budget, Explainer, TreeExplainer};
//! use proofmark::model::Model;
//!
//! let Model::Trees(trees) = Model::from_bytes(json.as_bytes())? else { return Ok(()) };
//! let explanation = TreeExplainer::new(trees)?.explain(&Batch::from_rows([[0.5, f64::NAN]]), &Budget::default())?;
//! for row in explanation.rows() {
//!     let row = row.as_ref().map_err(Clone::clone)?;
//!     println!("{} = {} + {:?}", row.output(), explanation.base_value(), row.values());
//! }
//! # Ok(())
//! # }
//! ```

mod agnostic;
mod batch;
mod explanation;
mod pool;
mod summary;
mod tree;

use std::num::NonZeroUsize;
use std::time::Duration;

pub use agnostic::{AgnosticExplainer, EXACT_FEATURES_MAX, Predictor, Sampling};
pub use batch::Batch;
pub use explanation::{Attribution, Explanation};
pub use summary::Summary;
pub use tree::{InstructionSet, InterventionalTreeExplainer, Precision, TreeExplainer, TreeOptions};

/// Something that explains the rows of a batch.
pub trait Explainer: Send + Sync {
    /// What it can do; known without running it.
    fn capabilities(&self) -> Capabilities;

    /// How many features a row must have.
    fn feature_count(&self) -> usize;

    /// Explains a batch within a budget.
    ///
    /// # Errors
    /// [`ExplainError`] when the whole batch cannot be explained; what concerns one row only is in its place in
    /// the [`Explanation`].
    fn explain(&self, batch: &Batch, budget: &Budget) -> Result<Explanation, ExplainError>;
}

/// What an explainer can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// Stops when the budget's time is used up.
    pub time_limit: bool,
    /// Uses as many workers as the budget says.
    pub workers: bool,
    /// Reports failures row by row.
    pub partial_failure: bool,
}

/// What an explanation may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// The threads that compute, the calling one included.
    pub workers: NonZeroUsize,
    /// The memory for the result and for working space, in bytes, estimated before the work begins. The limit is
    /// co-operative: a hard one is the operating system's.
    pub memory_bytes: u64,
    /// The time until rows that are not finished are given up.
    pub time_limit: Duration,
}

impl Default for Budget {
    /// One worker, 1 GiB, an hour.
    fn default() -> Self {
        Self { workers: NonZeroUsize::MIN, memory_bytes: 1 << 30, time_limit: Duration::from_secs(3600) }
    }
}

/// Why one row was not explained.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RowError {
    /// The row has another number of values than the model has features.
    #[error("expected {expected} values, one for each feature, found {found}")]
    Width {
        /// The number of features.
        expected: usize,
        /// The number of values.
        found: usize,
    },
    /// The batch's time was used up before the row was finished.
    #[error("the time limit of {limit:?} was reached before the row was explained; raise it or send fewer rows")]
    TimeLimit {
        /// The limit.
        limit: Duration,
    },
    /// The explainer gave another reason.
    #[error("{0}")]
    Other(String),
}

/// Why a batch was not explained.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExplainError {
    /// The budget's memory does not suffice.
    #[error(
        "expected a memory budget of at least {needed} bytes for {rows} rows, found {budget}; raise it or send fewer rows"
    )]
    Memory {
        /// What is needed, in bytes.
        needed: u64,
        /// What there is, in bytes.
        budget: u64,
        /// The size of the batch.
        rows: usize,
    },
    /// The model is too large to be explained.
    #[error("the model, prepared, takes more than {limit} bytes: expected fewer or shallower trees")]
    ModelTooLarge {
        /// The most bytes.
        limit: usize,
    },
    /// A tree is too deep to be explained.
    #[error("expected trees of at most {limit} splits on a path, found a deeper one")]
    TooDeep {
        /// The most splits.
        limit: usize,
    },
    /// There are too many features: on a path, for interventional values, or in all, for exact ones.
    #[error("expected at most {limit} features together, found {found}: use another method")]
    TooManyFeatures {
        /// The most features.
        limit: usize,
        /// The features that there are.
        found: usize,
    },
    /// The background cannot be used.
    #[error("expected at least one background row, each of {expected} values, found {found}")]
    Background {
        /// The number of features.
        expected: usize,
        /// What there is.
        found: String,
    },
    /// The model's nodes have no covers.
    #[error(
        "expected a model whose nodes have covers, found one without: give background rows, or another format"
    )]
    NoCovers,
    /// The explainer gave another reason.
    #[error("{0}")]
    Other(String),
}

/// A model of two features, for examples.
#[doc(hidden)]
pub const EXAMPLE_MODEL: &str = r#"{"learner": {"feature_names": [], "gradient_booster": {"name": "gbtree", "model": {"trees": [{
  "left_children": [1, -1, -1], "right_children": [2, -1, -1], "split_indices": [0, 0, 0],
  "split_conditions": [0.25, -1, 2], "default_left": [1, 0, 0], "sum_hessian": [4, 1, 3],
  "tree_param": {"num_nodes": "3", "size_leaf_vector": "1"}}]}},
  "learner_model_param": {"base_score": "5E-1", "num_class": "0", "num_feature": "2", "num_target": "1"},
  "objective": {"name": "reg:squarederror"}}}"#;
