SET LOCAL lock_timeout = '2s';

DROP TABLE ml_hpo_patterns;
DROP TABLE ml_hpo_trials;
DROP TABLE ml_hpo_studies;
