DROP TABLE ml_feast_materialization_jobs;
DROP TABLE ml_feast_feature_views;
