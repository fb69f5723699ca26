-- Deployments and how they answer.

CREATE TYPE deployment_state AS ENUM ('pending', 'ready', 'degraded', 'stopped');

CREATE TABLE services (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id bigint NOT NULL REFERENCES projects ON DELETE CASCADE,
    name text NOT NULL,
    UNIQUE (project_id, name)
);

CREATE TABLE deployments (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    service_id bigint NOT NULL REFERENCES services ON DELETE CASCADE,
    model_version_id bigint NOT NULL REFERENCES model_versions,
    state deployment_state NOT NULL DEFAULT 'pending',
    replicas integer NOT NULL DEFAULT 1 CHECK (replicas BETWEEN 0 AND 1000),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX deployments_service ON deployments (service_id);
CREATE INDEX deployments_version ON deployments (model_version_id);
CREATE TRIGGER deployments_touch BEFORE UPDATE ON deployments FOR EACH ROW EXECUTE FUNCTION touch();

CREATE TABLE predictions (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    deployment_id uuid NOT NULL REFERENCES deployments ON DELETE CASCADE,
    request jsonb NOT NULL,
    response jsonb NOT NULL,
    latency_ms double precision NOT NULL CHECK (latency_ms >= 0),
    predicted_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX predictions_deployment ON predictions (deployment_id, predicted_at);
CREATE INDEX predictions_request ON predictions USING gin (request jsonb_path_ops);

CREATE TABLE serving_metrics (
    deployment_id uuid NOT NULL REFERENCES deployments ON DELETE CASCADE,
    window_start timestamptz NOT NULL,
    requests bigint NOT NULL CHECK (requests >= 0),
    errors bigint NOT NULL CHECK (errors BETWEEN 0 AND requests),
    p99_ms double precision,
    PRIMARY KEY (deployment_id, window_start)
);
