//! The contract of a registry of models.

use async_trait::async_trait;

use super::cursor::List;
use super::{IdempotencyKey, Page, PageRequest, RepositoryError};
use crate::domain::{
    ChampionChange, ModelChanges, ModelId, ModelStage, NewModel, RegisteredModel, Revision, StageTransition,
};

/// What errors call a row.
pub(super) const MODEL: &str = "model";
/// The list of all models.
pub(super) const MODELS: List<'_> = List::all("models");
/// The list of the versions of a name.
pub(super) const MODEL_VERSIONS: &str = "models of a name";
/// The list of the versions in a stage.
pub(super) const MODELS_IN_STAGE: &str = "models in a stage";
/// The idempotent registration of a model.
pub(super) const MODEL_SCOPE: &str = "model";

/// Why a deprecated version does not move.
pub(super) const DEPRECATED: &str = "expected a version that is not deprecated, which is final";

/// Why a version cannot be the champion.
pub(super) fn not_a_champion(stage: ModelStage) -> String {
    format!("expected a version that may be used, to be the champion, found it {stage}")
}

/// The names of the constraints that errors name.
pub mod model_constraint {
    /// Unique: a name has one model of a version.
    pub const VERSION_KEY: &str = "ml_model_registry_model_name_model_version_key";
    /// Foreign key: the experiment that a model came out of.
    pub const EXPERIMENT: &str = "ml_model_registry_experiment_id_fkey";
    /// Foreign key: the model that a service serves.
    pub const SERVICE_MODEL: &str = "ml_bentoml_services_model_id_fkey";
    /// Foreign key: the model that a training run made.
    pub const RUN_MODEL: &str = "ml_training_runs_model_id_fkey";
    /// Foreign key: the model that is deployed.
    pub const DEPLOYMENT_MODEL: &str = "ml_deployments_model_id_fkey";
}

/// Models: versions of names, their stages and champions.
///
/// Every method is all or nothing and safe to call concurrently. Values are validated first; then a taken key is found
/// before a missing reference; then a stale revision before a state that does not allow the change.
#[async_trait]
pub trait ModelRepository: Send + Sync {
    /// Stores a new version and returns it as it is stored.
    ///
    /// # Errors
    /// [`Invalid`](RepositoryError::Invalid); [`Conflict`](RepositoryError::Conflict) when the name has the version
    /// already; [`MissingReference`](RepositoryError::MissingReference) when there is no such experiment.
    async fn register(&self, new: NewModel) -> Result<RegisteredModel, RepositoryError>;

    /// As [`register`](Self::register), once for each key: when it is called again with the key and the same values,
    /// it returns the model that the first call made, as it is now.
    ///
    /// # Errors
    /// Those of `register`; [`KeyReused`](RepositoryError::KeyReused) for other values;
    /// [`NotFound`](RepositoryError::NotFound) when the model was deleted since.
    async fn register_once(&self, key: &IdempotencyKey, new: NewModel)
    -> Result<RegisteredModel, RepositoryError>;

    /// The model with this identifier.
    ///
    /// # Errors
    /// [`NotFound`](RepositoryError::NotFound).
    async fn find(&self, id: ModelId) -> Result<RegisteredModel, RepositoryError>;

    /// This version of this name, if there is one.
    ///
    /// # Errors
    /// [`Invalid`](RepositoryError::Invalid) when no model can have the name.
    async fn find_version(
        &self,
        model_name: &str,
        model_version: &str,
    ) -> Result<Option<RegisteredModel>, RepositoryError>;

    /// One page of all models, newest first, in a total order.
    ///
    /// # Errors
    /// [`Invalid`](RepositoryError::Invalid) for a limit that is out of range;
    /// [`InvalidCursor`](RepositoryError::InvalidCursor).
    async fn list(&self, request: PageRequest) -> Result<Page<RegisteredModel>, RepositoryError>;

    /// One page of the versions of exactly this name, newest first, in a total order.
    ///
    /// # Errors
    /// Those of [`list`](Self::list), and [`Invalid`](RepositoryError::Invalid) when no model can have the name.
    async fn versions(
        &self,
        model_name: &str,
        request: PageRequest,
    ) -> Result<Page<RegisteredModel>, RepositoryError>;

    /// One page of the versions, of any name, in this stage, newest first, in a total order.
    ///
    /// # Errors
    /// Those of [`list`](Self::list).
    async fn in_stage(
        &self,
        stage: ModelStage,
        request: PageRequest,
    ) -> Result<Page<RegisteredModel>, RepositoryError>;

    /// The champion of this name, if it has one.
    ///
    /// # Errors
    /// [`Invalid`](RepositoryError::Invalid) when no model can have the name.
    async fn champion(&self, model_name: &str) -> Result<Option<RegisteredModel>, RepositoryError>;

    /// Makes this version the champion of its name, in place of the one that was it before. Models of other names are
    /// left alone, whatever experiment they came out of. If it is the champion already, nothing is changed.
    ///
    /// # Errors
    /// [`NotFound`](RepositoryError::NotFound); [`Stale`](RepositoryError::Stale);
    /// [`Refused`](RepositoryError::Refused) for a version that is archived or deprecated.
    async fn crown(&self, id: ModelId, expected: Option<Revision>) -> Result<ChampionChange, RepositoryError>;

    /// Moves this version to another stage. One that enters production archives the version of the same name that was
    /// there, and no other. A version that is archived or deprecated is no longer its name's champion. In the stage
    /// that it is in already nothing is changed.
    ///
    /// # Errors
    /// [`NotFound`](RepositoryError::NotFound); [`Stale`](RepositoryError::Stale);
    /// [`Refused`](RepositoryError::Refused) for a version that is deprecated, which is final.
    async fn transition(
        &self,
        id: ModelId,
        expected: Option<Revision>,
        to: ModelStage,
    ) -> Result<StageTransition, RepositoryError>;

    /// Changes what is mentioned, if the model still has the expected revision; with none, whatever it has.
    ///
    /// # Errors
    /// [`Invalid`](RepositoryError::Invalid); [`NotFound`](RepositoryError::NotFound);
    /// [`Stale`](RepositoryError::Stale).
    async fn update(
        &self,
        id: ModelId,
        expected: Option<Revision>,
        changes: ModelChanges,
    ) -> Result<RegisteredModel, RepositoryError>;

    /// Deletes the model.
    ///
    /// # Errors
    /// [`NotFound`](RepositoryError::NotFound); [`StillReferenced`](RepositoryError::StillReferenced) when it is
    /// served, deployed, explained, or a training run's.
    async fn delete(&self, id: ModelId) -> Result<(), RepositoryError>;
}
