DROP TABLE ml_feature_store;
