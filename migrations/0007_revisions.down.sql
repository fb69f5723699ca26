SET LOCAL lock_timeout = '2s';

ALTER TABLE ml_model_registry
    DROP CONSTRAINT ml_model_registry_times_check,
    DROP CONSTRAINT ml_model_registry_artifact_path_check,
    DROP CONSTRAINT ml_model_registry_algorithm_check,
    DROP CONSTRAINT ml_model_registry_mlflow_model_uri_check,
    DROP CONSTRAINT ml_model_registry_mlflow_run_id_check,
    DROP CONSTRAINT ml_model_registry_is_champion_check,
    DROP COLUMN revision;

ALTER TABLE ml_experiments
    DROP CONSTRAINT ml_experiments_times_check,
    DROP CONSTRAINT ml_experiments_created_by_check,
    DROP CONSTRAINT ml_experiments_prediction_target_check,
    DROP CONSTRAINT ml_experiments_description_check,
    DROP COLUMN revision;
