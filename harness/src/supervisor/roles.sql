(SELECT concat(count(*), ':', sum(hashtextextended(r::text, 0))) FROM pg_catalog.pg_roles r
        -- Those that come and go with databases for scripts are no matter of anybody else.
        WHERE r.rolname !~ '^proofmark_[0-9a-f]+_[0-9]+_role$')
    || (SELECT concat(' ', count(*), ':', coalesce(max(m.xmin::text::bigint), 0)) FROM pg_catalog.pg_auth_members m
        JOIN pg_catalog.pg_roles r ON r.oid = m.member
        WHERE r.rolname !~ '^proofmark_[0-9a-f]+_[0-9]+_role$')
