//! What cases need from the outside: one server per run, started when first needed, and databases on it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;
use tokio::task;

use crate::database::TestDatabase;
use crate::event::ServerRecord;
use crate::migration_set::MigrationSet;
use crate::server::ServerChoice;
use crate::supervisor::Refusal;
use crate::supervisor::client::{Client, Leased, Scope, SupervisorError};

/// How often a process may start a supervisor in place of one that is gone.
const SUPERVISORS_MAX: u32 = 5;

/// The environment of a run is broken. Cheap to clone: a failed start is told to every case that needed it.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum EnvironmentError {
    /// Nobody who owns the server, or no server.
    #[error(transparent)]
    Supervisor(Arc<SupervisorError>),
    /// The server could not be had, or did not go.
    #[error("{message}")]
    Server {
        /// What went wrong.
        message: Arc<str>,
    },
    /// The server refused something that databases are made with.
    #[error("the database server refused: {action}: {message}")]
    Database {
        /// The statement.
        action: Arc<str>,
        /// What the server said.
        message: Arc<str>,
    },
    /// The template database cannot be built.
    #[error("no database with these migrations can be made: {message}")]
    Migration {
        /// What the server said, and to which statement.
        message: Arc<str>,
    },
    /// The run is over.
    #[error("expected a request while the run lasts, found one after the environment was shut down")]
    Closed,
}

impl From<SupervisorError> for EnvironmentError {
    fn from(error: SupervisorError) -> Self {
        Self::Supervisor(Arc::new(error))
    }
}

impl From<Refusal> for EnvironmentError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Server { message } => Self::Server { message: message.into() },
            Refusal::Database { action, message } => {
                Self::Database { action: action.into(), message: message.into() }
            }
            Refusal::Migration { message } => Self::Migration { message: message.into() },
        }
    }
}

/// One server per run, started when first needed.
#[derive(Debug)]
pub struct Environment {
    inner: Arc<Inner>,
    record: OnceCell<Result<ServerRecord, EnvironmentError>>,
}

/// Who owns the server, and how many did before.
#[derive(Debug, Default)]
struct Owner {
    client: Option<Result<Arc<Client>, EnvironmentError>>,
    started: u32,
}

#[derive(Debug)]
struct Inner {
    choice: ServerChoice,
    scope: Scope,
    client: Mutex<Owner>,
    closed: AtomicBool,
}

impl Environment {
    /// An environment whose server is not started yet, and will be its own.
    #[must_use]
    pub fn new(choice: ServerChoice) -> Self {
        Self::with_scope(choice, Scope::Process)
    }

    /// The same for a test: under nextest, which has a process for every test, all of them have one server together,
    /// with template databases that are built once. Its databases are its own all the same.
    #[must_use]
    pub fn shared(choice: ServerChoice) -> Self {
        Self::with_scope(choice, Scope::Run)
    }

    fn with_scope(choice: ServerChoice, scope: Scope) -> Self {
        let inner = Inner { choice, scope, client: Mutex::default(), closed: AtomicBool::new(false) };
        Self { inner: Arc::new(inner), record: OnceCell::new() }
    }

    /// Starts the server, once; later calls return what the first one found.
    ///
    /// # Errors
    /// When the server cannot be had, or the environment was shut down.
    pub async fn start(&self) -> Result<&ServerRecord, EnvironmentError> {
        let record = self
            .record
            .get_or_init(|| async { self.blocking(|inner| Ok(inner.client()?.status()?.server)).await });
        match record.await {
            Ok(_) if self.inner.is_closed() => Err(EnvironmentError::Closed),
            Ok(record) => Ok(record),
            Err(error) => Err(error.clone()),
        }
    }

    /// A database of its own, with all migrations applied: one that was used and is like new, where that can be had,
    /// else a clone of the template database of this set.
    ///
    /// # Errors
    /// When the server cannot be had or refuses, or a migration fails.
    pub async fn database(&self, migrations: &MigrationSet) -> Result<TestDatabase, EnvironmentError> {
        let migrations = migrations.clone();
        self.blocking(move |inner| inner.lease(Some(&migrations), false)).await
    }

    /// The same, but certainly one that nobody has used, and in which nobody else has a session.
    ///
    /// # Errors
    /// When the server cannot be had or refuses, or a migration fails.
    pub async fn fresh_database(&self, migrations: &MigrationSet) -> Result<TestDatabase, EnvironmentError> {
        let migrations = migrations.clone();
        self.blocking(move |inner| inner.lease(Some(&migrations), true)).await
    }

    /// An empty database of its own.
    ///
    /// # Errors
    /// When the server cannot be had or refuses.
    pub async fn empty_database(&self) -> Result<TestDatabase, EnvironmentError> {
        self.blocking(|inner| inner.lease(None, true)).await
    }

    /// As [`database`](Self::database) and [`fresh_database`](Self::fresh_database), where nothing is asynchronous.
    pub(crate) fn database_blocking(
        &self,
        migrations: &MigrationSet,
        fresh: bool,
    ) -> Result<TestDatabase, EnvironmentError> {
        self.inner.lease(Some(migrations), fresh)
    }

    /// Which of the run's servers answers now, if one does: a number that another one has not. Nothing is started.
    pub async fn health(&self) -> Option<u64> {
        self.blocking(|inner| match inner.present() {
            Some(client) => Ok(client.health()?),
            None => Ok(None),
        })
        .await
        .ok()
        .flatten()
    }

    /// Removes all that was made, and stops a server of its own. Later requests fail.
    ///
    /// # Errors
    /// When something is left behind.
    pub async fn shutdown(&self) -> Result<(), EnvironmentError> {
        let inner = Arc::clone(&self.inner);
        let ended = task::spawn_blocking(move || inner.end());
        ended.await.unwrap_or_else(|died| Err(EnvironmentError::Server { message: died.to_string().into() }))
    }

    /// Does what would keep a thread of the runtime waiting.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, EnvironmentError> + Send + 'static,
    ) -> Result<T, EnvironmentError> {
        let inner = Arc::clone(&self.inner);
        match task::spawn_blocking(move || work(&inner)).await {
            Ok(result) => result,
            Err(died) => Err(EnvironmentError::Server { message: died.to_string().into() }),
        }
    }
}

impl Inner {
    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Owner> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whoever owns the server: is started when first needed.
    fn client(&self) -> Result<Arc<Client>, EnvironmentError> {
        let mut state = self.lock();
        if self.is_closed() {
            return Err(EnvironmentError::Closed);
        }
        let Owner { client, started } = &mut *state;
        if client.is_none() {
            *started += 1;
            *client = Some(Client::join(&self.choice, self.scope).map(Arc::new).map_err(EnvironmentError::from));
        }
        client.clone().unwrap_or(Err(EnvironmentError::Closed))
    }

    fn present(&self) -> Option<Arc<Client>> {
        self.lock().client.as_ref()?.as_ref().ok().cloned()
    }

    /// Forgets a supervisor that is gone, so that there is another next time. Whether there may be one.
    fn forget(&self, lost: &Arc<Client>) -> bool {
        let Owner { client, started } = &mut *self.lock();
        if let Some(Ok(present)) = client
            && Arc::ptr_eq(present, lost)
        {
            *client = None;
        }
        *started < SUPERVISORS_MAX
    }

    fn lease(&self, migrations: Option<&MigrationSet>, fresh: bool) -> Result<TestDatabase, EnvironmentError> {
        let leased = self.leased(migrations, fresh)?;
        let options = leased.lease.connect_options();
        let options = options.map_err(|error| EnvironmentError::Server { message: error.to_string().into() })?;
        Ok(TestDatabase::new(leased, options))
    }

    fn leased(&self, migrations: Option<&MigrationSet>, fresh: bool) -> Result<Leased, EnvironmentError> {
        loop {
            let client = self.client()?;
            match client.lease(migrations, fresh) {
                Ok(leased) => return Ok(leased?),
                Err(SupervisorError::Lost(_)) if self.forget(&client) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn end(&self) -> Result<(), EnvironmentError> {
        self.closed.store(true, Ordering::SeqCst);
        // A start that is under way is waited for.
        let client = self.lock().client.take();
        let Some(Ok(client)) = client else { return Ok(()) };
        if !client.is_own() {
            return Ok(());
        }
        match client.end(false) {
            Ok(ended) => Ok(ended?),
            // Gone already, and others have cleaned up.
            Err(SupervisorError::Lost(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
