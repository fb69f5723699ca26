//! Keys and indexes.

use super::super::MigrationSubject;
use super::catalog::check;
use crate::case::CaseResult;

/// Without an index that begins with its columns, in any order, every delete or update of the table that a key refers
/// to reads the whole of the other. A partial index will not do, unless all that it leaves out are rows that refer to
/// nothing.
pub(super) async fn foreign_keys_are_indexed(subject: MigrationSubject) -> CaseResult {
    let query = "
        SELECT 'error' AS level, 'foreign key' AS kind, format('%I of %s', c.conname, t.name) AS name,
            t.relname::text AS object, k.first::text AS part,
            format('expected an index that begins with %s, found none: a delete in %s reads all of %s',
                k.columns, c.confrelid::regclass, t.name) AS message,
            format('CREATE INDEX ON %s (%s);', t.name, k.columns) AS help
        FROM pg_constraint c
        JOIN relations t ON t.oid = c.conrelid,
        LATERAL (
            SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY k.position) AS columns,
                array_agg(format('(%I IS NOT NULL)', a.attname)) AS not_null,
                min(a.attname::text) FILTER (WHERE k.position = 1) AS first
            FROM unnest(c.conkey) WITH ORDINALITY AS k(number, position)
            JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.number
        ) k
        WHERE c.contype = 'f' AND c.conparentid = 0
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
        ORDER BY t.name, c.conname";
    check(subject, query).await
}

/// A row that nothing tells from another cannot be updated, replicated or referred to.
pub(super) async fn every_table_has_a_primary_key(subject: MigrationSubject) -> CaseResult {
    let query = "
        SELECT 'error' AS level, 'table' AS kind, t.name, t.relname::text AS object, NULL AS part,
            'expected a primary key, found none' AS message,
            CASE WHEN u.columns IS NULL
                THEN format('ALTER TABLE %s ADD COLUMN id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY;', t.name)
                ELSE format('ALTER TABLE %s ADD PRIMARY KEY (%s);', t.name, u.columns)
            END AS help
        FROM tables t
        LEFT JOIN LATERAL (
            SELECT (
                SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY k.position)
                FROM unnest(c.conkey) WITH ORDINALITY AS k(number, position)
                JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.number
            ) AS columns
            FROM pg_constraint c WHERE c.conrelid = t.oid AND c.contype = 'u' ORDER BY c.conname LIMIT 1
        ) u ON true
        WHERE NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conrelid = t.oid AND c.contype = 'p')
        ORDER BY t.name";
    check(subject, query).await
}

/// An integer that refers to a bigint runs out first; other differences cast each row that is compared.
pub(super) async fn foreign_keys_have_the_type_that_they_refer_to(subject: MigrationSubject) -> CaseResult {
    let query = "
        SELECT 'error' AS level, 'foreign key' AS kind, format('%I of %s', c.conname, t.name) AS name,
            t.relname::text AS object, a.attname::text AS part,
            format('expected %I to be of type %s like %s.%I, found %s', a.attname,
                format_type(b.atttypid, b.atttypmod), c.confrelid::regclass, b.attname,
                format_type(a.atttypid, a.atttypmod)) AS message,
            format('ALTER TABLE %s ALTER COLUMN %I TYPE %s;', t.name, a.attname,
                format_type(b.atttypid, b.atttypmod)) AS help
        FROM pg_constraint c
        JOIN tables t ON t.oid = c.conrelid
        CROSS JOIN LATERAL unnest(c.conkey, c.confkey) AS k(own, other)
        JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.own
        JOIN pg_attribute b ON b.attrelid = c.confrelid AND b.attnum = k.other
        WHERE c.contype = 'f' AND c.conparentid = 0 AND a.atttypid <> b.atttypid
        ORDER BY t.name, c.conname";
    check(subject, query).await
}

/// Every write keeps both: an error if one index does all that the other does, a warning if the shorter one is only the
/// beginning of the longer.
pub(super) async fn indexes_are_not_duplicates(subject: MigrationSubject) -> CaseResult {
    let query = ", indexes AS (
            SELECT i.*, r.relname, r.name, t.name AS table_name,
                (i.indkey::int2[])[0 : i.indnkeyatts - 1] AS keys,
                (i.indclass::oid[])[0 : i.indnkeyatts - 1] AS classes,
                (i.indcollation::oid[])[0 : i.indnkeyatts - 1] AS collations,
                (i.indoption::int2[])[0 : i.indnkeyatts - 1] AS options,
                coalesce(pg_get_expr(i.indpred, i.indrelid), '') AS predicate,
                coalesce(pg_get_expr(i.indexprs, i.indrelid), '') AS expressions,
                c.relam, c.relname AS index_name,
                EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid) AS is_needed
            FROM pg_index i
            JOIN pg_class c ON c.oid = i.indexrelid
            JOIN relations r ON r.oid = i.indexrelid
            JOIN tables t ON t.oid = i.indrelid
        )
        SELECT CASE WHEN a.indkey::text = b.indkey::text AND a.indisunique <= b.indisunique
                THEN 'error' ELSE 'warning' END AS level,
            'index' AS kind, a.name, a.index_name::text AS object, NULL AS part,
            format('expected each index of %s to be of use, found that %s does all that this one does',
                a.table_name, b.name) AS message,
            format('DROP INDEX %s;', a.name) AS help
        FROM indexes a
        JOIN indexes b ON b.indrelid = a.indrelid AND b.indexrelid <> a.indexrelid
            AND b.relam = a.relam AND b.predicate = a.predicate AND b.expressions = a.expressions
            AND b.keys[1 : cardinality(a.keys)] = a.keys
            AND b.classes[1 : cardinality(a.keys)] = a.classes
            AND b.collations[1 : cardinality(a.keys)] = a.collations
            AND b.options[1 : cardinality(a.keys)] = a.options
        JOIN pg_am m ON m.oid = a.relam AND m.amname = 'btree'
        WHERE NOT a.is_needed AND a.indisvalid AND b.indisvalid
            AND (NOT a.indisunique OR b.indisunique AND a.keys = b.keys)
            -- What is included beside the keys would be lost with it.
            AND a.indkey::int2[] <@ b.indkey::int2[]
            -- Of two that are alike the later one goes.
            AND (a.keys <> b.keys OR a.indkey::text <> b.indkey::text OR b.is_needed
                OR a.indisunique < b.indisunique OR a.indexrelid > b.indexrelid)
        ORDER BY a.name, b.name";
    check(subject, query).await
}

/// A key that is numbered ends at 2^31 rows, or 2^15; and the change to a wider type rewrites the table. It is an error
/// where rows are only ever appended: a table with a time, that no other refers to.
pub(super) async fn keys_are_not_int4(subject: MigrationSubject) -> CaseResult {
    let query = "
        SELECT CASE WHEN is_appended THEN 'error' ELSE 'warning' END AS level,
            'column' AS kind, c.name, c.relname::text AS object, c.attname::text AS part,
            format('expected a key that is numbered to be bigint, found %s: the insert of row %s fails', c.declared,
                CASE WHEN c.base = 'int2'::regtype THEN '32768' ELSE '2147483648' END) AS message,
            format('declare it as bigint, or before the table is large: ALTER TABLE %s ALTER COLUMN %I TYPE bigint;',
                c.table_name, c.attname) AS help
        FROM columns c
        JOIN pg_constraint p ON p.conrelid = c.table_oid AND p.contype = 'p' AND p.conkey = ARRAY[c.attnum]
        LEFT JOIN pg_attrdef d ON d.adrelid = c.table_oid AND d.adnum = c.attnum,
        LATERAL (
            SELECT NOT EXISTS (SELECT FROM pg_constraint f WHERE f.confrelid = c.table_oid AND f.contype = 'f')
                AND EXISTS (
                    SELECT FROM columns o WHERE o.table_oid = c.table_oid
                        AND o.base IN ('timestamptz'::regtype, 'timestamp'::regtype)
                ) AS is_appended
        ) a
        WHERE c.base IN ('int4'::regtype, 'int2'::regtype)
            AND (c.attidentity <> '' OR pg_get_expr(d.adbin, d.adrelid) LIKE 'nextval(%')
        ORDER BY c.name";
    check(subject, query).await
}
