-- What was added NOT VALID is checked for the rows that are there, under a lock that hinders neither readers nor writers.

SET LOCAL lock_timeout = '2s';

-- A version that is out of use is nobody's champion.
UPDATE ml_model_registry
SET is_champion = false, revision = revision + 1, updated_at = greatest(now(), updated_at)
WHERE is_champion AND stage IN ('archived', 'deprecated');

ALTER TABLE ml_experiments
    VALIDATE CONSTRAINT ml_experiments_revision_check,
    VALIDATE CONSTRAINT ml_experiments_description_check,
    VALIDATE CONSTRAINT ml_experiments_prediction_target_check,
    VALIDATE CONSTRAINT ml_experiments_created_by_check,
    VALIDATE CONSTRAINT ml_experiments_times_check;

ALTER TABLE ml_model_registry
    VALIDATE CONSTRAINT ml_model_registry_revision_check,
    VALIDATE CONSTRAINT ml_model_registry_is_champion_check,
    VALIDATE CONSTRAINT ml_model_registry_mlflow_run_id_check,
    VALIDATE CONSTRAINT ml_model_registry_mlflow_model_uri_check,
    VALIDATE CONSTRAINT ml_model_registry_algorithm_check,
    VALIDATE CONSTRAINT ml_model_registry_artifact_path_check,
    VALIDATE CONSTRAINT ml_model_registry_times_check;
