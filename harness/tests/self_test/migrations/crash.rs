//! Faults of the group `crash`: migrations that apply when nothing goes wrong and nobody else is there.

use proofmark_harness::case::CaseError;
use proofmark_harness::context::CaseContext;
use proofmark_harness::migration_set::{Migration, MigrationSet};
use proofmark_harness::mutant::Mutant;
use proofmark_harness::suites::migrations::MigrationSubject;

use super::{Made, subject};

const FIRST: &str = "CREATE TABLE runs (id bigint PRIMARY KEY, score int NOT NULL DEFAULT 0);";

/// A migration that follows a sound one.
fn second(context: CaseContext, text: &'static str) -> Made {
    let set = MigrationSet::new(vec![
        Migration::new(1, "runs", FIRST, None),
        Migration::new(2, "faulty", text, None),
        Migration::new(3, "notes", "CREATE TABLE notes (id bigint PRIMARY KEY);", None),
    ]);
    Box::pin(async move { Ok(subject(context, set.map_err(CaseError::harness)?)) })
}

/// Every fault, and the case that must find it.
pub(crate) const MUTANTS: &[Mutant<MigrationSubject>] = &[
    Mutant {
        case: "a_crash_at_any_statement_leaves_nothing",
        name: "a_commit_in_the_middle",
        says: "0002_faulty.sql:2:1: migration 0002_faulty.sql: expected a crash in the middle of the migration to leave nothing \
               of it",
        subject: |context| second(context, "CREATE TABLE a (id int);\nCOMMIT;\nBEGIN;\nCREATE TABLE b (id int);"),
    },
    Mutant {
        case: "a_rerun_after_a_crash_succeeds",
        name: "the_second_statement_without_a_transaction",
        says: "0002_faulty.sql:2:1: migration 0002_faulty.sql: expected the migration to be repeatable when it was killed after \
               this statement, which stays done, found that line 2 is refused: relation \"a\" already exists (SQLSTATE 42P07)",
        subject: |context| {
            second(context, "-- no-transaction\nCREATE TABLE a (id int);\nCREATE TABLE b (id int);")
        },
    },
    Mutant {
        case: "a_rerun_after_a_crash_succeeds",
        name: "rows_that_are_written_twice",
        says: "public.runs has 2 rows in place of 1",
        subject: |context| {
            second(
                context,
                "-- no-transaction\nINSERT INTO runs SELECT coalesce(max(id), 0) + 1 FROM runs;\nCREATE TABLE IF NOT EXISTS a \
                 (id int);",
            )
        },
    },
    Mutant {
        case: "a_rerun_after_a_crash_succeeds",
        name: "an_index_that_is_not_recorded",
        says: "when it was killed before its runner could record that it is done, found that line 2 is refused: relation \
               \"runs_score\" already exists",
        subject: |context| {
            second(context, "-- no-transaction\nCREATE INDEX CONCURRENTLY runs_score ON runs (score);")
        },
    },
    Mutant {
        case: "commits_of_its_own_are_recoverable",
        name: "a_commit_in_the_middle",
        says: "is refused: relation \"a\" already exists (SQLSTATE 42P07); write every statement so that it can be run twice: \
               CREATE ... IF NOT EXISTS",
        subject: |context| second(context, "CREATE TABLE a (id int);\nCOMMIT;\nBEGIN;\nCREATE TABLE b (id int);"),
    },
    Mutant {
        case: "no_invalid_index_is_left",
        name: "an_index_unless_it_exists",
        says: "index runs_score: expected a second run to mend an index whose making was interrupted, found that it succeeds \
               although runs_score is invalid",
        subject: |context| {
            second(
                context,
                "-- no-transaction\nCREATE INDEX CONCURRENTLY IF NOT EXISTS runs_score ON runs (score);",
            )
        },
    },
    Mutant {
        case: "two_runners_at_once_end_well",
        name: "all_locks_are_given_back",
        says: "0002_faulty.sql:2:1: migration 0002_faulty.sql: expected 2 runners at once to end well, one that applies \
               everything and the others when it is done, found that the migration lets go of the lock",
        subject: |context| second(context, "CREATE TABLE a (id int);\nSELECT pg_advisory_unlock_all();"),
    },
    Mutant {
        case: "two_runners_at_once_end_well",
        name: "an_index_that_waits_for_those_who_wait",
        says: "(SQLSTATE 40P01); the runners that wait for the lock wait within a statement",
        subject: |context| {
            second(context, "-- no-transaction\nCREATE INDEX CONCURRENTLY runs_score ON runs (score);")
        },
    },
    Mutant {
        case: "eight_runners_at_once_end_well",
        name: "a_migration_that_ends_the_others",
        says: "terminating connection due to administrator command (SQLSTATE 57P01); end no sessions in a migration",
        subject: |context| {
            second(
                context,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity\n\
                 WHERE usename = current_user AND pid <> pg_backend_pid();",
            )
        },
    },
    Mutant {
        case: "a_server_crash_keeps_what_was_committed",
        name: "a_table_that_is_not_logged",
        says: "0002_faulty.sql:1:1: table public.scores: expected rows that were committed to be there after a crash of the \
               server, found public.scores empty; ALTER TABLE public.scores SET LOGGED",
        subject: |context| {
            second(
                context,
                "CREATE UNLOGGED TABLE scores (id bigint PRIMARY KEY);\nINSERT INTO scores VALUES (1);",
            )
        },
    },
    Mutant {
        case: "session_state_does_not_leak",
        name: "a_search_path",
        says: "0002_faulty.sql:2:1: setting search_path: expected the session to be as it was",
        subject: |context| {
            second(context, "CREATE SCHEMA ml;\nSET search_path = public, ml;\nCREATE TABLE a (id int);")
        },
    },
    Mutant {
        case: "session_state_does_not_leak",
        name: "a_temporary_table",
        says: "CREATE TEMPORARY TABLE best ... ON COMMIT DROP",
        subject: |context| second(context, "CREATE TEMPORARY TABLE best AS SELECT max(score) FROM runs;"),
    },
    Mutant {
        case: "session_state_does_not_leak",
        name: "a_lock_of_the_session",
        says: "advisory lock 1 of them: expected the session to be as it was",
        subject: |context| second(context, "SELECT pg_advisory_lock(42);"),
    },
    Mutant {
        case: "applies_through_a_transaction_mode_pooler",
        name: "a_temporary_table_of_another_statement",
        says: "0002_faulty.sql:3:1: migration 0002_faulty.sql: expected the migration to apply where each transaction has \
               another session",
        subject: |context| {
            second(
                context,
                "-- no-transaction\nCREATE TEMPORARY TABLE best AS SELECT 1 AS id;\nINSERT INTO runs SELECT id FROM best;",
            )
        },
    },
    Mutant {
        case: "applies_through_a_transaction_mode_pooler",
        name: "a_search_path_of_another_statement",
        says: "expected the same schema where each transaction has another session",
        subject: |context| {
            second(
                context,
                "-- no-transaction\nCREATE SCHEMA IF NOT EXISTS ml;\nSET search_path = ml;\nCREATE TABLE a (id int);",
            )
        },
    },
];
