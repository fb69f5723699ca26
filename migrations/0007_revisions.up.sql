-- Experiments and models say how often they were written, so that an update can tell what it has seen. What else must
-- hold is added here for what is written from now on, and validated for what is there in the next migration.

SET LOCAL lock_timeout = '2s';

ALTER TABLE ml_experiments
    ADD COLUMN revision bigint NOT NULL DEFAULT 1,
    ADD CONSTRAINT ml_experiments_revision_check CHECK (revision > 0) NOT VALID,
    ADD CONSTRAINT ml_experiments_description_check
        CHECK (description <> '' AND octet_length(description) <= 8192) NOT VALID,
    ADD CONSTRAINT ml_experiments_prediction_target_check CHECK (prediction_target <> '') NOT VALID,
    ADD CONSTRAINT ml_experiments_created_by_check CHECK (created_by <> '') NOT VALID,
    -- The years that every client can hold.
    ADD CONSTRAINT ml_experiments_times_check
        CHECK (created_at >= '0001-01-01 00:00:00+00' AND updated_at < '10000-01-01 00:00:00+00') NOT VALID;

ALTER TABLE ml_model_registry
    ADD COLUMN revision bigint NOT NULL DEFAULT 1,
    ADD CONSTRAINT ml_model_registry_revision_check CHECK (revision > 0) NOT VALID,
    ADD CONSTRAINT ml_model_registry_is_champion_check
        CHECK (NOT is_champion OR stage NOT IN ('archived', 'deprecated')) NOT VALID,
    ADD CONSTRAINT ml_model_registry_mlflow_run_id_check CHECK (mlflow_run_id <> '') NOT VALID,
    ADD CONSTRAINT ml_model_registry_mlflow_model_uri_check
        CHECK (mlflow_model_uri <> '' AND octet_length(mlflow_model_uri) <= 8192) NOT VALID,
    ADD CONSTRAINT ml_model_registry_algorithm_check CHECK (algorithm <> '') NOT VALID,
    ADD CONSTRAINT ml_model_registry_artifact_path_check
        CHECK (artifact_path <> '' AND octet_length(artifact_path) <= 8192) NOT VALID,
    ADD CONSTRAINT ml_model_registry_times_check
        CHECK (registered_at >= '0001-01-01 00:00:00+00' AND registered_at < '10000-01-01 00:00:00+00'
               AND trained_at >= '0001-01-01 00:00:00+00' AND trained_at < '10000-01-01 00:00:00+00'
               AND promoted_at >= '0001-01-01 00:00:00+00' AND promoted_at < '10000-01-01 00:00:00+00'
               AND updated_at >= '0001-01-01 00:00:00+00' AND updated_at < '10000-01-01 00:00:00+00') NOT VALID;
