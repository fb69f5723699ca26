SET LOCAL lock_timeout = '2s';

ALTER TABLE ml_feast_materialization_jobs
    DROP CONSTRAINT ml_feast_materialization_jobs_outcome_check,
    ALTER COLUMN start_time DROP DEFAULT,
    ALTER COLUMN status DROP DEFAULT,
    DROP COLUMN error_message;
