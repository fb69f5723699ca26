//! What was begun and not ended.

use super::super::MigrationSubject;
use super::catalog::check;
use crate::case::CaseResult;

/// The planner does not use an invalid index, and every write keeps it up.
pub(super) async fn indexes_are_valid(subject: MigrationSubject) -> CaseResult {
    let query = "
        SELECT 'error' AS level, 'index' AS kind, r.name, r.relname::text AS object, NULL AS part,
            format('expected a valid index on %s at the end, found one that no query uses', t.name) AS message,
            CASE r.relkind
                WHEN 'I' THEN format('create and attach an index for each partition: ALTER INDEX %s ATTACH PARTITION ...;',
                    r.name)
                ELSE format('DROP INDEX %s; and create it again', r.name)
            END AS help
        FROM pg_index i
        JOIN relations r ON r.oid = i.indexrelid
        JOIN relations t ON t.oid = i.indrelid
        WHERE NOT (i.indisvalid AND i.indisready AND i.indislive)
        ORDER BY r.name";
    check(subject, query).await
}

/// A constraint that is not valid says nothing about rows that were there before it.
pub(super) async fn constraints_are_validated(subject: MigrationSubject) -> CaseResult {
    let query = "
        SELECT 'error' AS level, 'constraint' AS kind, format('%I of %s', c.conname, t.name) AS name,
            t.relname::text AS object, c.conname::text AS part,
            'expected all rows to be checked by the last migration, found that older ones never are' AS message,
            format('ALTER TABLE %s VALIDATE CONSTRAINT %I;', t.name, c.conname) AS help
        FROM pg_constraint c
        JOIN relations t ON t.oid = c.conrelid
        WHERE NOT c.convalidated AND c.conparentid = 0
        ORDER BY t.name, c.conname";
    check(subject, query).await
}

/// A trigger that was disabled for a change of data, and forgotten.
pub(super) async fn triggers_are_enabled(subject: MigrationSubject) -> CaseResult {
    let query = "
        SELECT 'error' AS level, 'trigger' AS kind, format('%I of %s', g.tgname, t.name) AS name,
            g.tgname::text AS object, NULL AS part,
            CASE g.tgenabled WHEN 'D' THEN 'expected the trigger to be enabled at the end, found it disabled'
                ELSE 'expected the trigger to be enabled at the end, found it for replicas only' END AS message,
            format('ALTER TABLE %s ENABLE TRIGGER %I;', t.name, g.tgname) AS help
        FROM pg_trigger g
        JOIN relations t ON t.oid = g.tgrelid
        WHERE NOT g.tgisinternal AND g.tgenabled IN ('D', 'R')
        ORDER BY t.name, g.tgname";
    check(subject, query).await
}

/// An unqualified name finds the system's object first: the project's own one is not reached.
pub(super) async fn nothing_is_named_like_the_systems(subject: MigrationSubject) -> CaseResult {
    let query = "
        SELECT 'error' AS level, 'table' AS kind, t.name, t.relname::text AS object, NULL AS part,
            format('expected a name that the system has not taken, found that %s without its schema is pg_catalog.%s',
                quote_ident(t.relname), quote_ident(t.relname)) AS message,
            format('ALTER TABLE %s RENAME TO ...;', t.name) AS help
        FROM relations t
        JOIN pg_class c ON c.relname = t.relname AND c.relnamespace = 'pg_catalog'::regnamespace
        WHERE t.relkind IN ('r', 'p', 'v', 'm') AND c.relkind IN ('r', 'v')
        UNION ALL
        SELECT 'error', 'function', f.name, f.proname::text, NULL,
            format('expected a name that the system has not taken, found that a call of %s without its schema runs '
                'pg_catalog.%s', quote_ident(f.proname), quote_ident(f.proname)),
            format('ALTER FUNCTION %s RENAME TO ...;', f.name)
        FROM functions f
        JOIN pg_proc p ON p.oid = f.oid
        JOIN pg_proc s ON s.proname = p.proname AND s.pronamespace = 'pg_catalog'::regnamespace
            AND s.proargtypes = p.proargtypes
        ORDER BY 3";
    check(subject, query).await
}
