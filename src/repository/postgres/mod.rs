//! Repositories on Postgres: one statement per method where one suffices, so that each is all or nothing without a
//! transaction. Where several are needed, [`session`] has the transaction.
//!
//! All have in common: [`Store`] (pool, time limits, retries), [`statement`] (what is sent, as a list), [`idempotency`],
//! [`copy`] for large batches, and [`error`], which says what an error of Postgres means.

mod bento_service;
mod copy;
mod error;
mod idempotency;
mod retry;
mod session;
mod statement;
mod store;

pub use bento_service::PostgresBentoServiceRepository;
pub use retry::RetryPolicy;
pub use statement::{Statement, StatementKind};
pub use store::{Store, StoreSettings};

/// The migrations that the repositories of this version expect to be applied.
pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!("./migrations");

/// Every statement that any repository can send, by repository.
pub const STATEMENTS: &[(&str, &[Statement])] =
    &[("idempotency", idempotency::ALL), ("bento_service", PostgresBentoServiceRepository::STATEMENTS)];
