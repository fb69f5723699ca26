-- Experiments and the models that came out of them: what services, explanations and audits refer to.

CREATE TYPE model_stage_enum AS ENUM ('development', 'staging', 'shadow', 'production', 'archived', 'deprecated');

CREATE TABLE ml_experiments (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    experiment_name varchar(255) NOT NULL,
    mlflow_experiment_id varchar(255),
    description text,
    prediction_target varchar(255),
    created_by varchar(255),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT ml_experiments_mlflow_experiment_id_key UNIQUE (mlflow_experiment_id),
    CONSTRAINT ml_experiments_experiment_name_check CHECK (experiment_name <> ''),
    CONSTRAINT ml_experiments_mlflow_experiment_id_check CHECK (mlflow_experiment_id <> ''),
    CONSTRAINT ml_experiments_updated_at_check CHECK (updated_at >= created_at)
);

CREATE TABLE ml_model_registry (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    experiment_id uuid,
    model_name varchar(255) NOT NULL,
    model_version varchar(100) NOT NULL,
    mlflow_run_id varchar(255),
    mlflow_model_uri text,
    algorithm varchar(255),
    hyperparameters jsonb,
    feature_count integer,
    training_samples bigint,
    auc double precision,
    pr_auc double precision,
    brier_score double precision,
    stage model_stage_enum NOT NULL DEFAULT 'development',
    is_champion boolean NOT NULL DEFAULT false,
    artifact_path text,
    trained_at timestamptz,
    registered_at timestamptz NOT NULL DEFAULT now(),
    promoted_at timestamptz,
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT ml_model_registry_experiment_id_fkey
        FOREIGN KEY (experiment_id) REFERENCES ml_experiments (id) ON DELETE RESTRICT,
    CONSTRAINT ml_model_registry_model_name_model_version_key UNIQUE (model_name, model_version),
    CONSTRAINT ml_model_registry_model_name_check CHECK (model_name <> ''),
    CONSTRAINT ml_model_registry_model_version_check CHECK (model_version <> ''),
    CONSTRAINT ml_model_registry_hyperparameters_check
        CHECK (jsonb_typeof(hyperparameters) = 'object' AND octet_length(hyperparameters::text) <= 1048576),
    CONSTRAINT ml_model_registry_feature_count_check CHECK (feature_count >= 0),
    CONSTRAINT ml_model_registry_training_samples_check CHECK (training_samples >= 0),
    CONSTRAINT ml_model_registry_auc_check CHECK (auc BETWEEN 0 AND 1),
    CONSTRAINT ml_model_registry_pr_auc_check CHECK (pr_auc BETWEEN 0 AND 1),
    CONSTRAINT ml_model_registry_brier_score_check CHECK (brier_score BETWEEN 0 AND 1)
);

CREATE INDEX idx_model_registry_experiment ON ml_model_registry (experiment_id);

-- The experiment is no part of the key: a model without one would otherwise escape the rule, NULLs being distinct.
CREATE UNIQUE INDEX idx_model_registry_champion ON ml_model_registry (model_name) WHERE is_champion;

COMMENT ON INDEX idx_model_registry_champion IS 'at most one champion per model name';
