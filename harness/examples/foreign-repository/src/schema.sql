CREATE TABLE notes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    title text NOT NULL UNIQUE CHECK (char_length(title) BETWEEN 1 AND 120),
    body text,
    score double precision NOT NULL,
    written_at timestamptz NOT NULL
);
