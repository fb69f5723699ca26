//! Services and their metrics.

use std::cmp::Reverse;
use std::collections::HashMap;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{MemoryStore, Tables, advanced, now};
use crate::domain::{
    BentoService, BentoServiceId, DeploymentStatus, HealthStatus, MetricSummary, ModelId, NewBentoService,
    NewServingMetric, ServingMetric, ServingMetricId, TimeWindow, to_microseconds, validate_bento_tag,
};
use crate::repository::bento_service::{METRICS_SCOPE, REGISTER_SCOPE, SERVICES, constraint, validate_batch};
use crate::repository::cursor::{Moment, before_oldest};
use crate::repository::idempotency::Request;
use crate::repository::page::validate_limit;
use crate::repository::{BentoServiceRepository, IdempotencyKey, Page, PageRequest, RepositoryError};

/// Services and metrics in memory.
#[derive(Debug, Clone, Default)]
pub struct MemoryBentoServiceRepository {
    store: MemoryStore,
}

/// The rows of both tables.
#[derive(Debug, Default)]
pub(super) struct Rows {
    services: HashMap<BentoServiceId, BentoService>,
    metrics: HashMap<BentoServiceId, Vec<ServingMetric>>,
}

impl From<&MemoryStore> for MemoryBentoServiceRepository {
    fn from(store: &MemoryStore) -> Self {
        Self { store: store.clone() }
    }
}

impl MemoryBentoServiceRepository {
    /// One on an empty store of its own; [`From`] makes one on a store that others share.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a model known, so that services can refer to it.
    pub fn add_model(&self, id: ModelId) {
        self.store.tables().models.add(id);
    }

    /// Sets when services were registered, as an import of older rows would.
    ///
    /// # Errors
    /// [`RepositoryError::NotFound`] for the first service that is not there.
    pub fn set_created_at(
        &self,
        ids: &[BentoServiceId],
        created_at: DateTime<Utc>,
    ) -> Result<(), RepositoryError> {
        let mut tables = self.store.tables();
        for &id in ids {
            tables.bento_services.service_mut(id)?.created_at = to_microseconds(created_at);
        }
        Ok(())
    }

    fn update(
        &self,
        id: BentoServiceId,
        change: impl FnOnce(&mut BentoService),
    ) -> Result<BentoService, RepositoryError> {
        let mut tables = self.store.tables();
        let service = tables.bento_services.service_mut(id)?;
        change(service);
        service.updated_at = advanced(service.updated_at);
        Ok(service.clone())
    }
}

fn key(service: &BentoService) -> Moment {
    (service.created_at, service.id.as_uuid())
}

fn no_service(id: BentoServiceId) -> RepositoryError {
    RepositoryError::not_found("service", id.as_uuid())
}

impl Rows {
    fn service(&self, id: BentoServiceId) -> Result<&BentoService, RepositoryError> {
        self.services.get(&id).ok_or_else(|| no_service(id))
    }

    fn service_mut(&mut self, id: BentoServiceId) -> Result<&mut BentoService, RepositoryError> {
        self.services.get_mut(&id).ok_or_else(|| no_service(id))
    }

    /// The services that the predicate accepts, oldest first.
    fn oldest_first(&self, accept: impl Fn(&BentoService) -> bool) -> Vec<BentoService> {
        let mut services: Vec<_> = self.services.values().filter(|service| accept(service)).cloned().collect();
        services.sort_by_key(key);
        services
    }

    /// The metrics of a service; an error when there is no such service.
    fn metrics(&self, id: BentoServiceId) -> Result<&[ServingMetric], RepositoryError> {
        self.service(id)?;
        Ok(self.metrics.get(&id).map_or(&[], Vec::as_slice))
    }

    /// Whether a service serves the model.
    pub(super) fn serve(&self, model: ModelId) -> bool {
        self.services.values().any(|service| service.model_id == Some(model))
    }

    /// Appends valid measurements, all or none.
    fn append(&mut self, batch: &[NewServingMetric]) -> Result<Vec<ServingMetric>, RepositoryError> {
        if !batch.iter().all(|new| self.services.contains_key(&new.service_id)) {
            return Err(RepositoryError::missing(constraint::METRIC_SERVICE));
        }
        let now = now();
        let metrics = batch.iter().map(|new| {
            Ok(ServingMetric {
                id: ServingMetricId::random(),
                service_id: new.service_id,
                timestamp: new.stored_timestamp()?.unwrap_or(now),
                window_seconds: new.window_seconds,
                measures: new.measures,
            })
        });
        let metrics = metrics.collect::<Result<Vec<_>, RepositoryError>>()?;
        for metric in &metrics {
            self.metrics.entry(metric.service_id).or_default().push(metric.clone());
        }
        Ok(metrics)
    }
}

impl Tables {
    fn register(&mut self, new: NewBentoService) -> Result<BentoService, RepositoryError> {
        let is_taken = |service: &BentoService| {
            service.bento_tag == new.bento_tag && service.service_name == new.service_name
        };
        if self.bento_services.services.values().any(is_taken) {
            return Err(RepositoryError::conflict(constraint::SERVICE_KEY));
        }
        if new.model_id.is_some_and(|model| !self.models.contains(model)) {
            return Err(RepositoryError::missing(constraint::SERVICE_MODEL));
        }
        let now = now();
        let service = BentoService {
            id: BentoServiceId::random(),
            bento_tag: new.bento_tag,
            bento_version: new.bento_version,
            model_id: new.model_id,
            service_name: new.service_name,
            serving_endpoint: new.serving_endpoint,
            container_image: new.container_image,
            status: DeploymentStatus::Pending,
            health_status: HealthStatus::Unknown,
            created_at: now,
            updated_at: now,
        };
        self.bento_services.services.insert(service.id, service.clone());
        Ok(service)
    }
}

#[async_trait]
impl BentoServiceRepository for MemoryBentoServiceRepository {
    async fn register(&self, new: NewBentoService) -> Result<BentoService, RepositoryError> {
        new.validate()?;
        self.store.tables().register(new)
    }

    async fn register_once(
        &self,
        key: &IdempotencyKey,
        new: NewBentoService,
    ) -> Result<BentoService, RepositoryError> {
        new.validate()?;
        self.store.once(
            REGISTER_SCOPE,
            key,
            new,
            |tables, new| tables.register(new).map(|made| (made.id.as_uuid(), made)),
            |tables, id| tables.bento_services.service(id.into()).cloned(),
        )
    }

    async fn find(&self, id: BentoServiceId) -> Result<BentoService, RepositoryError> {
        self.store.tables().bento_services.service(id).cloned()
    }

    async fn find_by_tag(&self, bento_tag: &str) -> Result<Vec<BentoService>, RepositoryError> {
        validate_bento_tag(bento_tag)?;
        Ok(self.store.tables().bento_services.oldest_first(|service| service.bento_tag == bento_tag))
    }

    async fn list(&self, request: PageRequest) -> Result<Page<BentoService>, RepositoryError> {
        let limit = validate_limit(request.limit)?;
        let after = self.store.cursors.after(&SERVICES, &request, before_oldest())?;
        let rows = self.store.tables().bento_services.oldest_first(|service| key(service) > after);
        Page::of(rows, limit, |last| self.store.cursors.cursor(&SERVICES, &key(last)))
    }

    async fn update_status(
        &self,
        id: BentoServiceId,
        status: DeploymentStatus,
    ) -> Result<BentoService, RepositoryError> {
        self.update(id, |service| service.status = status)
    }

    async fn update_health(
        &self,
        id: BentoServiceId,
        health: HealthStatus,
    ) -> Result<BentoService, RepositoryError> {
        self.update(id, |service| service.health_status = health)
    }

    async fn record_metric(&self, new: NewServingMetric) -> Result<ServingMetric, RepositoryError> {
        new.validate()?;
        let appended = self.store.tables().bento_services.append(&[new])?;
        appended
            .into_iter()
            .next()
            .ok_or_else(|| RepositoryError::Unexpected { source: "nothing appended".into() })
    }

    async fn record_metrics(&self, batch: &[NewServingMetric]) -> Result<u64, RepositoryError> {
        validate_batch(batch)?;
        let appended = self.store.tables().bento_services.append(batch)?;
        Ok(appended.iter().fold(0, |count, _| count + 1))
    }

    async fn record_metrics_once(
        &self,
        key: &IdempotencyKey,
        batch: &[NewServingMetric],
    ) -> Result<u64, RepositoryError> {
        validate_batch(batch)?;
        let request = Request::new(METRICS_SCOPE, &batch)?;
        let mut tables = self.store.tables();
        if tables.idempotency.recall(request, key)?.is_none() {
            tables.bento_services.append(batch)?;
            tables.idempotency.remember(request, key, Uuid::new_v4());
        }
        Ok(batch.iter().fold(0, |count, _| count + 1))
    }

    async fn latest_metrics(&self, id: BentoServiceId, limit: u32) -> Result<Vec<ServingMetric>, RepositoryError> {
        let limit = validate_limit(limit)?;
        let mut metrics = self.store.tables().bento_services.metrics(id)?.to_vec();
        metrics.sort_by_key(|metric| Reverse((metric.timestamp, metric.id)));
        metrics.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(metrics)
    }

    async fn summarize(&self, id: BentoServiceId, window: TimeWindow) -> Result<MetricSummary, RepositoryError> {
        let tables = self.store.tables();
        let metrics: Vec<_> =
            tables.bento_services.metrics(id)?.iter().filter(|metric| window.contains(metric.timestamp)).collect();
        Ok(MetricSummary::of(&metrics))
    }
}
