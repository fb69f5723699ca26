//! Whether the rows that a migration met are there afterwards, with the values that they had.
//!
//! What a migration may do to rows is seen when it is run for the first time; then it is rolled back, the rows of those
//! tables are kept aside in temporary tables of a session of ours, and compared on the server when it is committed. So
//! nothing depends on how many there are but the server's time.

use std::collections::HashMap;
use std::sync::Arc;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Executor as _, Row as _};

use super::look::{self, Column, Table};
use super::run::Before;
use super::{Change, Observed, Touched};
use crate::migrations::sandbox::SandboxError;

/// How many tables of one migration are compared.
const TABLES_MAX: usize = 50;

/// How many rows of one table are compared.
const ROWS_MAX: i64 = 200_000;

/// How long one comparison may take.
const LIMITS: &str = "SET LOCAL statement_timeout = '20s'; SET LOCAL lock_timeout = '10s'";

/// Rows that did not survive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostRows {
    /// The statement that is the reason, as far as can be told.
    pub statement: usize,
    /// The table, as it was called before.
    pub table: String,
    /// How many rows it had.
    pub rows_before: i64,
    /// How many it has.
    pub rows_after: i64,
    /// How many rows of before are not there any more, or have other values.
    pub lost: i64,
    /// How.
    pub how: Loss,
}

/// How rows were lost.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Loss {
    /// The table is gone, with all rows.
    Dropped,
    /// The table was dropped, and there is another of its name.
    Recreated,
    /// A column has another type, in which not all values are what they were.
    Converted {
        /// The column.
        column: String,
        /// Its type before.
        from: String,
        /// Its type now.
        to: String,
        /// Whether values that differed are the same now.
        is_collapsed: bool,
        /// The first value that is not there any more.
        example: String,
    },
    /// Rows were changed or deleted.
    Changed {
        /// The columns with other values.
        columns: Vec<String>,
    },
}

/// Rows that were kept aside.
#[derive(Debug)]
pub(super) struct Kept {
    id: i64,
    table: Arc<Table>,
    columns: Vec<Column>,
    rows: i64,
    aside: String,
}

/// The tables whose rows statements may have changed, or taken.
pub(super) fn suspects(statements: &[Observed], before: &Before) -> Vec<i64> {
    let mut found = Vec::new();
    for touched in statements.iter().flat_map(|observed| &observed.tables) {
        let has_rows = before.relations.get(&touched.id).is_some_and(|relation| relation.bytes > 0);
        if has_rows && may_lose(touched) && !found.contains(&touched.id) && found.len() < TABLES_MAX {
            found.push(touched.id);
        }
    }
    found
}

fn may_lose(touched: &Touched) -> bool {
    let loses = |change: &Change| {
        matches!(change, Change::Rewritten | Change::Emptied | Change::TableDropped | Change::ColumnType { .. })
    };
    touched.rows_changed > 0 || touched.changes.iter().any(loses)
}

/// The tables with rows that a text names.
pub(super) fn named(text: &str, before: &Before) -> Vec<i64> {
    let text = text.to_lowercase();
    let is_named = |table: &&Arc<Table>| {
        let has_rows = before.relations.get(&table.id).is_some_and(|relation| relation.bytes > 0);
        has_rows && text.contains(&bare(&table.name).to_lowercase())
    };
    let mut found: Vec<i64> = before.tables.values().filter(is_named).map(|table| table.id).collect();
    found.sort_unstable();
    found.truncate(TABLES_MAX);
    found
}

/// A name without its schema and quotes.
pub(super) fn bare(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name).trim_matches('"')
}

/// Keeps the rows of some tables aside.
pub(super) async fn keep(
    admin: &mut PgConnection,
    before: &Before,
    tables: &[i64],
) -> Result<Vec<Kept>, SandboxError> {
    let mut found = Vec::new();
    for id in tables {
        let Some(table) = before.tables.get(id) else { continue };
        let is_own = before.relations.get(id).is_some_and(|relation| relation.kind == "r");
        let columns: Vec<Column> = table.columns.iter().filter(|column| !column.computed).cloned().collect();
        if !is_own || columns.is_empty() {
            continue;
        }
        let count = format!("SELECT count(*) FROM (SELECT FROM ONLY {} LIMIT {}) AS r", table.name, ROWS_MAX + 1);
        let Some(rows) = number(admin, &count).await?.filter(|rows| (1..=ROWS_MAX).contains(rows)) else {
            continue;
        };
        let name = format!("proofmark_rows_{}", found.len());
        let list: Vec<String> = columns
            .iter()
            .map(|column| format!("{name}::text AS c{}", column.number, name = column.name))
            .collect();
        let statement =
            format!("CREATE TEMPORARY TABLE {name} AS SELECT {} FROM ONLY {}", list.join(", "), table.name);
        if look::run(admin, &statement).await?.is_none() {
            found.push(Kept {
                id: *id,
                table: Arc::clone(table),
                columns,
                rows,
                aside: format!("pg_temp.{name}"),
            });
        }
    }
    Ok(found)
}

/// Compares what was kept with what there is, and throws it away.
pub(super) async fn compare(
    admin: &mut PgConnection,
    kept: Vec<Kept>,
    after: &HashMap<i64, Arc<Table>>,
    statements: &[Observed],
) -> Result<Vec<LostRows>, SandboxError> {
    let mut found = Vec::new();
    for kept in &kept {
        found.extend(compare_one(admin, kept, after, statements).await?);
    }
    for kept in kept {
        look::run(admin, &format!("DROP TABLE IF EXISTS {}", kept.aside)).await?;
    }
    Ok(found)
}

async fn compare_one(
    admin: &mut PgConnection,
    kept: &Kept,
    after: &HashMap<i64, Arc<Table>>,
    statements: &[Observed],
) -> Result<Option<LostRows>, SandboxError> {
    let lost = |statement, rows_after, lost, how| LostRows {
        statement,
        table: kept.table.name.clone(),
        rows_before: kept.rows,
        rows_after,
        lost,
        how,
    };
    let same = after.get(&kept.id);
    let namesake = after.values().find(|table| table.name == kept.table.name);
    let Some(now) = same.or(namesake) else {
        let statement = culprit(statements, kept.id, |change| *change == Change::TableDropped);
        return Ok(Some(lost(statement, 0, kept.rows, Loss::Dropped)));
    };
    let mut pairs = Vec::new();
    for column in &kept.columns {
        let is_it = |other: &&Column| match same {
            Some(_) => other.number == column.number,
            None => other.name == column.name,
        };
        let Some(other) = now.columns.iter().find(is_it) else { continue };
        if let Some(pair) = Pair::find(admin, kept, now, column, other).await? {
            pairs.push(pair);
        }
    }
    let count = format!("SELECT count(*) FROM ONLY {}", now.name);
    let Some(rows_after) = number(admin, &count).await? else { return Ok(None) };
    let (old, new): (Vec<&str>, Vec<&str>) =
        pairs.iter().map(|pair| (pair.old.as_str(), pair.new.as_str())).unzip();
    let missing = if old.is_empty() {
        // None of the columns is left that could be compared.
        Some((kept.rows - rows_after).max(0))
    } else {
        let query = difference(kept, now, &old.join(", "), &new.join(", "));
        number(admin, &format!("SELECT count(*) FROM ({query}) AS r")).await?
    };
    let Some(missing) = missing.filter(|missing| *missing > 0) else { return Ok(None) };
    if same.is_none() {
        let statement = culprit(statements, kept.id, |change| *change == Change::TableDropped);
        return Ok(Some(lost(statement, rows_after, missing, Loss::Recreated)));
    }
    let converted = pairs.iter().find(|pair| pair.lost > 0 && pair.from != pair.to);
    if let Some(pair) = converted {
        let is_it = |change: &Change| matches!(change, Change::ColumnType { name, .. } if *name == pair.name);
        let how = Loss::Converted {
            column: pair.name.clone(),
            from: pair.from.clone(),
            to: pair.to.clone(),
            is_collapsed: pair.is_collapsed(admin, kept, now).await?,
            example: pair.example(admin, kept, now).await?,
        };
        return Ok(Some(lost(culprit(statements, kept.id, is_it), rows_after, pair.lost, how)));
    }
    let columns = pairs.iter().filter(|pair| pair.lost > 0).map(|pair| pair.name.clone()).collect();
    let statement = statements
        .iter()
        .find(|observed| observed.tables.iter().any(|touched| touched.id == kept.id && may_lose(touched)));
    let statement = statement.map_or(0, |observed| observed.statement);
    Ok(Some(lost(statement, rows_after, missing, Loss::Changed { columns })))
}

/// The first statement that changed a table so, or at all.
fn culprit(statements: &[Observed], table: i64, is_it: impl Fn(&Change) -> bool) -> usize {
    let of_table = |observed: &&Observed, wanted: &dyn Fn(&Touched) -> bool| {
        observed.tables.iter().any(|touched| touched.id == table && wanted(touched))
    };
    let exact =
        statements.iter().find(|observed| of_table(observed, &|touched| touched.changes.iter().any(&is_it)));
    let any = || statements.iter().find(|observed| of_table(observed, &|_| true));
    exact.or_else(any).map_or(0, |observed| observed.statement)
}

/// What is in one and not in the other; the same row as often as it is missing.
fn difference(kept: &Kept, now: &Table, old: &str, new: &str) -> String {
    format!("SELECT {old} FROM {} EXCEPT ALL SELECT {new} FROM ONLY {}", kept.aside, now.name)
}

/// A column before and after.
struct Pair {
    name: String,
    from: String,
    to: String,
    old: String,
    new: String,
    /// How many values are not there any more.
    lost: i64,
}

impl Pair {
    /// A value that was converted is what it was if the way back leads to it. None if there is no way to compare.
    async fn find(
        admin: &mut PgConnection,
        kept: &Kept,
        now: &Table,
        column: &Column,
        other: &Column,
    ) -> Result<Option<Self>, SandboxError> {
        let (name, from, to) = (&other.name, &column.kind, &other.kind);
        let ways = if from == to {
            vec![format!("{name}::text")]
        } else {
            vec![format!("{name}::{from}::text"), format!("{name}::text::{from}::text"), format!("{name}::text")]
        };
        let old = format!("c{}", column.number);
        let mut best: Option<Self> = None;
        for new in ways {
            let query = format!("SELECT count(*) FROM ({}) AS r", difference(kept, now, &old, &new));
            let Some(lost) = number(admin, &query).await? else { continue };
            if best.as_ref().is_none_or(|best| lost < best.lost) {
                let (from, to) = (from.clone(), to.clone());
                best = Some(Self { name: column.name.clone(), from, to, old: old.clone(), new, lost });
            }
            if lost == 0 {
                break;
            }
        }
        Ok(best)
    }

    async fn is_collapsed(
        &self,
        admin: &mut PgConnection,
        kept: &Kept,
        now: &Table,
    ) -> Result<bool, SandboxError> {
        let query = format!(
            "SELECT ((SELECT count(DISTINCT {}) FROM {}) > (SELECT count(DISTINCT {}) FROM ONLY {}))::int::bigint",
            self.old, kept.aside, self.new, now.name
        );
        Ok(number(admin, &query).await? == Some(1))
    }

    async fn example(&self, admin: &mut PgConnection, kept: &Kept, now: &Table) -> Result<String, SandboxError> {
        let query = difference(kept, now, &self.old, &self.new);
        let query = format!("SELECT pg_catalog.left(pg_catalog.min(v), 60) FROM ({query}) AS r(v)");
        let row = admin.fetch_one(sqlx::raw_sql(AssertSqlSafe(query))).await;
        Ok(row.ok().and_then(|row| row.try_get::<Option<String>, _>(0).ok().flatten()).unwrap_or_default())
    }
}

/// A number that is asked for; None if the server refuses to answer.
async fn number(admin: &mut PgConnection, query: &str) -> Result<Option<i64>, SandboxError> {
    // One message, which is a transaction to the server.
    let query = format!("{LIMITS}; {query}");
    match admin.fetch_one(sqlx::raw_sql(AssertSqlSafe(query))).await {
        Ok(row) => Ok(row.try_get(0).ok()),
        Err(sqlx::Error::Database(_)) => Ok(None),
        Err(source) => Err(SandboxError::Server { action: "compare rows", source }),
    }
}
