//! A session in which scripts are executed.

use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgDatabaseError};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _};
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tracing::instrument::WithSubscriber as _;

use super::intent::{Control, Intent, Reach, RoleWish, control, intent};
use super::notices::{Ear, Notice};
use super::role_names::role_names;
use super::undone::Begun;
use super::watch::Watch;
use super::{Profile, Refusal, SandboxError, server_error};
use crate::migrations::source::Script;
use crate::migrations::sql::{Input, Statement};

/// How long the server has to end a statement itself, before its session is ended.
const CANCEL_TIME_MAX: Duration = Duration::from_secs(3);

/// What a statement is given in any case.
const STATEMENT_TIME_MIN: Duration = Duration::from_secs(1);

/// How often a statement that lasts is looked after.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// How long a session may take to end when it is killed.
const KILL_TIME_MAX: Duration = Duration::from_secs(10);

/// How often it is looked for meanwhile.
const POLL_INTERVAL: Duration = Duration::from_millis(2);

/// How a session is limited.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) statement_time_max: Duration,
    pub(super) database_bytes_max: u64,
}

/// A session of the role that scripts are executed as.
#[derive(Debug)]
pub struct Session {
    connection: PgConnection,
    process: i32,
    /// Whether it has ended, and the next statement needs another.
    is_lost: bool,
    entry: Entry,
    pub(super) watch: Arc<Watch>,
    profile: Profile,
    limits: Limits,
    beyond: Vec<Beyond>,
    ear: Ear,
    notices: Vec<Notice>,
}

/// How sessions begin.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) options: PgConnectOptions,
    /// What is set first: our client sets the time zone, whatever the role's is.
    pub(super) settings: String,
}

/// Something that a script wanted beyond its database, and that was done for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beyond {
    /// The number of the statement.
    pub statement: usize,
    /// What it wanted.
    pub reach: Reach,
    /// Its name.
    pub name: String,
}

/// What became of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// What the server refused, if it refused something.
    pub refusal: Option<Refusal>,
    /// How many statements, from the first, have an effect that stays: all of them unless one was refused.
    pub kept: usize,
    /// The first statement that ends the runner's transaction.
    pub own_end: Option<usize>,
    /// What it wanted beyond its database.
    pub beyond: Vec<Beyond>,
    /// What the server said beside its answers, as much of it as is kept.
    pub notices: Vec<Notice>,
    /// What stays although it was to end as if it had failed.
    pub left: Option<String>,
}

/// How a script's transaction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// As the runner ends it.
    Commit,
    /// As if a statement behind the last had failed.
    Fail,
}

enum Waited {
    Done(Result<(), sqlx::Error>),
    TooLong,
    TooLarge(i64),
}

impl Session {
    pub(super) async fn open(
        entry: Entry,
        watch: Arc<Watch>,
        profile: Profile,
        limits: Limits,
    ) -> Result<Self, SandboxError> {
        let (connection, process) = connect(&entry).await.map_err(server_error("connect as the owner"))?;
        Ok(Self {
            connection,
            process,
            is_lost: false,
            entry,
            watch,
            profile,
            limits,
            beyond: Vec::new(),
            ear: Ear::new(),
            notices: Vec::new(),
        })
    }

    /// The connection, for what is between statements.
    pub fn connection(&mut self) -> &mut PgConnection {
        &mut self.connection
    }

    /// Gives statements less time from now on: after one that did not end, others may not either.
    ///
    /// # Errors
    /// When the server is lost.
    pub async fn hurry(&mut self) -> Result<(), SandboxError> {
        let time_max = (self.limits.statement_time_max / 2).max(STATEMENT_TIME_MIN);
        self.limits.statement_time_max = time_max.min(self.limits.statement_time_max);
        let milliseconds = self.limits.statement_time_max.as_millis();
        self.entry.settings.push_str(&format!("SET statement_timeout = {milliseconds};"));
        self.reset().await
    }

    /// Ends the session in order.
    pub async fn close(self) {
        let _ = self.connection.close().await;
    }

    /// The number of the server's process, unless the session was lost since.
    #[must_use]
    pub fn process(&self) -> i32 {
        self.process
    }

    /// Ends the session as a crash of its runner or a fail-over would, and waits until it is gone.
    ///
    /// # Errors
    /// When the server is lost.
    pub(crate) async fn kill(&mut self) -> Result<(), SandboxError> {
        self.is_lost = true;
        self.watch.terminate(self.process).await?;
        let deadline = Instant::now() + KILL_TIME_MAX;
        while self.watch.is_there(self.process).await? && Instant::now() < deadline {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        Ok(())
    }

    /// Runs a script as its runner would: in one transaction, unless it says otherwise. What the server refused comes
    /// back as a value, with everything rolled back that can be.
    ///
    /// # Errors
    /// When the server is lost.
    pub async fn run(&mut self, script: &Script) -> Result<Option<Refusal>, SandboxError> {
        Ok(self.run_to(script, End::Commit).await?.refusal)
    }

    /// The same, with another end if wanted, and with more about what happened.
    ///
    /// # Errors
    /// When the server is lost.
    pub async fn run_to(&mut self, script: &Script, end: End) -> Result<Ran, SandboxError> {
        self.beyond.clear();
        self.notices.clear();
        let mut ran =
            Ran { refusal: None, kept: 0, own_end: None, beyond: Vec::new(), notices: Vec::new(), left: None };
        let mut in_transaction = false;
        let earliest_s = if end == End::Fail { self.clock().await? } else { 0.0 };
        if script.in_transaction {
            ran.refusal = self.own(script, "BEGIN").await?;
            in_transaction = ran.refusal.is_none();
        }
        let latest_s = if end == End::Fail { self.clock().await? } else { 0.0 };
        for (number, statement) in script.statements.iter().enumerate() {
            if ran.refusal.is_some() {
                break;
            }
            ran.refusal = self.statement(script, number).await?;
            self.ear.take(number, &mut self.notices);
            if ran.refusal.is_some() {
                break;
            }
            match control(script.statement(statement)) {
                Some(Control::Begin) => in_transaction = true,
                Some(Control::Commit | Control::Rollback) => {
                    if script.in_transaction {
                        ran.own_end.get_or_insert(number);
                    }
                    in_transaction = false;
                    ran.kept = number + 1;
                }
                None if !in_transaction => ran.kept = number + 1,
                None => {}
            }
        }
        ran.beyond = std::mem::take(&mut self.beyond);
        ran.notices = std::mem::take(&mut self.notices);
        if ran.refusal.is_some() || end == End::Fail {
            let pending = match ran.refusal {
                None if script.in_transaction => Some(self.pending(Begun::between(earliest_s, latest_s)).await?),
                _ => None,
            };
            if !self.is_lost {
                self.own(script, "ROLLBACK").await?;
            }
            if let Some(pending) = pending {
                ran.left = self.not_undone(&pending).await?;
            }
            return Ok(ran);
        }
        if in_transaction {
            ran.refusal = self.own(script, "COMMIT").await?;
        }
        if ran.refusal.is_none() {
            ran.kept = script.statements.len();
        } else if !self.is_lost {
            self.own(script, "ROLLBACK").await?;
        }
        Ok(ran)
    }

    /// Makes the session like new, for the next script.
    ///
    /// # Errors
    /// When the server is lost.
    pub async fn reset(&mut self) -> Result<(), SandboxError> {
        if !self.is_lost {
            let discarded = sqlx::raw_sql("DISCARD ALL").execute(&mut self.connection).await;
            if discarded.is_ok() && set(&mut self.connection, &self.entry.settings).await.is_ok() {
                return Ok(());
            }
        }
        self.reconnect().await
    }

    /// Runs one statement of a script and nothing around it.
    ///
    /// # Errors
    /// When the server is lost.
    pub async fn statement(&mut self, script: &Script, number: usize) -> Result<Option<Refusal>, SandboxError> {
        let Some(statement) = script.statements.get(number) else { return Ok(None) };
        if self.is_lost {
            self.reconnect().await?;
        }
        let text = script.statement(statement);
        match &statement.input {
            Input::PsqlCommand => Ok(None),
            Input::CopyFromStdin(rows) => {
                let waited = self.wait(Work::CopyIn(text, script.slice(rows))).await;
                self.judge(waited, number, Some((statement, text))).await
            }
            Input::Sql => match intent(text, self.profile) {
                Intent::Plain => match self.watch.made_elsewhere(&role_names(text)).await? {
                    Some(role) => {
                        let message = format!("role \"{role}\" does not exist");
                        self.refuse(Refusal::ours(number, "42704", message)).await
                    }
                    None => self.sql(Work::Sql(text), number, statement, text).await,
                },
                Intent::CopyToClient => self.sql(Work::CopyOut(text), number, statement, text).await,
                Intent::Idle => Ok(None),
                Intent::Roles(wishes) => self.see_to(&wishes, number).await,
                Intent::Rewritten(wishes, rewritten) => match self.see_to(&wishes, number).await? {
                    // It may look first whether there is such a role.
                    Some(refusal) if refusal.sqlstate != "42710" => Ok(Some(refusal)),
                    _ => self.sql(Work::Sql(&rewritten), number, statement, text).await,
                },
                Intent::Extension(name) => self.extension(&name, number, statement, text).await,
            },
        }
    }

    async fn sql(
        &mut self,
        work: Work<'_>,
        number: usize,
        statement: &Statement,
        text: &str,
    ) -> Result<Option<Refusal>, SandboxError> {
        let waited = self.wait(work).await;
        self.judge(waited, number, Some((statement, text))).await
    }

    /// Refuses what the server would not, in such a way that it takes the transaction for one that has failed.
    async fn refuse(&mut self, refusal: Refusal) -> Result<Option<Refusal>, SandboxError> {
        let raised = sqlx::raw_sql("DO $$ BEGIN RAISE EXCEPTION 'refused'; END $$").execute(&mut self.connection);
        match raised.await {
            Ok(_) | Err(sqlx::Error::Database(_)) => Ok(Some(refusal)),
            Err(error) => self.lost(refusal.statement, error).await,
        }
    }

    async fn see_to(&mut self, wishes: &[RoleWish], number: usize) -> Result<Option<Refusal>, SandboxError> {
        let mut first = None;
        for wish in wishes {
            let refusal = self.watch.see_to(wish, number).await?;
            if refusal.is_none() {
                self.beyond.push(Beyond { statement: number, reach: Reach::Role, name: wish.name.clone() });
            }
            // What is refused for a better reason than that it is there already is worth more.
            if first.as_ref().is_none_or(|first: &Refusal| first.sqlstate == "42710") {
                first = refusal.or(first);
            }
        }
        Ok(first)
    }

    /// Only this statement is run with a superuser's rights, and only where the server brings the extension along.
    async fn extension(
        &mut self,
        name: &str,
        number: usize,
        statement: &Statement,
        text: &str,
    ) -> Result<Option<Refusal>, SandboxError> {
        if !self.watch.may_promote(name).await? {
            return self.sql(Work::Sql(text), number, statement, text).await;
        }
        if self.watch.promote(true).await.is_err() {
            // The script's own transaction may have changed its role.
            return self.sql(Work::Sql(text), number, statement, text).await;
        }
        let result = self.sql(Work::Sql(text), number, statement, text).await;
        self.watch.promote(false).await?;
        let refusal = result?;
        if refusal.is_none() {
            self.beyond.push(Beyond { statement: number, reach: Reach::Extension, name: name.to_owned() });
        }
        Ok(refusal)
    }

    /// A statement of the runner's.
    async fn own(&mut self, script: &Script, statement: &'static str) -> Result<Option<Refusal>, SandboxError> {
        if self.is_lost {
            self.reconnect().await?;
        }
        let waited = self.wait(Work::Sql(statement)).await;
        self.judge(waited, script.statements.len(), None).await
    }

    /// Does some work, unless it takes too long or fills the disk.
    async fn wait(&mut self, work: Work<'_>) -> Waited {
        let Limits { statement_time_max, database_bytes_max } = self.limits;
        let started = Instant::now();
        let mut look = interval_at(started + LOOK_INTERVAL, LOOK_INTERVAL);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let done = work.run(&mut self.connection).with_subscriber(self.ear.dispatch.clone());
        tokio::pin!(done);
        loop {
            tokio::select! {
                result = &mut done => return Waited::Done(result),
                _ = look.tick() => {
                    if started.elapsed() > statement_time_max + CANCEL_TIME_MAX {
                        return Waited::TooLong;
                    }
                    // A server that is gone is noticed by whoever waits for it.
                    let bytes = self.watch.database_bytes().await.unwrap_or_default();
                    if u64::try_from(bytes).is_ok_and(|bytes| bytes > database_bytes_max) {
                        return Waited::TooLarge(bytes);
                    }
                }
            }
        }
    }

    /// What came of it. The script's fault is a value, whatever became of the session; the server's is an error.
    async fn judge(
        &mut self,
        waited: Waited,
        number: usize,
        of: Option<(&Statement, &str)>,
    ) -> Result<Option<Refusal>, SandboxError> {
        let error = match waited {
            Waited::Done(Ok(())) => return Ok(None),
            Waited::Done(Err(error)) => error,
            Waited::TooLong => {
                let limit = self.limits.statement_time_max;
                let message = format!(
                    "expected the end of the statement within {limit:?}, found none; its session was ended"
                );
                return self.end(Refusal::ours(number, "57014", message)).await;
            }
            Waited::TooLarge(bytes) => {
                let limit = self.limits.database_bytes_max;
                let message =
                    format!("expected a database of at most {limit} bytes, found {bytes}; the session was ended");
                return self.end(Refusal::ours(number, "53100", message)).await;
            }
        };
        let Some(said) = error.as_database_error().and_then(|said| said.try_downcast_ref::<PgDatabaseError>())
        else {
            return self.lost(number, error).await;
        };
        // The session is over, or the server.
        if matches!(said.code(), "57P01" | "57P02" | "57P03" | "57P05" | "25P03") {
            return self.lost(number, error).await;
        }
        Ok(Some(match of {
            Some((statement, text)) => Refusal::new(number, statement, text, said),
            None => Refusal::of_end(number, said),
        }))
    }

    async fn end(&mut self, refusal: Refusal) -> Result<Option<Refusal>, SandboxError> {
        self.is_lost = true;
        self.watch.terminate(self.process).await?;
        Ok(Some(refusal))
    }

    /// The session ended: by the script if the server is there as before, and with the server if not.
    async fn lost(&mut self, number: usize, error: sqlx::Error) -> Result<Option<Refusal>, SandboxError> {
        self.is_lost = true;
        if !self.watch.is_alive().await {
            return Err(server_error("run a statement")(error));
        }
        let _ = self.watch.terminate(self.process).await;
        let message = format!("the session was ended by what it ran: {error}");
        Ok(Some(Refusal::ours(number, "57P01", message)))
    }

    async fn reconnect(&mut self) -> Result<(), SandboxError> {
        let (connection, process) = connect(&self.entry).await.map_err(server_error("connect as the owner"))?;
        (self.connection, self.process, self.is_lost) = (connection, process, false);
        Ok(())
    }
}

async fn set(connection: &mut PgConnection, settings: &str) -> Result<(), sqlx::Error> {
    if settings.is_empty() {
        return Ok(());
    }
    sqlx::raw_sql(AssertSqlSafe(settings)).execute(connection).await.map(drop)
}

async fn connect(entry: &Entry) -> Result<(PgConnection, i32), sqlx::Error> {
    let mut connection = entry.options.connect().await?;
    set(&mut connection, &entry.settings).await?;
    let process = sqlx::query_scalar("SELECT pg_catalog.pg_backend_pid()").fetch_one(&mut connection).await?;
    Ok((connection, process))
}

/// Something that the session does.
#[derive(Clone, Copy)]
enum Work<'a> {
    Sql(&'a str),
    CopyIn(&'a str, &'a str),
    CopyOut(&'a str),
}

impl Work<'_> {
    async fn run(self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        match self {
            Self::Sql(text) => connection.execute(sqlx::raw_sql(AssertSqlSafe(text))).await.map(drop),
            Self::CopyIn(text, rows) => {
                let mut copy = connection.copy_in_raw(text).await?;
                copy.send(rows.as_bytes()).await?;
                copy.finish().await.map(drop)
            }
            Self::CopyOut(text) => {
                let mut rows = connection.copy_out_raw(text).await?;
                while rows.try_next().await?.is_some() {}
                Ok(())
            }
        }
    }
}
