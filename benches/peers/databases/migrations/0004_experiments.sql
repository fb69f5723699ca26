-- Experiments, runs, and what is logged in them.

CREATE TYPE run_state AS ENUM ('queued', 'running', 'finished', 'failed', 'cancelled');

CREATE SEQUENCE run_numbers START 1000;

CREATE TABLE experiments (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id bigint NOT NULL REFERENCES projects ON DELETE CASCADE,
    name text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (project_id, name)
);

CREATE TABLE runs (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    number bigint NOT NULL UNIQUE DEFAULT nextval('run_numbers'),
    experiment_id bigint NOT NULL REFERENCES experiments ON DELETE CASCADE,
    dataset_version_id bigint REFERENCES dataset_versions,
    state run_state NOT NULL DEFAULT 'queued',
    started_at timestamptz,
    ended_at timestamptz,
    updated_at timestamptz NOT NULL DEFAULT now(),
    CHECK (ended_at >= started_at)
);
ALTER SEQUENCE run_numbers OWNED BY runs.number;
CREATE INDEX runs_experiment ON runs (experiment_id, started_at DESC);
CREATE INDEX runs_dataset ON runs (dataset_version_id);
CREATE INDEX runs_unfinished ON runs (state) WHERE ended_at IS NULL;
CREATE TRIGGER runs_touch BEFORE UPDATE ON runs FOR EACH ROW EXECUTE FUNCTION touch();

CREATE TABLE run_parameters (
    run_id uuid NOT NULL REFERENCES runs ON DELETE CASCADE,
    name text NOT NULL,
    value jsonb NOT NULL,
    PRIMARY KEY (run_id, name)
);

CREATE TABLE run_metrics (
    run_id uuid NOT NULL REFERENCES runs ON DELETE CASCADE,
    name text NOT NULL,
    step bigint NOT NULL,
    value double precision NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (run_id, name, step)
);
CREATE INDEX run_metrics_time ON run_metrics USING brin (recorded_at);

CREATE TABLE run_artifacts (
    run_id uuid NOT NULL REFERENCES runs ON DELETE CASCADE,
    artifact_id uuid NOT NULL REFERENCES artifacts,
    purpose text NOT NULL,
    PRIMARY KEY (run_id, artifact_id)
);
CREATE INDEX run_artifacts_artifact ON run_artifacts (artifact_id);
