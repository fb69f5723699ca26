-- The features that models take: what each version of one is, and what its values were like in training.

SET LOCAL lock_timeout = '2s';

CREATE TABLE ml_feature_store (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    feature_name varchar(255) NOT NULL,
    feature_version varchar(100) NOT NULL,
    feature_group varchar(255),
    data_type varchar(100) NOT NULL,
    entity_type varchar(255),
    train_statistics jsonb,
    importance double precision,
    revision bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT ml_feature_store_feature_name_feature_version_key UNIQUE (feature_name, feature_version),
    CONSTRAINT ml_feature_store_feature_name_check CHECK (feature_name <> ''),
    CONSTRAINT ml_feature_store_feature_version_check CHECK (feature_version <> ''),
    CONSTRAINT ml_feature_store_feature_group_check CHECK (feature_group <> ''),
    CONSTRAINT ml_feature_store_data_type_check CHECK (data_type <> ''),
    CONSTRAINT ml_feature_store_entity_type_check CHECK (entity_type <> ''),
    CONSTRAINT ml_feature_store_train_statistics_check
        CHECK (jsonb_typeof(train_statistics) = 'object' AND octet_length(train_statistics::text) <= 1048576),
    -- Not limited to shares: it may be a mean of SHAP values, on the scale of the model's output.
    CONSTRAINT ml_feature_store_importance_check CHECK (importance > '-Infinity' AND importance < 'Infinity'),
    CONSTRAINT ml_feature_store_revision_check CHECK (revision > 0),
    CONSTRAINT ml_feature_store_updated_at_check
        CHECK (created_at >= '0001-01-01 00:00:00+00' AND updated_at >= created_at
               AND updated_at < '10000-01-01 00:00:00+00')
);

CREATE INDEX idx_feature_store_group ON ml_feature_store (feature_group, feature_name);
