//! Databases in which anybody's scripts are executed: as a role that may do in them what it likes, and nothing else.

mod copy;

use std::sync::atomic::{AtomicU64, Ordering};

use sqlx::postgres::{PgConnectOptions, PgConnection, PgDatabaseError, PgErrorPosition};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _};
use uuid::Uuid;

use super::source::Script;
use super::sql::{Input, Statement};
use crate::database::TestDatabase;
use crate::environment::{Environment, EnvironmentError};

static MADE: AtomicU64 = AtomicU64::new(0);

/// What went wrong, and was not the scripts' fault.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// No database.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// The server refused something that is done to look at a database, or is gone.
    #[error("{action}: {source}")]
    Server {
        /// What was to be done.
        action: &'static str,
        /// What the server said.
        #[source]
        source: sqlx::Error,
    },
}

/// A database, and the role that owns it and nothing else.
#[derive(Debug)]
pub struct Sandbox {
    database: TestDatabase,
    role: String,
    owner: PgConnectOptions,
}

/// A session of the role that scripts are executed as.
#[derive(Debug)]
pub struct Session {
    connection: PgConnection,
}

/// What the server said to a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The number of the statement in its script.
    pub statement: usize,
    /// Its code.
    pub sqlstate: String,
    /// What it says.
    pub message: String,
    /// More about it.
    pub detail: Option<String>,
    /// What it proposes.
    pub hint: Option<String>,
    /// Where in the file, in bytes, if it says so and is right.
    pub offset: Option<usize>,
    /// In which function, if it happened in one.
    pub context: Option<String>,
}

impl Sandbox {
    /// An empty database.
    ///
    /// # Errors
    /// When it cannot be had.
    pub async fn new(environment: &Environment) -> Result<Self, SandboxError> {
        let database = environment.empty_database().await?;
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let id = Uuid::new_v4().simple().to_string();
        let (role, password) = (format!("proofmark_role_{}_{number}", &id[..8]), &id[8..]);
        let mut admin = connect(&database).await?;
        let statements = format!(
            "CREATE ROLE {role} LOGIN PASSWORD '{password}';
             ALTER DATABASE {name} OWNER TO {role};
             ALTER SCHEMA public OWNER TO {role}",
            name = database.name(),
        );
        sqlx::raw_sql(AssertSqlSafe(statements))
            .execute(&mut admin)
            .await
            .map_err(|source| SandboxError::Server { action: "make a role for scripts", source })?;
        let _ = admin.close().await;
        let owner = database.connect_options().username(&role).password(password);
        Ok(Self { database, role, owner })
    }

    /// The role that scripts are executed as.
    #[must_use]
    pub fn role(&self) -> &str {
        &self.role
    }

    /// The database.
    #[must_use]
    pub fn database(&self) -> &TestDatabase {
        &self.database
    }

    /// A connection of ours, which may look at everything.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn admin(&self) -> Result<PgConnection, SandboxError> {
        connect(&self.database).await
    }

    /// A new session for scripts.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn session(&self) -> Result<Session, SandboxError> {
        let connection = self.owner.connect().await;
        let connection =
            connection.map_err(|source| SandboxError::Server { action: "connect as the owner", source })?;
        Ok(Session { connection })
    }
}

async fn connect(database: &TestDatabase) -> Result<PgConnection, SandboxError> {
    let connection = database.connect().await;
    connection.map_err(|source| SandboxError::Server { action: "connect to the database", source })
}

impl Session {
    /// The connection, for what is between statements.
    pub fn connection(&mut self) -> &mut PgConnection {
        &mut self.connection
    }

    /// Runs a script as its runner would: in one transaction, unless it says otherwise. What the server refused comes
    /// back as a value, with everything rolled back that can be.
    ///
    /// # Errors
    /// When the connection is lost.
    pub async fn run(&mut self, script: &Script) -> Result<Option<Refusal>, SandboxError> {
        if script.in_transaction {
            self.plain("BEGIN").await?;
        }
        for number in 0..script.statements.len() {
            if let Some(refusal) = self.statement(script, number).await? {
                self.plain("ROLLBACK").await?;
                return Ok(Some(refusal));
            }
        }
        if script.in_transaction {
            self.plain("COMMIT").await?;
        }
        Ok(None)
    }

    /// Runs one statement of a script and nothing around it.
    ///
    /// # Errors
    /// When the connection is lost.
    pub async fn statement(&mut self, script: &Script, number: usize) -> Result<Option<Refusal>, SandboxError> {
        let Some(statement) = script.statements.get(number) else { return Ok(None) };
        let text = script.statement(statement);
        let result = match &statement.input {
            Input::Sql => self.connection.execute(sqlx::raw_sql(AssertSqlSafe(text))).await.map(drop),
            Input::CopyFromStdin(rows) => self.copy(text, script.slice(rows)).await,
            Input::PsqlCommand => Ok(()),
        };
        match result {
            Ok(()) => Ok(None),
            Err(sqlx::Error::Database(error)) => match error.try_downcast_ref::<PgDatabaseError>() {
                Some(error) => Ok(Some(Refusal::new(number, statement, text, error))),
                None => {
                    Err(SandboxError::Server { action: "run a statement", source: sqlx::Error::Database(error) })
                }
            },
            Err(source) => Err(SandboxError::Server { action: "run a statement", source }),
        }
    }

    async fn copy(&mut self, statement: &str, rows: &str) -> Result<(), sqlx::Error> {
        let mut copy = self.connection.copy_in_raw(statement).await?;
        copy.send(rows.as_bytes()).await?;
        copy.finish().await.map(drop)
    }

    /// A statement of ours, in the role of a runner.
    async fn plain(&mut self, statement: &'static str) -> Result<(), SandboxError> {
        let done = self.connection.execute(sqlx::raw_sql(statement)).await;
        done.map(drop).map_err(|source| SandboxError::Server { action: statement, source })
    }
}

impl Refusal {
    fn new(number: usize, statement: &Statement, text: &str, error: &PgDatabaseError) -> Self {
        let offset = match error.position() {
            Some(PgErrorPosition::Original(position)) => {
                let within = text.char_indices().nth(position.saturating_sub(1)).map_or(text.len(), |(at, _)| at);
                Some(statement.range.start + within)
            }
            Some(PgErrorPosition::Internal { .. }) | None => None,
        };
        Self {
            statement: number,
            sqlstate: error.code().to_owned(),
            message: error.message().to_owned(),
            detail: error.detail().map(str::to_owned),
            hint: error.hint().map(str::to_owned),
            offset,
            context: error.r#where().map(str::to_owned),
        }
    }
}
