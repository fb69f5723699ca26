//! Who may do what.

use super::super::MigrationSubject;
use super::catalog::check;
use crate::case::CaseResult;

/// Where some tables protect their rows, or a platform's clients have rights of their own, a table without row security
/// is open to all of them.
pub(super) async fn tables_have_row_security(subject: MigrationSubject) -> CaseResult {
    let query = ", clients AS (
            SELECT r.oid, r.rolname FROM pg_roles r WHERE r.rolname IN ('anon', 'authenticated')
        )
        SELECT 'error' AS level, 'table' AS kind, t.name, t.relname::text AS object, NULL AS part,
            CASE WHEN g.clients IS NULL
                THEN format('expected row security as other tables have it, found none: who may read the table reads '
                    'every row')
                ELSE format('expected row security on a table that %s may use, found none', g.clients)
            END AS message,
            format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY; CREATE POLICY ... ON %s ...;', t.name, t.name) AS help
        FROM tables t
        LEFT JOIN LATERAL (
            SELECT string_agg(c.rolname, ' and ' ORDER BY c.rolname) AS clients FROM clients c
            WHERE has_schema_privilege(c.oid, t.nspname, 'USAGE')
                AND has_table_privilege(c.oid, t.oid, 'SELECT, INSERT, UPDATE, DELETE')
        ) g ON true
        WHERE NOT t.relrowsecurity
            AND (g.clients IS NOT NULL OR EXISTS (
                SELECT FROM tables o WHERE o.relrowsecurity AND o.nspname = t.nspname
            ))
        ORDER BY t.name";
    check(subject, query).await
}

/// A function that acts with its owner's rights finds tables and functions where the caller's search path says, and the
/// caller may put others there.
pub(super) async fn security_definer_pins_search_path(subject: MigrationSubject) -> CaseResult {
    let query = "
        SELECT 'error' AS level, 'function' AS kind, f.name, f.proname::text AS object, NULL AS part,
            'expected SECURITY DEFINER with a search_path of its own, found the caller''s' AS message,
            format('ALTER FUNCTION %s SET search_path = %I, pg_temp;', f.name, f.nspname) AS help
        FROM functions f
        WHERE f.prosecdef
            AND NOT EXISTS (SELECT FROM unnest(f.proconfig) AS s(setting) WHERE s.setting LIKE 'search\\_path=%')
        ORDER BY f.name";
    check(subject, query).await
}

/// PUBLIC is everybody who can connect, also those who come later. Functions are granted to it by default, which matters
/// for those that act with their owner's rights: a warning.
pub(super) async fn nothing_is_granted_to_public(subject: MigrationSubject) -> CaseResult {
    let query = "
        SELECT 'error' AS level, CASE t.relkind WHEN 'v' THEN 'view' WHEN 'S' THEN 'sequence' ELSE 'table' END AS kind,
            t.name, t.relname::text AS object, NULL AS part,
            format('expected rights for roles that need them, found %s granted to PUBLIC', g.rights) AS message,
            format('REVOKE ALL ON %s%s FROM PUBLIC;', CASE t.relkind WHEN 'S' THEN 'SEQUENCE ' ELSE '' END, t.name)
                AS help
        FROM relations t, LATERAL (
            SELECT string_agg(a.privilege_type, ', ' ORDER BY a.privilege_type) AS rights
            FROM aclexplode(t.relacl) a WHERE a.grantee = 0
        ) g
        WHERE g.rights IS NOT NULL
        UNION ALL
        SELECT CASE a.privilege_type WHEN 'CREATE' THEN 'error' ELSE 'warning' END, 'schema',
            quote_ident(n.nspname), n.nspname::text, NULL,
            format('expected rights for roles that need them, found %s granted to PUBLIC', a.privilege_type),
            format('REVOKE %s ON SCHEMA %I FROM PUBLIC;', a.privilege_type, n.nspname)
        FROM pg_namespace n, aclexplode(n.nspacl) a
        WHERE a.grantee = 0 AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
            AND n.nspowner NOT IN (SELECT oid FROM me)
            -- So it is in every database from the beginning.
            AND NOT (n.nspname = 'public' AND a.privilege_type = 'USAGE')
        UNION ALL
        SELECT 'warning', 'function', f.name, f.proname::text, NULL,
            'expected who may act with the owner''s rights to be named, found EXECUTE granted to PUBLIC',
            format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC;', f.name)
        FROM functions f
        WHERE f.prosecdef AND EXISTS (
            SELECT FROM aclexplode(coalesce(f.proacl, acldefault('f', f.proowner))) a WHERE a.grantee = 0
        )
        ORDER BY 3";
    check(subject, query).await
}

/// A view reads with its owner's rights, and an owner is not subject to the policies of its tables.
pub(super) async fn views_keep_row_security(subject: MigrationSubject) -> CaseResult {
    let query = "
        SELECT DISTINCT 'error' AS level, 'view' AS kind, v.name, v.relname::text AS object, NULL AS part,
            format('expected the policies of %s to hold for who reads the view, found that it reads as its owner',
                t.name) AS message,
            CASE v.relkind WHEN 'm' THEN 'a materialized view has rows of its own: REVOKE it from all who must not see '
                    || 'every row'
                ELSE format('ALTER VIEW %s SET (security_invoker = true);', v.name) END AS help
        FROM relations v
        JOIN pg_rewrite r ON r.ev_class = v.oid
        JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
            AND d.refclassid = 'pg_class'::regclass
        JOIN tables t ON t.oid = d.refobjid AND t.relrowsecurity
        WHERE v.relkind IN ('v', 'm')
            AND NOT EXISTS (
                SELECT FROM unnest(v.reloptions) AS o(setting)
                WHERE o.setting ~ '^security_invoker=(true|on|1|yes)$'
            )
        ORDER BY 3, 6";
    check(subject, query).await
}
