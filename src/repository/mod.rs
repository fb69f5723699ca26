//! Where the platform's rows live: a trait per aggregate, its errors, and its implementations.
//!
//! [`memory`] is the oracle: small enough to be read as the definition of what the trait's methods do. The
//! Postgres implementations must agree with it on everything that a caller can observe.

mod bento_service;
mod cursor;
mod data_quality;
mod deployment;
mod error;
mod experiment;
mod feature_view;
mod hpo;
mod idempotency;
pub mod memory;
mod model;
mod page;
#[cfg(feature = "postgres")]
pub mod postgres;
mod prompt;
mod shap_analysis;
mod span;

pub use bento_service::{BentoServiceRepository, METRICS_MAX, constraint};
pub use cursor::CursorKey;
pub use data_quality::{DataQualityRepository, data_quality_constraint};
pub use error::{RepositoryError, Source};
pub use feature_view::{FeatureViewRepository, feature_view_constraint};
pub use hpo::{HpoRepository, hpo_constraint};
mod training_run;

pub use deployment::{CHAIN_MAX, DeploymentRepository, deployment_constraint};
pub use experiment::{ExperimentRepository, experiment_constraint};
pub use idempotency::IdempotencyKey;
pub use model::{ModelRepository, model_constraint};
pub use page::{Cursor, LIMIT_MAX, Page, PageRequest};
pub use prompt::{PromptRepository, prompt_constraint};
pub use shap_analysis::{ShapAnalysisRepository, shap_constraint};
pub use span::{SPANS_DELETED_MAX, SpanRepository, span_constraint};
pub use training_run::{TrainingRunRepository, training_run_constraint};
