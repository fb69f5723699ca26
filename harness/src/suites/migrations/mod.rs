//! The suite `migrations`: what a set of migrations must do besides leading to the right schema.

pub mod crash;
pub mod files;
pub mod policy;
pub mod quality;
pub mod replay;
pub mod traffic;

use std::sync::Arc;

pub use replay::Snapshots;

use sqlx::postgres::PgConnection;

use crate::case::{Capability, Case, CaseError, CaseResult};
use crate::context::CaseContext;
use crate::database::TestDatabase;
use crate::event::Finding;
use crate::migration_set::{MigrationError, MigrationSet};
use crate::migrations::policy::{Config, FILE_NAME, Policy};
use crate::migrations::replay::{Difference, History, Replay, Variant, verdict};
use crate::migrations::sandbox::SandboxError;
use crate::migrations::source::StepKind;
use crate::migrations::{Evidence, Head, Project, Settings, WithRows};
use crate::schema;
use crate::server;
use crate::suite::{Batch, PlannedCase, Suite};

/// Every case, group by group.
pub const GROUPS: [&[Case<MigrationSubject>]; 5] =
    [files::CASES, replay::CASES, traffic::CASES, quality::CASES, crash::CASES];

/// What the groups are called, in the same order.
pub const GROUP_NAMES: [&str; 5] = ["files", "replay", "traffic", "quality", "crash"];

/// The names of all checks, for configurations and comments.
#[must_use]
pub fn check_names() -> Vec<&'static str> {
    GROUPS.into_iter().flatten().map(|case| case.name).collect()
}

/// What is known of a project about which nobody has decided anything but in its files.
fn evidence_of(project: Project, settings: Settings) -> Evidence {
    let policy = Policy::new(check_names()).with_comments_of(&project);
    Evidence::new(project, policy, settings)
}

/// What counts in the reference layer's migrations, as for whoever checks its directory.
fn reference_config() -> Config {
    const TEXT: &str = include_str!("../../../../proofmark.toml");
    // A unit test reads it as well, and says what is wrong with it.
    Config::parse(FILE_NAME.as_ref(), TEXT, &check_names()).unwrap_or_default()
}

/// A set of migrations under test.
#[derive(Debug, Clone)]
pub struct MigrationSubject {
    /// Where databases come from.
    pub context: CaseContext,
    /// The migrations.
    pub migrations: Arc<MigrationSet>,
    /// The same as files, and what is known of them: shared by all cases of a process.
    pub evidence: Arc<Evidence>,
    /// The schema that each version is meant to have; empty for a subject that commits none.
    pub snapshots: Arc<Snapshots>,
}

impl MigrationSubject {
    /// A set of migrations by itself, with no other case that would share what is known of it.
    #[must_use]
    pub fn new(context: CaseContext, name: &str, migrations: MigrationSet, snapshots: Snapshots) -> Self {
        let evidence = Arc::new(evidence_of(Project::from_set(name, &migrations), Settings::default()));
        Self { context, migrations: Arc::new(migrations), evidence, snapshots: Arc::new(snapshots) }
    }

    /// A project in any layout, by itself, executed in another way than usual.
    #[must_use]
    pub fn of_project_with(context: CaseContext, project: Project, settings: Settings) -> Self {
        let evidence = Arc::new(evidence_of(project, settings));
        Self { context, migrations: Arc::default(), evidence, snapshots: Arc::default() }
    }

    /// A project in any layout, by itself.
    #[must_use]
    pub fn of_project(context: CaseContext, project: Project) -> Self {
        Self::of_project_with(context, project, Settings::default())
    }

    /// The same with what is known of it already.
    #[must_use]
    pub fn of_evidence(context: CaseContext, evidence: Arc<Evidence>) -> Self {
        Self { context, migrations: Arc::default(), evidence, snapshots: Arc::default() }
    }

    /// The database at head, shared by all cases: who changes it must roll back.
    async fn head(&self) -> Result<Arc<Head>, CaseError> {
        self.evidence.head(self.context.environment()).await.map_err(broken)
    }

    /// What becomes of each file; tells the verdict if nobody has yet.
    async fn replay(&self) -> Result<Arc<Replay>, CaseError> {
        let replay = self.evidence.replay(self.context.environment()).await.map_err(broken)?;
        if self.evidence.tells_verdict() {
            self.context.verdict(verdict(&self.evidence.project, &replay));
        }
        Ok(replay)
    }

    /// What happens step by step.
    async fn history(&self) -> Result<Arc<History>, CaseError> {
        self.evidence.history(self.context.environment()).await.map_err(broken)
    }

    /// What is different where something is unusual.
    async fn variant(&self, variant: Variant) -> Result<Arc<Difference>, CaseError> {
        self.evidence.variant(self.context.environment(), variant).await.map_err(broken)
    }

    /// The database at head with generated rows, shared by all cases: who changes it must roll back.
    async fn with_rows(&self) -> Result<Arc<WithRows>, CaseError> {
        self.evidence.with_rows(self.context.environment()).await.map_err(broken)
    }

    /// Reports findings, as the policy sees them; fails if any of them counts.
    fn conclude(&self, findings: Vec<Finding>) -> CaseResult {
        let mut counting = Vec::new();
        for finding in findings {
            let check = self.context.id().case.clone();
            let Some(finding) = self.evidence.policy.judge(Finding { check, ..finding }) else { continue };
            if finding.counts() {
                counting.push(finding.to_string());
            }
            self.context.found(finding);
        }
        self.evidence.concluded(&self.context.id().case);
        match counting.as_slice() {
            [] => Ok(()),
            [only] => Err(CaseError::failed(only.clone())),
            [first, ..] => Err(CaseError::failed_with(
                format!("{} findings, the first: {first}", counting.len()),
                counting.join("\n"),
            )),
        }
    }

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
}

fn broken(error: SandboxError) -> CaseError {
    CaseError::harness(crate::error_chain(&error))
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
        let project = Project::from_set(name, migrations);
        let evidence = Arc::new(evidence_of(project, Settings::default()));
        let has: Vec<Capability> = has.iter().copied().chain([Capability::SqlxMigrator]).collect();
        self.plan_with(&evidence, migrations, snapshots, &has)
    }

    /// Every case of some groups, or of all if none is named, against a project in any layout.
    #[must_use]
    pub fn plan_project(&self, evidence: &Arc<Evidence>, groups: &[String]) -> Vec<PlannedCase> {
        let steps = &evidence.project.steps;
        let mut has = Vec::new();
        if steps.iter().any(|step| step.down.is_some()) {
            has.push(Capability::DownScripts);
        }
        if steps.iter().any(|step| step.kind == StepKind::Repeatable) {
            has.push(Capability::RepeatableScripts);
        }
        let is_wanted = |name: &str| groups.is_empty() || groups.iter().any(|group| group == name);
        let wanted: Vec<&str> = GROUPS
            .into_iter()
            .zip(GROUP_NAMES)
            .filter(|(_, name)| is_wanted(name))
            .flat_map(|(cases, _)| cases.iter().map(|case| case.name))
            .collect();
        let mut plan = self.plan_with(evidence, &Arc::default(), &Arc::default(), &has);
        plan.retain(|case| wanted.contains(&case.id.case.as_str()));
        // In a batch that begins when the others have ended.
        plan.extend(policy::CASES.iter().map(|case| {
            let evidence = Arc::clone(evidence);
            PlannedCase::new(self, &evidence.project.name.clone(), case, Batch::Compute, &[], move |context| {
                let evidence = Arc::clone(&evidence);
                Box::pin(async move { Ok(MigrationSubject::of_evidence(context, evidence)) })
            })
        }));
        plan
    }

    fn plan_with(
        &self,
        evidence: &Arc<Evidence>,
        migrations: &Arc<MigrationSet>,
        snapshots: &Arc<Snapshots>,
        has: &[Capability],
    ) -> Vec<PlannedCase> {
        let name = evidence.project.name.as_str();
        let mut has = has.to_vec();
        if server::may_be_local() {
            has.push(Capability::ServerToCrash);
        }
        let plan = |case| {
            let (migrations, snapshots) = (Arc::clone(migrations), Arc::clone(snapshots));
            let evidence = Arc::clone(evidence);
            PlannedCase::new(self, name, case, Batch::Database, &has, move |context| {
                let (migrations, snapshots) = (Arc::clone(&migrations), Arc::clone(&snapshots));
                let evidence = Arc::clone(&evidence);
                Box::pin(async move { Ok(MigrationSubject { context, migrations, evidence, snapshots }) })
            })
        };
        GROUPS.into_iter().flatten().map(plan).collect()
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
        let project = Project::from_set("reference", &migrations);
        let policy = Policy::new(check_names()).with_config(reference_config()).with_comments_of(&project);
        let evidence = Arc::new(Evidence::new(project, policy, Settings::default()));
        let has: Vec<Capability> = has.into_iter().chain([Capability::SqlxMigrator]).collect();
        self.plan_with(&evidence, &migrations, &snapshots, &has)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_of_the_reference_is_understood() {
        let text = include_str!("../../../../proofmark.toml");
        let config = Config::parse(FILE_NAME.as_ref(), text, &check_names()).unwrap();
        assert_eq!(config.suppressions, reference_config().suppressions);
        assert!(!config.suppressions.is_empty());
    }
}
