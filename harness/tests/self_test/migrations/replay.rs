//! Faults of the group `replay`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proofmark_harness::case::CaseError;
use proofmark_harness::context::CaseContext;
use proofmark_harness::migration_set::{Migration, MigrationSet};
use proofmark_harness::migrations::Settings;
use proofmark_harness::migrations::source::StepKind;
use proofmark_harness::mutant::Mutant;
use proofmark_harness::suites::migrations::{MigrationSubject, Snapshots};

use super::{Made, files, project, replaced, sound, sound_subject, step, subject};

/// The sound subject with other snapshots than it should have.
fn snapshots(context: CaseContext, edit: fn(&mut BTreeMap<i64, String>)) -> Made {
    Box::pin(async move {
        let mut subject = sound_subject(context).await?;
        let mut by_version = subject.snapshots.by_version().clone();
        edit(&mut by_version);
        subject.snapshots = Arc::new(Snapshots::new(by_version));
        Ok(subject)
    })
}

/// A first migration that makes the database put a schema of its own first: the migrator finds no history there.
const HIDES_HISTORY: &str = "
CREATE SCHEMA IF NOT EXISTS platform;
DO $$ BEGIN
    EXECUTE format('ALTER DATABASE %I SET search_path = platform, public', current_database());
END $$;
CREATE TABLE IF NOT EXISTS public.models (id bigint PRIMARY KEY);
";

fn hides_history(context: CaseContext) -> Made {
    let set = MigrationSet::new(vec![Migration::new(1, "models", HIDES_HISTORY, None)]);
    Box::pin(async move { Ok(subject(context, set.map_err(CaseError::harness)?)) })
}

/// Statements may not take long.
fn hurried() -> Settings {
    Settings { statement_time_max: Duration::from_millis(100), ..Settings::default() }
}

/// Every fault, and the case that must find it.
pub(crate) const MUTANTS: &[Mutant<MigrationSubject>] = &[
    Mutant {
        case: "applies_to_an_empty_server",
        name: "an_enum_that_no_migration_creates",
        says: "0001_models.up.sql:4:11: migration 0001_models.up.sql: expected the file to apply to an empty server, \
               found: type \"stage\" does not exist (SQLSTATE 42704), which no file creates",
        subject: |context| {
            replaced(context, 1, "CREATE TYPE stage AS ENUM ('staging', 'production');\nCREATE", "CREATE")
        },
    },
    Mutant {
        case: "applies_to_an_empty_server",
        name: "an_index_on_an_expression_that_is_not_immutable",
        says: "functions in index expression must be marked IMMUTABLE (SQLSTATE 42P17)",
        subject: |context| replaced(context, 1, "models (trained_at)", "models ((trained_at::date))"),
    },
    Mutant {
        case: "applies_to_an_empty_server",
        name: "a_grant_to_a_role_that_no_migration_creates",
        says: "role \"proofmark_nobody\" does not exist (SQLSTATE 42704)",
        subject: |context| replaced(context, 2, "ALTER", "GRANT SELECT ON models TO proofmark_nobody;\nALTER"),
    },
    Mutant {
        case: "applies_to_an_empty_server",
        name: "a_table_of_a_later_migration",
        says: "found: relation \"services\" does not exist (SQLSTATE 42P01), which 0002_services.up.sql creates later",
        subject: |context| {
            replaced(context, 1, "trained_at timestamptz", "trained_at bigint REFERENCES services (id)")
        },
    },
    Mutant {
        case: "applies_to_an_empty_server",
        name: "no_migrations_at_all",
        says: "expected at least one migration, found none",
        subject: |context| {
            Box::pin(
                async move { Ok(subject(context, MigrationSet::new(Vec::new()).map_err(CaseError::harness)?)) },
            )
        },
    },
    Mutant {
        case: "applies_to_an_empty_server",
        name: "a_commit_before_it_fails",
        says: "2 of its 3 statements were committed before and stay",
        subject: |context| {
            let text = "CREATE TABLE a (id int);\nCOMMIT;\nCREATE TABLE b (id nothing);";
            files(context, Settings::default(), &[("1.sql", text)])
        },
    },
    Mutant {
        case: "order_applies",
        name: "two_files_in_each_others_place",
        says: "1_services.sql:1:65: migration 1_services.sql: expected relation models to be there, found that \
               2_models.sql creates it later; put this file behind 2_models.sql: in the order that was found 3 of 3 \
               files apply, in the given one 1",
        subject: |context| {
            files(
                context,
                Settings::default(),
                &[
                    (
                        "1_services.sql",
                        "CREATE TABLE services (id int PRIMARY KEY, model int REFERENCES models (id))",
                    ),
                    ("2_models.sql", "CREATE TABLE models (id int PRIMARY KEY)"),
                    ("3_tags.sql", "CREATE TABLE tags (service int REFERENCES services (id))"),
                ],
            )
        },
    },
    Mutant {
        case: "order_applies",
        name: "a_grant_to_a_role_that_a_later_file_makes",
        says: "expected role proofmark_test_reader to be there, found that 2_roles.sql creates it later; put this file behind \
               2_roles.sql: in the order that was found 2 of 2 files apply, in the given one 1",
        subject: |context| {
            let grant =
                "CREATE TABLE models (id int PRIMARY KEY);\nGRANT SELECT ON models TO proofmark_test_reader;";
            let roles = "CREATE ROLE proofmark_test_reader NOLOGIN;";
            files(context, Settings::default(), &[("1_models.sql", grant), ("2_roles.sql", roles)])
        },
    },
    Mutant {
        case: "order_applies",
        name: "the_file_that_creates_it_fails_as_well",
        says: "let 2_models.sql come first, and correct it before: it fails as well, with: type \"nothing\" does not exist",
        subject: |context| {
            let first = "CREATE TABLE services (id int PRIMARY KEY, model int REFERENCES models (id));";
            let second = "CREATE TABLE models (id int PRIMARY KEY, kind nothing);";
            files(context, Settings::default(), &[("1_services.sql", first), ("2_models.sql", second)])
        },
    },
    Mutant {
        case: "every_object_is_created_somewhere",
        name: "a_function_of_a_hosted_platform",
        says: "2.sql:1:63: function auth.uid: expected a file that creates function auth.uid, found none",
        subject: |context| {
            let text = "CREATE SCHEMA auth;";
            let policy = "CREATE POLICY own ON models FOR SELECT USING (owner_id = auth.uid())";
            files(
                context,
                Settings::default(),
                &[
                    ("1.sql", &format!("{text} CREATE TABLE models (id int PRIMARY KEY, owner_id uuid)")),
                    ("2.sql", policy),
                ],
            )
        },
    },
    Mutant {
        case: "extensions_are_available",
        name: "an_extension_that_no_server_has",
        says: "1.sql:1:1: extension proofmark_vector: expected a server that has the extension proofmark_vector, found \
               one that has not; it is needed by 1.sql, 2.sql",
        subject: |context| {
            let text = "CREATE EXTENSION IF NOT EXISTS proofmark_vector";
            files(context, Settings::default(), &[("1.sql", text), ("2.sql", text)])
        },
    },
    Mutant {
        case: "applies_as_its_owner",
        name: "an_event_trigger",
        says: "expected no more than the owner of the database may do, found: permission denied to create event \
               trigger",
        subject: |context| {
            let text = "CREATE FUNCTION f() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN END $$;
                CREATE EVENT TRIGGER t ON ddl_command_end EXECUTE FUNCTION f();";
            files(context, Settings::default(), &[("1.sql", text)])
        },
    },
    Mutant {
        case: "nothing_outside_the_database_is_touched",
        name: "a_program",
        says: "1.sql:1:1: a program on the server's machine: expected no statement that reaches for a program on the \
               server's machine, found one, which was contained: ",
        subject: |context| {
            files(
                context,
                Settings::default(),
                &[("1.sql", "COPY (SELECT 1) TO PROGRAM 'touch /tmp/proofmark_was_here'")],
            )
        },
    },
    Mutant {
        case: "nothing_outside_the_database_is_touched",
        name: "another_database",
        says: "expected no statement that reaches for a database as a whole",
        subject: |context| files(context, Settings::default(), &[("1.sql", "DROP DATABASE postgres")]),
    },
    Mutant {
        case: "applies_under_a_statement_timeout",
        name: "a_statement_that_never_ends",
        says: "1.sql:1:1: migration 1.sql: expected every statement to end within 100ms, found: canceling statement due \
               to statement timeout (SQLSTATE 57014)",
        subject: |context| files(context, hurried(), &[("1.sql", "SELECT pg_sleep(100000)")]),
    },
    Mutant {
        case: "applies_in_another_time_zone",
        name: "a_default_without_its_zone",
        says: "expected the same schema when the session's time zone is Asia/Kathmandu and not UTC, found another",
        subject: |context| {
            let text =
                "CREATE TABLE t (id int PRIMARY KEY, at timestamptz DEFAULT '2024-01-01 00:00'::timestamptz)";
            files(context, Settings::default(), &[("1.sql", text)])
        },
    },
    Mutant {
        case: "applies_with_a_hostile_search_path",
        name: "names_with_and_without_their_schema",
        says: "2.sql:1:20: migration 2.sql: expected 2.sql to apply where another schema comes first in the search \
               path, as one with the name of the role does, found: relation \"public.models\" does not exist",
        subject: |context| {
            files(
                context,
                Settings::default(),
                &[
                    ("1.sql", "CREATE TABLE models (id int PRIMARY KEY)"),
                    ("2.sql", "ALTER TABLE public.models ADD COLUMN tag text"),
                ],
            )
        },
    },
    Mutant {
        case: "repeatable_scripts_can_be_repeated",
        name: "a_view_that_is_there_already",
        says: "expected R__models.sql to apply a second time, found: `CREATE VIEW recent AS SELECT 1 AS id`: relation \
               \"recent\" already exists",
        subject: |context| {
            let view = step("R__models.sql", "CREATE VIEW recent AS SELECT 1 AS id", StepKind::Repeatable);
            project(context, Settings::default(), vec![view])
        },
    },
    Mutant {
        case: "repeatable_scripts_can_be_repeated",
        name: "a_column_for_each_time",
        says: "expected no change when R__models.sql is applied a second time, found another schema",
        subject: |context| {
            let text = "CREATE TABLE IF NOT EXISTS t (id int);
                DO $$ BEGIN EXECUTE format('ALTER TABLE t ADD COLUMN c%s int',
                    (SELECT count(*) FROM pg_attribute WHERE attrelid = 't'::regclass)); END $$";
            project(context, Settings::default(), vec![step("R__models.sql", text, StepKind::Repeatable)])
        },
    },
    Mutant {
        case: "stepwise_equals_all_at_once",
        name: "a_search_path_that_lasts_as_long_as_the_session",
        says: "found another: a migration depends on what an earlier one did to the session",
        subject: |context| {
            replaced(
                context,
                1,
                "CREATE INDEX",
                "CREATE SCHEMA platform;\nSET search_path = platform, public;\nCREATE INDEX",
            )
        },
    },
    Mutant {
        case: "stepwise_equals_all_at_once",
        name: "a_temporary_table_of_an_earlier_migration",
        says: "0002_services.up.sql:9:13: migration 0002_services.up.sql: expected 0002_services.up.sql to apply in a \
               session of its own as it does in that of the files before it, found: relation \"counts\" does not \
               exist",
        subject: |context| {
            Box::pin(async move {
                let migrations = sound()
                    .edited(1, |migration| migration.up.push_str("CREATE TEMPORARY TABLE counts (rows bigint);"))
                    .edited(2, |migration| migration.up.push_str("INSERT INTO counts VALUES (1);"));
                Ok(subject(context, migrations))
            })
        },
    },
    Mutant {
        case: "rerun_changes_nothing",
        name: "a_search_path_that_hides_the_history",
        says: "expected no change by a second run, found changes in pg_attr",
        subject: hides_history,
    },
    Mutant {
        case: "rerun_changes_nothing",
        name: "a_history_that_is_emptied",
        says: "a second run: expected success, found: version 1",
        subject: |context| replaced(context, 2, "ALTER", "DELETE FROM _sqlx_migrations;\nALTER"),
    },
    Mutant {
        case: "edited_migration_is_refused",
        name: "a_search_path_that_hides_the_history",
        says: "expected the migrator to refuse 0001_models.sql when it was edited after it was applied, found: it \
               accepted",
        subject: hides_history,
    },
    Mutant {
        case: "failed_migration_leaves_no_trace",
        name: "a_commit_of_its_own",
        says: "expected 0002_services.up.sql to be rolled back when a statement at its end fails, found changes in",
        subject: |context| replaced(context, 2, "CREATE INDEX", "COMMIT;\nCREATE INDEX"),
    },
    Mutant {
        case: "up_down_up_restores_the_catalog",
        name: "down_forgets_a_column",
        says: "+  served boolean",
        subject: |context| replaced(context, 2, "ALTER TABLE models DROP COLUMN served;\n", ""),
    },
    Mutant {
        case: "up_down_up_restores_the_catalog",
        name: "down_drops_what_was_there_before",
        says: "expected 0002_services.down.sql to restore the schema before 0002_services.up.sql, found another",
        subject: |context| {
            replaced(context, 2, "DROP TABLE services;\n", "DROP TABLE services;\nDROP INDEX models_trained;\n")
        },
    },
    Mutant {
        case: "up_down_up_restores_the_catalog",
        name: "down_in_the_wrong_order",
        says: "expected 0001_models.down.sql to revert 0001_models.up.sql, found: cannot drop type stage because other \
               objects depend on it (SQLSTATE 2BP01)",
        subject: |context| {
            replaced(context, 1, "DROP TABLE models;\nDROP TYPE stage;", "DROP TYPE stage;\nDROP TABLE models;")
        },
    },
    Mutant {
        case: "every_migration_has_a_down",
        name: "down_is_missing",
        says: "expected a down script for 0002_services.sql, as other migrations have one, found none",
        subject: |context| {
            let migrations = sound().edited(2, |migration| migration.down = None);
            Box::pin(async move { Ok(subject(context, migrations)) })
        },
    },
    Mutant {
        case: "down_scripts_leave_nothing",
        name: "an_enum_is_left",
        says: "+enum public.stage",
        subject: |context| replaced(context, 1, "DROP TYPE stage;\n", ""),
    },
    Mutant {
        case: "every_version_matches_its_snapshot",
        name: "a_column_became_shorter",
        says: "-  tag character varying(255) not null\n+  tag character varying(100) not null",
        subject: |context| {
            Box::pin(async move {
                let mut subject = sound_subject(context).await?;
                let edited = sound().edited(2, |migration| migration.up = migration.up.replace("255", "100"));
                subject.migrations = Arc::new(edited);
                Ok(subject)
            })
        },
    },
    Mutant {
        case: "every_version_matches_its_snapshot",
        name: "a_snapshot_is_missing",
        says: "expected a snapshot schema__0002.snap for 0002_services.up.sql, found none",
        subject: |context| snapshots(context, |by_version| drop(by_version.remove(&2))),
    },
    Mutant {
        case: "every_version_matches_its_snapshot",
        name: "a_snapshot_is_left_over",
        says: "expected a migration for the snapshot schema__0003.snap, found none",
        subject: |context| snapshots(context, |by_version| drop(by_version.insert(3, String::new()))),
    },
];
