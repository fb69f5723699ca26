//! The repositories of one store: in memory, or on Postgres.

use std::sync::Arc;

use proofmark::domain::{
    BentoService, Experiment, ExperimentId, NewBentoService, NewExperiment, NewModel, RegisteredModel,
};
use proofmark::repository::memory::{
    MemoryBentoServiceRepository, MemoryDeploymentRepository, MemoryExperimentRepository, MemoryModelRepository,
    MemoryStore, MemoryTrainingRunRepository,
};
use proofmark::repository::postgres::{
    PostgresBentoServiceRepository, PostgresDeploymentRepository, PostgresExperimentRepository,
    PostgresModelRepository, PostgresTrainingRunRepository, Store,
};
use proofmark::repository::{
    BentoServiceRepository, DeploymentRepository, ExperimentRepository, ModelRepository, TrainingRunRepository,
};
use proofmark_harness::{Migrations, TestDatabase};

/// Repositories that refer to each other's rows.
#[derive(Clone)]
pub(crate) struct Layer {
    pub(crate) name: &'static str,
    pub(crate) experiments: Arc<dyn ExperimentRepository>,
    pub(crate) models: Arc<dyn ModelRepository>,
    pub(crate) runs: Arc<dyn TrainingRunRepository>,
    pub(crate) deployments: Arc<dyn DeploymentRepository>,
    pub(crate) services: Arc<dyn BentoServiceRepository>,
}

impl Layer {
    pub(crate) fn memory() -> Self {
        let store = MemoryStore::new();
        Self {
            name: "memory",
            experiments: Arc::new(MemoryExperimentRepository::from(&store)),
            models: Arc::new(MemoryModelRepository::from(&store)),
            runs: Arc::new(MemoryTrainingRunRepository::from(&store)),
            deployments: Arc::new(MemoryDeploymentRepository::from(&store)),
            services: Arc::new(MemoryBentoServiceRepository::from(&store)),
        }
    }

    pub(crate) fn postgres(store: impl Into<Store>) -> Self {
        let store = store.into();
        Self {
            name: "postgres",
            experiments: Arc::new(PostgresExperimentRepository::new(store.clone())),
            models: Arc::new(PostgresModelRepository::new(store.clone())),
            runs: Arc::new(PostgresTrainingRunRepository::new(store.clone())),
            deployments: Arc::new(PostgresDeploymentRepository::new(store.clone())),
            services: Arc::new(PostgresBentoServiceRepository::new(store)),
        }
    }

    pub(crate) async fn an_experiment(&self) -> Experiment {
        self.experiments.register(NewExperiment::new("churn")).await.unwrap()
    }

    pub(crate) async fn a_model(
        &self,
        name: &str,
        version: &str,
        experiment: Option<ExperimentId>,
    ) -> RegisteredModel {
        let new = NewModel { experiment_id: experiment, ..NewModel::new(name, version) };
        self.models.register(new).await.unwrap()
    }

    pub(crate) async fn a_service(&self, name: &str) -> BentoService {
        self.services.register(NewBentoService::new("fraud:v1", "v1", name)).await.unwrap()
    }
}

/// A database of the test's own.
pub(crate) async fn database() -> TestDatabase {
    TestDatabase::acquire(&Migrations::reference()).await.unwrap()
}

/// Runs a scenario in memory, and then on Postgres.
pub(crate) async fn on_both(scenario: impl AsyncFn(Layer)) {
    scenario(Layer::memory()).await;
    let database = database().await;
    scenario(Layer::postgres(database.pool().clone())).await;
    database.release().await;
}
