//! Services and metrics in memory: the oracle that other repositories are compared with.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};

use super::page::{Position, validate_limit};
use super::{BentoServiceRepository, Page, PageRequest, RepositoryError, constraint};
use crate::domain::{
    BentoService, BentoServiceId, DeploymentStatus, HealthStatus, MetricSummary, ModelId, NewBentoService,
    NewServingMetric, ServingMetric, ServingMetricId, TimeWindow, to_microseconds, validate_bento_tag,
};

/// Services, metrics, and the models that services may refer to.
#[derive(Debug, Default)]
pub struct MemoryBentoServiceRepository {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    models: HashSet<ModelId>,
    services: HashMap<BentoServiceId, BentoService>,
    metrics: HashMap<BentoServiceId, Vec<ServingMetric>>,
}

impl MemoryBentoServiceRepository {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a model known, so that services can refer to it.
    pub fn add_model(&self, id: ModelId) {
        self.state().models.insert(id);
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
        let mut state = self.state();
        for &id in ids {
            state.service_mut(id)?.created_at = to_microseconds(created_at);
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No method leaves the state half changed, so a panic elsewhere does not make it wrong.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update(
        &self,
        id: BentoServiceId,
        change: impl FnOnce(&mut BentoService),
    ) -> Result<BentoService, RepositoryError> {
        let mut state = self.state();
        let service = state.service_mut(id)?;
        change(service);
        service.updated_at = now().max(service.updated_at + TimeDelta::microseconds(1));
        Ok(service.clone())
    }
}

impl State {
    fn service(&self, id: BentoServiceId) -> Result<&BentoService, RepositoryError> {
        self.services.get(&id).ok_or_else(|| RepositoryError::no_service(id))
    }

    fn service_mut(&mut self, id: BentoServiceId) -> Result<&mut BentoService, RepositoryError> {
        self.services.get_mut(&id).ok_or_else(|| RepositoryError::no_service(id))
    }

    /// The services that the predicate accepts, oldest first.
    fn oldest_first(&self, accept: impl Fn(&BentoService) -> bool) -> Vec<BentoService> {
        let mut services: Vec<_> = self.services.values().filter(|service| accept(service)).cloned().collect();
        services.sort_by_key(Position::of);
        services
    }

    /// The metrics of a service; an error when there is no such service.
    fn metrics(&self, id: BentoServiceId) -> Result<&[ServingMetric], RepositoryError> {
        self.service(id)?;
        Ok(self.metrics.get(&id).map_or(&[], Vec::as_slice))
    }
}

fn now() -> DateTime<Utc> {
    to_microseconds(Utc::now())
}

#[async_trait]
impl BentoServiceRepository for MemoryBentoServiceRepository {
    async fn register(&self, new: NewBentoService) -> Result<BentoService, RepositoryError> {
        new.validate()?;
        let mut state = self.state();
        let is_taken = |service: &BentoService| {
            service.bento_tag == new.bento_tag && service.service_name == new.service_name
        };
        if state.services.values().any(is_taken) {
            return Err(RepositoryError::Conflict { constraint: constraint::SERVICE_KEY.to_owned() });
        }
        if new.model_id.is_some_and(|model| !state.models.contains(&model)) {
            return Err(RepositoryError::MissingReference { constraint: constraint::SERVICE_MODEL.to_owned() });
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
        state.services.insert(service.id, service.clone());
        Ok(service)
    }

    async fn find(&self, id: BentoServiceId) -> Result<BentoService, RepositoryError> {
        self.state().service(id).cloned()
    }

    async fn find_by_tag(&self, bento_tag: &str) -> Result<Vec<BentoService>, RepositoryError> {
        validate_bento_tag(bento_tag)?;
        Ok(self.state().oldest_first(|service| service.bento_tag == bento_tag))
    }

    async fn list(&self, request: PageRequest) -> Result<Page<BentoService>, RepositoryError> {
        let limit = validate_limit(request.limit)?;
        let after = Position::requested_by(&request)?;
        let rows = self.state().oldest_first(|service| Position::of(service) > after);
        Ok(Page::of(rows, limit, Position::of))
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
        let mut state = self.state();
        if !state.services.contains_key(&new.service_id) {
            return Err(RepositoryError::MissingReference { constraint: constraint::METRIC_SERVICE.to_owned() });
        }
        let metric = ServingMetric {
            id: ServingMetricId::random(),
            service_id: new.service_id,
            timestamp: new.stored_timestamp()?.unwrap_or_else(now),
            window_seconds: new.window_seconds,
            measures: new.measures,
        };
        state.metrics.entry(new.service_id).or_default().push(metric.clone());
        Ok(metric)
    }

    async fn latest_metrics(&self, id: BentoServiceId, limit: u32) -> Result<Vec<ServingMetric>, RepositoryError> {
        let limit = validate_limit(limit)?;
        let mut metrics = self.state().metrics(id)?.to_vec();
        metrics.sort_by_key(|metric| std::cmp::Reverse((metric.timestamp, metric.id)));
        metrics.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(metrics)
    }

    async fn summarize(&self, id: BentoServiceId, window: TimeWindow) -> Result<MetricSummary, RepositoryError> {
        let state = self.state();
        let metrics: Vec<_> =
            state.metrics(id)?.iter().filter(|metric| window.contains(metric.timestamp)).collect();
        Ok(MetricSummary::of(&metrics))
    }
}
