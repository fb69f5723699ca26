//! Makes and drops databases. All that one run makes has one prefix, and nothing else is ever dropped.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};
use tokio::sync::RwLock;
use tokio::time::timeout;
use uuid::Uuid;

use super::Server;
use super::sandbox_roles::{drop_statement, role_of};
use crate::supervisor::{Identity, Refusal};

/// How many databases are made or dropped at one time: each keeps a processor of the server busy.
const CONCURRENCY_MAX: u32 = 4;

/// How long a request may wait for its turn.
const TURN_TIME_MAX: Duration = Duration::from_secs(60);

const HEALTH_TIME_MAX: Duration = Duration::from_secs(5);

/// The SQLSTATE of a server that starts, stops or recovers.
const CANNOT_CONNECT_NOW: &str = "57P03";

const RECOVERY_POLL_INTERVAL: Duration = Duration::from_millis(10);

const CLOSE_TIME_MAX: Duration = Duration::from_secs(1);

/// How long sessions may take to end before the server is left to wait for them, which it does in steps of 100 ms.
const SESSIONS_TIME_MAX: Duration = Duration::from_millis(500);

const SESSIONS_POLL_INTERVAL: Duration = Duration::from_millis(2);

/// What an administrator of the server does for one run.
#[derive(Debug)]
pub(crate) struct Admin {
    pool: PgPool,
    options: PgConnectOptions,
    prefix: String,
    strategy: &'static str,
    /// Whether the server is ours, and what is done to it is for us to undo.
    ours: bool,
    made: AtomicU64,
    /// Read while a database is made; false when none is to be made any more.
    open: RwLock<bool>,
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
            strategy: server.clone_strategy(),
            ours: server.is_ours(),
            made: AtomicU64::new(0),
            open: RwLock::new(true),
        }
    }

    /// A name for a database of this run: lower-case letters, digits and underscores, so that it needs no quotes.
    pub(crate) fn new_name(&self) -> String {
        format!("{}{}", self.prefix, self.made.fetch_add(1, Ordering::Relaxed))
    }

    /// How the names of all its databases begin.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The name of a template.
    pub(crate) fn template_name(&self, digest: &str) -> String {
        format!("{}template_{}", self.prefix, &digest[..16])
    }

    /// How to connect to one of its databases.
    pub(crate) fn options(&self, database: &str) -> PgConnectOptions {
        self.options.clone().database(database)
    }

    /// Makes a database as a copy of another.
    pub(crate) async fn create(&self, name: &str, template: &str) -> Result<(), Refusal> {
        let open = self.open.read().await;
        if !*open {
            return Err(Refusal::Server {
                message: "expected a request while the run lasts, found one after".to_owned(),
            });
        }
        let statement = format!("CREATE DATABASE {name} TEMPLATE {template} {}", self.strategy);
        self.execute(statement).await
    }

    /// What a new database is known by, and the roles that there are.
    pub(crate) async fn identity(&self, name: &str) -> Result<(Identity, String), Refusal> {
        let query = concat!(
            "SELECT oid::bigint, concat(oid, ':', xmin, ':0:0'), ",
            include_str!("../supervisor/roles.sql"),
            " FROM pg_catalog.pg_database WHERE datname = $1"
        );
        let row = sqlx::query_as(query).bind(name).fetch_one(&self.pool).await;
        let (oid, written, roles) = row.map_err(|error| refusal("look for a new database", &error))?;
        Ok((Identity { oid, written }, roles))
    }

    /// The roles that there are, with their settings.
    pub(crate) async fn roles(&self) -> Result<String, Refusal> {
        let query = concat!("SELECT ", include_str!("../supervisor/roles.sql"));
        let found = sqlx::query_scalar(query).fetch_one(&self.pool).await;
        found.map_err(|error| refusal("look at roles", &error))
    }

    /// Lets nobody into a database any more, as what has no sessions can be copied, and gives it its final name.
    pub(crate) async fn seal(&self, name: &str, sealed: &str) -> Result<(), Refusal> {
        self.execute(format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false")).await?;
        self.execute(format!("ALTER DATABASE {name} RENAME TO {sealed}")).await
    }

    /// Drops a database and terminates the sessions on it.
    pub(crate) async fn drop(&self, name: &str) -> Result<(), Refusal> {
        self.execute(format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await
    }

    /// Drops a database of ours that may have another name by now, whatever was done to it.
    pub(crate) async fn drop_with_id(&self, id: i64) -> Result<(), Refusal> {
        let query = "SELECT format('%I', datname), datistemplate FROM pg_catalog.pg_database
            WHERE oid = $1::bigint::oid";
        let found = sqlx::query_as::<_, (String, bool)>(query).bind(id).fetch_optional(&self.pool).await;
        let Some((name, is_template)) = found.map_err(|error| refusal("look for a database", &error))? else {
            return Ok(());
        };
        if is_template {
            self.execute(format!("ALTER DATABASE {name} IS_TEMPLATE false")).await?;
        }
        match self.drop(&name).await {
            Ok(()) => {}
            Err(error) => match self.release_transactions(&name).await {
                Ok(true) => self.drop(&name).await?,
                Ok(false) | Err(_) => return Err(error),
            },
        }
        // A copy of the database may keep it; it goes with the last of them.
        if let Err(refusal) = self.drop_role(&role_of(&name)).await {
            tracing::debug!(database = name, ?refusal, "the role of a database stays for now");
        }
        Ok(())
    }

    /// Drops the role of a database for scripts, if there is one.
    async fn drop_role(&self, role: &str) -> Result<(), Refusal> {
        let statement = drop_statement(role);
        let done = sqlx::raw_sql(AssertSqlSafe(statement)).execute(&self.pool).await;
        done.map(drop).map_err(|error| refusal(&format!("drop the role {role}"), &error))
    }

    /// Rolls back what was prepared in a database and would keep it from being dropped. Whether there was anything.
    async fn release_transactions(&self, name: &str) -> Result<bool, sqlx::Error> {
        let prepared = "SELECT format('ROLLBACK PREPARED %L', gid) FROM pg_catalog.pg_prepared_xacts
            WHERE database = current_database()";
        let mut connection =
            PgConnectOptions::clone(&self.options).database(name.trim_matches('"')).connect().await?;
        let statements: Vec<String> = sqlx::query_scalar(prepared).fetch_all(&mut connection).await?;
        for statement in &statements {
            sqlx::raw_sql(AssertSqlSafe(statement.as_str())).execute(&mut connection).await?;
        }
        connection.close().await?;
        Ok(!statements.is_empty())
    }

    /// On a server of our own: drops roles that were not there at first, and takes settings back.
    pub(crate) async fn restore_roles(&self) -> Result<(), Refusal> {
        if !self.ours {
            return Ok(());
        }
        // The first role is the one that made all others, and the only one of a new server.
        let query = "SELECT format('DROP ROLE IF EXISTS %I', rolname) FROM pg_catalog.pg_authid
                WHERE oid >= 16384
            UNION ALL SELECT 'ALTER ROLE ALL RESET ALL'
            UNION ALL SELECT format('ALTER ROLE %I RESET ALL', rolname) FROM pg_catalog.pg_authid WHERE oid = 10";
        let found = sqlx::query_scalar(query).fetch_all(&self.pool).await;
        let statements: Vec<String> = found.map_err(|error| refusal("look for roles", &error))?;
        let mut result = Ok(());
        for statement in statements {
            result = result.and(self.execute(statement).await);
        }
        result
    }

    /// Drops every database of this run; there will be no other.
    pub(crate) async fn drop_all(&self) -> Result<(), Refusal> {
        // What is being made is waited for, as it would be left.
        if let Ok(mut open) = timeout(TURN_TIME_MAX, self.open.write()).await {
            *open = false;
        }
        let query =
            sqlx::query_scalar("SELECT oid::bigint FROM pg_catalog.pg_database WHERE starts_with(datname, $1)");
        let found = query.bind(&self.prefix).fetch_all(&self.pool).await;
        let ids: Vec<i64> = found.map_err(|error| refusal("look for the databases of this run", &error))?;
        if let Ok(mut connection) = self.pool.acquire().await {
            end_sessions(&mut connection, &self.prefix).await;
        }
        // Each waits for a checkpoint, and several may wait for the same one.
        let dropped = stream::iter(ids).map(|id| self.drop_with_id(id)).buffer_unordered(CONCURRENCY_MAX as usize);
        let mut result = dropped.fold(Ok(()), |all: Result<(), Refusal>, one| async { all.and(one) }).await;
        // Those that stayed, as something belonged to them in another database.
        let query = "SELECT rolname::text FROM pg_catalog.pg_roles WHERE starts_with(rolname, $1)";
        let found = sqlx::query_scalar(query).bind(&self.prefix).fetch_all(&self.pool).await;
        let roles: Vec<String> = found.map_err(|error| refusal("look for the roles of this run", &error))?;
        for role in roles {
            result = result.and(self.drop_role(&role).await);
        }
        result
    }

    /// Whether the server answers; on a connection of its own, so that it need not wait for its turn.
    pub(crate) async fn is_healthy(&self) -> bool {
        let ask = async {
            loop {
                match self.options.connect().await {
                    // It is about to recover from a crash.
                    Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(CANNOT_CONNECT_NOW) => {
                        tokio::time::sleep(RECOVERY_POLL_INTERVAL).await;
                    }
                    connected => return connected?.close().await,
                }
            }
        };
        matches!(timeout(HEALTH_TIME_MAX, ask).await, Ok(Ok(())))
    }

    /// Ends its own sessions; those of a server that does not answer are given up.
    pub(crate) async fn close(&self) {
        let _ = timeout(CLOSE_TIME_MAX, self.pool.close()).await;
    }

    async fn execute(&self, statement: String) -> Result<(), Refusal> {
        let result = sqlx::query(AssertSqlSafe(statement.clone())).persistent(false).execute(&self.pool).await;
        result.map(|_| ()).map_err(|error| refusal(&statement, &error))
    }
}

/// Ends all sessions in databases whose names begin in a certain way, as far as this is allowed. `DROP DATABASE` would end
/// them one database after another.
pub(super) async fn end_sessions(server: &mut PgConnection, prefix: &str) {
    let end = "SELECT pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity WHERE starts_with(datname, $1)";
    let left = "SELECT EXISTS (SELECT FROM pg_catalog.pg_stat_activity WHERE starts_with(datname, $1))";
    let started = Instant::now();
    if sqlx::query(end).bind(prefix).execute(&mut *server).await.is_err() {
        return;
    }
    while started.elapsed() < SESSIONS_TIME_MAX
        && matches!(sqlx::query_scalar(left).bind(prefix).fetch_one(&mut *server).await, Ok(true))
    {
        tokio::time::sleep(SESSIONS_POLL_INTERVAL).await;
    }
}

fn refusal(action: &str, error: &sqlx::Error) -> Refusal {
    Refusal::Database { action: action.to_owned(), message: crate::error_chain(error) }
}
