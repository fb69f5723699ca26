//! A set of migrations as data: what templates are keyed by and what the migration suite is run against.

mod apply;
mod directory;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use sqlx::AssertSqlSafe;
use sqlx::SqlSafeStr as _;
use sqlx::migrate::{MigrationType, Migrator};

pub use apply::{Location, MigrationError};

/// The most migrations in a set.
pub const MIGRATIONS_MAX: usize = 10_000;

/// The longest script, in bytes.
pub const SCRIPT_BYTES_MAX: u64 = 16 * 1024 * 1024;

impl From<&Migrator> for MigrationSet {
    fn from(migrator: &Migrator) -> Self {
        Self::from_migrator(migrator)
    }
}

/// One migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Migration {
    /// The version; unique in its set.
    pub version: i64,
    /// The name of its files without the ending: the version, an underscore, and words joined by underscores.
    pub stem: String,
    /// The SQL that applies it.
    pub up: String,
    /// The SQL that reverts it, if it can be reverted.
    pub down: Option<String>,
}

impl Migration {
    /// A migration whose file would be called `0001_name.sql`, or `.up.sql` and `.down.sql` if it can be reverted.
    pub fn new(version: i64, name: &str, up: impl Into<String>, down: Option<&str>) -> Self {
        Self { version, stem: format!("{version:04}_{name}"), up: up.into(), down: down.map(str::to_owned) }
    }

    /// The name of the script that applies it.
    #[must_use]
    pub fn up_file(&self) -> String {
        format!("{}{}", self.stem, if self.down.is_some() { ".up.sql" } else { ".sql" })
    }

    /// The name of the script that reverts it.
    #[must_use]
    pub fn down_file(&self) -> String {
        format!("{}.down.sql", self.stem)
    }

    /// The words of its name, which is how sqlx describes it.
    fn description(&self) -> String {
        self.stem.split_once('_').map_or("", |(_, name)| name).replace('_', " ")
    }

    /// Whether it runs outside a transaction, as the first line of its script can ask for.
    #[must_use]
    pub fn is_outside_transaction(&self) -> bool {
        is_outside_transaction(&self.up)
    }

    fn to_sqlx(&self, kind: MigrationType, sql: &str) -> sqlx::migrate::Migration {
        sqlx::migrate::Migration::new(
            self.version,
            self.description().into(),
            kind,
            AssertSqlSafe(sql).into_sql_str(),
            is_outside_transaction(sql),
        )
    }
}

/// Migrations in the order of their versions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MigrationSet {
    migrations: Vec<Migration>,
}

/// Why migrations are no set, or cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MigrationSetError {
    /// Something cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    Unreadable {
        /// The file or directory.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: std::io::Error,
    },
    /// A directory without migrations.
    #[error("expected files such as 0001_name.up.sql in {}, found none", directory.display())]
    Empty {
        /// The directory.
        directory: PathBuf,
    },
    /// A file that would be ignored by the migrator.
    #[error(
        "expected a name such as 0001_name.sql, 0001_name.up.sql or 0001_name.down.sql, found {file:?}; rename it \
         or move it elsewhere"
    )]
    Name {
        /// The file's name.
        file: String,
    },
    /// A script is too long.
    #[error("expected at most {SCRIPT_BYTES_MAX} bytes in {file}, found {bytes}")]
    TooLong {
        /// The file's name.
        file: String,
        /// Its length, in bytes.
        bytes: u64,
    },
    /// There are too many migrations.
    #[error("expected at most {MIGRATIONS_MAX} migrations, found {found}")]
    TooMany {
        /// How many there are, or at least are.
        found: usize,
    },
    /// A script is not text.
    #[error("expected UTF-8 without NUL in {file}, found {found} at byte {offset}")]
    NotText {
        /// The file's name.
        file: String,
        /// What is there instead.
        found: &'static str,
        /// Where.
        offset: usize,
    },
    /// A version is not positive.
    #[error("expected a version above zero, found {version} ({file})")]
    Version {
        /// The version.
        version: i64,
        /// The file's name.
        file: String,
    },
    /// Two migrations have one version.
    #[error("expected one migration with version {version}, found {first} and {second}")]
    DuplicateVersion {
        /// The version.
        version: i64,
        /// The file of one.
        first: String,
        /// The file of the other.
        second: String,
    },
    /// A down script has nothing to revert.
    #[error("expected {expected} beside {file}, found none")]
    DownWithoutUp {
        /// The file that is missing.
        expected: String,
        /// The file that is there.
        file: String,
    },
}

impl MigrationSet {
    /// The reference layer's own migrations.
    #[must_use]
    pub fn reference() -> Self {
        Self::from_migrator(&proofmark::repository::postgres::MIGRATOR)
    }

    /// The migrations in a directory, as sqlx lays them out: `NNNN_name.up.sql` and `NNNN_name.down.sql`, or
    /// `NNNN_name.sql` for those that cannot be reverted. Files with other endings are ignored.
    ///
    /// # Errors
    /// When the directory or a file cannot be read, or the migrations are no set.
    pub fn from_directory(directory: &Path) -> Result<Self, MigrationSetError> {
        Self::new(directory::read(directory)?)
    }

    /// A set of the given migrations, in any order.
    ///
    /// # Errors
    /// When two have one version, a version is not positive, or a script is too long or not text.
    pub fn new(mut migrations: Vec<Migration>) -> Result<Self, MigrationSetError> {
        if migrations.len() > MIGRATIONS_MAX {
            return Err(MigrationSetError::TooMany { found: migrations.len() });
        }
        migrations.sort_by_key(|migration| migration.version);
        for pair in migrations.windows(2) {
            if let [first, second] = pair
                && first.version == second.version
            {
                return Err(MigrationSetError::DuplicateVersion {
                    version: first.version,
                    first: first.up_file(),
                    second: second.up_file(),
                });
            }
        }
        for migration in &migrations {
            if migration.version < 1 {
                return Err(MigrationSetError::Version { version: migration.version, file: migration.up_file() });
            }
            check_script(migration.up_file(), &migration.up)?;
            if let Some(down) = &migration.down {
                check_script(migration.down_file(), down)?;
            }
        }
        Ok(Self { migrations })
    }

    /// What a migrator of sqlx would apply and revert.
    #[must_use]
    pub fn from_migrator(migrator: &Migrator) -> Self {
        let of = |wanted: fn(&MigrationType) -> bool| {
            migrator.iter().filter(move |migration| wanted(&migration.migration_type))
        };
        let migrations = of(MigrationType::is_up_migration).map(|up| Migration {
            version: up.version,
            stem: format!("{:04}_{}", up.version, up.description.replace(' ', "_")),
            up: up.sql.as_str().to_owned(),
            down: of(MigrationType::is_down_migration)
                .find(|down| down.version == up.version)
                .map(|down| down.sql.as_str().to_owned()),
        });
        Self { migrations: migrations.collect() }
    }

    /// The migrations, by version.
    #[must_use]
    pub fn migrations(&self) -> &[Migration] {
        &self.migrations
    }

    /// The highest version; zero if there is none.
    #[must_use]
    pub fn head(&self) -> i64 {
        self.migrations.last().map_or(0, |migration| migration.version)
    }

    /// Whether every migration can be reverted.
    #[must_use]
    pub fn is_reversible(&self) -> bool {
        self.migrations.iter().all(|migration| migration.down.is_some())
    }

    /// A SHA-256 over all that the set is made of, in hexadecimal digits.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        let mut part = |bytes: &[u8]| {
            // With the length, so that no two sets run together to the same bytes.
            hash.update(bytes.len().to_be_bytes());
            hash.update(bytes);
        };
        for migration in &self.migrations {
            part(&migration.version.to_be_bytes());
            part(migration.stem.as_bytes());
            part(migration.up.as_bytes());
            part(&[u8::from(migration.down.is_some())]);
            part(migration.down.as_deref().unwrap_or_default().as_bytes());
        }
        hash.finalize().iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    /// The migrator that applies and reverts the set.
    #[must_use]
    pub fn migrator(&self) -> Migrator {
        let scripts = self.migrations.iter().flat_map(|migration| {
            let kind = if migration.down.is_some() { MigrationType::ReversibleUp } else { MigrationType::Simple };
            let down = migration.down.as_deref();
            std::iter::once(migration.to_sqlx(kind, &migration.up))
                .chain(down.map(|sql| migration.to_sqlx(MigrationType::ReversibleDown, sql)))
        });
        Migrator::with_migrations(scripts.collect())
    }

    /// The set with one migration changed; a version that is not in the set changes nothing.
    #[must_use]
    pub fn edited(mut self, version: i64, edit: impl FnOnce(&mut Migration)) -> Self {
        if let Some(migration) = self.migrations.iter_mut().find(|migration| migration.version == version) {
            edit(migration);
        }
        self
    }
}

/// As sqlx itself decides when it reads a file.
fn is_outside_transaction(script: &str) -> bool {
    script.starts_with("-- no-transaction")
}

fn check_script(file: String, script: &str) -> Result<(), MigrationSetError> {
    let bytes = u64::try_from(script.len()).unwrap_or(u64::MAX);
    if bytes > SCRIPT_BYTES_MAX {
        return Err(MigrationSetError::TooLong { file, bytes });
    }
    match script.find('\0') {
        Some(offset) => Err(MigrationSetError::NotText { file, found: "NUL", offset }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set() -> MigrationSet {
        MigrationSet::new(vec![
            Migration::new(2, "second_thing", "SELECT 2", None),
            Migration::new(1, "first", "SELECT 1", Some("SELECT -1")),
        ])
        .unwrap()
    }

    #[test]
    fn a_set_survives_the_way_through_sqlx() {
        assert_eq!(MigrationSet::from_migrator(&set().migrator()), set());
        assert_eq!(set().migrations()[1].up_file(), "0002_second_thing.sql");
    }

    #[test]
    fn every_change_changes_the_digest() {
        let changed = [
            set().edited(1, |migration| migration.up.push(' ')),
            set().edited(1, |migration| migration.down = None),
            set().edited(2, |migration| migration.down = Some(String::new())),
            set().edited(2, |migration| migration.stem.push('s')),
        ];
        for changed in &changed {
            assert_ne!(changed.digest(), set().digest());
        }
        assert_eq!(set().digest().len(), 64);
    }

    #[test]
    fn what_is_no_set_is_refused() {
        let refused = |migrations| MigrationSet::new(migrations).unwrap_err().to_string();
        let twice = vec![Migration::new(1, "a", "", None), Migration::new(1, "b", "", None)];
        assert_eq!(refused(twice), "expected one migration with version 1, found 0001_a.sql and 0001_b.sql");
        assert!(refused(vec![Migration::new(0, "a", "", None)]).contains("above zero"));
        assert!(refused(vec![Migration::new(1, "a", "", Some("a\0"))]).contains("NUL at byte 1"));
    }
}
