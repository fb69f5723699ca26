//! Types of columns.

use super::super::MigrationSubject;
use super::catalog::check;
use crate::case::CaseResult;

/// The server reads and shows such a time as it is, whatever zones the writer and the reader are in.
pub(super) async fn timestamps_have_a_zone(subject: MigrationSubject) -> CaseResult {
    let query = "
        SELECT 'error' AS level, 'column' AS kind, c.name, c.relname::text AS object, c.attname::text AS part,
            format('expected a point in time to be timestamptz, found %s: what a session in one zone writes means '
                'another time in the next', c.declared) AS message,
            format('ALTER TABLE %s ALTER COLUMN %I TYPE timestamptz USING %I AT TIME ZONE ''UTC'';', c.table_name,
                c.attname, c.attname) AS help
        FROM columns c
        WHERE c.base IN ('timestamp'::regtype, 'timestamp[]'::regtype)
        ORDER BY c.name";
    check(subject, query).await
}

/// It is padded with blanks, that count in some comparisons and are lost in others. Codes of up to three letters, such
/// as countries and currencies have, are always full: for them it is a warning.
pub(super) async fn char_n_is_not_used(subject: MigrationSubject) -> CaseResult {
    let query = "
        SELECT CASE WHEN c.modifier BETWEEN 5 AND 7 THEN 'warning' ELSE 'error' END AS level,
            'column' AS kind, c.name, c.relname::text AS object, c.attname::text AS part,
            format('expected text without padding, found %s: ''a'' is stored as %s bytes, and LIKE sees the blanks that '
                '= does not', c.declared, c.modifier - 4) AS message,
            format('ALTER TABLE %s ALTER COLUMN %I TYPE varchar(%s);', c.table_name, c.attname, c.modifier - 4) AS help
        FROM columns c
        WHERE c.base = 'bpchar'::regtype AND c.modifier > 4
        ORDER BY c.name";
    check(subject, query).await
}

/// A sum of prices is to be right to the cent; and money has the currency of whoever reads it.
pub(super) async fn money_is_not_a_float(subject: MigrationSubject) -> CaseResult {
    let query = "
        SELECT 'error' AS level, 'column' AS kind, c.name, c.relname::text AS object, c.attname::text AS part,
            CASE WHEN c.base = 'money'::regtype
                THEN format('expected an amount to be numeric, found money: its currency and its decimals are those of '
                    'the reader''s lc_monetary, here %s', 1::numeric::money)
                ELSE format('expected an amount to be numeric, found %s: what should be exact becomes %s',
                    c.declared, CASE WHEN c.base = 'float8'::regtype
                        THEN (0.1::float8 + 0.2::float8)::text || ' for 0.1 + 0.2'
                        ELSE (16777216::float4 + 1::float4)::text || ' for 16777216 + 1' END)
            END AS message,
            format('ALTER TABLE %s ALTER COLUMN %I TYPE numeric(19, 4);', c.table_name, c.attname) AS help
        FROM columns c
        WHERE c.base = 'money'::regtype
            OR c.base IN ('float4'::regtype, 'float8'::regtype)
                AND c.attname ~* '(^|_)(price|amount|cost|fee|salary|balance|revenue|budget)s?(_(usd|eur|gbp|total|net|gross))?$'
        ORDER BY c.name";
    check(subject, query).await
}
