SET LOCAL lock_timeout = '2s';

DROP TABLE optimized_instructions;
DROP TABLE prompt_optimization_runs;
DROP TABLE ml_observability_spans;
