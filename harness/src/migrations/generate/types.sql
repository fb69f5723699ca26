-- The types of a database as JSON, one row each: what must be known to make values of them. All of them, or those that
-- columns of some tables have, and that these are made of.
WITH RECURSIVE used(oid) AS (
    SELECT a.atttypid FROM pg_attribute a WHERE a.attrelid = ANY ($1::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
    UNION
    SELECT part.oid
    FROM used
    JOIN pg_type t ON t.oid = used.oid
    CROSS JOIN LATERAL (
        SELECT t.typelem
        UNION ALL SELECT t.typbasetype
        UNION ALL SELECT r.rngsubtype FROM pg_range r WHERE t.oid IN (r.rngtypid, r.rngmultitypid)
        UNION ALL SELECT a.atttypid FROM pg_attribute a
            WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
    ) AS part(oid)
    WHERE part.oid <> 0
)
SELECT jsonb_build_object(
    'oid', t.oid::int8,
    'name', format_type(t.oid, NULL),
    'builtin', CASE WHEN n.nspname = 'pg_catalog' THEN t.typname END,
    'word', t.typname,
    'kind', t.typtype,
    'element', CASE WHEN t.typcategory = 'A' THEN t.typelem::int8 ELSE 0 END,
    'base', t.typbasetype::int8,
    'base_declared', CASE WHEN t.typtype = 'd' THEN format_type(t.typbasetype, t.typtypmod) END,
    'modifier', t.typtypmod,
    'not_null', t.typnotnull,
    'labels', CASE WHEN t.typtype = 'e' THEN (
        SELECT jsonb_agg(e.enumlabel ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = t.oid
    ) END,
    'range', (
        SELECT jsonb_build_object('subtype', r.rngsubtype::int8, 'range', format_type(r.rngtypid, NULL))
        FROM pg_range r WHERE t.oid IN (r.rngtypid, r.rngmultitypid) LIMIT 1
    ),
    'attributes', CASE WHEN t.typtype = 'c' THEN (
        SELECT jsonb_agg(jsonb_build_object('type', a.atttypid::int8, 'modifier', a.atttypmod) ORDER BY a.attnum)
        FROM pg_attribute a WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
    ) END,
    'checks', CASE WHEN t.typtype = 'd' THEN (
        SELECT jsonb_agg(jsonb_build_object('name', k.conname, 'expression', pg_get_expr(k.conbin, 0)))
        FROM pg_constraint k WHERE k.contypid = t.oid AND k.contype = 'c'
    ) END
)
FROM pg_type t
JOIN pg_namespace n ON n.oid = t.typnamespace
WHERE ($2 OR t.oid IN (SELECT used.oid FROM used)) AND t.typtype <> 'p' AND (t.typtype <> 'c' OR n.nspname !~ '^pg_' AND n.nspname <> 'information_schema')
    AND (t.typcategory <> 'A' OR NOT EXISTS (
        SELECT FROM pg_type e JOIN pg_namespace en ON en.oid = e.typnamespace
        WHERE e.oid = t.typelem AND e.typtype = 'c' AND (en.nspname ~ '^pg_' OR en.nspname = 'information_schema')
    ))
