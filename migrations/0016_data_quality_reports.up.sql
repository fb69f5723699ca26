-- What suites of expectations found in tables: appended and never changed.

SET LOCAL lock_timeout = '2s';

CREATE TYPE dq_status_enum AS ENUM ('passed', 'failed', 'warning', 'skipped');
CREATE TYPE data_split_type AS ENUM ('train', 'validation', 'test', 'holdout', 'unassigned');

CREATE TABLE ml_data_quality_reports (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    expectation_suite_name varchar(255) NOT NULL,
    table_name varchar(255) NOT NULL,
    overall_status dq_status_enum,
    expectations_passed integer NOT NULL,
    expectations_failed integer NOT NULL,
    -- Computed, so that they cannot say anything else than the two above.
    expectations_evaluated integer NOT NULL GENERATED ALWAYS AS (expectations_passed + expectations_failed) STORED,
    success_rate double precision GENERATED ALWAYS AS (
        expectations_passed::double precision
        / nullif((expectations_passed + expectations_failed)::double precision, 0::double precision)
    ) STORED,
    failed_expectations jsonb NOT NULL DEFAULT '[]',
    run_at timestamptz NOT NULL DEFAULT now(),
    duration_seconds double precision,
    data_split data_split_type NOT NULL DEFAULT 'unassigned',
    training_run_id uuid,
    CONSTRAINT ml_data_quality_reports_training_run_id_fkey
        FOREIGN KEY (training_run_id) REFERENCES ml_training_runs (id) ON DELETE RESTRICT,
    CONSTRAINT ml_data_quality_reports_expectation_suite_name_check CHECK (expectation_suite_name <> ''),
    CONSTRAINT ml_data_quality_reports_table_name_check CHECK (table_name <> ''),
    CONSTRAINT ml_data_quality_reports_expectations_check
        CHECK (expectations_passed BETWEEN 0 AND 1000000 AND expectations_failed BETWEEN 0 AND 1000000),
    CONSTRAINT ml_data_quality_reports_failed_expectations_check
        CHECK (CASE jsonb_typeof(failed_expectations)
                   WHEN 'array' THEN jsonb_array_length(failed_expectations) <= expectations_failed
                   ELSE false
               END
               AND octet_length(failed_expectations::text) <= 16777216),
    CONSTRAINT ml_data_quality_reports_run_at_check
        CHECK (run_at >= '0001-01-01 00:00:00+00' AND run_at < '10000-01-01 00:00:00+00'),
    CONSTRAINT ml_data_quality_reports_duration_seconds_check CHECK (duration_seconds BETWEEN 0 AND 1e9),
    -- Nothing passes that met no expectation, or not all of them. No status is allowed, and passes nothing.
    CONSTRAINT ml_data_quality_reports_overall_status_check CHECK (
        CASE overall_status
            WHEN 'passed' THEN expectations_passed > 0 AND expectations_failed = 0
            WHEN 'failed' THEN expectations_failed > 0
            WHEN 'warning' THEN expectations_failed > 0
            WHEN 'skipped' THEN expectations_passed = 0 AND expectations_failed = 0
            ELSE true
        END
    )
);

-- The latest report of a suite on a table is what a gate asks for, and what lists begin with.
CREATE INDEX idx_data_quality_reports_table
    ON ml_data_quality_reports (table_name, expectation_suite_name, run_at, id);
CREATE INDEX idx_data_quality_reports_training_run ON ml_data_quality_reports (training_run_id);
