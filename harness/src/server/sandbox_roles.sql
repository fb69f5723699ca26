-- Drops the role of one database, which is gone, and the roles that were made for its scripts and that no other such
-- database uses. Nobody makes or drops one meanwhile: this lock is on a catalog that is the same in all databases and
-- that scripts cannot touch.
DO $$
DECLARE
    owner CONSTANT name := '{role}';
    made record;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = owner) THEN
        RETURN;
    END IF;
    LOCK TABLE pg_catalog.pg_tablespace IN SHARE UPDATE EXCLUSIVE MODE;
    -- Somebody else may have dropped it meanwhile.
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = owner) THEN
        RETURN;
    END IF;
    FOR made IN
        SELECT r.rolname FROM pg_catalog.pg_roles r
        WHERE pg_catalog.shobj_description(r.oid, 'pg_authid') = '{mark}'
            AND EXISTS (
                SELECT FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles o ON o.oid = m.member
                WHERE m.roleid = r.oid AND o.rolname = owner
            )
            AND NOT EXISTS (
                SELECT FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles o ON o.oid = m.member
                WHERE m.roleid = r.oid AND o.rolname <> owner AND o.rolname ~ '{pattern}'
            )
    LOOP
        BEGIN
            EXECUTE format('DROP OWNED BY %I', made.rolname);
            EXECUTE format('DROP ROLE %I', made.rolname);
        EXCEPTION WHEN OTHERS THEN
            -- It owns something elsewhere, where somebody has given it to it.
            RAISE WARNING 'role % stays: %', made.rolname, SQLERRM;
        END;
    END LOOP;
    EXECUTE format('DROP OWNED BY %I', owner);
    EXECUTE format('DROP ROLE %I', owner);
END $$
