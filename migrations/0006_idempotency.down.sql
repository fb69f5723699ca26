DROP TABLE ml_idempotency_keys;
