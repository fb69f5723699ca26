//! Owns the server and the databases of a run, in a process of its own.
//!
//! A test process is too short-lived to own a server, and what a test does when it ends, or is killed, is not to be
//! relied upon. So whoever needs a database first starts a supervisor. A lease is a connection to it: when the
//! connection ends, for whatever reason, the database comes back. The supervisor itself lives as long as the process
//! that it was told to follow, which the kernel tells the end of, and should it be killed, shells and guardians that
//! hold a pipe to it remove what it had.

pub(crate) mod client;
pub(crate) mod follow;
mod pool;
pub(crate) mod protocol;
mod recycle;

pub use client::{Found, KEEP_VARIABLE, RUNNER_VARIABLE, SHARE_VARIABLE, SupervisorError};

use std::collections::{HashMap, VecDeque};
use std::io::{BufRead as _, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, RwLock, mpsc, oneshot};

use crate::event::ServerRecord;
use crate::migration_set::MigrationSet;
use crate::server::guardian::{Guardian, Job};
use crate::server::{
    Admin, OWN_PREFIX, SHARED_PREFIX, Server, ServerAddress, ServerChoice, ServerError, Watchdog,
};
use pool::{Pool, Slot};
pub(crate) use protocol::Refusal;
use protocol::{Config, Greeting, Lease, Reply, Request, Wanted};
pub use protocol::{Kept, Status};
pub(crate) use recycle::Identity;

/// The most servers of one run: one that is lost is replaced, but not for ever.
const SERVERS_MAX: u64 = 10;

/// The most databases of failed cases that are kept.
const KEPT_MAX: usize = 3;

/// The most migration sets of one run.
const MIGRATION_SETS_MAX: usize = 10_000;

/// How long the last reply may take to be read.
const FAREWELL_TIME_MAX: Duration = Duration::from_millis(500);

/// Where a supervisor listens in its directory.
pub(crate) fn socket_path(directory: &Path) -> PathBuf {
    directory.join("supervisor")
}

/// The supervisor's program; returns its exit code.
pub(crate) fn main() -> i32 {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return 1 };
    let code = match runtime.block_on(run()) {
        Ok(()) => 0,
        Err(_) => 1,
    };
    // What still waits for a server that does not answer, or makes files for one that is not wanted any more, must not
    // keep us: what it leaves, the shells and guardians remove.
    runtime.shutdown_background();
    code
}

async fn run() -> std::io::Result<()> {
    let mut line = Vec::new();
    std::io::stdin().lock().take(protocol::LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
    let config: Config = protocol::parse(&line)?;
    // A signal that is received is one that does not end us: the terminal's are not meant for us, and a client that
    // is gone is no reason to go.
    let (mut hangup, mut broken_pipe) = (signal(SignalKind::hangup())?, signal(SignalKind::pipe())?);
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let watchdog = Watchdog::start(&config.directory)?;
    let beside = config.directory.clone();
    let _ = std::thread::Builder::new().name("sweep".to_owned()).spawn(move || client::sweep(&beside));
    let followed = config.followed;
    let ended = async move {
        match followed {
            Some(followed) => followed.ended().await,
            None => std::future::pending().await,
        }
    };
    let told_to_end = async move {
        loop {
            tokio::select! {
                _ = hangup.recv() => {}
                _ = broken_pipe.recv() => {}
                _ = interrupt.recv() => break,
                _ = terminate.recv() => break,
            }
        }
    };
    tokio::pin!(ended, told_to_end);
    let result = tokio::select! {
        started = start(config) => match started {
            Ok((supervisor, listener, requests)) => {
                greet(&Greeting::Ready { server: supervisor.record.clone(), supervisor: std::process::id() });
                serve(supervisor, listener, requests, &mut ended, &mut told_to_end).await;
                Ok(())
            }
            Err((message, usage)) => {
                greet(&Greeting::Failed { message, usage });
                Err(std::io::Error::other("no server"))
            }
        },
        () = &mut ended => Ok(()),
        () = &mut told_to_end => Ok(()),
    };
    // It removes our directory.
    drop(watchdog);
    result
}

/// Tells the process that started us; should it be gone, others may come.
fn greet(greeting: &Greeting) {
    if let Ok(line) = protocol::line(greeting) {
        let mut output = std::io::stdout().lock();
        let _ = output.write_all(&line).and_then(|()| output.flush());
    }
}

/// A server with its databases.
#[derive(Debug)]
struct Running {
    /// How many servers there were before.
    number: u64,
    /// None once it was stopped.
    server: Mutex<Option<Server>>,
    ours: bool,
    address: ServerAddress,
    record: ServerRecord,
    pool: Arc<Pool>,
    /// Drops our databases on a server that is not ours, should we be killed.
    guardian: Mutex<Option<Guardian>>,
}

impl Running {
    async fn start(config: &Config, number: u64) -> Result<Self, ServerError> {
        let choice: ServerChoice = config.server.parse().map_err(ServerError::Choice)?;
        let prefix = if config.shared { SHARED_PREFIX } else { OWN_PREFIX };
        let (server, mut record) = Server::start_as(&choice, prefix).await?;
        if config.shared {
            record.origin = format!("{}; {}", record.origin, config.purpose);
        }
        let admin = Admin::new(&server);
        let address = server.address();
        let guardian = match &address {
            ServerAddress::Url(url) => {
                let job = Job::Databases { url: url.reveal().to_string(), prefix: admin.prefix().to_owned() };
                Some(Guardian::start(&job).map_err(ServerError::Guardian)?)
            }
            _ => None,
        };
        Ok(Self {
            number,
            ours: server.is_ours(),
            address,
            guardian: Mutex::new(guardian),
            server: Mutex::new(Some(server)),
            record,
            pool: Arc::new(Pool::new(admin)),
        })
    }

    /// Whether its process is known to be gone. Its sessions may go on for a moment, and must not be handed out.
    fn has_ended(&self) -> bool {
        lock(&self.server).as_mut().is_some_and(Server::has_ended)
    }

    async fn stop(&self) -> Result<(), ServerError> {
        self.pool.admin.close().await;
        let server = lock(&self.server).take();
        match server {
            Some(server) => server.stop().await,
            None => Ok(()),
        }
    }
}

/// The end of a run that a client asked for, and where to tell that it is over.
type Ending = oneshot::Sender<Result<(), Refusal>>;

/// A database that is kept, and where it is.
#[derive(Debug)]
struct KeptSlot {
    kept: Kept,
    running: Arc<Running>,
    slot: Slot,
}

#[derive(Debug)]
struct Supervisor {
    config: Config,
    record: ServerRecord,
    running: RwLock<Arc<Running>>,
    migrations: Mutex<HashMap<String, Arc<MigrationSet>>>,
    leased: AtomicUsize,
    kept: Mutex<VecDeque<KeptSlot>>,
    lingering: AtomicBool,
    /// Told when nothing but the kept databases is a reason to stay.
    retired: Notify,
    ending: mpsc::Sender<Ending>,
}

type Started = (Arc<Supervisor>, UnixListener, mpsc::Receiver<Ending>);

async fn start(config: Config) -> Result<Started, (String, bool)> {
    let failed = |error: ServerError| (crate::error_chain(&error), error.is_usage());
    let running = Running::start(&config, 0).await.map_err(failed)?;
    let listener = UnixListener::bind(socket_path(&config.directory)).map_err(|error| {
        (format!("expected a socket in {}, found none: {error}", config.directory.display()), false)
    })?;
    let (ending, requests) = mpsc::channel(8);
    let supervisor = Supervisor {
        record: running.record.clone(),
        config,
        running: RwLock::new(Arc::new(running)),
        migrations: Mutex::default(),
        leased: AtomicUsize::new(0),
        kept: Mutex::default(),
        lingering: AtomicBool::new(false),
        retired: Notify::new(),
        ending,
    };
    Ok((Arc::new(supervisor), listener, requests))
}

async fn serve(
    supervisor: Arc<Supervisor>,
    listener: UnixListener,
    mut requests: mpsc::Receiver<Ending>,
    ended: &mut (impl Future<Output = ()> + Unpin),
    told_to_end: &mut (impl Future<Output = ()> + Unpin),
) {
    let mut linger = None;
    let ending = loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(tokio::spawn(Arc::clone(&supervisor).converse(stream))),
                // Too many files are open: some will be closed.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            ending = requests.recv() => break ending,
            () = &mut *told_to_end => break None,
            () = async { tokio::select! { () = &mut *ended => {}, () = supervisor.retired.notified() => {} } },
                if linger.is_none() =>
            {
                if !supervisor.has_kept() {
                    break None;
                }
                supervisor.lingering.store(true, Ordering::Relaxed);
                linger = Some(Box::pin(tokio::time::sleep(supervisor.config.keep)));
            },
            () = async { match &mut linger { Some(linger) => linger.await, None => std::future::pending().await } } => {
                break None;
            },
        }
    };
    // Nobody finds us any more.
    drop(listener);
    let _ = std::fs::remove_file(socket_path(&supervisor.config.directory));
    let result = supervisor.end().await;
    if let Some(ending) = ending {
        let _ = ending.send(result);
        // Until the reply was written.
        let _ = tokio::time::timeout(FAREWELL_TIME_MAX, requests.recv()).await;
    }
}

impl Supervisor {
    /// Answers one client, whose lease ends with the conversation.
    async fn converse(self: Arc<Self>, stream: UnixStream) {
        let (input, mut output) = stream.into_split();
        let mut input = BufReader::new(input);
        let mut lease = None;
        let mut line = Vec::new();
        loop {
            line.clear();
            match (&mut input).take(protocol::LINE_BYTES_MAX).read_until(b'\n', &mut line).await {
                Ok(read) if read > 0 => {}
                Ok(_) | Err(_) => break,
            }
            let reply = match protocol::parse(&line) {
                Ok(request) => self.answer(request, &mut lease).await,
                Err(error) => Reply::Refused(Refusal::Server {
                    message: format!("expected a request of this version of proofmark, found another: {error}"),
                }),
            };
            let Ok(line) = protocol::line(&reply) else { break };
            if output.write_all(&line).await.is_err() {
                break;
            }
        }
        if let Some((running, slot)) = lease {
            self.leased.fetch_sub(1, Ordering::Relaxed);
            running.pool.give_back(slot).await;
        }
    }

    async fn answer(&self, request: Request, lease: &mut Option<(Arc<Running>, Slot)>) -> Reply {
        match request {
            Request::Lease(wanted) => self.lease(wanted, lease).await,
            Request::Migrations(set, wanted) => {
                self.learn(set);
                self.lease(wanted, lease).await
            }
            Request::Keep { case } => Reply::Kept(self.keep(case, lease)),
            Request::Health => {
                let running = Arc::clone(&*self.running.read().await);
                Reply::Health(running.pool.admin.is_healthy().await.then_some(running.number))
            }
            Request::Status => Reply::Status(self.status().await),
            Request::Shutdown { even_if_kept: false } if self.has_kept() => {
                self.retired.notify_one();
                Reply::Stays
            }
            Request::Shutdown { .. } => {
                let (sender, receiver) = oneshot::channel();
                if self.ending.send(sender).await.is_err() {
                    return Reply::Done;
                }
                match receiver.await {
                    Ok(Err(refusal)) => Reply::Refused(refusal),
                    Ok(Ok(())) | Err(_) => Reply::Done,
                }
            }
        }
    }

    fn learn(&self, set: MigrationSet) {
        let mut known = lock(&self.migrations);
        if known.len() >= MIGRATION_SETS_MAX {
            known.clear();
        }
        known.insert(set.digest(), Arc::new(set));
    }

    async fn lease(&self, wanted: Wanted, lease: &mut Option<(Arc<Running>, Slot)>) -> Reply {
        let known = wanted.migrations.as_ref().map(|digest| lock(&self.migrations).get(digest).cloned());
        let migrations = match known {
            None => None,
            Some(None) => return Reply::UnknownMigrations,
            Some(known) => known,
        };
        let mut running = Arc::clone(&*self.running.read().await);
        let slot = loop {
            let taken = if running.has_ended() {
                Err(Refusal::Server { message: "expected the server to run, found that it has ended".to_owned() })
            } else {
                running.pool.take(&wanted, migrations.as_deref()).await
            };
            match taken {
                Ok(slot) => break slot,
                Err(refusal) => match self.replace(&running).await {
                    Ok(Some(replacement)) => running = replacement,
                    Ok(None) => return Reply::Refused(refusal),
                    Err(refusal) => return Reply::Refused(refusal),
                },
            }
        };
        let reply = Lease {
            database: slot.name.clone(),
            url: running.address.url(&slot.name),
            socket: running.address.socket(),
            server: running.number,
        };
        match lease.replace((running, slot)) {
            Some((running, slot)) => running.pool.give_back(slot).await,
            None => drop(self.leased.fetch_add(1, Ordering::Relaxed)),
        }
        Reply::Leased(reply)
    }

    /// Another server in place of one of our own that was lost; none if it was not lost.
    async fn replace(&self, lost: &Running) -> Result<Option<Arc<Running>>, Refusal> {
        if lost.pool.admin.is_healthy().await {
            return Ok(None);
        }
        let mut running = self.running.write().await;
        if running.number != lost.number {
            return Ok(Some(Arc::clone(&running)));
        }
        if !lost.ours {
            return Ok(None);
        }
        let number = lost.number + 1;
        if number >= SERVERS_MAX {
            let message =
                format!("expected a server that stays, found {SERVERS_MAX} that were lost one after another");
            return Err(Refusal::Server { message });
        }
        tracing::warn!(number, "the server was lost and is replaced");
        let _ = lost.stop().await;
        let started = Running::start(&self.config, number).await;
        let started = started.map_err(|error| Refusal::Server { message: crate::error_chain(&error) })?;
        *running = Arc::new(started);
        Ok(Some(Arc::clone(&running)))
    }

    fn has_kept(&self) -> bool {
        !lock(&self.kept).is_empty() && !self.config.keep.is_zero()
    }

    /// Takes the leased database out of circulation. How to look at it, if it will be there to be looked at.
    fn keep(&self, case: String, lease: &mut Option<(Arc<Running>, Slot)>) -> Option<String> {
        if self.config.keep.is_zero() && self.config.followed.is_some() {
            return None;
        }
        let mut all = lock(&self.kept);
        // Where there is no end, the oldest makes room; in a run, the first to fail are those to look at.
        if all.len() >= KEPT_MAX && self.config.followed.is_some() {
            return None;
        }
        let (running, slot) = lease.take()?;
        while all.len() >= KEPT_MAX
            && let Some(oldest) = all.pop_front()
        {
            tokio::spawn(async move { oldest.running.pool.discard(oldest.slot).await });
        }
        running.pool.give_up();
        self.leased.fetch_sub(1, Ordering::Relaxed);
        let open = match running.address.socket() {
            Some(socket) => format!(
                "psql -h {} -p {} -U {} {}",
                socket.directory.display(),
                socket.port,
                socket.user,
                slot.name
            ),
            None => format!("psql '{}'", running.address.url(&slot.name)),
        };
        all.push_back(KeptSlot { kept: Kept { case, open: open.clone() }, running, slot });
        Some(open)
    }

    async fn status(&self) -> Status {
        let mut running = Arc::clone(&*self.running.read().await);
        if let Ok(Some(replacement)) = self.replace(&running).await {
            running = replacement;
        }
        Status {
            supervisor: std::process::id(),
            purpose: self.config.purpose.clone(),
            server: running.record.clone(),
            url: running.address.url("postgres"),
            templates: running.pool.templates(),
            idle: running.pool.idle(),
            leased: self.leased.load(Ordering::Relaxed),
            recycled: running.pool.recycled.load(Ordering::Relaxed),
            cloned: running.pool.cloned.load(Ordering::Relaxed),
            kept: lock(&self.kept).iter().map(|slot| slot.kept.clone()).collect(),
            lasting: self.config.followed.is_none(),
            lingering: self.lingering.load(Ordering::Relaxed),
        }
    }

    /// Removes all that was made.
    async fn end(&self) -> Result<(), Refusal> {
        let running = self.running.read().await;
        // The databases of a server of our own go away with it.
        let dropped = if running.ours { Ok(()) } else { running.pool.admin.drop_all().await };
        if let Some(guardian) = lock(&running.guardian).take() {
            // What could not be dropped it tries again.
            if dropped.is_ok() {
                let _ = guardian.release();
            }
        }
        let stopped = running.stop().await;
        stopped.map_err(|error| Refusal::Server { message: crate::error_chain(&error) })?;
        dropped
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
