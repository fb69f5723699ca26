-- What a service measured about itself: one row per window of time, appended and never changed.

CREATE TABLE ml_bentoml_serving_metrics (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    service_id uuid NOT NULL,
    timestamp timestamptz NOT NULL DEFAULT now(),
    requests_per_second double precision,
    avg_latency_ms double precision,
    p95_latency_ms double precision,
    p99_latency_ms double precision,
    error_rate double precision,
    memory_mb double precision,
    cpu_percent double precision,
    window_seconds double precision NOT NULL DEFAULT 60,
    CONSTRAINT ml_bentoml_serving_metrics_service_id_fkey
        FOREIGN KEY (service_id) REFERENCES ml_bentoml_services (id) ON DELETE CASCADE,
    CONSTRAINT ml_bentoml_serving_metrics_timestamp_check
        CHECK (timestamp >= '0001-01-01 00:00:00+00' AND timestamp < '10000-01-01 00:00:00+00'),
    -- A measure is zero or of a size that occurs: NaN and the infinities are refused, and no product of three
    -- measures over- or underflows, which is an error in Postgres and would fail every later summary.
    CONSTRAINT ml_bentoml_serving_metrics_requests_per_second_check
        CHECK (requests_per_second = 0 OR requests_per_second BETWEEN 1e-12 AND 1e15),
    CONSTRAINT ml_bentoml_serving_metrics_avg_latency_ms_check
        CHECK (avg_latency_ms = 0 OR avg_latency_ms BETWEEN 1e-12 AND 1e15),
    CONSTRAINT ml_bentoml_serving_metrics_p95_latency_ms_check
        CHECK (p95_latency_ms = 0 OR p95_latency_ms BETWEEN 1e-12 AND 1e15),
    CONSTRAINT ml_bentoml_serving_metrics_p99_latency_ms_check
        CHECK (p99_latency_ms = 0 OR p99_latency_ms BETWEEN 1e-12 AND 1e15),
    CONSTRAINT ml_bentoml_serving_metrics_error_rate_check
        CHECK (error_rate = 0 OR error_rate BETWEEN 1e-12 AND 1),
    CONSTRAINT ml_bentoml_serving_metrics_memory_mb_check
        CHECK (memory_mb = 0 OR memory_mb BETWEEN 1e-12 AND 1e15),
    CONSTRAINT ml_bentoml_serving_metrics_cpu_percent_check
        CHECK (cpu_percent = 0 OR cpu_percent BETWEEN 1e-12 AND 1e15),
    CONSTRAINT ml_bentoml_serving_metrics_percentiles_check CHECK (p95_latency_ms <= p99_latency_ms),
    CONSTRAINT ml_bentoml_serving_metrics_window_seconds_check CHECK (window_seconds BETWEEN 0.001 AND 31622400)
);

CREATE INDEX idx_bentoml_metrics_service ON ml_bentoml_serving_metrics (service_id, timestamp);

COMMENT ON COLUMN ml_bentoml_serving_metrics.window_seconds IS
    'length of the window that the row summarises; requests_per_second * window_seconds is its number of requests';
COMMENT ON COLUMN ml_bentoml_serving_metrics.error_rate IS 'share of requests that failed, from 0 to 1';
COMMENT ON COLUMN ml_bentoml_serving_metrics.cpu_percent IS '100 is one processor fully used; several can exceed it';
