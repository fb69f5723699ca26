//! Trying things on a database with generated rows, and undoing them.

use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnection, PgDatabaseError, PgRow};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};

use crate::case::CaseError;
use crate::migrations::WithRows;
use crate::migrations::sandbox::Session;

/// How long one statement may take.
const STATEMENT_MS: u64 = 2_000;

/// How long one case may try things.
const TIME_MAX: Duration = Duration::from_secs(20);

/// How often a session is replaced that what was tried has ended.
const SESSIONS_MAX: u32 = 10;

/// A session of the role that owns the database.
pub(super) struct Prober<'d> {
    rows: &'d WithRows,
    session: Session,
    sessions: u32,
    deadline: Instant,
}

/// What the server said to something that was tried.
#[derive(Debug)]
pub(super) enum Tried {
    /// It went well; the rows of its last query.
    Done(Vec<PgRow>),
    /// It was refused.
    Refused(Refused),
    /// There was no time.
    OutOfTime,
    /// The session has ended by it.
    Lost,
}

/// How the server refused.
#[derive(Debug, Clone)]
pub(super) struct Refused {
    pub(super) sqlstate: String,
    pub(super) message: String,
    /// The functions that it happened in, the innermost first, line by line.
    pub(super) context: String,
}

impl Refused {
    /// As findings say it.
    pub(super) fn text(&self) -> String {
        let context = self.context.lines().next().map(|line| format!(", in {line}")).unwrap_or_default();
        format!("{} (SQLSTATE {}{context})", self.message, self.sqlstate)
    }

    /// Whether code is wrong, whatever it is called with: it names what there is not, or mixes types; or it ends without
    /// a value.
    pub(super) fn is_faulty_code(&self) -> bool {
        let is_right = self.sqlstate == "42501";
        self.sqlstate.starts_with("42") && !is_right || self.sqlstate == "2F005"
    }

    /// Whether the text of the statement was put together when it ran: it may be what it was called with that is wrong.
    pub(super) fn is_dynamic(&self) -> bool {
        self.context.lines().next().is_some_and(|line| line.ends_with("at EXECUTE"))
    }

    /// The function that it happened in, without its schema and arguments.
    pub(super) fn function(&self) -> Option<&str> {
        let line = self.context.lines().find(|line| line.contains("function "))?;
        let name = line.split("function ").nth(1)?;
        let name = name.split(['(', ' ']).next()?.trim_matches('"');
        Some(name.rsplit('.').next().unwrap_or(name).trim_matches('"'))
    }
}

impl<'d> Prober<'d> {
    pub(super) async fn new(rows: &'d WithRows) -> Result<Self, CaseError> {
        let session = rows.sandbox.session().await.map_err(CaseError::harness)?;
        Ok(Self { rows, session, sessions: 0, deadline: Instant::now() + TIME_MAX })
    }

    /// The connection, to look at what is there.
    pub(super) fn connection(&mut self) -> &mut PgConnection {
        self.session.connection()
    }

    /// Tries a change of a table's rows; where a trigger refuses it, once more without the table's triggers, which are not
    /// what is looked at.
    pub(super) async fn change(&mut self, table: &str, change: &str) -> Result<Tried, CaseError> {
        const IMMEDIATE: &str = "SET CONSTRAINTS ALL IMMEDIATE";
        match self.attempt(&[IMMEDIATE, change]).await? {
            Tried::Refused(refused) if !refused.context.is_empty() => {
                let disable = format!("ALTER TABLE {table} DISABLE TRIGGER USER");
                self.attempt(&[&disable, IMMEDIATE, change]).await
            }
            tried => Ok(tried),
        }
    }

    /// Tries statements, one after the other, and undoes them.
    pub(super) async fn attempt(&mut self, statements: &[&str]) -> Result<Tried, CaseError> {
        if Instant::now() > self.deadline {
            return Ok(Tried::OutOfTime);
        }
        match run(self.session.connection(), statements).await {
            Ok(tried) => Ok(tried),
            Err(_) if self.sessions < SESSIONS_MAX => {
                // Code can end its own session; if the server is gone, this tells.
                self.sessions += 1;
                self.session = self.rows.sandbox.session().await.map_err(CaseError::harness)?;
                Ok(Tried::Lost)
            }
            Err(error) => Err(CaseError::harness(error)),
        }
    }
}

async fn run(connection: &mut PgConnection, statements: &[&str]) -> Result<Tried, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    let limits = format!("SET LOCAL statement_timeout = {STATEMENT_MS}; SET LOCAL lock_timeout = {STATEMENT_MS}");
    transaction.execute(sqlx::raw_sql(AssertSqlSafe(limits))).await?;
    let mut tried = Tried::Done(Vec::new());
    for statement in statements {
        let statement = sqlx::raw_sql(AssertSqlSafe((*statement).to_owned()));
        tried = match transaction.fetch_all(statement).await {
            Ok(rows) => Tried::Done(rows),
            Err(sqlx::Error::Database(error)) => {
                let context = error.try_downcast_ref::<PgDatabaseError>().and_then(PgDatabaseError::r#where);
                let refused = Refused {
                    sqlstate: error.code().unwrap_or_default().into_owned(),
                    message: error.message().to_owned(),
                    context: context.unwrap_or_default().to_owned(),
                };
                // Not the statement, but whoever ends sessions.
                if refused.sqlstate == "57P01" {
                    return Err(sqlx::Error::Database(error));
                }
                Tried::Refused(refused)
            }
            Err(error) => return Err(error),
        };
        if matches!(tried, Tried::Refused(_)) {
            break;
        }
    }
    transaction.rollback().await?;
    Ok(tried)
}
