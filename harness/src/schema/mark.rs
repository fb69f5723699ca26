//! A moment that a database can be compared with later on, at the cost of what has changed since and not of all that
//! there is.
//!
//! A row of a catalog is never changed in place, as far as a schema shows: there comes another version, with the number of
//! the transaction that made it. A session that still sees the database as it was then finds the versions that have gone
//! since, and any other one those that have come. If both are the same rows, so are the schemas.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Executor as _};

use super::digest_query;

/// A moment, and the session that sees the database as it was then.
///
/// While there is one, nothing can be done in the database that waits for the end of all older transactions, such as
/// `CREATE INDEX CONCURRENTLY`.
#[derive(Debug)]
pub(crate) struct Mark {
    then: PgConnection,
    /// The first transaction that may have written something since.
    since: String,
}

impl Mark {
    /// Marks this moment, at which nobody may be writing, with a session that is of no other use until the mark is let go.
    pub(crate) async fn set(mut then: PgConnection) -> Result<Self, sqlx::Error> {
        const SINCE: &str =
            "SELECT pg_catalog.xid(pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot()))::text";
        then.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        let since = sqlx::query_scalar(SINCE).fetch_one(&mut then).await?;
        Ok(Self { then, since })
    }

    /// Whether the schema is as it was. What was dropped and made again counts as another.
    pub(crate) async fn is_as_it_was(&mut self, now: &mut PgConnection) -> Result<bool, sqlx::Error> {
        let gone = digest(&mut self.then, "xmax", &self.since).await?;
        Ok(gone == digest(now, "xmin", &self.since).await?)
    }

    /// Lets the moment go, and gives the session back.
    pub(crate) async fn clear(mut self) -> Result<PgConnection, sqlx::Error> {
        self.then.execute("ROLLBACK").await?;
        Ok(self.then)
    }
}

/// A digest of the rows of which the server has noted that a transaction since then made or removed them.
async fn digest(connection: &mut PgConnection, column: &str, since: &str) -> Result<String, sqlx::Error> {
    // Where there is no such transaction, the age is greater than that of any.
    let query = digest_query(|table| format!("age({table}.{column}) <= age($1::text::xid)"));
    sqlx::query_scalar(AssertSqlSafe(query)).bind(since).fetch_one(connection).await
}
