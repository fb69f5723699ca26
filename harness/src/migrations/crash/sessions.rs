//! What migrations leave in their session, and what they expect of it.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::state::State;
use super::{end, run_whole};
use crate::environment::Environment;
use crate::migrations::Settings;
use crate::migrations::observe::{document, is_transaction_control, roll_back, run, sandbox, words};
use crate::migrations::sandbox::{Refusal, Sandbox, SandboxError, Session};
use crate::migrations::source::{Project, Script};

const STATE: &str = "SELECT pg_catalog.json_build_object(
    'settings', (
        SELECT coalesce(pg_catalog.json_object_agg(s.name, s.setting), '{}')
        FROM pg_catalog.pg_settings s WHERE s.source = 'session'
    ),
    'roles', pg_catalog.concat(session_user, ' ', current_user),
    'locks', (
        SELECT pg_catalog.count(*) FROM pg_catalog.pg_locks l
        WHERE l.locktype = 'advisory' AND l.pid = pg_catalog.pg_backend_pid()
    ),
    'tables', (
        SELECT coalesce(pg_catalog.json_agg(c.relname ORDER BY c.relname), '[]')
        FROM pg_catalog.pg_class c
        WHERE c.relnamespace = pg_catalog.pg_my_temp_schema() AND c.relkind IN ('r', 'p', 'v', 'S')
    ),
    'channels', (SELECT coalesce(pg_catalog.json_agg(c), '[]') FROM pg_catalog.pg_listening_channels() c),
    'cursors', (
        SELECT coalesce(pg_catalog.json_agg(c.name), '[]') FROM pg_catalog.pg_cursors c WHERE c.is_holdable
    ),
    'statements', (
        SELECT coalesce(pg_catalog.json_agg(p.name), '[]') FROM pg_catalog.pg_prepared_statements p WHERE p.from_sql
    ),
    'transactions', (
        SELECT coalesce(pg_catalog.json_agg(x.gid), '[]') FROM pg_catalog.pg_prepared_xacts x
        WHERE x.database = pg_catalog.current_database()
    )
)::text";

/// Settings that change what later statements mean, and not merely how long they take.
const DECISIVE: [&str; 12] = [
    "search_path",
    "role",
    "session_authorization",
    "TimeZone",
    "DateStyle",
    "IntervalStyle",
    "row_security",
    "session_replication_role",
    "check_function_bodies",
    "standard_conforming_strings",
    "default_tablespace",
    "default_table_access_method",
];

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
struct SessionState {
    settings: BTreeMap<String, String>,
    roles: String,
    locks: i64,
    tables: Vec<String>,
    channels: Vec<String>,
    cursors: Vec<String>,
    statements: Vec<String>,
    transactions: Vec<String>,
}

/// Something that a migration left in its session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leak {
    /// The step.
    pub step: usize,
    /// The statement that seems to have done it.
    pub statement: Option<usize>,
    /// What kind of thing.
    pub kind: LeakKind,
    /// Its name.
    pub name: String,
    /// Whether later migrations mean something else by it.
    pub is_decisive: bool,
}

/// The kinds of things that stay in a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LeakKind {
    /// A setting of `SET` without `LOCAL`.
    Setting,
    /// A role that was not given up.
    Role,
    /// An advisory lock of the session.
    AdvisoryLock,
    /// A temporary table.
    TemporaryTable,
    /// A channel that is listened to.
    Channel,
    /// A cursor `WITH HOLD`.
    Cursor,
    /// A statement of `PREPARE`.
    PreparedStatement,
    /// A transaction of `PREPARE TRANSACTION`.
    PreparedTransaction,
}

impl LeakKind {
    /// What it is called.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Setting => "setting",
            Self::Role => "role",
            Self::AdvisoryLock => "advisory lock",
            Self::TemporaryTable => "temporary table",
            Self::Channel => "channel",
            Self::Cursor => "cursor",
            Self::PreparedStatement => "prepared statement",
            Self::PreparedTransaction => "prepared transaction",
        }
    }
}

/// Runs all migrations in one session, and looks for what each of them leaves in it.
///
/// # Errors
/// When the environment is broken.
pub async fn leaks(
    environment: &Environment,
    project: &Project,
    settings: &Settings,
    refusals: &[Option<Refusal>],
) -> Result<Vec<Leak>, SandboxError> {
    let sandbox = sandbox(environment, settings).await?;
    let mut session = sandbox.session().await?;
    let mut before: SessionState = look(&mut session).await?;
    let mut found = Vec::new();
    for (number, step) in project.steps.iter().enumerate() {
        if refusals.get(number).is_some_and(Option::is_some) {
            continue;
        }
        if run_whole(&mut session, &step.up).await?.is_some() {
            // It may have ended its session.
            session = sandbox.session().await?;
            before = look(&mut session).await?;
            continue;
        }
        let after = look(&mut session).await?;
        for (kind, name, words) in difference(&before, &after) {
            let statement = culprit(&step.up, &words);
            let is_decisive = kind != LeakKind::Setting || DECISIVE.contains(&name.as_str());
            found.push(Leak { step: number, statement, kind, name, is_decisive });
        }
        if before.roles != after.roles {
            // Else later migrations would be refused for it, which says nothing about them.
            run(session.connection(), "RESET ROLE; RESET SESSION AUTHORIZATION").await?;
        }
        before = look(&mut session).await?;
    }
    end(session).await;
    Ok(found)
}

async fn look(session: &mut Session) -> Result<SessionState, SandboxError> {
    document(session.connection(), STATE, "look at a session").await
}

/// What is there that was not: kind, name, and a word of the statement that did it.
fn difference(before: &SessionState, after: &SessionState) -> Vec<(LeakKind, String, String)> {
    let mut found = Vec::new();
    for (name, value) in &after.settings {
        let is_role = name == "role" || name == "session_authorization";
        if before.settings.get(name) != Some(value) && !is_role {
            found.push((LeakKind::Setting, name.clone(), name.to_lowercase()));
        }
    }
    if before.roles != after.roles {
        found.push((LeakKind::Role, after.roles.clone(), "set".to_owned()));
    }
    if after.locks > before.locks {
        found.push((LeakKind::AdvisoryLock, format!("{} of them", after.locks), "pg_advisory_lock".to_owned()));
    }
    let lists = [
        (LeakKind::TemporaryTable, &before.tables, &after.tables),
        (LeakKind::Channel, &before.channels, &after.channels),
        (LeakKind::Cursor, &before.cursors, &after.cursors),
        (LeakKind::PreparedStatement, &before.statements, &after.statements),
        (LeakKind::PreparedTransaction, &before.transactions, &after.transactions),
    ];
    for (kind, before, after) in lists {
        let added = after.iter().filter(|name| !before.contains(name));
        found.extend(added.map(|name| (kind, name.clone(), name.to_lowercase())));
    }
    found
}

/// The last statement with a word in it.
fn culprit(script: &Script, word: &str) -> Option<usize> {
    script.statements.iter().rposition(|part| script.statement(part).to_lowercase().contains(word))
}

/// What happens to a migration behind a pooler.
#[derive(Debug, Clone, Default)]
pub struct Pooled {
    /// What the server refuses there and nowhere else, with the step.
    pub refused: Vec<(usize, Refusal)>,
    /// Advisory locks that stay with a session that others get: the step and the statement.
    pub locks: Vec<(usize, usize)>,
    /// The schema at the end.
    pub schema: String,
}

/// Runs all migrations through a pooler that gives each transaction another session, with nothing left of the last.
///
/// # Errors
/// When the environment is broken.
pub async fn through_a_pooler(
    environment: &Environment,
    project: &Project,
    settings: &Settings,
    refusals: &[Option<Refusal>],
) -> Result<Pooled, SandboxError> {
    let sandbox = sandbox(environment, settings).await?;
    let mut pooled = Pooled::default();
    for (number, step) in project.steps.iter().enumerate() {
        let refusal = if step.up.in_transaction {
            let mut session = sandbox.session().await?;
            let refusal = run_whole(&mut session, &step.up).await?;
            if refusal.is_none() {
                let last = step.up.statements.len().saturating_sub(1);
                note_locks(&mut session, &mut pooled, number, last).await?;
            }
            end(session).await;
            refusal
        } else {
            statement_by_statement(&sandbox, &step.up, &mut pooled, number).await?
        };
        let is_refused = refusals.get(number).is_some_and(Option::is_some);
        pooled.refused.extend(refusal.filter(|_| !is_refused).map(|refusal| (number, refusal)));
    }
    pooled.schema = State::take(&sandbox).await?.schema;
    Ok(pooled)
}

/// Each statement in a session of its own, but those of one transaction.
async fn statement_by_statement(
    sandbox: &Sandbox,
    script: &Script,
    pooled: &mut Pooled,
    step: usize,
) -> Result<Option<Refusal>, SandboxError> {
    let mut session = sandbox.session().await?;
    let mut in_block = false;
    for (number, statement) in script.statements.iter().enumerate() {
        let refusal = session.statement(script, number).await?;
        if refusal.is_some() {
            roll_back(session.connection()).await;
            end(session).await;
            return Ok(refusal);
        }
        let words = words(script.statement(statement));
        if is_transaction_control(&words) {
            let open = "SELECT (pg_catalog.now() <> pg_catalog.statement_timestamp())::text";
            in_block = document(session.connection(), open, "look at a transaction").await?;
        }
        if !in_block && number + 1 < script.statements.len() {
            note_locks(&mut session, pooled, step, number).await?;
            end(session).await;
            session = sandbox.session().await?;
        }
    }
    end(session).await;
    Ok(None)
}

async fn note_locks(
    session: &mut Session,
    pooled: &mut Pooled,
    step: usize,
    statement: usize,
) -> Result<(), SandboxError> {
    if look(session).await?.locks > 0 {
        pooled.locks.push((step, statement));
    }
    Ok(())
}
