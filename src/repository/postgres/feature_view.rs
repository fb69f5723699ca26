//! `ml_feast_feature_views`, `ml_feast_materialization_jobs` and `ml_feast_feature_freshness`.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use sqlx::types::Json;

use super::read::{Reader, integer};
use super::statement::{advanced, statements};
use super::{Statement, Store};
use crate::domain::{
    FeatureFreshness, FeatureView, FeatureViewId, Freshness, FreshnessThresholds, MaterializationEnd,
    MaterializationJob, MaterializationJobId, MaterializationOutcome, MaterializationStatus, NewFeatureView,
    NewMaterializationJob, stored_recorded_at, validate_feature_view_name,
};
use crate::repository::cursor::{List, before_newest, before_oldest};
use crate::repository::feature_view::{
    JOBS, VIEWS, cannot_end, feature_view_constraint as constraint, no_job, no_view,
};
use crate::repository::page::validate_limit;
use crate::repository::{FeatureViewRepository, Page, PageRequest, RepositoryError};

/// The feature views of one database. Clones share its pool.
#[derive(Debug, Clone)]
pub struct PostgresFeatureViewRepository {
    store: Store,
}

impl PostgresFeatureViewRepository {
    /// Every statement that it can send.
    pub const STATEMENTS: &'static [Statement] = STATEMENTS;

    /// A repository on a database to which [`MIGRATOR`](super::MIGRATOR) was applied.
    #[must_use]
    pub fn new(store: impl Into<Store>) -> Self {
        Self { store: store.into() }
    }

    /// An error if there is no such view; for methods to which an empty answer does not tell.
    async fn must_exist(&self, id: FeatureViewId) -> Result<(), RepositoryError> {
        let row = sqlx::query(EXISTS.sql).bind(id.as_uuid()).fetch_one(self.store.pool()).await?;
        if row.try_get(0)? { Ok(()) } else { Err(no_view(id)) }
    }
}

/// The columns that [`view`] reads.
macro_rules! view_columns {
    () => {
        "id, name, coalesce(entities, '[]')::text AS entities, coalesce(features, '[]')::text AS features, \
         ttl_seconds, online_enabled, created_at, updated_at"
    };
}

/// The columns that [`job`] reads.
macro_rules! job_columns {
    () => {
        "id, feature_view_id, start_time, end_time, status, rows_materialized, duration_seconds, error_message, \
         created_at, updated_at"
    };
}

/// The columns that [`found`] reads.
macro_rules! freshness_columns {
    () => {
        "id, feature_view_id, recorded_at, last_materialization_time, staleness_seconds, status, \
         stale_after_seconds, critical_after_seconds"
    };
}

statements! {
    REGISTER(4) = concat!(
        "INSERT INTO ml_feast_feature_views (name, entities, features, ttl_seconds, online_enabled) \
         VALUES ($1, $2, $3, $4, $5) RETURNING ",
        view_columns!()
    );

    FIND(4) = concat!("SELECT ", view_columns!(), " FROM ml_feast_feature_views WHERE id = $1");

    FIND_BY_NAME(4) = concat!("SELECT ", view_columns!(), " FROM ml_feast_feature_views WHERE name = $1");

    LIST(4) = concat!(
        "SELECT ",
        view_columns!(),
        " FROM ml_feast_feature_views WHERE (created_at, id) > ($1, $2) ORDER BY created_at, id LIMIT $3"
    );

    SET_ONLINE(4) = concat!(
        "UPDATE ml_feast_feature_views SET online_enabled = $2, ",
        advanced!(),
        " WHERE id = $1 RETURNING ",
        view_columns!()
    );

    DELETE(4) = "DELETE FROM ml_feast_feature_views WHERE id = $1";

    EXISTS(4) = "SELECT EXISTS (SELECT FROM ml_feast_feature_views WHERE id = $1)";

    START_JOB(12) = concat!(
        "INSERT INTO ml_feast_materialization_jobs (feature_view_id, start_time, status) \
         VALUES ($1, coalesce($2, now()), 'running') RETURNING ",
        job_columns!()
    );

    /// Nothing if the job has ended already, or would end before it began.
    FINISH_JOB(12) = concat!(
        "UPDATE ml_feast_materialization_jobs \
         SET end_time = coalesce($2, greatest(now(), start_time)), \
             duration_seconds = \
                 extract(epoch FROM coalesce($2, greatest(now(), start_time)) - start_time)::double precision, \
             status = $3, rows_materialized = $4, error_message = $5, ",
        advanced!(),
        " WHERE id = $1 AND status = 'running' AND coalesce($2 >= start_time, true) RETURNING ",
        job_columns!()
    );

    FIND_JOB(12) = concat!("SELECT ", job_columns!(), " FROM ml_feast_materialization_jobs WHERE id = $1");

    JOBS_OF_VIEW(12) = concat!(
        "SELECT ",
        job_columns!(),
        " FROM ml_feast_materialization_jobs WHERE feature_view_id = $1 AND (start_time, id) < ($2, $3) \
         ORDER BY start_time DESC, id DESC LIMIT $4"
    );

    /// The end of the successful job that began last, and the store's time; nothing if there is no such view.
    LAST_SUCCESS(4) = "
        SELECT now() AS now, (
            SELECT end_time
            FROM ml_feast_materialization_jobs
            WHERE feature_view_id = view.id AND status = 'success'
            ORDER BY start_time DESC, id DESC
            LIMIT 1
        ) AS end_time
        FROM ml_feast_feature_views AS view
        WHERE view.id = $1";

    RECORD_FRESHNESS(14) = concat!(
        "INSERT INTO ml_feast_feature_freshness \
             (feature_view_id, recorded_at, last_materialization_time, staleness_seconds, status, \
              stale_after_seconds, critical_after_seconds) \
         VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING ",
        freshness_columns!()
    );

    FRESHNESS_HISTORY(14) = concat!(
        "SELECT ",
        freshness_columns!(),
        " FROM ml_feast_feature_freshness WHERE feature_view_id = $1 \
         ORDER BY recorded_at DESC, id DESC LIMIT $2"
    );
}

#[async_trait]
impl FeatureViewRepository for PostgresFeatureViewRepository {
    async fn register(&self, new: NewFeatureView) -> Result<FeatureView, RepositoryError> {
        new.validate()?;
        let row = sqlx::query(REGISTER.sql)
            .bind(new.name)
            .bind(Json(new.entities))
            .bind(Json(new.features))
            .bind(new.ttl_seconds.map(integer))
            .bind(new.online_enabled)
            .fetch_one(self.store.pool())
            .await?;
        view(&row)
    }

    async fn find(&self, id: FeatureViewId) -> Result<FeatureView, RepositoryError> {
        let row = sqlx::query(FIND.sql).bind(id.as_uuid()).fetch_optional(self.store.pool()).await?;
        view(&row.ok_or_else(|| no_view(id))?)
    }

    async fn find_by_name(&self, name: &str) -> Result<Option<FeatureView>, RepositoryError> {
        validate_feature_view_name(name)?;
        let row = sqlx::query(FIND_BY_NAME.sql).bind(name).fetch_optional(self.store.pool()).await?;
        row.as_ref().map(view).transpose()
    }

    async fn list(&self, request: PageRequest) -> Result<Page<FeatureView>, RepositoryError> {
        let limit = validate_limit(request.limit)?;
        let (created_at, after) = self.store.cursors().after(&VIEWS, &request, before_oldest())?;
        let rows = sqlx::query(LIST.sql)
            .bind(created_at)
            .bind(after)
            .bind(i64::from(limit) + 1)
            .fetch_all(self.store.pool())
            .await?;
        let views = rows.iter().map(view).collect::<Result<Vec<_>, _>>()?;
        Page::of(views, limit, |last| self.store.cursors().cursor(&VIEWS, &(last.created_at, last.id.as_uuid())))
    }

    async fn set_online(&self, id: FeatureViewId, online_enabled: bool) -> Result<FeatureView, RepositoryError> {
        let row = sqlx::query(SET_ONLINE.sql)
            .bind(id.as_uuid())
            .bind(online_enabled)
            .fetch_optional(self.store.pool())
            .await?;
        view(&row.ok_or_else(|| no_view(id))?)
    }

    async fn delete(&self, id: FeatureViewId) -> Result<(), RepositoryError> {
        let deleted = sqlx::query(DELETE.sql).bind(id.as_uuid()).execute(self.store.pool()).await?;
        if deleted.rows_affected() == 0 { Err(no_view(id)) } else { Ok(()) }
    }

    async fn start_job(&self, new: NewMaterializationJob) -> Result<MaterializationJob, RepositoryError> {
        let row = sqlx::query(START_JOB.sql)
            .bind(new.feature_view_id.as_uuid())
            .bind(new.stored_start_time()?)
            .fetch_one(self.store.pool())
            .await?;
        job(&row)
    }

    async fn finish_job(
        &self,
        id: MaterializationJobId,
        end: MaterializationEnd,
    ) -> Result<MaterializationJob, RepositoryError> {
        end.validate()?;
        let end = MaterializationEnd { end_time: end.stored_end_time()?, ..end };
        let (status, rows_materialized, error_message) = match &end.outcome {
            MaterializationOutcome::Success { rows_materialized } => {
                (MaterializationStatus::Success, *rows_materialized, None)
            }
            MaterializationOutcome::Failed { error_message } => {
                (MaterializationStatus::Failed, None, Some(error_message))
            }
        };
        let row = sqlx::query(FINISH_JOB.sql)
            .bind(id.as_uuid())
            .bind(end.end_time)
            .bind(status.as_str())
            .bind(rows_materialized.map(integer))
            .bind(error_message)
            .fetch_optional(self.store.pool())
            .await?;
        match row {
            Some(row) => job(&row),
            None => Err(cannot_end(&self.find_job(id).await?, &end).unwrap_or_else(|| no_job(id))),
        }
    }

    async fn find_job(&self, id: MaterializationJobId) -> Result<MaterializationJob, RepositoryError> {
        let row = sqlx::query(FIND_JOB.sql).bind(id.as_uuid()).fetch_optional(self.store.pool()).await?;
        job(&row.ok_or_else(|| no_job(id))?)
    }

    async fn jobs(
        &self,
        view: FeatureViewId,
        request: PageRequest,
    ) -> Result<Page<MaterializationJob>, RepositoryError> {
        let limit = validate_limit(request.limit)?;
        let filter = [&*view.to_string()];
        let list = List::filtered(JOBS, &filter);
        let (start_time, after) = self.store.cursors().after(&list, &request, before_newest())?;
        let rows = sqlx::query(JOBS_OF_VIEW.sql)
            .bind(view.as_uuid())
            .bind(start_time)
            .bind(after)
            .bind(i64::from(limit) + 1)
            .fetch_all(self.store.pool())
            .await?;
        if rows.is_empty() {
            self.must_exist(view).await?;
        }
        let jobs = rows.iter().map(job).collect::<Result<Vec<_>, _>>()?;
        Page::of(jobs, limit, |last| self.store.cursors().cursor(&list, &(last.start_time, last.id.as_uuid())))
    }

    async fn freshness(
        &self,
        view: FeatureViewId,
        thresholds: FreshnessThresholds,
        at: Option<DateTime<Utc>>,
    ) -> Result<Freshness, RepositoryError> {
        let at = stored_recorded_at(at)?;
        let row = sqlx::query(LAST_SUCCESS.sql).bind(view.as_uuid()).fetch_optional(self.store.pool()).await?;
        let row = row.ok_or_else(|| no_view(view))?;
        let at = match at {
            Some(at) => at,
            None => row.try_get("now")?,
        };
        Ok(Freshness::at(at, row.try_get("end_time")?, thresholds))
    }

    async fn record_freshness(
        &self,
        view: FeatureViewId,
        thresholds: FreshnessThresholds,
        at: Option<DateTime<Utc>>,
    ) -> Result<FeatureFreshness, RepositoryError> {
        let freshness = self.freshness(view, thresholds, at).await?;
        let row = sqlx::query(RECORD_FRESHNESS.sql)
            .bind(view.as_uuid())
            .bind(freshness.recorded_at)
            .bind(freshness.last_materialization_time)
            .bind(freshness.staleness_seconds)
            .bind(freshness.status.as_str())
            .bind(thresholds.stale_after_seconds())
            .bind(thresholds.critical_after_seconds())
            .fetch_one(self.store.pool())
            .await;
        match row.map_err(RepositoryError::from) {
            Ok(row) => found(&row),
            // Deleted since it was looked at.
            Err(RepositoryError::MissingReference { constraint }) if constraint == constraint::FRESHNESS_VIEW => {
                Err(no_view(view))
            }
            Err(error) => Err(error),
        }
    }

    async fn freshness_history(
        &self,
        view: FeatureViewId,
        limit: u32,
    ) -> Result<Vec<FeatureFreshness>, RepositoryError> {
        let limit = validate_limit(limit)?;
        let rows = sqlx::query(FRESHNESS_HISTORY.sql)
            .bind(view.as_uuid())
            .bind(i64::from(limit))
            .fetch_all(self.store.pool())
            .await?;
        if rows.is_empty() {
            self.must_exist(view).await?;
        }
        rows.iter().map(found).collect()
    }
}

fn view(row: &PgRow) -> Result<FeatureView, RepositoryError> {
    let row = Reader::new("feature view", row)?;
    Ok(FeatureView {
        id: row.id(),
        name: row.get("name")?,
        entities: row.shape("entities")?,
        features: row.shape("features")?,
        ttl_seconds: row.optional_count("ttl_seconds")?,
        online_enabled: row.get("online_enabled")?,
        created_at: row.get("created_at")?,
        updated_at: row.get("updated_at")?,
    })
}

fn job(row: &PgRow) -> Result<MaterializationJob, RepositoryError> {
    let row = Reader::new("materialization job", row)?;
    Ok(MaterializationJob {
        id: row.id(),
        feature_view_id: row.reference("feature_view_id")?,
        start_time: row.get("start_time")?,
        end_time: row.get("end_time")?,
        status: row.parse("status")?,
        rows_materialized: row.optional_count("rows_materialized")?,
        duration_seconds: row.get("duration_seconds")?,
        error_message: row.get("error_message")?,
        created_at: row.get("created_at")?,
        updated_at: row.get("updated_at")?,
    })
}

fn found(row: &PgRow) -> Result<FeatureFreshness, RepositoryError> {
    let row = Reader::new("feature freshness", row)?;
    let (stale, critical) = (row.get("stale_after_seconds")?, row.get("critical_after_seconds")?);
    Ok(FeatureFreshness {
        id: row.id(),
        feature_view_id: row.reference("feature_view_id")?,
        freshness: Freshness {
            recorded_at: row.get("recorded_at")?,
            last_materialization_time: row.get("last_materialization_time")?,
            staleness_seconds: row.get("staleness_seconds")?,
            status: row.parse("status")?,
            thresholds: FreshnessThresholds::new(stale, critical)?,
        },
    })
}
