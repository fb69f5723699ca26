//! The migrator of sqlx, as a service uses it: a directory, a pool, and the lock that is its default.

use std::fs;

use ::sqlx::migrate::{MigrateError, Migrator as Library};
use async_trait::async_trait;
use tempfile::TempDir;
use tokio::runtime::Handle;
use tokio::task;

use super::{Instance, Migrator, MigratorError};
use crate::case::Capability;
use crate::migration_set::Migration;

/// sqlx 0.9.
#[derive(Debug, Clone, Copy)]
pub struct SqlxMigrator;

#[async_trait]
impl Migrator for SqlxMigrator {
    fn name(&self) -> &'static str {
        "sqlx"
    }

    fn capabilities(&self) -> &'static [Capability] {
        &[Capability::Undo, Capability::OutsideTransaction]
    }

    async fn up(&self, files: &[Migration], instance: &Instance) -> Result<(), MigratorError> {
        let directory = written(files)?;
        let library = Library::new(directory.path()).await?;
        // What `run(&pool)` does, whose future cannot be sent to another thread.
        let mut connection = instance.pool().acquire().await?;
        Ok(library.run_direct(None, &mut *connection, false).await?)
    }

    async fn undo(&self, files: &[Migration], instance: &Instance, version: i64) -> Result<(), MigratorError> {
        let directory = written(files)?;
        let library = Library::new(directory.path()).await?;
        let (runtime, pool) = (Handle::current(), instance.pool().clone());
        let undone = task::spawn_blocking(move || runtime.block_on(library.undo(&pool, version))).await;
        Ok(undone.map_err(|died| MigratorError::Library(died.to_string()))??)
    }

    async fn history(&self, instance: &Instance) -> Result<Vec<i64>, MigratorError> {
        let table = "SELECT to_regclass('public._sqlx_migrations') IS NOT NULL";
        if !::sqlx::query_scalar::<_, bool>(table).fetch_one(instance.pool()).await? {
            return Ok(Vec::new());
        }
        let versions = "SELECT version FROM public._sqlx_migrations WHERE success ORDER BY version";
        Ok(::sqlx::query_scalar(versions).fetch_all(instance.pool()).await?)
    }
}

/// The files in a directory, where the library reads them as any service's.
fn written(files: &[Migration]) -> Result<TempDir, MigratorError> {
    let directory = tempfile::tempdir()?;
    for file in files {
        fs::write(directory.path().join(file.up_file()), &file.up)?;
        if let Some(down) = &file.down {
            fs::write(directory.path().join(file.down_file()), down)?;
        }
    }
    Ok(directory)
}

impl From<MigrateError> for MigratorError {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::Execute(source) => Self::Database(source),
            other => Self::Library(crate::error_chain(&other)),
        }
    }
}
