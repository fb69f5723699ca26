//! The queries of those who know the schema as it was before a migration: they go on while it is rolled out.

use std::collections::HashMap;
use std::sync::Arc;

use sqlx::postgres::PgConnection;

use super::look::{self, Table};
use super::{Change, Observed};
use crate::migrations::sandbox::{Refusal, SandboxError};

/// How long such a query may take.
const LIMITS: &str = "SET LOCAL statement_timeout = '10s'; SET LOCAL lock_timeout = '10s'";

/// A query that ran before a migration and does not any more.
#[derive(Debug, Clone)]
pub struct OldQuery {
    /// The table as it was called.
    pub table: String,
    /// The query.
    pub query: String,
    /// What the server says to it now.
    pub refusal: Refusal,
    /// The statement that changed the table.
    pub statement: usize,
    /// The changes of the table that may be the reason.
    pub changes: Vec<Change>,
}

/// Tries the old queries of the tables that were changed.
pub(super) async fn broken(
    admin: &mut PgConnection,
    before: &HashMap<i64, Arc<Table>>,
    statements: &[Observed],
) -> Result<Vec<OldQuery>, SandboxError> {
    let mut found = Vec::new();
    let mut done: Vec<i64> = Vec::new();
    for touched in statements.iter().flat_map(|observed| &observed.tables) {
        if done.contains(&touched.id) || !touched.changes.iter().any(concerns_queries) {
            continue;
        }
        done.push(touched.id);
        let Some(table) = before.get(&touched.id) else { continue };
        let of_table = |observed: &Observed| {
            let tables = observed.tables.iter().filter(|other| other.id == touched.id);
            tables.flat_map(|other| other.changes.clone()).filter(concerns_queries).collect::<Vec<_>>()
        };
        let changes: Vec<Change> = statements.iter().flat_map(of_table).collect();
        let first = statements.iter().find(|observed| !of_table(observed).is_empty());
        let statement = first.map_or(0, |observed| observed.statement);
        for query in [select(table), insert(table)].into_iter().flatten() {
            if let Some(refusal) = attempt(admin, &query).await? {
                found.push(OldQuery {
                    table: table.name.clone(),
                    query,
                    refusal,
                    statement,
                    changes: changes.clone(),
                });
            }
        }
    }
    Ok(found)
}

fn concerns_queries(change: &Change) -> bool {
    matches!(
        change,
        Change::TableDropped
            | Change::TableRenamed { .. }
            | Change::ColumnDropped { .. }
            | Change::ColumnRenamed { .. }
            | Change::ColumnType { .. }
            | Change::ColumnAdded { required: true, .. }
            | Change::DefaultDropped { .. }
            | Change::NotNullSet { .. }
    )
}

/// All columns by their names.
fn select(table: &Table) -> Option<String> {
    let columns: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
    (!columns.is_empty()).then(|| format!("SELECT {} FROM {} LIMIT 1", columns.join(", "), table.name))
}

/// The columns without which there is no row, with the values of one that there is.
fn insert(table: &Table) -> Option<String> {
    let columns = table.columns.iter().filter(|column| column.not_null && !column.given && !column.computed);
    let columns: Vec<&str> = columns.map(|column| column.name.as_str()).collect();
    let (name, list) = (&table.name, columns.join(", "));
    (!columns.is_empty()).then(|| format!("INSERT INTO {name} ({list}) SELECT {list} FROM {name} LIMIT 1"))
}

/// What the server says to a query, if that is about the schema: that there is such a row already is no matter.
async fn attempt(admin: &mut PgConnection, query: &str) -> Result<Option<Refusal>, SandboxError> {
    look::run(admin, &format!("BEGIN; {LIMITS}")).await?;
    let refusal = look::run(admin, query).await?;
    look::run(admin, "ROLLBACK").await?;
    Ok(refusal.filter(|refusal| refusal.sqlstate == "23502" || refusal.sqlstate.starts_with("42")))
}
