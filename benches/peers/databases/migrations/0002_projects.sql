-- Projects, and where their artifacts lie.

CREATE TABLE projects (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id bigint NOT NULL REFERENCES organizations ON DELETE CASCADE,
    name text NOT NULL,
    description text,
    archived_at timestamptz,
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (organization_id, name)
);
CREATE TRIGGER projects_touch BEFORE UPDATE ON projects FOR EACH ROW EXECUTE FUNCTION touch();

CREATE TABLE labels (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id bigint NOT NULL REFERENCES projects ON DELETE CASCADE,
    key text NOT NULL,
    value text NOT NULL,
    UNIQUE (project_id, key)
);
CREATE INDEX labels_by_value ON labels (key, value);

CREATE TABLE artifact_stores (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id bigint NOT NULL REFERENCES projects ON DELETE CASCADE,
    uri text NOT NULL,
    region text NOT NULL DEFAULT 'local',
    UNIQUE (project_id, uri)
);

CREATE TABLE artifacts (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    store_id bigint NOT NULL REFERENCES artifact_stores,
    path text NOT NULL,
    bytes bigint NOT NULL CHECK (bytes >= 0),
    sha256 bytea NOT NULL CHECK (octet_length(sha256) = 32),
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (store_id, path)
);
CREATE INDEX artifacts_by_digest ON artifacts (sha256);
