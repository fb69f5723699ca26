-- Explanations that were given, as evidence: appended and never changed.

CREATE TABLE ml_shap_analyses (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    model_id uuid NOT NULL,
    analysis_type varchar(50) NOT NULL,
    segment varchar(255),
    global_importance jsonb,
    local_shap_values jsonb,
    prediction_value double precision,
    base_value double precision,
    computation_method varchar(100),
    computed_at timestamptz NOT NULL DEFAULT now(),
    duration_seconds double precision,
    explanation_id varchar(255),
    entity_id varchar(255),
    response_time_ms double precision,
    top_k integer,
    status varchar(50) NOT NULL DEFAULT 'explained',
    error_message text,
    CONSTRAINT ml_shap_analyses_model_id_fkey
        FOREIGN KEY (model_id) REFERENCES ml_model_registry (id) ON DELETE RESTRICT,
    CONSTRAINT ml_shap_analyses_explanation_id_key UNIQUE (explanation_id),
    CONSTRAINT ml_shap_analyses_explanation_id_check CHECK (explanation_id <> ''),
    CONSTRAINT ml_shap_analyses_analysis_type_check
        CHECK (analysis_type IN ('global', 'local', 'segment', 'local_realtime')),
    CONSTRAINT ml_shap_analyses_segment_check
        CHECK (segment <> '' AND (analysis_type <> 'segment' OR segment IS NOT NULL)),
    CONSTRAINT ml_shap_analyses_global_importance_check
        CHECK (jsonb_typeof(global_importance) IN ('object', 'array')
               AND octet_length(global_importance::text) <= 16777216),
    CONSTRAINT ml_shap_analyses_local_shap_values_check
        CHECK (jsonb_typeof(local_shap_values) IN ('object', 'array')
               AND octet_length(local_shap_values::text) <= 16777216),
    CONSTRAINT ml_shap_analyses_prediction_value_check
        CHECK (prediction_value > '-Infinity' AND prediction_value < 'Infinity'),
    CONSTRAINT ml_shap_analyses_base_value_check CHECK (base_value > '-Infinity' AND base_value < 'Infinity'),
    CONSTRAINT ml_shap_analyses_duration_seconds_check CHECK (duration_seconds BETWEEN 0 AND 1e12),
    CONSTRAINT ml_shap_analyses_response_time_ms_check CHECK (response_time_ms BETWEEN 0 AND 1e15),
    CONSTRAINT ml_shap_analyses_top_k_check CHECK (top_k > 0),
    -- What was explained has its numbers; what failed has a reason, and none of them.
    CONSTRAINT ml_shap_analyses_status_check CHECK (
        CASE status
            WHEN 'explained' THEN
                error_message IS NULL
                AND CASE
                    WHEN analysis_type IN ('local', 'local_realtime') THEN
                        local_shap_values IS NOT NULL AND base_value IS NOT NULL
                    ELSE global_importance IS NOT NULL
                END
            WHEN 'failed' THEN
                error_message IS NOT NULL AND error_message <> '' AND octet_length(error_message) <= 65536
                AND global_importance IS NULL AND local_shap_values IS NULL
                AND prediction_value IS NULL AND base_value IS NULL
            ELSE false
        END
    )
);

CREATE INDEX idx_shap_analyses_model ON ml_shap_analyses (model_id, computed_at);

COMMENT ON COLUMN ml_shap_analyses.base_value IS
    'on the scale of the model''s raw output, which has no bound but that of a double';
