-- Datasets, their versions and what they are made of.

CREATE TYPE column_kind AS ENUM ('numeric', 'categorical', 'text', 'timestamp', 'embedding');

CREATE TABLE datasets (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id bigint NOT NULL REFERENCES projects ON DELETE CASCADE,
    name text NOT NULL,
    owner_id bigint REFERENCES users ON DELETE SET NULL,
    UNIQUE (project_id, name)
);
CREATE INDEX datasets_owner ON datasets (owner_id);

CREATE TABLE dataset_versions (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    dataset_id bigint NOT NULL REFERENCES datasets ON DELETE CASCADE,
    version integer NOT NULL CHECK (version > 0),
    artifact_id uuid NOT NULL REFERENCES artifacts,
    row_count bigint NOT NULL CHECK (row_count >= 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (dataset_id, version)
);
CREATE INDEX dataset_versions_artifact ON dataset_versions (artifact_id);

CREATE TABLE dataset_columns (
    dataset_version_id bigint NOT NULL REFERENCES dataset_versions ON DELETE CASCADE,
    position integer NOT NULL CHECK (position >= 0),
    name text NOT NULL,
    kind column_kind NOT NULL,
    statistics jsonb,
    PRIMARY KEY (dataset_version_id, position),
    UNIQUE (dataset_version_id, name)
);
