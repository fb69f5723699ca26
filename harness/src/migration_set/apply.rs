//! Applies and reverts a set with sqlx's migrator, and says where it went wrong.

use std::collections::HashSet;
use std::fmt;

use sqlx::migrate::{Migrate as _, MigrateError, Migrator};
use sqlx::postgres::{PgConnection, PgDatabaseError, PgErrorPosition};

use super::MigrationSet;

/// Where sqlx keeps what it applied.
const HISTORY_TABLE: &str = "_sqlx_migrations";

/// How much of a line an error repeats, in characters.
const SNIPPET_CHARS: usize = 120;

/// Why migrations were not applied or reverted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MigrationError {
    /// Postgres refused a statement.
    #[error(
        "version {version}, {file}{}: {message} (SQLSTATE {code}){}",
        location.as_ref().map(|location| format!(", {location}")).unwrap_or_default(),
        hints.iter().map(|hint| format!("; {hint}")).collect::<String>(),
    )]
    Statement {
        /// The version.
        version: i64,
        /// The script's file.
        file: String,
        /// Where in the file, if Postgres says so.
        location: Option<Location>,
        /// What Postgres says.
        message: String,
        /// Its code.
        code: String,
        /// Its details and hints.
        hints: Vec<String>,
    },
    /// The migrator refused.
    #[error("the migrator stopped: {0}")]
    Migrator(#[source] MigrateError),
    /// The connection was lost: this says nothing about the migrations.
    #[error("the connection was lost: {0}")]
    Connection(#[source] sqlx::Error),
}

/// A place in a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The line, from one.
    pub line: usize,
    /// The column, in characters from one.
    pub column: usize,
    /// The beginning of the line's text.
    pub text: String,
}

impl fmt::Display for Location {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "line {}, column {} (`{}`)", self.line, self.column, self.text)
    }
}

impl Location {
    /// The place of a character, counted from one as Postgres does.
    fn of(script: &str, position: usize) -> Self {
        let before: String = script.chars().take(position.saturating_sub(1)).collect();
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = script[line_start..].lines().next().unwrap_or_default().trim();
        Self {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            text: line.chars().take(SNIPPET_CHARS).collect(),
        }
    }
}

#[derive(Clone, Copy)]
enum Direction {
    Up,
    Down,
}

impl MigrationSet {
    /// Applies what is not applied yet.
    ///
    /// # Errors
    /// When a statement fails, or what was applied before differs from the set.
    pub async fn apply(&self, connection: &mut PgConnection) -> Result<(), MigrationError> {
        self.apply_up_to(connection, i64::MAX).await
    }

    /// Applies what is not applied yet, up to and including a version.
    ///
    /// # Errors
    /// When a statement fails, or what was applied before differs from the set.
    pub async fn apply_up_to(&self, connection: &mut PgConnection, version: i64) -> Result<(), MigrationError> {
        let result = migrator(self).run_direct(Some(version), connection, false).await;
        result.map_err(|error| self.locate(error, Direction::Up))
    }

    /// Reverts what is applied above a version.
    ///
    /// # Errors
    /// When a statement fails, or what was applied before differs from the set.
    pub async fn revert_down_to(&self, connection: &mut PgConnection, version: i64) -> Result<(), MigrationError> {
        self.revert(connection, version).await.map_err(|error| self.locate(error, Direction::Down))
    }

    /// As `Migrator::undo` does it, whose future cannot be sent to another thread.
    async fn revert(&self, connection: &mut PgConnection, target: i64) -> Result<(), MigrateError> {
        connection.ensure_migrations_table(HISTORY_TABLE).await?;
        let applied = connection.list_applied_migrations(HISTORY_TABLE).await?;
        let migrator = self.migrator();
        if let Some(missing) = applied.iter().find(|applied| !migrator.version_exists(applied.version)) {
            return Err(MigrateError::VersionMissing(missing.version));
        }
        let applied: HashSet<i64> = applied.iter().map(|applied| applied.version).collect();
        for migration in migrator.iter().rev() {
            let is_wanted = migration.version > target && applied.contains(&migration.version);
            if is_wanted && migration.migration_type.is_down_migration() {
                connection.revert(HISTORY_TABLE, migration).await?;
            }
        }
        Ok(())
    }

    fn locate(&self, error: MigrateError, direction: Direction) -> MigrationError {
        let (refusal, version) = match error {
            MigrateError::ExecuteMigration(sqlx::Error::Database(ref refusal), version) => (refusal, version),
            // What the server answers to the migrator's own statements is about the migrations, too.
            MigrateError::Execute(sqlx::Error::Database(_)) => return MigrationError::Migrator(error),
            MigrateError::ExecuteMigration(error, _) | MigrateError::Execute(error) => {
                return MigrationError::Connection(error);
            }
            error => return MigrationError::Migrator(error),
        };
        let found = self.migrations().iter().find(|migration| migration.version == version);
        let (Some(refusal), Some(migration)) = (refusal.try_downcast_ref::<PgDatabaseError>(), found) else {
            return MigrationError::Migrator(error);
        };
        let (file, script) = match direction {
            Direction::Up => (migration.up_file(), migration.up.as_str()),
            Direction::Down => (migration.down_file(), migration.down.as_deref().unwrap_or_default()),
        };
        MigrationError::Statement {
            version,
            file,
            location: match refusal.position() {
                Some(PgErrorPosition::Original(position)) => Some(Location::of(script, position)),
                Some(PgErrorPosition::Internal { .. }) | None => None,
            },
            message: refusal.message().to_owned(),
            code: refusal.code().to_owned(),
            hints: refusal.detail().into_iter().chain(refusal.hint()).map(str::to_owned).collect(),
        }
    }
}

/// Without the lock that keeps two migrators apart: a database of our own has but one.
fn migrator(set: &MigrationSet) -> Migrator {
    let mut migrator = set.migrator();
    migrator.set_locking(false);
    migrator
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_a_line_and_a_column() {
        let script = "-- é\nCREATE TABLE a ();\r\n  DROP b;\n";
        let location = |position| Location::of(script, position);
        assert_eq!(location(1), Location { line: 1, column: 1, text: "-- é".to_owned() });
        assert_eq!(location(6), Location { line: 2, column: 1, text: "CREATE TABLE a ();".to_owned() });
        assert_eq!(location(33).to_string(), "line 3, column 8 (`DROP b;`)");
        assert_eq!(location(9999).line, 4);
    }
}
