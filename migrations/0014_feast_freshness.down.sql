-- A constraint cannot be made unvalidated again, but dropped and added as it was.

SET LOCAL lock_timeout = '2s';

DROP TABLE ml_feast_feature_freshness;

ALTER TABLE ml_feast_materialization_jobs
    DROP CONSTRAINT ml_feast_materialization_jobs_outcome_check,
    ADD CONSTRAINT ml_feast_materialization_jobs_outcome_check CHECK (
        start_time IS NOT NULL
        AND start_time >= '0001-01-01 00:00:00+00' AND start_time < '10000-01-01 00:00:00+00'
        AND coalesce(end_time < '10000-01-01 00:00:00+00', true)
        AND CASE status
            WHEN 'running' THEN end_time IS NULL AND error_message IS NULL
            WHEN 'success' THEN end_time IS NOT NULL AND error_message IS NULL
            WHEN 'failed' THEN
                error_message IS NOT NULL AND error_message <> '' AND octet_length(error_message) <= 8192
            ELSE false
        END
    ) NOT VALID;
