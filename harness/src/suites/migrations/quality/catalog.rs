//! Checks that one query to the catalogs of the real database answers: a row is a finding.

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Row as _};

use super::super::MigrationSubject;
use crate::case::{CaseError, CaseResult};
use crate::event::{Finding, Level, Place};
use crate::migrations::places::{Kind, Places};

/// What the project made: not what the system, an extension or the platform that is stood in for did, which belongs to
/// the one who looks.
pub(super) const MADE: &str = "
    WITH me AS (SELECT oid FROM pg_roles WHERE rolname = current_user),
    relations AS (
        SELECT c.oid, c.relname, c.relkind, c.relispartition, c.relrowsecurity, c.relacl, c.relowner, c.reloptions,
            n.nspname, format('%I.%I', n.nspname, c.relname) AS name
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
            AND c.relowner NOT IN (SELECT oid FROM me)
            AND NOT EXISTS (
                SELECT FROM pg_depend d
                WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
            )
    ),
    tables AS (SELECT * FROM relations WHERE relkind IN ('r', 'p') AND NOT relispartition),
    columns AS (
        SELECT t.oid AS table_oid, t.nspname, t.relname, t.name AS table_name, a.attname, a.attnum, a.attnotnull,
            a.attidentity, a.atttypid, a.atttypmod,
            format('%s.%I', t.name, a.attname) AS name, format_type(a.atttypid, a.atttypmod) AS declared,
            coalesce(nullif(b.typbasetype, 0), a.atttypid) AS base,
            CASE WHEN b.typbasetype <> 0 THEN b.typtypmod ELSE a.atttypmod END AS modifier
        FROM tables t
        JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
        JOIN pg_type b ON b.oid = a.atttypid
    ),
    functions AS (
        SELECT p.oid, p.proname, p.prosecdef, p.proconfig, p.proacl, p.proowner, p.pronargs, n.nspname,
            format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)) AS name
        FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
        WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
            AND p.proowner NOT IN (SELECT oid FROM me)
            AND NOT EXISTS (
                SELECT FROM pg_depend d
                WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
            )
    ) ";

/// Names are qualified, whatever the database was set to.
pub(super) const QUALIFIED: &str = "SET search_path = ''";

/// One more thing that is wrong, as a query tells it.
pub(super) struct Told {
    pub(super) level: Level,
    /// What kind of object, for people and to find its place.
    pub(super) kind: String,
    /// As people call it.
    pub(super) name: String,
    /// The name in the catalog, without a schema: of the table, if it is about a part of one.
    pub(super) object: String,
    pub(super) part: Option<String>,
    pub(super) message: String,
    pub(super) help: String,
}

impl Told {
    fn read(row: &PgRow) -> Result<Self, sqlx::Error> {
        let level: String = row.try_get("level")?;
        Ok(Self {
            level: match level.as_str() {
                "error" => Level::Error,
                "warning" => Level::Warning,
                _ => Level::Note,
            },
            kind: row.try_get("kind")?,
            name: row.try_get("name")?,
            object: row.try_get("object")?,
            part: row.try_get("part")?,
            message: row.try_get("message")?,
            help: row.try_get("help")?,
        })
    }

    /// The same with its place.
    pub(super) fn finding(self, places: &Places) -> Finding {
        let place = match &self.part {
            Some(part) => places.part(&self.object, &[part]),
            None => place(places, &self.kind, &self.object),
        };
        Finding::new(self.level, place, format!("{} {}", self.kind, self.name), self.message, self.help)
    }
}

/// The place of an object of a kind, as people call it.
pub(super) fn place(places: &Places, kind: &str, object: &str) -> Option<Place> {
    let kind = match kind {
        "index" => Kind::Index,
        "function" => Kind::Function,
        "sequence" => Kind::Sequence,
        "trigger" => Kind::Trigger,
        "policy" => Kind::Policy,
        "schema" => Kind::Schema,
        _ => Kind::Relation,
    };
    places.object(kind, object)
}

/// Runs a query over the database at head that gives `level`, `kind`, `name`, `object`, `part`, `message` and `help`
/// of each thing that is wrong; what is said in [`MADE`] can be used in it.
pub(super) async fn told(connection: &mut PgConnection, query: &str) -> Result<Vec<Told>, CaseError> {
    sqlx::raw_sql(QUALIFIED).execute(&mut *connection).await.map_err(CaseError::harness)?;
    let statement = sqlx::raw_sql(AssertSqlSafe(format!("{MADE}{query}")));
    let rows = statement.fetch_all(connection).await.map_err(CaseError::harness)?;
    rows.iter().map(|row| Told::read(row).map_err(CaseError::harness)).collect()
}

/// A whole case of this kind.
pub(super) async fn check(subject: MigrationSubject, query: &'static str) -> CaseResult {
    let head = subject.head().await?;
    let mut connection = head.sandbox.admin().await.map_err(CaseError::harness)?;
    let told = told(&mut connection, query).await?;
    let findings = told.into_iter().map(|told| told.finding(subject.evidence.places())).collect();
    subject.conclude(findings)
}

/// What a query over the database with generated rows tells; what is said in [`MADE`] can be used in it.
pub(super) async fn listed(subject: &MigrationSubject, query: &str) -> Result<Vec<PgRow>, CaseError> {
    let rows = subject.with_rows().await?;
    let mut admin = rows.sandbox.admin().await.map_err(CaseError::harness)?;
    sqlx::raw_sql(QUALIFIED).execute(&mut admin).await.map_err(CaseError::harness)?;
    let statement = sqlx::raw_sql(AssertSqlSafe(format!("{MADE}{query}")));
    statement.fetch_all(&mut admin).await.map_err(CaseError::harness)
}

/// A column of what was [`listed`].
pub(super) fn text(row: &PgRow, column: &str) -> Result<String, CaseError> {
    row.try_get(column).map_err(CaseError::harness)
}
