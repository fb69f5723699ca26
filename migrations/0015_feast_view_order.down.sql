SET LOCAL lock_timeout = '2s';

DROP INDEX idx_feast_feature_views_created;
