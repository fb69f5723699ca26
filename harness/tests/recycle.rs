//! A database that was used is like new for the next test, whatever the last one did to it.

#![expect(clippy::unwrap_used, reason = "what a test relies on may fail loudly")]

use std::time::{Duration, Instant};

use proofmark_harness::environment::Environment;
use proofmark_harness::schema;
use proofmark_harness::server::ServerChoice;
use proofmark_harness::{Migrations, TestDatabase};
use sqlx::{Connection as _, PgConnection, Row as _};

const HANG: Duration = Duration::from_secs(30);

fn set() -> Migrations {
    use proofmark_harness::migration_set::Migration;
    let tables = "
        CREATE TYPE stage AS ENUM ('staging', 'production');
        CREATE TABLE models (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL UNIQUE,
            stage stage NOT NULL DEFAULT 'staging');
        CREATE TABLE runs (id serial PRIMARY KEY, model bigint NOT NULL REFERENCES models, metric float8);
        CREATE INDEX ON runs (model);
        CREATE TABLE \"Odd 'name\" (id int);
        CREATE TABLE parts (day date NOT NULL, value int) PARTITION BY RANGE (day);
        CREATE TABLE parts_2024 PARTITION OF parts FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
        CREATE UNLOGGED TABLE scratch (id int);
        CREATE TABLE kinds (kind text PRIMARY KEY);
        INSERT INTO kinds VALUES ('champion'), ('challenger');
        CREATE MATERIALIZED VIEW names AS SELECT name FROM models;
        CREATE SEQUENCE tickets START 100 INCREMENT 5;
        CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN INSERT INTO scratch VALUES (1); RETURN NULL; END $$;
        CREATE TRIGGER audit AFTER DELETE ON models FOR EACH STATEMENT EXECUTE FUNCTION audit();
        CREATE RULE keep_them AS ON DELETE TO \"Odd 'name\" DO INSTEAD NOTHING;";
    Migrations::new(vec![Migration::new(1, "tables", tables, None)]).unwrap()
}

/// All that can be seen of a database: its schema, its rows, its sequences.
async fn state(connection: &mut PgConnection) -> String {
    let mut text = schema::render(connection).await.unwrap();
    let relations = "SELECT format('%I.%I', n.nspname, c.relname), c.relkind::text
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'm', 'S') AND n.nspname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1";
    let relations: Vec<(String, String)> = sqlx::query_as(relations).fetch_all(&mut *connection).await.unwrap();
    for (name, kind) in relations {
        let columns = if kind == "S" { "(last_value, is_called)" } else { "r" };
        let rows = format!("SELECT {columns}::text FROM {name} r ORDER BY 1");
        let rows = sqlx::query(sqlx::AssertSqlSafe(rows)).fetch_all(&mut *connection).await.unwrap();
        // When a migration was applied is not a matter of schema.
        let rows: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        text.push_str(&format!("{name}: {rows:?}\n"));
    }
    let rest = "SELECT concat_ws(' ', (SELECT count(*) FROM pg_largeobject_metadata),
        (SELECT count(*) FROM pg_db_role_setting s LEFT JOIN pg_database d ON d.oid = s.setdatabase
            WHERE s.setdatabase = 0 OR d.datname = current_database()),
        (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'),
        (SELECT string_agg(datacl::text, ',') FROM pg_database WHERE datname = current_database()),
        (SELECT datconnlimit FROM pg_database WHERE datname = current_database()))";
    let rest: String = sqlx::query_scalar(rest).fetch_one(&mut *connection).await.unwrap();
    text + &rest
}

struct Host {
    environment: Environment,
    set: Migrations,
    new: String,
}

impl Host {
    async fn start() -> Self {
        let (environment, set) = (Environment::new(ServerChoice::Local), set());
        let database = environment.fresh_database(&set).await.unwrap();
        let new = state(&mut database.connect().await.unwrap()).await;
        Self { environment, set, new }
    }

    async fn database(&self) -> TestDatabase {
        self.environment.database(&self.set).await.unwrap()
    }

    /// Whether a database is used again after these statements; it is as new in any case.
    async fn is_used_again(&self, statements: &str) -> bool {
        let database = self.database().await;
        let mut connection = database.connect().await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(statements)).execute(&mut connection).await.unwrap();
        let name = database.name().to_owned();
        // Left open: its end is not the test's business.
        std::mem::forget(connection);
        database.release().await;
        // One more than was used is ready.
        let next = [self.database().await, self.database().await];
        for next in &next {
            assert_eq!(state(&mut next.connect().await.unwrap()).await, self.new, "after {statements}");
        }
        next.iter().any(|next| next.name() == name)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_and_sequences_are_cleaned() {
    let host = Host::start().await;
    for statements in [
        "SELECT 1",
        "INSERT INTO models (name) VALUES ('a'), ('b'); INSERT INTO runs (model) SELECT id FROM models",
        "INSERT INTO \"Odd 'name\" VALUES (1); INSERT INTO parts VALUES ('2024-05-05', 1); INSERT INTO scratch VALUES (1)",
        "INSERT INTO models (name) SELECT g::text FROM generate_series(1, 5000) g; DELETE FROM models WHERE id > 3",
        "SELECT nextval('tickets'); SELECT setval('runs_id_seq', 1000)",
        "BEGIN; INSERT INTO models (name) VALUES ('a'); LOCK TABLE runs",
        "BEGIN; DROP TABLE runs; CREATE TABLE other (id int); ROLLBACK",
        "LISTEN something; SELECT pg_advisory_lock(1); SET search_path = nowhere; PREPARE p AS SELECT 1",
        "CREATE TEMPORARY TABLE t AS SELECT 1; DECLARE c CURSOR WITH HOLD FOR SELECT 1",
        "VACUUM ANALYZE",
    ] {
        assert!(host.is_used_again(statements).await, "{statements}");
    }
    host.environment.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_cleaned_is_replaced() {
    let host = Host::start().await;
    for statements in [
        "CREATE TABLE other (id int)",
        // Unseen by the counters of rows written.
        "SET track_counts = off; CREATE TABLE other (id int)",
        "SET track_counts = off; ALTER TABLE runs ADD COLUMN note text",
        "SELECT pg_stat_reset(); CREATE TYPE other AS ENUM ('a')",
        "DROP TABLE runs",
        "ALTER TABLE runs ADD COLUMN note text; ALTER TABLE runs DROP COLUMN note",
        "TRUNCATE runs",
        "DROP INDEX runs_model_idx",
        "ALTER TYPE stage ADD VALUE 'archived'",
        "CREATE OR REPLACE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$",
        "ALTER TABLE models DISABLE TRIGGER audit",
        "ALTER TABLE models ALTER COLUMN stage SET DEFAULT 'production'",
        "ALTER SEQUENCE tickets INCREMENT 7",
        "COMMENT ON TABLE runs IS 'mine'",
        "CREATE SCHEMA other",
        "CREATE PUBLICATION p FOR TABLE runs",
        "CREATE EXTENSION IF NOT EXISTS plpgsql; CREATE CAST (stage AS int) WITH INOUT",
        "GRANT SELECT ON runs TO PUBLIC",
        "REVOKE EXECUTE ON FUNCTION pg_catalog.now() FROM PUBLIC",
        "REVOKE SELECT ON pg_catalog.pg_stats FROM PUBLIC",
        "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC",
        "CREATE ROLE auditor; GRANT SELECT ON runs TO auditor",
        // Not there any more.
        "CREATE ROLE auditor; ALTER ROLE auditor SET work_mem = '1MB'",
        "ALTER ROLE postgres SET work_mem = '1MB'",
        "UPDATE kinds SET kind = kind",
        "DELETE FROM kinds WHERE kind = 'champion'",
        "INSERT INTO kinds VALUES ('other')",
        "DELETE FROM _sqlx_migrations",
        "INSERT INTO models (name) VALUES ('a'); REFRESH MATERIALIZED VIEW names",
        "SELECT lo_create(4242)",
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET work_mem = %L', current_database(), '1MB'); END $$",
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I CONNECTION LIMIT 3', current_database()); END $$",
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I IS_TEMPLATE true', current_database()); END $$",
        "DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO PUBLIC', current_database()); END $$",
    ] {
        assert!(!host.is_used_again(statements).await, "{statements}");
    }
    // Nothing that was replaced is left.
    let database = host.database().await;
    let names =
        "SELECT count(*) FROM pg_database WHERE datname LIKE 'proofmark%' AND datname NOT LIKE '%template%'";
    let started = Instant::now();
    while sqlx::query_scalar::<_, i64>(names).fetch_one(database.pool()).await.unwrap() > 3 {
        assert!(started.elapsed() < HANG);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(database);
    host.environment.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_was_dropped_renamed_or_closed_by_its_test_is_replaced() {
    let host = Host::start().await;
    for statement in [
        "DROP DATABASE {} WITH (FORCE)",
        "ALTER DATABASE {} RENAME TO mine",
        "ALTER DATABASE {} ALLOW_CONNECTIONS false",
    ] {
        let database = host.database().await;
        let name = database.name().to_owned();
        let mut other = url::Url::parse(database.url()).unwrap();
        other.set_path("postgres");
        let mut connection = PgConnection::connect(other.as_str()).await.unwrap();
        // The keeper of one that was used before is in the way, as any session would be.
        let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = $1";
        sqlx::query(end).bind(&name).execute(&mut connection).await.unwrap();
        let statement = statement.replace("{}", &name);
        let started = Instant::now();
        while let Err(error) =
            sqlx::raw_sql(sqlx::AssertSqlSafe(statement.as_str())).execute(&mut connection).await
        {
            assert!(started.elapsed() < HANG, "{error}");
        }
        database.release().await;
        let next = host.database().await;
        assert_ne!(next.name(), name);
        assert_eq!(state(&mut next.connect().await.unwrap()).await, host.new);
        let left = "SELECT count(*) FROM pg_database WHERE datname IN ('mine', $1)";
        let started = Instant::now();
        while sqlx::query_scalar::<_, i64>(left).bind(&name).fetch_one(&mut connection).await.unwrap() > 0 {
            assert!(started.elapsed() < HANG);
        }
    }
    host.environment.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_database_was_never_used_and_is_never_used_again() {
    let host = Host::start().await;
    let used = host.database().await;
    let name = used.name().to_owned();
    used.release().await;
    let mut names = vec![name];
    for _ in 0..3 {
        let fresh = host.environment.fresh_database(&host.set).await.unwrap();
        let sessions = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()";
        assert_eq!(sqlx::query_scalar::<_, i64>(sessions).fetch_one(fresh.pool()).await.unwrap(), 1);
        assert!(!names.contains(&fresh.name().to_owned()));
        names.push(fresh.name().to_owned());
        fresh.release().await;
    }
    let again = [host.database().await, host.database().await];
    assert!(
        again.iter().any(|again| again.name() == names[0])
            && names[1..].iter().all(|name| again[0].name() != name)
    );
    drop(again);
    host.environment.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_too_large_to_look_at_is_cloned() {
    use proofmark_harness::migration_set::Migration;
    let rows = "CREATE TABLE many (id int); INSERT INTO many SELECT generate_series(1, 30000)";
    let set = Migrations::new(vec![Migration::new(1, "many", rows, None)]).unwrap();
    let environment = Environment::new(ServerChoice::Local);
    let one = environment.database(&set).await.unwrap();
    let name = one.name().to_owned();
    sqlx::query("DELETE FROM many").execute(one.pool()).await.unwrap();
    one.release().await;
    let two = environment.database(&set).await.unwrap();
    assert_ne!(two.name(), name);
    assert_eq!(
        sqlx::query_scalar::<_, i64>("SELECT count(*) FROM many").fetch_one(two.pool()).await.unwrap(),
        30_000
    );
    environment.shutdown().await.unwrap();
}
