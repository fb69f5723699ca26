//! A server of our own: started from binaries in a fraction of a second, without a trace afterwards.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};
use uuid::Uuid;

use super::ServerError;
use super::address::{Address, USER};
use super::binaries::Binaries;
use super::data_directory;
use super::owner::Owner;
use super::process::Process;
use super::run_directory::{OWN_PREFIX, RunDirectory};
use crate::event::ServerRecord;

/// How long the server may take until it answers.
const READY_TIME_MAX: Duration = Duration::from_secs(30);

const READY_POLL_INTERVAL: Duration = Duration::from_millis(1);

/// How often a server is started again that is hindered by what was there before: a bit later every time, five seconds in
/// all.
const RESTART_ATTEMPTS: u32 = 100;

/// How often another port is tried when one was taken between our finding it free and the server's using it.
const PORT_ATTEMPTS: u32 = 5;

/// The data is worth nothing after the run, so that nothing is done to keep it; what is left are the settings
/// that bound what a server takes, and those that make runs on different machines alike.
pub(super) const SETTINGS: [&str; 17] = [
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "wal_level=minimal",
    "max_wal_senders=0",
    "max_wal_size=256MB",
    "autovacuum=off",
    "jit=off",
    "max_connections=200",
    // A client that was killed leaves no query behind that goes on, or waits for a lock.
    "client_connection_check_interval=1s",
    // In the data directory, so that nothing stays in the system's shared memory when the server is killed.
    "dynamic_shared_memory_type=mmap",
    "log_destination=stderr",
    "logging_collector=off",
    "timezone=UTC",
    "log_timezone=UTC",
    "datestyle=ISO, MDY",
    "password_encryption=scram-sha-256",
];

/// Why a local server did not start, or did not go.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LocalError {
    /// We are root, and there is nobody else to be.
    #[error(
        "expected a user postgres or nobody for the server to run as, as it refuses to run as root; found none"
    )]
    NoUser,
    /// No directory for its files.
    #[error("expected a directory for the server's files, found none that can be used: {refused}")]
    NoDirectory {
        /// The directories and what is wrong with them.
        refused: String,
    },
    /// A file could not be made.
    #[error("the server's files cannot be written at {}: {source}", path.display())]
    Directory {
        /// The file or directory.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// A program could not be started.
    #[error("cannot be started: {source}; command: {command}; directory: {}", directory.display())]
    Spawn {
        /// The command.
        command: String,
        /// The run directory.
        directory: PathBuf,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// A program failed.
    #[error(transparent)]
    Process(Box<ProcessFailure>),
    /// The shell that ends a shared server with its run could not be started.
    #[error("the process that would end the shared server does not run (it needs /bin/sh): {source}")]
    Follower {
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// The server stopped, and files of it are left.
    #[error("the server's directory {} cannot be removed: {source}", directory.display())]
    Left {
        /// The run directory.
        directory: PathBuf,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
}

/// How a program failed, with all that helps to find out why.
#[derive(Debug, thiserror::Error)]
#[error(
    "{program} failed: {what}; command: {command}; process id: {pid}; directory: {}; its log ends with:\n{log}",
    directory.display()
)]
pub struct ProcessFailure {
    /// The program's name.
    pub program: String,
    /// How it failed.
    pub what: String,
    /// The command.
    pub command: String,
    /// The process id.
    pub pid: u32,
    /// The run directory, which is removed by now.
    pub directory: PathBuf,
    /// The last lines of its log.
    pub log: String,
}

/// A running server. It stops and its files go away when it is dropped, and also when this process is killed.
#[derive(Debug)]
pub struct LocalServer {
    // Dropped in this order: the server stops, then its files go.
    process: Process,
    run: RunDirectory,
    address: Address,
    binaries: Binaries,
}

impl LocalServer {
    /// Starts a server; `why` it was chosen is part of the record.
    ///
    /// # Errors
    /// When binaries, room or a port are missing, or the server does not answer in time. Nothing is left behind.
    pub async fn start(why: &str) -> Result<(Self, ServerRecord), ServerError> {
        Self::start_as(OWN_PREFIX, why).await
    }

    /// Starts a server whose directory's name begins in a certain way.
    pub(super) async fn start_as(prefix: &'static str, why: &str) -> Result<(Self, ServerRecord), ServerError> {
        let started = Instant::now();
        let prepared = tokio::task::spawn_blocking(|| {
            let owner = Owner::needed()?;
            // Each starts a program and waits for it.
            let (binaries, run) = std::thread::scope(|scope| {
                let run = scope.spawn(|| RunDirectory::create(prefix, owner));
                let binaries = Binaries::find_for(owner);
                (binaries, run.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            });
            let (binaries, mut run) = (binaries?, run?);
            data_directory::prepare(&binaries, &mut run)?;
            allow_access(&run)?;
            Ok::<_, ServerError>((binaries, run))
        });
        let (binaries, run) = match prepared.await {
            Ok(prepared) => prepared?,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        };
        let (server, version) = Self::run(binaries, run, free_port).await?;
        let record = ServerRecord {
            kind: "local".to_owned(),
            version,
            origin: format!(
                "binaries in {}, files in {}; local as {why}",
                server.binaries.directory.display(),
                server.run.path().display()
            ),
            ready_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        };
        Ok((server, record))
    }

    /// Starts it on the first port that nobody else has taken by then.
    async fn run(
        binaries: Binaries,
        mut run: RunDirectory,
        mut next_port: impl FnMut() -> io::Result<u16>,
    ) -> Result<(Self, String), LocalError> {
        let mut attempt = 1;
        loop {
            let port = next_port().map_err(|source| LocalError::Directory { path: "127.0.0.1".into(), source })?;
            let mut process = spawn(&binaries, &mut run, port, &[])?;
            let password = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
            let address = Address { directory: run.path().to_owned(), port, password };
            match ready(&mut process, &address).await {
                Ok(version) => return Ok((Self { process, run, address, binaries }, version)),
                Err(_) if attempt < PORT_ATTEMPTS && process.log_tail().contains("could not bind") => attempt += 1,
                Err(what) => return Err(process.failure(what)),
            }
        }
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    pub(super) fn has_ended(&mut self) -> bool {
        matches!(self.process.ended(), Ok(Some(_)))
    }

    /// Ends the server's process as it is, if it is still there.
    pub(super) async fn crash(&mut self, signal: Signal) {
        self.process.signal(signal);
        while matches!(self.process.ended(), Ok(None)) {
            tokio::time::sleep(READY_POLL_INTERVAL).await;
        }
        // What a killed server has left of itself would go on for a moment, and be in the way of the next.
        self.process.stop();
    }

    /// Starts a server that was ended again, with the same files at the same address.
    pub(super) async fn restart(&mut self, settings: &[&str]) -> Result<(), LocalError> {
        let mut attempt = 1;
        loop {
            self.process.stop();
            self.process = spawn(&self.binaries, &mut self.run, self.address.port, settings)?;
            // With the same password, so that its URLs stay what they are.
            match ready(&mut self.process, &self.address).await {
                Ok(_) => return Ok(()),
                // What a killed server has left may take a moment to let go of its memory, and others of its port.
                Err(_) if attempt < RESTART_ATTEMPTS && self.is_hindered() => attempt += 1,
                Err(what) => return Err(self.process.failure(what)),
            }
            tokio::time::sleep(READY_POLL_INTERVAL * attempt).await;
        }
    }

    fn is_hindered(&self) -> bool {
        let log = self.process.log_tail();
        log.contains("is still in use") || log.contains("could not bind")
    }

    pub(super) async fn stop(mut self) -> Result<(), LocalError> {
        let stopped = tokio::task::spawn_blocking(move || {
            self.process.stop();
            let removed = self.run.remove();
            removed.map_err(|source| LocalError::Left { directory: self.run.path().to_owned(), source })
        });
        match stopped.await {
            Ok(result) => result,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}

fn spawn(
    binaries: &Binaries,
    run: &mut RunDirectory,
    port: u16,
    settings: &[&str],
) -> Result<Process, LocalError> {
    let mut command = binaries.command("postgres");
    command.arg("-D").arg(run.data()).arg("-k").arg(run.path());
    command.args(["-p", &port.to_string()]);
    for setting in SETTINGS.iter().chain(&["listen_addresses=127.0.0.1"]).chain(settings) {
        command.args(["-c", setting]);
    }
    command.arg("-c").arg(format!("hba_file={}", access_file(run).display()));
    let log = run.path().join("postgres.log");
    Process::spawn(&command, run, &log)
}

/// Waits until the server answers a query and has its password; returns the version.
async fn ready(process: &mut Process, address: &Address) -> Result<String, String> {
    let started = Instant::now();
    loop {
        if let Some(status) = process.ended().map_err(|error| error.to_string())? {
            return Err(format!("it ended with {status} before it answered"));
        }
        let left = READY_TIME_MAX.saturating_sub(started.elapsed());
        let answer = match tokio::time::timeout(left, first_query(address)).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => crate::error_chain(&error),
            Err(_) => "nothing at all".to_owned(),
        };
        if started.elapsed() >= READY_TIME_MAX {
            return Err(format!("no answer within {READY_TIME_MAX:?}, the last was: {answer}"));
        }
        tokio::time::sleep(READY_POLL_INTERVAL).await;
    }
}

/// Sets a password that only we know: on the loopback address, unlike in our private directory, every user of
/// the machine can knock.
async fn first_query(address: &Address) -> Result<String, sqlx::Error> {
    let mut connection: PgConnection = address.connect_options().connect().await?;
    let statement = format!("ALTER ROLE {USER} PASSWORD '{}'", address.password);
    sqlx::query(AssertSqlSafe(statement)).execute(&mut connection).await?;
    let version = sqlx::query_scalar("SHOW server_version").fetch_one(&mut connection).await?;
    connection.close().await?;
    Ok(version)
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn access_file(run: &RunDirectory) -> PathBuf {
    run.path().join("pg_hba.conf")
}

/// Who may connect: everyone who can get into our directory, and on the loopback address who knows the password.
fn allow_access(run: &RunDirectory) -> Result<(), LocalError> {
    let path = access_file(run);
    let write = |path: &Path| {
        fs::write(path, "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n")?;
        run.give(path)
    };
    write(&path).map_err(|source| LocalError::Directory { path, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_that_was_taken_meanwhile_is_given_up_for_another() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let owner = Owner::needed().unwrap();
        let mut run = RunDirectory::create(OWN_PREFIX, owner).unwrap();
        let binaries = Binaries::find_for(owner).unwrap();
        data_directory::prepare(&binaries, &mut run).unwrap();
        allow_access(&run).unwrap();
        let mut asked = 0;
        let next = || {
            asked += 1;
            if asked == 1 { Ok(port) } else { free_port() }
        };
        let (server, _) = LocalServer::run(binaries, run, next).await.unwrap();
        assert_ne!(server.address().port, port);
        server.stop().await.unwrap();
        assert_eq!(asked, 2);
    }
}
