//! Plain types of the platform's tables: identifiers, values and the rules that a value must satisfy.
//!
//! The rules are checked here, once, before anything is sent to a store; the migrations state them again, so
//! that no other writer can store what they refuse.

mod bento_service;
mod change;
mod data_quality;
mod deployment;
mod document;
mod experiment;
mod feature_freshness;
mod feature_view;
mod hpo_pattern;
mod hpo_study;
mod ids;
mod json;
mod materialization_job;
mod metric_summary;
mod prompt_optimization;
mod registered_model;
mod revision;
mod serving_metric;
mod shap_analysis;
mod span;
mod text_enum;
mod time;
mod trace;
mod training_run;
mod validation;

pub use bento_service::{
    BentoService, DeploymentStatus, HealthStatus, NAME_CHARACTERS_MAX, NewBentoService, TEXT_OCTETS_MAX,
    VERSION_CHARACTERS_MAX, validate_bento_tag,
};
pub use change::Change;
pub use data_quality::{
    DataQualityReport, DataSplit, DqStatus, EXPECTATIONS_MAX, FAILED_EXPECTATIONS_MAX, FailedExpectation,
    GateDecision, GatePolicy, GateReason, NewDataQualityReport,
};
pub(crate) use data_quality::{validate_suite_name, validate_table_name};
pub(crate) use deployment::validate_rollback_reason;
pub use deployment::{
    Activation, Deployment, ENVIRONMENT_CHARACTERS_MAX, NewDeployment, Performance, Rollback, validate_place,
};
pub use document::Document;
pub use experiment::{Experiment, ExperimentChanges, NewExperiment};
pub use feature_freshness::{
    FeatureFreshness, Freshness, FreshnessStatus, FreshnessThresholds, THRESHOLD_SECONDS_MAX,
};
pub(crate) use feature_freshness::{seconds_between, stored_recorded_at};
pub use feature_view::{
    Feature, FeatureView, NewFeatureView, TTL_SECONDS_MAX, VIEW_ENTITIES_MAX, VIEW_FEATURES_MAX,
    validate_feature_view_name,
};
pub(crate) use hpo_pattern::validate_improvement;
pub use hpo_pattern::{
    DataShape, ExactSum, HpoPattern, IMPROVEMENT_MAX, NewHpoPattern, PatternQuery, SHAPE_FACTOR_MAX, SHAPE_MAX,
};
pub(crate) use hpo_study::validate_hpo_study_name;
pub use hpo_study::{Direction, HpoStudy, HpoTrial, NewHpoStudy, NewHpoTrial, TrialEnd, TrialState};
pub use ids::{
    BentoServiceId, DataQualityReportId, DeploymentId, ExperimentId, FeatureFreshnessId, FeatureViewId,
    HpoPatternId, HpoStudyId, HpoTrialId, InstructionId, MaterializationJobId, ModelId, PromptRunId,
    ServingMetricId, ShapAnalysisId, SpanRowId, TrainingRunId,
};
pub use json::{JSON_DEPTH_MAX, JSON_OCTETS_MAX};
pub use materialization_job::{
    MaterializationEnd, MaterializationJob, MaterializationOutcome, MaterializationStatus, NewMaterializationJob,
    ROWS_MATERIALIZED_MAX,
};
pub use metric_summary::{Bounds, MetricSummary};
pub use prompt_optimization::{
    BUDGET_MAX, Instruction, NewInstruction, NewPromptRun, PromptRun, PromptRunEnd, PromptRunStatus,
};
pub use registered_model::{
    ChampionChange, ModelChanges, ModelScores, ModelStage, NewModel, RegisteredModel, StageTransition,
    validate_model_name,
};
pub use revision::Revision;
pub use serving_metric::{
    MEASURE_MAX, MEASURE_MIN, Measures, NewServingMetric, ServingMetric, WINDOW_SECONDS_DEFAULT,
    WINDOW_SECONDS_MAX, WINDOW_SECONDS_MIN,
};
pub(crate) use shap_analysis::validate_explanation_id;
pub use shap_analysis::{
    AnalysisStatus, AnalysisType, NewShapAnalysis, SHAP_BATCH_ROWS_MAX, SHAP_BATCH_VALUES_MAX, SHAP_FEATURES_MAX,
    ShapAnalysis, ShapOutcome, ShapStatusCounts,
};
pub use span::{NewSpan, SPAN_BATCH_MAX, Span, SpanEnd, SpanStatus, TOKENS_MAX, TRACE_SPANS_MAX};
pub(crate) use span::{validate_agent_name, validate_trace_id};
pub use text_enum::UnknownValue;
pub(crate) use time::instant;
pub use time::{TIME_MAX, TIME_MIN, TimeWindow, to_microseconds};
pub use trace::{Placement, Trace, TraceNode};
pub(crate) use training_run::validate_error_message;
pub use training_run::{
    ERROR_OCTETS_MAX, FEATURES_MAX, METRIC_NAMES_MAX, Metrics, NewTrainingRun, OptunaTrial, SplitMetrics,
    TrainingRun, TrainingStatus, validate_study_name,
};
pub use validation::InvalidField;
pub(crate) use validation::{validate_idempotency_key, validate_mlflow_id};
