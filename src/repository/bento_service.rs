//! The contract of a store of BentoML services and their serving metrics.

use async_trait::async_trait;

use super::cursor::List;
use super::{IdempotencyKey, Page, PageRequest, RepositoryError};
use crate::domain::{
    BentoService, BentoServiceId, DeploymentStatus, HealthStatus, MetricSummary, NewBentoService,
    NewServingMetric, ServingMetric, TimeWindow,
};

/// The names of the constraints that errors name.
pub mod constraint {
    /// Unique: a bento has one service of a name.
    pub const SERVICE_KEY: &str = "ml_bentoml_services_bento_tag_service_name_key";
    /// Foreign key: the model that a service serves.
    pub const SERVICE_MODEL: &str = "ml_bentoml_services_model_id_fkey";
    /// Foreign key: the service that was measured.
    pub const METRIC_SERVICE: &str = "ml_bentoml_serving_metrics_service_id_fkey";
}

/// The list of all services.
pub(super) const SERVICES: List<'_> = List::all("bento services");
/// The idempotent registration of a service.
pub(super) const REGISTER_SCOPE: &str = "bento service";
/// The idempotent append of measurements.
pub(super) const METRICS_SCOPE: &str = "serving metrics";

/// The most measurements of one batch.
pub const METRICS_MAX: usize = 1_000_000;

/// Checks a batch of measurements, and says which one is wrong: `metrics[3].error_rate`.
pub(super) fn validate_batch(batch: &[NewServingMetric]) -> Result<(), RepositoryError> {
    if batch.len() > METRICS_MAX {
        return Err(RepositoryError::Invalid {
            field: "metrics".to_owned(),
            reason: format!("expected at most {METRICS_MAX} measurements, found {}", batch.len()),
        });
    }
    for (index, new) in batch.iter().enumerate() {
        new.validate().map_err(|invalid| RepositoryError::Invalid {
            field: format!("metrics[{index}].{}", invalid.field),
            reason: invalid.reason,
        })?;
    }
    Ok(())
}

/// BentoML services and what they measured about themselves.
///
/// Every method is all or nothing and safe to call concurrently. Values are validated first
/// ([`RepositoryError::Invalid`]); then a taken key is found before a missing reference. Times are kept to the
/// microsecond, digits below cut off towards the past.
#[async_trait]
pub trait BentoServiceRepository: Send + Sync {
    /// Stores a new service and returns it as it is stored.
    ///
    /// # Errors
    /// [`Invalid`](RepositoryError::Invalid); [`Conflict`](RepositoryError::Conflict) when the bento has a service
    /// of this name; [`MissingReference`](RepositoryError::MissingReference) when the model is not registered.
    async fn register(&self, new: NewBentoService) -> Result<BentoService, RepositoryError>;

    /// As [`register`](Self::register), once for each key: when it is called again with the key and the same values,
    /// it returns the service that the first call made, as it is now.
    ///
    /// # Errors
    /// Those of `register`; [`KeyReused`](RepositoryError::KeyReused) for other values;
    /// [`NotFound`](RepositoryError::NotFound) when the service was deleted since.
    async fn register_once(
        &self,
        key: &IdempotencyKey,
        new: NewBentoService,
    ) -> Result<BentoService, RepositoryError>;

    /// The service with this identifier.
    ///
    /// # Errors
    /// [`NotFound`](RepositoryError::NotFound).
    async fn find(&self, id: BentoServiceId) -> Result<BentoService, RepositoryError>;

    /// All services of exactly this bento, oldest first; none is no error.
    ///
    /// # Errors
    /// [`Invalid`](RepositoryError::Invalid) when no service can have this tag.
    async fn find_by_tag(&self, bento_tag: &str) -> Result<Vec<BentoService>, RepositoryError>;

    /// One page of all services, oldest first, in a total order.
    ///
    /// Rows that are there from the first page to the last are returned once, whatever is registered meanwhile.
    ///
    /// # Errors
    /// [`Invalid`](RepositoryError::Invalid) for a limit that is out of range;
    /// [`InvalidCursor`](RepositoryError::InvalidCursor).
    async fn list(&self, request: PageRequest) -> Result<Page<BentoService>, RepositoryError>;

    /// Changes the deployment status alone and returns the service, its `updated_at` later than before.
    ///
    /// # Errors
    /// [`NotFound`](RepositoryError::NotFound).
    async fn update_status(
        &self,
        id: BentoServiceId,
        status: DeploymentStatus,
    ) -> Result<BentoService, RepositoryError>;

    /// Changes the health status alone and returns the service, its `updated_at` later than before.
    ///
    /// # Errors
    /// [`NotFound`](RepositoryError::NotFound).
    async fn update_health(
        &self,
        id: BentoServiceId,
        health: HealthStatus,
    ) -> Result<BentoService, RepositoryError>;

    /// Appends a measurement and returns it as it is stored.
    ///
    /// # Errors
    /// [`Invalid`](RepositoryError::Invalid); [`MissingReference`](RepositoryError::MissingReference) when there
    /// is no such service.
    async fn record_metric(&self, new: NewServingMetric) -> Result<ServingMetric, RepositoryError>;

    /// Appends up to [`METRICS_MAX`] measurements, of any services, and returns how many: all of them or none.
    ///
    /// # Errors
    /// [`Invalid`](RepositoryError::Invalid), which names the measurement by its place in the batch;
    /// [`MissingReference`](RepositoryError::MissingReference) when there is no such service.
    async fn record_metrics(&self, batch: &[NewServingMetric]) -> Result<u64, RepositoryError>;

    /// As [`record_metrics`](Self::record_metrics), once for each key, so that a batch whose fate is unknown can be
    /// sent again.
    ///
    /// # Errors
    /// Those of `record_metrics`; [`KeyReused`](RepositoryError::KeyReused) for another batch.
    async fn record_metrics_once(
        &self,
        key: &IdempotencyKey,
        batch: &[NewServingMetric],
    ) -> Result<u64, RepositoryError>;

    /// The latest measurements of a service by their timestamps, newest first, in a total order.
    ///
    /// # Errors
    /// [`Invalid`](RepositoryError::Invalid) for a limit that is out of 1 to [`LIMIT_MAX`](super::LIMIT_MAX);
    /// [`NotFound`](RepositoryError::NotFound) when there is no such service.
    async fn latest_metrics(&self, id: BentoServiceId, limit: u32) -> Result<Vec<ServingMetric>, RepositoryError>;

    /// What the measurements of a service with a timestamp in the window say together.
    ///
    /// # Errors
    /// [`NotFound`](RepositoryError::NotFound) when there is no such service.
    async fn summarize(&self, id: BentoServiceId, window: TimeWindow) -> Result<MetricSummary, RepositoryError>;
}
