-- The catalogs that hold a database's schema, and the column that says to which object a row belongs. Statistics are
-- no part of it, and what large objects hold is told by the entries of the objects.
SELECT c.relname::text AS name,
    CASE WHEN c.relname = 'pg_depend' THEN 'objid' ELSE a.attname::text END AS object
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = 1
WHERE c.relnamespace = 'pg_catalog'::regnamespace AND c.relkind = 'r' AND NOT c.relisshared
    AND c.relname NOT IN ('pg_init_privs', 'pg_largeobject', 'pg_statistic', 'pg_statistic_ext_data')
    AND has_table_privilege(c.oid, 'SELECT')
ORDER BY c.relname
