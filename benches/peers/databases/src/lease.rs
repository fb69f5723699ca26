//! Tests leave a record of the databases that they had, for whoever wants to verify that no two had one at a time.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sqlx::postgres::PgConnection;

/// Names the file to which leases are appended; without it there is no record.
pub const LEASES_VARIABLE: &str = "DATABASE_PEERS_LEASES";

/// For how many milliseconds every eighth test's session is busy; without it none is.
pub const HOLD_VARIABLE: &str = "DATABASE_PEERS_HOLD_MS";

/// From when a test has its database until it needs it no more.
///
/// A line for the begin, `begin PID NANOSECONDS SERVER DATABASE BACKEND`, and one for the end, `end PID NANOSECONDS`,
/// separated by tabs. `SERVER` tells servers apart, `BACKEND` is the id of the session's process.
#[derive(Debug)]
pub struct Lease {
    file: Option<PathBuf>,
}

impl Lease {
    /// Records the begin of a lease if a record is wanted.
    ///
    /// # Errors
    /// When the server refuses, or the record cannot be written.
    pub async fn begin(connection: &mut PgConnection) -> Result<Self, Box<dyn std::error::Error>> {
        let lease = Self { file: std::env::var_os(LEASES_VARIABLE).map(PathBuf::from) };
        if lease.file.is_some() {
            // Before anything is asked, as this is also when a database was ready.
            let at = now();
            let session = "SELECT current_setting('port') || ' since ' || pg_postmaster_start_time(),
                current_database()::text, pg_backend_pid()";
            let session: (String, String, i32) = sqlx::query_as(session).fetch_one(connection).await?;
            let (server, database, backend) = session;
            lease.append(&format!("begin\t{}\t{at}\t{server}\t{database}\t{backend}\n", process::id()))?;
        }
        Ok(lease)
    }

    /// Keeps the session busy if that is wanted, so that what kills the test finds it at work.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn hold(&self, connection: &mut PgConnection, test: &str) -> Result<(), sqlx::Error> {
        let hold_ms =
            std::env::var(HOLD_VARIABLE).ok().and_then(|text| text.parse().ok()).map(Duration::from_millis);
        let number: u32 = test.trim_start_matches("test_").parse().unwrap_or(0);
        match hold_ms {
            Some(hold) if number.is_multiple_of(8) => {
                let sleep = sqlx::query("SELECT pg_sleep($1)").bind(hold.as_secs_f64());
                sleep.execute(connection).await.map(|_| ())
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Records the end.
    ///
    /// # Errors
    /// When the record cannot be written.
    pub fn end(self) -> io::Result<()> {
        self.append(&format!("end\t{}\t{}\n", process::id(), now()))
    }

    /// In one write, so that the lines of several processes do not mix.
    fn append(&self, line: &str) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        OpenOptions::new().append(true).create(true).open(file)?.write_all(line.as_bytes())
    }
}

/// Nanoseconds since 1970, which processes have in common.
fn now() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_nanos())
}
