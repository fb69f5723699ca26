//! A connection that is given back only when nothing of its use is left on it.

use sqlx::pool::PoolConnection;
use sqlx::postgres::PgConnection;
use sqlx::{PgPool, Postgres};

use crate::repository::RepositoryError;

/// A connection of the pool while something lasts that must not be seen by whoever gets it next: a transaction, or a
/// COPY.
///
/// If the future that owns it is dropped, at whatever point, the connection is closed, and Postgres rolls back. A
/// transaction of sqlx does not do as much: one that is dropped while it begins goes back to the pool begun.
#[derive(Debug)]
pub(super) struct Session {
    connection: Option<PoolConnection<Postgres>>,
}

impl Session {
    /// A connection, outside any transaction.
    pub(super) async fn acquire(pool: &PgPool) -> Result<Self, RepositoryError> {
        Ok(Self { connection: Some(pool.acquire().await?) })
    }

    /// A connection in a new transaction.
    pub(super) async fn begin(pool: &PgPool) -> Result<Self, RepositoryError> {
        let mut session = Self::acquire(pool).await?;
        session.execute("BEGIN").await?;
        Ok(session)
    }

    /// The connection.
    pub(super) fn connection(&mut self) -> Result<&mut PgConnection, RepositoryError> {
        match &mut self.connection {
            Some(connection) => Ok(connection),
            None => Err(RepositoryError::Unexpected { source: "the session has ended".into() }),
        }
    }

    /// Commits if all went well, rolls back if not, and gives the connection back. If COMMIT fails because the
    /// connection broke, whether it was successful is not known.
    pub(super) async fn end<T>(mut self, outcome: Result<T, RepositoryError>) -> Result<T, RepositoryError> {
        match outcome {
            Ok(done) => {
                self.execute("COMMIT").await?;
                self.give_back();
                Ok(done)
            }
            Err(error) => {
                // What went wrong first is what the caller wants to know; a connection that cannot even roll back
                // is closed.
                if self.execute("ROLLBACK").await.is_ok() {
                    self.give_back();
                }
                Err(error)
            }
        }
    }

    /// Gives the connection back after a single statement, which was a transaction of its own. If the connection or
    /// the protocol broke, it is closed.
    pub(super) fn end_statement<T>(self, outcome: Result<T, RepositoryError>) -> Result<T, RepositoryError> {
        if !matches!(outcome, Err(RepositoryError::Unavailable { .. } | RepositoryError::Unexpected { .. })) {
            self.give_back();
        }
        outcome
    }

    /// Gives the connection back as it is: nothing lasts any longer.
    fn give_back(mut self) {
        // Its own drop returns it to the pool.
        drop(self.connection.take());
    }

    async fn execute(&mut self, sql: &'static str) -> Result<(), RepositoryError> {
        sqlx::raw_sql(sql).execute(self.connection()?).await?;
        Ok(())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(connection) = &mut self.connection {
            connection.close_on_drop();
        }
    }
}
