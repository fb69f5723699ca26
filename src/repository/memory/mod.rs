//! Repositories in memory: the oracle that other repositories are compared with.

mod bento_service;
mod data_quality;
mod deployment;
mod experiment;
mod feature_view;
mod hpo;
mod idempotency;
mod model;
mod prompt;
mod shap_analysis;
mod span;
mod training_run;

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};

use serde::Serialize;
use uuid::Uuid;

use super::idempotency::Request;
use super::{CursorKey, IdempotencyKey, RepositoryError};
use crate::domain::{Revision, to_microseconds};

pub use bento_service::MemoryBentoServiceRepository;
pub use data_quality::MemoryDataQualityRepository;
pub use deployment::MemoryDeploymentRepository;
pub use experiment::MemoryExperimentRepository;
pub use feature_view::MemoryFeatureViewRepository;
pub use hpo::MemoryHpoRepository;
pub use model::MemoryModelRepository;
pub use prompt::MemoryPromptRepository;
pub use shap_analysis::MemoryShapAnalysisRepository;
pub use span::MemorySpanRepository;
pub use training_run::MemoryTrainingRunRepository;

/// The tables of one platform. Clones share them, and so do the repositories that are made on it: what one of them
/// stores, another can refer to.
#[derive(Debug, Clone)]
pub struct MemoryStore {
    tables: Arc<Mutex<Tables>>,
    cursors: CursorKey,
}

/// The rows of each aggregate.
#[derive(Debug, Default)]
struct Tables {
    bento_services: bento_service::Rows,
    data_quality: data_quality::Rows,
    feature_views: feature_view::Rows,
    hpo: hpo::Rows,
    idempotency: idempotency::Rows,
    models: model::Rows,
    prompts: prompt::Rows,
    shap_analyses: shap_analysis::Rows,
    spans: span::Rows,
    deployments: deployment::Rows,
    experiments: experiment::Rows,
    training_runs: training_run::Rows,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self { tables: Arc::default(), cursors: CursorKey::of_process() }
    }
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, with cursors that are signed with another key.
    #[must_use]
    pub fn with_cursor_key(self, cursors: CursorKey) -> Self {
        Self { cursors, ..self }
    }

    /// Makes a row once for each idempotency key; when it was made already, finds it.
    fn once<N: Serialize, T>(
        &self,
        scope: &'static str,
        key: &IdempotencyKey,
        new: N,
        make: impl FnOnce(&mut Tables, N) -> Result<(Uuid, T), RepositoryError>,
        find: impl FnOnce(&Tables, Uuid) -> Result<T, RepositoryError>,
    ) -> Result<T, RepositoryError> {
        let request = Request::new(scope, &new)?;
        let mut tables = self.tables();
        if let Some(earlier) = tables.idempotency.recall(request, key)? {
            return find(&tables, earlier);
        }
        let (id, made) = make(&mut tables, new)?;
        tables.idempotency.remember(request, key, id);
        Ok(made)
    }

    /// All tables: a method holds them from its first look to its last change, so that it is all or nothing.
    fn tables(&self) -> MutexGuard<'_, Tables> {
        // No method leaves the tables half changed, so a panic elsewhere does not make them wrong.
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the revision that the caller has seen, if any, is the one that is stored.
fn check_revision(
    entity: &'static str,
    id: Uuid,
    expected: Option<Revision>,
    found: Revision,
) -> Result<(), RepositoryError> {
    match expected {
        Some(expected) if expected != found => Err(RepositoryError::Stale { entity, id, expected, found }),
        _ => Ok(()),
    }
}

/// The store's time, as a column keeps it, and never the same twice: what is stored later is listed later.
fn now() -> DateTime<Utc> {
    static LAST_MICROS: AtomicI64 = AtomicI64::new(0);
    let clock = to_microseconds(Utc::now()).timestamp_micros();
    let after = |last: i64| Some(clock.max(last.saturating_add(1)));
    let last = match LAST_MICROS.fetch_update(Ordering::Relaxed, Ordering::Relaxed, after) {
        Ok(last) | Err(last) => last,
    };
    DateTime::from_timestamp_micros(clock.max(last.saturating_add(1))).unwrap_or_default()
}

/// The time of a change: after the one before, also if the clock says otherwise.
fn advanced(updated_at: DateTime<Utc>) -> DateTime<Utc> {
    now().max(updated_at + TimeDelta::microseconds(1))
}
