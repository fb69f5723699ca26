(SELECT concat(oid, ':', xmin) FROM pg_catalog.pg_database WHERE datname = current_database())
    || (SELECT concat(':', count(*)) FROM pg_catalog.pg_db_role_setting
        WHERE setdatabase = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()))
    -- A clone has no statistics of its catalogs at first; functions of the system may have been replaced since.
    || concat(':', pg_stat_get_tuples_updated('pg_catalog.pg_proc'::regclass)) AS database,
(SELECT count(*) FROM pg_catalog.pg_prepared_xacts WHERE database = current_database())
    + (SELECT count(*) FROM pg_catalog.pg_replication_slots WHERE database = current_database()) AS leftovers
