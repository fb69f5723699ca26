//! Metrics by a formula, which Rust and SQL compute alike: numbers are small fractions of powers of two, so that
//! their sums are exact in any order.

use chrono::{DateTime, TimeDelta, Utc};
use proofmark::domain::{BentoServiceId, Measures, NewServingMetric, ServingMetric, ServingMetricId};
use proofmark_harness::TestDatabase;

use crate::Result;

/// Services that are measured, each once a minute.
pub(crate) const SERVICES: u32 = 50;

/// When the first minute is.
pub(crate) fn start() -> DateTime<Utc> {
    DateTime::from_timestamp(1_704_067_200, 0).unwrap_or_default()
}

pub(crate) fn time(minute: u32) -> DateTime<Utc> {
    start() + TimeDelta::minutes(minute.into())
}

/// The measures of row `i`, as in [`SELECT`].
fn measures(i: u32) -> Measures {
    let i = u64::from(i);
    let part = |factor: u64, modulus: u64, divisor: f64| {
        Some(f64::from(u32::try_from(i * factor % modulus).unwrap_or(0)) / divisor)
    };
    let latency = part(104_729, 4_096, 16.0);
    Measures {
        requests_per_second: part(7_919, 1_000, 8.0),
        avg_latency_ms: latency,
        p95_latency_ms: latency.map(|latency| latency + 10.0),
        p99_latency_ms: latency.map(|latency| latency + 20.0),
        error_rate: part(31, 100, 128.0),
        memory_mb: part(17, 2_048, 1.0),
        cpu_percent: part(13, 400, 1.0),
    }
}

/// The columns that are appended.
pub(crate) const COLUMNS: &str = "service_id, timestamp, window_seconds, requests_per_second, avg_latency_ms, \
     p95_latency_ms, p99_latency_ms, error_rate, memory_mb, cpu_percent";

/// Rows `$1` up to `$2`, that itself excluded, of the services `$3`, in the order of time.
pub(crate) const SELECT: &str = "SELECT ($3::uuid[])[1 + i % 50], '2024-01-01 00:00:00+00'::timestamptz + i / 50 * interval '1 minute', 60, \
     (i * 7919 % 1000) / 8.0, (i * 104729 % 4096) / 16.0, (i * 104729 % 4096) / 16.0 + 10, \
     (i * 104729 % 4096) / 16.0 + 20, (i * 31 % 100) / 128.0, i * 17 % 2048, i * 13 % 400 \
     FROM generate_series($1::bigint, $2::bigint - 1) AS i";

/// A row to append.
pub(crate) fn new_metric(services: &[BentoServiceId], i: u32) -> Option<NewServingMetric> {
    let service_id = *services.get(usize::try_from(i % SERVICES).ok()?)?;
    Some(NewServingMetric {
        timestamp: Some(time(i / SERVICES)),
        ..NewServingMetric::new(service_id, measures(i))
    })
}

/// The windows of a service from one minute up to another.
pub(crate) fn windows(service: u32, from: u32, until: u32) -> Vec<ServingMetric> {
    let window = |minute: u32| ServingMetric {
        id: ServingMetricId::random(),
        service_id: BentoServiceId::random(),
        timestamp: time(minute),
        window_seconds: 60.0,
        measures: measures(minute * SERVICES + service),
    };
    (from..until).map(window).collect()
}

/// The services, in a database.
pub(crate) async fn make_services(database: &TestDatabase) -> Result<Vec<BentoServiceId>> {
    let sql = "INSERT INTO ml_bentoml_services (bento_tag, bento_version, service_name) \
               SELECT 'fraud:v1', 'v1', 'scorer-' || i FROM generate_series(1, 50) AS i RETURNING id";
    let ids: Vec<uuid::Uuid> = sqlx::query_scalar(sql).fetch_all(database.pool()).await?;
    Ok(ids.into_iter().map(Into::into).collect())
}
