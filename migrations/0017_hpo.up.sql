-- Studies of hyperparameters, their trials, and what they found for later ones to begin with.

SET LOCAL lock_timeout = '2s';

CREATE TABLE ml_hpo_studies (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    study_name varchar(255) NOT NULL,
    metric varchar(255) NOT NULL,
    direction varchar(50) NOT NULL,
    algorithm varchar(255),
    trial_count integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT ml_hpo_studies_study_name_key UNIQUE (study_name),
    CONSTRAINT ml_hpo_studies_study_name_check CHECK (study_name <> ''),
    CONSTRAINT ml_hpo_studies_metric_check CHECK (metric <> ''),
    CONSTRAINT ml_hpo_studies_direction_check CHECK (direction IN ('minimize', 'maximize')),
    CONSTRAINT ml_hpo_studies_algorithm_check CHECK (algorithm <> ''),
    CONSTRAINT ml_hpo_studies_trial_count_check CHECK (trial_count >= 0),
    CONSTRAINT ml_hpo_studies_created_at_check
        CHECK (created_at >= '0001-01-01 00:00:00+00' AND created_at < '10000-01-01 00:00:00+00'),
    CONSTRAINT ml_hpo_studies_updated_at_check
        CHECK (updated_at >= created_at AND updated_at < '10000-01-01 00:00:00+00')
);

-- The order of lists.
CREATE INDEX idx_hpo_studies_created ON ml_hpo_studies (created_at, id);

COMMENT ON COLUMN ml_hpo_studies.trial_count IS 'the number that the next trial gets';

CREATE TABLE ml_hpo_trials (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    study_id uuid NOT NULL,
    trial_number integer NOT NULL,
    state varchar(50) NOT NULL,
    value double precision,
    params jsonb NOT NULL DEFAULT '{}',
    error_message text,
    started_at timestamptz,
    completed_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT ml_hpo_trials_study_id_fkey FOREIGN KEY (study_id) REFERENCES ml_hpo_studies (id) ON DELETE CASCADE,
    CONSTRAINT ml_hpo_trials_study_id_trial_number_key UNIQUE (study_id, trial_number),
    CONSTRAINT ml_hpo_trials_trial_number_check CHECK (trial_number >= 0),
    CONSTRAINT ml_hpo_trials_params_check
        CHECK (jsonb_typeof(params) = 'object' AND octet_length(params::text) <= 1048576),
    -- An infinite value would be the best one for ever, and NaN sorts above it.
    CONSTRAINT ml_hpo_trials_value_check CHECK (value > '-Infinity' AND value < 'Infinity'),
    CONSTRAINT ml_hpo_trials_times_check
        CHECK (started_at >= '0001-01-01 00:00:00+00' AND completed_at >= started_at
               AND completed_at < '10000-01-01 00:00:00+00'),
    -- Optuna's states, and what each of them has.
    CONSTRAINT ml_hpo_trials_state_check CHECK (
        CASE state
            WHEN 'WAITING' THEN
                value IS NULL AND error_message IS NULL AND started_at IS NULL AND completed_at IS NULL
            WHEN 'RUNNING' THEN
                value IS NULL AND error_message IS NULL AND started_at IS NOT NULL AND completed_at IS NULL
            WHEN 'COMPLETE' THEN
                value IS NOT NULL AND error_message IS NULL AND started_at IS NOT NULL AND completed_at IS NOT NULL
            WHEN 'PRUNED' THEN error_message IS NULL AND started_at IS NOT NULL AND completed_at IS NOT NULL
            WHEN 'FAIL' THEN
                value IS NULL AND started_at IS NOT NULL AND completed_at IS NOT NULL
                AND coalesce(error_message <> '' AND octet_length(error_message) <= 8192, true)
            ELSE false
        END
    )
);

-- The best of a study is at one of the ends.
CREATE INDEX idx_hpo_trials_best ON ml_hpo_trials (study_id, value) WHERE state = 'COMPLETE';

COMMENT ON COLUMN ml_hpo_trials.value IS 'on the scale of the metric, which has no bound but that of a double';

CREATE TABLE ml_hpo_patterns (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    study_id uuid,
    algorithm varchar(255) NOT NULL,
    problem_type varchar(255) NOT NULL,
    metric varchar(255) NOT NULL,
    direction varchar(50) NOT NULL,
    search_space jsonb NOT NULL DEFAULT '{}',
    best_hyperparameters jsonb NOT NULL DEFAULT '{}',
    best_value double precision NOT NULL,
    n_samples bigint NOT NULL,
    n_features bigint NOT NULL,
    times_used bigint NOT NULL DEFAULT 0,
    improvement_count bigint NOT NULL DEFAULT 0,
    improvement_sum double precision NOT NULL DEFAULT 0,
    improvement_carry double precision NOT NULL DEFAULT 0,
    mean_improvement double precision GENERATED ALWAYS AS (
        (improvement_sum + improvement_carry) / nullif(improvement_count::double precision, 0::double precision)
    ) STORED,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT ml_hpo_patterns_study_id_fkey
        FOREIGN KEY (study_id) REFERENCES ml_hpo_studies (id) ON DELETE SET NULL,
    CONSTRAINT ml_hpo_patterns_algorithm_check CHECK (algorithm <> ''),
    CONSTRAINT ml_hpo_patterns_problem_type_check CHECK (problem_type <> ''),
    CONSTRAINT ml_hpo_patterns_metric_check CHECK (metric <> ''),
    CONSTRAINT ml_hpo_patterns_direction_check CHECK (direction IN ('minimize', 'maximize')),
    CONSTRAINT ml_hpo_patterns_search_space_check
        CHECK (jsonb_typeof(search_space) = 'object' AND octet_length(search_space::text) <= 1048576),
    CONSTRAINT ml_hpo_patterns_best_hyperparameters_check
        CHECK (jsonb_typeof(best_hyperparameters) = 'object'
               AND octet_length(best_hyperparameters::text) <= 1048576),
    CONSTRAINT ml_hpo_patterns_best_value_check CHECK (best_value > '-Infinity' AND best_value < 'Infinity'),
    CONSTRAINT ml_hpo_patterns_n_samples_check CHECK (n_samples BETWEEN 1 AND 9007199254740992),
    CONSTRAINT ml_hpo_patterns_n_features_check CHECK (n_features BETWEEN 1 AND 9007199254740992),
    -- Uses of which no improvement is known count as uses alone: the mean is that of the others.
    CONSTRAINT ml_hpo_patterns_uses_check CHECK (improvement_count >= 0 AND times_used >= improvement_count),
    CONSTRAINT ml_hpo_patterns_improvement_sum_check CHECK (improvement_sum BETWEEN -1e300 AND 1e300),
    CONSTRAINT ml_hpo_patterns_improvement_carry_check CHECK (improvement_carry BETWEEN -1e300 AND 1e300),
    CONSTRAINT ml_hpo_patterns_created_at_check
        CHECK (created_at >= '0001-01-01 00:00:00+00' AND created_at < '10000-01-01 00:00:00+00'),
    CONSTRAINT ml_hpo_patterns_updated_at_check
        CHECK (updated_at >= created_at AND updated_at < '10000-01-01 00:00:00+00')
);

CREATE INDEX idx_hpo_patterns_study ON ml_hpo_patterns (study_id);
-- Similar patterns, the best first: from one end or the other, by the direction.
CREATE INDEX idx_hpo_patterns_similar ON ml_hpo_patterns (problem_type, metric, direction, best_value);

COMMENT ON COLUMN ml_hpo_patterns.improvement_carry IS
    'what additions to improvement_sum rounded off; without it a mean of many improvements is not exact';
