-- Requests that may be sent again: which row each of them has made already. Kept for as long as a caller may repeat a
-- request, and then forgotten.

SET LOCAL lock_timeout = '2s';

CREATE TABLE ml_idempotency_keys (
    scope varchar(63) NOT NULL,
    key varchar(255) NOT NULL,
    digest bytea NOT NULL,
    row_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT ml_idempotency_keys_pkey PRIMARY KEY (scope, key),
    CONSTRAINT ml_idempotency_keys_scope_check CHECK (scope <> ''),
    CONSTRAINT ml_idempotency_keys_key_check CHECK (key <> ''),
    CONSTRAINT ml_idempotency_keys_digest_check CHECK (octet_length(digest) = 32)
);

-- The oldest are forgotten first.
CREATE INDEX idx_idempotency_keys_created ON ml_idempotency_keys (created_at);

COMMENT ON COLUMN ml_idempotency_keys.digest IS 'SHA-256 of the request''s values: another request must not have the key';
COMMENT ON COLUMN ml_idempotency_keys.row_id IS 'the row that the request made; no foreign key, for it may be of any table';
