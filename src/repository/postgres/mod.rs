//! Repositories on Postgres: one statement per method, so that each is all or nothing without a transaction.

mod bento_service;
mod error;

pub use bento_service::PostgresBentoServiceRepository;

/// The migrations that the repositories of this version expect to be applied.
pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!("./migrations");
