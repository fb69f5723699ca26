//! Repositories in memory: the oracle that other repositories are compared with.

mod bento_service;
mod data_quality;
mod feature_view;
mod hpo;
mod idempotency;
mod model;
mod prompt;
mod shap_analysis;
mod span;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};

use super::CursorKey;
use crate::domain::to_microseconds;

pub use bento_service::MemoryBentoServiceRepository;
pub use data_quality::MemoryDataQualityRepository;
pub use feature_view::MemoryFeatureViewRepository;
pub use hpo::MemoryHpoRepository;
pub use prompt::MemoryPromptRepository;
pub use shap_analysis::MemoryShapAnalysisRepository;
pub use span::MemorySpanRepository;

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

    /// All tables: a method holds them from its first look to its last change, so that it is all or nothing.
    fn tables(&self) -> MutexGuard<'_, Tables> {
        // No method leaves the tables half changed, so a panic elsewhere does not make them wrong.
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The store's time, as a column keeps it.
fn now() -> DateTime<Utc> {
    to_microseconds(Utc::now())
}

/// The time of a change: after the one before, also if the clock says otherwise.
fn advanced(updated_at: DateTime<Utc>) -> DateTime<Utc> {
    now().max(updated_at + TimeDelta::microseconds(1))
}
