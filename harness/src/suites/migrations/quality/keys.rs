//! Cases about the schema that all migrations lead to.

use sqlx::Row as _;

use super::super::{MigrationSubject, connect};
use crate::case::{CaseError, CaseResult};
use crate::check;

/// Foreign keys without an index that begins with their columns, in any order: without one, every delete or update
/// of the table that is referred to reads the whole of the other. A partial index will not do, unless all that it
/// leaves out are rows that refer to nothing.
const KEYS_WITHOUT_INDEX: &str = "
    SELECT c.conname::text AS key, format('%I.%I', n.nspname, t.relname) AS table_name, k.columns
    FROM pg_constraint c
    JOIN pg_class t ON t.oid = c.conrelid
    JOIN pg_namespace n ON n.oid = t.relnamespace,
    LATERAL (
        SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY k.position) AS columns,
            array_agg(format('(%I IS NOT NULL)', a.attname)) AS not_null
        FROM unnest(c.conkey) WITH ORDINALITY AS k(number, position)
        JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.number
    ) k
    WHERE c.contype = 'f' AND c.conparentid = 0
        AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
        AND NOT EXISTS (
            SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = t.oid AND d.deptype = 'e'
        )
        AND NOT EXISTS (
            SELECT FROM pg_index i
            JOIN pg_class ic ON ic.oid = i.indexrelid
            JOIN pg_am m ON m.oid = ic.relam
            WHERE i.indrelid = c.conrelid AND i.indisvalid
                AND (m.amname = 'btree' OR m.amname = 'hash' AND cardinality(c.conkey) = 1)
                AND i.indnkeyatts >= cardinality(c.conkey)
                AND (i.indkey::int2[])[0 : cardinality(c.conkey) - 1] @> c.conkey
                AND (i.indpred IS NULL OR pg_get_expr(i.indpred, i.indrelid) = ANY (k.not_null))
        )
    ORDER BY table_name, key";

const TABLES_WITHOUT_KEY: &str = "
    SELECT format('%I.%I', n.nspname, t.relname) AS table_name
    FROM pg_class t JOIN pg_namespace n ON n.oid = t.relnamespace
    WHERE t.relkind IN ('r', 'p') AND NOT t.relispartition
        AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
        AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conrelid = t.oid AND c.contype = 'p')
        AND NOT EXISTS (
            SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = t.oid AND d.deptype = 'e'
        )
    ORDER BY table_name";

pub(super) async fn foreign_keys_are_indexed(subject: MigrationSubject) -> CaseResult {
    let database = subject.migrated().await?;
    let query = sqlx::query(KEYS_WITHOUT_INDEX);
    let rows = query.fetch_all(&mut connect(&database).await?).await.map_err(CaseError::harness)?;
    let mut missing = Vec::new();
    for row in &rows {
        let get = |column| row.try_get::<String, _>(column).map_err(CaseError::harness);
        let (key, table, columns) = (get("key")?, get("table_name")?, get("columns")?);
        missing.push(format!("{key} of {table} ({columns}): CREATE INDEX ON {table} ({columns});"));
    }
    check!(
        missing.is_empty(),
        "expected an index that begins with the columns of each foreign key, found {} without, and what would help: \
         {}",
        missing.len(),
        missing.join(" ")
    );
    Ok(())
}

pub(super) async fn every_table_has_a_primary_key(subject: MigrationSubject) -> CaseResult {
    let database = subject.migrated().await?;
    let query = sqlx::query_scalar::<_, String>(TABLES_WITHOUT_KEY);
    let tables = query.fetch_all(&mut connect(&database).await?).await.map_err(CaseError::harness)?;
    check!(tables.is_empty(), "expected a primary key on every table, found none on {}", tables.join(", "));
    Ok(())
}
