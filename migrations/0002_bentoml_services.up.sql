-- Services that serve a model: one row per service of a bento.

CREATE TYPE deployment_status_enum AS ENUM ('pending', 'deploying', 'active', 'draining', 'rolled_back', 'failed');

CREATE TABLE ml_bentoml_services (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    bento_tag varchar(255) NOT NULL,
    bento_version varchar(100) NOT NULL,
    model_id uuid,
    service_name varchar(255) NOT NULL,
    serving_endpoint text,
    container_image text,
    status deployment_status_enum NOT NULL DEFAULT 'pending',
    health_status varchar(50) NOT NULL DEFAULT 'unknown',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT ml_bentoml_services_model_id_fkey
        FOREIGN KEY (model_id) REFERENCES ml_model_registry (id) ON DELETE RESTRICT,
    CONSTRAINT ml_bentoml_services_bento_tag_service_name_key UNIQUE (bento_tag, service_name),
    CONSTRAINT ml_bentoml_services_bento_tag_check CHECK (bento_tag <> ''),
    CONSTRAINT ml_bentoml_services_bento_version_check CHECK (bento_version <> ''),
    CONSTRAINT ml_bentoml_services_service_name_check CHECK (service_name <> ''),
    CONSTRAINT ml_bentoml_services_serving_endpoint_check
        CHECK (serving_endpoint <> '' AND octet_length(serving_endpoint) <= 8192),
    CONSTRAINT ml_bentoml_services_container_image_check
        CHECK (container_image <> '' AND octet_length(container_image) <= 8192),
    CONSTRAINT ml_bentoml_services_health_status_check
        CHECK (health_status IN ('healthy', 'unhealthy', 'degraded', 'unknown', 'starting', 'stopped')),
    -- The years that every client can hold; 'infinity' is beyond most of them.
    CONSTRAINT ml_bentoml_services_created_at_check
        CHECK (created_at >= '0001-01-01 00:00:00+00' AND created_at < '10000-01-01 00:00:00+00'),
    CONSTRAINT ml_bentoml_services_updated_at_check
        CHECK (updated_at >= created_at AND updated_at < '10000-01-01 00:00:00+00')
);

CREATE INDEX idx_bentoml_services_tag ON ml_bentoml_services (bento_tag);
CREATE INDEX idx_bentoml_services_model ON ml_bentoml_services (model_id);
-- The order of lists: a page begins where the one before it ended.
CREATE INDEX idx_bentoml_services_created ON ml_bentoml_services (created_at, id);
