//! A database of a case's own.

use std::sync::Arc;
use std::time::Duration;

use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};

/// The most connections of one pool: enough for a case about concurrency, and few enough for many cases at once.
const CONNECTIONS_MAX: u32 = 8;

/// How long a case waits for a connection.
const ACQUIRE_TIME_MAX: Duration = Duration::from_secs(10);

/// How long the end of sessions is waited for before they are terminated.
const CLOSE_TIME_MAX: Duration = Duration::from_millis(200);

/// An isolated database. Clones are handles to the same one; the environment drops it.
#[derive(Debug, Clone)]
pub struct TestDatabase {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    name: String,
    url: String,
    pool: PgPool,
}

impl TestDatabase {
    pub(crate) fn new(name: String, url: String, options: PgConnectOptions) -> Self {
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .acquire_timeout(ACQUIRE_TIME_MAX)
            .connect_lazy_with(options);
        Self { inner: Arc::new(Inner { name, url, pool }) }
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

    /// A small connection pool.
    #[must_use]
    pub fn pool(&self) -> &PgPool {
        &self.inner.pool
    }

    /// A connection outside the pool, with no trace of an earlier use.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        self.inner.pool.connect_options().connect().await
    }

    /// Ends the pool's sessions, those that are in use excepted if they do not come back soon.
    pub(crate) async fn close(&self) {
        let _ = tokio::time::timeout(CLOSE_TIME_MAX, self.inner.pool.close()).await;
    }
}
