-- Per catalog: how many rows are the user's, and the newest transaction that wrote one. Every change of the schema
-- writes or deletes a row, so that what is equal before and after was not changed, not even there and back.
-- 16384 is the first object identifier that is not the system's own.
SELECT catalog, rows, newest FROM (
    SELECT 'pg_namespace' AS catalog, count(*) AS rows, coalesce(max(xmin::text::bigint), 0) AS newest
        FROM pg_namespace WHERE oid >= 16384
    UNION ALL SELECT 'pg_class', count(*), coalesce(max(xmin::text::bigint), 0) FROM pg_class WHERE oid >= 16384
    UNION ALL SELECT 'pg_attribute', count(*), coalesce(max(xmin::text::bigint), 0)
        FROM pg_attribute WHERE attrelid >= 16384
    UNION ALL SELECT 'pg_attrdef', count(*), coalesce(max(xmin::text::bigint), 0) FROM pg_attrdef
    UNION ALL SELECT 'pg_constraint', count(*), coalesce(max(xmin::text::bigint), 0)
        FROM pg_constraint WHERE oid >= 16384
    UNION ALL SELECT 'pg_index', count(*), coalesce(max(xmin::text::bigint), 0)
        FROM pg_index WHERE indexrelid >= 16384
    UNION ALL SELECT 'pg_type', count(*), coalesce(max(xmin::text::bigint), 0) FROM pg_type WHERE oid >= 16384
    UNION ALL SELECT 'pg_enum', count(*), coalesce(max(xmin::text::bigint), 0) FROM pg_enum
    UNION ALL SELECT 'pg_proc', count(*), coalesce(max(xmin::text::bigint), 0) FROM pg_proc WHERE oid >= 16384
    UNION ALL SELECT 'pg_trigger', count(*), coalesce(max(xmin::text::bigint), 0) FROM pg_trigger
    UNION ALL SELECT 'pg_rewrite', count(*), coalesce(max(xmin::text::bigint), 0)
        FROM pg_rewrite WHERE oid >= 16384
    UNION ALL SELECT 'pg_sequence', count(*), coalesce(max(xmin::text::bigint), 0) FROM pg_sequence
    UNION ALL SELECT 'pg_policy', count(*), coalesce(max(xmin::text::bigint), 0) FROM pg_policy
    UNION ALL SELECT 'pg_inherits', count(*), coalesce(max(xmin::text::bigint), 0) FROM pg_inherits
    UNION ALL SELECT 'pg_extension', count(*), coalesce(max(xmin::text::bigint), 0) FROM pg_extension
    UNION ALL SELECT 'pg_statistic_ext', count(*), coalesce(max(xmin::text::bigint), 0) FROM pg_statistic_ext
    UNION ALL SELECT 'pg_event_trigger', count(*), coalesce(max(xmin::text::bigint), 0) FROM pg_event_trigger
    UNION ALL SELECT 'pg_default_acl', count(*), coalesce(max(xmin::text::bigint), 0) FROM pg_default_acl
    UNION ALL SELECT 'pg_publication', count(*), coalesce(max(xmin::text::bigint), 0) FROM pg_publication
    UNION ALL SELECT 'pg_largeobject_metadata', count(*), coalesce(max(xmin::text::bigint), 0)
        FROM pg_largeobject_metadata
    UNION ALL SELECT 'pg_description', count(*), coalesce(max(xmin::text::bigint), 0)
        FROM pg_description WHERE objoid >= 16384
    UNION ALL SELECT 'pg_depend', count(*), coalesce(max(xmin::text::bigint), 0)
        FROM pg_depend WHERE objid >= 16384
    UNION ALL SELECT 'pg_db_role_setting', count(*), coalesce(max(xmin::text::bigint), 0)
        FROM pg_db_role_setting
        WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
) catalogs
ORDER BY catalog
