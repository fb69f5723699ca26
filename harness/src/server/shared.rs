//! One server for all processes of a test run: the first that needs it starts it, the others join.
//!
//! The processes meet in a private directory that is named by the run. Whoever holds its lock may start a server and
//! write its record. The server then lives as long as the runner does, and not as the test that happened to be first.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;
use rustix::process::Pid;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use sqlx::{ConnectOptions as _, Connection as _};

use super::ServerError;
use super::address::Address;
use super::local::{LocalError, LocalServer};
use super::run_directory::SHARED_PREFIX;
use crate::event::ServerRecord;

/// Set to `0`, every process has a server of its own.
pub const SHARE_VARIABLE: &str = "PROOFMARK_SHARE";

/// The id of the process that a shared server lives as long as. Unless this says otherwise it is the parent of the test
/// process if that is nextest; with a wrapper in between nothing is shared.
pub const RUNNER_VARIABLE: &str = "PROOFMARK_RUNNER_PID";

/// Set by nextest, to a value that no other run has.
const RUN_VARIABLE: &str = "NEXTEST_RUN_ID";

/// How long another process may take to start the server: an initdb, and the server's own limit.
const LOCK_TIME_MAX: Duration = Duration::from_secs(180);

const LOCK_POLL_INTERVAL: Duration = Duration::from_millis(10);

/// How long a server that was recorded may take to answer before it counts as lost.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);

/// The SQLSTATE of a server that is about to stop.
const CANNOT_CONNECT_NOW: &str = "57P03";

/// Why the processes of a run cannot share a server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SharedError {
    /// The variable does not name a process.
    #[error("in {RUNNER_VARIABLE}: expected the id of a process, found {found:?}")]
    Runner {
        /// What it holds.
        found: String,
    },
    /// The directory cannot be used.
    #[error(
        "the directory {} for the server that this run's tests share cannot be used: {source}; set \
         {SHARE_VARIABLE}=0 to start a server for every process",
        directory.display()
    )]
    Directory {
        /// The directory.
        directory: PathBuf,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// Another process has the lock and does not give it up.
    #[error(
        "expected another test of this run to start the shared server within {LOCK_TIME_MAX:?}, found it still at \
         it; its lock is in {}",
        directory.display()
    )]
    Busy {
        /// The directory.
        directory: PathBuf,
    },
}

/// The run that this process is a test of.
#[derive(Debug)]
pub(super) struct TestRun {
    id: String,
    runner: Pid,
}

impl TestRun {
    /// The run whose server is to be shared, if there is one.
    pub(super) fn from_env() -> Result<Option<Self>, SharedError> {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        if variable(SHARE_VARIABLE).is_some_and(|value| value == "0") {
            return Ok(None);
        }
        let Some(id) = variable(RUN_VARIABLE) else { return Ok(None) };
        let runner = match variable(RUNNER_VARIABLE) {
            Some(text) => {
                let text = text.to_string_lossy();
                let id = text.parse().ok().filter(|id| *id > 0).and_then(Pid::from_raw);
                Some(id.ok_or_else(|| SharedError::Runner { found: text.into_owned() })?)
            }
            // Not any parent: a test that nextest left behind belongs to a process that may never end.
            None => rustix::process::getppid().filter(|parent| is_nextest(*parent)),
        };
        Ok(runner.map(|runner| Self { id: id.to_string_lossy().into_owned(), runner }))
    }

    /// Where the processes of the run meet. The runner is part of the name: a run that a test starts is another run.
    fn meeting_point(&self) -> PathBuf {
        let parent = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let parent = parent.filter(|path| path.is_absolute() && path.is_dir()).unwrap_or_else(std::env::temp_dir);
        let user = rustix::process::geteuid().as_raw();
        let digest = Sha256::digest(format!("{user} {} {}", self.runner, self.id));
        let name: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        parent.join(format!("{SHARED_PREFIX}{name}"))
    }
}

/// Whether the program that a process runs has such a name.
fn is_nextest(process: Pid) -> bool {
    let name = fs::read(format!("/proc/{process}/comm")).or_else(|_| {
        let mut ps = Command::new("ps");
        ps.args(["-p", &process.to_string(), "-o", "comm="])
            .stdin(Stdio::null())
            .output()
            .map(|output| output.stdout)
    });
    name.is_ok_and(|name| String::from_utf8_lossy(&name).contains("nextest"))
}

/// A server that other processes use as well, and that none of them stops.
#[derive(Debug)]
pub struct SharedServer {
    address: Address,
}

/// What a process needs to know to join.
#[derive(Debug, Serialize, Deserialize)]
struct Joinable {
    address: Address,
    server: ServerRecord,
}

impl SharedServer {
    /// Joins the run's server; the first to come, and the first after a server was lost, starts it.
    pub(super) async fn join(run: &TestRun, why: &str) -> Result<(Self, ServerRecord), ServerError> {
        let started = Instant::now();
        let directory = run.meeting_point();
        let unusable = |source| SharedError::Directory { directory: directory.clone(), source };
        enter(&directory).map_err(unusable)?;
        let joinable = match find(&directory).await {
            Some(joinable) => joinable,
            None => {
                let _lock = lock(&directory).await?;
                match find(&directory).await {
                    Some(joinable) => joinable,
                    None => start(run, &directory, why).await?,
                }
            }
        };
        let ready_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok((Self { address: joinable.address }, ServerRecord { ready_ms, ..joinable.server }))
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }
}

/// Makes the directory, or makes sure that it is ours alone: its record is believed.
fn enter(directory: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(directory) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        result => return result,
    }
    let found = fs::symlink_metadata(directory)?;
    let ours = found.uid() == rustix::process::geteuid().as_raw();
    if found.is_dir() && ours && found.mode() & 0o077 == 0 {
        return Ok(());
    }
    Err(io::Error::other("expected a directory that belongs to us alone, found one that does not"))
}

/// Takes the lock, which ends with the file, and with the process.
async fn lock(directory: &Path) -> Result<File, SharedError> {
    let unusable = |source| SharedError::Directory { directory: directory.to_owned(), source };
    let mut options = fs::OpenOptions::new();
    let file = options.create(true).truncate(false).write(true).mode(0o600).open(directory.join("lock"));
    let file = file.map_err(unusable)?;
    let started = Instant::now();
    // Not the call that waits: it could not be cancelled.
    while let Err(error) = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        if error != rustix::io::Errno::WOULDBLOCK && error != rustix::io::Errno::INTR {
            return Err(unusable(error.into()));
        }
        if started.elapsed() > LOCK_TIME_MAX {
            return Err(SharedError::Busy { directory: directory.to_owned() });
        }
        tokio::time::sleep(LOCK_POLL_INTERVAL).await;
    }
    Ok(file)
}

fn record(directory: &Path) -> PathBuf {
    directory.join("server.json")
}

/// The run's server, if there is one and it answers.
async fn find(directory: &Path) -> Option<Joinable> {
    let joinable: Joinable = serde_json::from_slice(&fs::read(record(directory)).ok()?).ok()?;
    let options = joinable.address.connect_options();
    let ask = async { options.connect().await?.close().await };
    match tokio::time::timeout(ANSWER_TIME_MAX, ask).await {
        Ok(Ok(())) => Some(joinable),
        // A refusal is an answer too, for example that there are too many clients.
        Ok(Err(sqlx::Error::Database(error))) if error.code().as_deref() != Some(CANNOT_CONNECT_NOW) => {
            Some(joinable)
        }
        Ok(Err(_)) | Err(_) => None,
    }
}

/// Starts the run's server; the caller holds the lock.
async fn start(run: &TestRun, directory: &Path, why: &str) -> Result<Joinable, ServerError> {
    let why = format!("{why}; shared by the processes of nextest run {}", run.id);
    let (local, server) = LocalServer::start_as(SHARED_PREFIX, &why).await?;
    let joinable = Joinable { address: local.address().clone(), server };
    // Before the server is handed over: should that fail, it stops, and the record names a server that is lost.
    write(directory, &joinable).map_err(|source| LocalError::Directory { path: record(directory), source })?;
    local.hand_over(run.runner, directory)?;
    Ok(joinable)
}

/// Under another name first, so that nobody reads the half of it.
fn write(directory: &Path, joinable: &Joinable) -> io::Result<()> {
    let file = tempfile::NamedTempFile::new_in(directory)?;
    serde_json::to_writer(&file, joinable)?;
    file.persist(record(directory))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_directory_that_others_can_enter_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("run");
        enter(&directory).unwrap();
        enter(&directory).unwrap();
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o770)).unwrap();
        enter(&directory).unwrap_err();
        let link = parent.path().join("link");
        std::os::unix::fs::symlink(parent.path(), &link).unwrap();
        enter(&link).unwrap_err();
    }

    #[test]
    fn every_run_and_every_runner_meets_elsewhere() {
        let at = |id: &str, runner| TestRun { id: id.to_owned(), runner: Pid::from_raw(runner).unwrap() };
        let point = at("a", 12).meeting_point();
        assert_eq!(point, at("a", 12).meeting_point());
        assert_ne!(point, at("b", 12).meeting_point());
        assert_ne!(point, at("a", 13).meeting_point());
    }
}
