//! Cases about what sqlx's migrator does with the set.

use sqlx::migrate::MigrateError;
use sqlx::postgres::PgConnection;

use super::super::{MigrationSubject, connect};
use crate::case::{CaseError, CaseResult};
use crate::check;
use crate::check_eq;
use crate::migration_set::MigrationError;
use crate::schema::Fingerprint;

pub(super) async fn rerun_changes_nothing(subject: MigrationSubject) -> CaseResult {
    let database = subject.migrated().await?;
    let mut connection = connect(&database).await?;
    let (history_before, catalog_before) = (history(&mut connection).await?, fingerprint(&mut connection).await?);
    let second = subject.migrations.apply(&mut connect(&database).await?).await;
    second.map_err(|error| super::super::rejected("a second run", error))?;
    let changes = catalog_before.changes(&fingerprint(&mut connection).await?);
    let changes: Vec<String> = changes.iter().map(ToString::to_string).collect();
    check!(changes.is_empty(), "expected no change by a second run, found changes in {}", changes.join(", "));
    check_eq!(history(&mut connection).await?, history_before, "the migrator's history after a second run");
    Ok(())
}

pub(super) async fn edited_migration_is_refused(subject: MigrationSubject) -> CaseResult {
    let database = subject.migrated().await?;
    for migration in subject.migrations.migrations() {
        let edited = subject.migrations.as_ref().clone();
        let edited = edited.edited(migration.version, |migration| migration.up.push_str("\n-- edited"));
        let found = match edited.apply(&mut connect(&database).await?).await {
            Err(MigrationError::Migrator(MigrateError::VersionMismatch(version)))
                if version == migration.version =>
            {
                continue;
            }
            Ok(()) => "it accepted".to_owned(),
            Err(MigrationError::Connection(error)) => return Err(CaseError::harness(error)),
            Err(error) => error.to_string(),
        };
        return Err(CaseError::failed(format!(
            "expected the migrator to refuse {} when it was edited after it was applied, found: {found}",
            migration.up_file()
        )));
    }
    Ok(())
}

/// What the migrator remembers about a migration.
#[derive(Debug, PartialEq, Eq, sqlx::FromRow)]
struct Entry {
    version: i64,
    success: bool,
    checksum: String,
    installed_on: String,
}

async fn history(connection: &mut PgConnection) -> Result<Vec<Entry>, CaseError> {
    let query = "SELECT version, success, encode(checksum, 'hex') AS checksum, installed_on::text AS installed_on
        FROM public._sqlx_migrations ORDER BY version";
    sqlx::query_as(query).fetch_all(connection).await.map_err(CaseError::harness)
}

async fn fingerprint(connection: &mut PgConnection) -> Result<Fingerprint, CaseError> {
    Fingerprint::take(connection).await.map_err(CaseError::harness)
}
