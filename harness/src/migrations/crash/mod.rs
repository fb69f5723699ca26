//! What is left when a migration does not get to its end, or is not the only one that runs.

mod explore;
mod interrupt;
mod runners;
mod server;
mod sessions;
mod state;

pub use explore::{Crash, Explored, Rerun, StepCrashes, explore};
pub use interrupt::Interrupted;
pub use runners::{Together, Trouble, run_together};
pub use server::{AfterServerCrash, crash_the_server};
pub use sessions::{Leak, LeakKind, Pooled, leaks, through_a_pooler};

use std::time::Duration;

use sqlx::postgres::PgConnection;
use tokio::time::Instant;

use super::observe::{document, roll_back, run};
use super::sandbox::{Refusal, SandboxError, Session};
use super::source::Script;

/// How long a session may take to end after it was told to.
const END_TIME_MAX: Duration = Duration::from_secs(10);

/// How often something is looked for that is about to happen.
const POLL_INTERVAL: Duration = Duration::from_millis(2);

/// The process of the server that a session has.
async fn process(session: &mut Session) -> Result<i64, SandboxError> {
    document(session.connection(), "SELECT pg_catalog.pg_backend_pid()::text", "ask for a session's process").await
}

/// Ends a session as a crash of its runner or a fail-over would, and waits until it is gone.
async fn kill(admin: &mut PgConnection, process: i64) -> Result<(), SandboxError> {
    run(admin, &format!("SELECT pg_catalog.pg_terminate_backend({process})")).await?;
    let query = format!("SELECT count(*)::text FROM pg_catalog.pg_stat_activity WHERE pid = {process}");
    let deadline = Instant::now() + END_TIME_MAX;
    loop {
        let left: i64 = document(admin, &query, "look for a session that was ended").await?;
        if left == 0 || Instant::now() >= deadline {
            return Ok(());
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// Runs the first statements of a script, without what its runner does at the end.
async fn run_part(session: &mut Session, script: &Script, count: usize) -> Result<Option<Refusal>, SandboxError> {
    if script.in_transaction {
        run(session.connection(), "BEGIN").await?;
    }
    run_statements(session, script, count).await
}

/// The same, within a transaction or outside of one.
async fn run_statements(
    session: &mut Session,
    script: &Script,
    count: usize,
) -> Result<Option<Refusal>, SandboxError> {
    for number in 0..count.min(script.statements.len()) {
        if let Some(refusal) = session.statement(script, number).await? {
            return Ok(Some(refusal));
        }
    }
    Ok(None)
}

/// Runs a script as its runner would; what was refused is rolled back.
async fn run_whole(session: &mut Session, script: &Script) -> Result<Option<Refusal>, SandboxError> {
    let mut refusal = run_part(session, script, usize::MAX).await?;
    if refusal.is_none() && script.in_transaction {
        refusal = run(session.connection(), "COMMIT").await?;
        if let Some(refusal) = &mut refusal {
            refusal.statement = script.statements.len().saturating_sub(1);
        }
    }
    if refusal.is_some() {
        roll_back(session.connection()).await;
    }
    Ok(refusal)
}

/// Ends a session in order.
async fn end(mut session: Session) {
    // The server has let go of everything when it answers; a session that is merely dropped may go on for a moment.
    let ended = async {
        let process = process(&mut session).await?;
        run(session.connection(), &format!("SELECT pg_catalog.pg_terminate_backend({process})")).await
    };
    let _: Result<_, SandboxError> = ended.await;
}
