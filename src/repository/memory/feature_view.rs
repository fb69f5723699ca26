//! Feature views, materialization jobs and freshness.

use std::cmp::Reverse;
use std::collections::HashMap;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{MemoryStore, advanced, now};
use crate::domain::{
    FeatureFreshness, FeatureFreshnessId, FeatureView, FeatureViewId, Freshness, FreshnessThresholds,
    MaterializationEnd, MaterializationJob, MaterializationJobId, MaterializationOutcome, MaterializationStatus,
    NewFeatureView, NewMaterializationJob, seconds_between, stored_recorded_at, validate_feature_view_name,
};
use crate::repository::cursor::{List, Moment, before_newest, before_oldest};
use crate::repository::feature_view::{
    JOBS, VIEWS, cannot_end, feature_view_constraint as constraint, no_job, no_view,
};
use crate::repository::page::validate_limit;
use crate::repository::{FeatureViewRepository, Page, PageRequest, RepositoryError};

/// Feature views in memory.
#[derive(Debug, Clone, Default)]
pub struct MemoryFeatureViewRepository {
    store: MemoryStore,
}

/// The rows of the tables.
#[derive(Debug, Default)]
pub(super) struct Rows {
    views: HashMap<FeatureViewId, FeatureView>,
    jobs: HashMap<MaterializationJobId, MaterializationJob>,
    freshness: Vec<FeatureFreshness>,
}

impl From<&MemoryStore> for MemoryFeatureViewRepository {
    fn from(store: &MemoryStore) -> Self {
        Self { store: store.clone() }
    }
}

fn view_key(view: &FeatureView) -> Moment {
    (view.created_at, view.id.as_uuid())
}

fn job_key(job: &MaterializationJob) -> Moment {
    (job.start_time, job.id.as_uuid())
}

impl Rows {
    fn view(&self, id: FeatureViewId) -> Result<&FeatureView, RepositoryError> {
        self.views.get(&id).ok_or_else(|| no_view(id))
    }

    /// The jobs of a view, the one that began last first.
    fn jobs_of(&self, view: FeatureViewId) -> Result<Vec<&MaterializationJob>, RepositoryError> {
        self.view(view)?;
        let mut jobs: Vec<_> = self.jobs.values().filter(|job| job.feature_view_id == view).collect();
        jobs.sort_by_key(|job| Reverse(job_key(job)));
        Ok(jobs)
    }

    fn freshness(
        &self,
        view: FeatureViewId,
        thresholds: FreshnessThresholds,
        at: Option<DateTime<Utc>>,
    ) -> Result<Freshness, RepositoryError> {
        let jobs = self.jobs_of(view)?;
        let last = jobs.iter().find(|job| job.status == MaterializationStatus::Success);
        Ok(Freshness::at(at.unwrap_or_else(now), last.and_then(|job| job.end_time), thresholds))
    }
}

#[async_trait]
impl FeatureViewRepository for MemoryFeatureViewRepository {
    async fn register(&self, new: NewFeatureView) -> Result<FeatureView, RepositoryError> {
        new.validate()?;
        let rows = &mut self.store.tables().feature_views;
        if rows.views.values().any(|view| view.name == new.name) {
            return Err(RepositoryError::conflict(constraint::NAME));
        }
        let now = now();
        let view = FeatureView {
            id: FeatureViewId::random(),
            name: new.name,
            entities: new.entities,
            features: new.features,
            ttl_seconds: new.ttl_seconds,
            online_enabled: new.online_enabled,
            created_at: now,
            updated_at: now,
        };
        rows.views.insert(view.id, view.clone());
        Ok(view)
    }

    async fn find(&self, id: FeatureViewId) -> Result<FeatureView, RepositoryError> {
        self.store.tables().feature_views.view(id).cloned()
    }

    async fn find_by_name(&self, name: &str) -> Result<Option<FeatureView>, RepositoryError> {
        validate_feature_view_name(name)?;
        Ok(self.store.tables().feature_views.views.values().find(|view| view.name == name).cloned())
    }

    async fn list(&self, request: PageRequest) -> Result<Page<FeatureView>, RepositoryError> {
        let limit = validate_limit(request.limit)?;
        let after = self.store.cursors.after(&VIEWS, &request, before_oldest())?;
        let tables = self.store.tables();
        let mut views: Vec<_> =
            tables.feature_views.views.values().filter(|view| view_key(view) > after).cloned().collect();
        views.sort_by_key(view_key);
        Page::of(views, limit, |last| self.store.cursors.cursor(&VIEWS, &view_key(last)))
    }

    async fn set_online(&self, id: FeatureViewId, online_enabled: bool) -> Result<FeatureView, RepositoryError> {
        let mut tables = self.store.tables();
        let view = tables.feature_views.views.get_mut(&id).ok_or_else(|| no_view(id))?;
        view.online_enabled = online_enabled;
        view.updated_at = advanced(view.updated_at);
        Ok(view.clone())
    }

    async fn delete(&self, id: FeatureViewId) -> Result<(), RepositoryError> {
        let rows = &mut self.store.tables().feature_views;
        rows.views.remove(&id).ok_or_else(|| no_view(id))?;
        rows.jobs.retain(|_, job| job.feature_view_id != id);
        rows.freshness.retain(|found| found.feature_view_id != id);
        Ok(())
    }

    async fn start_job(&self, new: NewMaterializationJob) -> Result<MaterializationJob, RepositoryError> {
        let start_time = new.stored_start_time()?;
        let rows = &mut self.store.tables().feature_views;
        if !rows.views.contains_key(&new.feature_view_id) {
            return Err(RepositoryError::missing(constraint::JOB_VIEW));
        }
        let now = now();
        let job = MaterializationJob {
            id: MaterializationJobId::random(),
            feature_view_id: new.feature_view_id,
            start_time: start_time.unwrap_or(now),
            end_time: None,
            status: MaterializationStatus::Running,
            rows_materialized: None,
            duration_seconds: None,
            error_message: None,
            created_at: now,
            updated_at: now,
        };
        rows.jobs.insert(job.id, job.clone());
        Ok(job)
    }

    async fn finish_job(
        &self,
        id: MaterializationJobId,
        end: MaterializationEnd,
    ) -> Result<MaterializationJob, RepositoryError> {
        end.validate()?;
        let end = MaterializationEnd { end_time: end.stored_end_time()?, ..end };
        let mut tables = self.store.tables();
        let job = tables.feature_views.jobs.get_mut(&id).ok_or_else(|| no_job(id))?;
        if let Some(error) = cannot_end(job, &end) {
            return Err(error);
        }
        let end_time = end.end_time.unwrap_or_else(|| now().max(job.start_time));
        job.end_time = Some(end_time);
        job.duration_seconds = Some(seconds_between(job.start_time, end_time));
        match end.outcome {
            MaterializationOutcome::Success { rows_materialized } => {
                job.status = MaterializationStatus::Success;
                job.rows_materialized = rows_materialized;
            }
            MaterializationOutcome::Failed { error_message } => {
                job.status = MaterializationStatus::Failed;
                job.error_message = Some(error_message);
            }
        }
        job.updated_at = advanced(job.updated_at);
        Ok(job.clone())
    }

    async fn find_job(&self, id: MaterializationJobId) -> Result<MaterializationJob, RepositoryError> {
        self.store.tables().feature_views.jobs.get(&id).cloned().ok_or_else(|| no_job(id))
    }

    async fn jobs(
        &self,
        view: FeatureViewId,
        request: PageRequest,
    ) -> Result<Page<MaterializationJob>, RepositoryError> {
        let limit = validate_limit(request.limit)?;
        let filter = [&*view.to_string()];
        let list = List::filtered(JOBS, &filter);
        let after = self.store.cursors.after(&list, &request, before_newest())?;
        let tables = self.store.tables();
        let jobs = tables.feature_views.jobs_of(view)?;
        let jobs = jobs.into_iter().filter(|job| job_key(job) < after).cloned().collect();
        Page::of(jobs, limit, |last| self.store.cursors.cursor(&list, &job_key(last)))
    }

    async fn freshness(
        &self,
        view: FeatureViewId,
        thresholds: FreshnessThresholds,
        at: Option<DateTime<Utc>>,
    ) -> Result<Freshness, RepositoryError> {
        let at = stored_recorded_at(at)?;
        self.store.tables().feature_views.freshness(view, thresholds, at)
    }

    async fn record_freshness(
        &self,
        view: FeatureViewId,
        thresholds: FreshnessThresholds,
        at: Option<DateTime<Utc>>,
    ) -> Result<FeatureFreshness, RepositoryError> {
        let at = stored_recorded_at(at)?;
        let rows = &mut self.store.tables().feature_views;
        let freshness = rows.freshness(view, thresholds, at)?;
        let found = FeatureFreshness { id: FeatureFreshnessId::random(), feature_view_id: view, freshness };
        rows.freshness.push(found.clone());
        Ok(found)
    }

    async fn freshness_history(
        &self,
        view: FeatureViewId,
        limit: u32,
    ) -> Result<Vec<FeatureFreshness>, RepositoryError> {
        let limit = validate_limit(limit)?;
        let tables = self.store.tables();
        tables.feature_views.view(view)?;
        let of_view = tables.feature_views.freshness.iter().filter(|found| found.feature_view_id == view);
        let mut history: Vec<_> = of_view.cloned().collect();
        history.sort_by_key(|found| Reverse((found.freshness.recorded_at, found.id)));
        history.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(history)
    }
}
