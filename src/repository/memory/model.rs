//! The registry of models.

use std::cmp::Reverse;
use std::collections::HashMap;

use async_trait::async_trait;

use super::{MemoryStore, Tables, advanced, check_revision, now};
use crate::domain::{
    ChampionChange, ExperimentId, ModelChanges, ModelId, ModelStage, NewModel, RegisteredModel, Revision,
    StageTransition, validate_model_name,
};
use crate::repository::cursor::{List, Moment, before_newest};
use crate::repository::model::{
    DEPRECATED, MODEL, MODEL_SCOPE, MODEL_VERSIONS, MODELS, MODELS_IN_STAGE, model_constraint as constraint,
    not_a_champion,
};
use crate::repository::page::validate_limit;
use crate::repository::{IdempotencyKey, ModelRepository, Page, PageRequest, RepositoryError};

/// The registry in memory.
#[derive(Debug, Clone, Default)]
pub struct MemoryModelRepository {
    store: MemoryStore,
}

/// The rows.
#[derive(Debug, Default)]
pub(super) struct Rows {
    models: HashMap<ModelId, RegisteredModel>,
}

impl From<&MemoryStore> for MemoryModelRepository {
    fn from(store: &MemoryStore) -> Self {
        Self { store: store.clone() }
    }
}

fn key(model: &RegisteredModel) -> Moment {
    (model.registered_at, model.id.as_uuid())
}

fn not_found(id: ModelId) -> RepositoryError {
    RepositoryError::not_found(MODEL, id.as_uuid())
}

/// A valid model as it is stored first.
fn stored(id: ModelId, new: NewModel) -> RegisteredModel {
    let now = now();
    RegisteredModel {
        id,
        experiment_id: new.experiment_id,
        model_name: new.model_name,
        model_version: new.model_version,
        mlflow_run_id: new.mlflow_run_id,
        mlflow_model_uri: new.mlflow_model_uri,
        algorithm: new.algorithm,
        hyperparameters: new.hyperparameters,
        feature_count: new.feature_count,
        training_samples: new.training_samples,
        scores: new.scores,
        stage: ModelStage::Development,
        is_champion: false,
        artifact_path: new.artifact_path,
        trained_at: new.trained_at,
        registered_at: now,
        promoted_at: None,
        revision: Revision::FIRST,
        updated_at: now,
    }
}

/// Counts a change.
fn revise(model: &mut RegisteredModel) -> RegisteredModel {
    model.revision = model.revision.next();
    model.updated_at = advanced(model.updated_at);
    model.clone()
}

impl Rows {
    /// Whether there is such a model.
    pub(super) fn contains(&self, id: ModelId) -> bool {
        self.models.contains_key(&id)
    }

    /// Makes a model known of which nothing matters but that it is there.
    pub(super) fn add(&mut self, id: ModelId) {
        self.models.entry(id).or_insert_with(|| stored(id, NewModel::new(id.to_string(), "1")));
    }

    /// Whether a model came out of the experiment.
    pub(super) fn are_of(&self, experiment: ExperimentId) -> bool {
        self.models.values().any(|model| model.experiment_id == Some(experiment))
    }

    fn find(&self, id: ModelId) -> Result<&RegisteredModel, RepositoryError> {
        self.models.get(&id).ok_or_else(|| not_found(id))
    }

    /// The model, if it has the expected revision.
    fn find_mut(
        &mut self,
        id: ModelId,
        expected: Option<Revision>,
    ) -> Result<&mut RegisteredModel, RepositoryError> {
        let model = self.models.get_mut(&id).ok_or_else(|| not_found(id))?;
        check_revision(MODEL, id.as_uuid(), expected, model.revision)?;
        Ok(model)
    }

    /// The other version of the name that the predicate accepts.
    fn other(
        &mut self,
        id: ModelId,
        accept: impl Fn(&RegisteredModel) -> bool,
    ) -> Result<Option<&mut RegisteredModel>, RepositoryError> {
        let name = self.find(id)?.model_name.clone();
        Ok(self.models.values_mut().find(|model| model.model_name == name && model.id != id && accept(model)))
    }
}

impl Tables {
    fn register_model(&mut self, new: NewModel) -> Result<RegisteredModel, RepositoryError> {
        let is_taken = |model: &RegisteredModel| {
            model.model_name == new.model_name && model.model_version == new.model_version
        };
        if self.models.models.values().any(is_taken) {
            return Err(RepositoryError::conflict(constraint::VERSION_KEY));
        }
        if new.experiment_id.is_some_and(|experiment| !self.experiments.contains(experiment)) {
            return Err(RepositoryError::missing(constraint::EXPERIMENT));
        }
        let model = stored(ModelId::random(), new);
        self.models.models.insert(model.id, model.clone());
        Ok(model)
    }
}

impl MemoryModelRepository {
    fn page(
        &self,
        list: &List<'_>,
        request: &PageRequest,
        accept: impl Fn(&RegisteredModel) -> bool,
    ) -> Result<Page<RegisteredModel>, RepositoryError> {
        let limit = validate_limit(request.limit)?;
        let after = self.store.cursors.after(list, request, before_newest())?;
        let tables = self.store.tables();
        let rows = tables.models.models.values().filter(|model| accept(model) && key(model) < after);
        let mut rows: Vec<_> = rows.cloned().collect();
        rows.sort_by_key(|model| Reverse(key(model)));
        Page::of(rows, limit, |last| self.store.cursors.cursor(list, &key(last)))
    }
}

#[async_trait]
impl ModelRepository for MemoryModelRepository {
    async fn register(&self, new: NewModel) -> Result<RegisteredModel, RepositoryError> {
        let new = new.stored()?;
        self.store.tables().register_model(new)
    }

    async fn register_once(
        &self,
        key: &IdempotencyKey,
        new: NewModel,
    ) -> Result<RegisteredModel, RepositoryError> {
        self.store.once(
            MODEL_SCOPE,
            key,
            new.stored()?,
            |tables, new| tables.register_model(new).map(|made| (made.id.as_uuid(), made)),
            |tables, id| tables.models.find(id.into()).cloned(),
        )
    }

    async fn find(&self, id: ModelId) -> Result<RegisteredModel, RepositoryError> {
        self.store.tables().models.find(id).cloned()
    }

    async fn find_version(
        &self,
        model_name: &str,
        model_version: &str,
    ) -> Result<Option<RegisteredModel>, RepositoryError> {
        NewModel::new(model_name, model_version).validate()?;
        let tables = self.store.tables();
        let is_it =
            |model: &&RegisteredModel| model.model_name == model_name && model.model_version == model_version;
        Ok(tables.models.models.values().find(is_it).cloned())
    }

    async fn list(&self, request: PageRequest) -> Result<Page<RegisteredModel>, RepositoryError> {
        self.page(&MODELS, &request, |_| true)
    }

    async fn versions(
        &self,
        model_name: &str,
        request: PageRequest,
    ) -> Result<Page<RegisteredModel>, RepositoryError> {
        validate_model_name(model_name)?;
        let filter = [model_name];
        self.page(&List::filtered(MODEL_VERSIONS, &filter), &request, |model| model.model_name == model_name)
    }

    async fn in_stage(
        &self,
        stage: ModelStage,
        request: PageRequest,
    ) -> Result<Page<RegisteredModel>, RepositoryError> {
        let filter = [stage.as_str()];
        self.page(&List::filtered(MODELS_IN_STAGE, &filter), &request, |model| model.stage == stage)
    }

    async fn champion(&self, model_name: &str) -> Result<Option<RegisteredModel>, RepositoryError> {
        validate_model_name(model_name)?;
        let tables = self.store.tables();
        Ok(tables
            .models
            .models
            .values()
            .find(|model| model.is_champion && model.model_name == model_name)
            .cloned())
    }

    async fn crown(&self, id: ModelId, expected: Option<Revision>) -> Result<ChampionChange, RepositoryError> {
        let mut tables = self.store.tables();
        let model = tables.models.find_mut(id, expected)?;
        if !model.stage.can_be_champion() {
            return Err(RepositoryError::refused(MODEL, id.as_uuid(), not_a_champion(model.stage)));
        }
        if model.is_champion {
            return Ok(ChampionChange { champion: model.clone(), dethroned: None });
        }
        let dethroned = tables.models.other(id, |model| model.is_champion)?.map(|model| {
            model.is_champion = false;
            revise(model)
        });
        let model = tables.models.find_mut(id, None)?;
        model.is_champion = true;
        Ok(ChampionChange { champion: revise(model), dethroned })
    }

    async fn transition(
        &self,
        id: ModelId,
        expected: Option<Revision>,
        to: ModelStage,
    ) -> Result<StageTransition, RepositoryError> {
        let mut tables = self.store.tables();
        let model = tables.models.find_mut(id, expected)?;
        if model.stage == to {
            return Ok(StageTransition { model: model.clone(), archived: None });
        }
        if model.stage == ModelStage::Deprecated {
            return Err(RepositoryError::refused(MODEL, id.as_uuid(), DEPRECATED));
        }
        let mut archived = None;
        if to == ModelStage::Production {
            archived = tables.models.other(id, |model| model.stage == ModelStage::Production)?.map(|model| {
                model.stage = ModelStage::Archived;
                model.is_champion = false;
                revise(model)
            });
        }
        let model = tables.models.find_mut(id, None)?;
        model.stage = to;
        model.is_champion &= to.can_be_champion();
        if to == ModelStage::Production {
            model.promoted_at = Some(now());
        }
        Ok(StageTransition { model: revise(model), archived })
    }

    async fn update(
        &self,
        id: ModelId,
        expected: Option<Revision>,
        changes: ModelChanges,
    ) -> Result<RegisteredModel, RepositoryError> {
        changes.validate()?;
        let mut tables = self.store.tables();
        let model = tables.models.find_mut(id, expected)?;
        changes.auc.apply(&mut model.scores.auc);
        changes.pr_auc.apply(&mut model.scores.pr_auc);
        changes.brier_score.apply(&mut model.scores.brier_score);
        changes.mlflow_model_uri.apply(&mut model.mlflow_model_uri);
        changes.artifact_path.apply(&mut model.artifact_path);
        Ok(revise(model))
    }

    async fn delete(&self, id: ModelId) -> Result<(), RepositoryError> {
        let mut tables = self.store.tables();
        tables.models.find(id)?;
        for (is_used, constraint) in [
            (tables.bento_services.serve(id), constraint::SERVICE_MODEL),
            (tables.training_runs.made(id), constraint::RUN_MODEL),
            (tables.deployments.are_of(id), constraint::DEPLOYMENT_MODEL),
        ] {
            if is_used {
                return Err(RepositoryError::StillReferenced { constraint: constraint.to_owned() });
            }
        }
        tables.models.models.remove(&id);
        Ok(())
    }
}
