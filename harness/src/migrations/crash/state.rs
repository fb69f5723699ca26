//! What a database has in it, to be compared with another.

use std::collections::BTreeMap;

use sqlx::postgres::PgConnection;

use crate::migrations::observe::document;
use crate::migrations::sandbox::{Sandbox, SandboxError};
use crate::schema::{self, difference};

/// Tables with their numbers of rows; more than a million are not counted.
const COUNTS: &str = "
    SELECT coalesce(pg_catalog.string_agg(pg_catalog.format(
        'SELECT %L AS name, (SELECT count(*) FROM (SELECT FROM ONLY %I.%I LIMIT 1000000) r) AS rows',
        pg_catalog.format('%I.%I', n.nspname, c.relname), n.nspname, c.relname
    ), ' UNION ALL '), '')
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
        AND NOT EXISTS (
            SELECT FROM pg_catalog.pg_depend d
            WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
        )";

/// The schema, and how many rows there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    pub(super) schema: String,
    pub(super) rows: BTreeMap<String, i64>,
}

impl State {
    /// What a database has in it now.
    pub(super) async fn take(sandbox: &Sandbox) -> Result<Self, SandboxError> {
        let mut admin = sandbox.admin().await?;
        let state = Self::of(&mut admin, sandbox.role()).await;
        let _ = sqlx::Connection::close(admin).await;
        state
    }

    /// The same; the role that owns all is called `owner`, whichever it is.
    pub(super) async fn of(admin: &mut PgConnection, role: &str) -> Result<Self, SandboxError> {
        let schema = schema::render(admin).await;
        let schema = schema.map_err(|source| SandboxError::Server { action: "read a schema", source })?;
        let query: String =
            document(admin, &format!("SELECT pg_catalog.to_json(({COUNTS}))::text"), "look at the tables").await?;
        let rows = if query.is_empty() {
            BTreeMap::new()
        } else {
            let query = format!("SELECT pg_catalog.json_object_agg(name, rows)::text FROM ({query}) counts");
            document(admin, &query, "count rows").await?
        };
        Ok(Self { schema: schema.replace(role, "owner"), rows })
    }

    /// What is different in another, for people; None if nothing is.
    pub(super) fn difference(&self, found: &Self) -> Option<String> {
        if self.schema != found.schema {
            return Some(difference(&self.schema, &found.schema));
        }
        let differs = |(table, rows): (&String, &i64)| {
            let other = found.rows.get(table).copied().unwrap_or(0);
            (other != *rows).then(|| format!("{table} has {other} rows in place of {rows}"))
        };
        let lines: Vec<String> = self.rows.iter().filter_map(differs).collect();
        (!lines.is_empty()).then(|| lines.join(", "))
    }
}
