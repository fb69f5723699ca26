-- What leads to a model, and what becomes of it: training runs and deployments.

SET LOCAL lock_timeout = '2s';

CREATE TABLE ml_training_runs (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    experiment_id uuid NOT NULL,
    model_id uuid,
    mlflow_run_id varchar(255),
    algorithm varchar(255) NOT NULL,
    hyperparameters jsonb NOT NULL DEFAULT '{}',
    feature_names text[] NOT NULL DEFAULT '{}',
    train_metrics jsonb,
    validation_metrics jsonb,
    test_metrics jsonb,
    status varchar(50) NOT NULL DEFAULT 'running',
    error_message text,
    started_at timestamptz NOT NULL DEFAULT now(),
    completed_at timestamptz,
    duration_seconds double precision
        GENERATED ALWAYS AS (extract(epoch FROM completed_at - started_at)::double precision) STORED,
    optuna_study_name varchar(255),
    optuna_trial_number integer,
    is_best_trial boolean NOT NULL DEFAULT false,
    revision bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT ml_training_runs_experiment_id_fkey
        FOREIGN KEY (experiment_id) REFERENCES ml_experiments (id) ON DELETE RESTRICT,
    CONSTRAINT ml_training_runs_model_id_fkey
        FOREIGN KEY (model_id) REFERENCES ml_model_registry (id) ON DELETE RESTRICT,
    CONSTRAINT ml_training_runs_mlflow_run_id_key UNIQUE (mlflow_run_id),
    CONSTRAINT ml_training_runs_mlflow_run_id_check CHECK (mlflow_run_id <> ''),
    CONSTRAINT ml_training_runs_algorithm_check CHECK (algorithm <> ''),
    CONSTRAINT ml_training_runs_hyperparameters_check
        CHECK (jsonb_typeof(hyperparameters) = 'object' AND octet_length(hyperparameters::text) <= 1048576),
    CONSTRAINT ml_training_runs_feature_names_check
        CHECK (cardinality(feature_names) <= 10000 AND array_position(feature_names, NULL) IS NULL
               AND array_position(feature_names, '') IS NULL),
    CONSTRAINT ml_training_runs_train_metrics_check
        CHECK (jsonb_typeof(train_metrics) = 'object' AND octet_length(train_metrics::text) <= 2097152),
    CONSTRAINT ml_training_runs_validation_metrics_check
        CHECK (jsonb_typeof(validation_metrics) = 'object' AND octet_length(validation_metrics::text) <= 2097152),
    CONSTRAINT ml_training_runs_test_metrics_check
        CHECK (jsonb_typeof(test_metrics) = 'object' AND octet_length(test_metrics::text) <= 2097152),
    -- What runs has no end; what failed says why, and nothing else does.
    CONSTRAINT ml_training_runs_status_check CHECK (
        CASE status
            WHEN 'running' THEN completed_at IS NULL AND error_message IS NULL
            WHEN 'completed' THEN completed_at IS NOT NULL AND error_message IS NULL
            WHEN 'cancelled' THEN completed_at IS NOT NULL AND error_message IS NULL
            WHEN 'failed' THEN
                completed_at IS NOT NULL AND error_message IS NOT NULL
                AND error_message <> '' AND octet_length(error_message) <= 65536
            ELSE false
        END
    ),
    CONSTRAINT ml_training_runs_started_at_check
        CHECK (started_at >= '0001-01-01 00:00:00+00' AND started_at < '10000-01-01 00:00:00+00'),
    CONSTRAINT ml_training_runs_completed_at_check
        CHECK (completed_at >= started_at AND completed_at < '10000-01-01 00:00:00+00'),
    CONSTRAINT ml_training_runs_optuna_study_name_check CHECK (optuna_study_name <> ''),
    CONSTRAINT ml_training_runs_optuna_trial_number_check
        CHECK (optuna_trial_number >= 0 AND (optuna_trial_number IS NULL) = (optuna_study_name IS NULL)),
    CONSTRAINT ml_training_runs_is_best_trial_check
        CHECK (NOT is_best_trial OR (optuna_study_name IS NOT NULL AND status = 'completed')),
    CONSTRAINT ml_training_runs_revision_check CHECK (revision > 0),
    CONSTRAINT ml_training_runs_updated_at_check
        CHECK (created_at >= '0001-01-01 00:00:00+00' AND updated_at >= created_at
               AND updated_at < '10000-01-01 00:00:00+00')
);

CREATE INDEX idx_training_runs_created ON ml_training_runs (created_at, id);
CREATE INDEX idx_training_runs_experiment ON ml_training_runs (experiment_id, created_at, id);
CREATE INDEX idx_training_runs_model ON ml_training_runs (model_id);
CREATE UNIQUE INDEX idx_training_runs_best_trial ON ml_training_runs (optuna_study_name) WHERE is_best_trial;

COMMENT ON INDEX idx_training_runs_best_trial IS 'at most one best trial per study';
COMMENT ON COLUMN ml_training_runs.train_metrics IS 'an object of finite numbers: JSON has no NaN and no Infinity';

CREATE TABLE ml_deployments (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    model_id uuid NOT NULL,
    deployment_name varchar(255) NOT NULL,
    environment varchar(100) NOT NULL,
    endpoint text,
    status deployment_status_enum NOT NULL DEFAULT 'pending',
    previous_deployment_id uuid,
    rollback_reason text,
    deployed_at timestamptz,
    deactivated_at timestamptz,
    rolled_back_at timestamptz,
    latency_p50_ms double precision,
    latency_p95_ms double precision,
    latency_p99_ms double precision,
    error_rate double precision,
    revision bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT ml_deployments_model_id_fkey
        FOREIGN KEY (model_id) REFERENCES ml_model_registry (id) ON DELETE RESTRICT,
    CONSTRAINT ml_deployments_previous_deployment_id_fkey
        FOREIGN KEY (previous_deployment_id) REFERENCES ml_deployments (id) ON DELETE RESTRICT,
    CONSTRAINT ml_deployments_previous_deployment_id_check CHECK (previous_deployment_id <> id),
    CONSTRAINT ml_deployments_deployment_name_check CHECK (deployment_name <> ''),
    CONSTRAINT ml_deployments_environment_check CHECK (environment <> ''),
    CONSTRAINT ml_deployments_endpoint_check CHECK (endpoint <> '' AND octet_length(endpoint) <= 8192),
    CONSTRAINT ml_deployments_rollback_reason_check
        CHECK (rollback_reason <> '' AND octet_length(rollback_reason) <= 8192),
    -- What is active has begun and not ended; what was rolled back says when and why, and nothing else does.
    CONSTRAINT ml_deployments_status_check CHECK (
        CASE status
            WHEN 'active' THEN deployed_at IS NOT NULL AND deactivated_at IS NULL
            WHEN 'draining' THEN deployed_at IS NOT NULL AND deactivated_at IS NOT NULL
            WHEN 'rolled_back' THEN deactivated_at IS NOT NULL
            ELSE true
        END
        AND (status = 'rolled_back') = (rolled_back_at IS NOT NULL)
        AND (status = 'rolled_back') = (rollback_reason IS NOT NULL)
    ),
    CONSTRAINT ml_deployments_latency_check CHECK (
        latency_p50_ms BETWEEN 0 AND 1e15 AND latency_p95_ms BETWEEN 0 AND 1e15 AND latency_p99_ms BETWEEN 0 AND 1e15
        AND latency_p50_ms <= latency_p95_ms AND latency_p95_ms <= latency_p99_ms
        AND latency_p50_ms <= latency_p99_ms
    ),
    CONSTRAINT ml_deployments_error_rate_check CHECK (error_rate BETWEEN 0 AND 1),
    CONSTRAINT ml_deployments_revision_check CHECK (revision > 0),
    CONSTRAINT ml_deployments_times_check CHECK (
        deployed_at >= '0001-01-01 00:00:00+00' AND deployed_at < '10000-01-01 00:00:00+00'
        AND deactivated_at >= '0001-01-01 00:00:00+00' AND deactivated_at < '10000-01-01 00:00:00+00'
        AND rolled_back_at >= '0001-01-01 00:00:00+00' AND rolled_back_at < '10000-01-01 00:00:00+00'
    ),
    CONSTRAINT ml_deployments_updated_at_check
        CHECK (created_at >= '0001-01-01 00:00:00+00' AND updated_at >= created_at
               AND updated_at < '10000-01-01 00:00:00+00')
);

CREATE INDEX idx_deployments_created ON ml_deployments (created_at, id);
CREATE INDEX idx_deployments_place ON ml_deployments (deployment_name, environment, created_at, id);
CREATE INDEX idx_deployments_model ON ml_deployments (model_id);
CREATE INDEX idx_deployments_previous ON ml_deployments (previous_deployment_id);
CREATE UNIQUE INDEX idx_deployments_active ON ml_deployments (deployment_name, environment) WHERE status = 'active';
-- What waits longest is cleaned up first.
CREATE INDEX idx_deployments_waiting ON ml_deployments (updated_at, id) WHERE status IN ('pending', 'deploying');

COMMENT ON INDEX idx_deployments_active IS 'at most one active deployment per name and environment';
