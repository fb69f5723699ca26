//! Migrations that change tables in use as one should: no case about live traffic and crashes has anything against them.

use std::sync::Arc;
use std::time::Duration;

use proofmark_harness::case::Capability;
use proofmark_harness::environment::Environment;
use proofmark_harness::event::Outcome;
use proofmark_harness::migration_set::{Migration, MigrationSet};
use proofmark_harness::migrations::policy::Policy;
use proofmark_harness::migrations::source::Layout;
use proofmark_harness::migrations::{Evidence, Project, Settings, crash, observe};
use proofmark_harness::runner::{self, Options};
use proofmark_harness::server::ServerChoice;
use proofmark_harness::suite::{Batch, PlannedCase};
use proofmark_harness::suites::migrations::{self as suite, MigrationSubject, MigrationSuite, Snapshots};

const FILES: &[(&str, &str)] = &[
    (
        "tables",
        "CREATE TYPE stage AS ENUM ('staging', 'production');
         CREATE TABLE models (id bigint PRIMARY KEY, stage stage NOT NULL DEFAULT 'staging');
         INSERT INTO models SELECT g FROM generate_series(1, 200) g;
         CREATE TABLE runs (id bigint PRIMARY KEY, model_id bigint, count int, name text, remark text);
         INSERT INTO runs SELECT g, g, g, 'run ' || g FROM generate_series(1, 200) g;",
    ),
    (
        "index",
        "-- no-transaction\nDROP INDEX CONCURRENTLY IF EXISTS runs_model;
         CREATE INDEX CONCURRENTLY runs_model ON runs (model_id);",
    ),
    (
        "foreign_key",
        "SET LOCAL lock_timeout = '5s';
         ALTER TABLE runs ADD CONSTRAINT runs_model FOREIGN KEY (model_id) REFERENCES models (id) NOT VALID;",
    ),
    ("foreign_key_holds", "ALTER TABLE runs VALIDATE CONSTRAINT runs_model;"),
    (
        "count_is_set",
        "SET LOCAL lock_timeout = '5s';
         ALTER TABLE runs ADD CONSTRAINT count_is_set CHECK (count IS NOT NULL) NOT VALID;",
    ),
    (
        "count_is_set_everywhere",
        "UPDATE runs SET count = 0 WHERE count IS NULL AND id < 0;
         ALTER TABLE runs VALIDATE CONSTRAINT count_is_set;",
    ),
    (
        "count_is_required",
        "SET LOCAL lock_timeout = '5s';
         ALTER TABLE runs ALTER COLUMN count SET NOT NULL;
         ALTER TABLE runs DROP CONSTRAINT count_is_set;",
    ),
    (
        "columns",
        "SET LOCAL lock_timeout = '5s';
         ALTER TABLE runs ADD COLUMN note text;
         ALTER TABLE runs ADD COLUMN state text NOT NULL DEFAULT 'new';",
    ),
    (
        "notes",
        "-- no-transaction\nDO $$ BEGIN
             LOOP
                 UPDATE runs SET note = name WHERE id IN (
                     SELECT id FROM runs WHERE note IS NULL AND name IS NOT NULL ORDER BY id LIMIT 50
                 );
                 EXIT WHEN NOT FOUND;
                 COMMIT;
             END LOOP;
         END $$;",
    ),
    (
        "one_run_a_model",
        "-- no-transaction\nDROP INDEX CONCURRENTLY IF EXISTS models_id_stage;
         CREATE UNIQUE INDEX CONCURRENTLY models_id_stage ON models (id, stage);",
    ),
    (
        "one_run_a_model_for_good",
        "SET LOCAL lock_timeout = '5s';
         ALTER TABLE models ADD CONSTRAINT models_id_stage UNIQUE USING INDEX models_id_stage;",
    ),
    ("stage", "ALTER TYPE stage ADD VALUE IF NOT EXISTS 'archived';"),
    ("no_remarks", "SET LOCAL lock_timeout = '5s';\nALTER TABLE runs DROP COLUMN remark;"),
    (
        "view",
        "CREATE VIEW noted AS SELECT id, note FROM runs;
         CREATE FUNCTION noted_runs() RETURNS bigint LANGUAGE sql STABLE AS 'SELECT count(*) FROM noted';",
    ),
    (
        "grants",
        "GRANT SELECT ON runs TO PUBLIC;\nREVOKE TRUNCATE ON runs FROM CURRENT_USER;
         ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC;",
    ),
    ("one_row", "UPDATE runs SET note = 'first' WHERE id = 1;"),
];

#[tokio::test(flavor = "multi_thread")]
async fn careful_migrations_pass() {
    let migrations = (1..).zip(FILES).map(|(version, (name, text))| Migration::new(version, name, *text, None));
    let set = MigrationSet::new(migrations.collect()).unwrap();
    // A runner of sqlx's kind cannot make an index concurrently while others wait: that is no fault of migrations.
    let project = Project { layout: Layout::Plain, ..Project::from_set("careful", &set) };
    let evidence = Arc::new(Evidence::new(project, Policy::default(), Settings::default()));
    let (set, environment) = (Arc::new(set), Arc::new(Environment::shared(ServerChoice::Auto)));
    let options = Options { seed: 1, concurrency: 1, time_limit: Duration::from_secs(100), keep: false };
    let mut wrong = Vec::new();
    for case in suite::traffic::CASES.iter().chain(suite::crash::CASES) {
        let (evidence, set) = (Arc::clone(&evidence), Arc::clone(&set));
        let planned = PlannedCase::new(
            &MigrationSuite,
            "careful",
            case,
            Batch::Database,
            &Capability::ALL,
            move |context| {
                let (evidence, migrations) = (Arc::clone(&evidence), Arc::clone(&set));
                let snapshots = Arc::new(Snapshots::default());
                Box::pin(async move { Ok(MigrationSubject { context, migrations, evidence, snapshots }) })
            },
        );
        let (record, _) = runner::run_case(&planned, &environment, &options).await;
        for finding in &record.findings {
            println!("{}: {}: {finding}", case.name, finding.level.name());
        }
        println!("{}: {} ms", case.name, record.duration_ms);
        if record.outcome != Outcome::Passed {
            wrong.push(format!("{}: {}", case.name, record.outcome.explanation()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    environment.shutdown().await.unwrap();
}

/// What breaks a session or its transaction in the middle of a migration; `notes` must be there in the end.
const HOSTILE: &[&str] = &[
    "CREATE TABLE runs (id bigint PRIMARY KEY, score int NOT NULL DEFAULT 0);\nINSERT INTO runs VALUES (1), (2);",
    "SELECT pg_terminate_backend(pg_backend_pid());",
    "ROLLBACK;",
    "COMMIT AND CHAIN;\nALTER TABLE runs ADD COLUMN a int;\nROLLBACK AND CHAIN;",
    "BEGIN;\nALTER TABLE runs ADD COLUMN b int;",
    "-- no-transaction\nBEGIN;\nALTER TABLE runs ADD COLUMN c int;",
    "-- no-transaction\nDISCARD ALL;\nDEALLOCATE ALL;\nSET statement_timeout = 0;",
    "SET CONSTRAINTS ALL DEFERRED;\nSAVEPOINT a;\nALTER TABLE runs ADD COLUMN d int;\nROLLBACK TO a;",
    "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE;\nUPDATE runs SET score = 1;",
    "SET search_path = '';\nALTER TABLE public.runs ADD COLUMN e int;",
    "ALTER TABLE runs ADD CHECK (score > 1000);",
    "CREATE TABLE late (id int PRIMARY KEY, of int REFERENCES late DEFERRABLE INITIALLY DEFERRED);\n\
     INSERT INTO late VALUES (1, 2);",
    "DO $$ BEGIN PERFORM 1 / 0; END $$;",
    "SELECT 'never closed",
    "",
    "CREATE TABLE notes (id bigint PRIMARY KEY);",
];

#[tokio::test(flavor = "multi_thread")]
async fn no_migration_keeps_the_others_from_being_looked_at() {
    let migrations = (1..).zip(HOSTILE).map(|(version, text)| Migration::new(version, "file", *text, None));
    let project = Project::from_set("hostile", &MigrationSet::new(migrations.collect()).unwrap());
    let environment = Environment::shared(ServerChoice::Auto);
    let refusals = vec![None; HOSTILE.len()];
    let settings = Settings { rows: 20, ..Settings::default() };
    let traffic = observe::observe(&environment, &project, &settings, &refusals).await.unwrap();
    let last = traffic.steps.last().unwrap();
    assert!(last.refused.is_none() && last.statements.len() == 1);
    let refused: Vec<usize> = (0..HOSTILE.len()).filter(|step| traffic.steps[*step].refused.is_some()).collect();
    assert_eq!(refused, [1, 10, 11, 12, 13]);
    let explored = crash::explore(&environment, &project, &settings, &refusals).await.unwrap();
    assert!(explored.schema.contains("public.notes"));
    let pooled = crash::through_a_pooler(&environment, &project, &settings, &refusals).await.unwrap();
    assert!(pooled.schema.contains("public.notes"));
    crash::leaks(&environment, &project, &settings, &refusals).await.unwrap();
    let together = crash::run_together(&environment, &project, &settings, &refusals, 2).await.unwrap();
    assert!(!together.troubles.is_empty());
    environment.shutdown().await.unwrap();
}
