//! The repositories of one store: in memory, or on Postgres.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use proofmark::domain::{ModelId, NewModel};
use proofmark::repository::memory::{
    MemoryDataQualityRepository, MemoryExperimentRepository, MemoryFeatureViewRepository, MemoryHpoRepository,
    MemoryModelRepository, MemoryPromptRepository, MemoryShapAnalysisRepository, MemorySpanRepository,
    MemoryStore, MemoryTrainingRunRepository,
};
use proofmark::repository::postgres::{
    PostgresDataQualityRepository, PostgresExperimentRepository, PostgresFeatureViewRepository,
    PostgresHpoRepository, PostgresModelRepository, PostgresPromptRepository, PostgresShapAnalysisRepository,
    PostgresSpanRepository, PostgresTrainingRunRepository, Store,
};
use proofmark::repository::{
    DataQualityRepository, ExperimentRepository, FeatureViewRepository, HpoRepository, ModelRepository, Page,
    PageRequest, PromptRepository, RepositoryError, ShapAnalysisRepository, SpanRepository, TrainingRunRepository,
};
use proofmark_harness::{Migrations, TestDatabase};

/// Repositories that refer to each other's rows.
#[derive(Clone)]
pub(crate) struct Layer {
    pub(crate) experiments: Arc<dyn ExperimentRepository>,
    pub(crate) models: Arc<dyn ModelRepository>,
    pub(crate) training_runs: Arc<dyn TrainingRunRepository>,
    pub(crate) features: Arc<dyn FeatureViewRepository>,
    pub(crate) quality: Arc<dyn DataQualityRepository>,
    pub(crate) shap: Arc<dyn ShapAnalysisRepository>,
    pub(crate) hpo: Arc<dyn HpoRepository>,
    pub(crate) spans: Arc<dyn SpanRepository>,
    pub(crate) prompts: Arc<dyn PromptRepository>,
}

impl Layer {
    fn memory() -> Self {
        let store = MemoryStore::new();
        Self {
            experiments: Arc::new(MemoryExperimentRepository::from(&store)),
            models: Arc::new(MemoryModelRepository::from(&store)),
            training_runs: Arc::new(MemoryTrainingRunRepository::from(&store)),
            features: Arc::new(MemoryFeatureViewRepository::from(&store)),
            quality: Arc::new(MemoryDataQualityRepository::from(&store)),
            shap: Arc::new(MemoryShapAnalysisRepository::from(&store)),
            hpo: Arc::new(MemoryHpoRepository::from(&store)),
            spans: Arc::new(MemorySpanRepository::from(&store)),
            prompts: Arc::new(MemoryPromptRepository::from(&store)),
        }
    }

    pub(crate) fn postgres(store: impl Into<Store>) -> Self {
        let store = store.into();
        Self {
            experiments: Arc::new(PostgresExperimentRepository::new(store.clone())),
            models: Arc::new(PostgresModelRepository::new(store.clone())),
            training_runs: Arc::new(PostgresTrainingRunRepository::new(store.clone())),
            features: Arc::new(PostgresFeatureViewRepository::new(store.clone())),
            quality: Arc::new(PostgresDataQualityRepository::new(store.clone())),
            shap: Arc::new(PostgresShapAnalysisRepository::new(store.clone())),
            hpo: Arc::new(PostgresHpoRepository::new(store.clone())),
            spans: Arc::new(PostgresSpanRepository::new(store.clone())),
            prompts: Arc::new(PostgresPromptRepository::new(store)),
        }
    }

    pub(crate) async fn a_model(&self) -> ModelId {
        self.models.register(NewModel::new("fraud", ModelId::random().to_string())).await.unwrap().id
    }
}

/// Runs a scenario in memory, and then on Postgres.
pub(crate) async fn on_both(scenario: impl AsyncFn(Layer)) {
    scenario(Layer::memory()).await;
    on_postgres(async |_, layer| scenario(layer).await).await;
}

/// Runs a scenario on Postgres alone.
pub(crate) async fn on_postgres(scenario: impl AsyncFn(TestDatabase, Layer)) {
    let database = TestDatabase::acquire(&Migrations::reference()).await.unwrap();
    scenario(database.clone(), Layer::postgres(database.pool().clone())).await;
    database.release().await;
}

/// A moment.
pub(crate) fn time(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// All rows of a list, in pages of two.
pub(crate) async fn pages<T>(list: impl AsyncFn(PageRequest) -> Result<Page<T>, RepositoryError>) -> Vec<T> {
    let mut rows = Vec::new();
    let mut request = PageRequest::first(2);
    loop {
        let page = list(request).await.unwrap();
        assert!(page.items.len() <= 2);
        rows.extend(page.items);
        match page.next {
            Some(after) => request = PageRequest { limit: 2, after: Some(after) },
            None => return rows,
        }
    }
}

/// Fails unless a call was refused for this field.
#[track_caller]
pub(crate) fn assert_invalid<T: std::fmt::Debug>(result: Result<T, RepositoryError>, expected: &str) {
    let is_it = matches!(&result, Err(RepositoryError::Invalid { field, .. }) if field == expected);
    assert!(is_it, "expected an invalid {expected}, found {result:?}");
}

/// Fails unless a call was refused by this constraint.
#[track_caller]
pub(crate) fn assert_constraint<T: std::fmt::Debug>(result: Result<T, RepositoryError>, expected: &str) {
    let found = match &result {
        Err(RepositoryError::Conflict { constraint } | RepositoryError::MissingReference { constraint }) => {
            Some(constraint.as_str())
        }
        _ => None,
    };
    assert_eq!(found, Some(expected), "found {result:?}");
}

/// Fails unless there was no such row.
#[track_caller]
pub(crate) fn assert_not_found<T: std::fmt::Debug>(result: Result<T, RepositoryError>) {
    assert!(matches!(result, Err(RepositoryError::NotFound { .. })), "expected no such row, found {result:?}");
}

/// Fails unless the row's state did not allow it.
#[track_caller]
pub(crate) fn assert_refused<T: std::fmt::Debug>(result: Result<T, RepositoryError>) {
    assert!(matches!(result, Err(RepositoryError::Refused { .. })), "expected a refusal, found {result:?}");
}
