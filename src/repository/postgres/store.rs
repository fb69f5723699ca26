//! What the repositories of one database have in common: its pool, and how they use it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};

use super::{RetryPolicy, idempotency};
use crate::domain::InvalidField;
use crate::repository::{CursorKey, RepositoryError};

/// A database to which [`MIGRATOR`](super::MIGRATOR) was applied. Clones share its pool.
#[derive(Debug, Clone)]
pub struct Store {
    pool: PgPool,
    cursors: CursorKey,
    retries: RetryPolicy,
}

impl From<PgPool> for Store {
    fn from(pool: PgPool) -> Self {
        Self { pool, cursors: CursorKey::of_process(), retries: RetryPolicy::default() }
    }
}

impl Store {
    /// A database with a pool of its own. Nothing is connected yet.
    ///
    /// # Errors
    /// When a setting is out of its range.
    pub fn connect_lazy(options: PgConnectOptions, settings: &StoreSettings) -> Result<Self, InvalidField> {
        Ok(settings.pool(options)?.into())
    }

    /// The same, with cursors that are signed with another key.
    #[must_use]
    pub fn with_cursor_key(self, cursors: CursorKey) -> Self {
        Self { cursors, ..self }
    }

    /// The same, with other retries.
    #[must_use]
    pub fn with_retries(self, retries: RetryPolicy) -> Self {
        Self { retries, ..self }
    }

    /// The pool.
    #[must_use]
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Forgets idempotency keys that were first used before this time, at most ten thousand of them, and says how
    /// many: less than that, and there are no more.
    ///
    /// # Errors
    /// When the store is unavailable.
    pub async fn forget_idempotency_keys(&self, before: DateTime<Utc>) -> Result<u64, RepositoryError> {
        self.retry(|| idempotency::forget(&self.pool, before)).await
    }

    /// What cursors are signed with.
    pub(super) fn cursors(&self) -> &CursorKey {
        &self.cursors
    }

    /// Makes attempts, each a whole transaction: see [`RetryPolicy`].
    pub(super) async fn retry<T, F: Future<Output = Result<T, RepositoryError>>>(
        &self,
        attempt: impl FnMut() -> F,
    ) -> Result<T, RepositoryError> {
        self.retries.run(attempt).await
    }
}

/// How a pool is used. Every wait has an end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreSettings {
    /// The most connections; from 1 to 1000.
    pub connections_max: u32,
    /// The longest wait for a connection, one that is made first included.
    pub acquire_time_max: Duration,
    /// The longest time of a statement; Postgres then cancels it.
    pub statement_time_max: Duration,
    /// The longest wait for a lock.
    pub lock_time_max: Duration,
    /// The longest time that a transaction may wait for its next statement; Postgres then ends the session.
    pub idle_transaction_time_max: Duration,
    /// What `pg_stat_activity` calls the sessions.
    pub application_name: String,
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self {
            connections_max: 10,
            acquire_time_max: Duration::from_secs(5),
            statement_time_max: Duration::from_secs(30),
            lock_time_max: Duration::from_secs(5),
            idle_transaction_time_max: Duration::from_secs(30),
            application_name: "proofmark".to_owned(),
        }
    }
}

impl StoreSettings {
    /// A pool with these settings. Nothing is connected yet.
    ///
    /// # Errors
    /// When a setting is out of its range: times go from 1 ms to 24 days.
    pub fn pool(&self, options: PgConnectOptions) -> Result<PgPool, InvalidField> {
        if !(1..=1000).contains(&self.connections_max) {
            let reason = format!("expected 1 to 1000, found {}", self.connections_max);
            return Err(InvalidField::new("connections_max", reason));
        }
        milliseconds("acquire_time_max", self.acquire_time_max)?;
        let options = options.application_name(&self.application_name).options([
            ("statement_timeout", milliseconds("statement_time_max", self.statement_time_max)?),
            ("lock_timeout", milliseconds("lock_time_max", self.lock_time_max)?),
            (
                "idle_in_transaction_session_timeout",
                milliseconds("idle_transaction_time_max", self.idle_transaction_time_max)?,
            ),
        ]);
        Ok(PgPoolOptions::new()
            .max_connections(self.connections_max)
            .acquire_timeout(self.acquire_time_max)
            .connect_lazy_with(options))
    }
}

/// A time as Postgres takes it; 0 would be none at all.
fn milliseconds(field: &'static str, time: Duration) -> Result<String, InvalidField> {
    let milliseconds = time.as_millis();
    if (1..=i32::MAX.unsigned_abs().into()).contains(&milliseconds) {
        return Ok(milliseconds.to_string());
    }
    Err(InvalidField::new(field, format!("expected 1 ms to 24 days, found {time:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_wait_without_an_end_is_refused() {
        let refused = |settings: StoreSettings| settings.pool(PgConnectOptions::new()).unwrap_err().field;
        let of = StoreSettings::default;
        assert_eq!(refused(StoreSettings { statement_time_max: Duration::ZERO, ..of() }), "statement_time_max");
        assert_eq!(refused(StoreSettings { lock_time_max: Duration::from_micros(1), ..of() }), "lock_time_max");
        assert_eq!(refused(StoreSettings { acquire_time_max: Duration::MAX, ..of() }), "acquire_time_max");
        assert_eq!(refused(StoreSettings { connections_max: 0, ..of() }), "connections_max");
        assert!(of().pool(PgConnectOptions::new()).is_ok());
    }
}
