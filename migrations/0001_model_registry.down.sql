DROP TABLE ml_model_registry;
DROP TABLE ml_experiments;
DROP TYPE model_stage_enum;
