//! What cases need from the outside: one server per run, started when first needed, and databases on it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{OnceCell, RwLock};

use crate::database::TestDatabase;
use crate::event::ServerRecord;
use crate::migration_set::{MigrationError, MigrationSet};
use crate::server::{Admin, Server, ServerChoice, ServerError};
use crate::template::{EMPTY_TEMPLATE, Templates};

/// The environment of a run is broken. Cheap to clone: a failed start is told to every case that needed it.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum EnvironmentError {
    /// The server could not be had, or did not go.
    #[error(transparent)]
    Server(Arc<ServerError>),
    /// The server refused something that databases are made with.
    #[error("the database server refused: {action}: {source}")]
    Database {
        /// The statement.
        action: Arc<str>,
        /// What the server said.
        #[source]
        source: Arc<sqlx::Error>,
    },
    /// The template database cannot be built.
    #[error("no database with these migrations can be made: {0}")]
    Migration(#[source] Arc<MigrationError>),
    /// The run is over.
    #[error("expected a request while the run lasts, found one after the environment was shut down")]
    Closed,
}

impl EnvironmentError {
    pub(crate) fn database(action: impl Into<Arc<str>>, source: sqlx::Error) -> Self {
        Self::Database { action: action.into(), source: Arc::new(source) }
    }
}

impl From<ServerError> for EnvironmentError {
    fn from(error: ServerError) -> Self {
        Self::Server(Arc::new(error))
    }
}

/// One server per run, started when first needed.
#[derive(Debug)]
pub struct Environment {
    choice: ServerChoice,
    /// Whether the processes of a test run have one server together.
    shared: bool,
    running: OnceCell<Result<Running, EnvironmentError>>,
    closed: AtomicBool,
}

/// A server that was started, with what was made on it.
#[derive(Debug)]
struct Running {
    record: ServerRecord,
    /// Read while a database is made; none once the environment was shut down.
    server: RwLock<Option<Server>>,
    admin: Admin,
    templates: Templates,
}

impl Environment {
    /// An environment whose server is not started yet.
    #[must_use]
    pub fn new(choice: ServerChoice) -> Self {
        Self { choice, shared: false, running: OnceCell::new(), closed: AtomicBool::new(false) }
    }

    /// The same for a test: under nextest, which has a process for every test, all of them have one local server
    /// together, with template databases that are built once. Its databases are its own all the same.
    #[must_use]
    pub fn shared(choice: ServerChoice) -> Self {
        Self { shared: true, ..Self::new(choice) }
    }

    /// Starts the server, once; later calls return what the first one found.
    ///
    /// # Errors
    /// When the server cannot be had, or the environment was shut down.
    pub async fn start(&self) -> Result<&ServerRecord, EnvironmentError> {
        self.running().await.map(|running| &running.record)
    }

    /// A database of its own, with all migrations applied: a clone of the template database of this set.
    ///
    /// # Errors
    /// When the server cannot be had or refuses, or a migration fails.
    pub async fn database(&self, migrations: &MigrationSet) -> Result<TestDatabase, EnvironmentError> {
        self.running().await?.create(Some(migrations)).await
    }

    /// An empty database of its own.
    ///
    /// # Errors
    /// When the server cannot be had or refuses.
    pub async fn empty_database(&self) -> Result<TestDatabase, EnvironmentError> {
        self.running().await?.create(None).await
    }

    /// Drops a database that is no longer needed; sessions on it are terminated.
    ///
    /// # Errors
    /// When the server cannot be had or refuses. After the shutdown there is nothing left to drop.
    pub async fn release(&self, database: TestDatabase) -> Result<(), EnvironmentError> {
        database.close().await;
        match self.running().await {
            Ok(running) => running.admin.drop(database.name()).await,
            Err(EnvironmentError::Closed) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Whether the server, if one was started, still answers.
    pub async fn is_healthy(&self) -> bool {
        match self.running.get() {
            Some(Ok(running)) => running.admin.is_healthy().await,
            Some(Err(_)) | None => true,
        }
    }

    /// Stops the server and removes all that was made. Later requests fail.
    ///
    /// # Errors
    /// When something is left behind.
    pub async fn shutdown(&self) -> Result<(), EnvironmentError> {
        self.closed.store(true, Ordering::SeqCst);
        // A start that is under way is waited for; one that never was will never be.
        let running = self.running.get_or_init(|| async { Err(EnvironmentError::Closed) }).await;
        let Ok(running) = running else { return Ok(()) };
        let Some(server) = running.server.write().await.take() else { return Ok(()) };
        // The databases of a server of our own go away with it.
        let dropped = match &server {
            Server::Local(_) => Ok(()),
            Server::Shared(_) | Server::External(_) => running.admin.drop_all().await,
        };
        running.admin.close().await;
        server.stop().await?;
        dropped
    }

    async fn running(&self) -> Result<&Running, EnvironmentError> {
        let running = self.running.get_or_init(|| Running::start(&self.choice, self.shared)).await;
        if self.closed.load(Ordering::SeqCst) {
            return Err(EnvironmentError::Closed);
        }
        running.as_ref().map_err(Clone::clone)
    }
}

impl Running {
    #[tracing::instrument(name = "start_server", skip_all)]
    async fn start(choice: &ServerChoice, shared: bool) -> Result<Self, EnvironmentError> {
        let (server, record) = if shared { Server::share(choice).await? } else { Server::start(choice).await? };
        let admin = Admin::new(&server);
        Ok(Self { record, server: RwLock::new(Some(server)), admin, templates: Templates::default() })
    }

    async fn create(&self, migrations: Option<&MigrationSet>) -> Result<TestDatabase, EnvironmentError> {
        let server = self.server.read().await;
        let server = server.as_ref().ok_or(EnvironmentError::Closed)?;
        let name = self.admin.new_name();
        match migrations {
            Some(migrations) => {
                let template = self.templates.get(&self.admin, migrations).await?;
                self.admin.create(&name, &template).await?;
            }
            None => self.admin.create(&name, EMPTY_TEMPLATE).await?,
        }
        let url = server.url(&name);
        Ok(TestDatabase::new(name.clone(), url, self.admin.options(&name)))
    }
}
