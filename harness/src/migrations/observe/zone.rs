//! Conversions between timestamps with and without a zone: what they mean depends on the session that does them.

use sqlx::postgres::PgConnection;

use super::look;
use super::{Change, Observed};
use crate::migrations::sandbox::SandboxError;

/// A zone that is not UTC, in summer or in winter.
pub(super) const OTHER_ZONE: &str = "Asia/Kathmandu";

/// A column whose values after a migration depend on the zone of the session that ran it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneDependence {
    /// The statement that converted it.
    pub statement: usize,
    /// The table, as it is called after the migration.
    pub table: String,
    /// The column.
    pub column: String,
    /// Its type before.
    pub from: String,
    /// Its type now.
    pub to: String,
    /// The other zone.
    pub zone: &'static str,
    /// A value after the migration was run in UTC, and what is there if it is run in the other zone.
    pub example: (String, String),
    /// Whether the table is rewritten in the other zone.
    pub rewritten: bool,
}

/// The conversions that statements did.
pub(super) fn conversions(statements: &[Observed]) -> Vec<ZoneDependence> {
    let mut found = Vec::new();
    for observed in statements {
        for touched in &observed.tables {
            for change in &touched.changes {
                let Change::ColumnType { name, from, to } = change else { continue };
                let is = |kind: &str, zone: &str| kind.starts_with("timestamp") && kind.ends_with(zone);
                let converted = (is(from, "without time zone") && is(to, "with time zone"))
                    || (is(from, "with time zone") && is(to, "without time zone"));
                if converted {
                    found.push(ZoneDependence {
                        statement: observed.statement,
                        table: touched.table.clone(),
                        column: name.clone(),
                        from: from.clone(),
                        to: to.clone(),
                        zone: OTHER_ZONE,
                        example: (String::new(), String::new()),
                        rewritten: false,
                    });
                }
            }
        }
    }
    found
}

/// The least value of a column, in UTC. None if the column cannot be read, or has no value.
pub(super) async fn value(
    connection: &mut PgConnection,
    conversion: &ZoneDependence,
) -> Result<Option<String>, SandboxError> {
    let ZoneDependence { table, column, .. } = conversion;
    let query = format!(
        "SELECT coalesce((
            SELECT pg_catalog.to_json(pg_catalog.min({column})::text)::text FROM {table}
            WHERE pg_catalog.isfinite({column})
        ), 'null')"
    );
    look::run(connection, "SAVEPOINT proofmark; SET LOCAL TimeZone = 'UTC'").await?;
    // Table and column may have been renamed later on.
    if look::run(connection, &query).await?.is_some() {
        look::run(connection, "ROLLBACK TO proofmark").await?;
        return Ok(None);
    }
    look::document(connection, &query, "look at a timestamp").await
}
