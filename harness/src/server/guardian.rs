//! Removes what an owner that was killed has left behind where no kernel does it: on a container engine, and on a
//! server that is not ours.
//!
//! The guardian is a process of its own with the other end of a pipe: however its owner ends, `kill -9` included, the
//! system closes the pipe. Unless the owner has said before that nothing is left, it does its work then.

use std::io::{self, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, Stdio};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};
use tokio::signal::unix::{SignalKind, signal};

use super::DatabaseUrl;
use super::admin::end_sessions;
use super::sandbox_roles::drop_statement;
use crate::role::Role;

/// How every database's name begins that we make on a server that is not ours.
const PREFIX: &str = "proofmark_";

/// The least that tells one run from another.
const RUN_CHARACTERS_MIN: usize = 8;

/// What the owner says when nothing is left to do.
const DONE: &str = "done";

/// The most that is read from the owner, in bytes.
const MESSAGE_BYTES_MAX: u64 = 64 * 1024;

/// How long nothing may be found before the work is done: what the owner asked for last may still be under way. What
/// takes longer is found by the next run that starts a container.
const QUIET_TIME: Duration = Duration::from_millis(600);

/// When the guardian gives up.
const WORK_TIME_MAX: Duration = Duration::from_secs(60);

/// How long one look may take.
const LOOK_TIME_MAX: Duration = Duration::from_secs(15);

const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// What is to be removed should the owner end without having done so itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Job {
    /// Every container with the run's label.
    #[cfg(feature = "containers")]
    Containers {
        /// The label's value.
        run: String,
    },
    /// Every database whose name begins in a certain way.
    Databases {
        /// How to reach the server, password included.
        url: String,
        /// How the names begin: `proofmark_`, and what tells one run from another.
        prefix: String,
    },
}

impl Job {
    /// Refuses what could remove more than one run's.
    fn check(&self) -> io::Result<()> {
        let refused = |what| Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        match self {
            #[cfg(feature = "containers")]
            Self::Containers { run } if run.len() < RUN_CHARACTERS_MIN => {
                refused(format!("expected a label's value that only one run has, found {run:?}"))
            }
            #[cfg(feature = "containers")]
            Self::Containers { .. } => Ok(()),
            Self::Databases { url, prefix } => {
                let run = prefix.strip_prefix(PREFIX).unwrap_or_default();
                let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
                if run.len() < RUN_CHARACTERS_MIN || !run.bytes().all(plain) {
                    return refused(format!(
                        "expected a prefix {PREFIX}* with {RUN_CHARACTERS_MIN} or more of a-z, 0-9 and _, found {prefix:?}"
                    ));
                }
                url.parse::<DatabaseUrl>().map(drop).or_else(|error| refused(error.to_string()))
            }
        }
    }

    /// Removes what there is; says how much there was.
    async fn remove(&self) -> Result<usize, Box<dyn std::error::Error>> {
        match self {
            #[cfg(feature = "containers")]
            Self::Containers { run } => {
                let docker = testcontainers::core::client::docker_client_instance().await?;
                Ok(super::engine::remove_all(&docker, run).await?)
            }
            Self::Databases { url, prefix } => {
                let url: DatabaseUrl = url.parse()?;
                Ok(drop_databases(&url, prefix).await?)
            }
        }
    }
}

async fn drop_databases(url: &DatabaseUrl, prefix: &str) -> Result<usize, sqlx::Error> {
    let mut options = PgConnectOptions::from_url(url.reveal())?.application_name("proofmark-guardian");
    if !url.has_database() {
        options = options.database("postgres");
    }
    let mut connection: PgConnection = options.connect().await?;
    let query =
        sqlx::query_as("SELECT datname::text, datistemplate FROM pg_database WHERE starts_with(datname, $1)");
    let found: Vec<(String, bool)> = query.bind(prefix).fetch_all(&mut connection).await?;
    end_sessions(&mut connection, prefix).await;
    let mut result = Ok(found.len());
    for (name, is_template) in found {
        let name = format!("\"{}\"", name.replace('"', "\"\""));
        let mut statements = vec![
            // Nobody comes back between the end of the sessions and the end of the database.
            format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false"),
            format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"),
        ];
        if is_template {
            statements.insert(0, format!("ALTER DATABASE {name} IS_TEMPLATE false"));
        }
        for statement in statements {
            let executed = sqlx::query(AssertSqlSafe(statement)).persistent(false).execute(&mut connection).await;
            // The other databases go nonetheless.
            if let Err(error) = executed {
                result = Err(error);
                break;
            }
        }
    }
    let query = sqlx::query_scalar("SELECT rolname::text FROM pg_roles WHERE starts_with(rolname, $1)");
    let roles: Vec<String> = query.bind(prefix).fetch_all(&mut connection).await?;
    for role in roles {
        let executed = sqlx::raw_sql(AssertSqlSafe(drop_statement(&role))).execute(&mut connection).await;
        if let Err(error) = executed {
            result = Err(error);
        }
    }
    let _ = connection.close().await;
    result
}

/// The guardian, as its owner sees it. Dropped, it does its work.
#[derive(Debug)]
pub(crate) struct Guardian {
    process: Child,
    pipe: Option<ChildStdin>,
}

impl Guardian {
    /// Guards from now on; what it would remove need not exist yet, so that there is no moment at which it is
    /// unguarded.
    pub(crate) fn start(job: &Job) -> io::Result<Self> {
        job.check()?;
        let mut process = Role::Guardian
            .command()?
            // Out of reach of what ends us: the terminal's signals, and a kill of our whole group.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let pipe = process.stdin.take();
        let mut guardian = Self { process, pipe };
        guardian.tell(&serde_json::to_string(job)?)?;
        Ok(guardian)
    }

    /// Tells it that nothing is left to do, and waits for its end, which comes at once.
    pub(crate) fn release(mut self) -> io::Result<()> {
        self.tell(DONE)?;
        self.pipe = None;
        self.process.wait().map(drop)
    }

    fn tell(&mut self, line: &str) -> io::Result<()> {
        match &mut self.pipe {
            Some(pipe) => writeln!(pipe, "{line}"),
            None => Err(io::Error::other("expected a pipe to the guardian, found none")),
        }
    }
}

/// The guardian's program; returns its exit code.
pub(crate) fn main() -> i32 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.and_then(|runtime| runtime.block_on(guard())) {
        Ok(()) => 0,
        Err(_) => 1,
    }
}

async fn guard() -> io::Result<()> {
    // The handlers, once there, stay: from now on only the pipe's end, and what cannot be handled, ends us.
    for kind in [SignalKind::hangup(), SignalKind::interrupt(), SignalKind::terminate(), SignalKind::pipe()] {
        drop(signal(kind)?);
    }
    let mut text = String::new();
    io::stdin().take(MESSAGE_BYTES_MAX).read_to_string(&mut text)?;
    let mut lines = text.lines();
    let job: Job = serde_json::from_str(lines.next().unwrap_or_default())?;
    if lines.next() == Some(DONE) {
        return Ok(());
    }
    job.check()?;
    clear(&job).await
}

/// Removes until nothing has been found for a while.
async fn clear(job: &Job) -> io::Result<()> {
    let started = Instant::now();
    let mut found_last = started;
    while started.elapsed() < WORK_TIME_MAX {
        match tokio::time::timeout(LOOK_TIME_MAX, job.remove()).await {
            Ok(Ok(0)) if found_last.elapsed() >= QUIET_TIME => return Ok(()),
            Ok(Ok(0)) => {}
            Ok(Ok(_)) | Ok(Err(_)) | Err(_) => found_last = Instant::now(),
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
    Err(io::ErrorKind::TimedOut.into())
}

#[cfg(test)]
mod tests {
    use super::super::{Server, ServerChoice};
    use super::*;

    /// Long enough for any machine; a test that waits this long has failed.
    const HANG: Duration = Duration::from_secs(30);

    async fn names(connection: &mut PgConnection) -> Vec<String> {
        let query = "SELECT datname::text FROM pg_database WHERE datname LIKE 'proofmark%' ORDER BY 1";
        sqlx::query_scalar(query).fetch_all(connection).await.unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_owner_that_ends_loses_its_databases_and_nobody_elses() {
        let (server, _) = Server::start(&ServerChoice::Local).await.unwrap();
        let mut connection = server.connect_options().connect().await.unwrap();
        let statements = [
            "CREATE DATABASE proofmark_0123456789ab_0",
            "CREATE DATABASE proofmark_0123456789ab_1 IS_TEMPLATE true ALLOW_CONNECTIONS false",
            "CREATE DATABASE proofmark_ba9876543210_0",
        ];
        for statement in statements {
            sqlx::query(statement).execute(&mut connection).await.unwrap();
        }
        let job = Job::Databases { url: server.url("postgres"), prefix: "proofmark_0123456789ab_".to_owned() };
        Guardian::start(&job).unwrap().release().unwrap();
        assert_eq!(names(&mut connection).await.len(), 3);

        let options = server.connect_options().database("proofmark_0123456789ab_0");
        let session = options.connect().await.unwrap();
        let mut guardian = Guardian::start(&job).unwrap();
        guardian.pipe = None;
        let started = Instant::now();
        while names(&mut connection).await.len() > 1 {
            assert!(started.elapsed() < HANG, "left: {:?}", names(&mut connection).await);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(names(&mut connection).await, ["proofmark_ba9876543210_0"]);
        drop(session);
        assert!(guardian.process.wait().unwrap().success());
        server.stop().await.unwrap();
    }

    #[test]
    fn a_job_that_could_remove_what_others_made_is_refused() {
        let url = "postgres://me@localhost/postgres".to_owned();
        for prefix in ["", "proofmark", "proofmark_", "proofmark_1234567", "proofmark_1234567%", "mine_0123456789"]
        {
            let job = Job::Databases { url: url.clone(), prefix: prefix.to_owned() };
            let error = Guardian::start(&job).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{prefix:?}: {error}");
        }
    }
}
