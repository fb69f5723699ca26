//! Generated rows: tables with one of everything are filled, and what cannot be is said with its reason.

#![expect(clippy::unwrap_used, reason = "what a test relies on may fail loudly")]

use std::collections::BTreeMap;
use std::time::Duration;

use proofmark_harness::environment::Environment;
use proofmark_harness::migrations::generate::{Fill, Filled, fill};
use proofmark_harness::migrations::sandbox::{Sandbox, Session};
use proofmark_harness::server::ServerChoice;
use sqlx::{AssertSqlSafe, raw_sql};

const TYPES: &str = "
CREATE TYPE mood AS ENUM ('sad', 'it''s ok', 'happy');
CREATE TYPE pair AS (a int, b text);
CREATE DOMAIN share AS numeric(4, 3) NOT NULL CHECK (VALUE BETWEEN 0 AND 1);
CREATE DOMAIN email AS text CHECK (VALUE ~ '^[a-z0-9.]+@[a-z0-9.]+$');
CREATE DOMAIN work_email AS email CHECK (VALUE LIKE '%@example.org');
CREATE TYPE floats AS RANGE (subtype = float8);
CREATE TABLE everything (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    small smallint NOT NULL, middle integer NOT NULL, large bigint NOT NULL, number serial,
    exact numeric NOT NULL, precise numeric(6, 5) NOT NULL, tens numeric(3, -2) NOT NULL,
    single real NOT NULL, double double precision NOT NULL, cash money NOT NULL,
    words text NOT NULL, short varchar(3) NOT NULL, fixed char(2) NOT NULL, letter \"char\" NOT NULL, named name NOT NULL,
    raw bytea NOT NULL, key uuid NOT NULL, yes boolean NOT NULL, document json NOT NULL, documents jsonb NOT NULL,
    day date NOT NULL, moment timestamp NOT NULL, instant timestamptz NOT NULL, clock time NOT NULL, zoned timetz NOT NULL,
    span interval NOT NULL, host inet NOT NULL, net cidr NOT NULL, mac macaddr NOT NULL, mac8 macaddr8 NOT NULL,
    bits bit(5) NOT NULL, more_bits varbit(7) NOT NULL, any_bits varbit NOT NULL,
    mood mood NOT NULL, pair pair NOT NULL, share share, email email NOT NULL, work_email work_email NOT NULL,
    list int[] NOT NULL, moods mood[] NOT NULL, shares share[] NOT NULL,
    ints int4range NOT NULL, instants tstzrange NOT NULL, floats floats NOT NULL, days datemultirange NOT NULL,
    search tsvector NOT NULL, point point NOT NULL, box box NOT NULL, path path NOT NULL, polygon polygon NOT NULL,
    circle circle NOT NULL, line line NOT NULL, segment lseg NOT NULL, lsn pg_lsn NOT NULL,
    doubled bigint GENERATED ALWAYS AS (large * 2) STORED CHECK (doubled > 10),
    \"Odd \"\"Name\" text NOT NULL,
    made_at timestamptz NOT NULL DEFAULT now()
);
";

const CONDITIONS: &str = "
CREATE TABLE conditions (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    status varchar(20) NOT NULL CHECK (status IN ('pending', 'failed', 'done')),
    score double precision NOT NULL CHECK (score > 5000 AND score < 5001),
    stars integer NOT NULL CHECK (stars BETWEEN 7 AND 9),
    digest text NOT NULL UNIQUE CHECK (length(digest) = 64),
    slug text NOT NULL UNIQUE CHECK (slug ~ '^[a-z][a-z0-9]{3,20}$'),
    uri text NOT NULL CHECK (uri LIKE 's3://%/%'),
    country char(2) NOT NULL CHECK (country = upper(country) AND country ~ '^[A-Z]{2}$'),
    tags text[] NOT NULL CHECK (cardinality(tags) > 2),
    settings jsonb NOT NULL CHECK (jsonb_typeof(settings) = 'object' AND settings ? 'region'),
    items jsonb NOT NULL CHECK (jsonb_array_length(items) >= 0),
    since date NOT NULL CHECK (since >= '2031-05-01' AND since < '2031-06-01'),
    pause interval NOT NULL CHECK (pause <= interval '5 minutes' AND pause > interval '0'),
    digits bytea NOT NULL CHECK (octet_length(digits) = 20),
    started_at timestamptz, ended_at timestamptz, updated_at timestamptz NOT NULL, made_at timestamptz NOT NULL,
    low integer NOT NULL, high integer NOT NULL,
    error text, result jsonb,
    CHECK (started_at <= ended_at), CHECK (updated_at >= made_at), CHECK (low < high),
    CHECK (CASE status WHEN 'failed' THEN error IS NOT NULL AND result IS NULL WHEN 'done' THEN result IS NOT NULL
        AND error IS NULL ELSE error IS NULL AND result IS NULL END)
);
CREATE TABLE bookings (room int NOT NULL, during tstzrange NOT NULL, EXCLUDE USING gist (during WITH &&));
CREATE TABLE single_row (id boolean PRIMARY KEY DEFAULT true CHECK (id), note text);
CREATE TABLE ruled (id int PRIMARY KEY, note text);
CREATE RULE keep AS ON UPDATE TO ruled DO INSTEAD NOTHING;
CREATE TABLE lower_unique (name text NOT NULL, at timestamptz NOT NULL);
CREATE UNIQUE INDEX ON lower_unique (lower(name));
";

const KEYS: &str = "
CREATE TABLE tenants (id serial PRIMARY KEY, name text NOT NULL UNIQUE);
CREATE TABLE projects (
    tenant_id int NOT NULL REFERENCES tenants, id int NOT NULL, owner_id bigint, PRIMARY KEY (tenant_id, id)
);
CREATE TABLE people (
    id bigint PRIMARY KEY, tenant_id int NOT NULL REFERENCES tenants, project_id int,
    manager_id bigint REFERENCES people,
    FOREIGN KEY (tenant_id, project_id) REFERENCES projects (tenant_id, id)
);
ALTER TABLE projects ADD FOREIGN KEY (owner_id) REFERENCES people;
CREATE TABLE profiles (person_id bigint PRIMARY KEY REFERENCES people ON DELETE CASCADE, bio text);
CREATE TABLE members (
    person_id bigint NOT NULL REFERENCES people, tenant_id int NOT NULL REFERENCES tenants,
    PRIMARY KEY (person_id, tenant_id)
);
CREATE TABLE tree (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, root_id bigint NOT NULL REFERENCES tree);
CREATE TABLE events (
    id bigint NOT NULL, at timestamptz NOT NULL, kind text NOT NULL, person_id bigint REFERENCES people,
    PRIMARY KEY (id, at, kind)
) PARTITION BY RANGE (at);
CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2019-01-01') TO ('2019-02-01');
CREATE TABLE events_2 PARTITION OF events FOR VALUES FROM ('2019-02-01') TO ('2019-03-01') PARTITION BY LIST (kind);
CREATE TABLE events_2_a PARTITION OF events_2 FOR VALUES IN ('a', 'b');
CREATE TABLE hashed (id bigint PRIMARY KEY, name text) PARTITION BY HASH (id);
CREATE TABLE hashed_0 PARTITION OF hashed FOR VALUES WITH (MODULUS 3, REMAINDER 0);
CREATE TABLE hashed_1 PARTITION OF hashed FOR VALUES WITH (MODULUS 3, REMAINDER 1);
CREATE TABLE hashed_2 PARTITION OF hashed FOR VALUES WITH (MODULUS 3, REMAINDER 2);
CREATE TABLE defaulted (id bigint, kind text) PARTITION BY LIST (kind);
CREATE TABLE defaulted_rest PARTITION OF defaulted DEFAULT;
";

const IMPOSSIBLE: &str = "
CREATE TABLE never (id int PRIMARY KEY CHECK (id > 5 AND id < 3));
CREATE TABLE child (id int PRIMARY KEY, never_id int NOT NULL REFERENCES never);
CREATE TABLE refusing (id int PRIMARY KEY);
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not today'; END $$;
CREATE TRIGGER refuse BEFORE INSERT ON refusing FOR EACH ROW EXECUTE FUNCTION refuse();
CREATE TABLE choosy (id int PRIMARY KEY);
CREATE FUNCTION choose() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN IF NEW.id % 7 <> 0 THEN RAISE EXCEPTION 'not this one'; END IF; RETURN NEW; END $$;
CREATE TRIGGER choose BEFORE INSERT ON choosy FOR EACH ROW EXECUTE FUNCTION choose();
CREATE TABLE partitioned (id int) PARTITION BY LIST (id);
CREATE TABLE sleepy (id int PRIMARY KEY);
CREATE FUNCTION sleep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(100); RETURN NEW; END $$;
CREATE TRIGGER sleep BEFORE INSERT ON sleepy FOR EACH ROW EXECUTE FUNCTION sleep();
CREATE TABLE _sqlx_migrations (version bigint);
";

/// A server of the test's own, and a database in which a script was executed.
struct Database {
    environment: Environment,
    sandbox: Sandbox,
    session: Session,
}

async fn with(script: &'static str) -> Database {
    let environment = Environment::shared(ServerChoice::Auto);
    let sandbox = Sandbox::new(&environment).await.unwrap();
    let mut session = sandbox.session().await.unwrap();
    raw_sql(script).execute(session.connection()).await.unwrap();
    Database { environment, sandbox, session }
}

fn rows(filled: &Filled, table: &str) -> u64 {
    filled.tables.iter().find(|found| found.table == table).map_or(0, |found| found.rows)
}

fn reason<'a>(filled: &'a Filled, table: &str) -> &'a str {
    filled.skipped.iter().find(|found| found.table == table).map_or("", |found| &found.reason)
}

impl Database {
    async fn fill(&mut self, rows_per_table: usize) -> Filled {
        let options = Fill { rows_per_table, seed: 7, time_max: Duration::from_secs(20), ..Fill::default() };
        fill(self.session.connection(), &options).await.unwrap()
    }

    async fn count(&mut self, query: &'static str) -> i64 {
        sqlx::query_scalar(query).fetch_one(self.session.connection()).await.unwrap()
    }

    async fn end(self) {
        drop((self.session, self.sandbox));
        self.environment.shutdown().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_has_values() {
    let mut database = with(TYPES).await;
    let filled = database.fill(50).await;
    assert_eq!(filled.skipped, []);
    assert_eq!(rows(&filled, "public.everything"), 50);
    let moods = "SELECT count(DISTINCT mood) FROM everything";
    assert_eq!(database.count(moods).await, 3);
    database.end().await;
}

/// Those that the server has: not every build brings them.
#[tokio::test(flavor = "multi_thread")]
async fn types_of_extensions_have_values() {
    let mut database = with("CREATE SCHEMA ext").await;
    let mut admin = database.sandbox.admin().await.unwrap();
    for (extension, declared) in [
        ("hstore", "ext.hstore"),
        ("citext", "ext.citext"),
        ("ltree", "ext.ltree"),
        ("cube", "ext.cube"),
        ("vector", "ext.vector(4)"),
    ] {
        let query = "SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = $1)";
        if sqlx::query_scalar(query).bind(extension).fetch_one(&mut admin).await.unwrap() {
            let create = format!("CREATE EXTENSION {extension} SCHEMA ext");
            raw_sql(AssertSqlSafe(create)).execute(&mut admin).await.unwrap();
            let table = format!("CREATE TABLE of_{extension} (id int PRIMARY KEY, value {declared} NOT NULL)");
            raw_sql(AssertSqlSafe(table)).execute(database.session.connection()).await.unwrap();
        }
    }
    let filled = database.fill(10).await;
    assert_eq!(filled.skipped, []);
    assert!(filled.tables.iter().all(|found| found.rows == 10), "{filled:?}");
    database.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_are_met() {
    let mut database = with(CONDITIONS).await;
    let filled = database.fill(60).await;
    assert_eq!(filled.skipped, []);
    assert_eq!(rows(&filled, "public.conditions"), 60);
    assert_eq!(rows(&filled, "public.bookings"), 60);
    assert_eq!(rows(&filled, "public.single_row"), 1);
    assert_eq!(rows(&filled, "public.lower_unique"), 60);
    assert_eq!(rows(&filled, "public.ruled"), 60);
    let kinds = "SELECT count(DISTINCT status) FROM conditions";
    assert_eq!(database.count(kinds).await, 3);
    database.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_refer_to_rows_and_rows_fall_into_partitions() {
    let mut database = with(KEYS).await;
    let filled = database.fill(40).await;
    assert_eq!(filled.skipped, []);
    for table in ["tenants", "projects", "people", "profiles", "members", "tree", "events", "hashed", "defaulted"]
    {
        assert_eq!(rows(&filled, &format!("public.{table}")), 40, "{table}");
    }
    assert!(database.count("SELECT count(*) FROM people WHERE manager_id IS NOT NULL").await > 5);
    assert!(database.count("SELECT count(*) FROM people WHERE project_id IS NOT NULL").await > 5);
    assert!(database.count("SELECT count(*) FROM projects WHERE owner_id IS NOT NULL").await > 5);
    assert_eq!(database.count("SELECT count(DISTINCT tableoid) FROM events").await, 2);
    assert_eq!(database.count("SELECT count(DISTINCT tableoid) FROM hashed").await, 3);
    // A second time there is nothing to do; with more rows asked for, only these are added.
    let by_name = |filled: Filled| {
        filled.tables.into_iter().map(|found| (found.table, found.rows)).collect::<BTreeMap<_, _>>()
    };
    assert_eq!(by_name(database.fill(40).await), by_name(filled));
    assert_eq!(database.count("SELECT count(*) FROM tenants").await, 40);
    let more = database.fill(55).await;
    assert_eq!(rows(&more, "public.events"), 55);
    assert_eq!(database.count("SELECT count(*) FROM tenants").await, 55);
    database.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_filled_is_said_with_its_reason() {
    let mut database = with(IMPOSSIBLE).await;
    let options = Fill { rows_per_table: 20, seed: 7, time_max: Duration::from_secs(3), ..Fill::default() };
    let filled = fill(database.session.connection(), &options).await.unwrap();
    let reason = |table: &str| reason(&filled, table);
    assert!(reason("public.never").contains("((id > 5) AND (id < 3))"), "{filled:?}");
    assert_eq!(reason("public.child"), "it must refer to public.never, which has no rows");
    assert!(reason("public.refusing").contains("not today"), "{filled:?}");
    assert_eq!(reason("public.partitioned"), "it has no partition that a row could be in");
    assert!(reason("public.sleepy").contains("timeout"), "{filled:?}");
    assert!(rows(&filled, "public.choosy") > 2, "{filled:?}");
    assert_eq!(database.count("SELECT count(*) FROM _sqlx_migrations").await, 0);
    database.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seed_gives_the_same_rows() {
    let digest = "SELECT md5(string_agg(p::text, ',' ORDER BY id)) FROM people p";
    let mut digests = Vec::new();
    for _ in 0..2 {
        let mut database = with(KEYS).await;
        database.fill(30).await;
        let found: String = sqlx::query_scalar(digest).fetch_one(database.session.connection()).await.unwrap();
        digests.push(found);
        database.end().await;
    }
    assert_eq!(digests[0], digests[1]);
}
