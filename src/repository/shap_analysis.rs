//! The contract of a store of SHAP analyses.

use std::collections::HashSet;

use async_trait::async_trait;

use super::{Page, PageRequest, RepositoryError};
use crate::domain::{
    ModelId, NewShapAnalysis, SHAP_BATCH_ROWS_MAX, SHAP_BATCH_VALUES_MAX, ShapAnalysis, ShapAnalysisId,
    ShapStatusCounts, TimeWindow,
};

/// The names of the constraints that errors name.
pub mod shap_constraint {
    /// Unique: what a caller knows an explanation by.
    pub const EXPLANATION: &str = "ml_shap_analyses_explanation_id_key";
    /// Foreign key: the model that was explained.
    pub const MODEL: &str = "ml_shap_analyses_model_id_fkey";
}

/// The lists of analyses, by model.
pub(super) const ANALYSES: &str = "shap analyses";

/// There is no such analysis.
pub(super) fn no_analysis(id: ShapAnalysisId) -> RepositoryError {
    RepositoryError::not_found("shap analysis", id.as_uuid())
}

/// A batch as it is stored; an error says which row is wrong: `analyses[3].base_value`.
pub(super) fn stored_batch(batch: &[NewShapAnalysis]) -> Result<Vec<NewShapAnalysis>, RepositoryError> {
    let too_many = |what: &str, most: usize, found: usize| RepositoryError::Invalid {
        field: "analyses".to_owned(),
        reason: format!("expected at most {most} {what}, found {found}"),
    };
    if batch.len() > SHAP_BATCH_ROWS_MAX {
        return Err(too_many("rows", SHAP_BATCH_ROWS_MAX, batch.len()));
    }
    let values = batch.iter().map(NewShapAnalysis::value_count).sum();
    if values > SHAP_BATCH_VALUES_MAX {
        return Err(too_many("values", SHAP_BATCH_VALUES_MAX, values));
    }
    let stored = |(index, analysis): (usize, &NewShapAnalysis)| {
        analysis.stored().map_err(|invalid| RepositoryError::Invalid {
            field: format!("analyses[{index}].{}", invalid.field),
            reason: invalid.reason,
        })
    };
    batch.iter().enumerate().map(stored).collect()
}

/// Whether two rows of a batch are known by the same name.
pub(super) fn has_twins(batch: &[NewShapAnalysis]) -> bool {
    let mut seen = HashSet::new();
    !batch.iter().filter_map(|analysis| analysis.explanation_id.as_deref()).all(|id| seen.insert(id))
}

/// Explanations that were given, as evidence: appended and never changed.
///
/// An explanation that could not be recorded is an error, whatever else the caller has to do: nothing is dropped in
/// silence. Every method is all or nothing and safe to call concurrently. Values are validated first
/// ([`RepositoryError::Invalid`]); then a taken key is found before a missing reference.
#[async_trait]
pub trait ShapAnalysisRepository: Send + Sync {
    /// Stores an analysis and returns it as it is stored.
    ///
    /// # Errors
    /// [`Invalid`](RepositoryError::Invalid), for numbers that are not finite as well;
    /// [`Conflict`](RepositoryError::Conflict) when there is an explanation with this id;
    /// [`MissingReference`](RepositoryError::MissingReference) when the model is not registered.
    async fn record(&self, new: NewShapAnalysis) -> Result<ShapAnalysis, RepositoryError>;

    /// Stores the rows of a batch, each explained or failed, and returns them in the same order: all of them or none.
    /// Up to [`SHAP_BATCH_ROWS_MAX`] rows and [`SHAP_BATCH_VALUES_MAX`] values.
    ///
    /// # Errors
    /// As for [`record`](Self::record); what is invalid is named with its row.
    async fn record_batch(&self, batch: &[NewShapAnalysis]) -> Result<Vec<ShapAnalysis>, RepositoryError>;

    /// The analysis with this identifier.
    ///
    /// # Errors
    /// [`NotFound`](RepositoryError::NotFound).
    async fn find(&self, id: ShapAnalysisId) -> Result<ShapAnalysis, RepositoryError>;

    /// The analysis that a caller knows by exactly this id; none is no error.
    ///
    /// # Errors
    /// [`Invalid`](RepositoryError::Invalid) when no analysis can have it.
    async fn find_by_explanation(&self, explanation_id: &str) -> Result<Option<ShapAnalysis>, RepositoryError>;

    /// One page of the analyses of a model, the latest first, in a total order; those of a model that nobody knows are
    /// none.
    ///
    /// # Errors
    /// [`Invalid`](RepositoryError::Invalid) for a limit that is out of range;
    /// [`InvalidCursor`](RepositoryError::InvalidCursor).
    async fn list(&self, model: ModelId, request: PageRequest) -> Result<Page<ShapAnalysis>, RepositoryError>;

    /// The latest global analysis of a model that was explained; none is no error.
    ///
    /// # Errors
    /// When the store is unavailable.
    async fn latest_global(&self, model: ModelId) -> Result<Option<ShapAnalysis>, RepositoryError>;

    /// How many analyses of a model within a span of time were explained, and how many failed.
    ///
    /// # Errors
    /// When the store is unavailable.
    async fn count(&self, model: ModelId, window: TimeWindow) -> Result<ShapStatusCounts, RepositoryError>;
}
