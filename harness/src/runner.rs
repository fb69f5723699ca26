//! Runs planned cases: concurrently by batch, each with a time limit; a panic is an outcome, not a crash.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::{AbortHandle, abortable};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::{self, JoinSet};
use tokio::time::timeout;

use crate::case::CaseError;
use crate::context::CaseContext;
use crate::environment::Environment;
use crate::event::{CaseRecord, LatencyRecord, MigrationVerdict, Outcome, RunEvent, Signal};
use crate::panic::{catch, install_hook};
use crate::suite::{Batch, PlannedCase};

/// The time that a case may take unless the caller says otherwise.
pub const CASE_TIME_LIMIT: Duration = Duration::from_secs(60);

/// How long a case that exceeded its time limit may take to let go before its thread is left behind.
const GRACE: Duration = Duration::from_secs(1);

/// How long the environment may take to take a case's databases back, or to say that it is alive.
const ENVIRONMENT_LIMIT: Duration = Duration::from_secs(15);

/// The most text that one outcome is recorded with.
const TEXT_BYTES_MAX: usize = 64 * 1024;

/// How a run is carried out.
#[derive(Debug, Clone)]
pub struct Options {
    /// The seed of all generated data.
    pub seed: u64,
    /// The most cases at one time, in the batches that allow for more than one.
    pub concurrency: usize,
    /// The time that a case may take.
    pub time_limit: Duration,
    /// Whether the databases of a case that does not pass stay for a while.
    pub keep: bool,
}

/// What a case told besides how it ended.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Told {
    /// What it measured.
    pub latencies: Vec<LatencyRecord>,
    /// What a directory of migrations comes to, if it found that out.
    pub verdict: Option<MigrationVerdict>,
}

/// Runs one case, whatever it does, and releases its databases.
///
/// Must be called within a multi-threaded runtime. When the returned future is dropped the case is given up, and
/// its databases are left to the environment's shutdown.
pub async fn run_case(
    case: &PlannedCase,
    environment: &Arc<Environment>,
    options: &Options,
) -> (CaseRecord, Told) {
    if let Some(reason) = &case.skip {
        return (record(case, Outcome::Skipped { reason: reason.clone() }, Duration::ZERO), Told::default());
    }
    let started = Instant::now();
    let context = CaseContext::new(case.id.clone(), options.seed, Arc::clone(environment));
    let mut outcome = attempt(case, context.clone(), options.time_limit).await;
    let duration = started.elapsed();
    // A subject cannot be blamed for what it did without a server.
    if outcome.is_failure() && timeout(ENVIRONMENT_LIMIT, context.lost_its_server()).await.unwrap_or(true) {
        outcome = Outcome::Errored {
            message: format!("the database server was lost; the case ended with: {}", outcome.explanation()),
        };
    }
    let mut known = None;
    if let Some(listed) = &case.known {
        (outcome, known) = listed.judge(outcome);
    }
    let is_of_interest = outcome != Outcome::Passed && known.is_none();
    let kept = if options.keep && is_of_interest { context.keep() } else { Vec::new() };
    let _ = timeout(ENVIRONMENT_LIMIT, context.release()).await;
    let findings = context.take_findings();
    let told = Told { latencies: context.take_latencies(), verdict: context.take_verdict() };
    (CaseRecord { kept, findings, known, ..record(case, outcome, duration) }, told)
}

/// Runs the case on a thread of its own: one that computes without ever yielding still has a time limit, and
/// does not keep others from running.
async fn attempt(case: &PlannedCase, context: CaseContext, limit: Duration) -> Outcome {
    install_hook();
    let case = case.clone();
    let (run, abort) = abortable(async move { case.run(context).await });
    let given_up = AbortOnDrop(abort);
    let runtime = Handle::current();
    let mut thread = task::spawn_blocking(move || catch(|| runtime.block_on(run)));
    let Ok(ended) = timeout(limit, &mut thread).await else {
        drop(given_up);
        let _ = timeout(GRACE, thread).await;
        return Outcome::TimedOut { limit_ms: millis(limit) };
    };
    let result = match ended {
        Ok(Ok(Ok(result))) => result,
        Ok(Ok(Err(aborted))) => return Outcome::Errored { message: aborted.to_string() },
        Ok(Err(panic)) => return Outcome::Panicked { message: limited(panic.to_string()) },
        Err(died) => return Outcome::Errored { message: format!("the case's thread died: {died}") },
    };
    match result {
        Ok(()) => Outcome::Passed,
        Err(CaseError::Failed(failure)) => {
            Outcome::Failed { message: limited(failure.message), detail: failure.detail.map(limited) }
        }
        Err(CaseError::Harness(message)) => Outcome::Errored { message: limited(message) },
    }
}

/// Cancels a case at its next point of suspension.
struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Runs all cases and sends what happens to `events`, batch by batch; the batch of latencies one at a time.
///
/// When `stop` holds a signal no further case begins, and those under way are given up: they and the rest are
/// reported as not run. Every case is reported exactly once.
pub async fn run_all(
    cases: &[PlannedCase],
    environment: &Arc<Environment>,
    options: &Options,
    events: &mpsc::UnboundedSender<RunEvent>,
    stop: &watch::Receiver<Option<Signal>>,
) {
    for batch in Batch::ALL {
        let concurrency = if batch == Batch::Latency { 1 } else { options.concurrency.max(1) };
        let mut waiting = cases.iter().filter(|case| case.batch == batch);
        let mut running = JoinSet::new();
        let mut begun = HashMap::new();
        loop {
            while running.len() < concurrency
                && let Some(case) = waiting.next()
            {
                let task = run_and_tell(
                    case.clone(),
                    Arc::clone(environment),
                    options.clone(),
                    events.clone(),
                    stop.clone(),
                );
                begun.insert(running.spawn(task).id(), case);
            }
            match running.join_next_with_id().await {
                None => break,
                Some(Ok(_)) => {}
                Some(Err(died)) => {
                    if let Some(case) = begun.get(&died.id()) {
                        let message = format!("the task that ran the case died: {died}");
                        tell(
                            events,
                            RunEvent::CaseFinished(record(case, Outcome::Errored { message }, Duration::ZERO)),
                        );
                    }
                }
            }
        }
    }
}

/// Runs one case and sends what happens.
async fn run_and_tell(
    case: PlannedCase,
    environment: Arc<Environment>,
    options: Options,
    events: mpsc::UnboundedSender<RunEvent>,
    mut stop: watch::Receiver<Option<Signal>>,
) {
    let interrupted = stop.borrow().is_some();
    if !interrupted {
        if case.skip.is_none() {
            tell(&events, RunEvent::CaseStarted(case.id.clone()));
        }
        tokio::select! {
            (record, told) = run_case(&case, &environment, &options) => {
                for latency in told.latencies {
                    tell(&events, RunEvent::Measured(latency));
                }
                if let Some(verdict) = told.verdict {
                    tell(&events, RunEvent::Verdict(verdict));
                }
                tell(&events, RunEvent::CaseFinished(record));
                return;
            }
            () = stopped(&mut stop) => {}
        }
    }
    let reason = case.skip.clone().unwrap_or_else(|| "the run was interrupted".to_owned());
    tell(&events, RunEvent::CaseFinished(record(&case, Outcome::Skipped { reason }, Duration::ZERO)));
}

/// Waits until the run is to stop; for ever when nobody can stop it any more.
pub async fn stopped(stop: &mut watch::Receiver<Option<Signal>>) {
    if stop.wait_for(Option::is_some).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Sends an event; a receiver that is gone is no reason to stop.
fn tell(events: &mpsc::UnboundedSender<RunEvent>, event: RunEvent) {
    let _ = events.send(event);
}

fn record(case: &PlannedCase, outcome: Outcome, duration: Duration) -> CaseRecord {
    CaseRecord {
        id: case.id.clone(),
        checks: case.checks.to_owned(),
        batch: case.batch,
        outcome,
        known: None,
        duration_ms: millis(duration),
        kept: Vec::new(),
        findings: Vec::new(),
    }
}

/// Cuts a text that is too long to be read, and takes passwords out of the URLs in it.
fn limited(text: String) -> String {
    let mut text = crate::redact::passwords(&text).into_owned();
    if text.len() > TEXT_BYTES_MAX {
        let end = text.floor_char_boundary(TEXT_BYTES_MAX);
        let rest = text.len() - end;
        text.truncate(end);
        text.push_str(&format!("... ({rest} more bytes)"));
    }
    text
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
