//! Training runs.

use std::cmp::Reverse;
use std::collections::HashMap;

use async_trait::async_trait;

use super::{MemoryStore, Tables, advanced, check_revision, now};
use crate::domain::{
    ExperimentId, ModelId, NewTrainingRun, Revision, SplitMetrics, TrainingRun, TrainingRunId, TrainingStatus,
    validate_error_message, validate_mlflow_id, validate_study_name,
};
use crate::repository::cursor::{List, Moment, before_newest};
use crate::repository::page::validate_limit;
use crate::repository::training_run::{
    RUN, RUN_SCOPE, RUNS, RUNS_OF_EXPERIMENT, has_ended, not_best, training_run_constraint as constraint,
};
use crate::repository::{IdempotencyKey, Page, PageRequest, RepositoryError, TrainingRunRepository};

/// Training runs in memory.
#[derive(Debug, Clone, Default)]
pub struct MemoryTrainingRunRepository {
    store: MemoryStore,
}

/// The rows.
#[derive(Debug, Default)]
pub(super) struct Rows {
    runs: HashMap<TrainingRunId, TrainingRun>,
}

impl From<&MemoryStore> for MemoryTrainingRunRepository {
    fn from(store: &MemoryStore) -> Self {
        Self { store: store.clone() }
    }
}

fn key(run: &TrainingRun) -> Moment {
    (run.created_at, run.id.as_uuid())
}

fn revise(run: &mut TrainingRun) -> TrainingRun {
    run.revision = run.revision.next();
    run.updated_at = advanced(run.updated_at);
    run.clone()
}

impl Rows {
    /// Whether there is such a run.
    pub(super) fn contains(&self, id: TrainingRunId) -> bool {
        self.runs.contains_key(&id)
    }

    /// Whether a run belongs to the experiment.
    pub(super) fn are_of(&self, experiment: ExperimentId) -> bool {
        self.runs.values().any(|run| run.experiment_id == experiment)
    }

    /// Whether the model came out of a run.
    pub(super) fn made(&self, model: ModelId) -> bool {
        self.runs.values().any(|run| run.model_id == Some(model))
    }

    fn find(&self, id: TrainingRunId) -> Result<&TrainingRun, RepositoryError> {
        self.runs.get(&id).ok_or_else(|| RepositoryError::not_found(RUN, id.as_uuid()))
    }

    /// The run, if it has the expected revision.
    fn find_mut(
        &mut self,
        id: TrainingRunId,
        expected: Option<Revision>,
    ) -> Result<&mut TrainingRun, RepositoryError> {
        let run = self.runs.get_mut(&id).ok_or_else(|| RepositoryError::not_found(RUN, id.as_uuid()))?;
        check_revision(RUN, id.as_uuid(), expected, run.revision)?;
        Ok(run)
    }

    fn with_mlflow_id(&self, mlflow_run_id: &str) -> Option<&TrainingRun> {
        self.runs.values().find(|run| run.mlflow_run_id.as_deref() == Some(mlflow_run_id))
    }

    /// Ends a run.
    fn end(
        &mut self,
        id: TrainingRunId,
        expected: Option<Revision>,
        status: TrainingStatus,
        model_is_missing: bool,
        change: impl FnOnce(&mut TrainingRun),
    ) -> Result<TrainingRun, RepositoryError> {
        let run = self.find_mut(id, expected)?;
        if run.status != TrainingStatus::Running {
            return Err(RepositoryError::refused(RUN, id.as_uuid(), has_ended(run.status)));
        }
        if model_is_missing {
            return Err(RepositoryError::missing(constraint::MODEL));
        }
        let completed_at = now().max(run.started_at);
        run.status = status;
        run.completed_at = Some(completed_at);
        // Exact: there are fewer microseconds in the years 1 to 9999 than a double has integers.
        run.duration_seconds = (completed_at - run.started_at)
            .num_microseconds()
            .and_then(|micros| format!("{micros}e-6").parse().ok());
        change(run);
        Ok(revise(run))
    }
}

impl Tables {
    fn start_run(&mut self, new: NewTrainingRun) -> Result<TrainingRun, RepositoryError> {
        if new.mlflow_run_id.as_ref().is_some_and(|id| self.training_runs.with_mlflow_id(id).is_some()) {
            return Err(RepositoryError::conflict(constraint::MLFLOW_KEY));
        }
        if !self.experiments.contains(new.experiment_id) {
            return Err(RepositoryError::missing(constraint::EXPERIMENT));
        }
        let now = now();
        let run = TrainingRun {
            id: TrainingRunId::random(),
            experiment_id: new.experiment_id,
            model_id: None,
            mlflow_run_id: new.mlflow_run_id,
            algorithm: new.algorithm,
            hyperparameters: new.hyperparameters,
            feature_names: new.feature_names,
            metrics: SplitMetrics::default(),
            status: TrainingStatus::Running,
            error_message: None,
            started_at: new.started_at.unwrap_or(now),
            completed_at: None,
            duration_seconds: None,
            trial: new.trial,
            is_best_trial: false,
            revision: Revision::FIRST,
            created_at: now,
            updated_at: now,
        };
        self.training_runs.runs.insert(run.id, run.clone());
        Ok(run)
    }
}

impl MemoryTrainingRunRepository {
    fn page(
        &self,
        list: &List<'_>,
        request: &PageRequest,
        accept: impl Fn(&TrainingRun) -> bool,
    ) -> Result<Page<TrainingRun>, RepositoryError> {
        let limit = validate_limit(request.limit)?;
        let after = self.store.cursors.after(list, request, before_newest())?;
        let tables = self.store.tables();
        let rows = tables.training_runs.runs.values().filter(|run| accept(run) && key(run) < after);
        let mut rows: Vec<_> = rows.cloned().collect();
        rows.sort_by_key(|run| Reverse(key(run)));
        Page::of(rows, limit, |last| self.store.cursors.cursor(list, &key(last)))
    }
}

#[async_trait]
impl TrainingRunRepository for MemoryTrainingRunRepository {
    async fn start(&self, new: NewTrainingRun) -> Result<TrainingRun, RepositoryError> {
        let new = new.stored()?;
        self.store.tables().start_run(new)
    }

    async fn start_once(&self, key: &IdempotencyKey, new: NewTrainingRun) -> Result<TrainingRun, RepositoryError> {
        self.store.once(
            RUN_SCOPE,
            key,
            new.stored()?,
            |tables, new| tables.start_run(new).map(|made| (made.id.as_uuid(), made)),
            |tables, id| tables.training_runs.find(id.into()).cloned(),
        )
    }

    async fn find(&self, id: TrainingRunId) -> Result<TrainingRun, RepositoryError> {
        self.store.tables().training_runs.find(id).cloned()
    }

    async fn find_by_mlflow_id(&self, mlflow_run_id: &str) -> Result<Option<TrainingRun>, RepositoryError> {
        validate_mlflow_id("mlflow_run_id", mlflow_run_id)?;
        Ok(self.store.tables().training_runs.with_mlflow_id(mlflow_run_id).cloned())
    }

    async fn list(&self, request: PageRequest) -> Result<Page<TrainingRun>, RepositoryError> {
        self.page(&RUNS, &request, |_| true)
    }

    async fn of_experiment(
        &self,
        experiment: ExperimentId,
        request: PageRequest,
    ) -> Result<Page<TrainingRun>, RepositoryError> {
        let filter = experiment.to_string();
        let filter = [filter.as_str()];
        let list = List::filtered(RUNS_OF_EXPERIMENT, &filter);
        self.page(&list, &request, |run| run.experiment_id == experiment)
    }

    async fn complete(
        &self,
        id: TrainingRunId,
        expected: Option<Revision>,
        model: Option<ModelId>,
        metrics: SplitMetrics,
    ) -> Result<TrainingRun, RepositoryError> {
        let metrics = metrics.stored()?;
        let mut tables = self.store.tables();
        let model_is_missing = model.is_some_and(|model| !tables.models.contains(model));
        tables.training_runs.end(id, expected, TrainingStatus::Completed, model_is_missing, |run| {
            run.model_id = model;
            run.metrics = metrics;
        })
    }

    async fn fail(
        &self,
        id: TrainingRunId,
        expected: Option<Revision>,
        error_message: &str,
    ) -> Result<TrainingRun, RepositoryError> {
        validate_error_message(error_message)?;
        self.store.tables().training_runs.end(id, expected, TrainingStatus::Failed, false, |run| {
            run.error_message = Some(error_message.to_owned());
        })
    }

    async fn cancel(&self, id: TrainingRunId, expected: Option<Revision>) -> Result<TrainingRun, RepositoryError> {
        self.store.tables().training_runs.end(id, expected, TrainingStatus::Cancelled, false, |_| {})
    }

    async fn mark_best(
        &self,
        id: TrainingRunId,
        expected: Option<Revision>,
    ) -> Result<TrainingRun, RepositoryError> {
        let mut tables = self.store.tables();
        let run = tables.training_runs.find_mut(id, expected)?;
        let study = match (&run.trial, run.status) {
            (Some(trial), TrainingStatus::Completed) => trial.study_name.clone(),
            _ => return Err(RepositoryError::refused(RUN, id.as_uuid(), not_best(run))),
        };
        if run.is_best_trial {
            return Ok(run.clone());
        }
        for other in tables.training_runs.runs.values_mut() {
            if other.is_best_trial && other.trial.as_ref().is_some_and(|trial| trial.study_name == study) {
                other.is_best_trial = false;
                revise(other);
            }
        }
        let run = tables.training_runs.find_mut(id, None)?;
        run.is_best_trial = true;
        Ok(revise(run))
    }

    async fn best_of(&self, study_name: &str) -> Result<Option<TrainingRun>, RepositoryError> {
        validate_study_name(study_name)?;
        let tables = self.store.tables();
        let is_it = |run: &&TrainingRun| {
            run.is_best_trial && run.trial.as_ref().is_some_and(|trial| trial.study_name == study_name)
        };
        Ok(tables.training_runs.runs.values().find(is_it).cloned())
    }
}
