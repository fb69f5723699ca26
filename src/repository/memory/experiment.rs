//! Experiments.

use std::collections::HashMap;

use async_trait::async_trait;

use super::{MemoryStore, Tables, advanced, check_revision, now};
use crate::domain::{Experiment, ExperimentChanges, ExperimentId, NewExperiment, Revision, validate_mlflow_id};
use crate::repository::cursor::{Moment, before_oldest};
use crate::repository::experiment::{EXPERIMENT_SCOPE, EXPERIMENTS, experiment_constraint as constraint};
use crate::repository::page::validate_limit;
use crate::repository::{ExperimentRepository, IdempotencyKey, Page, PageRequest, RepositoryError};

/// Experiments in memory.
#[derive(Debug, Clone, Default)]
pub struct MemoryExperimentRepository {
    store: MemoryStore,
}

/// The rows.
#[derive(Debug, Default)]
pub(super) struct Rows {
    experiments: HashMap<ExperimentId, Experiment>,
}

impl From<&MemoryStore> for MemoryExperimentRepository {
    fn from(store: &MemoryStore) -> Self {
        Self { store: store.clone() }
    }
}

fn key(experiment: &Experiment) -> Moment {
    (experiment.created_at, experiment.id.as_uuid())
}

fn not_found(id: ExperimentId) -> RepositoryError {
    RepositoryError::not_found("experiment", id.as_uuid())
}

impl Rows {
    /// Whether there is such an experiment.
    pub(super) fn contains(&self, id: ExperimentId) -> bool {
        self.experiments.contains_key(&id)
    }

    fn find(&self, id: ExperimentId) -> Result<&Experiment, RepositoryError> {
        self.experiments.get(&id).ok_or_else(|| not_found(id))
    }

    fn with_mlflow_id(&self, mlflow_experiment_id: &str) -> Option<&Experiment> {
        self.experiments
            .values()
            .find(|experiment| experiment.mlflow_experiment_id.as_deref() == Some(mlflow_experiment_id))
    }
}

impl Tables {
    fn register_experiment(&mut self, new: NewExperiment) -> Result<Experiment, RepositoryError> {
        if new.mlflow_experiment_id.as_ref().is_some_and(|id| self.experiments.with_mlflow_id(id).is_some()) {
            return Err(RepositoryError::conflict(constraint::MLFLOW_KEY));
        }
        let now = now();
        let experiment = Experiment {
            id: ExperimentId::random(),
            experiment_name: new.experiment_name,
            mlflow_experiment_id: new.mlflow_experiment_id,
            description: new.description,
            prediction_target: new.prediction_target,
            created_by: new.created_by,
            revision: Revision::FIRST,
            created_at: now,
            updated_at: now,
        };
        self.experiments.experiments.insert(experiment.id, experiment.clone());
        Ok(experiment)
    }
}

#[async_trait]
impl ExperimentRepository for MemoryExperimentRepository {
    async fn register(&self, new: NewExperiment) -> Result<Experiment, RepositoryError> {
        new.validate()?;
        self.store.tables().register_experiment(new)
    }

    async fn register_once(
        &self,
        key: &IdempotencyKey,
        new: NewExperiment,
    ) -> Result<Experiment, RepositoryError> {
        new.validate()?;
        self.store.once(
            EXPERIMENT_SCOPE,
            key,
            new,
            |tables, new| tables.register_experiment(new).map(|made| (made.id.as_uuid(), made)),
            |tables, id| tables.experiments.find(id.into()).cloned(),
        )
    }

    async fn find(&self, id: ExperimentId) -> Result<Experiment, RepositoryError> {
        self.store.tables().experiments.find(id).cloned()
    }

    async fn find_by_mlflow_id(&self, mlflow_experiment_id: &str) -> Result<Option<Experiment>, RepositoryError> {
        validate_mlflow_id("mlflow_experiment_id", mlflow_experiment_id)?;
        Ok(self.store.tables().experiments.with_mlflow_id(mlflow_experiment_id).cloned())
    }

    async fn list(&self, request: PageRequest) -> Result<Page<Experiment>, RepositoryError> {
        let limit = validate_limit(request.limit)?;
        let after = self.store.cursors.after(&EXPERIMENTS, &request, before_oldest())?;
        let tables = self.store.tables();
        let mut rows: Vec<_> =
            tables.experiments.experiments.values().filter(|row| key(row) > after).cloned().collect();
        rows.sort_by_key(key);
        Page::of(rows, limit, |last| self.store.cursors.cursor(&EXPERIMENTS, &key(last)))
    }

    async fn update(
        &self,
        id: ExperimentId,
        expected: Option<Revision>,
        changes: ExperimentChanges,
    ) -> Result<Experiment, RepositoryError> {
        changes.validate()?;
        let mut tables = self.store.tables();
        let experiment = tables.experiments.experiments.get_mut(&id).ok_or_else(|| not_found(id))?;
        check_revision("experiment", id.as_uuid(), expected, experiment.revision)?;
        changes.experiment_name.apply(&mut experiment.experiment_name);
        changes.description.apply(&mut experiment.description);
        changes.prediction_target.apply(&mut experiment.prediction_target);
        experiment.revision = experiment.revision.next();
        experiment.updated_at = advanced(experiment.updated_at);
        Ok(experiment.clone())
    }

    async fn delete(&self, id: ExperimentId) -> Result<(), RepositoryError> {
        let mut tables = self.store.tables();
        tables.experiments.find(id)?;
        for (is_used, constraint) in [
            (tables.models.are_of(id), constraint::MODEL_EXPERIMENT),
            (tables.training_runs.are_of(id), constraint::RUN_EXPERIMENT),
        ] {
            if is_used {
                return Err(RepositoryError::StillReferenced { constraint: constraint.to_owned() });
            }
        }
        tables.experiments.experiments.remove(&id);
        Ok(())
    }
}
