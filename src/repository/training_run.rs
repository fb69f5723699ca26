//! The contract of a store of training runs.

use async_trait::async_trait;

use super::cursor::List;
use super::{IdempotencyKey, Page, PageRequest, RepositoryError};
use crate::domain::{
    ExperimentId, ModelId, NewTrainingRun, Revision, SplitMetrics, TrainingRun, TrainingRunId, TrainingStatus,
};

/// What errors call a row.
pub(super) const RUN: &str = "training run";
/// The list of all runs.
pub(super) const RUNS: List<'_> = List::all("training runs");
/// The list of the runs of an experiment.
pub(super) const RUNS_OF_EXPERIMENT: &str = "training runs of an experiment";
/// The idempotent start of a run.
pub(super) const RUN_SCOPE: &str = "training run";

/// Why a run that has ended does not end again.
pub(super) fn has_ended(status: TrainingStatus) -> String {
    format!("expected it to be running, found it {status}")
}

/// Why a run cannot be the best of a study.
pub(super) fn not_best(run: &TrainingRun) -> String {
    match (run.status, &run.trial) {
        (TrainingStatus::Completed, _) => "expected the trial of a study, found a run of its own".to_owned(),
        (status, _) => format!("expected it to be completed, found it {status}"),
    }
}

/// The names of the constraints that errors name.
pub mod training_run_constraint {
    /// Unique: the identifier in MLflow.
    pub const MLFLOW_KEY: &str = "ml_training_runs_mlflow_run_id_key";
    /// Foreign key: the experiment that a run belongs to.
    pub const EXPERIMENT: &str = "ml_training_runs_experiment_id_fkey";
    /// Foreign key: the model that came out of a run.
    pub const MODEL: &str = "ml_training_runs_model_id_fkey";
}

/// Training runs: a run begins, and ends once.
///
/// Every method is all or nothing and safe to call concurrently. Values are validated first; then a taken key is found
/// before a missing reference; then a stale revision, a state that does not allow the change, and a missing reference.
#[async_trait]
pub trait TrainingRunRepository: Send + Sync {
    /// Stores a run that begins and returns it as it is stored.
    ///
    /// # Errors
    /// [`Invalid`](RepositoryError::Invalid); [`Conflict`](RepositoryError::Conflict) when another run has the
    /// identifier in MLflow; [`MissingReference`](RepositoryError::MissingReference) when there is no such experiment.
    async fn start(&self, new: NewTrainingRun) -> Result<TrainingRun, RepositoryError>;

    /// As [`start`](Self::start), once for each key: when it is called again with the key and the same values, it
    /// returns the run that the first call made, as it is now.
    ///
    /// # Errors
    /// Those of `start`; [`KeyReused`](RepositoryError::KeyReused) for other values.
    async fn start_once(&self, key: &IdempotencyKey, new: NewTrainingRun) -> Result<TrainingRun, RepositoryError>;

    /// The run with this identifier.
    ///
    /// # Errors
    /// [`NotFound`](RepositoryError::NotFound).
    async fn find(&self, id: TrainingRunId) -> Result<TrainingRun, RepositoryError>;

    /// The run with this identifier in MLflow, if there is one.
    ///
    /// # Errors
    /// [`Invalid`](RepositoryError::Invalid) when no run can have it.
    async fn find_by_mlflow_id(&self, mlflow_run_id: &str) -> Result<Option<TrainingRun>, RepositoryError>;

    /// One page of all runs, newest first by when they were recorded, in a total order.
    ///
    /// # Errors
    /// [`Invalid`](RepositoryError::Invalid) for a limit that is out of range;
    /// [`InvalidCursor`](RepositoryError::InvalidCursor).
    async fn list(&self, request: PageRequest) -> Result<Page<TrainingRun>, RepositoryError>;

    /// One page of the runs of an experiment, newest first, in a total order. An experiment that is not there has none.
    ///
    /// # Errors
    /// Those of [`list`](Self::list).
    async fn of_experiment(
        &self,
        experiment: ExperimentId,
        request: PageRequest,
    ) -> Result<Page<TrainingRun>, RepositoryError>;

    /// Ends a run with a result, and with the model that came out of it, if that is registered.
    ///
    /// # Errors
    /// [`Invalid`](RepositoryError::Invalid); [`NotFound`](RepositoryError::NotFound);
    /// [`Stale`](RepositoryError::Stale); [`Refused`](RepositoryError::Refused) when it has ended before;
    /// [`MissingReference`](RepositoryError::MissingReference) when there is no such model.
    async fn complete(
        &self,
        id: TrainingRunId,
        expected: Option<Revision>,
        model: Option<ModelId>,
        metrics: SplitMetrics,
    ) -> Result<TrainingRun, RepositoryError>;

    /// Ends a run with an error, of 1 to 65536 octets.
    ///
    /// # Errors
    /// Those of [`complete`](Self::complete).
    async fn fail(
        &self,
        id: TrainingRunId,
        expected: Option<Revision>,
        error_message: &str,
    ) -> Result<TrainingRun, RepositoryError>;

    /// Ends a run that nobody needs any more.
    ///
    /// # Errors
    /// Those of [`complete`](Self::complete).
    async fn cancel(&self, id: TrainingRunId, expected: Option<Revision>) -> Result<TrainingRun, RepositoryError>;

    /// Makes a completed run the best trial of its study, in place of the one that was it before, if any. If it is
    /// already, nothing is changed.
    ///
    /// # Errors
    /// [`NotFound`](RepositoryError::NotFound); [`Stale`](RepositoryError::Stale);
    /// [`Refused`](RepositoryError::Refused) when it is not completed, or no trial.
    async fn mark_best(
        &self,
        id: TrainingRunId,
        expected: Option<Revision>,
    ) -> Result<TrainingRun, RepositoryError>;

    /// The best trial of a study, if one is marked.
    ///
    /// # Errors
    /// [`Invalid`](RepositoryError::Invalid) when no study can have the name.
    async fn best_of(&self, study_name: &str) -> Result<Option<TrainingRun>, RepositoryError>;
}
