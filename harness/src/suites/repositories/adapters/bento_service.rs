//! BentoML services and their serving metrics.

use std::marker::PhantomData;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::DateTime;
use proofmark::domain::{
    BentoService, BentoServiceId, DeploymentStatus, HealthStatus, Measures, NAME_CHARACTERS_MAX, NewBentoService,
    NewServingMetric, ServingMetric, TEXT_OCTETS_MAX, VERSION_CHARACTERS_MAX,
};
use proofmark::repository::memory::MemoryBentoServiceRepository;
use proofmark::repository::postgres::PostgresBentoServiceRepository;
use proofmark::repository::{BentoServiceRepository, Cursor, LIMIT_MAX, PageRequest};
use sqlx::PgPool;

use super::{id, pool, reference_migrations, refusal, text};
use crate::suites::repositories::kit::{
    Ability, Adapter, Database, Field, Listed, Record, Refusal, RefusalKind, Spec, Value,
};

const STATUSES: &[&str] = &["pending", "deploying", "active", "draining", "rolled_back", "failed"];
const HEALTHS: &[&str] = &["healthy", "unhealthy", "degraded", "unknown", "starting", "stopped"];

/// Services kept somewhere.
pub struct BentoServices<S> {
    repository: Arc<dyn BentoServiceRepository>,
    pool: Option<PgPool>,
    memory: Option<Arc<MemoryBentoServiceRepository>>,
    kept: PhantomData<S>,
}

/// Kept in Postgres.
#[derive(Debug)]
pub struct Postgres;

/// Kept in memory.
#[derive(Debug)]
pub struct Memory;

/// Where services are kept.
pub trait Kept: Send + Sync + 'static {
    /// Whether that is in Postgres.
    const IN_POSTGRES: bool;
}

impl Kept for Postgres {
    const IN_POSTGRES: bool = true;
}

impl Kept for Memory {
    const IN_POSTGRES: bool = false;
}

fn spec(name: &'static str) -> Spec {
    let fields = [
        Field::text("bento_tag").characters_max(NAME_CHARACTERS_MAX).not_empty().unique().searchable().fixed(),
        Field::text("bento_version").characters_max(VERSION_CHARACTERS_MAX).not_empty().fixed(),
        Field::text("service_name").characters_max(NAME_CHARACTERS_MAX).not_empty().unique().fixed(),
        Field::text("serving_endpoint").octets_max(TEXT_OCTETS_MAX).not_empty().optional().fixed(),
        Field::text("container_image").octets_max(TEXT_OCTETS_MAX).not_empty().optional().fixed(),
        Field::choice("status", STATUSES).starts_as("pending"),
        Field::choice("health_status", HEALTHS).starts_as("unknown"),
    ];
    let measure = |name| Field::float_between(name, 1e-12, 1e15).optional();
    let points = [
        Field::float_between("window_seconds", 0.001, 31_622_400.0),
        measure("requests_per_second"),
        measure("avg_latency_ms"),
        measure("p95_latency_ms").plain(),
        measure("p99_latency_ms").plain(),
        Field::float_between("error_rate", 1e-12, 1.0).optional(),
        measure("memory_mb"),
        measure("cpu_percent"),
    ];
    Spec::new(name, fields)
        .points("timestamp", points)
        .adjust_point(|point, number| {
            // A percentile is at most a higher one.
            let p99 = f64::from(u32::try_from(number % 1_000).unwrap_or(0)) + 0.5;
            point.with("p95_latency_ms", p99 / 2.0).with("p99_latency_ms", p99)
        })
        .list_limit_max(LIMIT_MAX)
        .points_limit_max(LIMIT_MAX)
        .can(&[Ability::Update, Ability::List, Ability::Tie, Ability::AppendMany])
}

#[async_trait]
impl<S: Kept> Adapter for BentoServices<S> {
    fn spec() -> Spec {
        if S::IN_POSTGRES {
            spec("bento_services").migrations(reference_migrations).can(&[Ability::Pool, Ability::Reconnect])
        } else {
            spec("bento_services_memory")
        }
    }

    async fn open(database: &Database) -> Result<Self, Refusal> {
        if S::IN_POSTGRES {
            let pool = pool(database)?;
            let repository = Arc::new(PostgresBentoServiceRepository::new(pool.clone()));
            return Ok(Self { repository, pool: Some(pool), memory: None, kept: PhantomData });
        }
        let memory = Arc::new(MemoryBentoServiceRepository::new());
        Ok(Self { repository: Arc::clone(&memory) as _, pool: None, memory: Some(memory), kept: PhantomData })
    }

    async fn insert(&self, record: &Record) -> Result<String, Refusal> {
        let new = NewBentoService {
            serving_endpoint: record.text("serving_endpoint").map(str::to_owned),
            container_image: record.text("container_image").map(str::to_owned),
            ..NewBentoService::new(
                text(record, "bento_tag")?,
                text(record, "bento_version")?,
                text(record, "service_name")?,
            )
        };
        Ok(self.repository.register(new).await.map_err(refusal)?.id.to_string())
    }

    async fn get(&self, key: &str) -> Result<Record, Refusal> {
        self.repository.find(id(key)?).await.map(record).map_err(refusal)
    }

    async fn update(&self, key: &str, changes: &Record) -> Result<(), Refusal> {
        let id: BentoServiceId = id(key)?;
        let invalid = |error| Refusal::new(RefusalKind::Invalid, error);
        if let Some(status) = changes.text("status") {
            let status: DeploymentStatus = status.parse().map_err(invalid)?;
            self.repository.update_status(id, status).await.map_err(refusal)?;
        }
        if let Some(health) = changes.text("health_status") {
            let health: HealthStatus = health.parse().map_err(invalid)?;
            self.repository.update_health(id, health).await.map_err(refusal)?;
        }
        Ok(())
    }

    async fn list(&self, limit: u32, cursor: Option<&str>) -> Result<Listed, Refusal> {
        let request = PageRequest { limit, after: cursor.map(Cursor::new) };
        let page = self.repository.list(request).await.map_err(refusal)?;
        let records = page.items.into_iter().map(|service| (service.id.to_string(), record(service))).collect();
        Ok(Listed { records, next: page.next.map(|cursor| cursor.to_string()) })
    }

    async fn find(&self, _: &'static str, value: &Value) -> Result<Vec<String>, Refusal> {
        let Value::Text(tag) = value else { return Ok(Vec::new()) };
        let found = self.repository.find_by_tag(tag).await.map_err(refusal)?;
        Ok(found.into_iter().map(|service| service.id.to_string()).collect())
    }

    async fn tie(&self, keys: &[String]) -> Result<(), Refusal> {
        let mut ids = Vec::with_capacity(keys.len());
        for key in keys {
            ids.push(id::<BentoServiceId>(key)?);
        }
        if let Some(memory) = &self.memory {
            memory.set_created_at(&ids, DateTime::UNIX_EPOCH).map_err(refusal)?;
        }
        if let Some(pool) = &self.pool {
            let ids: Vec<_> = ids.iter().map(|id| id.as_uuid()).collect();
            sqlx::query("UPDATE ml_bentoml_services SET created_at = $1 WHERE id = ANY($2)")
                .bind(DateTime::UNIX_EPOCH)
                .bind(ids)
                .execute(pool)
                .await
                .map_err(|error| refusal(error.into()))?;
        }
        Ok(())
    }

    async fn append(&self, key: &str, points: &[Record]) -> Result<(), Refusal> {
        let service_id = id(key)?;
        let batch: Vec<_> = points
            .iter()
            .map(|point| NewServingMetric {
                service_id,
                timestamp: point.time("timestamp"),
                window_seconds: point.float("window_seconds").unwrap_or(f64::NAN),
                measures: Measures {
                    requests_per_second: point.float("requests_per_second"),
                    avg_latency_ms: point.float("avg_latency_ms"),
                    p95_latency_ms: point.float("p95_latency_ms"),
                    p99_latency_ms: point.float("p99_latency_ms"),
                    error_rate: point.float("error_rate"),
                    memory_mb: point.float("memory_mb"),
                    cpu_percent: point.float("cpu_percent"),
                },
            })
            .collect();
        self.repository.record_metrics(&batch).await.map(|_| ()).map_err(refusal)
    }

    async fn points(&self, key: &str, limit: u32) -> Result<Vec<Record>, Refusal> {
        let metrics = self.repository.latest_metrics(id(key)?, limit).await.map_err(refusal)?;
        Ok(metrics.into_iter().map(point).collect())
    }
}

fn record(service: BentoService) -> Record {
    Record::new()
        .with("bento_tag", service.bento_tag)
        .with("bento_version", service.bento_version)
        .with("service_name", service.service_name)
        .with("serving_endpoint", service.serving_endpoint)
        .with("container_image", service.container_image)
        .with("status", service.status.as_str())
        .with("health_status", service.health_status.as_str())
}

fn point(metric: ServingMetric) -> Record {
    Record::new()
        .with("timestamp", metric.timestamp)
        .with("window_seconds", metric.window_seconds)
        .with("requests_per_second", metric.measures.requests_per_second)
        .with("avg_latency_ms", metric.measures.avg_latency_ms)
        .with("p95_latency_ms", metric.measures.p95_latency_ms)
        .with("p99_latency_ms", metric.measures.p99_latency_ms)
        .with("error_rate", metric.measures.error_rate)
        .with("memory_mb", metric.measures.memory_mb)
        .with("cpu_percent", metric.measures.cpu_percent)
}
