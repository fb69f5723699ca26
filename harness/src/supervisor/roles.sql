(SELECT concat(count(*), ':', sum(hashtextextended(r::text, 0))) FROM pg_catalog.pg_roles r)
    || (SELECT concat(' ', count(*), ':', coalesce(max(xmin::text::bigint), 0)) FROM pg_catalog.pg_auth_members)
