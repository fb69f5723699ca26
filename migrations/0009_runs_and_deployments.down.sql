DROP TABLE ml_feature_store;
DROP TABLE ml_deployments;
DROP TABLE ml_training_runs;
