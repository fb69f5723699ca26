-- How old the values of a feature view were, whenever somebody looked: appended and never changed.

SET LOCAL lock_timeout = '2s';

ALTER TABLE ml_feast_materialization_jobs VALIDATE CONSTRAINT ml_feast_materialization_jobs_outcome_check;

CREATE TABLE ml_feast_feature_freshness (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    feature_view_id uuid NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    last_materialization_time timestamptz,
    staleness_seconds double precision,
    status varchar(50) NOT NULL,
    stale_after_seconds double precision NOT NULL,
    critical_after_seconds double precision NOT NULL,
    CONSTRAINT ml_feast_feature_freshness_feature_view_id_fkey
        FOREIGN KEY (feature_view_id) REFERENCES ml_feast_feature_views (id) ON DELETE CASCADE,
    CONSTRAINT ml_feast_feature_freshness_recorded_at_check
        CHECK (recorded_at >= '0001-01-01 00:00:00+00' AND recorded_at < '10000-01-01 00:00:00+00'),
    CONSTRAINT ml_feast_feature_freshness_last_materialization_time_check
        CHECK (last_materialization_time >= '0001-01-01 00:00:00+00'
               AND last_materialization_time < '10000-01-01 00:00:00+00'),
    CONSTRAINT ml_feast_feature_freshness_staleness_seconds_check CHECK (staleness_seconds BETWEEN 0 AND 1e12),
    CONSTRAINT ml_feast_feature_freshness_thresholds_check
        CHECK (stale_after_seconds >= 0 AND critical_after_seconds >= stale_after_seconds
               AND critical_after_seconds <= 1e9),
    -- Unknown is what was never materialized, and nothing else; the others are what the thresholds say.
    CONSTRAINT ml_feast_feature_freshness_status_check CHECK (
        CASE status
            WHEN 'unknown' THEN last_materialization_time IS NULL AND staleness_seconds IS NULL
            WHEN 'fresh' THEN
                last_materialization_time IS NOT NULL AND staleness_seconds IS NOT NULL
                AND staleness_seconds <= stale_after_seconds
            WHEN 'stale' THEN
                last_materialization_time IS NOT NULL AND staleness_seconds IS NOT NULL
                AND staleness_seconds > stale_after_seconds AND staleness_seconds <= critical_after_seconds
            WHEN 'critical' THEN
                last_materialization_time IS NOT NULL AND staleness_seconds IS NOT NULL
                AND staleness_seconds > critical_after_seconds
            ELSE false
        END
    )
);

-- Every look is at one view. A BRIN index would be smaller, but each of its ranges holds rows of all views.
CREATE INDEX idx_feast_feature_freshness_view ON ml_feast_feature_freshness (feature_view_id, recorded_at);

COMMENT ON COLUMN ml_feast_feature_freshness.last_materialization_time IS
    'when the successful job ended that began last';
