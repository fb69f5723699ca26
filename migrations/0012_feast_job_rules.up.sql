-- What a materialization job says of itself has to fit together: above all, a success has a time of completion, for
-- freshness is measured from it. New rows are held to it from here on; the next two versions see to old ones.

SET LOCAL lock_timeout = '2s';

ALTER TABLE ml_feast_materialization_jobs
    ADD COLUMN error_message text,
    -- An INSERT that names neither records a job that has begun.
    ALTER COLUMN status SET DEFAULT 'running',
    ALTER COLUMN start_time SET DEFAULT now(),
    ADD CONSTRAINT ml_feast_materialization_jobs_outcome_check CHECK (
        start_time IS NOT NULL
        -- The years that every client can hold; a job that ends at 'infinity' would be fresh for ever.
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
