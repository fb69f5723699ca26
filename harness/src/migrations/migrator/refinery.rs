//! refinery, as a service uses it: embedded files, and a client of tokio-postgres.

use async_trait::async_trait;
use refinery_core::{Migration as LibraryMigration, Runner};
use tokio_postgres::{Client, Config, NoTls};

use super::{Instance, Migrator, MigratorError};
use crate::case::Capability;
use crate::migration_set::Migration;

/// refinery 0.10.
#[derive(Debug, Clone, Copy)]
pub struct RefineryMigrator;

#[async_trait]
impl Migrator for RefineryMigrator {
    fn name(&self) -> &'static str {
        "refinery"
    }

    fn capabilities(&self) -> &'static [Capability] {
        &[]
    }

    async fn up(&self, files: &[Migration], instance: &Instance) -> Result<(), MigratorError> {
        let files = files.iter().map(|file| {
            let name = file.stem.split_once('_').map_or("", |(_, name)| name);
            LibraryMigration::unapplied(&format!("V{}__{name}", file.version), &file.up)
        });
        let files = files.collect::<Result<Vec<_>, _>>().map_err(library)?;
        let mut client = connect(instance).await?;
        Runner::new(&files).run_async(&mut client).await.map(drop).map_err(library)
    }

    async fn undo(&self, _: &[Migration], _: &Instance, _: i64) -> Result<(), MigratorError> {
        Err(MigratorError::Unsupported("revert what it applied"))
    }

    async fn history(&self, instance: &Instance) -> Result<Vec<i64>, MigratorError> {
        let table = "SELECT to_regclass('public.refinery_schema_history') IS NOT NULL";
        if !sqlx::query_scalar::<_, bool>(table).fetch_one(instance.pool()).await? {
            return Ok(Vec::new());
        }
        let versions = "SELECT version::bigint FROM public.refinery_schema_history ORDER BY version";
        Ok(sqlx::query_scalar(versions).fetch_all(instance.pool()).await?)
    }
}

/// A client; its session ends soon after it is dropped.
async fn connect(instance: &Instance) -> Result<Client, MigratorError> {
    let mut config: Config = instance.url().parse().map_err(library)?;
    config.application_name(instance.name());
    let (client, connection) = config.connect(NoTls).await.map_err(library)?;
    tokio::spawn(connection);
    Ok(client)
}

fn library(error: impl std::error::Error) -> MigratorError {
    MigratorError::Library(crate::error_chain(&error))
}
