-- What agents did, and the instructions that they work by.

SET LOCAL lock_timeout = '2s';

CREATE TABLE ml_observability_spans (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    trace_id varchar(128) NOT NULL,
    span_id varchar(128) NOT NULL,
    -- No foreign key: a span is often recorded before the one that asked for it, and is none the worse without.
    parent_span_id varchar(128),
    agent_name varchar(255) NOT NULL,
    operation varchar(255) NOT NULL,
    started_at timestamptz NOT NULL,
    ended_at timestamptz,
    status varchar(50) NOT NULL DEFAULT 'unset',
    error_message text,
    input_tokens bigint,
    output_tokens bigint,
    attributes jsonb NOT NULL DEFAULT '{}',
    recorded_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT ml_observability_spans_trace_id_span_id_key UNIQUE (trace_id, span_id),
    CONSTRAINT ml_observability_spans_trace_id_check CHECK (trace_id <> ''),
    CONSTRAINT ml_observability_spans_span_id_check CHECK (span_id <> ''),
    CONSTRAINT ml_observability_spans_parent_span_id_check
        CHECK (parent_span_id <> '' AND parent_span_id <> span_id),
    CONSTRAINT ml_observability_spans_agent_name_check CHECK (agent_name <> ''),
    CONSTRAINT ml_observability_spans_operation_check CHECK (operation <> ''),
    CONSTRAINT ml_observability_spans_started_at_check
        CHECK (started_at >= '0001-01-01 00:00:00+00' AND started_at < '10000-01-01 00:00:00+00'),
    CONSTRAINT ml_observability_spans_ended_at_check
        CHECK (ended_at >= started_at AND ended_at < '10000-01-01 00:00:00+00'),
    CONSTRAINT ml_observability_spans_tokens_check
        CHECK (input_tokens BETWEEN 0 AND 9007199254740992 AND output_tokens BETWEEN 0 AND 9007199254740992),
    CONSTRAINT ml_observability_spans_attributes_check
        CHECK (jsonb_typeof(attributes) = 'object' AND octet_length(attributes::text) <= 1048576),
    -- What goes on has no end yet, and nothing that comes with it.
    CONSTRAINT ml_observability_spans_status_check CHECK (
        CASE status
            WHEN 'unset' THEN
                error_message IS NULL
                AND (ended_at IS NOT NULL OR (input_tokens IS NULL AND output_tokens IS NULL))
            WHEN 'ok' THEN ended_at IS NOT NULL AND error_message IS NULL
            WHEN 'error' THEN
                ended_at IS NOT NULL AND coalesce(error_message <> '' AND octet_length(error_message) <= 8192, true)
            ELSE false
        END
    )
);

-- What an agent did last.
CREATE INDEX idx_observability_spans_agent ON ml_observability_spans (agent_name, started_at, id);
-- Old spans are deleted by their age alone. Rows come in about the order of time, so that a BRIN index finds them, which
-- is hundreds of times smaller than a B-tree (24 KiB for 11 MiB at 500,000 spans). New pages are summarised as they fill:
-- until the next vacuum, it would otherwise read all of them.
CREATE INDEX idx_observability_spans_started
    ON ml_observability_spans USING brin (started_at) WITH (autosummarize = on);

CREATE TABLE prompt_optimization_runs (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    agent_name varchar(255) NOT NULL,
    optimizer_type varchar(50) NOT NULL,
    budget integer NOT NULL,
    status varchar(50) NOT NULL DEFAULT 'running',
    initial_score double precision,
    best_score double precision,
    evaluations integer,
    error_message text,
    started_at timestamptz NOT NULL DEFAULT now(),
    completed_at timestamptz,
    -- What instructions refer to, so that they are of the same agent.
    CONSTRAINT prompt_optimization_runs_id_agent_name_key UNIQUE (id, agent_name),
    CONSTRAINT prompt_optimization_runs_agent_name_check CHECK (agent_name <> ''),
    CONSTRAINT prompt_optimization_runs_optimizer_type_check CHECK (optimizer_type <> ''),
    CONSTRAINT prompt_optimization_runs_budget_check CHECK (budget >= 1),
    CONSTRAINT prompt_optimization_runs_initial_score_check
        CHECK (initial_score > '-Infinity' AND initial_score < 'Infinity'),
    CONSTRAINT prompt_optimization_runs_best_score_check CHECK (best_score > '-Infinity' AND best_score < 'Infinity'),
    CONSTRAINT prompt_optimization_runs_evaluations_check CHECK (evaluations >= 0 AND evaluations <= budget),
    CONSTRAINT prompt_optimization_runs_times_check
        CHECK (started_at >= '0001-01-01 00:00:00+00' AND started_at < '10000-01-01 00:00:00+00'
               AND coalesce(completed_at >= started_at AND completed_at < '10000-01-01 00:00:00+00', true)),
    CONSTRAINT prompt_optimization_runs_status_check CHECK (
        CASE status
            WHEN 'running' THEN
                completed_at IS NULL AND best_score IS NULL AND evaluations IS NULL AND error_message IS NULL
            WHEN 'completed' THEN
                completed_at IS NOT NULL AND best_score IS NOT NULL AND evaluations IS NOT NULL
                AND error_message IS NULL
            WHEN 'failed' THEN
                completed_at IS NOT NULL AND best_score IS NULL AND evaluations IS NULL
                AND error_message IS NOT NULL AND error_message <> '' AND octet_length(error_message) <= 8192
            WHEN 'cancelled' THEN
                completed_at IS NOT NULL AND best_score IS NULL AND evaluations IS NULL AND error_message IS NULL
            ELSE false
        END
    )
);

CREATE INDEX idx_prompt_optimization_runs_agent ON prompt_optimization_runs (agent_name, started_at, id);

COMMENT ON COLUMN prompt_optimization_runs.budget IS 'evaluations that the run may make; no money';

CREATE TABLE optimized_instructions (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    agent_name varchar(255) NOT NULL,
    version integer NOT NULL,
    instruction text NOT NULL,
    score double precision,
    run_id uuid,
    is_active boolean NOT NULL DEFAULT false,
    activated_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT optimized_instructions_run_id_fkey
        FOREIGN KEY (run_id, agent_name) REFERENCES prompt_optimization_runs (id, agent_name) ON DELETE RESTRICT,
    CONSTRAINT optimized_instructions_agent_name_version_key UNIQUE (agent_name, version),
    CONSTRAINT optimized_instructions_agent_name_check CHECK (agent_name <> ''),
    CONSTRAINT optimized_instructions_version_check CHECK (version >= 1),
    CONSTRAINT optimized_instructions_instruction_check
        CHECK (instruction <> '' AND octet_length(instruction) <= 1048576),
    CONSTRAINT optimized_instructions_score_check CHECK (score > '-Infinity' AND score < 'Infinity'),
    CONSTRAINT optimized_instructions_activated_at_check
        CHECK (activated_at IS NOT NULL OR NOT is_active),
    CONSTRAINT optimized_instructions_times_check
        CHECK (created_at >= '0001-01-01 00:00:00+00' AND created_at < '10000-01-01 00:00:00+00'
               AND coalesce(activated_at >= created_at AND activated_at < '10000-01-01 00:00:00+00', true))
);

-- One active version of an agent, and any number of inactive ones: the rule is about the active rows alone.
CREATE UNIQUE INDEX idx_optimized_instructions_active ON optimized_instructions (agent_name) WHERE is_active;
CREATE INDEX idx_optimized_instructions_run ON optimized_instructions (run_id, agent_name);

COMMENT ON INDEX idx_optimized_instructions_active IS 'at most one active instruction per agent';
