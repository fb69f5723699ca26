//! Repositories on Postgres: one statement per method where one suffices, so that each is all or nothing without a
//! transaction. Where several are needed, `session` has the transaction.
//!
//! All have in common: [`Store`] (pool, time limits, retries), `statement` (what is sent, as a list), `idempotency`,
//! `copy` for large batches, and `error`, which says what an error of Postgres means.

mod bento_service;
mod copy;
mod data_quality;
mod deployment;
mod error;
mod experiment;
mod feature_view;
mod hpo;
mod idempotency;
mod model;
mod prompt;
mod read;
mod register;
mod retry;
mod revision;
mod session;
mod shap_analysis;
mod span;
mod statement;
mod store;
mod training_run;

pub use bento_service::PostgresBentoServiceRepository;
pub use data_quality::PostgresDataQualityRepository;
pub use deployment::PostgresDeploymentRepository;
pub use experiment::PostgresExperimentRepository;
pub use feature_view::PostgresFeatureViewRepository;
pub use hpo::PostgresHpoRepository;
pub use model::PostgresModelRepository;
pub use prompt::PostgresPromptRepository;
pub use retry::RetryPolicy;
pub use shap_analysis::PostgresShapAnalysisRepository;
pub use span::PostgresSpanRepository;
pub use statement::{Statement, StatementKind};
pub use store::{Store, StoreSettings};
pub use training_run::PostgresTrainingRunRepository;

/// The migrations that the repositories of this version expect to be applied.
pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!("./migrations");

/// Every statement that any repository can send, by repository.
pub const STATEMENTS: &[(&str, &[Statement])] =
    &[("idempotency", idempotency::ALL), ("bento_service", PostgresBentoServiceRepository::STATEMENTS)];
