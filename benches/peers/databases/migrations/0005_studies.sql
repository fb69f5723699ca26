-- Hyperparameter studies.

CREATE TYPE direction AS ENUM ('minimize', 'maximize');

CREATE TABLE studies (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    experiment_id bigint NOT NULL REFERENCES experiments ON DELETE CASCADE,
    name text NOT NULL,
    direction direction NOT NULL,
    UNIQUE (experiment_id, name)
);

CREATE TABLE trials (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    study_id bigint NOT NULL REFERENCES studies ON DELETE CASCADE,
    number integer NOT NULL,
    run_id uuid REFERENCES runs ON DELETE SET NULL,
    value double precision,
    UNIQUE (study_id, number)
);
CREATE INDEX trials_run ON trials (run_id);
CREATE INDEX trials_best ON trials (study_id, value) WHERE value IS NOT NULL;

CREATE TABLE trial_parameters (
    trial_id bigint NOT NULL REFERENCES trials ON DELETE CASCADE,
    name text NOT NULL,
    value double precision NOT NULL,
    distribution jsonb NOT NULL,
    PRIMARY KEY (trial_id, name)
);

CREATE TABLE trial_intermediate_values (
    trial_id bigint NOT NULL REFERENCES trials ON DELETE CASCADE,
    step integer NOT NULL,
    value double precision,
    PRIMARY KEY (trial_id, step)
);
