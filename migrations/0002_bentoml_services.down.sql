DROP TABLE ml_bentoml_services;
DROP TYPE deployment_status_enum;
