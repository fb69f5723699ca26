//! What the observer sees of a statement: whether a table is rewritten, whether it is read as a whole, and how it is
//! locked, for each form of schema change that matters.

#![expect(clippy::unwrap_used, reason = "what a test relies on may fail loudly")]

use proofmark_harness::environment::Environment;
use proofmark_harness::migration_set::{Migration, MigrationSet};
use proofmark_harness::migrations::observe::{Change, LockMode, Passage, Touched, observe};
use proofmark_harness::migrations::{Project, Settings};
use proofmark_harness::server::ServerChoice;

use LockMode::{AccessExclusive, RowExclusive, Share, ShareRowExclusive, ShareUpdateExclusive};

const ROWS: i64 = 500;

/// Two tables in a schema of their own; `@` is its name.
const SETUP: &str = "
CREATE SCHEMA @;
CREATE TABLE @.models (id bigint PRIMARY KEY);
INSERT INTO @.models SELECT g FROM generate_series(1, 500) g;
CREATE TABLE @.runs (id bigint PRIMARY KEY, model_id bigint, name varchar(20), score numeric(10, 2), count int,
    started timestamp, ended timestamptz, note text, kind char(4) DEFAULT 'a');
INSERT INTO @.runs SELECT g, g, 'run ' || g, g, g, '2024-01-01'::timestamp + g * interval '1 hour', now(), 'x'
    FROM generate_series(1, 500) g;
CREATE INDEX runs_name ON @.runs (name);
ALTER TABLE @.runs ADD CONSTRAINT count_is_set CHECK (count IS NOT NULL) NOT VALID;
";

struct Form {
    /// What is done before, in the same file.
    before: &'static str,
    /// What is looked at.
    statement: &'static str,
    rewritten: bool,
    scanned: bool,
    lock: Option<LockMode>,
}

const fn form(statement: &'static str, rewritten: bool, scanned: bool, lock: LockMode) -> Form {
    Form { before: "", statement, rewritten, scanned, lock: Some(lock) }
}

/// Neither reads nor writes a row.
const fn quick(statement: &'static str, lock: LockMode) -> Form {
    form(statement, false, false, lock)
}

const fn scan(statement: &'static str, lock: LockMode) -> Form {
    form(statement, false, true, lock)
}

const fn rewrite(statement: &'static str) -> Form {
    form(statement, true, true, AccessExclusive)
}

const fn after(before: &'static str, form: Form) -> Form {
    Form { before, ..form }
}

const FORMS: &[Form] = &[
    quick("ALTER TABLE @.runs ADD COLUMN c int", AccessExclusive),
    quick("ALTER TABLE @.runs ADD COLUMN c int NOT NULL DEFAULT 1", AccessExclusive),
    quick("ALTER TABLE @.runs ADD COLUMN c timestamptz DEFAULT now()", AccessExclusive),
    rewrite("ALTER TABLE @.runs ADD COLUMN c timestamptz DEFAULT clock_timestamp()"),
    rewrite("ALTER TABLE @.runs ADD COLUMN c uuid DEFAULT gen_random_uuid()"),
    rewrite("ALTER TABLE @.runs ADD COLUMN c bigint GENERATED ALWAYS AS IDENTITY"),
    rewrite("ALTER TABLE @.runs ADD COLUMN c bigint GENERATED ALWAYS AS (id * 2) STORED"),
    quick("ALTER TABLE @.runs ADD COLUMN c bigint REFERENCES @.models (id)", AccessExclusive),
    quick("ALTER TABLE @.runs DROP COLUMN note", AccessExclusive),
    quick("ALTER TABLE @.runs RENAME COLUMN note TO remark", AccessExclusive),
    quick("ALTER TABLE @.runs ALTER COLUMN note SET DEFAULT ''", AccessExclusive),
    scan("ALTER TABLE @.runs ALTER COLUMN model_id SET NOT NULL", AccessExclusive),
    after(
        "ALTER TABLE @.runs VALIDATE CONSTRAINT count_is_set",
        quick("ALTER TABLE @.runs ALTER COLUMN count SET NOT NULL", AccessExclusive),
    ),
    quick("ALTER TABLE @.runs ALTER COLUMN id SET STATISTICS 500", ShareUpdateExclusive),
    quick("ALTER TABLE @.runs SET (fillfactor = 70)", ShareUpdateExclusive),
    quick("ALTER TABLE @.runs ALTER COLUMN name TYPE varchar(200)", AccessExclusive),
    quick("ALTER TABLE @.runs ALTER COLUMN name TYPE text", AccessExclusive),
    rewrite("ALTER TABLE @.runs ALTER COLUMN name TYPE varchar(10)"),
    rewrite("ALTER TABLE @.runs ALTER COLUMN count TYPE bigint"),
    rewrite("ALTER TABLE @.runs ALTER COLUMN score TYPE numeric(10, 1)"),
    quick("ALTER TABLE @.runs ALTER COLUMN score TYPE numeric(12, 2)", AccessExclusive),
    rewrite("ALTER TABLE @.runs ALTER COLUMN kind TYPE char(8)"),
    quick("ALTER TABLE @.runs ALTER COLUMN started TYPE timestamptz", AccessExclusive),
    rewrite(
        "ALTER TABLE @.runs ALTER COLUMN started TYPE timestamptz USING started AT TIME ZONE 'Asia/Kathmandu'",
    ),
    after("SET timezone = 'Asia/Kathmandu'", rewrite("ALTER TABLE @.runs ALTER COLUMN started TYPE timestamptz")),
    scan("ALTER TABLE @.runs ADD CHECK (count > 0)", AccessExclusive),
    quick("ALTER TABLE @.runs ADD CHECK (count > 0) NOT VALID", AccessExclusive),
    scan("ALTER TABLE @.runs VALIDATE CONSTRAINT count_is_set", ShareUpdateExclusive),
    scan("ALTER TABLE @.runs ADD FOREIGN KEY (model_id) REFERENCES @.models (id)", ShareRowExclusive),
    quick("ALTER TABLE @.runs ADD FOREIGN KEY (model_id) REFERENCES @.models (id) NOT VALID", ShareRowExclusive),
    scan("ALTER TABLE @.runs ADD UNIQUE (model_id)", AccessExclusive),
    after(
        "CREATE UNIQUE INDEX runs_model ON @.runs (model_id)",
        quick("ALTER TABLE @.runs ADD CONSTRAINT runs_model UNIQUE USING INDEX runs_model", AccessExclusive),
    ),
    scan("CREATE INDEX ON @.runs (model_id)", Share),
    scan("CREATE INDEX ON @.runs (model_id) WHERE count > 100", Share),
    scan("REINDEX INDEX @.runs_name", Share),
    rewrite("ALTER TABLE @.runs SET UNLOGGED"),
    rewrite("CLUSTER @.runs USING runs_pkey"),
    quick(
        "CREATE TRIGGER t BEFORE UPDATE ON @.runs FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        ShareRowExclusive,
    ),
    quick("ALTER TABLE @.runs ENABLE ROW LEVEL SECURITY", AccessExclusive),
    quick("TRUNCATE @.runs", AccessExclusive),
    quick("INSERT INTO @.runs (id, count) SELECT 1000, 1", RowExclusive),
    quick(
        "DO $$ BEGIN EXECUTE 'ALTER TABLE @.runs ALTER COLUMN note SET STORAGE EXTERNAL'; END $$",
        AccessExclusive,
    ),
];

fn project() -> Project {
    let mut migrations = Vec::new();
    for (number, form) in (1..).zip(FORMS) {
        let of_schema = |text: &str| text.replace('@', &format!("f{number}"));
        migrations.push(Migration::new(number * 2 - 1, "setup", of_schema(SETUP), None));
        let text = format!("{};\n{};\n", of_schema(form.before), of_schema(form.statement));
        migrations.push(Migration::new(number * 2, "form", text, None));
    }
    Project::from_set("forms", &MigrationSet::new(migrations).unwrap())
}

/// What the last statement did to the table of runs.
fn runs(passage: &Passage) -> Option<&Touched> {
    passage.statements.last()?.tables.iter().find(|touched| touched.table.ends_with(".runs"))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_form_is_seen_for_what_it_does() {
    let environment = Environment::shared(ServerChoice::Auto);
    let traffic =
        observe(&environment, &project(), &Settings { rows: 0, ..Settings::default() }, &[]).await.unwrap();
    let mut wrong = Vec::new();
    for (number, form) in FORMS.iter().enumerate() {
        let passage = &traffic.steps[number * 2 + 1];
        let expected = format!("rewritten {}, scanned {}, {:?}", form.rewritten, form.scanned, form.lock);
        let found = match (&passage.refused, runs(passage)) {
            (Some(refused), _) => format!("{:?}", refused.refusal),
            (None, None) => "nothing".to_owned(),
            (None, Some(runs)) => {
                assert!(!runs.is_scanned() || runs.rows_read >= ROWS, "{}: {runs:?}", form.statement);
                format!("rewritten {}, scanned {}, {:?}", runs.is_rewritten(), runs.is_scanned(), runs.held)
            }
        };
        if expected != found {
            wrong.push(format!("{}: expected {expected}, found {found}", form.statement));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    environment.shutdown().await.unwrap();
}

async fn passages(files: &[&str]) -> Vec<Passage> {
    let migrations =
        (1..).zip(files).map(|(version, text)| Migration::new(version, "file", *text, None)).collect();
    let project = Project::from_set("files", &MigrationSet::new(migrations).unwrap());
    let environment = Environment::shared(ServerChoice::Auto);
    let found =
        observe(&environment, &project, &Settings { rows: 0, ..Settings::default() }, &vec![None; files.len()])
            .await
            .unwrap();
    environment.shutdown().await.unwrap();
    found.steps
}

const TABLE: &str = "CREATE TABLE t (id int PRIMARY KEY, a int, at timestamp);
    INSERT INTO t SELECT g, g % 10, '2024-06-01' FROM generate_series(1, 500) g;";

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_run_in_a_transaction_is_seen_as_well() {
    let found = passages(&[
        TABLE,
        "-- no-transaction\nCREATE INDEX CONCURRENTLY t_a ON t (a);",
        "-- no-transaction\nVACUUM FULL t;",
        "-- no-transaction\nBEGIN;\nALTER TABLE t ADD CHECK (a >= 0);\nUPDATE t SET a = 1;\nCOMMIT;\nCREATE INDEX ON t (at);",
    ])
    .await;
    let concurrently = &found[1].statements[0];
    assert!(concurrently.alone);
    let added = Change::IndexAdded { name: "t_a".to_owned(), of_constraint: false };
    assert_eq!(concurrently.tables[0].changes, [added]);
    assert!(found[2].statements[0].tables[0].is_rewritten());
    let mixed: Vec<(usize, usize)> =
        found[3].statements.iter().map(|observed| (observed.statement, observed.transaction)).collect();
    let transaction = mixed[1].1;
    assert_eq!(mixed[2], (2, transaction), "{mixed:?}");
    assert!(mixed[4].1 > transaction, "{mixed:?}");
    assert_eq!(found[3].statements[2].tables[0].rows_changed, 500);
    assert_eq!(found[3].statements[4].tables[0].taken, Some(Share));
    assert!(found.iter().all(|passage| passage.refused.is_none()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_on_rows_is_told_from_what_always_fails() {
    let found = passages(&[
        TABLE,
        "ALTER TABLE t ADD COLUMN b int;\nALTER TABLE t ADD UNIQUE (a);\nALTER TABLE t ADD COLUMN c int;",
        "ALTER TABLE t ADD COLUMN d int REFERENCES nothing (id);",
        "ALTER TABLE t DROP COLUMN c;",
    ])
    .await;
    let refused = found[1].refused.as_ref().unwrap();
    assert_eq!((refused.refusal.statement, refused.refusal.sqlstate.as_str()), (1, "23505"));
    assert!(!refused.without_rows);
    assert!(found[2].refused.as_ref().unwrap().without_rows);
    assert!(found[3].refused.is_none(), "what failed on rows was applied without them");
}

#[tokio::test(flavor = "multi_thread")]
async fn others_are_measured_and_zones_compared() {
    let found =
        passages(&[TABLE, "ALTER TABLE t ALTER COLUMN at TYPE timestamptz, ALTER COLUMN a TYPE bigint;"]).await;
    let passage = &found[1];
    assert!(passage.stall("public.t").contains("a reader waited up to"));
    let zone = &passage.zones[0];
    assert_eq!((zone.column.as_str(), zone.rewritten), ("at", true));
    assert_eq!(zone.example, ("2024-06-01 00:00:00+00".to_owned(), "2024-05-31 18:15:00+00".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn old_queries_are_tried_on_the_new_schema() {
    let found = passages(&[
        TABLE,
        "CREATE VIEW v AS SELECT a FROM t;",
        "ALTER TABLE t RENAME COLUMN at TO since;",
        "ALTER TABLE t RENAME TO u; CREATE VIEW t AS SELECT * FROM u;",
        "ALTER TABLE u ALTER COLUMN a SET NOT NULL;",
        "ALTER TABLE u ADD COLUMN b int NOT NULL DEFAULT 0; ALTER TABLE u ALTER COLUMN b DROP DEFAULT;",
        "ALTER TABLE u DROP COLUMN a CASCADE;",
    ])
    .await;
    let states: Vec<Vec<&str>> = found
        .iter()
        .map(|passage| passage.broken.iter().map(|query| query.refusal.sqlstate.as_str()).collect())
        .collect();
    let none: Vec<&str> = Vec::new();
    assert_eq!(states[2], ["42703"]);
    assert_eq!(states[3], none, "a view has the old name");
    assert_eq!(states[4], ["23502"]);
    assert_eq!(states[5], ["23502"]);
    assert_eq!(states[6], ["42703", "42703"]);
    assert_eq!(found[6].lost_views, [(0, "public.t".to_owned()), (0, "public.v".to_owned())]);
}
