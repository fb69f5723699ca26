//! One run from its first event to its last: the one place where plan, environment and runner come together.

use std::fs;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use crate::environment::{Environment, EnvironmentError};
use crate::event::{MachineRecord, RunEvent, RunFooter, RunHeader, Signal};
use crate::runner::{self, Options};
use crate::server::ServerChoice;
use crate::suite::{Batch, PlannedCase};

/// How long the environment may take to shut down.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(60);

/// What a run consists of.
#[derive(Debug)]
pub struct Session {
    /// The command that repeats it, without the selection and the seed.
    pub command: String,
    /// The directory that the subject's files were read from, if it was one.
    pub directory: Option<String>,
    /// The cases; those that will not run are reported as such.
    pub cases: Vec<PlannedCase>,
    /// Where the database server comes from.
    pub server: ServerChoice,
    /// How the cases are run.
    pub options: Options,
}

/// A run whose environment is broken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The server that cases need could not be had; no case was run.
    #[error("no case was run, for want of a database server")]
    Start(#[source] EnvironmentError),
    /// All was run, but something may be left behind.
    #[error("failed to shut the environment down")]
    Shutdown(#[source] EnvironmentError),
    /// All was run, but something may be left behind.
    #[error("expected the environment to shut down within {0:?}; a server or databases may be left behind")]
    ShutdownLimit(Duration),
}

impl Session {
    /// Runs the cases and sends what happens to `events`, from `Started` to `Finished`. The server is started
    /// first when a case will need it; whatever happens, the environment is shut down before this returns.
    ///
    /// # Errors
    /// When the server does not start, or the environment does not shut down.
    pub async fn run(
        &self,
        events: mpsc::UnboundedSender<RunEvent>,
        stop: watch::Receiver<Option<Signal>>,
    ) -> Result<(), SessionError> {
        let started = Instant::now();
        // A receiver that is gone is no reason to stop.
        let tell = |event| drop(events.send(event));
        tell(RunEvent::Started(self.header()));
        let environment = Arc::new(Environment::new(self.server.clone()));
        let ready = if self.needs_server() { start(&environment, stop.clone()).await } else { Ok(None) };
        let ran = match ready {
            Ok(server) => {
                server.into_iter().for_each(tell);
                runner::run_all(&self.cases, &environment, &self.options, &events, &stop).await;
                Ok(())
            }
            Err(error) => Err(SessionError::Start(error)),
        };
        let shut_down = match timeout(SHUTDOWN_LIMIT, environment.shutdown()).await {
            Ok(result) => result.map_err(SessionError::Shutdown),
            Err(_) => Err(SessionError::ShutdownLimit(SHUTDOWN_LIMIT)),
        };
        tell(RunEvent::Finished(RunFooter {
            duration_ms: runner::millis(started.elapsed()),
            interrupted: *stop.borrow(),
        }));
        ran.and(shut_down)
    }

    /// What is known before anything has run.
    #[must_use]
    pub fn header(&self) -> RunHeader {
        RunHeader {
            proofmark_version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: chrono::Utc::now(),
            command: self.command.clone(),
            directory: self.directory.clone(),
            seed: self.options.seed,
            planned: self.cases.len(),
            machine: machine(),
        }
    }

    /// Whether a case will need a database server.
    #[must_use]
    pub fn needs_server(&self) -> bool {
        self.cases.iter().any(|case| case.batch == Batch::Database && case.skip.is_none())
    }
}

/// Starts the server unless the run is stopped first.
async fn start(
    environment: &Environment,
    mut stop: watch::Receiver<Option<Signal>>,
) -> Result<Option<RunEvent>, EnvironmentError> {
    tokio::select! {
        server = environment.start() => server.map(|server| Some(RunEvent::ServerReady(server.clone()))),
        () = runner::stopped(&mut stop) => Ok(None),
    }
}

/// The machine that this process runs on.
fn machine() -> MachineRecord {
    let processor = fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    });
    MachineRecord {
        platform: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        processor: processor.unwrap_or_else(|| "unknown processor".to_owned()),
        parallelism: thread::available_parallelism().map_or(1, usize::from),
    }
}
