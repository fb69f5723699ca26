//! Whether all that a session did is undone, as the server has it: it was in one transaction, which has been aborted.

use sqlx::postgres::PgRow;
use sqlx::{Executor as _, Row as _};

use super::{SandboxError, Session, server_error};

/// How far the server's clock may be rounded, in seconds.
const ROUNDING_S: f64 = 5e-5;

/// When the transaction was begun that all is to be done in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Begun {
    earliest_s: f64,
    latest_s: f64,
}

/// What a session was in just before it was rolled back, or killed.
#[derive(Debug)]
pub(crate) struct Pending {
    is_the_one_begun: bool,
    /// The number of the transaction; none if it has written nothing.
    transaction: Option<String>,
}

impl Begun {
    /// Between these times of the server's clock.
    pub(crate) fn between(earliest_s: f64, latest_s: f64) -> Self {
        Self { earliest_s, latest_s }
    }
}

impl Session {
    /// The time, as the server has it.
    ///
    /// # Errors
    /// When the server is lost.
    pub(crate) async fn clock(&self) -> Result<f64, SandboxError> {
        self.watch.clock().await
    }

    /// What the session is in. It must be in order, and not waiting for a rollback.
    ///
    /// # Errors
    /// When the server is lost.
    pub(crate) async fn pending(&mut self, begun: Begun) -> Result<Pending, SandboxError> {
        const QUERY: &str = "SELECT pg_catalog.date_part('epoch', pg_catalog.now())::text,
            pg_catalog.pg_current_xact_id_if_assigned()::text";
        let row = self.connection().fetch_one(sqlx::raw_sql(QUERY)).await;
        let read = |row: PgRow| Ok((row.try_get::<String, _>(0)?, row.try_get(1)?));
        let (time, transaction) = row.and_then(read).map_err(server_error("look at a transaction"))?;
        let is_within = |time: f64| time >= begun.earliest_s - ROUNDING_S && time <= begun.latest_s + ROUNDING_S;
        Ok(Pending { is_the_one_begun: time.parse().is_ok_and(is_within), transaction })
    }

    /// What speaks against it that all is undone, after the session was rolled back or has ended; nothing, if it is.
    ///
    /// # Errors
    /// When the server is lost.
    pub(crate) async fn not_undone(&self, pending: &Pending) -> Result<Option<String>, SandboxError> {
        if !pending.is_the_one_begun {
            return Ok(Some("what it did before it ended the transaction that it is run in".to_owned()));
        }
        let Some(transaction) = &pending.transaction else { return Ok(None) };
        let status = self.watch.status(transaction).await?;
        Ok((status != "aborted").then(|| format!("what its transaction wrote, which is {status}")))
    }
}
