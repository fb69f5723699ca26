//! A database of a test's own.

use std::sync::{Arc, LazyLock, OnceLock};
use std::time::Duration;

use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};

use crate::environment::{Environment, EnvironmentError};
use crate::migration_set::MigrationSet;
use crate::server::ServerChoice;
use crate::supervisor::client::Leased;

/// The most connections of one pool: enough for a case about concurrency, and few enough for many cases at once.
const CONNECTIONS_MAX: u32 = 8;

/// How long a case waits for a connection.
const ACQUIRE_TIME_MAX: Duration = Duration::from_secs(10);

/// How long the end of sessions is waited for before they are terminated.
const CLOSE_TIME_MAX: Duration = Duration::from_millis(200);

/// The server that the tests of this process, or of the run that it belongs to, have together.
static ENVIRONMENT: LazyLock<Environment> = LazyLock::new(|| Environment::shared(ServerChoice::Auto));

/// An isolated, migrated database. Clones are handles to the same one; when the last is gone the database goes back,
/// its sessions are terminated, and it is cleaned for the next test or dropped. That needs no end in order: it also
/// happens when the process is killed.
///
/// # Examples
/// ```no_run
/// use proofmark_harness::{Migrations, TestDatabase};
///
/// # async fn test() -> Result<(), Box<dyn std::error::Error>> {
/// let migrations = Migrations::from_directory("migrations".as_ref())?;
/// let database = TestDatabase::acquire(&migrations).await?;
/// sqlx::query("INSERT INTO services (name) VALUES ('fraud')").execute(database.pool()).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct TestDatabase {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    name: String,
    url: String,
    options: PgConnectOptions,
    /// None if it is on a server of the test's own.
    leased: Option<Leased>,
    pool: OnceLock<PgPool>,
}

impl TestDatabase {
    pub(crate) fn new(leased: Leased, options: PgConnectOptions) -> Self {
        let (name, url) = (leased.lease.database.clone(), leased.lease.url.clone());
        Self::with(name, url, options, Some(leased))
    }

    /// One that lasts as long as its server.
    pub(crate) fn of_server(name: String, url: String, options: PgConnectOptions) -> Self {
        Self::with(name, url, options, None)
    }

    fn with(name: String, url: String, options: PgConnectOptions, leased: Option<Leased>) -> Self {
        Self { inner: Arc::new(Inner { name, url, options, leased, pool: OnceLock::new() }) }
    }

    /// A database of its own for the calling test, with all migrations applied. The first call of a test run starts
    /// the server that all its tests share: see [`ServerChoice::Auto`] for which one.
    ///
    /// It may have been used by a test before, and be like new again: no rows but those that the migrations wrote,
    /// sequences at their beginning, and nothing else changed. What differs from a clone are physical matters, such
    /// as statistics, and a session of ours, which is called `proofmark keeper`.
    ///
    /// # Errors
    /// When the server cannot be had or refuses, or a migration fails.
    pub async fn acquire(migrations: &MigrationSet) -> Result<Self, EnvironmentError> {
        ENVIRONMENT.database(migrations).await
    }

    /// As [`acquire`](Self::acquire), but certainly a database that nobody has used before and in which nobody else
    /// has a session.
    ///
    /// # Errors
    /// When the server cannot be had or refuses, or a migration fails.
    pub async fn acquire_fresh(migrations: &MigrationSet) -> Result<Self, EnvironmentError> {
        ENVIRONMENT.fresh_database(migrations).await
    }

    /// As [`acquire`](Self::acquire), for tests without an asynchronous runtime; its [`url`](Self::url) is for their
    /// client.
    ///
    /// # Errors
    /// When the server cannot be had or refuses, or a migration fails.
    pub fn acquire_blocking(migrations: &MigrationSet) -> Result<Self, EnvironmentError> {
        ENVIRONMENT.database_blocking(migrations, false)
    }

    /// The database's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// A URL for any client, password included.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.inner.url
    }

    /// A small connection pool, which belongs to the runtime that it is first asked for in.
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    #[must_use]
    pub fn pool(&self) -> &PgPool {
        self.inner.pool.get_or_init(|| {
            PgPoolOptions::new()
                .max_connections(CONNECTIONS_MAX)
                .acquire_timeout(ACQUIRE_TIME_MAX)
                .connect_lazy_with(self.inner.options.clone())
        })
    }

    /// How to connect to it as the one that it was made by.
    #[must_use]
    pub fn connect_options(&self) -> PgConnectOptions {
        self.inner.options.clone()
    }

    /// A connection outside the pool, with no trace of an earlier use.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        self.inner.options.connect().await
    }

    /// Gives it back, also if there are other handles to it; sessions that do not end soon are terminated.
    pub async fn release(self) {
        if let Some(pool) = self.inner.pool.get() {
            let _ = tokio::time::timeout(CLOSE_TIME_MAX, pool.close()).await;
        }
        if let Some(leased) = &self.inner.leased {
            leased.end();
        }
    }

    /// Which of the run's servers it is on, if any.
    pub(crate) fn server(&self) -> Option<u64> {
        self.inner.leased.as_ref().map(|leased| leased.lease.server)
    }

    /// Keeps it for somebody to look at, and says how, if that is possible.
    pub(crate) fn keep(&self, case: &str) -> Option<String> {
        self.inner.leased.as_ref()?.keep(case)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(leased) = self.leased.as_ref().filter(|_| std::thread::panicking()) {
            use std::io::Write as _;
            let thread = std::thread::current();
            if let Some(open) = leased.keep(thread.name().unwrap_or("a test")) {
                let _ = writeln!(
                    std::io::stderr(),
                    "the database of this test is kept for a while; to look at it: {open}"
                );
            }
        }
    }
}
