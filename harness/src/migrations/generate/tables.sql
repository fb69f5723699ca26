-- The tables of a database as JSON, one row each: what must be known to fill them. Wants an empty search path, so that
-- all names are qualified.
SELECT jsonb_build_object(
    'oid', c.oid::int8,
    'name', format('%I.%I', n.nspname, c.relname),
    'partitioned', c.relkind = 'p',
    'columns', (
        SELECT coalesce(jsonb_agg(jsonb_build_object(
            'number', a.attnum,
            'name', a.attname,
            'type', a.atttypid::int8,
            'modifier', a.atttypmod,
            'declared', format_type(a.atttypid, a.atttypmod),
            'not_null', a.attnotnull,
            'identity', a.attidentity,
            'generated', CASE WHEN a.attgenerated <> '' THEN pg_get_expr(d.adbin, d.adrelid) END,
            'sequence', pg_get_serial_sequence(format('%I.%I', n.nspname, c.relname), a.attname),
            'default', CASE WHEN a.attgenerated = '' THEN pg_get_expr(d.adbin, d.adrelid) END
        ) ORDER BY a.attnum), '[]')
        FROM pg_attribute a
        LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    ),
    'checks', (
        SELECT coalesce(jsonb_agg(jsonb_build_object(
            'name', k.conname,
            'expression', pg_get_expr(k.conbin, k.conrelid),
            'columns', coalesce(k.conkey, '{}')
        ) ORDER BY k.conname), '[]')
        FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'c'
    ),
    'references', (
        SELECT coalesce(jsonb_agg(jsonb_build_object(
            'name', k.conname,
            'table', k.confrelid::int8,
            'target', format('%I.%I', tn.nspname, t.relname),
            'columns', k.conkey,
            'target_columns', (
                SELECT jsonb_agg(ta.attname ORDER BY x.position)
                FROM unnest(k.confkey) WITH ORDINALITY AS x(number, position)
                JOIN pg_attribute ta ON ta.attrelid = k.confrelid AND ta.attnum = x.number
            )
        ) ORDER BY cardinality(k.conkey) DESC, k.conname), '[]')
        FROM pg_constraint k
        JOIN pg_class t ON t.oid = k.confrelid
        JOIN pg_namespace tn ON tn.oid = t.relnamespace
        -- A key that refers to a partitioned table has a copy for each partition; one that was inherited has not.
        LEFT JOIN pg_constraint p ON p.oid = k.conparentid
        WHERE k.conrelid = c.oid AND k.contype = 'f' AND (p.oid IS NULL OR p.conrelid <> k.conrelid)
    ),
    'unique', (
        SELECT coalesce(jsonb_agg(DISTINCT x.columns), '[]')
        FROM (
            SELECT (
                SELECT jsonb_agg(n.number ORDER BY n.number)
                FROM (
                    SELECT k.number FROM unnest(i.indkey::int2[]) AS k(number) WHERE k.number > 0
                    UNION
                    -- Those in expressions.
                    SELECT d.refobjsubid FROM pg_depend d
                    WHERE d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid AND d.refobjsubid > 0
                        AND d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid
                ) AS n
            ) AS columns
            FROM pg_index i
            WHERE i.indrelid = c.oid AND (i.indisunique OR i.indisexclusion)
        ) x
        WHERE x.columns IS NOT NULL
    ),
    'partitions', (
        SELECT coalesce(jsonb_agg(pg_get_partition_constraintdef(p.relid) ORDER BY p.relid::int8), '[]')
        FROM pg_partition_tree(c.oid) p
        JOIN pg_class l ON l.oid = p.relid AND l.relkind = 'r'
        WHERE c.relkind = 'p' AND p.isleaf AND p.parentrelid IS NOT NULL
    )
)
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = ANY ($1::oid[])
ORDER BY n.nspname, c.relname
