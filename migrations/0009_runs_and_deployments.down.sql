DROP TABLE ml_deployments;
DROP TABLE ml_training_runs;
