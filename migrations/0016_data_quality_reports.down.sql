SET LOCAL lock_timeout = '2s';

DROP TABLE ml_data_quality_reports;
DROP TYPE data_split_type;
DROP TYPE dq_status_enum;
