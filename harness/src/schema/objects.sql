-- Every object of a database as lines of text; part 0 is the line that an object begins with. Sections, objects and
-- parts are sorted by name, as the order in which objects were made is no part of the schema; columns and labels
-- keep their position, which is. The session has an empty search path, so that every name is qualified.
WITH user_schema AS (
    SELECT oid, nspname, nspacl, nspowner FROM pg_namespace
    WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
),
-- What belongs to an extension is its business.
extension_member AS (
    SELECT classid, objid FROM pg_depend WHERE deptype = 'e'
),
-- What comes and goes with something else: the sequence of an identity column, the functions of a range type.
accessory AS (
    SELECT classid, objid FROM pg_depend WHERE deptype = 'i'
),
relation AS (
    SELECT c.*, format('%I.%I', n.nspname, c.relname) AS name,
        CASE c.relkind WHEN 'c' THEN 5 WHEN 'S' THEN 6 WHEN 'v' THEN 8 WHEN 'm' THEN 8 ELSE 7 END AS section
    FROM pg_class c JOIN user_schema n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm', 'c', 'S')
        AND c.relname <> '_sqlx_migrations'
        AND ('pg_class'::regclass, c.oid) NOT IN (SELECT classid, objid FROM extension_member)
        AND (c.relkind <> 'S' OR ('pg_class'::regclass, c.oid) NOT IN (SELECT classid, objid FROM accessory))
),
user_type AS (
    SELECT t.*, format('%I.%I', n.nspname, t.typname) AS name
    FROM pg_type t JOIN user_schema n ON n.oid = t.typnamespace
    WHERE ('pg_type'::regclass, t.oid) NOT IN (SELECT classid, objid FROM extension_member)
),
routine AS (
    SELECT p.*, format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)) AS name
    FROM pg_proc p JOIN user_schema n ON n.oid = p.pronamespace
    WHERE ('pg_proc'::regclass, p.oid) NOT IN (SELECT classid, objid FROM extension_member)
        AND ('pg_proc'::regclass, p.oid) NOT IN (SELECT classid, objid FROM accessory)
),
header AS (
    SELECT 1 AS section, extname::text AS object, format('extension %I in %I', extname, n.nspname) AS line,
        'pg_extension'::regclass AS classid, e.oid
    FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE extname <> 'plpgsql'
    UNION ALL
    SELECT 2, nspname, format('schema %I', nspname), 'pg_namespace'::regclass, oid FROM user_schema
    UNION ALL
    SELECT 3, name, 'enum ' || name, 'pg_type'::regclass, oid FROM user_type WHERE typtype = 'e'
    UNION ALL
    SELECT 4, name, concat('domain ', name, ' as ', format_type(typbasetype, typtypmod),
            CASE WHEN typnotnull THEN ' not null' END, ' default ' || typdefault),
        'pg_type'::regclass, oid
    FROM user_type WHERE typtype = 'd'
    UNION ALL
    SELECT 5, name, format('range type %s of %s', name, format_type(rngsubtype, NULL)), 'pg_type'::regclass, oid
    FROM user_type JOIN pg_range ON rngtypid = oid
    UNION ALL
    SELECT section, name, concat(
            CASE relpersistence WHEN 'u' THEN 'unlogged ' END,
            CASE relkind WHEN 'r' THEN 'table ' WHEN 'p' THEN 'partitioned table ' WHEN 'f' THEN 'foreign table '
                WHEN 'v' THEN 'view ' WHEN 'm' THEN 'materialized view ' WHEN 'c' THEN 'type '
                WHEN 'S' THEN 'sequence ' END,
            name,
            CASE WHEN relkind = 'p' THEN ' partition by ' || pg_get_partkeydef(oid) END,
            ' with (' || array_to_string(reloptions, ', ') || ')'),
        'pg_class'::regclass, oid
    FROM relation
    UNION ALL
    SELECT 9, name, CASE prokind WHEN 'a' THEN 'aggregate ' WHEN 'p' THEN 'procedure ' ELSE 'function ' END || name,
        'pg_proc'::regclass, oid
    FROM routine
    UNION ALL
    -- What is rare has a name and no more.
    SELECT 10, o.type || ' ' || o.identity, o.type || ' ' || o.identity, other.classid, other.oid
    FROM (
        SELECT 'pg_operator'::regclass AS classid, oid FROM pg_operator
        UNION ALL SELECT 'pg_opclass'::regclass, oid FROM pg_opclass
        UNION ALL SELECT 'pg_opfamily'::regclass, oid FROM pg_opfamily
        UNION ALL SELECT 'pg_am'::regclass, oid FROM pg_am
        UNION ALL SELECT 'pg_cast'::regclass, oid FROM pg_cast
        UNION ALL SELECT 'pg_collation'::regclass, oid FROM pg_collation
        UNION ALL SELECT 'pg_conversion'::regclass, oid FROM pg_conversion
        UNION ALL SELECT 'pg_ts_config'::regclass, oid FROM pg_ts_config
        UNION ALL SELECT 'pg_ts_dict'::regclass, oid FROM pg_ts_dict
        UNION ALL SELECT 'pg_ts_parser'::regclass, oid FROM pg_ts_parser
        UNION ALL SELECT 'pg_ts_template'::regclass, oid FROM pg_ts_template
        UNION ALL SELECT 'pg_language'::regclass, oid FROM pg_language
        UNION ALL SELECT 'pg_transform'::regclass, oid FROM pg_transform
        UNION ALL SELECT 'pg_event_trigger'::regclass, oid FROM pg_event_trigger
        UNION ALL SELECT 'pg_publication'::regclass, oid FROM pg_publication
        UNION ALL SELECT 'pg_foreign_data_wrapper'::regclass, oid FROM pg_foreign_data_wrapper
        UNION ALL SELECT 'pg_foreign_server'::regclass, oid FROM pg_foreign_server
        UNION ALL SELECT 'pg_default_acl'::regclass, oid FROM pg_default_acl
    ) other, pg_identify_object(other.classid, other.oid, 0) o
    -- The first object identifier that is not the system's own.
    WHERE other.oid >= 16384
        AND (other.classid, other.oid) NOT IN (SELECT classid, objid FROM extension_member)
        AND (other.classid, other.oid) NOT IN (SELECT classid, objid FROM accessory)
    UNION ALL
    SELECT 11, setting, 'database setting ' || setting, 0, 0
    FROM pg_db_role_setting s, unnest(s.setconfig) setting
    WHERE s.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
),
-- (section, object, part, position, key, line, and what a comment on it refers to)
line AS (
    SELECT 3 AS section, t.name AS object, 1 AS part, row_number() OVER (PARTITION BY t.oid ORDER BY e.enumsortorder)
            AS position, '' AS key, quote_literal(e.enumlabel) AS line, 0::oid AS classid, 0::oid AS oid, 0 AS subid,
            '' AS what
    FROM user_type t JOIN pg_enum e ON e.enumtypid = t.oid
    UNION ALL
    SELECT r.section, r.name, 1, a.attnum, '', concat(
            quote_ident(a.attname), ' ', format_type(a.atttypid, a.atttypmod),
            (SELECT format(' collate %I', l.collname) FROM pg_collation l JOIN pg_type t ON t.oid = a.atttypid
                WHERE l.oid = a.attcollation AND l.oid <> t.typcollation),
            CASE WHEN a.attnotnull THEN ' not null' END,
            CASE a.attidentity WHEN 'a' THEN ' generated always as identity'
                WHEN 'd' THEN ' generated by default as identity' END,
            CASE a.attgenerated WHEN '' THEN ' default ' || pg_get_expr(d.adbin, d.adrelid)
                WHEN 's' THEN format(' generated always as (%s) stored', pg_get_expr(d.adbin, d.adrelid))
                ELSE format(' generated always as (%s) virtual', pg_get_expr(d.adbin, d.adrelid)) END),
        'pg_class'::regclass, r.oid, a.attnum, 'column ' || quote_ident(a.attname)
    FROM relation r
    JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped AND r.relkind <> 'S'
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    UNION ALL
    SELECT 6, r.name, 1, 0, '', concat(format_type(s.seqtypid, NULL), ' start ', s.seqstart, ' increment ',
            s.seqincrement, ' min ', s.seqmin, ' max ', s.seqmax, CASE WHEN s.seqcycle THEN ' cycle' END,
            (SELECT format(' owned by %s.%I', o.name, a.attname) FROM pg_depend d
                JOIN relation o ON o.oid = d.refobjid
                JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
                WHERE d.classid = 'pg_class'::regclass AND d.objid = r.oid AND d.deptype = 'a')),
        0, 0, 0, ''
    FROM relation r JOIN pg_sequence s ON s.seqrelid = r.oid
    UNION ALL
    SELECT r.section, r.name, 2, i.inhseqno, '',
        concat(CASE WHEN r.relispartition THEN 'partition of ' ELSE 'inherits ' END, p.name,
            ' ' || pg_get_expr(r.relpartbound, r.oid)), 0, 0, 0, ''
    FROM pg_inherits i JOIN relation r ON r.oid = i.inhrelid JOIN relation p ON p.oid = i.inhparent
    UNION ALL
    SELECT r.section, r.name, 3, 0, c.conname,
        format('constraint %I %s', c.conname, pg_get_constraintdef(c.oid)),
        'pg_constraint'::regclass, c.oid, 0, format('constraint %I', c.conname)
    -- Constraint triggers are triggers; version 18 also counts what a column's `not null` says.
    FROM relation r JOIN pg_constraint c ON c.conrelid = r.oid AND c.contype NOT IN ('n', 't')
    UNION ALL
    SELECT 4, t.name, 3, 0, c.conname, format('constraint %I %s', c.conname, pg_get_constraintdef(c.oid)),
        'pg_constraint'::regclass, c.oid, 0, format('constraint %I', c.conname)
    FROM user_type t JOIN pg_constraint c ON c.contypid = t.oid AND c.contype <> 'n'
    UNION ALL
    SELECT r.section, r.name, 4, 0, c.relname,
        pg_get_indexdef(i.indexrelid) || CASE WHEN i.indisvalid THEN '' ELSE ' (invalid)' END,
        'pg_class'::regclass, c.oid, 0, format('index %I', c.relname)
    FROM relation r JOIN pg_index i ON i.indrelid = r.oid JOIN pg_class c ON c.oid = i.indexrelid
    WHERE NOT EXISTS (
        SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x')
    )
    UNION ALL
    SELECT r.section, r.name, 5, 0, t.tgname, pg_get_triggerdef(t.oid)
            || CASE t.tgenabled WHEN 'O' THEN '' ELSE format(' (enabled: %s)', t.tgenabled) END,
        'pg_trigger'::regclass, t.oid, 0, format('trigger %I', t.tgname)
    FROM relation r JOIN pg_trigger t ON t.tgrelid = r.oid AND NOT t.tgisinternal
    UNION ALL
    SELECT r.section, r.name, 6, 0, w.rulename, pg_get_ruledef(w.oid), 'pg_rewrite'::regclass, w.oid, 0,
        format('rule %I', w.rulename)
    FROM relation r JOIN pg_rewrite w ON w.ev_class = r.oid AND w.rulename <> '_RETURN'
    UNION ALL
    SELECT r.section, r.name, 7, 0, s.stxname, pg_get_statisticsobjdef(s.oid), 'pg_statistic_ext'::regclass,
        s.oid, 0, format('statistics %I', s.stxname)
    FROM relation r JOIN pg_statistic_ext s ON s.stxrelid = r.oid
    UNION ALL
    SELECT section, name, 8, 0, '',
        'row level security' || CASE WHEN relforcerowsecurity THEN ', for the owner too' ELSE '' END, 0, 0, 0, ''
    FROM relation WHERE relrowsecurity
    UNION ALL
    SELECT r.section, r.name, 8, 1, p.polname, concat(
            format('policy %I', p.polname), CASE WHEN NOT p.polpermissive THEN ' restrictive' END,
            CASE p.polcmd WHEN 'r' THEN ' for select' WHEN 'a' THEN ' for insert' WHEN 'w' THEN ' for update'
                WHEN 'd' THEN ' for delete' END,
            ' to ', (SELECT string_agg(CASE role WHEN 0 THEN 'public' ELSE pg_get_userbyid(role)::text END, ', '
                ORDER BY role) FROM unnest(p.polroles) role),
            format(' using (%s)', pg_get_expr(p.polqual, p.polrelid)),
            CASE WHEN p.polwithcheck IS NOT NULL
                THEN format(' with check (%s)', pg_get_expr(p.polwithcheck, p.polrelid)) END),
        'pg_policy'::regclass, p.oid, 0, format('policy %I', p.polname)
    FROM relation r JOIN pg_policy p ON p.polrelid = r.oid
    UNION ALL
    SELECT section, name, 9, 0, '', pg_get_viewdef(oid, true), 0, 0, 0, '' FROM relation WHERE relkind IN ('v', 'm')
    UNION ALL
    SELECT 9, name, 9, 0, '', pg_get_functiondef(oid), 0, 0, 0, '' FROM routine WHERE prokind <> 'a'
),
granted AS (
    SELECT 2 AS section, nspname::text AS object, '' AS what, nspowner AS owner, nspacl AS acl FROM user_schema
    UNION ALL SELECT section, name, '', relowner, relacl FROM relation
    UNION ALL
    SELECT r.section, r.name, format(' (%I)', a.attname), r.relowner, a.attacl
    FROM relation r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0
    UNION ALL SELECT 9, name, '', proowner, proacl FROM routine
)
SELECT part, line FROM (
    SELECT section, object::text, 0 AS part, 0::bigint AS position, '' AS key, line::text FROM header
    UNION ALL
    SELECT section, object, part, position, key, line FROM line
    UNION ALL
    SELECT h.section, h.object, 10, 0, '', 'comment: ' || quote_literal(d.description)
    FROM header h JOIN pg_description d ON d.classoid = h.classid AND d.objoid = h.oid AND d.objsubid = 0
    UNION ALL
    SELECT l.section, l.object, 10, 1, l.what, format('comment on %s: %L', l.what, d.description)
    FROM line l JOIN pg_description d ON d.classoid = l.classid AND d.objoid = l.oid AND d.objsubid = l.subid
    UNION ALL
    SELECT g.section, g.object, 11, 0, g.what || n.grantee, format('grant %s%s to %s',
        string_agg(a.privilege_type || CASE WHEN a.is_grantable THEN ' with grant option' ELSE '' END, ', '
            ORDER BY a.privilege_type), g.what, n.grantee)
    FROM granted g, aclexplode(g.acl) a,
        LATERAL (SELECT CASE a.grantee WHEN 0 THEN 'public' ELSE pg_get_userbyid(a.grantee)::text END AS grantee) n
    WHERE a.grantee <> g.owner
    GROUP BY g.section, g.object, g.what, n.grantee
) rendered
ORDER BY section, object COLLATE "C", part, position, key COLLATE "C", line COLLATE "C"
