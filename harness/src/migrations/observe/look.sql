-- What the session's transaction has done so far, as one document: which tables it has locks on, how they look to it, and
-- what was read and written. Run without parameters, so that nothing of it stays in the session.
-- WANTED stands for those that are looked at.
WITH lock AS (
    SELECT l.relation, pg_catalog.json_agg(DISTINCT l.mode) AS modes
    FROM pg_catalog.pg_locks l
    WHERE l.pid = pg_catalog.pg_backend_pid() AND l.locktype = 'relation' AND l.granted
        AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())
        AND l.relation >= 16384
    GROUP BY l.relation
),
candidate AS (
    SELECT c.oid, c.relname, c.relkind, n.nspname, c.modes
    FROM (WANTED) c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'm') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
)
SELECT pg_catalog.json_build_object(
    -- The first statement of a transaction has its time.
    'in_block', pg_catalog.now() <> pg_catalog.statement_timestamp(),
    'lock_timeout', pg_catalog.current_setting('lock_timeout'),
    'gone', (
        SELECT coalesce(pg_catalog.json_agg(lock.relation::bigint), '[]')
        FROM lock WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = lock.relation)
    ),
    'tables', (
        SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_object(
            'id', c.oid::bigint,
            'name', pg_catalog.format('%I.%I', c.nspname, c.relname),
            'kind', c.relkind::text,
            'modes', coalesce(c.modes, '[]'),
            'file', pg_catalog.pg_relation_filenode(c.oid)::bigint,
            'bytes', CASE WHEN c.relkind = 'p' THEN 0 ELSE coalesce(pg_catalog.pg_relation_size(c.oid), 0) END,
            'scans', pg_catalog.pg_stat_get_xact_numscans(c.oid),
            'read', pg_catalog.pg_stat_get_xact_tuples_returned(c.oid),
            'inserted', pg_catalog.pg_stat_get_xact_tuples_inserted(c.oid),
            'updated', pg_catalog.pg_stat_get_xact_tuples_updated(c.oid),
            'deleted', pg_catalog.pg_stat_get_xact_tuples_deleted(c.oid),
            'columns', (
                SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_object(
                    'number', a.attnum,
                    'name', pg_catalog.quote_ident(a.attname),
                    'kind', pg_catalog.format_type(a.atttypid, a.atttypmod),
                    'not_null', a.attnotnull,
                    'given', a.atthasdef OR a.attidentity <> '' OR a.attgenerated <> '',
                    'computed', a.attidentity = 'a' OR a.attgenerated <> ''
                ) ORDER BY a.attnum), '[]')
                FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
            ),
            'constraints', (
                SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_object(
                    'id', k.oid::bigint,
                    'name', pg_catalog.quote_ident(k.conname),
                    'kind', k.contype::text,
                    'valid', k.convalidated
                )), '[]')
                FROM pg_catalog.pg_constraint k WHERE k.conrelid = c.oid
            ),
            'indexes', (
                SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_object(
                    'id', i.indexrelid::bigint,
                    'name', pg_catalog.format('%I', ic.relname),
                    'file', pg_catalog.pg_relation_filenode(i.indexrelid)::bigint,
                    'of_constraint', EXISTS (
                        SELECT FROM pg_catalog.pg_constraint k WHERE k.conrelid = c.oid AND k.conindid = i.indexrelid
                    )
                )), '[]')
                FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class ic ON ic.oid = i.indexrelid
                WHERE i.indrelid = c.oid
            )
        )), '[]')
        FROM candidate c
    )
)::text
