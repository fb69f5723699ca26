//! Faulty migrators: a sound one with one fault each, as real ones have them.

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use proofmark_harness::case::{Capability, CaseError};
use proofmark_harness::context::CaseContext;
use proofmark_harness::migration_set::Migration;
use proofmark_harness::migrations::migrator::{Instance, Lock, Migrator, MigratorError, PlainMigrator};
use proofmark_harness::mutant::Mutant;
use proofmark_harness::suites::migrators::{ListSubject, MigratorSubject};

type Made = futures_util::future::BoxFuture<'static, Result<MigratorSubject, CaseError>>;

fn with(context: CaseContext, migrator: impl Migrator + 'static) -> Made {
    Box::pin(async move { Ok(MigratorSubject { context, migrator: Arc::new(migrator) }) })
}

fn plain(context: CaseContext, edit: fn(&mut PlainMigrator)) -> Made {
    let mut migrator = PlainMigrator::default();
    edit(&mut migrator);
    with(context, migrator)
}

/// A sound migrator that gets other files than those on disk.
struct Edited(fn(Vec<Migration>) -> Vec<Migration>);

fn edited(context: CaseContext, edit: fn(Vec<Migration>) -> Vec<Migration>) -> Made {
    with(context, Edited(edit))
}

#[async_trait]
impl Migrator for Edited {
    fn name(&self) -> &'static str {
        "edited"
    }

    fn capabilities(&self) -> &'static [Capability] {
        &Capability::ALL
    }

    async fn up(&self, files: &[Migration], instance: &Instance) -> Result<(), MigratorError> {
        PlainMigrator::default().up(&(self.0)(files.to_vec()), instance).await
    }

    async fn undo(&self, files: &[Migration], instance: &Instance, version: i64) -> Result<(), MigratorError> {
        PlainMigrator::default().undo(&(self.0)(files.to_vec()), instance, version).await
    }

    async fn history(&self, instance: &Instance) -> Result<Vec<i64>, MigratorError> {
        PlainMigrator::default().history(instance).await
    }
}

/// Takes the lock in a pooled session, and returns it to the pool on success alone.
struct LeavesItsLock;

#[async_trait]
impl Migrator for LeavesItsLock {
    fn name(&self) -> &'static str {
        "leaves_its_lock"
    }

    fn capabilities(&self) -> &'static [Capability] {
        &Capability::ALL
    }

    async fn up(&self, files: &[Migration], instance: &Instance) -> Result<(), MigratorError> {
        let mut session = instance.pool().acquire().await?;
        sqlx::query("SELECT pg_advisory_lock(1)").execute(&mut *session).await?;
        PlainMigrator { lock: Lock::None, ..PlainMigrator::default() }.up(files, instance).await?;
        sqlx::query("SELECT pg_advisory_unlock(1)").execute(&mut *session).await?;
        Ok(())
    }

    async fn undo(&self, files: &[Migration], instance: &Instance, version: i64) -> Result<(), MigratorError> {
        PlainMigrator::default().undo(files, instance, version).await
    }

    async fn history(&self, instance: &Instance) -> Result<Vec<i64>, MigratorError> {
        PlainMigrator::default().history(instance).await
    }
}

/// Runs a statement of its own before each run, and calls it success to have nothing to revert with.
struct Meddles(&'static str);

#[async_trait]
impl Migrator for Meddles {
    fn name(&self) -> &'static str {
        "meddles"
    }

    fn capabilities(&self) -> &'static [Capability] {
        &Capability::ALL
    }

    async fn up(&self, files: &[Migration], instance: &Instance) -> Result<(), MigratorError> {
        sqlx::raw_sql(self.0).execute(instance.pool()).await?;
        PlainMigrator::default().up(files, instance).await
    }

    async fn undo(&self, files: &[Migration], instance: &Instance, version: i64) -> Result<(), MigratorError> {
        match PlainMigrator::default().undo(files, instance, version).await {
            Err(MigratorError::NoDownFile { .. }) => Ok(()),
            other => other,
        }
    }

    async fn history(&self, instance: &Instance) -> Result<Vec<i64>, MigratorError> {
        PlainMigrator::default().history(instance).await
    }
}

/// Forgets what was begun and not finished.
const FORGETS: &str = "DO $$ BEGIN
    IF to_regclass('public.proofmark_migrations') IS NOT NULL THEN
        DELETE FROM public.proofmark_migrations WHERE state = 'begun';
    END IF;
END $$";

/// Every fault, and the case that must find it.
pub(crate) const MUTANTS: &[Mutant<MigratorSubject>] = &[
    Mutant {
        case: "two_runs_at_once",
        name: "no_lock",
        says: "2 runs at once: run ",
        subject: |context| plain(context, |migrator| migrator.lock = Lock::None),
    },
    Mutant {
        case: "eight_runs_at_once",
        name: "no_lock",
        says: "8 runs at once: run ",
        subject: |context| plain(context, |migrator| migrator.lock = Lock::None),
    },
    Mutant {
        case: "runs_at_once_with_concurrently",
        name: "waits_in_the_server",
        says: "deadlock detected",
        subject: |context| plain(context, |migrator| migrator.lock = Lock::Wait),
    },
    Mutant {
        case: "a_failed_run_releases_its_lock",
        name: "returns_early",
        says: "holds, which is idle: nobody will release it",
        subject: |context| with(context, LeavesItsLock),
    },
    Mutant {
        case: "a_cancelled_run_releases_its_lock",
        name: "lock_of_a_pooled_session",
        says: "a session of the cancelled run holds",
        subject: |context| with(context, LeavesItsLock),
    },
    Mutant {
        case: "an_out_of_order_file_is_refused",
        name: "fills_gaps",
        says: "version 2 after version 3 was applied: expected an error, found success",
        subject: |context| plain(context, |migrator| migrator.allows_out_of_order = true),
    },
    Mutant {
        case: "a_changed_file_is_refused",
        name: "compares_no_checksums",
        says: "version 1 with another text: expected an error, found success",
        subject: |context| plain(context, |migrator| migrator.allows_changed = true),
    },
    Mutant {
        case: "a_missing_file_is_refused",
        name: "looks_at_files_alone",
        says: "version 2 without its file: expected an error, found success",
        subject: |context| plain(context, |migrator| migrator.allows_missing = true),
    },
    Mutant {
        case: "a_duplicate_version_is_refused",
        name: "takes_the_first",
        says: "two files of version 2: expected an error, found success",
        subject: |context| {
            edited(context, |files| {
                let mut versions = HashSet::new();
                files.into_iter().filter(|file| versions.insert(file.version)).collect()
            })
        },
    },
    Mutant {
        case: "a_second_run_changes_nothing",
        name: "writes_a_comment",
        says: "found changes in pg_description",
        subject: |context| with(context, Meddles("COMMENT ON TABLE public.executed IS 'here was a migrator'")),
    },
    Mutant {
        case: "undo_without_a_down_file_is_an_error",
        name: "nothing_to_do",
        says: "expected an error, found success, with models there: true, services there: true",
        subject: |context| with(context, Meddles("SELECT 1")),
    },
    Mutant {
        case: "a_no_transaction_file_with_two_statements_is_applied_or_refused",
        name: "runs_the_first_statement",
        says: "whether both indexes are there after success: expected (true, true), found (true, false)",
        subject: |context| {
            edited(context, |mut files| {
                for file in files.iter_mut().filter(|file| file.is_outside_transaction()) {
                    file.up = file.up.split_inclusive(';').take(1).collect();
                }
                files
            })
        },
    },
    Mutant {
        case: "a_killed_no_transaction_file_is_not_forgotten",
        name: "records_at_the_end",
        says: "found that it ran it once more: files run [1, 2, 2]",
        subject: |context| with(context, Meddles(FORGETS)),
    },
    Mutant {
        case: "a_failing_file_leaves_no_trace",
        name: "no_transaction",
        says: "expected a file that fails to be rolled back, found the table that its first statement creates",
        subject: |context| {
            edited(context, |mut files| {
                for file in &mut files {
                    file.up.insert_str(0, "-- no-transaction\n");
                }
                files
            })
        },
    },
    Mutant {
        case: "line_ends_do_not_change_the_checksum",
        name: "hashes_bytes",
        says: "the same files with CRLF: expected success, found: expected 0001_models.sql as it was applied",
        subject: |context| {
            edited(context, |mut files| {
                for file in &mut files {
                    file.up = file.up.replace('\r', " ");
                }
                files
            })
        },
    },
    Mutant {
        case: "history_survives_a_hostile_search_path",
        name: "a_table_without_a_schema",
        says: "proofmark_migrations\" does not exist",
        subject: |context| plain(context, |migrator| migrator.history = "proofmark_migrations"),
    },
];

/// Faulty lists of known failures.
pub(crate) const LIST_MUTANTS: &[Mutant<ListSubject>] = &[
    Mutant {
        case: "every_known_failure_names_a_case",
        name: "a_case_that_was_renamed",
        says: "found none of the name migrators::sqlx::renamed",
        subject: |_| {
            let unknown = vec!["migrators::sqlx::renamed".to_owned()];
            Box::pin(async { Ok(ListSubject { malformed: None, unknown }) })
        },
    },
    Mutant {
        case: "every_known_failure_names_a_case",
        name: "no_list",
        says: "known-failures.toml: expected tables",
        subject: |_| {
            let error = proofmark_harness::known::KnownFailures::parse("failure = 1").unwrap_err();
            Box::pin(async move { Ok(ListSubject { malformed: Some(error.to_string()), unknown: Vec::new() }) })
        },
    },
];
