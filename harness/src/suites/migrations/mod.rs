//! The suite `migrations`: what a set of migrations must do besides leading to the right schema.

mod apply;
mod quality;
mod revert;
mod snapshots;

use std::sync::Arc;

pub use snapshots::Snapshots;

use sqlx::postgres::PgConnection;

use crate::case;
use crate::case::{Capability, Case, CaseError};
use crate::context::CaseContext;
use crate::database::TestDatabase;
use crate::migration_set::{MigrationError, MigrationSet};
use crate::schema;
use crate::suite::{Batch, PlannedCase, Suite};

use apply::{
    applies_to_an_empty_server, edited_migration_is_refused, failed_migration_leaves_no_trace,
    rerun_changes_nothing, stepwise_equals_all_at_once,
};
use quality::{every_table_has_a_primary_key, foreign_keys_are_indexed};
use revert::{down_scripts_leave_nothing, up_down_up_restores_the_catalog};
use snapshots::every_version_matches_its_snapshot;

/// Every case.
pub const CASES: &[Case<MigrationSubject>] = &[
    case!(applies_to_an_empty_server, "migrations apply to an empty server"),
    case!(stepwise_equals_all_at_once, "one by one gives the same schema as all at once"),
    case!(rerun_changes_nothing, "a second run changes nothing"),
    case!(edited_migration_is_refused, "an edited migration is noticed"),
    case!(failed_migration_leaves_no_trace, "a migration that fails is rolled back"),
    case!(
        up_down_up_restores_the_catalog,
        "down undoes what up did, step by step",
        requires: [Capability::DownScripts]
    ),
    case!(
        down_scripts_leave_nothing,
        "all the way down leaves an empty database",
        requires: [Capability::DownScripts]
    ),
    case!(
        every_version_matches_its_snapshot,
        "every version has the committed schema",
        requires: [Capability::SchemaSnapshots]
    ),
    case!(foreign_keys_are_indexed, "foreign keys are indexed"),
    case!(every_table_has_a_primary_key, "every table has a primary key"),
];

/// A set of migrations under test.
#[derive(Debug, Clone)]
pub struct MigrationSubject {
    /// Where databases come from.
    pub context: CaseContext,
    /// The migrations.
    pub migrations: Arc<MigrationSet>,
    /// The schema that each version is meant to have; empty for a subject that commits none.
    pub snapshots: Arc<Snapshots>,
}

impl MigrationSubject {
    /// A database with nothing in it.
    async fn empty(&self) -> Result<TestDatabase, CaseError> {
        Ok(self.context.empty_database().await?)
    }

    /// A database with all migrations applied.
    async fn migrated(&self) -> Result<TestDatabase, CaseError> {
        let database = self.empty().await?;
        let applied = self.migrations.apply(&mut connect(&database).await?).await;
        applied.map_err(|error| rejected("applying all migrations at once", error))?;
        Ok(database)
    }

    /// Applies up to a version, as a run of its own: with a session that no earlier one has touched.
    async fn apply_up_to(&self, database: &TestDatabase, version: i64) -> Result<(), CaseError> {
        let result = self.migrations.apply_up_to(&mut connect(database).await?, version).await;
        result.map_err(|error| rejected("applying the migrations one by one", error))
    }

    /// Reverts to a version, as a run of its own.
    async fn revert_down_to(&self, database: &TestDatabase, version: i64) -> Result<(), CaseError> {
        let result = self.migrations.revert_down_to(&mut connect(database).await?, version).await;
        result.map_err(|error| rejected("reverting the migrations", error))
    }
}

async fn connect(database: &TestDatabase) -> Result<PgConnection, CaseError> {
    database.connect().await.map_err(CaseError::harness)
}

async fn schema_of(database: &TestDatabase) -> Result<String, CaseError> {
    schema::render(&mut connect(database).await?).await.map_err(CaseError::harness)
}

/// What the database refuses is the subject's fault; a connection that is lost is not.
fn rejected(action: &str, error: MigrationError) -> CaseError {
    match &error {
        MigrationError::Connection(_) => CaseError::harness(error),
        MigrationError::Statement { .. } | MigrationError::Migrator(_) => {
            CaseError::failed(format!("{action}: expected success, found: {error}"))
        }
    }
}

/// The suite with the reference layer's migrations as its subject.
#[derive(Debug, Clone, Copy)]
pub struct MigrationSuite;

impl MigrationSuite {
    /// Every case against any set; `has` says what the set can do.
    #[must_use]
    pub fn plan_subject(
        &self,
        name: &str,
        migrations: &Arc<MigrationSet>,
        snapshots: &Arc<Snapshots>,
        has: &[Capability],
    ) -> Vec<PlannedCase> {
        let plan = |case| {
            let (migrations, snapshots) = (Arc::clone(migrations), Arc::clone(snapshots));
            PlannedCase::new(self, name, case, Batch::Database, has, move |context| {
                let (migrations, snapshots) = (Arc::clone(&migrations), Arc::clone(&snapshots));
                Box::pin(async move { Ok(MigrationSubject { context, migrations, snapshots }) })
            })
        };
        CASES.iter().map(plan).collect()
    }
}

impl Suite for MigrationSuite {
    fn name(&self) -> &'static str {
        "migrations"
    }

    fn plan(&self) -> Vec<PlannedCase> {
        let migrations = Arc::new(MigrationSet::reference());
        let snapshots = Arc::new(Snapshots::reference());
        // Declared, not found out: should a down script or a snapshot go missing, its case fails.
        let has = [Capability::DownScripts, Capability::SchemaSnapshots];
        self.plan_subject("reference", &migrations, &snapshots, &has)
    }
}
