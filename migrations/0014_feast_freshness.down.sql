SET LOCAL lock_timeout = '2s';

DROP TABLE ml_feast_feature_freshness;
