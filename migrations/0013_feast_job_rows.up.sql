-- no-transaction
-- Jobs from before the rules: what they claim and cannot show is no success. Each keeps what it said in its error
-- message, and a beginning that is not known is at the latest when the row was written, or the job ended. Some thousand
-- rows at a time; the rule itself, which holds for what is written here, keeps the loop from going on for ever.
DO $$
BEGIN
    LOOP
        UPDATE ml_feast_materialization_jobs
        SET start_time = CASE
                WHEN start_time >= '0001-01-01 00:00:00+00' AND start_time < '10000-01-01 00:00:00+00' THEN start_time
                WHEN end_time < '10000-01-01 00:00:00+00' THEN least(created_at, end_time)
                ELSE created_at
            END,
            end_time = CASE WHEN end_time < '10000-01-01 00:00:00+00' THEN end_time END,
            error_message = 'recorded without what is asked for today, with the status '
                || coalesce(status, 'none')
                || CASE WHEN end_time IS NULL THEN ' and no time of completion' ELSE '' END,
            status = 'failed'
        WHERE id IN (
            SELECT id
            FROM ml_feast_materialization_jobs
            WHERE (
                start_time >= '0001-01-01 00:00:00+00' AND start_time < '10000-01-01 00:00:00+00'
                AND coalesce(end_time < '10000-01-01 00:00:00+00', true)
                AND CASE status
                    WHEN 'running' THEN end_time IS NULL AND error_message IS NULL
                    WHEN 'success' THEN end_time IS NOT NULL AND error_message IS NULL
                    WHEN 'failed' THEN error_message IS NOT NULL
                    ELSE false
                END
            ) IS NOT TRUE
            LIMIT 5000
        );
        EXIT WHEN NOT FOUND;
        COMMIT;
    END LOOP;
END $$;
