//! The rendering of schemas, on a database with one of everything.

use proofmark_harness::environment::Environment;
use proofmark_harness::migration_set::{Migration, MigrationSet};
use proofmark_harness::schema::{Fingerprint, render};
use proofmark_harness::server::ServerChoice;
use sqlx::raw_sql;

const EVERYTHING: &str = r#"
CREATE EXTENSION IF NOT EXISTS plpgsql;
CREATE SCHEMA "Odd Name";
COMMENT ON SCHEMA "Odd Name" IS 'it''s quoted';
CREATE TYPE mood AS ENUM ('sad', 'ok');
ALTER TYPE mood ADD VALUE 'happy' BEFORE 'ok';
CREATE DOMAIN share AS double precision NOT NULL DEFAULT 0 CONSTRAINT between_zero_and_one CHECK (VALUE BETWEEN 0 AND 1);
CREATE TYPE pair AS (a int, b text COLLATE "C");
CREATE TYPE floats AS RANGE (subtype = double precision);
CREATE SEQUENCE numbers AS int START 5 INCREMENT 2 CYCLE;
CREATE TABLE parents (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    mood mood DEFAULT 'sad',
    named varchar(20) UNIQUE,
    number int DEFAULT nextval('numbers'),
    doubled int GENERATED ALWAYS AS (number * 2) STORED,
    since timestamptz CHECK (since > '2000-01-01 00:00:00+02'),
    dropped int
);
ALTER TABLE parents DROP COLUMN dropped;
ALTER SEQUENCE numbers OWNED BY parents.number;
COMMENT ON COLUMN parents.named IS 'a comment';
CREATE UNIQUE INDEX parents_lower ON parents (lower(named)) WHERE mood = 'ok';
CREATE TABLE "Odd Name".children (
    parent bigint NOT NULL REFERENCES parents ON DELETE CASCADE,
    share share
) PARTITION BY RANGE (parent);
CREATE TABLE children_1 PARTITION OF "Odd Name".children FOR VALUES FROM (1) TO (10);
ALTER TABLE parents ENABLE ROW LEVEL SECURITY;
CREATE POLICY named_only ON parents FOR SELECT TO public USING (named IS NOT NULL);
GRANT SELECT ON parents TO public;
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.since := now();
    RETURN NEW;
END
$$;
CREATE TRIGGER touch BEFORE UPDATE ON parents FOR EACH ROW EXECUTE FUNCTION touch();
CREATE VIEW named_parents WITH (security_barrier = true) AS
    SELECT p.id, c.share FROM parents p JOIN "Odd Name".children c ON c.parent = p.id;
CREATE MATERIALIZED VIEW counts AS SELECT count(*) AS all_of_them FROM parents;
CREATE STATISTICS parents_stats ON mood, named FROM parents;
CREATE COLLATION odd (provider = libc, locale = 'C');
CREATE TABLE _sqlx_migrations (version bigint PRIMARY KEY);
"#;

#[tokio::test]
async fn one_of_everything() {
    let environment = Environment::new(ServerChoice::Local);
    let database = environment.empty_database().await.unwrap();
    let mut connection = database.connect().await.unwrap();
    let empty = render(&mut connection).await.unwrap();
    assert_eq!(empty, "schema public\n  comment: 'standard public schema'\n  grant USAGE to public\n");
    raw_sql(EVERYTHING).execute(&mut connection).await.unwrap();
    // What the session is set to makes no difference.
    raw_sql("SET timezone = 'Asia/Tokyo'; SET search_path = public; SET datestyle = 'German'")
        .execute(&mut connection)
        .await
        .unwrap();
    let text = render(&mut connection).await.unwrap();
    insta::with_settings!({ snapshot_path => "../../snapshots", prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("schema_of_one_of_everything", text);
    });
    environment.shutdown().await.unwrap();
}

#[tokio::test]
async fn the_order_of_creation_does_not_matter() {
    let environment = Environment::new(ServerChoice::Local);
    let tables = ["CREATE TABLE a (id int);", "CREATE TABLE b (id int);"];
    let mut texts = Vec::new();
    for script in [tables.concat(), tables.iter().rev().copied().collect()] {
        let set = MigrationSet::new(vec![Migration::new(1, "tables", script, None)]).unwrap();
        let database = environment.database(&set).await.unwrap();
        texts.push(render(&mut database.connect().await.unwrap()).await.unwrap());
    }
    assert_eq!(texts[0], texts[1]);
    environment.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_fingerprint_sees_what_was_done_and_undone_but_not_rows() {
    let environment = Environment::new(ServerChoice::Local);
    let database = environment.empty_database().await.unwrap();
    let mut connection = database.connect().await.unwrap();
    raw_sql("CREATE TABLE a (id int, b text)").execute(&mut connection).await.unwrap();
    let before = Fingerprint::take(&mut connection).await.unwrap();
    for rows in ["INSERT INTO a SELECT generate_series(1, 100)", "VACUUM ANALYZE a", "DELETE FROM a"] {
        raw_sql(rows).execute(&mut connection).await.unwrap();
    }
    assert_eq!(Fingerprint::take(&mut connection).await.unwrap(), before);
    raw_sql("ALTER TABLE a ADD c int; ALTER TABLE a DROP c").execute(&mut connection).await.unwrap();
    let after = Fingerprint::take(&mut connection).await.unwrap();
    let changed: Vec<_> = before.changes(&after).into_iter().map(|change| change.catalog).collect();
    assert!(changed.contains(&"pg_attribute".to_owned()), "{changed:?}");
    environment.shutdown().await.unwrap();
}
