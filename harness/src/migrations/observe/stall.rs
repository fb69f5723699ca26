//! How long others wait for a table while a migration runs: measured by a reader and a writer that ask for it all the
//! time.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};
use tokio::task::JoinHandle;

use crate::migrations::sandbox::{Sandbox, SandboxError};

/// How long a reader or a writer waits for the table at most.
const WAIT_MAX: &str = "SET lock_timeout = '30s'; SET statement_timeout = '60s'";

/// Samples of one loop that are kept: one that goes on for long is cut short.
const SAMPLES_MAX: usize = 100_000;

/// Between two requests, so that the loop leaves the processor to the migration.
const PAUSE: Duration = Duration::from_micros(500);

/// What others had to wait for a table, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stall {
    /// Of all reads, 99 in 100 waited less.
    pub reader_p99_ms: f64,
    /// The longest wait of a read.
    pub reader_max_ms: f64,
    /// Of all writes, 99 in 100 waited less.
    pub writer_p99_ms: f64,
    /// The longest wait of a write.
    pub writer_max_ms: f64,
}

impl fmt::Display for Stall {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "measured beside it: a reader waited up to {:.1} ms, p99 {:.1} ms; a writer up to {:.1} ms, p99 {:.1} ms",
            self.reader_max_ms, self.reader_p99_ms, self.writer_max_ms, self.writer_p99_ms
        )
    }
}

/// A reader and a writer of one table.
pub(super) struct Traffic {
    stop: Arc<AtomicBool>,
    reader: JoinHandle<Vec<Duration>>,
    writer: JoinHandle<Vec<Duration>>,
}

impl Traffic {
    /// Begins to use a table; when this returns, both have done so once.
    pub(super) async fn start(sandbox: &Sandbox, table: &str) -> Result<Self, SandboxError> {
        let stop = Arc::new(AtomicBool::new(false));
        let one = begin(sandbox, table, "ACCESS SHARE", Arc::clone(&stop)).await?;
        let other = begin(sandbox, table, "ROW EXCLUSIVE", Arc::clone(&stop)).await?;
        Ok(Self { stop, reader: one, writer: other })
    }

    /// Ends it. None if nothing was measured.
    pub(super) async fn stop(self) -> Option<Stall> {
        self.stop.store(true, Ordering::SeqCst);
        let (reader, writer) = (self.reader.await.ok()?, self.writer.await.ok()?);
        let (reader_p99_ms, reader_max_ms) = summary(reader)?;
        let (writer_p99_ms, writer_max_ms) = summary(writer)?;
        Some(Stall { reader_p99_ms, reader_max_ms, writer_p99_ms, writer_max_ms })
    }
}

/// Takes the lock that a read or a write takes, and gives it back: it waits as they do, and changes nothing.
async fn begin(
    sandbox: &Sandbox,
    table: &str,
    mode: &str,
    stop: Arc<AtomicBool>,
) -> Result<JoinHandle<Vec<Duration>>, SandboxError> {
    let mut connection = sandbox.admin().await?;
    let set = connection.execute(WAIT_MAX).await;
    set.map_err(|source| SandboxError::Server { action: "prepare to use a table", source })?;
    let request = format!("BEGIN; LOCK TABLE {table} IN {mode} MODE; COMMIT");
    ask(&mut connection, &request).await;
    Ok(tokio::spawn(async move {
        let mut waits = Vec::new();
        while waits.len() < SAMPLES_MAX {
            let last = stop.load(Ordering::SeqCst);
            match ask(&mut connection, &request).await {
                Some(wait) => waits.push(wait),
                // The table may be gone by now.
                None => break,
            }
            if last {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        let _ = connection.close().await;
        waits
    }))
}

async fn ask(connection: &mut PgConnection, request: &str) -> Option<Duration> {
    let begun = Instant::now();
    match connection.execute(sqlx::raw_sql(AssertSqlSafe(request))).await {
        Ok(_) => Some(begun.elapsed()),
        Err(_) => {
            let _ = connection.execute("ROLLBACK").await;
            None
        }
    }
}

/// The 99th percentile and the maximum, in milliseconds.
fn summary(mut waits: Vec<Duration>) -> Option<(f64, f64)> {
    waits.sort_unstable();
    let max = waits.last()?;
    let rank = (waits.len() * 99).div_ceil(100).saturating_sub(1);
    let p99 = waits.get(rank).unwrap_or(max);
    Some((p99.as_secs_f64() * 1e3, max.as_secs_f64() * 1e3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_is_of_all_waits() {
        let waits = (1..=200).rev().map(Duration::from_millis).collect();
        assert_eq!(summary(waits), Some((198.0, 200.0)));
        assert_eq!(summary(vec![Duration::from_millis(3)]), Some((3.0, 3.0)));
        assert_eq!(summary(Vec::new()), None);
    }
}
