//! Cases as tests of another runner: one process may run one case or all of them, on threads that are not ours.

use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use crate::environment::Environment;
use crate::event::{Outcome, RUN_COMMAND};
use crate::report;
use crate::runner::{CASE_TIME_LIMIT, Options, run_case};
use crate::server::ServerChoice;
use crate::suite::{Batch, CaseId, PlannedCase};

/// The variable that names the seed.
pub const SEED_VARIABLE: &str = "PROOFMARK_SEED";

/// The seed unless the variable says otherwise: tests are the same every time, where `proofmark run` is meant to
/// find something new.
pub const DEFAULT_SEED: u64 = 20_240_229;

/// How long a process may take to clean up behind its last case.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(60);

/// What the cases of one process share: a runtime and an environment, made when the first case runs, so that
/// listing the cases costs nothing.
#[derive(Debug)]
pub struct SharedSession {
    options: Options,
    started: OnceLock<Result<Started, String>>,
    /// Held for writing by a case that measures time, so that nothing runs beside it.
    quiet: RwLock<()>,
    /// Whether the cases are those of `proofmark run` as well.
    has_command: bool,
}

#[derive(Debug)]
struct Started {
    runtime: Runtime,
    environment: Arc<Environment>,
}

impl SharedSession {
    /// A session with the seed from [`SEED_VARIABLE`], or [`DEFAULT_SEED`].
    ///
    /// # Errors
    /// When the variable does not hold a seed; the text says so.
    pub fn from_env() -> Result<Self, String> {
        let seed = match std::env::var(SEED_VARIABLE) {
            Err(_) => DEFAULT_SEED,
            Ok(text) => text
                .parse()
                .map_err(|_| format!("in {SEED_VARIABLE}: expected a whole number below 2^64, found {text:?}"))?,
        };
        let options = Options { seed, concurrency: 1, time_limit: CASE_TIME_LIMIT, keep: true };
        Ok(Self { options, started: OnceLock::new(), quiet: RwLock::new(()), has_command: true })
    }

    /// The same for cases that only these tests have: nobody is told to repeat them with `proofmark run`.
    #[must_use]
    pub fn of_tests_alone(self) -> Self {
        Self { has_command: false, ..self }
    }

    /// Runs one case to its end on the calling thread.
    ///
    /// # Errors
    /// Whenever the case did not pass, also because it cannot run here; the text says why, and how to repeat it.
    pub fn run(&self, case: &PlannedCase) -> Result<(), String> {
        let started = self.started.get_or_init(Started::new).as_ref().map_err(Clone::clone)?;
        let run = || started.runtime.block_on(run_case(case, &started.environment, &self.options));
        let (record, _) = if case.batch == Batch::Latency {
            let _alone = self.quiet.write().unwrap_or_else(PoisonError::into_inner);
            run()
        } else {
            let _beside_others = self.quiet.read().unwrap_or_else(PoisonError::into_inner);
            run()
        };
        match record.outcome {
            Outcome::Passed => Ok(()),
            // It ran and failed as it is known to; that it is listed for good reason is what the test shows.
            _ if record.known.is_some() => Ok(()),
            Outcome::Skipped { reason } => Err(format!("not run: {reason}")),
            outcome => Err(format!(
                "{}: {}\n\n{}{}",
                outcome.word(),
                outcome.explanation(),
                self.rerun_commands(&record.id).join("\n"),
                record.kept.iter().map(|open| format!("\nits database: {open}")).collect::<String>(),
            )),
        }
    }

    /// The commands that repeat a case.
    fn rerun_commands(&self, id: &CaseId) -> Vec<String> {
        let mut commands = report::rerun_commands(RUN_COMMAND, id, self.options.seed);
        if !self.has_command {
            commands.retain(|command| !command.starts_with(RUN_COMMAND));
        }
        commands
    }

    /// Stops the server, if one was started, and removes what it left.
    ///
    /// # Errors
    /// When something may be left behind; the text says what.
    pub fn shutdown(mut self) -> Result<(), String> {
        let Some(Ok(started)) = self.started.take() else { return Ok(()) };
        let result =
            started.runtime.block_on(async { timeout(SHUTDOWN_LIMIT, started.environment.shutdown()).await });
        // A case that never ended must not keep the process from ending.
        started.runtime.shutdown_background();
        match result {
            Ok(result) => result.map_err(|error| crate::error_chain(&error)),
            Err(_) => Err(format!("expected the environment to shut down within {SHUTDOWN_LIMIT:?}")),
        }
    }
}

impl Started {
    fn new() -> Result<Self, String> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(|error| format!("failed to start the runtime: {error}"))?;
        Ok(Self { runtime, environment: Arc::new(Environment::shared(ServerChoice::Auto)) })
    }
}
