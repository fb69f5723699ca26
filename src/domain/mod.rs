//! Plain types of the platform's tables: identifiers, values and the rules that a value must satisfy.
//!
//! The rules are checked here, once, before anything is sent to a store; the migrations state them again, so
//! that no other writer can store what they refuse.

mod bento_service;
mod change;
mod deployment;
mod experiment;
mod ids;
mod json;
mod metric_summary;
mod registered_model;
mod revision;
mod serving_metric;
mod text_enum;
mod time;
mod training_run;
mod validation;

pub use bento_service::{
    BentoService, DeploymentStatus, HealthStatus, NAME_CHARACTERS_MAX, NewBentoService, TEXT_OCTETS_MAX,
    VERSION_CHARACTERS_MAX, validate_bento_tag,
};
pub use change::Change;
pub(crate) use deployment::validate_rollback_reason;
pub use deployment::{
    Activation, Deployment, ENVIRONMENT_CHARACTERS_MAX, NewDeployment, Performance, Rollback, validate_place,
};
pub use experiment::{Experiment, ExperimentChanges, NewExperiment};
pub use ids::{BentoServiceId, DeploymentId, ExperimentId, ModelId, ServingMetricId, TrainingRunId};
pub use json::{JSON_DEPTH_MAX, JSON_OCTETS_MAX};
pub use metric_summary::{Bounds, MetricSummary};
pub use registered_model::{
    ChampionChange, ModelChanges, ModelScores, ModelStage, NewModel, RegisteredModel, StageTransition,
    validate_model_name,
};
pub use revision::Revision;
pub use serving_metric::{
    MEASURE_MAX, MEASURE_MIN, Measures, NewServingMetric, ServingMetric, WINDOW_SECONDS_DEFAULT,
    WINDOW_SECONDS_MAX, WINDOW_SECONDS_MIN,
};
pub use text_enum::UnknownValue;
pub(crate) use time::instant;
pub use time::{TIME_MAX, TIME_MIN, TimeWindow, to_microseconds};
pub(crate) use training_run::validate_error_message;
pub use training_run::{
    ERROR_OCTETS_MAX, FEATURES_MAX, METRIC_NAMES_MAX, Metrics, NewTrainingRun, OptunaTrial, SplitMetrics,
    TrainingRun, TrainingStatus, validate_study_name,
};
pub use validation::InvalidField;
pub(crate) use validation::{validate_idempotency_key, validate_mlflow_id};
