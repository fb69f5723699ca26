-- Feature views, and the jobs that bring their values into the online store.

CREATE TABLE ml_feast_feature_views (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name varchar(255) NOT NULL,
    entities jsonb,
    features jsonb,
    ttl_seconds integer,
    online_enabled boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT ml_feast_feature_views_name_key UNIQUE (name),
    CONSTRAINT ml_feast_feature_views_name_check CHECK (name <> ''),
    CONSTRAINT ml_feast_feature_views_entities_check
        CHECK (jsonb_typeof(entities) = 'array' AND octet_length(entities::text) <= 1048576),
    CONSTRAINT ml_feast_feature_views_features_check
        CHECK (jsonb_typeof(features) = 'array' AND octet_length(features::text) <= 1048576),
    CONSTRAINT ml_feast_feature_views_ttl_seconds_check CHECK (ttl_seconds >= 0),
    CONSTRAINT ml_feast_feature_views_updated_at_check CHECK (updated_at >= created_at)
);

COMMENT ON COLUMN ml_feast_feature_views.ttl_seconds IS '0 means that values never expire, as in Feast';

CREATE TABLE ml_feast_materialization_jobs (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    feature_view_id uuid NOT NULL,
    start_time timestamptz,
    end_time timestamptz,
    status varchar(50),
    rows_materialized integer,
    duration_seconds double precision,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT ml_feast_materialization_jobs_feature_view_id_fkey
        FOREIGN KEY (feature_view_id) REFERENCES ml_feast_feature_views (id) ON DELETE CASCADE,
    CONSTRAINT ml_feast_materialization_jobs_status_check CHECK (status <> ''),
    CONSTRAINT ml_feast_materialization_jobs_end_time_check CHECK (end_time >= start_time),
    CONSTRAINT ml_feast_materialization_jobs_rows_materialized_check CHECK (rows_materialized >= 0),
    -- The upper bound refuses Infinity, and NaN, which sorts above it.
    CONSTRAINT ml_feast_materialization_jobs_duration_seconds_check CHECK (duration_seconds BETWEEN 0 AND 1e12),
    CONSTRAINT ml_feast_materialization_jobs_updated_at_check CHECK (updated_at >= created_at)
);

CREATE INDEX idx_feast_materialization_jobs_view ON ml_feast_materialization_jobs (feature_view_id, start_time);
