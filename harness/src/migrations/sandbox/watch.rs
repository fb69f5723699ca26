//! The session of ours in a sandbox: it makes what scripts may not, and ends what does not end.

use std::collections::BTreeSet;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};
use tokio::sync::Mutex;

use super::intent::{RoleVerb, RoleWish};
use super::{Refusal, SandboxError, server_error};
use crate::schema::{self, Fingerprint, Mark};
use crate::server::sandbox_roles::{LOCK, MARK};

/// Extensions that reach outside of their database, or run what they are given; they are made for nobody.
const EXTENSIONS_REFUSED: [&str; 17] = [
    "adminpack",
    "dblink",
    "file_fdw",
    "http",
    "mysql_fdw",
    "oracle_fdw",
    "pg_cron",
    "pg_net",
    "pg_surgery",
    "pldbgapi",
    "pljava",
    "plr",
    "plrust",
    "plsh",
    "postgres_fdw",
    "tds_fdw",
    "wrappers",
];

/// A session that may do what scripts may not.
#[derive(Debug)]
pub(super) struct Watch {
    connection: Mutex<PgConnection>,
    /// The role that scripts are executed as.
    role: String,
    /// The roles that this sandbox's scripts have made, as they see it.
    made: Mutex<BTreeSet<String>>,
    /// Whether the session is a superuser's.
    is_superuser: bool,
}

impl Watch {
    /// Its statements never wait for long: what they wait for may wait for them.
    pub(super) const SETTINGS: &str = "SET lock_timeout = '5s'; SET statement_timeout = '60s'";

    pub(super) fn new(connection: PgConnection, role: String, is_superuser: bool) -> Self {
        Self { connection: Mutex::new(connection), role, made: Mutex::default(), is_superuser }
    }

    /// Knows of the roles that another one has made.
    pub(super) async fn share_roles(&self, other: &Self) {
        let made = other.made.lock().await.clone();
        *self.made.lock().await = made;
    }

    /// Goes on with another session: this one has ended with its server.
    pub(super) async fn reconnect(&self, connection: PgConnection) {
        *self.connection.lock().await = connection;
    }

    /// Whether the server still answers, and this session with it: no crash has ended all sessions.
    pub(super) async fn is_alive(&self) -> bool {
        self.connection.lock().await.ping().await.is_ok()
    }

    pub(super) async fn execute(&self, action: &'static str, statements: String) -> Result<(), SandboxError> {
        let mut connection = self.connection.lock().await;
        let done = sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut *connection).await;
        done.map(drop).map_err(server_error(action))
    }

    pub(super) async fn terminate(&self, process: i32) -> Result<(), SandboxError> {
        let mut connection = self.connection.lock().await;
        let query = sqlx::query("SELECT pg_catalog.pg_terminate_backend($1)").bind(process);
        query.execute(&mut *connection).await.map(drop).map_err(server_error("end a session"))
    }

    /// Whether a process of the server has not ended.
    pub(super) async fn is_there(&self, process: i32) -> Result<bool, SandboxError> {
        let mut connection = self.connection.lock().await;
        let query = "SELECT EXISTS (SELECT FROM pg_catalog.pg_stat_activity WHERE pid = $1)";
        let query = sqlx::query_scalar(query).bind(process);
        query.fetch_one(&mut *connection).await.map_err(server_error("look for a session that was ended"))
    }

    pub(super) async fn database_bytes(&self) -> Result<i64, SandboxError> {
        let mut connection = self.connection.lock().await;
        let query = sqlx::query_scalar("SELECT pg_catalog.pg_database_size(pg_catalog.current_database())");
        query.fetch_one(&mut *connection).await.map_err(server_error("look at the size of the database"))
    }

    /// Whether this extension is one that only a superuser may create, and that is created for scripts.
    pub(super) async fn may_promote(&self, extension: &str) -> Result<bool, SandboxError> {
        // The untrusted variants of languages end in this letter.
        let is_language = extension.starts_with("pl") && extension.ends_with('u');
        if !self.is_superuser || is_language || EXTENSIONS_REFUSED.contains(&extension) {
            return Ok(false);
        }
        let mut connection = self.connection.lock().await;
        let query = sqlx::query_scalar(
            "SELECT EXISTS (
                SELECT FROM pg_catalog.pg_available_extensions e
                JOIN pg_catalog.pg_available_extension_versions v
                    ON v.name = e.name AND v.version = e.default_version
                WHERE e.name = $1 AND v.superuser AND NOT v.trusted AND e.installed_version IS NULL
            )",
        );
        query.bind(extension).fetch_one(&mut *connection).await.map_err(server_error("look for an extension"))
    }

    pub(super) async fn schema(&self) -> Result<String, SandboxError> {
        let mut connection = self.connection.lock().await;
        schema::render(&mut connection).await.map_err(server_error("read the schema"))
    }

    pub(super) async fn digest(&self) -> Result<String, SandboxError> {
        let mut connection = self.connection.lock().await;
        schema::digest(&mut connection).await.map_err(server_error("read the catalogs"))
    }

    /// The time, in seconds since 1970.
    pub(super) async fn clock(&self) -> Result<f64, SandboxError> {
        let mut connection = self.connection.lock().await;
        let query = sqlx::query_scalar("SELECT pg_catalog.date_part('epoch', pg_catalog.clock_timestamp())");
        query.fetch_one(&mut *connection).await.map_err(server_error("look at the server's clock"))
    }

    /// What became of a transaction.
    pub(super) async fn status(&self, transaction: &str) -> Result<String, SandboxError> {
        let mut connection = self.connection.lock().await;
        let query = "SELECT coalesce(pg_catalog.pg_xact_status($1::text::xid8), 'unknown')";
        let query = sqlx::query_scalar(query).bind(transaction);
        query.fetch_one(&mut *connection).await.map_err(server_error("look at a transaction"))
    }

    /// Whether the schema is as it was.
    pub(super) async fn is_as_it_was(&self, mark: &mut Mark) -> Result<bool, SandboxError> {
        let mut connection = self.connection.lock().await;
        mark.is_as_it_was(&mut connection).await.map_err(server_error("compare the catalogs"))
    }

    pub(super) async fn fingerprint(&self) -> Result<Fingerprint, SandboxError> {
        let mut connection = self.connection.lock().await;
        Fingerprint::take(&mut connection).await.map_err(server_error("read the catalogs"))
    }

    pub(super) async fn available_extensions(&self) -> Result<BTreeSet<String>, SandboxError> {
        let mut connection = self.connection.lock().await;
        let query = sqlx::query_scalar("SELECT name::text FROM pg_catalog.pg_available_extensions");
        let found: Vec<String> =
            query.fetch_all(&mut *connection).await.map_err(server_error("look for extensions"))?;
        Ok(found.into_iter().collect())
    }

    /// Lets the scripts' role be a superuser, or not any more.
    pub(super) async fn promote(&self, may: bool) -> Result<(), SandboxError> {
        let word = if may { "SUPERUSER" } else { "NOSUPERUSER" };
        self.execute("make an extension for a script", format!("ALTER ROLE {} {word}", self.role)).await
    }

    /// Does what a script wants with a role. What a server would have refused comes back as a value.
    pub(super) async fn see_to(&self, wish: &RoleWish, number: usize) -> Result<Option<Refusal>, SandboxError> {
        let name = wish.name.as_str();
        let refused = |sqlstate, message: String| Ok(Some(Refusal::ours(number, sqlstate, message)));
        let mut made = self.made.lock().await;
        match wish.verb {
            RoleVerb::Create if made.contains(name) => refused("42710", format!("role \"{name}\" already exists")),
            RoleVerb::Create => match self.make(name).await? {
                None => {
                    made.insert(name.to_owned());
                    Ok(None)
                }
                Some((sqlstate, message)) => refused(&sqlstate, message),
            },
            RoleVerb::Drop if made.remove(name) || wish.lenient => Ok(None),
            RoleVerb::Alter if made.contains(name) => Ok(None),
            RoleVerb::Alter | RoleVerb::Drop if self.exists(name).await? => refused(
                "42501",
                format!("permission denied: role \"{name}\" is not one that these migrations have made"),
            ),
            RoleVerb::Alter | RoleVerb::Drop => refused("42704", format!("role \"{name}\" does not exist")),
        }
    }

    /// The first of some roles that is there only as the scripts of another sandbox have made it.
    pub(super) async fn made_elsewhere(&self, names: &[String]) -> Result<Option<String>, SandboxError> {
        if names.is_empty() {
            return Ok(None);
        }
        let made = self.made.lock().await;
        let names: Vec<&String> = names.iter().filter(|name| !made.contains(*name)).collect();
        if names.is_empty() {
            return Ok(None);
        }
        let mut connection = self.connection.lock().await;
        let query = "SELECT rolname::text FROM pg_catalog.pg_roles
            WHERE rolname = ANY ($1) AND pg_catalog.shobj_description(oid, 'pg_authid') = $2 ORDER BY rolname LIMIT 1";
        let query = sqlx::query_scalar(query).bind(names).bind(MARK);
        query.fetch_optional(&mut *connection).await.map_err(server_error("look for a role"))
    }

    /// Makes a role that is there before the first migration.
    pub(super) async fn provide(&self, name: &str) -> Result<(), SandboxError> {
        match self.make(name).await? {
            None => {
                self.made.lock().await.insert(name.to_owned());
                Ok(())
            }
            Some((_, message)) => Err(SandboxError::Role { name: name.to_owned(), message }),
        }
    }

    async fn exists(&self, name: &str) -> Result<bool, SandboxError> {
        let mut connection = self.connection.lock().await;
        let query =
            sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = $1)").bind(name);
        query.fetch_one(&mut *connection).await.map_err(server_error("look for a role"))
    }

    /// Makes a role without any rights, or shares one that was made for another sandbox. Returns what speaks against
    /// it.
    async fn make(&self, name: &str) -> Result<Option<(String, String)>, SandboxError> {
        const ACTION: &str = "make a role for a script";
        if !self.is_superuser {
            return Ok(Some(("42501".to_owned(), "permission denied to create role".to_owned())));
        }
        let mut connection = self.connection.lock().await;
        let mut transaction = connection.begin().await.map_err(server_error(ACTION))?;
        sqlx::raw_sql(LOCK).execute(&mut *transaction).await.map_err(server_error(ACTION))?;
        let query = "SELECT coalesce(pg_catalog.shobj_description(oid, 'pg_authid'), '')
            FROM pg_catalog.pg_roles WHERE rolname = $1";
        let found: Option<String> = sqlx::query_scalar(query)
            .bind(name)
            .fetch_optional(&mut *transaction)
            .await
            .map_err(server_error(ACTION))?;
        let quoted = quoted(name);
        let mut statements = match found.as_deref() {
            Some(MARK) => String::new(),
            Some(_) => return Ok(Some(("42710".to_owned(), format!("role \"{name}\" already exists")))),
            None => format!("CREATE ROLE {quoted} NOLOGIN; COMMENT ON ROLE {quoted} IS '{MARK}';"),
        };
        statements.push_str(&format!("GRANT {quoted} TO {} WITH ADMIN OPTION", self.role));
        match sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut *transaction).await {
            Ok(_) => transaction.commit().await.map(|()| None).map_err(server_error(ACTION)),
            // A reserved name, for instance.
            Err(sqlx::Error::Database(error)) => {
                Ok(Some((error.code().unwrap_or_default().into_owned(), error.message().to_owned())))
            }
            Err(error) => Err(server_error(ACTION)(error)),
        }
    }
}

/// A name as the server takes it for one, whatever is in it.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A string as the server takes it for one, whatever is in it.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
