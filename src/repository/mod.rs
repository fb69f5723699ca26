//! Where the platform's rows live: a trait per aggregate, its errors, and its implementations.
//!
//! [`memory`] is the oracle: small enough to be read as the definition of what the trait's methods do. The
//! Postgres implementations must agree with it on everything that a caller can observe.

mod bento_service;
mod cursor;
mod deployment;
mod error;
mod experiment;
mod idempotency;
pub mod memory;
mod model;
mod page;
#[cfg(feature = "postgres")]
pub mod postgres;
mod training_run;

pub use bento_service::{BentoServiceRepository, METRICS_MAX, constraint};
pub use cursor::CursorKey;
pub use deployment::{CHAIN_MAX, DeploymentRepository, deployment_constraint};
pub use error::{RepositoryError, Source};
pub use experiment::{ExperimentRepository, experiment_constraint};
pub use idempotency::IdempotencyKey;
pub use model::{ModelRepository, model_constraint};
pub use page::{Cursor, LIMIT_MAX, Page, PageRequest};
pub use training_run::{TrainingRunRepository, training_run_constraint};
