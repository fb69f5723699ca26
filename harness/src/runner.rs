//! Runs planned cases: concurrently by batch, each with a time limit; a panic is an outcome, not a crash.

use std::any::Any;
use std::cell::RefCell;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Once};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::case::CaseError;
use crate::context::CaseContext;
use crate::environment::Environment;
use crate::event::{CaseRecord, LatencyRecord, Outcome, RunEvent};
use crate::suite::{Batch, PlannedCase};

/// The time that a case may take unless the caller says otherwise.
pub const CASE_TIME_LIMIT: Duration = Duration::from_secs(60);

/// How a run is carried out.
#[derive(Debug, Clone)]
pub struct Options {
    /// The seed of all generated data.
    pub seed: u64,
    /// The most cases at one time, in the batches that allow for more than one.
    pub concurrency: usize,
    /// The time that a case may take.
    pub time_limit: Duration,
}

/// Runs one case, whatever it does, and releases its databases.
pub async fn run_case(
    case: &PlannedCase,
    environment: &Arc<Environment>,
    options: &Options,
) -> (CaseRecord, Vec<LatencyRecord>) {
    capture_panics();
    let started = Instant::now();
    let context = CaseContext::new(case.id.clone(), options.seed, Arc::clone(environment));
    let mut outcome = match &case.skip {
        Some(reason) => Outcome::Skipped { reason: reason.clone() },
        None => {
            let run = AssertUnwindSafe(case.run(context.clone())).catch_unwind();
            match tokio::time::timeout(options.time_limit, run).await {
                Err(_) => Outcome::TimedOut { limit_ms: millis(options.time_limit) },
                Ok(Err(panic)) => Outcome::Panicked { message: panic_text(panic.as_ref()) },
                Ok(Ok(Ok(()))) => Outcome::Passed,
                Ok(Ok(Err(CaseError::Failed(failure)))) => {
                    Outcome::Failed { message: failure.message, detail: failure.detail }
                }
                Ok(Ok(Err(CaseError::Harness(message)))) => Outcome::Errored { message },
            }
        }
    };
    // A subject cannot be blamed for what it did without a server.
    if outcome.is_failure() && case.batch == Batch::Database && !environment.is_healthy().await {
        outcome = Outcome::Errored {
            message: format!("the database server is gone; the case ended with: {}", outcome.explanation()),
        };
    }
    let duration_ms = millis(started.elapsed());
    if let Err(error) = context.release().await
        && outcome == Outcome::Passed
    {
        outcome = Outcome::Errored { message: crate::error_chain(&error) };
    }
    let latencies = context.take_latencies();
    let record = CaseRecord {
        id: case.id.clone(),
        checks: case.checks.to_owned(),
        batch: case.batch,
        outcome,
        duration_ms,
    };
    (record, latencies)
}

/// Runs all cases and sends what happens to `events`, batch by batch; the batch of latencies one at a time.
///
/// When `stop` becomes true no further case begins, and those under way are given up: they and the rest are
/// reported as not run.
pub async fn run_all(
    cases: Vec<PlannedCase>,
    environment: &Arc<Environment>,
    options: &Options,
    events: &mpsc::UnboundedSender<RunEvent>,
    stop: watch::Receiver<bool>,
) {
    for batch in Batch::ALL {
        let concurrency = if batch == Batch::Latency { 1 } else { options.concurrency.max(1) };
        let mut waiting = cases.iter().filter(|case| case.batch == batch).cloned();
        let mut running = JoinSet::new();
        loop {
            while running.len() < concurrency
                && let Some(case) = waiting.next()
            {
                let environment = Arc::clone(environment);
                let options = options.clone();
                let events = events.clone();
                let stop = stop.clone();
                running.spawn(async move { run_and_tell(&case, &environment, &options, &events, stop).await });
            }
            if running.join_next().await.is_none() {
                break;
            }
        }
    }
}

/// Runs one case and sends what happens; a receiver that is gone is no reason to stop.
async fn run_and_tell(
    case: &PlannedCase,
    environment: &Arc<Environment>,
    options: &Options,
    events: &mpsc::UnboundedSender<RunEvent>,
    mut stop: watch::Receiver<bool>,
) {
    let tell = |event| {
        let _ = events.send(event);
    };
    if !*stop.borrow() {
        tell(RunEvent::CaseStarted(case.id.clone()));
        tokio::select! {
            (record, latencies) = run_case(case, environment, options) => {
                for latency in latencies {
                    tell(RunEvent::Measured(latency));
                }
                tell(RunEvent::CaseFinished(record));
                return;
            }
            // An error means that nobody can stop the run any more.
            Ok(_) = stop.wait_for(|stop| *stop) => {}
        }
    }
    tell(RunEvent::CaseFinished(CaseRecord {
        id: case.id.clone(),
        checks: case.checks.to_owned(),
        batch: case.batch,
        outcome: Outcome::Skipped { reason: "the run was interrupted".to_owned() },
        duration_ms: 0,
    }));
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

thread_local! {
    static LAST_PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Replaces the process's panic hook, once, by one that keeps the place for the case's outcome on threads of a
/// runtime, and prints as before on the main thread.
fn capture_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if std::thread::current().name() == Some("main") {
                previous(info);
            }
            if let Some(place) = info.location() {
                LAST_PANIC.with(|last| *last.borrow_mut() = Some(format!("{}:{}", place.file(), place.line())));
            }
        }));
    });
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let message = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    match LAST_PANIC.with(RefCell::take) {
        Some(place) => format!("expected no panic, found one at {place}: {message}"),
        None => format!("expected no panic, found one: {message}"),
    }
}
