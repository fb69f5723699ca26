//! The contract of a store of experiments.

use async_trait::async_trait;

use super::cursor::List;
use super::{IdempotencyKey, Page, PageRequest, RepositoryError};
use crate::domain::{Experiment, ExperimentChanges, ExperimentId, NewExperiment, Revision};

/// The list of all experiments.
pub(super) const EXPERIMENTS: List<'_> = List::all("experiments");
/// The idempotent registration of an experiment.
pub(super) const EXPERIMENT_SCOPE: &str = "experiment";

/// The names of the constraints that errors name.
pub mod experiment_constraint {
    /// Unique: the identifier in MLflow.
    pub const MLFLOW_KEY: &str = "ml_experiments_mlflow_experiment_id_key";
    /// Foreign key: the experiment of a model.
    pub const MODEL_EXPERIMENT: &str = "ml_model_registry_experiment_id_fkey";
    /// Foreign key: the experiment of a training run.
    pub const RUN_EXPERIMENT: &str = "ml_training_runs_experiment_id_fkey";
}

/// Experiments.
///
/// Every method is all or nothing and safe to call concurrently. Values are validated first.
#[async_trait]
pub trait ExperimentRepository: Send + Sync {
    /// Stores a new experiment and returns it as it is stored.
    ///
    /// # Errors
    /// [`Invalid`](RepositoryError::Invalid); [`Conflict`](RepositoryError::Conflict) when another experiment has
    /// the identifier in MLflow.
    async fn register(&self, new: NewExperiment) -> Result<Experiment, RepositoryError>;

    /// As [`register`](Self::register), once for each key: when it is called again with the key and the same values,
    /// it returns the experiment that the first call made, as it is now.
    ///
    /// # Errors
    /// Those of `register`; [`KeyReused`](RepositoryError::KeyReused) for other values;
    /// [`NotFound`](RepositoryError::NotFound) when the experiment was deleted since.
    async fn register_once(&self, key: &IdempotencyKey, new: NewExperiment)
    -> Result<Experiment, RepositoryError>;

    /// The experiment with this identifier.
    ///
    /// # Errors
    /// [`NotFound`](RepositoryError::NotFound).
    async fn find(&self, id: ExperimentId) -> Result<Experiment, RepositoryError>;

    /// The experiment with this identifier in MLflow, if there is one.
    ///
    /// # Errors
    /// [`Invalid`](RepositoryError::Invalid) when no experiment can have it.
    async fn find_by_mlflow_id(&self, mlflow_experiment_id: &str) -> Result<Option<Experiment>, RepositoryError>;

    /// One page of all experiments, oldest first, in a total order.
    ///
    /// # Errors
    /// [`Invalid`](RepositoryError::Invalid) for a limit that is out of range;
    /// [`InvalidCursor`](RepositoryError::InvalidCursor).
    async fn list(&self, request: PageRequest) -> Result<Page<Experiment>, RepositoryError>;

    /// Changes what is mentioned, if the experiment still has the expected revision; with none, whatever it has.
    ///
    /// # Errors
    /// [`Invalid`](RepositoryError::Invalid); [`NotFound`](RepositoryError::NotFound);
    /// [`Stale`](RepositoryError::Stale).
    async fn update(
        &self,
        id: ExperimentId,
        expected: Option<Revision>,
        changes: ExperimentChanges,
    ) -> Result<Experiment, RepositoryError>;

    /// Deletes the experiment.
    ///
    /// # Errors
    /// [`NotFound`](RepositoryError::NotFound); [`StillReferenced`](RepositoryError::StillReferenced) when a model or
    /// a training run belongs to it.
    async fn delete(&self, id: ExperimentId) -> Result<(), RepositoryError>;
}
