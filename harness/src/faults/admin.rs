//! The harness's own session in a database: it looks at the sessions of others, and ends, blocks and hinders them.

use std::collections::BTreeMap;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _};

use crate::case::{CaseError, CaseResult};

/// What our sessions are called, so that they are not taken for the subject's.
const NAME: &str = "proofmark kit";

/// How often sessions are looked at until they are to be idle, and how long lies between.
const LOOKS_MAX: u32 = 500;
const LOOK_PAUSE: Duration = Duration::from_millis(10);

/// The most tables that are counted.
const TABLES_MAX: usize = 1_000;

/// The tables of a database that are neither Postgres's nor a migrator's.
const TABLES: &str = "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
        AND c.relname <> '_sqlx_migrations'
    ORDER BY 1";

/// Sessions of the subject: neither ours nor the keeper of recycled databases.
const SESSIONS: &str = "SELECT a.pid, coalesce(a.state, ''), coalesce(a.wait_event_type, '') = 'Lock',
        coalesce(left(a.query, 200), ''),
        (SELECT count(*) FROM pg_catalog.pg_locks l WHERE l.pid = a.pid AND l.granted AND l.locktype <> 'virtualxid')
    FROM pg_catalog.pg_stat_activity a
    WHERE a.datname = current_database() AND a.backend_type = 'client backend' AND a.pid <> pg_backend_pid()
        AND a.application_name NOT IN ('proofmark kit', 'proofmark keeper')";

/// A session of a database, as the server shows it.
#[derive(Debug, Clone)]
pub struct Session {
    /// The id of its process.
    pub pid: i32,
    /// `idle`, `active`, `idle in transaction`, ...
    pub state: String,
    /// Whether it waits for a lock.
    pub waits: bool,
    /// Its last statement.
    pub query: String,
    /// The locks that it holds.
    pub locks: i64,
}

impl Session {
    /// Whether it has nothing under way: no statement, no transaction, no lock.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        self.state == "idle" && self.locks == 0
    }
}

/// A session of the harness.
#[derive(Debug)]
pub struct Admin {
    connection: PgConnection,
}

impl Admin {
    /// A session in the database at this URL.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn connect(url: &str) -> Result<Self, CaseError> {
        let options: PgConnectOptions = url.parse().map_err(CaseError::harness)?;
        let connection = options.application_name(NAME).connect().await.map_err(CaseError::harness)?;
        Ok(Self { connection })
    }

    /// Executes statements.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn execute(&mut self, sql: &str) -> CaseResult {
        let executed = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut self.connection).await;
        executed.map(|_| ()).map_err(|error| CaseError::harness(format!("{sql}: {error}")))
    }

    /// Gives a setting to all later sessions of the database.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn set(&mut self, setting: &str, value: &str) -> CaseResult {
        let sql = "SELECT format('ALTER DATABASE %I SET %I = %L', current_database(), $1, $2)";
        let statement: String = sqlx::query_scalar(sql)
            .bind(setting)
            .bind(value)
            .fetch_one(&mut self.connection)
            .await
            .map_err(CaseError::harness)?;
        self.execute(&statement).await
    }

    /// Takes a setting back.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn reset(&mut self, setting: &str) -> CaseResult {
        let sql = "SELECT format('ALTER DATABASE %I RESET %I', current_database(), $1)";
        let statement: String = sqlx::query_scalar(sql)
            .bind(setting)
            .fetch_one(&mut self.connection)
            .await
            .map_err(CaseError::harness)?;
        self.execute(&statement).await
    }

    /// Where the server keeps its data.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn data_directory(&mut self) -> Result<String, CaseError> {
        sqlx::query_scalar("SHOW data_directory").fetch_one(&mut self.connection).await.map_err(CaseError::harness)
    }

    /// The tables of the database, quoted.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn tables(&mut self) -> Result<Vec<String>, CaseError> {
        let mut tables: Vec<String> =
            sqlx::query_scalar(TABLES).fetch_all(&mut self.connection).await.map_err(CaseError::harness)?;
        tables.truncate(TABLES_MAX);
        Ok(tables)
    }

    /// How many rows there are in each table.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn rows(&mut self) -> Result<BTreeMap<String, i64>, CaseError> {
        let mut rows = BTreeMap::new();
        for table in self.tables().await? {
            let count: i64 = sqlx::query_scalar(AssertSqlSafe(format!("SELECT count(*) FROM {table}")))
                .fetch_one(&mut self.connection)
                .await
                .map_err(CaseError::harness)?;
            rows.insert(table, count);
        }
        Ok(rows)
    }

    /// The columns that hold JSON, and in how many rows of each there is a text which itself holds JSON.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn json_columns(&mut self) -> Result<Vec<(String, i64)>, CaseError> {
        let sql = "SELECT format('%I.%I', c.table_schema, c.table_name), format('%I', c.column_name)
            FROM information_schema.columns c JOIN information_schema.tables t USING (table_schema, table_name)
            WHERE c.data_type IN ('json', 'jsonb') AND t.table_type = 'BASE TABLE'
                AND c.table_schema !~ '^pg_' AND c.table_schema <> 'information_schema'";
        let columns: Vec<(String, String)> =
            sqlx::query_as(sql).fetch_all(&mut self.connection).await.map_err(CaseError::harness)?;
        let mut found = Vec::new();
        for (table, column) in columns.into_iter().take(TABLES_MAX) {
            let sql = format!(
                "SELECT count(*) FROM {table} WHERE jsonb_typeof({column}::jsonb) = 'string'
                    AND ({column}::jsonb #>> '{{}}') ~ '^\\s*[\\[{{]'"
            );
            let count: i64 = sqlx::query_scalar(AssertSqlSafe(sql))
                .fetch_one(&mut self.connection)
                .await
                .map_err(CaseError::harness)?;
            found.push((format!("{table}.{column}"), count));
        }
        Ok(found)
    }

    /// Begins a transaction in which nobody else can read or write any table, until [`unlock`](Self::unlock).
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn lock(&mut self) -> CaseResult {
        let tables = self.tables().await?;
        if tables.is_empty() {
            return Err(CaseError::failed("its migrations: expected tables, found none"));
        }
        self.execute(&format!("BEGIN; LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", tables.join(", "))).await
    }

    /// Ends a transaction without an effect.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn unlock(&mut self) -> CaseResult {
        self.execute("ROLLBACK").await
    }

    /// The subject's sessions.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn sessions(&mut self) -> Result<Vec<Session>, CaseError> {
        // Within a transaction, the server would go on to show what it showed first.
        self.execute("SELECT pg_catalog.pg_stat_clear_snapshot()").await?;
        let rows: Vec<(i32, String, bool, String, i64)> =
            sqlx::query_as(SESSIONS).fetch_all(&mut self.connection).await.map_err(CaseError::harness)?;
        Ok(rows
            .into_iter()
            .map(|(pid, state, waits, query, locks)| Session { pid, state, waits, query, locks })
            .collect())
    }

    /// Waits until the sessions are as wanted; None if they do not become so within five seconds.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn wait_for(
        &mut self,
        are_so: impl Fn(&[Session]) -> bool,
    ) -> Result<Option<Vec<Session>>, CaseError> {
        for _ in 0..LOOKS_MAX {
            let sessions = self.sessions().await?;
            if are_so(&sessions) {
                return Ok(Some(sessions));
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        }
        Ok(None)
    }

    /// Fails unless every session of the subject comes to rest: nothing runs, no transaction is open, nothing is locked.
    ///
    /// # Errors
    /// [`CaseError::Failed`] with a session that does not.
    pub async fn expect_rest(&mut self, when: &str) -> CaseResult {
        if self.wait_for(|sessions| sessions.iter().all(Session::is_at_rest)).await?.is_some() {
            return Ok(());
        }
        let sessions = self.sessions().await?;
        match sessions.iter().find(|session| !session.is_at_rest()) {
            None => Ok(()),
            Some(session) => Err(CaseError::failed(format!(
                "{when}: expected idle sessions without a transaction or a lock, found one that is {:?} and holds {} \
                 locks; its last statement: {}",
                session.state, session.locks, session.query
            ))),
        }
    }

    /// Ends all sessions of the subject, and says how many there were.
    ///
    /// # Errors
    /// When the server refuses, or a session does not end.
    pub async fn terminate_all(&mut self) -> Result<usize, CaseError> {
        let sessions = self.sessions().await?;
        for session in &sessions {
            self.terminate(session.pid).await?;
        }
        Ok(sessions.len())
    }

    /// Ends a session, and waits until it has ended.
    ///
    /// # Errors
    /// When the server refuses, or the session does not end.
    pub async fn terminate(&mut self, pid: i32) -> CaseResult {
        sqlx::query("SELECT pg_terminate_backend($1, 5000)")
            .bind(pid)
            .execute(&mut self.connection)
            .await
            .map_err(CaseError::harness)?;
        Ok(())
    }

    /// Cancels the statements that the subject's sessions are at, and says how many there were.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn cancel_all(&mut self) -> Result<usize, CaseError> {
        let sessions = self.sessions().await?;
        let active: Vec<_> = sessions.iter().filter(|session| session.state == "active").collect();
        for session in &active {
            sqlx::query("SELECT pg_cancel_backend($1)")
                .bind(session.pid)
                .execute(&mut self.connection)
                .await
                .map_err(CaseError::harness)?;
        }
        Ok(active.len())
    }
}
