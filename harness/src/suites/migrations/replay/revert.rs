//! Cases about running migrations backwards.

use super::super::{MigrationSubject, schema_of};
use crate::case::{CaseError, CaseResult};
use crate::check;
use crate::migration_set::Migration;
use crate::schema::difference;

pub(super) async fn up_down_up_restores_the_catalog(subject: MigrationSubject) -> CaseResult {
    let database = subject.empty().await?;
    let mut version_before = 0;
    let mut before = schema_of(&database).await?;
    for migration in subject.migrations.migrations() {
        let version = migration.version;
        check_reversible(migration)?;
        subject.apply_up_to(&database, version).await?;
        let up = schema_of(&database).await?;
        subject.revert_down_to(&database, version_before).await?;
        let down = schema_of(&database).await?;
        if down != before {
            return Err(CaseError::failed_with(
                format!(
                    "expected {} to restore the schema before version {version}, found another",
                    migration.down_file()
                ),
                difference(&before, &down),
            ));
        }
        subject.apply_up_to(&database, version).await?;
        let again = schema_of(&database).await?;
        if again != up {
            return Err(CaseError::failed_with(
                format!("expected version {version} to be the same after up, down and up, found another schema"),
                difference(&up, &again),
            ));
        }
        (version_before, before) = (version, up);
    }
    Ok(())
}

pub(super) async fn down_scripts_leave_nothing(subject: MigrationSubject) -> CaseResult {
    subject.migrations.migrations().iter().try_for_each(check_reversible)?;
    let empty = schema_of(&subject.empty().await?).await?;
    let database = subject.migrated().await?;
    subject.revert_down_to(&database, 0).await?;
    let left = schema_of(&database).await?;
    if left == empty {
        return Ok(());
    }
    Err(CaseError::failed_with(
        "expected an empty database when every migration is reverted, found something in it",
        difference(&empty, &left),
    ))
}

/// The migrator passes over a down script that is missing, and reports success.
fn check_reversible(migration: &Migration) -> CaseResult {
    check!(migration.down.is_some(), "expected a file {}, found none", migration.down_file());
    Ok(())
}
