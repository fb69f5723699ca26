-- The model registry.

CREATE TYPE model_stage AS ENUM ('none', 'staging', 'production', 'archived');

CREATE TABLE models (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id bigint NOT NULL REFERENCES projects ON DELETE CASCADE,
    name text NOT NULL,
    task text NOT NULL CHECK (task IN ('regression', 'classification', 'ranking')),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (project_id, name)
);
CREATE TRIGGER models_touch BEFORE UPDATE ON models FOR EACH ROW EXECUTE FUNCTION touch();

CREATE TABLE model_versions (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    model_id bigint NOT NULL REFERENCES models ON DELETE CASCADE,
    version integer NOT NULL CHECK (version > 0),
    run_id uuid REFERENCES runs ON DELETE SET NULL,
    artifact_id uuid NOT NULL REFERENCES artifacts,
    stage model_stage NOT NULL DEFAULT 'none',
    signature jsonb NOT NULL,
    UNIQUE (model_id, version)
);
CREATE INDEX model_versions_run ON model_versions (run_id);
CREATE INDEX model_versions_artifact ON model_versions (artifact_id);
CREATE UNIQUE INDEX one_version_in_production ON model_versions (model_id) WHERE stage = 'production';

CREATE TABLE stage_transitions (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    model_version_id bigint NOT NULL REFERENCES model_versions ON DELETE CASCADE,
    old_stage model_stage NOT NULL,
    new_stage model_stage NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX stage_transitions_version ON stage_transitions (model_version_id, changed_at);

CREATE FUNCTION record_stage_transition() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO stage_transitions (model_version_id, old_stage, new_stage) VALUES (NEW.id, OLD.stage, NEW.stage);
    RETURN NULL;
END
$$;
CREATE TRIGGER model_versions_stage AFTER UPDATE OF stage ON model_versions
    FOR EACH ROW WHEN (OLD.stage IS DISTINCT FROM NEW.stage) EXECUTE FUNCTION record_stage_transition();

CREATE TABLE model_aliases (
    model_id bigint NOT NULL REFERENCES models ON DELETE CASCADE,
    alias text NOT NULL,
    model_version_id bigint NOT NULL REFERENCES model_versions ON DELETE CASCADE,
    PRIMARY KEY (model_id, alias)
);
CREATE INDEX model_aliases_version ON model_aliases (model_version_id);
