-- Data quality, drift and alerts.

CREATE TYPE severity AS ENUM ('info', 'warning', 'critical');

CREATE TABLE quality_reports (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    dataset_version_id bigint NOT NULL REFERENCES dataset_versions ON DELETE CASCADE,
    passed boolean NOT NULL,
    details jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX quality_reports_version ON quality_reports (dataset_version_id);

CREATE TABLE drift_scores (
    deployment_id uuid NOT NULL REFERENCES deployments ON DELETE CASCADE,
    feature_id bigint NOT NULL REFERENCES features,
    measured_at timestamptz NOT NULL,
    score double precision NOT NULL,
    PRIMARY KEY (deployment_id, feature_id, measured_at)
);
CREATE INDEX drift_scores_feature ON drift_scores (feature_id);

CREATE TABLE alert_rules (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id bigint NOT NULL REFERENCES projects ON DELETE CASCADE,
    expression text NOT NULL,
    severity severity NOT NULL DEFAULT 'warning'
);
CREATE INDEX alert_rules_project ON alert_rules (project_id);

CREATE TABLE alerts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rule_id bigint NOT NULL REFERENCES alert_rules ON DELETE CASCADE,
    raised_at timestamptz NOT NULL DEFAULT now(),
    resolved_at timestamptz,
    CHECK (resolved_at >= raised_at)
);
CREATE INDEX alerts_open ON alerts (rule_id) WHERE resolved_at IS NULL;

CREATE TABLE audit_log (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id bigint NOT NULL REFERENCES organizations ON DELETE CASCADE,
    actor_id bigint REFERENCES users ON DELETE SET NULL,
    action text NOT NULL,
    details jsonb NOT NULL DEFAULT '{}',
    at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX audit_log_organization ON audit_log (organization_id, at);
CREATE INDEX audit_log_actor ON audit_log (actor_id);

CREATE VIEW open_alerts AS
    SELECT alerts.id, alert_rules.project_id, alert_rules.severity, alerts.raised_at
    FROM alerts JOIN alert_rules ON alert_rules.id = alerts.rule_id
    WHERE alerts.resolved_at IS NULL;
