//! Programs that run migrations, behind one trait: they are tested as the migrations are.

mod plain;
#[cfg(feature = "migrators")]
mod refinery;
mod sqlx;

use std::fmt;
use std::time::Duration;

use ::sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use async_trait::async_trait;

use crate::case::Capability;
use crate::database::TestDatabase;
use crate::migration_set::Migration;

pub use plain::{Lock, PlainMigrator};
#[cfg(feature = "migrators")]
pub use refinery::RefineryMigrator;
pub use sqlx::SqlxMigrator;

/// The most connections of an instance.
const CONNECTIONS_MAX: u32 = 4;

/// How long an instance waits for a connection.
const ACQUIRE_TIME_MAX: Duration = Duration::from_secs(20);

/// A program that brings a database from one version to another.
///
/// Its files are given as they are on disk, in no certain order, faults included: to refuse them is its business.
#[async_trait]
pub trait Migrator: Send + Sync {
    /// What it is called in the names of cases.
    fn name(&self) -> &'static str;

    /// What it can do besides applying files: [`Capability::Undo`], [`Capability::OutsideTransaction`].
    fn capabilities(&self) -> &'static [Capability];

    /// Applies what is not applied yet, as the start of an instance of a service does. A future that is dropped is a
    /// run that is cancelled.
    ///
    /// # Errors
    /// When the files are refused, or the server refuses a statement.
    async fn up(&self, files: &[Migration], instance: &Instance) -> Result<(), MigratorError>;

    /// Reverts what is applied above a version.
    ///
    /// # Errors
    /// When it cannot be reverted.
    async fn undo(&self, files: &[Migration], instance: &Instance, version: i64) -> Result<(), MigratorError>;

    /// The versions that it has recorded as applied, in ascending order.
    ///
    /// # Errors
    /// When its records cannot be read.
    async fn history(&self, instance: &Instance) -> Result<Vec<i64>, MigratorError>;
}

/// Why a migrator did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MigratorError {
    /// A file of a version that was passed over.
    #[error(
        "expected files that come after version {head}, found {file} of version {version}; give it a higher version"
    )]
    OutOfOrder {
        /// The file.
        file: String,
        /// Its version.
        version: i64,
        /// The highest version that is applied.
        head: i64,
    },
    /// A file that is not what was applied.
    #[error("expected {file} as it was applied, found another text; put it back, and write a new file")]
    Changed {
        /// The file.
        file: String,
    },
    /// A version that was applied has no file.
    #[error("expected a file of version {version}, which is applied, found none; put it back")]
    Missing {
        /// The version.
        version: i64,
    },
    /// Two files have one version.
    #[error(
        "expected one file of version {version}, found {first} and {second}; give one of them a higher version"
    )]
    Duplicate {
        /// The version.
        version: i64,
        /// One of them.
        first: String,
        /// The other.
        second: String,
    },
    /// A file without a transaction was begun, and nobody knows how far it got.
    #[error(
        "expected version {version} to be applied or not, found that it was begun outside a transaction and not \
         finished; look at what it did, finish or revert it by hand, and correct its row in {history}"
    )]
    Interrupted {
        /// The version.
        version: i64,
        /// The table that says so.
        history: String,
    },
    /// Nothing says how to revert a version.
    #[error("expected a down file for {file}, found none; nothing was reverted")]
    NoDownFile {
        /// The file that would be reverted.
        file: String,
    },
    /// Another run did not come to its end.
    #[error("expected the lock of another run to be released within {waited:?}, found it held; look for that run")]
    Locked {
        /// How long it was waited for.
        waited: Duration,
    },
    /// The server refused a statement of a file.
    #[error("{file}: {source}")]
    Statement {
        /// The file.
        file: String,
        /// What the server said.
        #[source]
        source: ::sqlx::Error,
    },
    /// The server refused a statement of the migrator's own, or is gone.
    #[error("the database: {0}")]
    Database(#[from] ::sqlx::Error),
    /// A library's own refusal.
    #[error("{0}")]
    Library(String),
    /// The files could not be written where a library wants to read them.
    #[error("the files of a run cannot be written: {0}")]
    Files(#[from] std::io::Error),
    /// It cannot do that at all.
    #[error("expected a migrator that can {0}, found one that cannot")]
    Unsupported(&'static str),
}

/// An instance of a service that migrates when it starts: its pool lives on after the run.
#[derive(Clone)]
pub struct Instance {
    name: String,
    url: String,
    options: PgConnectOptions,
    pool: PgPool,
}

impl Instance {
    /// An instance whose sessions are told from others by a name. Nothing is connected yet.
    #[must_use]
    pub fn new(database: &TestDatabase, name: &str) -> Self {
        let options = database.connect_options().application_name(name);
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .acquire_timeout(ACQUIRE_TIME_MAX)
            .connect_lazy_with(options.clone());
        Self { name: name.to_owned(), url: database.url().to_owned(), options, pool }
    }

    /// Its name on the server.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its database, for other clients than sqlx.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// How it connects.
    #[must_use]
    pub fn options(&self) -> &PgConnectOptions {
        &self.options
    }

    /// Its connections.
    #[must_use]
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }
}

impl fmt::Debug for Instance {
    /// The URL has a password in it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Instance").field("name", &self.name).finish_non_exhaustive()
    }
}
