//! A server of a test's own: to be changed as a whole, crashed, and started again.

use rustix::process::Signal;
use sqlx::ConnectOptions as _;
use sqlx::Connection as _;
use sqlx::postgres::PgConnectOptions;
use uuid::Uuid;

use super::ServerError;
use super::local::LocalServer;
use crate::database::TestDatabase;
use crate::environment::EnvironmentError;
use crate::event::ServerRecord;
use crate::migration_set::{MigrationError, MigrationSet};

/// Commits are written before they are confirmed, so that those survive a crash which a client knows of. The files
/// are not forced to a disk: it is the server that crashes, not the machine.
const SETTINGS: [&str; 2] = ["synchronous_commit=on", "full_page_writes=on"];

/// How a server ends before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// Its process is killed, and can do nothing about it.
    Kill,
    /// It is told to end at once, which it does without a checkpoint (`pg_ctl stop -m immediate`).
    Immediate,
}

/// A local server that nobody else uses, gone without a trace when it is dropped.
#[derive(Debug)]
pub struct TestServer {
    server: LocalServer,
    record: ServerRecord,
}

impl TestServer {
    /// Starts one from the machine's binaries.
    ///
    /// # Errors
    /// When it cannot be had.
    pub async fn start() -> Result<Self, EnvironmentError> {
        let (mut server, record) = LocalServer::start("a test has it alone").await.map_err(failed)?;
        // With settings that are of use to nobody who does not crash it.
        server.crash(Signal::INT).await;
        server.restart(&SETTINGS).await.map_err(|error| failed(error.into()))?;
        Ok(Self { server, record })
    }

    /// The server.
    #[must_use]
    pub fn record(&self) -> &ServerRecord {
        &self.record
    }

    /// A new database with all migrations applied, which lasts as long as the server.
    ///
    /// # Errors
    /// When the server refuses, or a migration fails.
    pub async fn database(&self, migrations: &MigrationSet) -> Result<TestDatabase, EnvironmentError> {
        let name = format!("proofmark_{}", Uuid::new_v4().simple());
        let address = self.server.address();
        let maintenance = address.connect_options();
        let statement = format!("CREATE DATABASE {name} TEMPLATE template0 STRATEGY file_copy");
        let create = async {
            let mut connection = maintenance.connect().await?;
            sqlx::raw_sql(sqlx::AssertSqlSafe(statement.as_str())).execute(&mut connection).await?;
            connection.close().await?;
            maintenance.clone().database(&name).connect().await
        };
        let mut connection = create.await.map_err(|error| refused(&statement, &error))?;
        migrations.apply(&mut connection).await.map_err(|error| match error {
            MigrationError::Connection(error) => refused("apply migrations", &error),
            error => EnvironmentError::Migration { message: crate::error_chain(&error).into() },
        })?;
        let _ = connection.close().await;
        // By way of its URL, which is the same after it was started again.
        let options: PgConnectOptions = maintenance.database(&name);
        Ok(TestDatabase::of_server(name.clone(), address.url(&name), options))
    }

    /// Ends it before its time. Its files stay as they are.
    pub async fn crash(&mut self, how: Crash) {
        let signal = match how {
            Crash::Kill => Signal::KILL,
            Crash::Immediate => Signal::QUIT,
        };
        self.server.crash(signal).await;
    }

    /// Starts it again after a crash, at the same address; it then recovers what was committed.
    ///
    /// # Errors
    /// When it does not answer any more.
    pub async fn restart(&mut self) -> Result<(), EnvironmentError> {
        self.server.restart(&SETTINGS).await.map_err(|error| failed(error.into()))
    }
}

fn failed(error: ServerError) -> EnvironmentError {
    EnvironmentError::Server { message: crate::error_chain(&error).into() }
}

fn refused(action: &str, error: &sqlx::Error) -> EnvironmentError {
    EnvironmentError::Database { action: action.into(), message: crate::error_chain(error).into() }
}
