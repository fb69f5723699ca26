//! The other end: finds a supervisor or starts one, and asks it for databases.
//!
//! Blocking, and without a runtime: a lease can be taken from any kind of test, and given back by merely dropping it.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;
use rustix::process::Pid;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::follow::Followed;
use super::protocol::{self, Config, Greeting, Lease, Refusal, Reply, Request, Status, Wanted};
use super::socket_path;
use crate::age;
use crate::migration_set::MigrationSet;
use crate::role::{self, Role};
use crate::server::{OWN_PREFIX, SHARED_PREFIX, ServerChoice};

/// Set to `0`, every process has a server of its own.
pub const SHARE_VARIABLE: &str = "PROOFMARK_SHARE";

/// The id of the process that a shared server lives as long as. Unless this says otherwise it is the parent of the test
/// process if that is nextest; with a wrapper in between nothing is shared.
pub const RUNNER_VARIABLE: &str = "PROOFMARK_RUNNER_PID";

/// For how many minutes the databases of failed cases stay after the run; `0` if they are not wanted.
pub const KEEP_VARIABLE: &str = "PROOFMARK_KEEP_MINUTES";

/// How long they stay unless the variable says otherwise. Nobody looks at them in continuous integration.
const KEEP_MINUTES: u64 = 10;

/// Set by nextest, to a value that no other run has.
const RUN_VARIABLE: &str = "NEXTEST_RUN_ID";

/// What decides on the server that a supervisor starts: with others it is another supervisor.
const DECISIVE_VARIABLES: [&str; 8] = [
    "PROOFMARK_RUN_DIR",
    crate::server::SERVER_VARIABLE,
    crate::server::DATABASE_URL_VARIABLE,
    "PROOFMARK_POSTGRES_BIN",
    "PROOFMARK_POSTGRES_VERSION",
    "PROOFMARK_POSTGRES_IMAGE",
    "PROOFMARK_CACHE_DIR",
    KEEP_VARIABLE,
];

/// How long another process may take to start the server: an initdb, a pull of an image, and the server's own limit.
const START_TIME_MAX: Duration = Duration::from_secs(300);

/// How long a request may take: migrations may be long.
const REPLY_TIME_MAX: Duration = Duration::from_secs(600);

/// How long the directory of a supervisor that was killed may take to go.
const GOING_TIME_MAX: Duration = Duration::from_secs(3);

/// How long the last traces of a supervisor may take to go.
const END_TIME_MAX: Duration = Duration::from_secs(5);

/// The most entries that are looked at for what earlier runs have left.
const SWEPT_MAX: usize = 10_000;

/// Longer than anybody takes from a directory to a supervisor in it.
const STALE_AFTER: Duration = Duration::from_secs(600);

const LOCK_POLL_INTERVAL: Duration = Duration::from_millis(5);

/// How often a supervisor is looked for that ends at the very moment when it was found.
const ATTEMPTS: u32 = 5;

/// Why there is no supervisor.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SupervisorError {
    /// A variable does not say what it should.
    #[error("in {variable}: expected {expected}, found {found:?}")]
    Variable {
        /// Its name.
        variable: &'static str,
        /// What it should hold.
        expected: &'static str,
        /// What it holds.
        found: String,
    },
    /// The test was left behind.
    #[error(
        "expected nextest as the parent of this test, found that nextest is gone; set {RUNNER_VARIABLE} to the id of \
         the process that the run's server is to live as long as"
    )]
    Orphan,
    /// Its directory cannot be used.
    #[error("the directory {} for this run's server cannot be used: {source}", directory.display())]
    Directory {
        /// The directory.
        directory: PathBuf,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// Another process has the lock and does not give it up.
    #[error(
        "expected another test of this run to start the server within {START_TIME_MAX:?}, found it still at it; its \
         lock is in {}", directory.display()
    )]
    Busy {
        /// The directory.
        directory: PathBuf,
    },
    /// Its process could not be started.
    #[error("the process that is to own the server cannot be started: {0}")]
    Spawn(#[source] io::Error),
    /// It started and could not get a server.
    #[error("{message}")]
    NoServer {
        /// What it says.
        message: String,
        /// Whether what it was told is to blame.
        usage: bool,
    },
    /// It ended, or does not speak.
    #[error("the process that owns the server is gone: {0}")]
    Lost(#[source] io::Error),
}

impl SupervisorError {
    /// Whether what the user told us is to blame.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Variable { .. } | Self::NoServer { usage: true, .. })
    }
}

/// Whose server it is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// This process's alone.
    Process,
    /// All processes of a nextest run have one together; of any other runner, each process has one.
    Run,
}

/// A supervisor that was found or started.
#[derive(Debug)]
pub(crate) struct Client {
    directory: PathBuf,
    /// If it is ours alone: it ends when we are done.
    own: Option<Mutex<Child>>,
}

/// A conversation with a supervisor.
#[derive(Debug)]
pub(crate) struct Channel(BufReader<UnixStream>);

/// A database for as long as this lives.
#[derive(Debug)]
pub(crate) struct Leased {
    pub(crate) lease: Lease,
    channel: Mutex<Channel>,
}

impl Leased {
    /// Gives the database back although it may still be in use.
    pub(crate) fn end(&self) {
        let channel = self.channel.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = channel.0.get_ref().shutdown(std::net::Shutdown::Both);
    }
}

impl Client {
    /// The supervisor of the scope; it is started if there is none.
    pub(crate) fn join(choice: &ServerChoice, scope: Scope) -> Result<Self, SupervisorError> {
        if role::has_one() {
            let source = io::Error::other("this process is to be one, and its program does not know how");
            return Err(SupervisorError::Spawn(source));
        }
        let share = std::env::var_os(SHARE_VARIABLE).is_none_or(|value| value != "0");
        let nothing_is_chosen =
            ![crate::server::DATABASE_URL_VARIABLE, crate::server::SERVER_VARIABLE].map(has).contains(&true);
        if share && matches!(choice, ServerChoice::Auto) && nothing_is_chosen {
            let directory = user_directory();
            if Channel::open(&directory).is_ok() {
                return Ok(Self::attached(directory));
            }
        }
        let run = if scope == Scope::Run && share { TestRun::from_env()? } else { None };
        match run {
            Some(run) => {
                let purpose = format!("shared by the processes of nextest run {}", run.id);
                Self::meet(run.meeting_point(choice), choice, Some(Followed::new(run.runner)), &purpose)
            }
            None => Self::alone(choice),
        }
    }

    fn attached(directory: PathBuf) -> Self {
        Self { directory, own: None }
    }

    fn alone(choice: &ServerChoice) -> Result<Self, SupervisorError> {
        let name = Uuid::new_v4().simple().to_string();
        let directory = runtime_directory().join(format!("{OWN_PREFIX}{}", &name[..12]));
        enter(&directory).map_err(|source| SupervisorError::Directory { directory: directory.clone(), source })?;
        let id = rustix::process::getpid();
        let started = spawn(choice, &directory, Some(Followed::new(id)), &format!("process {id}"), false);
        if started.is_err() {
            let _ = fs::remove_dir_all(&directory);
        }
        Ok(Self { directory, own: Some(Mutex::new(started?)) })
    }

    /// The processes of a run meet in a directory. Whoever holds its lock may start the supervisor.
    fn meet(
        directory: PathBuf,
        choice: &ServerChoice,
        followed: Option<Followed>,
        purpose: &str,
    ) -> Result<Self, SupervisorError> {
        let begun = Instant::now();
        let mut attempt = 1;
        loop {
            if Channel::open(&directory).is_ok() {
                return Ok(Self::attached(directory));
            }
            let unusable = |source| SupervisorError::Directory { directory: directory.clone(), source };
            enter(&directory).map_err(unusable)?;
            let Some(_lock) = lock(&directory)? else { continue };
            if Channel::open(&directory).is_ok() {
                return Ok(Self::attached(directory));
            }
            // A supervisor that was killed: its directory goes at once, and must not be used meanwhile; unless nobody
            // is left to remove it.
            if socket_path(&directory).exists() && begun.elapsed() < GOING_TIME_MAX {
                std::thread::sleep(LOCK_POLL_INTERVAL);
                continue;
            }
            let _ = fs::remove_file(socket_path(&directory));
            // The directory of a supervisor whose run is over is gone as well; that is no reason to start another.
            if followed.is_some_and(|followed| !followed.is_alive()) {
                let _ = fs::remove_dir_all(&directory);
                return Err(SupervisorError::Orphan);
            }
            match spawn(choice, &directory, followed, purpose, true) {
                Ok(_child) => return Ok(Self::attached(directory)),
                // The directory of one that was killed goes away a moment later, and may just have been ours.
                Err(_) if !directory.exists() && attempt < ATTEMPTS => attempt += 1,
                Err(error) => return Err(error),
            }
        }
    }

    fn open(&self) -> Result<Channel, SupervisorError> {
        Channel::open(&self.directory).map_err(SupervisorError::Lost)
    }

    /// A database; its migrations are sent if the supervisor does not know them.
    pub(crate) fn lease(
        &self,
        migrations: Option<&MigrationSet>,
        fresh: bool,
    ) -> Result<Result<Leased, Refusal>, SupervisorError> {
        let mut channel = self.open()?;
        let wanted = Wanted { migrations: migrations.map(MigrationSet::digest), fresh };
        let mut reply = channel.ask(&Request::Lease(wanted.clone()))?;
        if let (Reply::UnknownMigrations, Some(set)) = (&reply, migrations) {
            reply = channel.ask(&Request::Migrations(set.clone(), wanted))?;
        }
        match reply {
            Reply::Leased(lease) => Ok(Ok(Leased { lease, channel: Mutex::new(channel) })),
            Reply::Refused(refusal) => Ok(Err(refusal)),
            _ => Err(unexpected()),
        }
    }

    /// The number of the server that answers now, if one does.
    pub(crate) fn health(&self) -> Result<Option<u64>, SupervisorError> {
        match self.open()?.ask(&Request::Health)? {
            Reply::Health(number) => Ok(number),
            _ => Err(unexpected()),
        }
    }

    pub(crate) fn status(&self) -> Result<Status, SupervisorError> {
        match self.open()?.ask(&Request::Status)? {
            Reply::Status(status) => Ok(status),
            _ => Err(unexpected()),
        }
    }

    /// Ends the supervisor, and returns when nothing is left; unless it stays for databases that are kept.
    pub(crate) fn end(&self, even_if_kept: bool) -> Result<Result<(), Refusal>, SupervisorError> {
        match self.open()?.ask(&Request::Shutdown { even_if_kept })? {
            Reply::Done => {
                self.wait();
                Ok(Ok(()))
            }
            Reply::Stays => Ok(Ok(())),
            Reply::Refused(refusal) => Ok(Err(refusal)),
            _ => Err(unexpected()),
        }
    }

    /// Whether the supervisor ends with us.
    pub(crate) fn is_own(&self) -> bool {
        self.own.is_some()
    }

    /// Waits for the end of a supervisor of our own.
    fn wait(&self) {
        if let Some(child) = &self.own {
            let _ = child.lock().unwrap_or_else(PoisonError::into_inner).wait();
        }
    }
}

impl Channel {
    fn open(directory: &Path) -> io::Result<Self> {
        // Who listens in it is believed.
        check_ours(directory)?;
        let stream = UnixStream::connect(socket_path(directory))?;
        stream.set_read_timeout(Some(REPLY_TIME_MAX))?;
        Ok(Self(BufReader::new(stream)))
    }

    fn ask(&mut self, request: &Request) -> Result<Reply, SupervisorError> {
        let mut ask = || {
            self.0.get_mut().write_all(&protocol::line(request)?)?;
            read(&mut self.0)
        };
        ask().map_err(SupervisorError::Lost)
    }
}

impl Leased {
    /// Keeps the database for somebody to look at, and says how, if that is possible.
    pub(crate) fn keep(&self, case: &str) -> Option<String> {
        let mut channel = self.channel.lock().unwrap_or_else(PoisonError::into_inner);
        match channel.ask(&Request::Keep { case: case.to_owned() }) {
            Ok(Reply::Kept(open)) => open,
            _ => None,
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if self.is_own() {
            let _ = self.end(false);
        }
    }
}

fn unexpected() -> SupervisorError {
    SupervisorError::Lost(io::Error::other("it answers another question than was asked"))
}

fn read<T: serde::de::DeserializeOwned>(input: &mut impl io::BufRead) -> io::Result<T> {
    let mut line = Vec::new();
    input.take(protocol::LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
    if line.last() != Some(&b'\n') {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ended without an answer"));
    }
    protocol::parse(&line)
}

/// Starts a supervisor and waits until it has its server.
fn spawn(
    choice: &ServerChoice,
    directory: &Path,
    followed: Option<Followed>,
    purpose: &str,
    shared: bool,
) -> Result<Child, SupervisorError> {
    let keep = keep()?;
    let config = Config {
        server: choice.reveal(),
        directory: directory.to_owned(),
        followed,
        purpose: purpose.to_owned(),
        shared,
        keep,
    };
    let start = || {
        let mut command = Role::Supervisor.command()?;
        // For those who look at the list of processes.
        command.arg(directory);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        // Out of reach of what ends us: the terminal's signals, and a kill of our whole group.
        let mut child = command.process_group(0).spawn()?;
        if let Some(mut input) = child.stdin.take() {
            input.write_all(&protocol::line(&config)?)?;
        }
        Ok(child)
    };
    let mut child = start().map_err(SupervisorError::Spawn)?;
    let output = child.stdout.take().map(BufReader::new);
    let greeting =
        output.ok_or_else(|| io::Error::other("it has no output")).and_then(|mut output| read(&mut output));
    match greeting {
        Ok(Greeting::Ready { .. }) => Ok(child),
        Ok(Greeting::Failed { message, usage }) => {
            let _ = child.wait();
            Err(SupervisorError::NoServer { message, usage })
        }
        Err(error) => {
            let _ = child.kill();
            let status = child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
            Err(SupervisorError::Spawn(io::Error::other(format!("{error}; its process ended with {status}"))))
        }
    }
}

/// How long the databases of failed cases are to stay.
fn keep() -> Result<Duration, SupervisorError> {
    let minutes = match std::env::var_os(KEEP_VARIABLE).filter(|value| !value.is_empty()) {
        Some(text) => {
            let text = text.to_string_lossy();
            text.parse().ok().filter(|minutes| *minutes <= 24 * 60).ok_or_else(|| SupervisorError::Variable {
                variable: KEEP_VARIABLE,
                expected: "a whole number of minutes, at most 1440",
                found: text.into_owned(),
            })?
        }
        None if has("CI") => 0,
        None => KEEP_MINUTES,
    };
    Ok(Duration::from_secs(minutes * 60))
}

fn has(variable: &str) -> bool {
    std::env::var_os(variable).is_some_and(|value| !value.is_empty())
}

/// The run that this process is a test of.
#[derive(Debug)]
struct TestRun {
    id: String,
    runner: Pid,
}

impl TestRun {
    /// The run whose server is to be shared, if there is one.
    fn from_env() -> Result<Option<Self>, SupervisorError> {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let Some(id) = variable(RUN_VARIABLE) else { return Ok(None) };
        let runner = match variable(RUNNER_VARIABLE) {
            Some(text) => {
                let text = text.to_string_lossy();
                let id = text.parse().ok().filter(|id| *id > 0).and_then(Pid::from_raw);
                Some(id.ok_or_else(|| SupervisorError::Variable {
                    variable: RUNNER_VARIABLE,
                    expected: "the id of a process",
                    found: text.into_owned(),
                })?)
            }
            // Not any parent: a test that nextest left behind belongs to a process that may never end.
            None => match rustix::process::getppid() {
                Some(parent) if is_nextest(parent) => Some(parent),
                // Nobody would end what we start when the run ends.
                Some(parent) if parent.is_init() => return Err(SupervisorError::Orphan),
                Some(_) | None => None,
            },
        };
        Ok(runner.map(|runner| Self { id: id.to_string_lossy().into_owned(), runner }))
    }

    /// Where the processes of the run meet that want the same server. The runner is part of the name: a run that a
    /// test starts is another run.
    fn meeting_point(&self, choice: &ServerChoice) -> PathBuf {
        let mut hash = Sha256::new();
        let user = rustix::process::geteuid().as_raw();
        hash.update(format!("{user} {} {}\0{}\0", self.runner, self.id, choice.reveal()));
        for variable in DECISIVE_VARIABLES {
            hash.update(std::env::var_os(variable).unwrap_or_default().as_encoded_bytes());
            hash.update([0]);
        }
        let name: String = hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        runtime_directory().join(format!("{SHARED_PREFIX}{name}"))
    }
}

/// Where sockets lie: short, private or open to all, and emptied when the machine starts.
fn runtime_directory() -> PathBuf {
    let parent = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let parent = parent.filter(|path| path.is_absolute() && path.is_dir()).unwrap_or_else(std::env::temp_dir);
    // The longest path of a socket that every system takes has 103 bytes.
    if parent.as_os_str().len() > 60 { PathBuf::from("/tmp") } else { parent }
}

fn user_directory() -> PathBuf {
    runtime_directory().join(format!("proofmark-user-{}", rustix::process::geteuid().as_raw()))
}

/// Whether the program that a process runs has such a name.
fn is_nextest(process: Pid) -> bool {
    let name = fs::read(format!("/proc/{process}/comm")).or_else(|_| {
        let mut ps = std::process::Command::new("ps");
        ps.args(["-p", &process.to_string(), "-o", "comm="])
            .stdin(Stdio::null())
            .output()
            .map(|output| output.stdout)
    });
    name.is_ok_and(|name| String::from_utf8_lossy(&name).contains("nextest"))
}

/// A supervisor that runs on this machine for the same user.
#[derive(Debug)]
pub struct Found {
    client: Client,
    /// What it says of itself.
    pub status: Status,
}

impl Found {
    /// The developer's own, which serves all runs until it is told to end.
    #[must_use]
    pub fn lasting() -> Option<Self> {
        let client = Client::attached(user_directory());
        let status = client.status().ok()?;
        Some(Self { client, status })
    }

    /// The developer's own, which is started unless it runs; and whether it was.
    ///
    /// # Errors
    /// When it has no server.
    pub fn start_lasting(choice: &ServerChoice) -> Result<(Self, bool), SupervisorError> {
        if let Some(found) = Self::lasting() {
            return Ok((found, false));
        }
        let client = Client::meet(user_directory(), choice, None, "the developer's server")?;
        let status = client.status()?;
        Ok((Self { client, status }, true))
    }

    /// All that there are, those of runs that are under way included.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let found = directories().into_iter().filter_map(|directory| {
            let client = Client::attached(directory);
            client.status().ok().map(|status| Self { client, status })
        });
        found.collect()
    }

    /// Ends it, and returns when nothing is left.
    ///
    /// # Errors
    /// When it is gone already, or something is left behind.
    pub fn end(&self) -> Result<(), crate::environment::EnvironmentError> {
        self.client.end(true)??;
        // Its directory goes last.
        let started = Instant::now();
        while self.client.directory.exists() && started.elapsed() < END_TIME_MAX {
            std::thread::sleep(LOCK_POLL_INTERVAL);
        }
        Ok(())
    }
}

/// Ends the supervisors of earlier runs that stay for kept databases alone, so that these never add up, and removes
/// directories whose owners were killed before anybody watched over them.
pub(super) fn sweep(except: &Path) {
    for directory in directories().into_iter().filter(|directory| directory != except) {
        let client = Client::attached(directory);
        match client.status() {
            Ok(status) if status.lingering => drop(client.end(true)),
            Ok(_) => {}
            Err(_) if is_stale(&client.directory) => drop(fs::remove_dir_all(&client.directory)),
            Err(_) => {}
        }
    }
}

/// Where supervisors of ours may listen.
fn directories() -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(runtime_directory()) else { return Vec::new() };
    let user = rustix::process::geteuid().as_raw();
    let found = entries.flatten().take(SWEPT_MAX).filter(|entry| {
        let is_one = entry.file_name().as_encoded_bytes().starts_with(OWN_PREFIX.as_bytes());
        let is_private = |found: fs::Metadata| found.is_dir() && found.uid() == user && found.mode() & 0o077 == 0;
        is_one && entry.metadata().is_ok_and(is_private)
    });
    found.map(|entry| entry.path()).collect()
}

/// Whether nobody can be at work in a directory.
fn is_stale(directory: &Path) -> bool {
    age::since_change(directory).is_some_and(|age| age > STALE_AFTER)
}

/// Makes the directory, or makes sure that it is ours alone.
fn enter(directory: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(directory) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        result => return result,
    }
    check_ours(directory)
}

fn check_ours(directory: &Path) -> io::Result<()> {
    let found = fs::symlink_metadata(directory)?;
    let ours = found.uid() == rustix::process::geteuid().as_raw();
    if found.is_dir() && ours && found.mode() & 0o077 == 0 {
        return Ok(());
    }
    Err(io::Error::other("expected a directory that belongs to us alone, found one that does not; remove it"))
}

/// Takes the lock, which ends with the file, and with the process. None if the directory went away meanwhile.
fn lock(directory: &Path) -> Result<Option<File>, SupervisorError> {
    let unusable = |source| SupervisorError::Directory { directory: directory.to_owned(), source };
    let path = directory.join("lock");
    let mut options = fs::OpenOptions::new();
    let file = match options.create(true).truncate(false).write(true).mode(0o600).open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(unusable)?,
    };
    let started = Instant::now();
    // Not the call that waits: it has no limit.
    while let Err(error) = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        if error != rustix::io::Errno::WOULDBLOCK && error != rustix::io::Errno::INTR {
            return Err(unusable(error.into()));
        }
        if started.elapsed() > START_TIME_MAX {
            return Err(SupervisorError::Busy { directory: directory.to_owned() });
        }
        // Whoever holds it may be done by now.
        if Channel::open(directory).is_ok() {
            return Ok(None);
        }
        std::thread::sleep(LOCK_POLL_INTERVAL);
    }
    let same = fs::metadata(&path).is_ok_and(|found| file.metadata().is_ok_and(|ours| ours.ino() == found.ino()));
    Ok(same.then_some(file))
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
    fn what_a_dead_owner_left_is_stale_whatever_the_clock_said_then() {
        let directory = tempfile::tempdir().unwrap();
        assert!(!is_stale(directory.path()));
        let now = std::time::SystemTime::now();
        for changed in [now - 2 * STALE_AFTER, now + 2 * STALE_AFTER] {
            File::open(directory.path()).unwrap().set_modified(changed).unwrap();
            assert!(is_stale(directory.path()));
        }
    }

    #[test]
    fn every_run_runner_and_choice_meets_elsewhere() {
        let at = |id: &str, runner| TestRun { id: id.to_owned(), runner: Pid::from_raw(runner).unwrap() };
        let point = at("a", 12).meeting_point(&ServerChoice::Auto);
        assert_eq!(point, at("a", 12).meeting_point(&ServerChoice::Auto));
        assert_ne!(point, at("b", 12).meeting_point(&ServerChoice::Auto));
        assert_ne!(point, at("a", 13).meeting_point(&ServerChoice::Auto));
        assert_ne!(point, at("a", 12).meeting_point(&ServerChoice::Local));
    }
}
