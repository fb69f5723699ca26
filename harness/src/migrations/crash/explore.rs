//! Crashes at every boundary between statements.
//!
//! A transaction that is open when its session ends leaves nothing, wherever that happens; so a script that never leaves
//! the transaction of its runner is killed once, with all of its statements done and nothing committed. A script that
//! commits, or has no transaction around it, is killed behind each statement after which something stays, each time in
//! a copy of the database as it was before; then it is run again from its beginning, as its runner would, which has no
//! record of it. So the cost grows with statements, and not with their square.

use sqlx::Connection as _;

use super::interrupt::{self, Interrupted};
use super::state::State;
use super::{end, kill, process, run_part, run_statements, run_whole};
use crate::environment::Environment;
use crate::migrations::Settings;
use crate::migrations::observe::{document, is_transaction_control, roll_back, run, sandbox, words};
use crate::migrations::sandbox::{Begun, Refusal, Sandbox, SandboxError, keeps_its_transaction};
use crate::migrations::source::{Project, Script};

/// How many boundaries of one script are tried in copies.
const BOUNDARIES_MAX: usize = 16;

/// How many copies are made in all.
const COPIES_MAX: usize = 400;

/// What is known of crashes of all migrations.
#[derive(Debug, Clone, Default)]
pub struct Explored {
    /// One for each step of the project.
    pub steps: Vec<StepCrashes>,
    /// How many boundaries were not tried, as there are too many.
    pub left_out: usize,
    /// The schema at the end.
    pub schema: String,
}

impl Explored {
    /// What the server refused in this order, for each step, without any crash.
    #[must_use]
    pub fn refusals(&self) -> Vec<Option<Refusal>> {
        self.steps.iter().map(|step| step.refused.clone()).collect()
    }
}

/// What is known of crashes of one migration.
#[derive(Debug, Clone, Default)]
pub struct StepCrashes {
    /// What the server refused without a crash; nothing else is known of the migration then.
    pub refused: Option<Refusal>,
    /// The boundaries at which something stays.
    pub crashes: Vec<Crash>,
    /// What becomes of indexes that are made concurrently.
    pub interrupted: Vec<Interrupted>,
    /// What a kill left although nothing was committed.
    pub left: Option<String>,
    /// What the server said when the migration was run after that.
    pub refused_after: Option<Refusal>,
}

/// A crash behind a statement, after which something stays.
#[derive(Debug, Clone)]
pub struct Crash {
    /// The last statement that was done.
    pub statement: usize,
    /// Whether it was the last of all, so that only the runner's record is missing.
    pub is_complete: bool,
    /// What happens when the migration is run again.
    pub rerun: Rerun,
}

/// What happens when a migration is run again after a crash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rerun {
    /// It leads to what it would have without the crash.
    Equal,
    /// The server refuses it.
    Refused(Refusal),
    /// It leads to something else.
    Different(String),
}

/// Kills every migration wherever something may be left.
///
/// # Errors
/// When the environment is broken.
pub async fn explore(
    environment: &Environment,
    project: &Project,
    settings: &Settings,
    refusals: &[Option<Refusal>],
) -> Result<Explored, SandboxError> {
    let sandbox = sandbox(environment, settings).await?;
    let mut explored = Explored::default();
    let mut copies = 0;
    for (number, step) in project.steps.iter().enumerate() {
        let is_refused = refusals.get(number).is_some_and(Option::is_some);
        let mut found = StepCrashes::default();
        if is_refused {
            // What does not apply anyway leaves what it leaves.
            found.refused = apply(&sandbox, &step.up).await?;
        } else if keeps_its_transaction(&step.up) {
            one_kill(&sandbox, &step.up, &mut found).await?;
        } else {
            many_kills(&sandbox, &step.up, &mut found, &mut explored.left_out, &mut copies).await?;
        }
        explored.steps.push(found);
    }
    explored.schema = State::take(&sandbox).await?.schema;
    Ok(explored)
}

async fn apply(sandbox: &Sandbox, script: &Script) -> Result<Option<Refusal>, SandboxError> {
    let mut session = sandbox.session().await?;
    let refusal = run_whole(&mut session, script).await?;
    end(session).await;
    Ok(refusal)
}

/// One kill, with all statements done and nothing committed.
async fn one_kill(sandbox: &Sandbox, script: &Script, found: &mut StepCrashes) -> Result<(), SandboxError> {
    let mut session = sandbox.session().await?;
    let earliest_s = session.clock().await?;
    run(session.connection(), "BEGIN").await?;
    let begun = Begun::between(earliest_s, session.clock().await?);
    let refusal = run_statements(&mut session, script, usize::MAX).await?;
    if refusal.is_some() {
        end(session).await;
        found.refused = refusal;
        return Ok(());
    }
    let pending = session.pending(begun).await?;
    session.kill().await?;
    found.left = session.not_undone(&pending).await?;
    drop(session);
    match apply(sandbox, script).await? {
        // A constraint that waits for the end of the transaction has nothing to do with the kill.
        Some(refusal) if found.left.is_none() && refusal.sqlstate.starts_with("23") => {
            found.refused = Some(refusal)
        }
        refusal => found.refused_after = refusal,
    }
    Ok(())
}

/// A kill behind each statement after which something stays, each in a copy.
async fn many_kills(
    sandbox: &Sandbox,
    script: &Script,
    found: &mut StepCrashes,
    left_out: &mut usize,
    copies: &mut usize,
) -> Result<(), SandboxError> {
    let reference = sandbox.copy().await?;
    *copies += 1;
    let boundaries = boundaries(&reference, script).await?;
    let Some(boundaries) = boundaries else {
        sandbox.drop_copy(reference).await?;
        found.refused = apply(sandbox, script).await?;
        return Ok(());
    };
    let expected = State::take(&reference).await?;
    sandbox.drop_copy(reference).await?;
    for (number, boundary) in boundaries.into_iter().enumerate() {
        if number >= BOUNDARIES_MAX || *copies >= COPIES_MAX {
            *left_out += 1;
            continue;
        }
        *copies += 1;
        let copy = sandbox.copy().await?;
        let mut session = copy.session().await?;
        let process = process(&mut session).await?;
        let refusal = run_part(&mut session, script, boundary + 1).await?;
        let mut admin = copy.admin().await?;
        kill(&mut admin, process).await?;
        drop(session);
        let _ = admin.close().await;
        if refusal.is_none() {
            let rerun = rerun(&copy, script, &expected).await?;
            let is_complete = boundary + 1 == script.statements.len();
            found.crashes.push(Crash { statement: boundary, is_complete, rerun });
        }
        sandbox.drop_copy(copy).await?;
    }
    for number in 0..script.statements.len() {
        if *copies < COPIES_MAX && interrupt::is_concurrent(script, number) {
            *copies += 1;
            let copy = sandbox.copy().await?;
            found.interrupted.extend(interrupt::interrupt(&copy, script, number).await?);
            sandbox.drop_copy(copy).await?;
        }
    }
    apply(sandbox, script).await?;
    Ok(())
}

/// Runs a script again, from its beginning.
pub(super) async fn rerun(sandbox: &Sandbox, script: &Script, expected: &State) -> Result<Rerun, SandboxError> {
    if let Some(refusal) = apply(sandbox, script).await? {
        return Ok(Rerun::Refused(refusal));
    }
    Ok(match expected.difference(&State::take(sandbox).await?) {
        None => Rerun::Equal,
        Some(difference) => Rerun::Different(difference),
    })
}

/// Runs a script to its end. The statements after which no transaction is open, and something may stay; None if the
/// server refuses one.
async fn boundaries(sandbox: &Sandbox, script: &Script) -> Result<Option<Vec<usize>>, SandboxError> {
    const OPEN: &str = "SELECT (pg_catalog.now() <> pg_catalog.statement_timestamp())::text";
    let mut session = sandbox.session().await?;
    if script.in_transaction {
        run(session.connection(), "BEGIN").await?;
    }
    let mut found = Vec::new();
    let mut has_done = false;
    for (number, statement) in script.statements.iter().enumerate() {
        if session.statement(script, number).await?.is_some() {
            roll_back(session.connection()).await;
            end(session).await;
            return Ok(None);
        }
        let words = words(script.statement(statement));
        let is_idle = is_transaction_control(&words) || words.first().is_some_and(|word| word == "set");
        // What only ends a transaction leaves what the statements before it did.
        has_done |= !is_idle;
        let is_open: bool = document(session.connection(), OPEN, "look at a transaction").await?;
        if has_done && !is_open {
            found.push(number);
        }
    }
    let committed = if script.in_transaction { run(session.connection(), "COMMIT").await? } else { None };
    end(session).await;
    Ok(committed.is_none().then_some(found))
}
