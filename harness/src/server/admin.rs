//! Makes and drops databases. All that one run makes has one prefix, and nothing without it is ever dropped.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};
use uuid::Uuid;

use super::Server;
use crate::environment::EnvironmentError;

/// How many databases are made or dropped at one time: each keeps a processor of the server busy.
const CONCURRENCY_MAX: u32 = 4;

/// How long a request may wait for its turn.
const TURN_TIME_MAX: Duration = Duration::from_secs(60);

const HEALTH_TIME_MAX: Duration = Duration::from_secs(5);

const CLOSE_TIME_MAX: Duration = Duration::from_secs(1);

/// What an administrator of the server does for one run.
#[derive(Debug)]
pub(crate) struct Admin {
    pool: PgPool,
    options: PgConnectOptions,
    prefix: String,
    shared: bool,
    strategy: &'static str,
    made: AtomicU64,
}

impl Admin {
    pub(crate) fn new(server: &Server) -> Self {
        let options = server.connect_options();
        let pool = PgPoolOptions::new()
            .max_connections(CONCURRENCY_MAX)
            .acquire_timeout(TURN_TIME_MAX)
            .connect_lazy_with(options.clone());
        let run = Uuid::new_v4().simple().to_string();
        Self {
            pool,
            options,
            prefix: format!("proofmark_{}_", &run[..12]),
            shared: matches!(server, Server::Shared(_)),
            strategy: server.clone_strategy(),
            made: AtomicU64::new(0),
        }
    }

    /// A name for a database of this run: lower-case letters, digits and underscores, so that it needs no quotes.
    pub(crate) fn new_name(&self) -> String {
        format!("{}{}", self.prefix, self.made.fetch_add(1, Ordering::Relaxed))
    }

    /// Whether other processes of the run look for the same templates.
    pub(crate) fn is_shared(&self) -> bool {
        self.shared
    }

    /// The name of a template. Shared ones have not our prefix: they stay when we are done.
    pub(crate) fn template_name(&self, digest: &str) -> String {
        let prefix = if self.shared { "proofmark_" } else { &self.prefix };
        format!("{prefix}template_{}", &digest[..16])
    }

    pub(crate) async fn exists(&self, name: &str) -> Result<bool, EnvironmentError> {
        let query = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)").bind(name);
        let exists = query.fetch_one(&self.pool).await;
        exists.map_err(|source| EnvironmentError::database("look for a template", source))
    }

    /// Waits until no other process builds the template with this digest; ours until the session ends.
    pub(crate) async fn take_turn(&self, digest: &str) -> Result<PgConnection, EnvironmentError> {
        let take = async {
            let mut connection = self.options.connect().await?;
            let lock = sqlx::query("SELECT pg_advisory_lock(hashtextextended($1, 0))").bind(digest);
            lock.execute(&mut connection).await?;
            Ok(connection)
        };
        take.await.map_err(|source| EnvironmentError::database("wait for a template", source))
    }

    /// How to connect to one of its databases.
    pub(crate) fn options(&self, database: &str) -> PgConnectOptions {
        self.options.clone().database(database)
    }

    /// Makes a database as a copy of another.
    pub(crate) async fn create(&self, name: &str, template: &str) -> Result<(), EnvironmentError> {
        let statement = format!("CREATE DATABASE {name} TEMPLATE {template} {}", self.strategy);
        self.execute(statement).await
    }

    /// Lets nobody into a database any more, as what has no sessions can be copied, and gives it its final name.
    pub(crate) async fn seal(&self, name: &str, sealed: &str) -> Result<(), EnvironmentError> {
        self.execute(format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false")).await?;
        self.execute(format!("ALTER DATABASE {name} RENAME TO {sealed}")).await
    }

    /// Drops a database and terminates the sessions on it.
    pub(crate) async fn drop(&self, name: &str) -> Result<(), EnvironmentError> {
        self.execute(format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await
    }

    /// Drops every database of this run.
    pub(crate) async fn drop_all(&self) -> Result<(), EnvironmentError> {
        let query = sqlx::query_scalar("SELECT datname::text FROM pg_database WHERE starts_with(datname, $1)");
        let names: Vec<String> = query
            .bind(&self.prefix)
            .fetch_all(&self.pool)
            .await
            .map_err(|source| EnvironmentError::database("look for the databases of this run", source))?;
        let mut result = Ok(());
        for name in names {
            result = result.and(self.drop(&name).await);
        }
        result
    }

    /// Whether the server answers; on a connection of its own, so that it need not wait for its turn.
    pub(crate) async fn is_healthy(&self) -> bool {
        let ask = async {
            let mut connection = self.options.connect().await?;
            connection.ping().await?;
            connection.close().await
        };
        matches!(tokio::time::timeout(HEALTH_TIME_MAX, ask).await, Ok(Ok(())))
    }

    /// Ends its own sessions; those of a server that does not answer are given up.
    pub(crate) async fn close(&self) {
        let _ = tokio::time::timeout(CLOSE_TIME_MAX, self.pool.close()).await;
    }

    async fn execute(&self, statement: String) -> Result<(), EnvironmentError> {
        let result = sqlx::query(AssertSqlSafe(statement.clone())).persistent(false).execute(&self.pool).await;
        result.map(|_| ()).map_err(|source| EnvironmentError::database(statement, source))
    }
}
