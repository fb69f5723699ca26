//! Faults of the group `traffic`: migrations that apply, and hurt those who use the database.

use proofmark_harness::case::CaseError;
use proofmark_harness::context::CaseContext;
use proofmark_harness::migration_set::{Migration, MigrationSet};
use proofmark_harness::mutant::Mutant;
use proofmark_harness::suites::migrations::MigrationSubject;

use super::{Made, subject};

/// Tables with rows, as earlier releases have left them.
const IN_USE: &str = "
CREATE TABLE models (id bigint PRIMARY KEY, name text NOT NULL);
INSERT INTO models SELECT g, 'model ' || g FROM generate_series(1, 300) g;
CREATE TABLE runs (
    id bigint PRIMARY KEY,
    model_id bigint,
    count int NOT NULL,
    score int DEFAULT 0,
    started timestamp
);
INSERT INTO runs SELECT g, g, g, g % 7, '2024-06-01' FROM generate_series(1, 300) g;
CREATE VIEW scores AS SELECT id, score FROM runs;
";

/// The same kind of table without rows of its own: those that it has are generated.
fn generated(context: CaseContext, text: &'static str) -> Made {
    const TABLE: &str = "CREATE TABLE runs (id bigint PRIMARY KEY, passed boolean NOT NULL);";
    let migrations = vec![Migration::new(1, "runs", TABLE, None), Migration::new(2, "later", text, None)];
    let set = MigrationSet::new(migrations);
    Box::pin(async move { Ok(subject(context, set.map_err(CaseError::harness)?)) })
}

/// Later migrations on those tables.
fn later(context: CaseContext, files: &[&str]) -> Made {
    let first = Migration::new(1, "in_use", IN_USE, None);
    let others = (2..).zip(files).map(|(version, text)| Migration::new(version, "later", *text, None));
    let set = MigrationSet::new(std::iter::once(first).chain(others).collect());
    Box::pin(async move { Ok(subject(context, set.map_err(CaseError::harness)?)) })
}

/// Every fault, and the case that must find it.
pub(crate) const MUTANTS: &[Mutant<MigrationSubject>] = &[
    Mutant {
        case: "applies_to_tables_with_rows",
        name: "a_required_column_without_a_default",
        says: "0002_later.sql:1:1: migration 0002_later.sql: expected the statement to succeed on tables with rows, found \
               that it only does on empty ones: column \"owner\" of relation \"runs\" contains null values (SQLSTATE 23502)",
        subject: |context| generated(context, "ALTER TABLE runs ADD COLUMN owner text NOT NULL;"),
    },
    Mutant {
        case: "applies_to_tables_with_rows",
        name: "a_unique_constraint_over_values_that_are_not",
        says: "could not create unique index \"runs_passed_key\" (Key (passed)=",
        subject: |context| generated(context, "ALTER TABLE runs ADD UNIQUE (passed);"),
    },
    Mutant {
        case: "rows_survive_every_migration",
        name: "a_cast_that_cuts_values",
        says: "0002_later.sql:1:1: table public.models: expected the 300 rows of public.models to be there after the migration, \
               found that 300 of them have another value in name, which cannot be had back from character varying(3), the \
               type that it has now in place of text; the first is \"model 1\"; values that differed are the same now",
        subject: |context| {
            later(context, &["ALTER TABLE models ALTER COLUMN name TYPE varchar(3) USING name::varchar(3);"])
        },
    },
    Mutant {
        case: "rows_survive_every_migration",
        name: "a_table_that_is_made_anew",
        says: "0002_later.sql:1:1: table public.models: expected the 300 rows of public.models to be there after the migration, \
               found that the table was made anew, with 0 rows, and that 300 of before are not among them",
        subject: |context| {
            later(
                context,
                &["DROP TABLE models;\nCREATE TABLE models (id bigint PRIMARY KEY, name text, owner text);"],
            )
        },
    },
    Mutant {
        case: "rows_survive_every_migration",
        name: "rows_of_another_table_go_with_those_that_are_deleted",
        says: "0003_later.sql:1:1: table public.runs: expected the 300 rows of public.runs to be there after the migration, \
               found that 100 of them are gone, although the statement does not name the table",
        subject: |context| {
            later(
                context,
                &[
                    "ALTER TABLE runs ADD FOREIGN KEY (model_id) REFERENCES models ON DELETE CASCADE;",
                    "DELETE FROM models WHERE id > 200;",
                ],
            )
        },
    },
    Mutant {
        case: "rows_survive_every_migration",
        name: "a_transaction_of_its_own",
        says: "found that the table was made anew, with 1 row, and that 299 of before are not among them",
        subject: |context| {
            later(
                context,
                &[
                    "CREATE TABLE fewer AS SELECT * FROM models WHERE id = 1;\nDROP TABLE models;\nALTER TABLE fewer RENAME TO \
                   models;\nCOMMIT;\nBEGIN;",
                ],
            )
        },
    },
    Mutant {
        case: "no_table_is_rewritten",
        name: "another_type",
        says: "table public.runs: expected the rows of public.runs to stay where they are, found that the server writes all \
               of them anew",
        subject: |context| later(context, &["ALTER TABLE runs ALTER COLUMN count TYPE bigint;"]),
    },
    Mutant {
        case: "no_table_is_rewritten",
        name: "a_default_that_differs_from_row_to_row",
        says: "ALTER TABLE public.runs ADD COLUMN token ...",
        subject: |context| later(context, &["ALTER TABLE runs ADD COLUMN token uuid DEFAULT gen_random_uuid();"]),
    },
    Mutant {
        case: "no_full_scan_under_a_strong_lock",
        name: "a_unique_constraint",
        says: "found that all 300 rows were read under an ACCESS EXCLUSIVE lock: nobody can read or write the table",
        subject: |context| later(context, &["ALTER TABLE runs ADD CONSTRAINT one_each UNIQUE (model_id);"]),
    },
    Mutant {
        case: "no_full_scan_under_a_strong_lock",
        name: "within_a_block_of_code",
        says: "CREATE UNIQUE INDEX CONCURRENTLY one_each ON public.runs",
        subject: |context| {
            later(
                context,
                &["DO $$ BEGIN EXECUTE 'ALTER TABLE runs ADD CONSTRAINT one_each UNIQUE (model_id)'; END $$;"],
            )
        },
    },
    Mutant {
        case: "locks_are_as_weak_as_can_be",
        name: "a_lock_before_a_long_query",
        says: "found that public.models stays locked while the statement on line 2 goes through 300 rows of public.runs",
        subject: |context| {
            later(
                context,
                &["ALTER TABLE models ADD COLUMN runs bigint;\nDO $$ BEGIN PERFORM count(*) FROM runs; END $$;"],
            )
        },
    },
    Mutant {
        case: "indexes_are_made_concurrently",
        name: "an_index_in_a_transaction",
        says: "index runs_model: expected an index on a table with rows to be made CONCURRENTLY, found that public.runs was \
               read as a whole under a SHARE lock: nobody can write to the table",
        subject: |context| later(context, &["CREATE INDEX runs_model ON runs (model_id);"]),
    },
    Mutant {
        case: "foreign_keys_are_added_not_valid_first",
        name: "a_key_that_is_checked_at_once",
        says: "constraint to_model of table public.runs: expected a FOREIGN KEY on a table with rows to be added NOT VALID",
        subject: |context| {
            later(
                context,
                &["ALTER TABLE runs ADD CONSTRAINT to_model FOREIGN KEY (model_id) REFERENCES models (id);"],
            )
        },
    },
    Mutant {
        case: "checks_are_added_not_valid_first",
        name: "a_check_that_is_checked_at_once",
        says: "ALTER TABLE public.runs VALIDATE CONSTRAINT counted",
        subject: |context| later(context, &["ALTER TABLE runs ADD CONSTRAINT counted CHECK (count > 0);"]),
    },
    Mutant {
        case: "not_null_is_added_without_a_scan",
        name: "at_once",
        says: "column public.runs.model_id: expected NOT NULL to be set without a look at the rows, found that all 300 were \
               read",
        subject: |context| later(context, &["ALTER TABLE runs ALTER COLUMN model_id SET NOT NULL;"]),
    },
    Mutant {
        case: "lock_timeout_is_set",
        name: "forgotten_in_one_migration",
        says: "0003_later.sql:1:1: migration 0003_later.sql: expected a lock_timeout of at most 60000 ms before public.runs is \
               locked, found none, although other migrations set one",
        subject: |context| {
            later(
                context,
                &[
                    "SET LOCAL lock_timeout = '5s';\nALTER TABLE models ADD COLUMN note text;",
                    "ALTER TABLE runs ADD COLUMN note text;",
                ],
            )
        },
    },
    Mutant {
        case: "lock_timeout_is_set",
        name: "an_hour",
        says: "found 3600000 ms",
        subject: |context| {
            later(context, &["SET LOCAL lock_timeout = '1h';\nALTER TABLE models ADD COLUMN note text;"])
        },
    },
    Mutant {
        case: "enum_values_are_not_used_in_their_transaction",
        name: "a_value_that_is_not_committed",
        says: "0003_later.sql:2:1: migration 0003_later.sql: expected a new value of an enum to be used after it is committed",
        subject: |context| {
            later(
                context,
                &[
                    "CREATE TYPE stage AS ENUM ('staging');\nALTER TABLE models ADD COLUMN stage stage;",
                    "ALTER TYPE stage ADD VALUE 'production';\nINSERT INTO models VALUES (1000, 'm', 'production');",
                ],
            )
        },
    },
    Mutant {
        case: "old_queries_run_on_the_new_schema",
        name: "a_column_with_another_name",
        says: "found: column \"count\" does not exist (SQLSTATE 42703), for: SELECT",
        subject: |context| later(context, &["ALTER TABLE runs RENAME COLUMN count TO steps;"]),
    },
    Mutant {
        case: "old_queries_run_on_the_new_schema",
        name: "a_column_that_old_programs_do_not_know",
        says: "ALTER TABLE public.models ALTER COLUMN owner SET DEFAULT ...",
        subject: |context| {
            later(
                context,
                &["ALTER TABLE models ADD COLUMN owner text NOT NULL DEFAULT '';\n\
                   ALTER TABLE models ALTER COLUMN owner DROP DEFAULT;"],
            )
        },
    },
    Mutant {
        case: "old_queries_run_on_the_new_schema",
        name: "a_table_with_another_name",
        says: "give programs time with a view: CREATE VIEW public.models AS SELECT * FROM public.registry",
        subject: |context| later(context, &["ALTER TABLE models RENAME TO registry;"]),
    },
    Mutant {
        case: "columns_are_not_dropped_while_in_use",
        name: "a_column_that_every_insert_names",
        says: "column public.runs.count: expected a column that is dropped to be out of use, found one that is NOT NULL",
        subject: |context| later(context, &["ALTER TABLE runs DROP COLUMN count;"]),
    },
    Mutant {
        case: "columns_are_not_dropped_while_in_use",
        name: "a_view_that_goes_with_it",
        says: "found that CASCADE dropped public.scores as well",
        subject: |context| later(context, &["ALTER TABLE runs DROP COLUMN score CASCADE;"]),
    },
    Mutant {
        case: "time_zone_conversions_are_explicit",
        name: "the_zone_of_the_session",
        says: "the least value became 2024-06-01 00:00:00+00 in a session with UTC, and 2024-05-31 18:15:00+00 in one with \
               Asia/Kathmandu; there, the table is rewritten",
        subject: |context| later(context, &["ALTER TABLE runs ALTER COLUMN started TYPE timestamptz;"]),
    },
    Mutant {
        case: "statements_are_not_mixed",
        name: "a_new_column_and_its_values",
        says: "found 300 rows of public.runs changed while the transaction holds an ACCESS EXCLUSIVE lock on public.runs since \
               line 1",
        subject: |context| {
            later(context, &["ALTER TABLE runs ADD COLUMN label text;\nUPDATE runs SET label = 'run ' || id;"])
        },
    },
    Mutant {
        case: "long_backfills_are_batched",
        name: "all_rows_at_once",
        says: "found one statement that changed 300 of the 300 rows that it read",
        subject: |context| later(context, &["UPDATE runs SET score = 1;"]),
    },
];
