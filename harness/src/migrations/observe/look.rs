//! Looks at a database from within a session, and turns what the server refuses into data.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Deserialize;
use sqlx::postgres::{PgConnection, PgDatabaseError};
use sqlx::{AssertSqlSafe, Executor as _, Row as _};

use crate::migrations::sandbox::{Refusal, SandboxError};

const LOOK: &str = include_str!("look.sql");

/// Each by its number, so that the cost does not depend on how many there are: that is what the offset is for.
const LOCKED: &str = "
    SELECT c.oid, c.relname, c.relkind, c.relnamespace, lock.modes FROM lock CROSS JOIN LATERAL (
        SELECT c.oid, c.relname, c.relkind, c.relnamespace FROM pg_catalog.pg_class c WHERE c.oid = lock.relation OFFSET 0
    ) c";

/// All that are not the system's.
const ALL: &str = "
    SELECT c.oid, c.relname, c.relkind, c.relnamespace, lock.modes
    FROM pg_catalog.pg_class c LEFT JOIN lock ON lock.relation = c.oid WHERE c.oid >= 16384";

/// What a session's transaction has done so far.
#[derive(Debug, Deserialize)]
pub(super) struct Look {
    pub(super) in_block: bool,
    pub(super) lock_timeout: String,
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

/// What the transaction of this session has touched; with `whole`, all tables.
pub(super) async fn look(connection: &mut PgConnection, whole: bool) -> Result<Look, SandboxError> {
    let query = LOOK.replace("(WANTED)", &format!("({})", if whole { ALL } else { LOCKED }));
    document(connection, &query, "look at what a statement did").await
}

/// How long the session waits for a lock.
pub(super) async fn lock_timeout_ms(connection: &mut PgConnection) -> Result<i64, SandboxError> {
    let query = "SELECT pg_catalog.to_json(pg_catalog.current_setting('lock_timeout'))::text";
    let setting: String = document(connection, query, "look at a session").await?;
    Ok(milliseconds(&setting))
}

/// A time as the server shows a setting: with the greatest unit of which it is a whole number.
pub(super) fn milliseconds(setting: &str) -> i64 {
    let digits = setting.find(|character: char| !character.is_ascii_digit()).unwrap_or(setting.len());
    let (number, unit) = setting.split_at(digits);
    let factor = match unit {
        "s" => 1_000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => 1,
    };
    number.parse::<i64>().unwrap_or(0).saturating_mul(factor)
}

/// All tables by their identifiers.
pub(super) async fn all_tables(connection: &mut PgConnection) -> Result<HashMap<i64, Arc<Table>>, SandboxError> {
    Ok(look(connection, true).await?.tables.into_iter().map(|table| (table.id, Arc::new(table))).collect())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_as_the_server_shows_it() {
        for (setting, expected) in
            [("0", 0), ("1500ms", 1_500), ("2s", 2_000), ("5min", 300_000), ("1h", 3_600_000)]
        {
            assert_eq!(milliseconds(setting), expected, "{setting}");
        }
    }
}
