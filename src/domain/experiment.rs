//! Experiments: what a number of training runs, and the models that came out of them, have in common.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::validation::{InvalidField, Limit, optional_text, text};
use super::{Change, ExperimentId, NAME_CHARACTERS_MAX, Revision, TEXT_OCTETS_MAX};

/// A row of `ml_experiments`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Experiment {
    /// The identifier.
    pub id: ExperimentId,
    /// What it is called; several may be called the same.
    pub experiment_name: String,
    /// Its identifier in MLflow; no two experiments have the same.
    pub mlflow_experiment_id: Option<String>,
    /// What it is about.
    pub description: Option<String>,
    /// What its models predict.
    pub prediction_target: Option<String>,
    /// Who made it.
    pub created_by: Option<String>,
    /// How often it was written.
    pub revision: Revision,
    /// When it was registered.
    pub created_at: DateTime<Utc>,
    /// When it was changed last; later after every change.
    pub updated_at: DateTime<Utc>,
}

/// An experiment to register.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NewExperiment {
    /// See [`Experiment::experiment_name`]; 1 to 255 characters.
    pub experiment_name: String,
    /// See [`Experiment::mlflow_experiment_id`]; 1 to 255 characters.
    pub mlflow_experiment_id: Option<String>,
    /// See [`Experiment::description`]; 1 to 8192 octets.
    pub description: Option<String>,
    /// See [`Experiment::prediction_target`]; 1 to 255 characters.
    pub prediction_target: Option<String>,
    /// See [`Experiment::created_by`]; 1 to 255 characters.
    pub created_by: Option<String>,
}

impl NewExperiment {
    /// An experiment with what it must have.
    pub fn new(experiment_name: impl Into<String>) -> Self {
        Self {
            experiment_name: experiment_name.into(),
            mlflow_experiment_id: None,
            description: None,
            prediction_target: None,
            created_by: None,
        }
    }

    /// Checks every text.
    ///
    /// # Errors
    /// The first field that is empty, too long, or holds a NUL.
    pub fn validate(&self) -> Result<(), InvalidField> {
        text("experiment_name", &self.experiment_name, Limit::Characters(NAME_CHARACTERS_MAX))?;
        let name = Limit::Characters(NAME_CHARACTERS_MAX);
        optional_text("mlflow_experiment_id", self.mlflow_experiment_id.as_deref(), name)?;
        optional_text("description", self.description.as_deref(), Limit::Octets(TEXT_OCTETS_MAX))?;
        optional_text("prediction_target", self.prediction_target.as_deref(), name)?;
        optional_text("created_by", self.created_by.as_deref(), name)
    }
}

/// What is to be changed about an experiment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExperimentChanges {
    /// See [`Experiment::experiment_name`].
    pub experiment_name: Change<String>,
    /// See [`Experiment::description`].
    pub description: Change<Option<String>>,
    /// See [`Experiment::prediction_target`].
    pub prediction_target: Change<Option<String>>,
}

impl ExperimentChanges {
    /// Checks every text.
    ///
    /// # Errors
    /// The first field that is empty, too long, or holds a NUL.
    pub fn validate(&self) -> Result<(), InvalidField> {
        let name = Limit::Characters(NAME_CHARACTERS_MAX);
        optional_text("experiment_name", self.experiment_name.set().map(String::as_str), name)?;
        let description = self.description.value().map(String::as_str);
        optional_text("description", description, Limit::Octets(TEXT_OCTETS_MAX))?;
        optional_text("prediction_target", self.prediction_target.value().map(String::as_str), name)
    }
}
