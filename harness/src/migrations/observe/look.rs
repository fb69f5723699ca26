//! Looks at a database from within a session, and turns what the server refuses into data.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Deserialize;
use sqlx::postgres::{PgConnection, PgDatabaseError};
use sqlx::{AssertSqlSafe, Executor as _, Row as _};

use crate::migrations::sandbox::{Refusal, SandboxError};

const LOOK: &str = include_str!("look.sql");

/// Tables, views and their sizes: what is asked once for each migration.
const RELATIONS: &str = "
    SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_object(
        'id', c.oid::bigint,
        'name', pg_catalog.format('%I.%I', n.nspname, c.relname),
        'kind', c.relkind::text,
        'bytes', CASE WHEN c.relkind IN ('r', 'm') THEN coalesce(pg_catalog.pg_relation_size(c.oid), 0) ELSE 0 END
    )), '[]')::text
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.oid >= 16384 AND c.relkind IN ('r', 'p', 'm', 'v')
        AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'";

/// What a session's transaction has done so far.
#[derive(Debug, Deserialize)]
pub(super) struct Look {
    pub(super) in_block: bool,
    pub(super) lock_timeout_ms: i64,
    pub(super) gone: Vec<i64>,
    pub(super) tables: Vec<Table>,
}

/// A table as a session sees it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Table {
    pub(super) id: i64,
    pub(super) name: String,
    pub(super) modes: Vec<String>,
    pub(super) file: Option<i64>,
    pub(super) bytes: i64,
    pub(super) scans: i64,
    pub(super) read: i64,
    pub(super) inserted: i64,
    pub(super) updated: i64,
    pub(super) deleted: i64,
    pub(super) columns: Vec<Column>,
    pub(super) constraints: Vec<Constraint>,
    pub(super) indexes: Vec<Index>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Column {
    pub(super) number: i64,
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) not_null: bool,
    /// The server has a value for it.
    pub(super) given: bool,
    /// The server takes no other.
    pub(super) computed: bool,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Constraint {
    pub(super) id: i64,
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) valid: bool,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Index {
    pub(super) id: i64,
    pub(super) name: String,
    pub(super) file: Option<i64>,
    pub(super) of_constraint: bool,
}

/// A table or a view that there is.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Relation {
    pub(super) id: i64,
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) bytes: i64,
}

/// What the transaction of this session has touched; with `whole`, all tables.
pub(super) async fn look(connection: &mut PgConnection, whole: bool) -> Result<Look, SandboxError> {
    let query = LOOK.replace("WHOLE", if whole { "true" } else { "false" });
    document(connection, &query, "look at what a statement did").await
}

/// How long the session waits for a lock.
pub(super) async fn lock_timeout_ms(connection: &mut PgConnection) -> Result<i64, SandboxError> {
    let query = "SELECT s.setting FROM pg_catalog.pg_settings s WHERE s.name = 'lock_timeout'";
    document(connection, query, "look at a session").await
}

/// All tables by their identifiers.
pub(super) async fn all_tables(connection: &mut PgConnection) -> Result<HashMap<i64, Arc<Table>>, SandboxError> {
    Ok(look(connection, true).await?.tables.into_iter().map(|table| (table.id, Arc::new(table))).collect())
}

/// All tables and views.
pub(super) async fn relations(connection: &mut PgConnection) -> Result<HashMap<i64, Relation>, SandboxError> {
    let found: Vec<Relation> = document(connection, RELATIONS, "look at the tables").await?;
    Ok(found.into_iter().map(|relation| (relation.id, relation)).collect())
}

/// As a simple query: a script may have thrown away whatever a session had prepared.
pub(crate) async fn document<T: serde::de::DeserializeOwned>(
    connection: &mut PgConnection,
    query: &str,
    action: &'static str,
) -> Result<T, SandboxError> {
    let server = |source| SandboxError::Server { action, source };
    let row = sqlx::raw_sql(AssertSqlSafe(query)).fetch_one(connection).await.map_err(server)?;
    let text: String = row.try_get(0).map_err(server)?;
    serde_json::from_str(&text).map_err(|error| server(sqlx::Error::Decode(Box::new(error))))
}

/// Runs a statement of ours whose refusal says something about the scripts.
pub(crate) async fn run(connection: &mut PgConnection, statement: &str) -> Result<Option<Refusal>, SandboxError> {
    match connection.execute(sqlx::raw_sql(AssertSqlSafe(statement))).await {
        Ok(_) => Ok(None),
        Err(error) => refusal_of(error, 0).map(Some),
    }
}

/// Rolls back whatever is open; a session that a script has ended is rolled back already.
pub(crate) async fn roll_back(connection: &mut PgConnection) {
    let _ = connection.execute("ROLLBACK").await;
}

/// What the server refused; any other error is not the scripts' fault.
fn refusal_of(error: sqlx::Error, statement: usize) -> Result<Refusal, SandboxError> {
    let source = match error {
        sqlx::Error::Database(error) => match error.try_downcast_ref::<PgDatabaseError>() {
            Some(error) => {
                return Ok(Refusal {
                    statement,
                    sqlstate: error.code().to_owned(),
                    message: error.message().to_owned(),
                    detail: error.detail().map(str::to_owned),
                    hint: error.hint().map(str::to_owned),
                    offset: None,
                    context: error.r#where().map(str::to_owned),
                });
            }
            None => sqlx::Error::Database(error),
        },
        error => error,
    };
    Err(SandboxError::Server { action: "run a statement", source })
}
