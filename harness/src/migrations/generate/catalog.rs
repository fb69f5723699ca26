//! What the catalogs say about tables and types, as far as rows depend on it.

use std::collections::HashMap;

use serde::Deserialize;
use sqlx::postgres::PgConnection;
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, Connection as _};

/// The history of a migrator is its own: rows that it did not write would mislead it.
const HISTORIES: [&str; 8] = [
    "_sqlx_migrations",
    "schema_migrations",
    "refinery_schema_history",
    "flyway_schema_history",
    "goose_db_version",
    "__diesel_schema_migrations",
    "schema_version",
    "databasechangelog",
];

/// A database, as far as rows depend on it.
#[derive(Debug)]
pub(super) struct Catalog {
    pub(super) tables: Vec<Table>,
    pub(super) types: HashMap<i64, Type>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Table {
    pub(super) oid: i64,
    /// Quoted and with its schema.
    pub(super) name: String,
    pub(super) partitioned: bool,
    pub(super) columns: Vec<Column>,
    pub(super) checks: Vec<Check>,
    pub(super) references: Vec<Reference>,
    /// The numbers of the columns of each unique or exclusion constraint.
    pub(super) unique: Vec<Vec<i16>>,
    /// The condition of each partition that holds rows; a default partition alone has none.
    pub(super) partitions: Vec<Option<String>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Column {
    pub(super) number: i16,
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) type_oid: i64,
    pub(super) modifier: i32,
    /// The type as it is written.
    pub(super) declared: String,
    pub(super) not_null: bool,
    /// `a` for always, `d` for by default.
    pub(super) identity: String,
    /// What it is computed by, if it is.
    pub(super) generated: Option<String>,
    pub(super) sequence: Option<String>,
    pub(super) default: Option<String>,
}

impl Column {
    /// Whether the server numbers it.
    pub(super) fn is_numbered(&self) -> bool {
        !self.identity.is_empty() || self.default.as_deref().is_some_and(|default| default.starts_with("nextval("))
    }
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Check {
    pub(super) name: String,
    pub(super) expression: String,
    #[serde(default)]
    pub(super) columns: Vec<i16>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Reference {
    pub(super) name: String,
    pub(super) table: i64,
    pub(super) target: String,
    pub(super) columns: Vec<i16>,
    pub(super) target_columns: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Type {
    /// Quoted, and with its schema unless it is the system's.
    pub(super) name: String,
    /// The name of a type of the system.
    pub(super) builtin: Option<String>,
    /// The bare name.
    pub(super) word: String,
    /// As in `pg_type.typtype`.
    pub(super) kind: String,
    pub(super) oid: i64,
    pub(super) element: i64,
    pub(super) base: i64,
    /// The base as it is written.
    pub(super) base_declared: Option<String>,
    pub(super) modifier: i32,
    pub(super) not_null: bool,
    pub(super) labels: Option<Vec<String>>,
    pub(super) range: Option<Range>,
    pub(super) attributes: Option<Vec<Attribute>>,
    pub(super) checks: Option<Vec<Check>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Range {
    pub(super) subtype: i64,
    /// The range type, also of a multirange.
    pub(super) range: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Attribute {
    #[serde(rename = "type")]
    pub(super) type_oid: i64,
    pub(super) modifier: i32,
}

/// A table's number and name, quoted and with its schema.
#[derive(Debug, sqlx::FromRow)]
pub(super) struct Name {
    pub(super) oid: i64,
    pub(super) name: String,
}

/// The tables that may be given rows; only those of some numbers, if any are given.
pub(super) async fn names(connection: &mut PgConnection, only: Option<&[i64]>) -> Result<Vec<Name>, sqlx::Error> {
    let condition = if only.is_some() { "c.oid = ANY ($2::oid[])" } else { "$2 IS NULL" };
    let query = include_str!("names.sql").replace("WHERE ONLY", &format!("WHERE {condition}"));
    let query = sqlx::query_as(AssertSqlSafe(query)).bind(HISTORIES.as_slice()).bind(only);
    query.fetch_all(connection).await
}

impl Catalog {
    /// Reads what there is to know about some tables and the types of their columns, whatever the session's search path is.
    pub(super) async fn read(connection: &mut PgConnection, tables: &[i64]) -> Result<Self, sqlx::Error> {
        Self::read_some(connection, tables, false).await
    }

    /// The same about all tables that may be given rows.
    pub(super) async fn read_all(connection: &mut PgConnection) -> Result<Self, sqlx::Error> {
        let tables: Vec<i64> = names(connection, None).await?.into_iter().map(|table| table.oid).collect();
        Self::read(connection, &tables).await
    }

    /// Only about types, and about all of them.
    pub(super) async fn read_types(connection: &mut PgConnection) -> Result<Self, sqlx::Error> {
        Self::read_some(connection, &[], true).await
    }

    async fn read_some(
        connection: &mut PgConnection,
        tables: &[i64],
        all_types: bool,
    ) -> Result<Self, sqlx::Error> {
        let mut transaction = connection.begin().await?;
        sqlx::raw_sql("SET LOCAL search_path = ''").execute(&mut *transaction).await?;
        let types = sqlx::query_scalar(include_str!("types.sql")).bind(tables).bind(all_types);
        let types: Vec<Json<Type>> = types.fetch_all(&mut *transaction).await?;
        let tables = sqlx::query_scalar(include_str!("tables.sql")).bind(tables);
        let tables: Vec<Json<Table>> = tables.fetch_all(&mut *transaction).await?;
        transaction.rollback().await?;
        Ok(Self {
            tables: tables.into_iter().map(|Json(table)| table).collect(),
            types: types.into_iter().map(|Json(found)| (found.oid, found)).collect(),
        })
    }

    /// The type that values of a domain have in the end, with the modifier, and all conditions on the way.
    pub(super) fn resolve(&self, oid: i64, modifier: i32) -> Resolved<'_> {
        let base = self.types.get(&oid);
        let mut resolved = Resolved { base, modifier, declared: None, not_null: false, checks: Vec::new() };
        // A domain over a domain over a domain ends somewhere.
        for _ in 0..DOMAINS_MAX {
            let Some(found) = resolved.base.filter(|found| found.kind == "d") else { break };
            resolved.checks.extend(found.checks.iter().flatten());
            resolved.not_null |= found.not_null;
            resolved.modifier = found.modifier;
            resolved.declared = found.base_declared.as_deref();
            resolved.base = self.types.get(&found.base);
        }
        resolved
    }
}

/// How deep domains may be nested.
const DOMAINS_MAX: usize = 16;

/// A type without the domains around it.
pub(super) struct Resolved<'a> {
    pub(super) base: Option<&'a Type>,
    pub(super) modifier: i32,
    /// How it is written, if there were domains.
    pub(super) declared: Option<&'a str>,
    pub(super) not_null: bool,
    pub(super) checks: Vec<&'a Check>,
}
