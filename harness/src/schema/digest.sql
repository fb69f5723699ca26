-- The schema as one text that is cheap to compute: equal states of one database have equal schemas. Not the other way
-- round: what was dropped and made again has other identifiers. Left out is what stays behind when a column or a
-- trigger goes: dropped columns, tables for long values, and hints for the planner. CHANGED stands for a condition on
-- the versions of a table's rows: all of them, or only those that came or went since some transaction.
SELECT coalesce(string_agg(concat(catalog, ' ', rows, ' ', hash), E'\n' ORDER BY catalog), '') FROM (
    SELECT catalog, count(*) AS rows, sum(hashtextextended(content, 0)) AS hash FROM (
        SELECT 'class' AS catalog, ROW(oid, relname, relnamespace, reltype, reloftype, relowner, relam, reltablespace,
            relpersistence, relkind, relchecks, relrowsecurity, relforcerowsecurity, relispopulated, relreplident,
            relispartition, relacl, reloptions, relpartbound)::text AS content
        FROM pg_class WHERE oid >= 16384 AND relnamespace <> 'pg_toast'::regnamespace AND CHANGED(pg_class)
        UNION ALL
        SELECT 'attribute', ROW(a.attrelid, a.attname, a.atttypid, a.attnum, a.attndims, a.atttypmod, a.attnotnull,
            a.atthasdef, a.attidentity, a.attgenerated, a.attcollation, a.attstorage, a.attcompression,
            a.attstattarget, a.attacl, a.attoptions, a.attfdwoptions, a.attislocal, a.attinhcount)::text
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        WHERE a.attrelid >= 16384 AND a.attnum > 0 AND NOT a.attisdropped
            AND c.relnamespace <> 'pg_toast'::regnamespace AND CHANGED(a)
        UNION ALL
        SELECT 'index', i::text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
        WHERE i.indexrelid >= 16384 AND c.relnamespace <> 'pg_toast'::regnamespace AND CHANGED(i)
        UNION ALL SELECT 'attrdef', ROW(adrelid, adnum, adbin)::text FROM pg_attrdef
            WHERE adrelid >= 16384 AND CHANGED(pg_attrdef)
        UNION ALL SELECT 'constraint', c::text FROM pg_constraint c WHERE oid >= 16384 AND CHANGED(c)
        UNION ALL SELECT 'type', t::text FROM pg_type t WHERE oid >= 16384 AND CHANGED(t)
        UNION ALL SELECT 'enum', e::text FROM pg_enum e WHERE oid >= 16384 AND CHANGED(e)
        UNION ALL SELECT 'range', r::text FROM pg_range r WHERE rngtypid >= 16384 AND CHANGED(r)
        UNION ALL SELECT 'proc', p::text FROM pg_proc p WHERE oid >= 16384 AND CHANGED(p)
        UNION ALL SELECT 'trigger', t::text FROM pg_trigger t WHERE CHANGED(t)
        UNION ALL SELECT 'rewrite', r::text FROM pg_rewrite r WHERE oid >= 16384 AND CHANGED(r)
        UNION ALL SELECT 'sequence', s::text FROM pg_sequence s WHERE CHANGED(s)
        UNION ALL SELECT 'policy', p::text FROM pg_policy p WHERE CHANGED(p)
        UNION ALL SELECT 'inherits', i::text FROM pg_inherits i WHERE CHANGED(i)
        UNION ALL SELECT 'partitioned', p::text FROM pg_partitioned_table p WHERE CHANGED(p)
        UNION ALL SELECT 'extension', e::text FROM pg_extension e WHERE CHANGED(e)
        UNION ALL SELECT 'statistics', ROW(oid, stxrelid, stxname, stxnamespace, stxowner, stxkeys, stxkind)::text
            FROM pg_statistic_ext WHERE CHANGED(pg_statistic_ext)
        UNION ALL SELECT 'event trigger', e::text FROM pg_event_trigger e WHERE CHANGED(e)
        UNION ALL SELECT 'default acl', d::text FROM pg_default_acl d WHERE CHANGED(d)
        UNION ALL SELECT 'publication', p::text FROM pg_publication p WHERE CHANGED(p)
        UNION ALL SELECT 'publication table', p::text FROM pg_publication_rel p WHERE CHANGED(p)
        UNION ALL SELECT 'publication schema', p::text FROM pg_publication_namespace p WHERE CHANGED(p)
        UNION ALL SELECT 'description', d::text FROM pg_description d
            WHERE (objoid >= 16384 OR classoid = 'pg_namespace'::regclass) AND CHANGED(d)
        UNION ALL SELECT 'namespace', n::text FROM pg_namespace n WHERE nspname !~ '^pg_(toast_)?temp_' AND CHANGED(n)
        UNION ALL SELECT 'operator', o::text FROM pg_operator o WHERE oid >= 16384 AND CHANGED(o)
        UNION ALL SELECT 'opclass', o::text FROM pg_opclass o WHERE oid >= 16384 AND CHANGED(o)
        UNION ALL SELECT 'opfamily', o::text FROM pg_opfamily o WHERE oid >= 16384 AND CHANGED(o)
        UNION ALL SELECT 'access method', a::text FROM pg_am a WHERE oid >= 16384 AND CHANGED(a)
        UNION ALL SELECT 'cast', c::text FROM pg_cast c WHERE oid >= 16384 AND CHANGED(c)
        UNION ALL SELECT 'collation', c::text FROM pg_collation c WHERE oid >= 16384 AND CHANGED(c)
        UNION ALL SELECT 'conversion', c::text FROM pg_conversion c WHERE oid >= 16384 AND CHANGED(c)
        UNION ALL SELECT 'search configuration', c::text FROM pg_ts_config c WHERE oid >= 16384 AND CHANGED(c)
        UNION ALL SELECT 'search dictionary', d::text FROM pg_ts_dict d WHERE oid >= 16384 AND CHANGED(d)
        UNION ALL SELECT 'search parser', p::text FROM pg_ts_parser p WHERE oid >= 16384 AND CHANGED(p)
        UNION ALL SELECT 'search template', t::text FROM pg_ts_template t WHERE oid >= 16384 AND CHANGED(t)
        UNION ALL SELECT 'language', l::text FROM pg_language l WHERE oid >= 16384 AND CHANGED(l)
        UNION ALL SELECT 'transform', t::text FROM pg_transform t WHERE oid >= 16384 AND CHANGED(t)
        UNION ALL SELECT 'wrapper', w::text FROM pg_foreign_data_wrapper w WHERE oid >= 16384 AND CHANGED(w)
        UNION ALL SELECT 'server', s::text FROM pg_foreign_server s WHERE oid >= 16384 AND CHANGED(s)
        UNION ALL SELECT 'foreign table', f::text FROM pg_foreign_table f WHERE CHANGED(f)
        UNION ALL SELECT 'setting', s::text FROM pg_db_role_setting s
            WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database()) AND CHANGED(s)
        UNION ALL SELECT 'database', ROW(datacl, datconnlimit)::text FROM pg_database
            WHERE datname = current_database()
    ) parts GROUP BY catalog
) catalogs
