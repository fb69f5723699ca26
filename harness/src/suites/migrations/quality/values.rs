//! Values that columns take, and should not; and values that they should, and do not.

use sqlx::AssertSqlSafe;
use sqlx::Row as _;

use super::super::MigrationSubject;
use super::catalog::{QUALIFIED, listed, place, text};
use super::probe::{Prober, Tried};
use crate::case::{CaseError, CaseResult};
use crate::event::{Finding, Level};

/// NULL is equal to nothing, itself included: two rows are made alike but for a NULL in a unique constraint of several
/// columns. Where the column refers to a row, or is a time, a number, a choice or an enum, NULL stands for a value of its
/// own, such as "not deleted", and duplicates of it are an error; a text or an identifier may be meant to be missing in
/// many rows, which is a warning.
pub(super) async fn unique_holds_for_nulls(subject: MigrationSubject) -> CaseResult {
    let query = "
        SELECT t.name AS table_name, t.relname::text AS relname, x.relname::text AS index_name,
            EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = i.indexrelid) AS is_constraint,
            k.required, k.optional, k.nullable, k.is_value, coalesce(pg_get_expr(i.indpred, i.indrelid), 'true') AS predicate
        FROM pg_index i
        JOIN tables t ON t.oid = i.indrelid
        JOIN pg_class x ON x.oid = i.indexrelid,
        LATERAL (
            SELECT string_agg(format('%1$I = (SELECT %1$I FROM %2$s LIMIT 1)', a.attname, t.name), ', ')
                    FILTER (WHERE a.attnotnull) AS required,
                string_agg(format('%I = NULL', a.attname), ', ') FILTER (WHERE NOT a.attnotnull) AS optional,
                string_agg(a.attname::text, ', ') FILTER (WHERE NOT a.attnotnull) AS nullable,
                bool_or(NOT a.attnotnull AND (y.typcategory IN ('D', 'B', 'N', 'E') OR EXISTS (
                    SELECT FROM pg_constraint f
                    WHERE f.conrelid = t.oid AND f.contype = 'f' AND a.attnum = ANY (f.conkey)
                ))) AS is_value,
                bool_or(a.attgenerated <> '' OR a.attidentity = 'a') AS is_fixed
            FROM unnest((i.indkey::int2[])[0 : i.indnkeyatts - 1]) AS n(number)
            JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = n.number
            JOIN pg_type y ON y.oid = a.atttypid
        ) k
        WHERE i.indisunique AND NOT i.indisprimary AND i.indisvalid AND NOT i.indnullsnotdistinct
            AND i.indexprs IS NULL AND k.required IS NOT NULL AND k.optional IS NOT NULL AND NOT k.is_fixed
        ORDER BY t.name, x.relname";
    let indexes = listed(&subject, query).await?;
    let rows = subject.with_rows().await?;
    let mut prober = Prober::new(&rows).await?;
    let mut findings = Vec::new();
    for index in &indexes {
        let (table, bare, name) =
            (text(index, "table_name")?, text(index, "relname")?, text(index, "index_name")?);
        let nullable = text(index, "nullable")?;
        let update = format!(
            "UPDATE {table} SET {}, {} WHERE (tableoid, ctid) IN (SELECT tableoid, ctid FROM {table} WHERE {} LIMIT 2) \
             RETURNING 1",
            text(index, "required")?,
            text(index, "optional")?,
            text(index, "predicate")?,
        );
        let Tried::Done(changed) = prober.change(&table, &update).await? else {
            continue;
        };
        if changed.len() < 2 {
            continue;
        }
        let is_value: bool = index.try_get("is_value").map_err(CaseError::harness)?;
        let is_constraint: bool = index.try_get("is_constraint").map_err(CaseError::harness)?;
        let places = subject.evidence.places();
        let place = if is_constraint {
            places.part(&bare, &[&name, nullable.split(", ").next().unwrap_or_default()])
        } else {
            place(places, "index", &name)
        };
        findings.push(Finding::new(
            if is_value { Level::Error } else { Level::Warning },
            place,
            format!("unique index {name} of {table}"),
            format!("expected two rows that are alike to be refused, found both in the table where {nullable} is NULL"),
            "declare it UNIQUE NULLS NOT DISTINCT, or the column NOT NULL, or add a partial unique index on the other \
             columns WHERE it IS NULL",
        ));
    }
    subject.conclude(findings)
}

/// A default that its own column refuses fails every insert that relies on it.
pub(super) async fn defaults_are_accepted(subject: MigrationSubject) -> CaseResult {
    let query = "
        SELECT c.table_name, c.relname::text AS relname, c.name, c.attname::text AS attname,
            quote_ident(c.attname) AS quoted, pg_get_expr(d.adbin, d.adrelid) AS value,
            coalesce((SELECT array_agg(k.conname::text) FROM pg_constraint k
                WHERE k.conrelid = c.table_oid AND k.contype = 'c' AND k.conkey = ARRAY[c.attnum]), '{}') AS checks
        FROM columns c
        JOIN pg_attribute a ON a.attrelid = c.table_oid AND a.attnum = c.attnum AND a.attgenerated = ''
        JOIN pg_attrdef d ON d.adrelid = c.table_oid AND d.adnum = c.attnum
        WHERE c.attidentity = '' AND pg_get_expr(d.adbin, d.adrelid) NOT LIKE 'nextval(%'
        ORDER BY c.name";
    let columns = listed(&subject, query).await?;
    let rows = subject.with_rows().await?;
    let mut prober = Prober::new(&rows).await?;
    let mut findings = Vec::new();
    for column in &columns {
        let (table, bare, attribute) =
            (text(column, "table_name")?, text(column, "relname")?, text(column, "attname")?);
        let update = format!(
            "UPDATE {table} SET {} = DEFAULT WHERE (tableoid, ctid) = (SELECT tableoid, ctid FROM {table} LIMIT 1)",
            text(column, "quoted")?
        );
        let Tried::Refused(refused) = prober.change(&table, &update).await? else { continue };
        let checks: Vec<String> = column.try_get("checks").map_err(CaseError::harness)?;
        // Other rules are about other columns and rows too, which are not to blame the default for.
        let is_its_own = match refused.sqlstate.as_str() {
            "23514" => {
                refused.message.starts_with("value for domain")
                    || checks.iter().any(|check| refused.message.contains(&format!("constraint \"{check}\"")))
            }
            "23502" => refused.message.contains(&format!("column \"{attribute}\"")),
            other => other.starts_with("22") || other.starts_with("42") && other != "42501",
        };
        if is_its_own && refused.context.is_empty() {
            findings.push(Finding::new(
                Level::Error,
                subject.evidence.places().part(&bare, &[&attribute]),
                format!("column {}", text(column, "name")?),
                format!(
                    "expected the default {} to be accepted, found {}",
                    text(column, "value")?,
                    refused.text()
                ),
                "give it a default that its type and checks accept, or none",
            ));
        }
    }
    subject.conclude(findings)
}

/// An error, where a column with the name of a measure has at most one digit before the point: the first measure of 10
/// fails its insert. A warning for floats that take NaN and Infinity, table by table: sums and averages over them are
/// NaN and Infinity for good.
pub(super) async fn numbers_have_room(subject: MigrationSubject) -> CaseResult {
    let query = "
        SELECT c.table_name, c.relname::text AS relname, c.name, c.attname::text AS attname,
            quote_ident(c.attname) AS quoted, c.declared, c.base = 'numeric'::regtype AS is_decimal
        FROM columns c
        WHERE c.base IN ('float4'::regtype, 'float8'::regtype)
            OR c.base = 'numeric'::regtype AND c.modifier > 4
                AND ((c.modifier - 4) >> 16) - (((((c.modifier - 4) & 2047) # 1024) - 1024)) <= 1
                AND c.attname ~* '(^|_)(value|values|metric|score|loss|importance|prediction|latency|duration|shap)(_|$)'
                AND NOT EXISTS (SELECT FROM pg_constraint k
                    WHERE k.conrelid = c.table_oid AND k.contype = 'c' AND c.attnum = ANY (k.conkey))
        ORDER BY c.table_name, c.attnum";
    let columns = listed(&subject, query).await?;
    let rows = subject.with_rows().await?;
    let mut prober = Prober::new(&rows).await?;
    let mut findings = Vec::new();
    let mut floats: Vec<(String, String, Vec<String>)> = Vec::new();
    for column in &columns {
        let (table, bare, attribute) =
            (text(column, "table_name")?, text(column, "relname")?, text(column, "attname")?);
        let is_decimal: bool = column.try_get("is_decimal").map_err(CaseError::harness)?;
        if is_decimal {
            let declared = text(column, "declared")?;
            let Tried::Refused(refused) = prober.attempt(&[&format!("SELECT 12.5::{declared}")]).await? else {
                continue;
            };
            findings.push(Finding::new(
                Level::Error,
                subject.evidence.places().part(&bare, &[&attribute]),
                format!("column {}", text(column, "name")?),
                format!("expected room for a measure such as 12.5 in {declared}, found {}", refused.text()),
                format!(
                    "ALTER TABLE {table} ALTER COLUMN {} TYPE double precision; or add a CHECK that says which values \
                     there can be",
                    text(column, "quoted")?
                ),
            ));
            continue;
        }
        let one = format!("(tableoid, ctid) = (SELECT tableoid, ctid FROM {table} LIMIT 1)");
        let update = format!("UPDATE {table} SET {} = 'NaN' WHERE {one} RETURNING 1", text(column, "quoted")?);
        let Tried::Done(changed) = prober.change(&table, &update).await? else { continue };
        if !changed.is_empty() {
            match floats.last_mut().filter(|(last, _, _)| *last == table) {
                Some((_, _, columns)) => columns.push(attribute),
                None => floats.push((table, bare, vec![attribute])),
            }
        }
    }
    for (table, bare, columns) in floats {
        let first = columns.first().map(String::as_str).unwrap_or_default();
        findings.push(Finding::new(
            Level::Warning,
            subject.evidence.places().part(&bare, &[first]),
            format!("table {table}"),
            format!("expected NaN to be refused, found it accepted by {}", columns.join(", ")),
            format!("add CHECK ({0} > '-Infinity' AND {0} < 'Infinity'): NaN sorts above Infinity", first),
        ));
    }
    subject.conclude(findings)
}

/// Rows that a migration wrote with numbers of its own are in the way of those that the sequence gives.
pub(super) async fn sequences_are_ahead_of_their_columns(subject: MigrationSubject) -> CaseResult {
    let query = "
        SELECT c.table_name, c.relname::text AS relname, c.name, c.attname::text AS attname,
            quote_ident(c.attname) AS quoted, s.oid::regclass::text AS sequence, q.seqincrement AS step
        FROM columns c
        JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = c.table_oid
            AND d.refobjsubid = c.attnum AND d.classid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
        JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S'
        JOIN pg_sequence q ON q.seqrelid = s.oid
        WHERE q.seqincrement > 0 AND c.base IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype)
        ORDER BY c.name";
    let head = subject.head().await?;
    let mut admin = head.sandbox.admin().await.map_err(CaseError::harness)?;
    sqlx::raw_sql(QUALIFIED).execute(&mut admin).await.map_err(CaseError::harness)?;
    let made = super::catalog::MADE;
    let columns = sqlx::raw_sql(AssertSqlSafe(format!("{made}{query}")));
    let columns = columns.fetch_all(&mut admin).await.map_err(CaseError::harness)?;
    let mut findings = Vec::new();
    for column in &columns {
        let step: i64 = column.try_get("step").map_err(CaseError::harness)?;
        let (table, quoted, sequence) =
            (text(column, "table_name")?, text(column, "quoted")?, text(column, "sequence")?);
        let (bare, attribute) = (text(column, "relname")?, text(column, "attname")?);
        let statement = format!(
            "SELECT (SELECT max({quoted})::int8 FROM {table}) AS most, \
             CASE WHEN is_called THEN last_value + {step} ELSE last_value END AS next FROM {sequence}"
        );
        let row =
            sqlx::raw_sql(AssertSqlSafe(statement)).fetch_one(&mut admin).await.map_err(CaseError::harness)?;
        let most: Option<i64> = row.try_get("most").map_err(CaseError::harness)?;
        let next: i64 = row.try_get("next").map_err(CaseError::harness)?;
        if let Some(most) = most.filter(|most| *most >= next) {
            findings.push(Finding::new(
                Level::Error,
                subject.evidence.places().part(&bare, &[&attribute]),
                format!("column {}", text(column, "name")?),
                format!("expected the next number to be above {most}, found {next}: the insert that gets a number that is taken fails"),
                format!("SELECT setval('{sequence}', (SELECT max({quoted}) FROM {table}));"),
            ));
        }
    }
    subject.conclude(findings)
}
