//! Several runners of one project at once, as when all replicas of a service migrate when they start.
//!
//! A runner is a plain one: it takes an advisory lock for its session, as every widespread migrator does, applies what
//! the history does not have, a transaction for each migration with its entry, and gives the lock back. Runners that
//! take no lock are none of the project's business: whatever the migrations are, two of them get in each other's way.
//! What migrations can do wrong is to undo what protects them: to let go of the lock, to end the sessions of others, or
//! to wait for transactions that wait for the lock. The last depends on how runners wait: sqlx's and golang-migrate's do
//! so within a statement, which `CREATE INDEX CONCURRENTLY` waits for in turn; others ask again and again.

use std::time::Duration;

use sqlx::Connection as _;
use tokio::time::{Instant, timeout};

use super::{END_TIME_MAX, POLL_INTERVAL, run_part};
use crate::environment::Environment;
use crate::migrations::Settings;
use crate::migrations::observe::{document, run, sandbox};
use crate::migrations::sandbox::{Refusal, SandboxError, Session};
use crate::migrations::source::{Layout, Project};

/// How long all runners may take together.
const TIME_MAX: Duration = Duration::from_secs(100);

/// How often a runner asks for the lock that does not wait for it.
const ASK_INTERVAL: Duration = Duration::from_millis(20);

/// The lock.
const LOCK: i64 = 0x50_72_6f_6f_66;

const HISTORY: &str = "
    CREATE SCHEMA IF NOT EXISTS _proofmark_runner;
    CREATE TABLE IF NOT EXISTS _proofmark_runner.history (file text PRIMARY KEY)";

/// How several runners ended.
#[derive(Debug, Clone, Default)]
pub struct Together {
    /// Those that did not end well.
    pub troubles: Vec<(Option<usize>, Trouble)>,
    /// How many migrations each of the others applied.
    pub applied: Vec<usize>,
}

/// Why a runner did not end well.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Trouble {
    /// The server refused a migration that it does not refuse a single runner.
    Refused(Refusal),
    /// The runner had to find that it has lost its lock.
    LockLost,
    /// It did not end in time.
    Hangs,
}

/// How the runners of a project wait for the lock.
fn waits_in_a_statement(layout: Layout) -> bool {
    matches!(layout, Layout::Sqlx | Layout::GolangMigrate)
}

/// Lets some runners loose. The first has the lock before the others ask for it, so that it does not depend on time
/// who meets whom.
///
/// # Errors
/// When the environment is broken.
pub async fn run_together(
    environment: &Environment,
    project: &Project,
    settings: &Settings,
    refusals: &[Option<Refusal>],
    count: usize,
) -> Result<Together, SandboxError> {
    let sandbox = sandbox(environment, settings).await?;
    let mut admin = sandbox.admin().await?;
    run(&mut admin, &format!("{HISTORY}; GRANT ALL ON SCHEMA _proofmark_runner TO {}", sandbox.role())).await?;
    run(&mut admin, &format!("GRANT ALL ON _proofmark_runner.history TO {}", sandbox.role())).await?;
    let waits = waits_in_a_statement(project.layout);
    let mut first = sandbox.session().await?;
    run(first.connection(), &format!("SELECT pg_catalog.pg_advisory_lock({LOCK})")).await?;
    let mut sessions = Vec::new();
    for _ in 1..count {
        sessions.push(sandbox.session().await?);
    }
    let others = sessions.into_iter().map(|session| follower(session, project, refusals, waits));
    let leader = async {
        if waits {
            wait_for_followers(&mut admin, count - 1).await?;
        }
        leader(first, project, refusals).await
    };
    let all = async { tokio::join!(leader, futures_util::future::join_all(others)) };
    let mut together = Together::default();
    match timeout(TIME_MAX, all).await {
        Ok((leader, others)) => {
            for outcome in std::iter::once(leader).chain(others) {
                match outcome? {
                    Ok(applied) => together.applied.push(applied),
                    Err(trouble) => together.troubles.push(trouble),
                }
            }
        }
        Err(_) => together.troubles.push((None, Trouble::Hangs)),
    }
    let _ = admin.close().await;
    Ok(together)
}

type Ended = Result<usize, (Option<usize>, Trouble)>;

/// Waits until all others wait for the lock; those that have been ended already are not waited for without end.
async fn wait_for_followers(admin: &mut sqlx::PgConnection, count: usize) -> Result<(), SandboxError> {
    let query = "SELECT count(*)::text FROM pg_catalog.pg_locks l
        JOIN pg_catalog.pg_database d ON d.oid = l.database AND d.datname = pg_catalog.current_database()
        WHERE l.locktype = 'advisory' AND NOT l.granted";
    let deadline = Instant::now() + END_TIME_MAX;
    while Instant::now() < deadline {
        let waiting: usize = document(admin, query, "look for runners that wait").await?;
        if waiting >= count {
            break;
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    Ok(())
}

async fn leader(
    mut session: Session,
    project: &Project,
    refusals: &[Option<Refusal>],
) -> Result<Ended, SandboxError> {
    migrate(&mut session, project, refusals).await
}

async fn follower(
    mut session: Session,
    project: &Project,
    refusals: &[Option<Refusal>],
    waits: bool,
) -> Result<Ended, SandboxError> {
    if waits {
        // A runner waits for as long as it takes.
        run(session.connection(), "SET lock_timeout = 0; SET statement_timeout = 0").await?;
        let refusal = run(session.connection(), &format!("SELECT pg_catalog.pg_advisory_lock({LOCK})")).await?;
        run(session.connection(), "RESET lock_timeout; RESET statement_timeout").await.ok();
        if let Some(refusal) = refusal {
            return Ok(Err((None, Trouble::Refused(refusal))));
        }
    } else {
        let ask = format!("SELECT pg_catalog.pg_try_advisory_lock({LOCK})::text");
        loop {
            // A session that was ended says so as a refusal.
            if let Some(refusal) = run(session.connection(), "SELECT").await? {
                return Ok(Err((None, Trouble::Refused(refusal))));
            }
            if document::<bool>(session.connection(), &ask, "ask for a lock").await? {
                break;
            }
            tokio::time::sleep(ASK_INTERVAL).await;
        }
    }
    migrate(&mut session, project, refusals).await
}

/// What a runner does that has the lock.
async fn migrate(
    session: &mut Session,
    project: &Project,
    refusals: &[Option<Refusal>],
) -> Result<Ended, SandboxError> {
    let done = "SELECT coalesce(pg_catalog.json_agg(file), '[]')::text FROM _proofmark_runner.history";
    let has_lock = "SELECT EXISTS (
        SELECT FROM pg_catalog.pg_locks
        WHERE locktype = 'advisory' AND granted AND pid = pg_catalog.pg_backend_pid()
    )::text";
    let done: Vec<String> = document(session.connection(), done, "read the history").await?;
    let mut applied = 0;
    for (number, step) in project.steps.iter().enumerate() {
        let is_refused = refusals.get(number).is_some_and(Option::is_some);
        // A file may have several parts that are steps.
        let key = format!("{number} {}", step.up.file);
        if is_refused || done.contains(&key) {
            continue;
        }
        let record = format!("INSERT INTO _proofmark_runner.history VALUES ('{}')", key.replace('\'', "''"));
        let mut refusal = run_part(session, &step.up, usize::MAX).await?;
        if refusal.is_none() {
            refusal = run(session.connection(), "RESET ROLE; RESET SESSION AUTHORIZATION").await?;
        }
        if refusal.is_none() {
            refusal = run(session.connection(), &record).await?;
        }
        if refusal.is_none() && step.up.in_transaction {
            refusal = run(session.connection(), "COMMIT").await?;
        }
        if let Some(refusal) = refusal {
            return Ok(Err((Some(number), Trouble::Refused(refusal))));
        }
        applied += 1;
        if !document::<bool>(session.connection(), has_lock, "look for a lock").await? {
            return Ok(Err((Some(number), Trouble::LockLost)));
        }
    }
    run(session.connection(), &format!("SELECT pg_catalog.pg_advisory_unlock({LOCK})")).await?;
    Ok(Ok(applied))
}
