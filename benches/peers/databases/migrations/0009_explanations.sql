-- SHAP analyses and what they found.

CREATE TABLE shap_analyses (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    model_version_id bigint NOT NULL REFERENCES model_versions ON DELETE CASCADE,
    dataset_version_id bigint NOT NULL REFERENCES dataset_versions,
    method text NOT NULL CHECK (method IN ('tree', 'linear', 'kernel', 'deep')),
    base_value double precision,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX shap_analyses_model ON shap_analyses (model_version_id);
CREATE INDEX shap_analyses_dataset ON shap_analyses (dataset_version_id);

CREATE TABLE shap_values (
    analysis_id uuid NOT NULL REFERENCES shap_analyses ON DELETE CASCADE,
    row_number bigint NOT NULL,
    attributions double precision[] NOT NULL,
    PRIMARY KEY (analysis_id, row_number)
);

CREATE TABLE feature_importances (
    analysis_id uuid NOT NULL REFERENCES shap_analyses ON DELETE CASCADE,
    feature_id bigint NOT NULL REFERENCES features,
    importance double precision NOT NULL,
    PRIMARY KEY (analysis_id, feature_id)
);
CREATE INDEX feature_importances_feature ON feature_importances (feature_id);
