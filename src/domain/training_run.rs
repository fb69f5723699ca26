//! Training runs: what was tried, how it ended, and the model that came out of it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Map, Value};

use super::json::stored_object;
use super::text_enum::text_enum;
use super::time::instant;
use super::validation::{InvalidField, Limit, optional_text, text};
use super::{ExperimentId, ModelId, NAME_CHARACTERS_MAX, Revision, TrainingRunId};

/// The most features of a run.
pub const FEATURES_MAX: usize = 10_000;
/// The most metrics of one data split.
pub const METRIC_NAMES_MAX: usize = 1_000;
/// The longest error message, in octets.
pub const ERROR_OCTETS_MAX: usize = 65_536;

text_enum! {
    /// How far a training run has come.
    TrainingStatus("training status") {
        /// Not ended yet.
        Running = "running",
        /// Ended with a result.
        Completed = "completed",
        /// Ended with an error.
        Failed = "failed",
        /// Ended because somebody wanted it to.
        Cancelled = "cancelled",
    }
}

/// Metrics by their names. Numbers are finite: JSON has no others.
pub type Metrics = BTreeMap<String, f64>;

/// The metrics of a run on each part of its data.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct SplitMetrics {
    /// On the data that it learned from.
    pub train: Option<Metrics>,
    /// On the data that it was chosen by.
    pub validation: Option<Metrics>,
    /// On the data that it has not seen.
    pub test: Option<Metrics>,
}

impl SplitMetrics {
    /// The metrics as they are stored.
    ///
    /// # Errors
    /// The first part that holds a number that is not finite, a name that is none, or too many of them.
    pub fn stored(self) -> Result<Self, InvalidField> {
        Ok(Self {
            train: self.train.map(|metrics| stored_metrics("train_metrics", metrics)).transpose()?,
            validation: self
                .validation
                .map(|metrics| stored_metrics("validation_metrics", metrics))
                .transpose()?,
            test: self.test.map(|metrics| stored_metrics("test_metrics", metrics)).transpose()?,
        })
    }
}

fn stored_metrics(field: &'static str, metrics: Metrics) -> Result<Metrics, InvalidField> {
    if metrics.len() > METRIC_NAMES_MAX {
        let reason = format!("expected at most {METRIC_NAMES_MAX} metrics, found {}", metrics.len());
        return Err(InvalidField::new(field, reason));
    }
    for (name, value) in &metrics {
        text(field, name, Limit::Characters(NAME_CHARACTERS_MAX))?;
        if !value.is_finite() {
            return Err(InvalidField::new(field, format!("expected a finite number for {name:?}, found {value}")));
        }
    }
    // Decimals know one zero.
    Ok(metrics.into_iter().map(|(name, value)| (name, if value == 0.0 { 0.0 } else { value })).collect())
}

/// The trial of a study that a run was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OptunaTrial {
    /// The study; 1 to 255 characters.
    pub study_name: String,
    /// The trial's number in it; not negative.
    pub number: i32,
}

/// A row of `ml_training_runs`.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingRun {
    /// The identifier.
    pub id: TrainingRunId,
    /// The experiment that it belongs to.
    pub experiment_id: ExperimentId,
    /// The model that came out of it.
    pub model_id: Option<ModelId>,
    /// Its identifier in MLflow; no two runs have the same.
    pub mlflow_run_id: Option<String>,
    /// How the model was trained, for example `xgboost`.
    pub algorithm: String,
    /// The settings of the training.
    pub hyperparameters: Map<String, Value>,
    /// The features, in the order of the model's inputs.
    pub feature_names: Vec<String>,
    /// How good the result was.
    pub metrics: SplitMetrics,
    /// How far it has come.
    pub status: TrainingStatus,
    /// Why it failed.
    pub error_message: Option<String>,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it ended, if it has.
    pub completed_at: Option<DateTime<Utc>>,
    /// How long it took, in seconds: the time between the two.
    pub duration_seconds: Option<f64>,
    /// The trial that it was, if it was one.
    pub trial: Option<OptunaTrial>,
    /// Whether it is the best trial of its study; at most one is.
    pub is_best_trial: bool,
    /// How often it was written.
    pub revision: Revision,
    /// When it was recorded.
    pub created_at: DateTime<Utc>,
    /// When it was changed last; later after every change.
    pub updated_at: DateTime<Utc>,
}

/// A run that begins.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NewTrainingRun {
    /// See [`TrainingRun::experiment_id`].
    pub experiment_id: ExperimentId,
    /// See [`TrainingRun::mlflow_run_id`]; 1 to 255 characters.
    pub mlflow_run_id: Option<String>,
    /// See [`TrainingRun::algorithm`]; 1 to 255 characters.
    pub algorithm: String,
    /// See [`TrainingRun::hyperparameters`]; up to 1 MiB.
    pub hyperparameters: Map<String, Value>,
    /// See [`TrainingRun::feature_names`]; up to [`FEATURES_MAX`] of 1 to 255 characters.
    pub feature_names: Vec<String>,
    /// See [`TrainingRun::started_at`]; the store's time when absent.
    pub started_at: Option<DateTime<Utc>>,
    /// See [`TrainingRun::trial`].
    pub trial: Option<OptunaTrial>,
}

impl NewTrainingRun {
    /// A run with what it must have.
    pub fn new(experiment_id: ExperimentId, algorithm: impl Into<String>) -> Self {
        Self {
            experiment_id,
            mlflow_run_id: None,
            algorithm: algorithm.into(),
            hyperparameters: Map::new(),
            feature_names: Vec::new(),
            started_at: None,
            trial: None,
        }
    }

    /// The run with its times and numbers as they are stored.
    ///
    /// # Errors
    /// The first field that no run can have.
    pub fn stored(self) -> Result<Self, InvalidField> {
        let name = Limit::Characters(NAME_CHARACTERS_MAX);
        optional_text("mlflow_run_id", self.mlflow_run_id.as_deref(), name)?;
        text("algorithm", &self.algorithm, name)?;
        if self.feature_names.len() > FEATURES_MAX {
            let reason = format!("expected at most {FEATURES_MAX} features, found {}", self.feature_names.len());
            return Err(InvalidField::new("feature_names", reason));
        }
        for feature in &self.feature_names {
            text("feature_names", feature, name)?;
        }
        if let Some(trial) = &self.trial {
            validate_study_name(&trial.study_name)?;
            if trial.number < 0 {
                let reason = format!("expected 0 or more, found {}", trial.number);
                return Err(InvalidField::new("optuna_trial_number", reason));
            }
        }
        Ok(Self {
            hyperparameters: stored_object("hyperparameters", &self.hyperparameters)?,
            started_at: self.started_at.map(|time| instant("started_at", time)).transpose()?,
            ..self
        })
    }
}

/// Checks a study's name, also one that is only looked for.
///
/// # Errors
/// When no study can have it.
pub fn validate_study_name(study_name: &str) -> Result<(), InvalidField> {
    text("optuna_study_name", study_name, Limit::Characters(NAME_CHARACTERS_MAX))
}

/// Checks what a run failed with.
pub(crate) fn validate_error_message(error_message: &str) -> Result<(), InvalidField> {
    text("error_message", error_message, Limit::Octets(ERROR_OCTETS_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_finite() {
        for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let test = Some(Metrics::from([("loss".to_owned(), number)]));
            let refused = SplitMetrics { test, ..SplitMetrics::default() }.stored().unwrap_err();
            assert_eq!(refused.field, "test_metrics");
        }
        let train = Some(Metrics::from([("loss".to_owned(), -0.0), ("max".to_owned(), f64::MAX)]));
        let stored = SplitMetrics { train, ..SplitMetrics::default() }.stored().unwrap();
        assert!(stored.train.unwrap()["loss"].is_sign_positive());
    }

    #[test]
    fn a_trial_has_a_number() {
        let trial = Some(OptunaTrial { study_name: "s".to_owned(), number: -1 });
        let new = NewTrainingRun { trial, ..NewTrainingRun::new(ExperimentId::random(), "xgboost") };
        assert_eq!(new.stored().unwrap_err().field, "optuna_trial_number");
    }
}
