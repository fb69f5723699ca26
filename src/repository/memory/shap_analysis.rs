//! SHAP analyses.

use std::cmp::Reverse;
use std::collections::HashMap;

use async_trait::async_trait;

use super::{MemoryStore, Tables, now};
use crate::domain::{
    AnalysisStatus, AnalysisType, ModelId, NewShapAnalysis, ShapAnalysis, ShapAnalysisId, ShapStatusCounts,
    TimeWindow, validate_explanation_id,
};
use crate::repository::cursor::{List, Moment, before_newest};
use crate::repository::page::validate_limit;
use crate::repository::shap_analysis::{
    ANALYSES, has_twins, no_analysis, shap_constraint as constraint, stored_batch,
};
use crate::repository::{Page, PageRequest, RepositoryError, ShapAnalysisRepository};

/// SHAP analyses in memory.
#[derive(Debug, Clone, Default)]
pub struct MemoryShapAnalysisRepository {
    store: MemoryStore,
}

/// The rows of the table.
#[derive(Debug, Default)]
pub(super) struct Rows {
    analyses: HashMap<ShapAnalysisId, ShapAnalysis>,
}

impl From<&MemoryStore> for MemoryShapAnalysisRepository {
    fn from(store: &MemoryStore) -> Self {
        Self { store: store.clone() }
    }
}

impl MemoryShapAnalysisRepository {
    /// Makes a model known, so that analyses can refer to it.
    pub fn add_model(&self, id: ModelId) {
        self.store.tables().models.add(id);
    }
}

fn key(analysis: &ShapAnalysis) -> Moment {
    (analysis.computed_at, analysis.id.as_uuid())
}

impl Rows {
    fn by_explanation(&self, explanation_id: &str) -> Option<&ShapAnalysis> {
        self.analyses.values().find(|row| row.analysis.explanation_id.as_deref() == Some(explanation_id))
    }

    /// The analyses of a model, the latest first.
    fn latest_first(&self, model: ModelId) -> Vec<&ShapAnalysis> {
        let mut analyses: Vec<_> = self.analyses.values().filter(|row| row.analysis.model_id == model).collect();
        analyses.sort_by_key(|row| Reverse(key(row)));
        analyses
    }
}

impl Tables {
    fn append_analyses(&mut self, batch: Vec<NewShapAnalysis>) -> Result<Vec<ShapAnalysis>, RepositoryError> {
        let is_taken = |analysis: &NewShapAnalysis| {
            analysis.explanation_id.as_deref().is_some_and(|id| self.shap_analyses.by_explanation(id).is_some())
        };
        if has_twins(&batch) || batch.iter().any(is_taken) {
            return Err(RepositoryError::conflict(constraint::EXPLANATION));
        }
        if !batch.iter().all(|analysis| self.models.contains(analysis.model_id)) {
            return Err(RepositoryError::missing(constraint::MODEL));
        }
        let now = now();
        let rows = batch.into_iter().map(|analysis| {
            let computed_at = analysis.computed_at.unwrap_or(now);
            let analysis = NewShapAnalysis { computed_at: Some(computed_at), ..analysis };
            ShapAnalysis { id: ShapAnalysisId::random(), computed_at, analysis }
        });
        let rows: Vec<_> = rows.collect();
        self.shap_analyses.analyses.extend(rows.iter().map(|row| (row.id, row.clone())));
        Ok(rows)
    }
}

#[async_trait]
impl ShapAnalysisRepository for MemoryShapAnalysisRepository {
    async fn record(&self, new: NewShapAnalysis) -> Result<ShapAnalysis, RepositoryError> {
        let appended = self.store.tables().append_analyses(vec![new.stored()?])?;
        appended
            .into_iter()
            .next()
            .ok_or_else(|| RepositoryError::Unexpected { source: "nothing appended".into() })
    }

    async fn record_batch(&self, batch: &[NewShapAnalysis]) -> Result<Vec<ShapAnalysis>, RepositoryError> {
        self.store.tables().append_analyses(stored_batch(batch)?)
    }

    async fn find(&self, id: ShapAnalysisId) -> Result<ShapAnalysis, RepositoryError> {
        self.store.tables().shap_analyses.analyses.get(&id).cloned().ok_or_else(|| no_analysis(id))
    }

    async fn find_by_explanation(&self, explanation_id: &str) -> Result<Option<ShapAnalysis>, RepositoryError> {
        validate_explanation_id(explanation_id)?;
        Ok(self.store.tables().shap_analyses.by_explanation(explanation_id).cloned())
    }

    async fn list(&self, model: ModelId, request: PageRequest) -> Result<Page<ShapAnalysis>, RepositoryError> {
        let limit = validate_limit(request.limit)?;
        let filter = [&*model.to_string()];
        let list = List::filtered(ANALYSES, &filter);
        let after = self.store.cursors.after(&list, &request, before_newest())?;
        let tables = self.store.tables();
        let rows = tables.shap_analyses.latest_first(model).into_iter();
        let rows = rows.filter(|row| key(row) < after).cloned().collect();
        Page::of(rows, limit, |last| self.store.cursors.cursor(&list, &key(last)))
    }

    async fn latest_global(&self, model: ModelId) -> Result<Option<ShapAnalysis>, RepositoryError> {
        let tables = self.store.tables();
        let is_one = |row: &&ShapAnalysis| {
            row.analysis.analysis_type == AnalysisType::Global
                && row.analysis.outcome.status() == AnalysisStatus::Explained
        };
        Ok(tables.shap_analyses.latest_first(model).into_iter().find(is_one).cloned())
    }

    async fn count(&self, model: ModelId, window: TimeWindow) -> Result<ShapStatusCounts, RepositoryError> {
        let tables = self.store.tables();
        let mut counts = ShapStatusCounts::default();
        let rows = tables.shap_analyses.latest_first(model).into_iter();
        for row in rows.filter(|row| window.contains(row.computed_at)) {
            match row.analysis.outcome.status() {
                AnalysisStatus::Explained => counts.explained += 1,
                AnalysisStatus::Failed => counts.failed += 1,
            }
        }
        Ok(counts)
    }
}
