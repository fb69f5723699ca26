//! Faulty sets of migrations: a sound one with one fault each, as they have been seen on real platforms.

pub(crate) mod crash;
pub(crate) mod files;
pub(crate) mod quality;
pub(crate) mod replay;
pub(crate) mod traffic;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use proofmark_harness::case::CaseError;
use proofmark_harness::context::CaseContext;
use proofmark_harness::migration_set::{Migration, MigrationSet};
use proofmark_harness::migrations::source::{Layout, StepKind};
use proofmark_harness::migrations::{Project, Script, Settings, Step, sql};
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
    MigrationSubject::new(context, "faulty", migrations, Snapshots::default())
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

/// A few files without versions to speak of, in this order.
fn files(context: CaseContext, settings: Settings, files: &[(&str, &str)]) -> Made {
    let steps = files.iter().map(|(file, text)| step(file, text, StepKind::Versioned)).collect();
    project(context, settings, steps)
}

fn project(context: CaseContext, settings: Settings, steps: Vec<Step>) -> Made {
    let project = Project {
        name: "faulty".to_owned(),
        layout: Layout::Plain,
        reason: "it is made here".to_owned(),
        steps,
        problems: Vec::new(),
    };
    let subject = MigrationSubject::of_project_with(context, project, settings);
    Box::pin(async move { Ok(subject) })
}

fn step(file: &str, text: &str, kind: StepKind) -> Step {
    let range = 0..text.len();
    let up = Script {
        file: file.into(),
        text: text.into(),
        statements: sql::split(text, range.clone()),
        range,
        in_transaction: true,
    };
    Step { version: None, name: file.to_owned(), kind, up, down: None }
}

/// The faults of all groups, in the order of the suite's.
pub(crate) const MUTANTS: [&[Mutant<MigrationSubject>]; 5] =
    [files::MUTANTS, replay::MUTANTS, traffic::MUTANTS, quality::MUTANTS, crash::MUTANTS];
