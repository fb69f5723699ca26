//! Faults of the group `replay`.

use std::collections::BTreeMap;
use std::sync::Arc;

use proofmark_harness::case::CaseError;
use proofmark_harness::context::CaseContext;
use proofmark_harness::migration_set::{Migration, MigrationSet};
use proofmark_harness::mutant::Mutant;
use proofmark_harness::suites::migrations::{MigrationSubject, Snapshots};

use super::{Made, replaced, sound, sound_subject, subject};

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

/// Every fault, and the case that must find it.
pub(crate) const MUTANTS: &[Mutant<MigrationSubject>] = &[
    Mutant {
        case: "applies_to_an_empty_server",
        name: "an_enum_that_no_migration_creates",
        says: "version 1, 0001_models.up.sql, line 4, column 11 (`stage stage NOT NULL DEFAULT 'staging',`): type \
               \"stage\" does not exist (SQLSTATE 42704)",
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
        says: "version 1, 0001_models.up.sql: relation \"services\" does not exist (SQLSTATE 42P01)",
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
        says: "applying the migrations one by one: expected success, found: version 2, 0002_services.up.sql, \
               line 9, column 13 (`INSERT INTO counts VALUES (1);`): relation \"counts\" does not exist",
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
        says: "expected 0002_services.down.sql to restore the schema before version 2, found another",
        subject: |context| {
            replaced(context, 2, "DROP TABLE services;\n", "DROP TABLE services;\nDROP INDEX models_trained;\n")
        },
    },
    Mutant {
        case: "up_down_up_restores_the_catalog",
        name: "down_in_the_wrong_order",
        says: "reverting the migrations: expected success, found: version 1, 0001_models.down.sql: cannot drop type \
               stage because other objects depend on it (SQLSTATE 2BP01)",
        subject: |context| {
            replaced(context, 1, "DROP TABLE models;\nDROP TYPE stage;", "DROP TYPE stage;\nDROP TABLE models;")
        },
    },
    Mutant {
        case: "up_down_up_restores_the_catalog",
        name: "down_is_missing",
        says: "expected a file 0002_services.down.sql, found none",
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
