//! Models as they are registered: versions of a name, and the stage that each has reached.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Map, Value};

use super::json::stored_object;
use super::text_enum::text_enum;
use super::time::instant;
use super::validation::{InvalidField, Limit, number, optional_text, text};
use super::{
    Change, ExperimentId, ModelId, NAME_CHARACTERS_MAX, Revision, TEXT_OCTETS_MAX, VERSION_CHARACTERS_MAX,
};

text_enum! {
    /// How far a version has come: `model_stage_enum`.
    ModelStage("model stage") {
        /// Being worked on.
        Development = "development",
        /// Being tested.
        Staging = "staging",
        /// Gets requests, and its answers are only recorded.
        Shadow = "shadow",
        /// In use; one version of a name at a time.
        Production = "production",
        /// Was in use, or is not needed for now.
        Archived = "archived",
        /// Must not be used any more; there is no way back.
        Deprecated = "deprecated",
    }
}

impl ModelStage {
    /// Whether a version in this stage can be its name's champion.
    #[must_use]
    pub const fn can_be_champion(self) -> bool {
        !matches!(self, Self::Archived | Self::Deprecated)
    }
}

/// A row of `ml_model_registry`.
#[derive(Debug, Clone, PartialEq)]
pub struct RegisteredModel {
    /// The identifier.
    pub id: ModelId,
    /// The experiment that it came out of.
    pub experiment_id: Option<ExperimentId>,
    /// What it is called, together with its versions.
    pub model_name: String,
    /// The version; unique within the name.
    pub model_version: String,
    /// The MLflow run that made it.
    pub mlflow_run_id: Option<String>,
    /// Where MLflow keeps it.
    pub mlflow_model_uri: Option<String>,
    /// How it was trained, for example `xgboost`.
    pub algorithm: Option<String>,
    /// The settings of its training.
    pub hyperparameters: Option<Map<String, Value>>,
    /// How many features it takes.
    pub feature_count: Option<i32>,
    /// How many rows it was trained on.
    pub training_samples: Option<i64>,
    /// How good it is.
    pub scores: ModelScores,
    /// How far it has come.
    pub stage: ModelStage,
    /// Whether it is the version of its name that others have to beat; at most one is.
    pub is_champion: bool,
    /// Where its file is.
    pub artifact_path: Option<String>,
    /// When it was trained.
    pub trained_at: Option<DateTime<Utc>>,
    /// When it was registered.
    pub registered_at: DateTime<Utc>,
    /// When it entered production last.
    pub promoted_at: Option<DateTime<Utc>>,
    /// How often it was written.
    pub revision: Revision,
    /// When it was changed last; later after every change.
    pub updated_at: DateTime<Utc>,
}

/// Scores on data that was held back; each from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct ModelScores {
    /// Area under the receiver operating characteristic; higher is better.
    pub auc: Option<f64>,
    /// Area under the curve of precision and recall; higher is better.
    pub pr_auc: Option<f64>,
    /// Mean squared error of the predicted probabilities; lower is better.
    pub brier_score: Option<f64>,
}

impl ModelScores {
    fn validate(self) -> Result<(), InvalidField> {
        for (field, score) in [("auc", self.auc), ("pr_auc", self.pr_auc), ("brier_score", self.brier_score)] {
            if let Some(score) = score {
                number(field, score, 0.0, 1.0)?;
            }
        }
        Ok(())
    }
}

/// A model to register. It begins in [`ModelStage::Development`] and is not the champion.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NewModel {
    /// See [`RegisteredModel::experiment_id`].
    pub experiment_id: Option<ExperimentId>,
    /// See [`RegisteredModel::model_name`]; 1 to 255 characters.
    pub model_name: String,
    /// See [`RegisteredModel::model_version`]; 1 to 100 characters.
    pub model_version: String,
    /// See [`RegisteredModel::mlflow_run_id`]; 1 to 255 characters.
    pub mlflow_run_id: Option<String>,
    /// See [`RegisteredModel::mlflow_model_uri`]; 1 to 8192 octets.
    pub mlflow_model_uri: Option<String>,
    /// See [`RegisteredModel::algorithm`]; 1 to 255 characters.
    pub algorithm: Option<String>,
    /// See [`RegisteredModel::hyperparameters`]; up to 1 MiB.
    pub hyperparameters: Option<Map<String, Value>>,
    /// See [`RegisteredModel::feature_count`]; not negative.
    pub feature_count: Option<i32>,
    /// See [`RegisteredModel::training_samples`]; not negative.
    pub training_samples: Option<i64>,
    /// See [`RegisteredModel::scores`].
    pub scores: ModelScores,
    /// See [`RegisteredModel::artifact_path`]; 1 to 8192 octets.
    pub artifact_path: Option<String>,
    /// See [`RegisteredModel::trained_at`]; in the years 1 to 9999.
    pub trained_at: Option<DateTime<Utc>>,
}

impl NewModel {
    /// A model with what it must have.
    pub fn new(model_name: impl Into<String>, model_version: impl Into<String>) -> Self {
        Self {
            experiment_id: None,
            model_name: model_name.into(),
            model_version: model_version.into(),
            mlflow_run_id: None,
            mlflow_model_uri: None,
            algorithm: None,
            hyperparameters: None,
            feature_count: None,
            training_samples: None,
            scores: ModelScores::default(),
            artifact_path: None,
            trained_at: None,
        }
    }

    /// Checks every field.
    ///
    /// # Errors
    /// The first field that no model can have.
    pub fn validate(&self) -> Result<(), InvalidField> {
        let name = Limit::Characters(NAME_CHARACTERS_MAX);
        validate_model_name(&self.model_name)?;
        text("model_version", &self.model_version, Limit::Characters(VERSION_CHARACTERS_MAX))?;
        optional_text("mlflow_run_id", self.mlflow_run_id.as_deref(), name)?;
        optional_text("mlflow_model_uri", self.mlflow_model_uri.as_deref(), Limit::Octets(TEXT_OCTETS_MAX))?;
        optional_text("algorithm", self.algorithm.as_deref(), name)?;
        if let Some(object) = &self.hyperparameters {
            stored_object("hyperparameters", object)?;
        }
        for (field, count) in
            [("feature_count", self.feature_count.map(i64::from)), ("training_samples", self.training_samples)]
        {
            if let Some(count) = count.filter(|count| *count < 0) {
                return Err(InvalidField::new(field, format!("expected 0 or more, found {count}")));
            }
        }
        self.scores.validate()?;
        optional_text("artifact_path", self.artifact_path.as_deref(), Limit::Octets(TEXT_OCTETS_MAX))?;
        self.trained_at.map_or(Ok(()), |time| instant("trained_at", time).map(|_| ()))
    }

    /// The model with its times and numbers as they are stored.
    ///
    /// # Errors
    /// Those of [`validate`](Self::validate).
    pub fn stored(self) -> Result<Self, InvalidField> {
        self.validate()?;
        Ok(Self {
            hyperparameters: self
                .hyperparameters
                .map(|object| stored_object("hyperparameters", &object))
                .transpose()?,
            trained_at: self.trained_at.map(|time| instant("trained_at", time)).transpose()?,
            ..self
        })
    }
}

/// Checks a model's name, also one that is only looked for.
///
/// # Errors
/// When no model can have it.
pub fn validate_model_name(model_name: &str) -> Result<(), InvalidField> {
    text("model_name", model_name, Limit::Characters(NAME_CHARACTERS_MAX))
}

/// What is to be changed about a model. Its stage and the champion have methods of their own.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ModelChanges {
    /// See [`ModelScores::auc`].
    pub auc: Change<Option<f64>>,
    /// See [`ModelScores::pr_auc`].
    pub pr_auc: Change<Option<f64>>,
    /// See [`ModelScores::brier_score`].
    pub brier_score: Change<Option<f64>>,
    /// See [`RegisteredModel::mlflow_model_uri`].
    pub mlflow_model_uri: Change<Option<String>>,
    /// See [`RegisteredModel::artifact_path`].
    pub artifact_path: Change<Option<String>>,
}

impl ModelChanges {
    /// Checks every field.
    ///
    /// # Errors
    /// The first field that no model can have.
    pub fn validate(&self) -> Result<(), InvalidField> {
        ModelScores {
            auc: self.auc.value().copied(),
            pr_auc: self.pr_auc.value().copied(),
            brier_score: self.brier_score.value().copied(),
        }
        .validate()?;
        let limit = Limit::Octets(TEXT_OCTETS_MAX);
        optional_text("mlflow_model_uri", self.mlflow_model_uri.value().map(String::as_str), limit)?;
        optional_text("artifact_path", self.artifact_path.value().map(String::as_str), limit)
    }
}

/// What a change of stage did.
#[derive(Debug, Clone, PartialEq)]
pub struct StageTransition {
    /// The version, in its new stage.
    pub model: RegisteredModel,
    /// The version of the same name that was in production before, now archived.
    pub archived: Option<RegisteredModel>,
}

/// What a new champion did.
#[derive(Debug, Clone, PartialEq)]
pub struct ChampionChange {
    /// The champion.
    pub champion: RegisteredModel,
    /// The version of the same name that was it before.
    pub dethroned: Option<RegisteredModel>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_is_a_share() {
        for score in [f64::NAN, f64::INFINITY, -0.1, 1.1] {
            let scores = ModelScores { brier_score: Some(score), ..ModelScores::default() };
            assert_eq!(
                NewModel { scores, ..NewModel::new("m", "1") }.validate().unwrap_err().field,
                "brier_score"
            );
            let changes = ModelChanges { pr_auc: Change::Set(Some(score)), ..ModelChanges::default() };
            assert_eq!(changes.validate().unwrap_err().field, "pr_auc");
        }
        assert_eq!(ModelChanges { auc: Change::Set(None), ..ModelChanges::default() }.validate(), Ok(()));
    }

    #[test]
    fn a_count_is_not_negative() {
        let new = NewModel { training_samples: Some(-1), ..NewModel::new("m", "1") };
        assert_eq!(new.validate().unwrap_err().field, "training_samples");
    }
}
