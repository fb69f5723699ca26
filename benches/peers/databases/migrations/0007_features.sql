-- The feature store.

CREATE TABLE entities (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id bigint NOT NULL REFERENCES projects ON DELETE CASCADE,
    name text NOT NULL,
    join_keys text[] NOT NULL CHECK (cardinality(join_keys) > 0),
    UNIQUE (project_id, name)
);

CREATE TABLE feature_views (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    entity_id bigint NOT NULL REFERENCES entities ON DELETE CASCADE,
    dataset_id bigint REFERENCES datasets ON DELETE SET NULL,
    name text NOT NULL,
    time_to_live interval,
    UNIQUE (entity_id, name)
);
CREATE INDEX feature_views_dataset ON feature_views (dataset_id);

CREATE TABLE features (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    feature_view_id bigint NOT NULL REFERENCES feature_views ON DELETE CASCADE,
    name text NOT NULL,
    kind column_kind NOT NULL,
    UNIQUE (feature_view_id, name)
);

CREATE TABLE model_features (
    model_version_id bigint NOT NULL REFERENCES model_versions ON DELETE CASCADE,
    feature_id bigint NOT NULL REFERENCES features,
    position integer NOT NULL,
    PRIMARY KEY (model_version_id, feature_id),
    UNIQUE (model_version_id, position)
);
CREATE INDEX model_features_feature ON model_features (feature_id);
