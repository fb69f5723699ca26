//! Plain types of the platform's tables: identifiers, values and the rules that a value must satisfy.
//!
//! The rules are checked here, once, before anything is sent to a store; the migrations state them again, so
//! that no other writer can store what they refuse.

mod bento_service;
mod data_quality;
mod document;
mod feature_freshness;
mod feature_view;
mod hpo_pattern;
mod hpo_study;
mod ids;
mod materialization_job;
mod metric_summary;
mod prompt_optimization;
mod serving_metric;
mod shap_analysis;
mod span;
mod text_enum;
mod time;
mod trace;
mod validation;

pub use bento_service::{
    BentoService, DeploymentStatus, HealthStatus, NAME_CHARACTERS_MAX, NewBentoService, TEXT_OCTETS_MAX,
    VERSION_CHARACTERS_MAX, validate_bento_tag,
};
pub use ids::{BentoServiceId, ModelId, ServingMetricId};
pub use metric_summary::{Bounds, MetricSummary};
pub use serving_metric::{
    MEASURE_MAX, MEASURE_MIN, Measures, NewServingMetric, ServingMetric, WINDOW_SECONDS_DEFAULT,
    WINDOW_SECONDS_MAX, WINDOW_SECONDS_MIN,
};
pub use text_enum::UnknownValue;
pub use time::{TIME_MAX, TIME_MIN, TimeWindow, to_microseconds};
pub use validation::InvalidField;
