//! `ml_shap_analyses`.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::read::{Reader, integer};
use super::statement::statements;
use super::{Statement, Store};
use crate::domain::{
    AnalysisStatus, AnalysisType, ModelId, NewShapAnalysis, ShapAnalysis, ShapAnalysisId, ShapOutcome,
    ShapStatusCounts, TimeWindow, validate_explanation_id,
};
use crate::repository::cursor::{List, before_newest};
use crate::repository::page::validate_limit;
use crate::repository::shap_analysis::{ANALYSES, no_analysis, stored_batch};
use crate::repository::{Page, PageRequest, RepositoryError, ShapAnalysisRepository};

/// The SHAP analyses of one database. Clones share its pool.
#[derive(Debug, Clone)]
pub struct PostgresShapAnalysisRepository {
    store: Store,
}

impl PostgresShapAnalysisRepository {
    /// Every statement that it can send.
    pub const STATEMENTS: &'static [Statement] = STATEMENTS;

    /// A repository on a database to which [`MIGRATOR`](super::MIGRATOR) was applied.
    #[must_use]
    pub fn new(store: impl Into<Store>) -> Self {
        Self { store: store.into() }
    }

    async fn append(&self, batch: &[NewShapAnalysis]) -> Result<Vec<ShapAnalysis>, RepositoryError> {
        let ids: Vec<_> = batch.iter().map(|_| Uuid::new_v4()).collect();
        let columns = Columns::of(batch)?;
        let rows = sqlx::query(APPEND.sql)
            .bind(&ids)
            .bind(&columns.model_id)
            .bind(&columns.analysis_type)
            .bind(&columns.segment)
            .bind(&columns.global_importance)
            .bind(&columns.local_shap_values)
            .bind(&columns.prediction_value)
            .bind(&columns.base_value)
            .bind(&columns.computation_method)
            .bind(&columns.computed_at)
            .bind(&columns.duration_seconds)
            .bind(&columns.explanation_id)
            .bind(&columns.entity_id)
            .bind(&columns.response_time_ms)
            .bind(&columns.top_k)
            .bind(&columns.status)
            .bind(&columns.error_message)
            .fetch_all(self.store.pool())
            .await?;
        if rows.len() != batch.len() {
            let found = format!("{} of {} rows were stored", rows.len(), batch.len());
            return Err(RepositoryError::Unexpected { source: found.into() });
        }
        // RETURNING has no order of its own.
        let mut computed_at = std::collections::HashMap::with_capacity(rows.len());
        for row in &rows {
            computed_at.insert(row.try_get::<Uuid, _>("id")?, row.try_get::<DateTime<Utc>, _>("computed_at")?);
        }
        let analysis = |(id, analysis): (Uuid, &NewShapAnalysis)| {
            let computed_at = *computed_at
                .get(&id)
                .ok_or_else(|| RepositoryError::Unexpected { source: "a row has another id".into() })?;
            let analysis = NewShapAnalysis { computed_at: Some(computed_at), ..analysis.clone() };
            Ok(ShapAnalysis { id: id.into(), computed_at, analysis })
        };
        ids.into_iter().zip(batch).map(analysis).collect()
    }
}

/// A batch by its columns: one parameter each, however many rows there are.
#[derive(Debug, Default)]
struct Columns<'a> {
    model_id: Vec<Uuid>,
    analysis_type: Vec<&'static str>,
    segment: Vec<Option<&'a str>>,
    global_importance: Vec<Option<String>>,
    local_shap_values: Vec<Option<String>>,
    prediction_value: Vec<Option<f64>>,
    base_value: Vec<Option<f64>>,
    computation_method: Vec<Option<&'a str>>,
    computed_at: Vec<Option<DateTime<Utc>>>,
    duration_seconds: Vec<Option<f64>>,
    explanation_id: Vec<Option<&'a str>>,
    entity_id: Vec<Option<&'a str>>,
    response_time_ms: Vec<Option<f64>>,
    top_k: Vec<Option<i32>>,
    status: Vec<&'static str>,
    error_message: Vec<Option<&'a str>>,
}

impl<'a> Columns<'a> {
    fn of(batch: &'a [NewShapAnalysis]) -> Result<Self, RepositoryError> {
        let mut columns = Self::default();
        for analysis in batch {
            columns.model_id.push(analysis.model_id.as_uuid());
            columns.analysis_type.push(analysis.analysis_type.as_str());
            columns.segment.push(analysis.segment.as_deref());
            columns.computation_method.push(analysis.computation_method.as_deref());
            columns.computed_at.push(analysis.computed_at);
            columns.duration_seconds.push(analysis.duration_seconds);
            columns.explanation_id.push(analysis.explanation_id.as_deref());
            columns.entity_id.push(analysis.entity_id.as_deref());
            columns.response_time_ms.push(analysis.response_time_ms);
            columns.top_k.push(analysis.top_k.map(integer));
            columns.status.push(analysis.outcome.status().as_str());
            let (mut importance, mut values, mut prediction, mut base, mut error) = (None, None, None, None, None);
            match &analysis.outcome {
                ShapOutcome::Importance(found) => importance = Some(json(found)?),
                ShapOutcome::Local { shap_values, base_value, prediction_value } => {
                    (values, base, prediction) = (Some(json(shap_values)?), Some(*base_value), *prediction_value);
                }
                ShapOutcome::Failed(reason) => error = Some(reason.as_str()),
            }
            columns.global_importance.push(importance);
            columns.local_shap_values.push(values);
            columns.prediction_value.push(prediction);
            columns.base_value.push(base);
            columns.error_message.push(error);
        }
        Ok(columns)
    }
}

/// The numbers as JSON; they are finite.
fn json(values: &std::collections::BTreeMap<String, f64>) -> Result<String, RepositoryError> {
    serde_json::to_string(values).map_err(|error| RepositoryError::Unexpected { source: error.into() })
}

/// The columns that [`analysis`] reads.
macro_rules! columns {
    () => {
        "id, model_id, analysis_type, segment, global_importance::text AS global_importance, \
         local_shap_values::text AS local_shap_values, prediction_value, base_value, computation_method, \
         computed_at, duration_seconds, explanation_id, entity_id, response_time_ms, top_k, status, error_message"
    };
}

statements! {
    APPEND(5) =
        "INSERT INTO ml_shap_analyses \
             (id, model_id, analysis_type, segment, global_importance, local_shap_values, prediction_value, \
              base_value, computation_method, computed_at, duration_seconds, explanation_id, entity_id, \
              response_time_ms, top_k, status, error_message) \
         SELECT id, model_id, analysis_type, segment, global_importance::jsonb, local_shap_values::jsonb, \
                prediction_value, base_value, computation_method, coalesce(computed_at, now()), \
                duration_seconds, explanation_id, entity_id, response_time_ms, top_k, status, error_message \
         FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::float8[], \
                     $8::float8[], $9::text[], $10::timestamptz[], $11::float8[], $12::text[], $13::text[], \
                     $14::float8[], $15::integer[], $16::text[], $17::text[]) \
              AS new (id, model_id, analysis_type, segment, global_importance, local_shap_values, \
                      prediction_value, base_value, computation_method, computed_at, duration_seconds, \
                      explanation_id, entity_id, response_time_ms, top_k, status, error_message) \
         RETURNING id, computed_at";

    FIND(5) = concat!("SELECT ", columns!(), " FROM ml_shap_analyses WHERE id = $1");

    FIND_BY_EXPLANATION(5) = concat!("SELECT ", columns!(), " FROM ml_shap_analyses WHERE explanation_id = $1");

    LIST(5) = concat!(
        "SELECT ",
        columns!(),
        " FROM ml_shap_analyses WHERE model_id = $1 AND (computed_at, id) < ($2, $3) \
         ORDER BY computed_at DESC, id DESC LIMIT $4"
    );

    LATEST_GLOBAL(5) = concat!(
        "SELECT ",
        columns!(),
        " FROM ml_shap_analyses WHERE model_id = $1 AND analysis_type = 'global' AND status = 'explained' \
         ORDER BY computed_at DESC, id DESC LIMIT 1"
    );

    COUNT(5) =
        "SELECT count(*) FILTER (WHERE status = 'explained') AS explained, \
                count(*) FILTER (WHERE status = 'failed') AS failed \
         FROM ml_shap_analyses WHERE model_id = $1 AND computed_at >= $2 AND computed_at < $3";
}

#[async_trait]
impl ShapAnalysisRepository for PostgresShapAnalysisRepository {
    async fn record(&self, new: NewShapAnalysis) -> Result<ShapAnalysis, RepositoryError> {
        let appended = self.append(&[new.stored()?]).await?;
        appended
            .into_iter()
            .next()
            .ok_or_else(|| RepositoryError::Unexpected { source: "nothing appended".into() })
    }

    async fn record_batch(&self, batch: &[NewShapAnalysis]) -> Result<Vec<ShapAnalysis>, RepositoryError> {
        let batch = stored_batch(batch)?;
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        self.store.retry(|| self.append(&batch)).await
    }

    async fn find(&self, id: ShapAnalysisId) -> Result<ShapAnalysis, RepositoryError> {
        let row = sqlx::query(FIND.sql).bind(id.as_uuid()).fetch_optional(self.store.pool()).await?;
        analysis(&row.ok_or_else(|| no_analysis(id))?)
    }

    async fn find_by_explanation(&self, explanation_id: &str) -> Result<Option<ShapAnalysis>, RepositoryError> {
        validate_explanation_id(explanation_id)?;
        let row =
            sqlx::query(FIND_BY_EXPLANATION.sql).bind(explanation_id).fetch_optional(self.store.pool()).await?;
        row.as_ref().map(analysis).transpose()
    }

    async fn list(&self, model: ModelId, request: PageRequest) -> Result<Page<ShapAnalysis>, RepositoryError> {
        let limit = validate_limit(request.limit)?;
        let filter = [&*model.to_string()];
        let list = List::filtered(ANALYSES, &filter);
        let (computed_at, after) = self.store.cursors().after(&list, &request, before_newest())?;
        let rows = sqlx::query(LIST.sql)
            .bind(model.as_uuid())
            .bind(computed_at)
            .bind(after)
            .bind(i64::from(limit) + 1)
            .fetch_all(self.store.pool())
            .await?;
        let rows = rows.iter().map(analysis).collect::<Result<Vec<_>, _>>()?;
        Page::of(rows, limit, |last| self.store.cursors().cursor(&list, &(last.computed_at, last.id.as_uuid())))
    }

    async fn latest_global(&self, model: ModelId) -> Result<Option<ShapAnalysis>, RepositoryError> {
        let row = sqlx::query(LATEST_GLOBAL.sql).bind(model.as_uuid()).fetch_optional(self.store.pool()).await?;
        row.as_ref().map(analysis).transpose()
    }

    async fn count(&self, model: ModelId, window: TimeWindow) -> Result<ShapStatusCounts, RepositoryError> {
        let row = sqlx::query(COUNT.sql)
            .bind(model.as_uuid())
            .bind(window.from())
            .bind(window.until())
            .fetch_one(self.store.pool())
            .await?;
        let count = |column| -> Result<u64, RepositoryError> {
            Ok(u64::try_from(row.try_get::<i64, _>(column)?).unwrap_or_default())
        };
        Ok(ShapStatusCounts { explained: count("explained")?, failed: count("failed")? })
    }
}

fn analysis(row: &PgRow) -> Result<ShapAnalysis, RepositoryError> {
    let row = Reader::new("shap analysis", row)?;
    let analysis_type: AnalysisType = row.parse("analysis_type")?;
    let outcome = match (row.parse("status")?, analysis_type) {
        (AnalysisStatus::Failed, _) => ShapOutcome::Failed(row.get("error_message")?),
        (AnalysisStatus::Explained, AnalysisType::Local | AnalysisType::LocalRealtime) => ShapOutcome::Local {
            shap_values: row.numbers("local_shap_values")?,
            base_value: row.get("base_value")?,
            prediction_value: row.get("prediction_value")?,
        },
        (AnalysisStatus::Explained, AnalysisType::Global | AnalysisType::Segment) => {
            ShapOutcome::Importance(row.numbers("global_importance")?)
        }
    };
    let computed_at = row.get("computed_at")?;
    let analysis = NewShapAnalysis {
        model_id: row.reference("model_id")?,
        analysis_type,
        segment: row.get("segment")?,
        outcome,
        computation_method: row.get("computation_method")?,
        computed_at: Some(computed_at),
        duration_seconds: row.get("duration_seconds")?,
        explanation_id: row.get("explanation_id")?,
        entity_id: row.get("entity_id")?,
        response_time_ms: row.get("response_time_ms")?,
        top_k: row.optional_count("top_k")?,
    };
    Ok(ShapAnalysis { id: row.id(), computed_at, analysis })
}
