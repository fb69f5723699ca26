//! `ml_bentoml_services` and `ml_bentoml_serving_metrics`.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};
use uuid::Uuid;

use super::copy::{CopyRow, Identifiers, copy_in};
use super::register::NewRow;
use super::session::Session;
use super::statement::{advanced, statements};
use super::{Statement, Store, idempotency};
use crate::domain::{
    BentoService, BentoServiceId, Bounds, DeploymentStatus, HealthStatus, Measures, MetricSummary,
    NewBentoService, NewServingMetric, ServingMetric, TimeWindow, validate_bento_tag,
};
use crate::repository::bento_service::{METRICS_SCOPE, REGISTER_SCOPE, SERVICES, validate_batch};
use crate::repository::cursor::before_oldest;
use crate::repository::idempotency::Request;
use crate::repository::page::validate_limit;
use crate::repository::{BentoServiceRepository, IdempotencyKey, Page, PageRequest, RepositoryError};

/// The services and metrics of one database. Clones share its pool.
#[derive(Debug, Clone)]
pub struct PostgresBentoServiceRepository {
    store: Store,
}

impl PostgresBentoServiceRepository {
    /// Every statement that it can send.
    pub const STATEMENTS: &'static [Statement] = STATEMENTS;

    /// A repository on a database to which [`MIGRATOR`](super::MIGRATOR) was applied.
    #[must_use]
    pub fn new(store: impl Into<Store>) -> Self {
        Self { store: store.into() }
    }

    async fn try_record_metrics(&self, batch: &[NewServingMetric]) -> Result<u64, RepositoryError> {
        let mut session = Session::acquire(self.store.pool()).await?;
        let outcome = append(session.connection()?, batch).await;
        session.end_statement(outcome)
    }

    async fn try_record_metrics_once(
        &self,
        request: Request,
        key: &IdempotencyKey,
        batch: &[NewServingMetric],
    ) -> Result<u64, RepositoryError> {
        let mut session = Session::begin(self.store.pool()).await?;
        let outcome = async {
            let connection = session.connection()?;
            match idempotency::claim(connection, request, key, Uuid::new_v4()).await? {
                None => append(connection, batch).await,
                // It has the same digest, and so the same length.
                Some(_) => Ok(batch.iter().fold(0, |count, _| count + 1)),
            }
        }
        .await;
        session.end(outcome).await
    }
}

/// The columns that [`service`] reads. The enumeration is read as text: a value that this version does not know is
/// then an error that names it.
macro_rules! service_columns {
    () => {
        "id, bento_tag, bento_version, model_id, service_name, serving_endpoint, container_image, \
         status::text AS status, health_status, created_at, updated_at"
    };
}

/// The columns that [`metric`] reads.
macro_rules! metric_columns {
    () => {
        "id, service_id, timestamp, window_seconds, requests_per_second, avg_latency_ms, p95_latency_ms, \
         p99_latency_ms, error_rate, memory_mb, cpu_percent"
    };
}

statements! {
    REGISTER(2) = concat!(
        "INSERT INTO ml_bentoml_services \
             (id, bento_tag, bento_version, model_id, service_name, serving_endpoint, container_image) \
         VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING ",
        service_columns!()
    );

    FIND(2) = concat!("SELECT ", service_columns!(), " FROM ml_bentoml_services WHERE id = $1");

    FIND_BY_TAG(2) = concat!(
        "SELECT ",
        service_columns!(),
        " FROM ml_bentoml_services WHERE bento_tag = $1 ORDER BY created_at, id"
    );

    LIST(2) = concat!(
        "SELECT ",
        service_columns!(),
        " FROM ml_bentoml_services WHERE (created_at, id) > ($1, $2) ORDER BY created_at, id LIMIT $3"
    );

    UPDATE_STATUS(2) = concat!(
        "UPDATE ml_bentoml_services SET status = $2::deployment_status_enum, ",
        advanced!(),
        " WHERE id = $1 RETURNING ",
        service_columns!()
    );

    UPDATE_HEALTH(2) = concat!(
        "UPDATE ml_bentoml_services SET health_status = $2, ",
        advanced!(),
        " WHERE id = $1 RETURNING ",
        service_columns!()
    );

    RECORD_METRIC(3) = concat!(
        "INSERT INTO ml_bentoml_serving_metrics \
             (service_id, timestamp, window_seconds, requests_per_second, avg_latency_ms, p95_latency_ms, \
              p99_latency_ms, error_rate, memory_mb, cpu_percent) \
         VALUES ($1, coalesce($2, now()), $3, $4, $5, $6, $7, $8, $9, $10) RETURNING ",
        metric_columns!()
    );

    /// A service without metrics yields one row of NULLs, and a missing service none.
    LATEST_METRICS(3) = concat!(
        "SELECT latest.* FROM ml_bentoml_services AS service LEFT JOIN LATERAL (SELECT ",
        metric_columns!(),
        " FROM ml_bentoml_serving_metrics WHERE service_id = service.id \
          ORDER BY timestamp DESC, id DESC LIMIT $2) AS latest ON true \
         WHERE service.id = $1 ORDER BY latest.timestamp DESC, latest.id DESC"
    );

    /// See [`MetricSummary`] for what is computed and why. A missing service yields no row.
    SUMMARIZE(3) = "
        SELECT count(metric.id) AS windows,
               count(metric.id) FILTER (WHERE requests IS NULL) AS unweighted_windows,
               sum(requests) AS requests,
               sum(requests * avg_latency_ms)
                   / nullif(sum(requests) FILTER (WHERE avg_latency_ms IS NOT NULL), 0) AS mean_latency_ms,
               sum(requests * error_rate)
                   / nullif(sum(requests) FILTER (WHERE error_rate IS NOT NULL), 0) AS mean_error_rate,
               min(p95_latency_ms) FILTER (WHERE busy) AS p95_at_least,
               max(p95_latency_ms) FILTER (WHERE busy) AS p95_at_most,
               min(p99_latency_ms) FILTER (WHERE busy) AS p99_at_least,
               max(p99_latency_ms) FILTER (WHERE busy) AS p99_at_most,
               max(memory_mb) AS max_memory_mb,
               sum(window_seconds * cpu_percent)
                   / sum(window_seconds) FILTER (WHERE cpu_percent IS NOT NULL) AS mean_cpu_percent
        FROM ml_bentoml_services AS service
        LEFT JOIN LATERAL (
            SELECT id, window_seconds, avg_latency_ms, error_rate, p95_latency_ms, p99_latency_ms, memory_mb,
                   cpu_percent,
                   requests_per_second * window_seconds AS requests,
                   coalesce(requests_per_second > 0, true) AS busy
            FROM ml_bentoml_serving_metrics
            WHERE service_id = service.id AND timestamp >= $2 AND timestamp < $3
        ) AS metric ON true
        WHERE service.id = $1
        GROUP BY service.id";
    /// A batch of measurements.
    APPEND_METRICS(3, CopyIn) = "COPY ml_bentoml_serving_metrics \
             (id, service_id, timestamp, window_seconds, requests_per_second, avg_latency_ms, p95_latency_ms, \
              p99_latency_ms, error_rate, memory_mb, cpu_percent) \
         FROM STDIN (FORMAT binary)";
    /// The store's time, for measurements that have none.
    NOW(1) = "SELECT now()";
}

impl NewRow for NewBentoService {
    type Row = BentoService;
    const SCOPE: &'static str = REGISTER_SCOPE;

    async fn insert(&self, connection: &mut PgConnection, id: Uuid) -> Result<BentoService, RepositoryError> {
        let row = sqlx::query(REGISTER.sql)
            .bind(id)
            .bind(&self.bento_tag)
            .bind(&self.bento_version)
            .bind(self.model_id.map(|id| id.as_uuid()))
            .bind(&self.service_name)
            .bind(&self.serving_endpoint)
            .bind(&self.container_image)
            .fetch_one(connection)
            .await?;
        service(&row)
    }

    async fn find(connection: &mut PgConnection, id: Uuid) -> Result<BentoService, RepositoryError> {
        let row = sqlx::query(FIND.sql).bind(id).fetch_optional(connection).await?;
        service(&row.ok_or_else(|| no_service(id.into()))?)
    }
}

/// Appends valid measurements. A COPY takes neither the planner nor a parameter for each value.
async fn append(connection: &mut PgConnection, batch: &[NewServingMetric]) -> Result<u64, RepositoryError> {
    if batch.is_empty() {
        return Ok(0);
    }
    let mut times = Vec::with_capacity(batch.len());
    for new in batch {
        times.push(new.stored_timestamp()?);
    }
    let now: DateTime<Utc> = if times.iter().any(Option::is_none) {
        sqlx::query(NOW.sql).fetch_one(&mut *connection).await?.try_get(0)?
    } else {
        DateTime::UNIX_EPOCH
    };
    let mut rows: Vec<_> = batch
        .iter()
        .zip(times)
        .zip(Identifiers::new())
        .map(|((new, time), id)| MetricRow { id, new, time: time.unwrap_or(now) })
        .collect();
    // In the order of the index that they go into, which then finds each place beside the last.
    rows.sort_by_key(|row| (row.new.service_id, row.time));
    copy_in(connection, APPEND_METRICS, &rows, write_metric).await
}

/// A measurement as it is appended.
struct MetricRow<'a> {
    id: Uuid,
    new: &'a NewServingMetric,
    time: DateTime<Utc>,
}

/// The columns of [`APPEND_METRICS`].
fn write_metric(metric: &MetricRow<'_>, row: &mut CopyRow<'_>) {
    let MetricRow { id, new, time } = metric;
    row.uuid(*id);
    let measures = new.measures;
    row.uuid(new.service_id.as_uuid());
    row.time(*time);
    row.double(Some(new.window_seconds));
    row.double(measures.requests_per_second);
    row.double(measures.avg_latency_ms);
    row.double(measures.p95_latency_ms);
    row.double(measures.p99_latency_ms);
    row.double(measures.error_rate);
    row.double(measures.memory_mb);
    row.double(measures.cpu_percent);
}

fn no_service(id: BentoServiceId) -> RepositoryError {
    RepositoryError::not_found("service", id.as_uuid())
}

#[async_trait]
impl BentoServiceRepository for PostgresBentoServiceRepository {
    async fn register(&self, new: NewBentoService) -> Result<BentoService, RepositoryError> {
        new.validate()?;
        self.store.register(&new).await
    }

    async fn register_once(
        &self,
        key: &IdempotencyKey,
        new: NewBentoService,
    ) -> Result<BentoService, RepositoryError> {
        new.validate()?;
        self.store.register_once(key, &new).await
    }

    async fn find(&self, id: BentoServiceId) -> Result<BentoService, RepositoryError> {
        NewBentoService::find(&mut *self.store.pool().acquire().await?, id.as_uuid()).await
    }

    async fn find_by_tag(&self, bento_tag: &str) -> Result<Vec<BentoService>, RepositoryError> {
        validate_bento_tag(bento_tag)?;
        let rows = sqlx::query(FIND_BY_TAG.sql).bind(bento_tag).fetch_all(self.store.pool()).await?;
        rows.iter().map(service).collect()
    }

    async fn list(&self, request: PageRequest) -> Result<Page<BentoService>, RepositoryError> {
        let limit = validate_limit(request.limit)?;
        let (created_at, after) = self.store.cursors().after(&SERVICES, &request, before_oldest())?;
        let rows = sqlx::query(LIST.sql)
            .bind(created_at)
            .bind(after)
            // One more tells whether there is a next page.
            .bind(i64::from(limit) + 1)
            .fetch_all(self.store.pool())
            .await?;
        let services = rows.iter().map(service).collect::<Result<Vec<_>, _>>()?;
        Page::of(services, limit, |last| {
            self.store.cursors().cursor(&SERVICES, &(last.created_at, last.id.as_uuid()))
        })
    }

    async fn update_status(
        &self,
        id: BentoServiceId,
        status: DeploymentStatus,
    ) -> Result<BentoService, RepositoryError> {
        let row = sqlx::query(UPDATE_STATUS.sql)
            .bind(id.as_uuid())
            .bind(status.as_str())
            .fetch_optional(self.store.pool())
            .await?;
        service(&row.ok_or_else(|| no_service(id))?)
    }

    async fn update_health(
        &self,
        id: BentoServiceId,
        health: HealthStatus,
    ) -> Result<BentoService, RepositoryError> {
        let row = sqlx::query(UPDATE_HEALTH.sql)
            .bind(id.as_uuid())
            .bind(health.as_str())
            .fetch_optional(self.store.pool())
            .await?;
        service(&row.ok_or_else(|| no_service(id))?)
    }

    async fn record_metric(&self, new: NewServingMetric) -> Result<ServingMetric, RepositoryError> {
        new.validate()?;
        let measures = new.measures;
        let row = sqlx::query(RECORD_METRIC.sql)
            .bind(new.service_id.as_uuid())
            .bind(new.stored_timestamp()?)
            .bind(new.window_seconds)
            .bind(measures.requests_per_second)
            .bind(measures.avg_latency_ms)
            .bind(measures.p95_latency_ms)
            .bind(measures.p99_latency_ms)
            .bind(measures.error_rate)
            .bind(measures.memory_mb)
            .bind(measures.cpu_percent)
            .fetch_one(self.store.pool())
            .await?;
        metric(&row)
    }

    async fn record_metrics(&self, batch: &[NewServingMetric]) -> Result<u64, RepositoryError> {
        validate_batch(batch)?;
        self.store.retry(|| self.try_record_metrics(batch)).await
    }

    async fn record_metrics_once(
        &self,
        key: &IdempotencyKey,
        batch: &[NewServingMetric],
    ) -> Result<u64, RepositoryError> {
        validate_batch(batch)?;
        let request = Request::new(METRICS_SCOPE, &batch)?;
        self.store.retry(|| self.try_record_metrics_once(request, key, batch)).await
    }

    async fn latest_metrics(&self, id: BentoServiceId, limit: u32) -> Result<Vec<ServingMetric>, RepositoryError> {
        let limit = validate_limit(limit)?;
        let rows = sqlx::query(LATEST_METRICS.sql)
            .bind(id.as_uuid())
            .bind(i64::from(limit))
            .fetch_all(self.store.pool())
            .await?;
        let first = rows.first().ok_or_else(|| no_service(id))?;
        if first.try_get::<Option<Uuid>, _>("id")?.is_none() {
            return Ok(Vec::new());
        }
        rows.iter().map(metric).collect()
    }

    async fn summarize(&self, id: BentoServiceId, window: TimeWindow) -> Result<MetricSummary, RepositoryError> {
        let row = sqlx::query(SUMMARIZE.sql)
            .bind(id.as_uuid())
            .bind(window.from())
            .bind(window.until())
            .fetch_optional(self.store.pool())
            .await?;
        summary(&row.ok_or_else(|| no_service(id))?)
    }
}

fn service(row: &PgRow) -> Result<BentoService, RepositoryError> {
    let id: Uuid = row.try_get("id")?;
    let corrupt = |field| move |unknown| RepositoryError::corrupt("service", id, field, unknown);
    Ok(BentoService {
        id: id.into(),
        bento_tag: row.try_get("bento_tag")?,
        bento_version: row.try_get("bento_version")?,
        model_id: row.try_get::<Option<Uuid>, _>("model_id")?.map(Into::into),
        service_name: row.try_get("service_name")?,
        serving_endpoint: row.try_get("serving_endpoint")?,
        container_image: row.try_get("container_image")?,
        status: row.try_get::<&str, _>("status")?.parse().map_err(corrupt("status"))?,
        health_status: row.try_get::<&str, _>("health_status")?.parse().map_err(corrupt("health_status"))?,
        created_at: row.try_get("created_at")?,
        updated_at: row.try_get("updated_at")?,
    })
}

fn metric(row: &PgRow) -> Result<ServingMetric, RepositoryError> {
    Ok(ServingMetric {
        id: row.try_get::<Uuid, _>("id")?.into(),
        service_id: row.try_get::<Uuid, _>("service_id")?.into(),
        timestamp: row.try_get("timestamp")?,
        window_seconds: row.try_get("window_seconds")?,
        measures: Measures {
            requests_per_second: row.try_get("requests_per_second")?,
            avg_latency_ms: row.try_get("avg_latency_ms")?,
            p95_latency_ms: row.try_get("p95_latency_ms")?,
            p99_latency_ms: row.try_get("p99_latency_ms")?,
            error_rate: row.try_get("error_rate")?,
            memory_mb: row.try_get("memory_mb")?,
            cpu_percent: row.try_get("cpu_percent")?,
        },
    })
}

fn summary(row: &PgRow) -> Result<MetricSummary, RepositoryError> {
    let count = |column| -> Result<u64, RepositoryError> {
        u64::try_from(row.try_get::<i64, _>(column)?)
            .map_err(|error| RepositoryError::Unexpected { source: error.into() })
    };
    let bounds = |at_least, at_most| -> Result<Option<Bounds>, RepositoryError> {
        let at_least: Option<f64> = row.try_get(at_least)?;
        let at_most: Option<f64> = row.try_get(at_most)?;
        Ok(at_least.zip(at_most).map(|(at_least, at_most)| Bounds { at_least, at_most }))
    };
    Ok(MetricSummary {
        windows: count("windows")?,
        unweighted_windows: count("unweighted_windows")?,
        requests: row.try_get("requests")?,
        mean_latency_ms: row.try_get("mean_latency_ms")?,
        mean_error_rate: row.try_get("mean_error_rate")?,
        p95_latency_ms: bounds("p95_at_least", "p95_at_most")?,
        p99_latency_ms: bounds("p99_at_least", "p99_at_most")?,
        max_memory_mb: row.try_get("max_memory_mb")?,
        mean_cpu_percent: row.try_get("mean_cpu_percent")?,
    })
}
