//! The contract of a store of feature views, their materialization jobs and their freshness.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::cursor::List;
use super::{Page, PageRequest, RepositoryError};
use crate::domain::{
    FeatureFreshness, FeatureView, FeatureViewId, Freshness, FreshnessThresholds, MaterializationEnd,
    MaterializationJob, MaterializationJobId, MaterializationStatus, NewFeatureView, NewMaterializationJob,
};

/// The names of the constraints that errors name.
pub mod feature_view_constraint {
    /// Unique: the name of a view.
    pub const NAME: &str = "ml_feast_feature_views_name_key";
    /// Foreign key: the view whose values a job brings.
    pub const JOB_VIEW: &str = "ml_feast_materialization_jobs_feature_view_id_fkey";
    /// Foreign key: the view that somebody looked at.
    pub const FRESHNESS_VIEW: &str = "ml_feast_feature_freshness_feature_view_id_fkey";
}

/// The list of all views.
pub(super) const VIEWS: List<'_> = List::all("feature views");
/// The lists of jobs, by view.
pub(super) const JOBS: &str = "materialization jobs";

/// There is no such view.
pub(super) fn no_view(id: FeatureViewId) -> RepositoryError {
    RepositoryError::not_found("feature view", id.as_uuid())
}

/// There is no such job.
pub(super) fn no_job(id: MaterializationJobId) -> RepositoryError {
    RepositoryError::not_found("materialization job", id.as_uuid())
}

/// Why a job cannot end so.
pub(super) fn cannot_end(job: &MaterializationJob, end: &MaterializationEnd) -> Option<RepositoryError> {
    if job.status != MaterializationStatus::Running {
        let reason = format!("expected one that is running, found one with the status {}", job.status);
        return Some(RepositoryError::refused("materialization job", job.id.as_uuid(), reason));
    }
    let end_time = end.end_time.filter(|&end_time| end_time < job.start_time)?;
    Some(RepositoryError::Invalid {
        field: "end_time".to_owned(),
        reason: format!("expected a time from {} on, found {end_time}", job.start_time),
    })
}

/// Feature views, the jobs that bring their values into the online store, and how old those are.
///
/// Every method is all or nothing and safe to call concurrently. Values are validated first
/// ([`RepositoryError::Invalid`]). Times are kept to the microsecond, digits below cut off towards the past.
#[async_trait]
pub trait FeatureViewRepository: Send + Sync {
    /// Stores a new view and returns it as it is stored.
    ///
    /// # Errors
    /// [`Invalid`](RepositoryError::Invalid); [`Conflict`](RepositoryError::Conflict) when a view has this name.
    async fn register(&self, new: NewFeatureView) -> Result<FeatureView, RepositoryError>;

    /// The view with this identifier.
    ///
    /// # Errors
    /// [`NotFound`](RepositoryError::NotFound).
    async fn find(&self, id: FeatureViewId) -> Result<FeatureView, RepositoryError>;

    /// The view with exactly this name; none is no error.
    ///
    /// # Errors
    /// [`Invalid`](RepositoryError::Invalid) when no view can have this name.
    async fn find_by_name(&self, name: &str) -> Result<Option<FeatureView>, RepositoryError>;

    /// One page of all views, oldest first, in a total order.
    ///
    /// # Errors
    /// [`Invalid`](RepositoryError::Invalid) for a limit that is out of range;
    /// [`InvalidCursor`](RepositoryError::InvalidCursor).
    async fn list(&self, request: PageRequest) -> Result<Page<FeatureView>, RepositoryError>;

    /// Says whether values are brought into the online store, and returns the view, its `updated_at` later than
    /// before.
    ///
    /// # Errors
    /// [`NotFound`](RepositoryError::NotFound).
    async fn set_online(&self, id: FeatureViewId, online_enabled: bool) -> Result<FeatureView, RepositoryError>;

    /// Deletes a view, its jobs and what is known of its freshness.
    ///
    /// # Errors
    /// [`NotFound`](RepositoryError::NotFound), also the second time.
    async fn delete(&self, id: FeatureViewId) -> Result<(), RepositoryError>;

    /// Records that a job begins.
    ///
    /// # Errors
    /// [`Invalid`](RepositoryError::Invalid); [`MissingReference`](RepositoryError::MissingReference) when there is no
    /// such view.
    async fn start_job(&self, new: NewMaterializationJob) -> Result<MaterializationJob, RepositoryError>;

    /// Records how a job ended, and returns it.
    ///
    /// # Errors
    /// [`Invalid`](RepositoryError::Invalid); [`NotFound`](RepositoryError::NotFound);
    /// [`Refused`](RepositoryError::Refused) when it has ended already; then `Invalid` when the end lies before the
    /// beginning.
    async fn finish_job(
        &self,
        id: MaterializationJobId,
        end: MaterializationEnd,
    ) -> Result<MaterializationJob, RepositoryError>;

    /// The job with this identifier.
    ///
    /// # Errors
    /// [`NotFound`](RepositoryError::NotFound).
    async fn find_job(&self, id: MaterializationJobId) -> Result<MaterializationJob, RepositoryError>;

    /// One page of the jobs of a view, the one that began last first, in a total order.
    ///
    /// # Errors
    /// [`Invalid`](RepositoryError::Invalid) for a limit that is out of range;
    /// [`InvalidCursor`](RepositoryError::InvalidCursor); [`NotFound`](RepositoryError::NotFound) when there is no
    /// such view.
    async fn jobs(
        &self,
        view: FeatureViewId,
        request: PageRequest,
    ) -> Result<Page<MaterializationJob>, RepositoryError>;

    /// How old the values of a view are at a time, or now: measured from the end of the successful job that began
    /// last, which has read the newest data. Unknown only if there never was a successful job.
    ///
    /// # Errors
    /// [`Invalid`](RepositoryError::Invalid) for a time outside the years 1 to 9999;
    /// [`NotFound`](RepositoryError::NotFound) when there is no such view.
    async fn freshness(
        &self,
        view: FeatureViewId,
        thresholds: FreshnessThresholds,
        at: Option<DateTime<Utc>>,
    ) -> Result<Freshness, RepositoryError>;

    /// As [`freshness`](Self::freshness), and keeps what was found.
    ///
    /// # Errors
    /// As there.
    async fn record_freshness(
        &self,
        view: FeatureViewId,
        thresholds: FreshnessThresholds,
        at: Option<DateTime<Utc>>,
    ) -> Result<FeatureFreshness, RepositoryError>;

    /// What was found about the freshness of a view, the latest first, in a total order.
    ///
    /// # Errors
    /// [`Invalid`](RepositoryError::Invalid) for a limit that is out of range;
    /// [`NotFound`](RepositoryError::NotFound) when there is no such view.
    async fn freshness_history(
        &self,
        view: FeatureViewId,
        limit: u32,
    ) -> Result<Vec<FeatureFreshness>, RepositoryError>;
}
