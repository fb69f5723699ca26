//! Cases about running migrations forwards.

use sqlx::migrate::MigrateError;
use sqlx::postgres::PgConnection;

use super::super::{MigrationSubject, connect, schema_of};
use crate::case::{CaseError, CaseResult};
use crate::check;
use crate::check_eq;
use crate::migration_set::MigrationError;
use crate::schema::{Fingerprint, difference};

/// Fails whatever comes before it; the line break ends a comment, the semicolon a statement.
const FAILING_STATEMENT: &str = "\n;SELECT 1 / 0;";

pub(super) async fn applies_to_an_empty_server(subject: MigrationSubject) -> CaseResult {
    let migrations = subject.migrations.migrations();
    check!(!migrations.is_empty(), "expected at least one migration, found none");
    let database = subject.migrated().await?;
    let applied = history(&mut connect(&database).await?).await?;
    let versions: Vec<i64> = applied.iter().map(|entry| entry.version).collect();
    let expected: Vec<i64> = migrations.iter().map(|migration| migration.version).collect();
    check_eq!(versions, expected, "the versions in the migrator's history");
    Ok(())
}

pub(super) async fn stepwise_equals_all_at_once(subject: MigrationSubject) -> CaseResult {
    let at_once = schema_of(&subject.migrated().await?).await?;
    let database = subject.empty().await?;
    for migration in subject.migrations.migrations() {
        subject.apply_up_to(&database, migration.version).await?;
    }
    let stepwise = schema_of(&database).await?;
    if stepwise == at_once {
        return Ok(());
    }
    Err(CaseError::failed_with(
        "expected the schema of one run (the expected text) when every migration is applied in a run of its own, \
         found another: a migration depends on what an earlier one did to the session",
        difference(&at_once, &stepwise),
    ))
}

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

pub(super) async fn failed_migration_leaves_no_trace(subject: MigrationSubject) -> CaseResult {
    let database = subject.empty().await?;
    let mut connection = connect(&database).await?;
    for migration in subject.migrations.migrations() {
        // What runs outside a transaction cannot be rolled back, and says so.
        if !migration.is_outside_transaction() {
            // An empty target creates the history, which is no trace.
            subject.apply_up_to(&database, migration.version - 1).await?;
            let before = fingerprint(&mut connection).await?;
            let failing = subject.migrations.as_ref().clone();
            let failing = failing.edited(migration.version, |migration| migration.up.push_str(FAILING_STATEMENT));
            match failing.apply_up_to(&mut connect(&database).await?, migration.version).await {
                Err(MigrationError::Statement { .. } | MigrationError::Migrator(_)) => {}
                Err(MigrationError::Connection(error)) => return Err(CaseError::harness(error)),
                Ok(()) => {
                    return Err(CaseError::failed(format!(
                        "expected {} to fail when a statement at its end fails, found success",
                        migration.up_file()
                    )));
                }
            }
            let changes = before.changes(&fingerprint(&mut connection).await?);
            let changes: Vec<String> = changes.iter().map(ToString::to_string).collect();
            check!(
                changes.is_empty(),
                "expected {} to be rolled back when a statement at its end fails, found changes in {}: does it \
                 commit?",
                migration.up_file(),
                changes.join(", ")
            );
        }
        subject.apply_up_to(&database, migration.version).await?;
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
