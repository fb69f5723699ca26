-- The order in which feature views are listed.

SET LOCAL lock_timeout = '2s';

-- proofmark: allow indexes_are_made_concurrently because a platform has hundreds of feature views: the index is made in a millisecond, and one that is made concurrently can be left invalid
CREATE INDEX idx_feast_feature_views_created ON ml_feast_feature_views (created_at, id);
