-- The orders of lists of experiments and models: a page begins where the one before it ended. And the rule that one
-- version of a name is in production at a time.
--
-- proofmark: allow indexes_are_made_concurrently because these tables have a row for each experiment and version, thousands and not millions, so that their writers wait for milliseconds

SET LOCAL lock_timeout = '2s';

CREATE INDEX idx_experiments_created ON ml_experiments (created_at, id);
CREATE INDEX idx_model_registry_registered ON ml_model_registry (registered_at, id);
CREATE INDEX idx_model_registry_name ON ml_model_registry (model_name, registered_at, id);
CREATE INDEX idx_model_registry_stage ON ml_model_registry (stage, registered_at, id);

-- Where several versions of a name are in production, the one that was promoted last stays, as if each promotion had
-- archived the version before it.
UPDATE ml_model_registry AS earlier
SET stage = 'archived', is_champion = false, revision = earlier.revision + 1,
    updated_at = greatest(now(), earlier.updated_at)
WHERE earlier.stage = 'production' AND EXISTS (
    SELECT FROM ml_model_registry AS later
    WHERE later.model_name = earlier.model_name AND later.stage = 'production'
      AND (coalesce(later.promoted_at, later.registered_at), later.id)
          > (coalesce(earlier.promoted_at, earlier.registered_at), earlier.id)
);

CREATE UNIQUE INDEX idx_model_registry_production ON ml_model_registry (model_name) WHERE stage = 'production';

COMMENT ON INDEX idx_model_registry_production IS 'at most one version per model name is in production';
