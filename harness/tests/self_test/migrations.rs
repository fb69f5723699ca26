//! Faulty sets of migrations: a sound one with one fault each, as they have been seen on real platforms.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use proofmark_harness::case::CaseError;
use proofmark_harness::context::CaseContext;
use proofmark_harness::migration_set::{Migration, MigrationSet};
use proofmark_harness::mutant::Mutant;
use proofmark_harness::suites::migrations::{MigrationSubject, Snapshots};

type Made = BoxFuture<'static, Result<MigrationSubject, CaseError>>;

const MODELS_UP: &str = "
CREATE TYPE stage AS ENUM ('staging', 'production');
CREATE TABLE models (
    id bigint PRIMARY KEY,
    stage stage NOT NULL DEFAULT 'staging',
    trained_at timestamptz
);
CREATE INDEX models_trained ON models (trained_at);
";
const MODELS_DOWN: &str = "DROP TABLE models;\nDROP TYPE stage;\n";

const SERVICES_UP: &str = "
CREATE TABLE services (
    id bigint PRIMARY KEY,
    model_id bigint REFERENCES models (id),
    tag varchar(255) NOT NULL
);
CREATE INDEX services_model ON services (model_id);
ALTER TABLE models ADD COLUMN served boolean NOT NULL DEFAULT false;
";
const SERVICES_DOWN: &str = "ALTER TABLE models DROP COLUMN served;\nDROP TABLE services;\n";

/// Two migrations without a fault.
fn sound() -> MigrationSet {
    MigrationSet::new(vec![
        Migration::new(1, "models", MODELS_UP, Some(MODELS_DOWN)),
        Migration::new(2, "services", SERVICES_UP, Some(SERVICES_DOWN)),
    ])
    .expect("two migrations are a set")
}

/// The sound set as a subject, with the snapshots that it has in fact.
pub(crate) fn sound_subject(context: CaseContext) -> Made {
    Box::pin(async move {
        let mut subject = subject(context, sound());
        subject.snapshots = Arc::new(Snapshots::take(&subject).await?);
        Ok(subject)
    })
}

fn subject(context: CaseContext, migrations: MigrationSet) -> MigrationSubject {
    MigrationSubject { context, migrations: Arc::new(migrations), snapshots: Arc::default() }
}

/// The sound set with one text replaced by another in the scripts of one migration.
fn replaced(context: CaseContext, version: i64, old: &'static str, new: &'static str) -> Made {
    let migrations = sound().edited(version, |migration| {
        let down = migration.down.as_deref().unwrap_or_default();
        assert!(migration.up.contains(old) || down.contains(old), "the fault must make a difference");
        migration.down = Some(down.replace(old, new));
        migration.up = migration.up.replace(old, new);
    });
    Box::pin(async move { Ok(subject(context, migrations)) })
}

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
    Mutant {
        case: "foreign_keys_are_indexed",
        name: "no_index",
        says: "services_model_id_fkey of public.services (model_id): CREATE INDEX ON public.services (model_id);",
        subject: |context| replaced(context, 2, "CREATE INDEX services_model ON services (model_id);\n", ""),
    },
    Mutant {
        case: "foreign_keys_are_indexed",
        name: "an_index_that_begins_with_another_column",
        says: "CREATE INDEX ON public.services (model_id);",
        subject: |context| replaced(context, 2, "services (model_id)", "services (tag, model_id)"),
    },
    Mutant {
        case: "foreign_keys_are_indexed",
        name: "an_index_of_some_rows",
        says: "CREATE INDEX ON public.services (model_id);",
        subject: |context| replaced(context, 2, "services (model_id)", "services (model_id) WHERE tag <> ''"),
    },
    Mutant {
        case: "every_table_has_a_primary_key",
        name: "a_table_without",
        says: "expected a primary key on every table, found none on public.services",
        subject: |context| replaced(context, 2, "id bigint PRIMARY KEY", "id bigint NOT NULL UNIQUE"),
    },
];
