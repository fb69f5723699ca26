//! A database of a case's own.

use std::sync::Arc;

use sqlx::PgPool;

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
    /// The database's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// A URL for any client.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.inner.url
    }

    /// A small connection pool.
    #[must_use]
    pub fn pool(&self) -> &PgPool {
        &self.inner.pool
    }
}
