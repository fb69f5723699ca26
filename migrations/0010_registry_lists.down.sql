SET LOCAL lock_timeout = '2s';

DROP INDEX idx_model_registry_production;
DROP INDEX idx_model_registry_stage;
DROP INDEX idx_model_registry_name;
DROP INDEX idx_model_registry_registered;
DROP INDEX idx_experiments_created;
