//! Scripts that would harm the server, the harness or others: refused or contained, reported, and without effect on
//! anything but their own database.

#![expect(clippy::panic, clippy::unwrap_used, reason = "what a test relies on may fail loudly")]

use std::time::Duration;

use proofmark_harness::environment::Environment;
use proofmark_harness::migrations::policy::Policy;
use proofmark_harness::migrations::replay::{Cause, Replay, StepFailure, verdict};
use proofmark_harness::migrations::sandbox::{Profile, Reach, Sandbox};
use proofmark_harness::migrations::source::{Layout, StepKind};
use proofmark_harness::migrations::sql::Input;
use proofmark_harness::migrations::{Evidence, Project, Script, Settings, Step, sql};
use proofmark_harness::runner::{Options, run_case};
use proofmark_harness::server::ServerChoice;
use proofmark_harness::suites::migrations::MigrationSuite;
use sqlx::{Connection as _, PgConnection};

fn script(file: &str, text: &str, in_transaction: bool) -> Script {
    let range = 0..text.len();
    Script {
        file: file.into(),
        text: text.into(),
        statements: sql::split(text, range.clone()),
        range,
        in_transaction,
    }
}

fn project(files: &[(&str, bool)]) -> Project {
    let steps = files.iter().enumerate().map(|(number, (text, in_transaction))| Step {
        version: None,
        name: number.to_string(),
        kind: StepKind::Versioned,
        up: script(&format!("{}.sql", number + 1), text, *in_transaction),
        down: None,
    });
    Project {
        name: "bad".to_owned(),
        layout: Layout::Plain,
        reason: "it is made here".to_owned(),
        steps: steps.collect(),
        problems: Vec::new(),
    }
}

async fn replay_with(environment: &Environment, settings: &Settings, files: &[(&str, bool)]) -> Replay {
    Replay::run(environment, &project(files), settings).await.unwrap()
}

/// Each file in a transaction.
async fn replay(environment: &Environment, files: &[&str]) -> Replay {
    let files: Vec<(&str, bool)> = files.iter().map(|text| (*text, true)).collect();
    replay_with(environment, &Settings::default(), &files).await
}

fn failure(replay: &Replay, step: usize) -> &StepFailure {
    let report = &replay.steps[step];
    report.failure.as_ref().unwrap_or_else(|| panic!("expected file {} to fail, found success", step + 1))
}

fn environment() -> Environment {
    Environment::shared(ServerChoice::Auto)
}

/// Nothing else is on it.
fn own_environment() -> Environment {
    Environment::new(ServerChoice::Local)
}

async fn strings(connection: &mut PgConnection, query: &'static str) -> Vec<String> {
    sqlx::query_scalar(query).fetch_all(connection).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_never_ends_is_ended_even_if_it_does_not_want_to() {
    let environment = environment();
    let settings = Settings { statement_time_max: Duration::from_millis(300), ..Settings::default() };
    let stubborn = "SET statement_timeout = 0;
        DO $$ BEGIN LOOP BEGIN PERFORM pg_sleep(3600); EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP; END $$";
    let files = [
        ("CREATE TABLE a (id int); SELECT pg_sleep(3600)", true),
        (stubborn, true),
        ("SET statement_timeout = 0; SELECT pg_sleep(3600)", false),
        ("CREATE TABLE b (id int)", true),
    ];
    let replay = replay_with(&environment, &settings, &files).await;
    for step in 0..3 {
        let failure = failure(&replay, step);
        assert_eq!(failure.refusal.sqlstate, "57014", "{failure:?}");
        assert_eq!(failure.cause, Cause::Own);
    }
    assert_eq!(failure(&replay, 1).refusal.statement, 1);
    assert_eq!(replay.applied_in_order, 1, "the next file is judged all the same");
    let mut admin = replay.sandbox.admin().await.unwrap();
    let left = "SELECT query FROM pg_stat_activity
        WHERE datname = current_database() AND query LIKE '%pg_sleep%' AND pid <> pg_backend_pid() AND state <> 'idle'";
    assert!(strings(&mut admin, left).await.is_empty());
    let tables = strings(&mut admin, "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'").await;
    assert_eq!(tables, ["b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_is_not_filled() {
    let environment = environment();
    let settings = Settings { database_bytes_max: 1024 * 1024, ..Settings::default() };
    let endless = "DO $$ BEGIN LOOP INSERT INTO t SELECT repeat('x', 1000) FROM generate_series(1, 10); \
                   PERFORM pg_sleep(0.001); END LOOP; END $$";
    let text = format!("CREATE TABLE t (c text); {endless}");
    let replay = replay_with(&environment, &settings, &[(&text, true)]).await;
    assert_eq!(failure(&replay, 0).refusal.sqlstate, "53100");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_reaches_outside_is_refused_by_the_server() {
    let environment = own_environment();
    let file = std::env::temp_dir().join(format!("proofmark_{}", uuid::Uuid::new_v4()));
    let path = file.display();
    let neighbour = environment.empty_database().await.unwrap();
    sqlx::raw_sql("CREATE TABLE precious (id int); INSERT INTO precious VALUES (1)")
        .execute(&mut neighbour.connect().await.unwrap())
        .await
        .unwrap();
    let before = {
        let mut connection = neighbour.connect().await.unwrap();
        strings(&mut connection, "SELECT name || setting FROM pg_settings WHERE name IN ('fsync', 'work_mem')")
            .await
    };
    let neighbour_name = neighbour.name();
    let statements = [
        (format!("COPY (SELECT 1) TO PROGRAM 'touch {path}'"), Some(Reach::Program)),
        (format!("DO $$ BEGIN COPY (SELECT 1) TO PROGRAM 'touch {path}'; END $$"), Some(Reach::Program)),
        (format!("COPY (SELECT 1) TO '{path}'"), Some(Reach::File)),
        (format!("SELECT lo_export(lo_from_bytea(0, 'x'), '{path}')"), Some(Reach::File)),
        ("SELECT pg_read_file('/etc/passwd')".to_owned(), Some(Reach::File)),
        ("CREATE TABLE t (l text); COPY t FROM '/etc/passwd'".to_owned(), Some(Reach::File)),
        ("SELECT pg_ls_dir('.')".to_owned(), Some(Reach::File)),
        ("ALTER SYSTEM SET work_mem = '1GB'".to_owned(), Some(Reach::Server)),
        ("SELECT pg_reload_conf()".to_owned(), Some(Reach::Server)),
        ("CREATE DATABASE proofmark_other".to_owned(), Some(Reach::Database)),
        (format!("DROP DATABASE {neighbour_name}"), Some(Reach::Database)),
        (format!("ALTER DATABASE {neighbour_name} RENAME TO gone"), Some(Reach::Database)),
        ("CREATE TABLESPACE t LOCATION '/tmp'".to_owned(), Some(Reach::Server)),
        ("CREATE SUBSCRIPTION s CONNECTION 'dbname=postgres' PUBLICATION p".to_owned(), Some(Reach::Server)),
        ("ALTER ROLE CURRENT_USER SUPERUSER".to_owned(), None),
        ("ALTER ROLE postgres RENAME TO other".to_owned(), None),
        ("SET SESSION AUTHORIZATION postgres".to_owned(), None),
        ("GRANT pg_execute_server_program TO CURRENT_USER".to_owned(), None),
        ("DO $$ BEGIN EXECUTE 'SET ROLE postgres'; END $$".to_owned(), None),
        ("CREATE EXTENSION dblink".to_owned(), None),
        ("CREATE EXTENSION file_fdw".to_owned(), None),
        ("UPDATE pg_catalog.pg_authid SET rolsuper = true".to_owned(), None),
    ];
    // Each in a transaction and without one.
    for in_transaction in [true, false] {
        let files: Vec<(&str, bool)> =
            statements.iter().map(|(text, _)| (text.as_str(), in_transaction)).collect();
        let replay = replay_with(&environment, &Settings::default(), &files).await;
        for (step, (text, reach)) in statements.iter().enumerate() {
            let failure = failure(&replay, step);
            if let Some(reach) = reach {
                assert_eq!(failure.reach, Some(*reach), "{text}: {failure:?}");
            }
            assert!(["42501", "25001"].contains(&failure.refusal.sqlstate.as_str()), "{text}: {failure:?}");
        }
        assert!(!file.exists(), "nothing is written");
    }
    let mut connection = neighbour.connect().await.unwrap();
    assert_eq!(strings(&mut connection, "SELECT id::text FROM precious").await, ["1"]);
    let query = "SELECT name || setting FROM pg_settings WHERE name IN ('fsync', 'work_mem')";
    assert_eq!(strings(&mut connection, query).await, before);
    let query =
        "SELECT datname::text FROM pg_database WHERE datname NOT LIKE 'proofmark_%_%' AND NOT datistemplate";
    assert_eq!(strings(&mut connection, query).await, ["postgres"]);
    let query = "SELECT rolname::text FROM pg_roles WHERE rolsuper AND rolname <> 'postgres'";
    assert!(strings(&mut connection, query).await.is_empty());
    drop(connection);
    environment.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_does_not_lock_the_next_one_out() {
    let environment = environment();
    let replay = replay(
        &environment,
        &[
            "SELECT pg_terminate_backend(pg_backend_pid())",
            "CREATE TABLE a (id int)",
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I CONNECTION LIMIT 0', current_database()); END $$",
            "ALTER ROLE CURRENT_USER PASSWORD 'mine'",
            "SELECT pg_terminate_backend(pg_backend_pid())",
            "CREATE TABLE b (id int)",
            "DO $$ BEGIN EXECUTE format('DROP DATABASE %I', current_database()); END $$",
            "CREATE TABLE c (id int)",
        ],
    )
    .await;
    let failed: Vec<usize> = replay.failures().map(|(step, _)| step).collect();
    assert_eq!(failed, [0, 4, 6]);
    assert_eq!(failure(&replay, 0).refusal.sqlstate, "57P01");
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_are_made_for_a_script_and_go_with_its_database() {
    let environment = own_environment();
    let files = [
        "CREATE ROLE \"The App\" LOGIN SUPERUSER PASSWORD 'x'",
        "DO $$ BEGIN
            IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'reader') THEN CREATE ROLE reader NOLOGIN; END IF;
         END $$;
         DO $$ BEGIN CREATE USER writer; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
         GRANT reader TO writer;
         CREATE TABLE t (id int);
         GRANT SELECT ON t TO reader, \"The App\";
         ALTER ROLE reader SET search_path = public;
         GRANT CREATE ON SCHEMA public TO writer;
         ALTER TABLE t OWNER TO writer;
         CREATE POLICY p ON t TO reader USING (true);
         ALTER DEFAULT PRIVILEGES FOR ROLE writer GRANT SELECT ON TABLES TO reader;",
        "CREATE ROLE reader",
        "CREATE ROLE postgres",
        "CREATE ROLE pg_mine",
        "ALTER ROLE nobody_at_all LOGIN",
        "DROP ROLE nobody_at_all",
        "DROP ROLE IF EXISTS nobody_at_all",
        "DROP ROLE postgres",
        "SET ROLE reader; SELECT * FROM t",
    ];
    let first = replay(&environment, &files).await;
    let states: Vec<&str> = (0..files.len())
        .map(|step| first.steps[step].failure.as_ref().map_or("", |failure| failure.refusal.sqlstate.as_str()))
        .collect();
    assert_eq!(states, ["", "", "42710", "42710", "42939", "42704", "42704", "", "42501", ""]);
    let names: Vec<&str> = first.steps[1].beyond.iter().map(|beyond| beyond.name.as_str()).collect();
    assert_eq!(names, ["reader", "writer", "reader"]);
    let mut admin = first.sandbox.admin().await.unwrap();
    let query = "SELECT rolname::text FROM pg_roles
        WHERE rolname !~ '^(pg_|postgres$)' AND (rolsuper OR rolcreaterole OR rolcreatedb)";
    assert!(strings(&mut admin, query).await.is_empty(), "no role has a right that a script gives it");
    // Another sandbox shares them, and the first may go before it.
    let second = replay(&environment, &files).await;
    assert_eq!(second.applied_in_order, first.applied_in_order);
    admin.close().await.unwrap();
    let neighbour = environment.empty_database().await.unwrap();
    let mut connection = neighbour.connect().await.unwrap();
    let roles = "SELECT rolname::text FROM pg_roles WHERE rolname !~ '^(pg_|postgres$|proofmark_)' ORDER BY 1";
    drop(first);
    wait_for_roles(&mut connection, "SELECT rolname::text FROM pg_roles WHERE rolname ~ '^proofmark_'", 2).await;
    assert_eq!(strings(&mut connection, roles).await, ["The App", "reader", "writer"]);
    drop(second);
    wait_for_roles(&mut connection, "SELECT rolname::text FROM pg_roles WHERE rolname ~ '^proofmark_'", 0).await;
    assert!(strings(&mut connection, roles).await.is_empty());
    drop(connection);
    environment.shutdown().await.unwrap();
}

/// The supervisor drops databases, and roles with them, in its own time.
async fn wait_for_roles(connection: &mut PgConnection, query: &'static str, at_most: usize) {
    for _ in 0..1_000 {
        if strings(connection, query).await.len() <= at_most {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("expected at most {at_most} roles, found {:?}", strings(connection, query).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_extension_that_needs_a_superuser_is_made_and_the_role_stays_what_it_is() {
    let environment = environment();
    let replay = replay(
        &environment,
        &[
            "CREATE SCHEMA extensions; CREATE EXTENSION IF NOT EXISTS pg_buffercache SCHEMA extensions;
             CREATE TABLE t (id int)",
            "CREATE EXTENSION pgcrypto",
            "CREATE EXTENSION proofmark_nowhere",
            "SELECT pg_read_file('/etc/passwd')",
        ],
    )
    .await;
    let failed: Vec<usize> = replay.failures().map(|(step, _)| step).collect();
    assert_eq!(failed, [2, 3]);
    assert_eq!(replay.steps[0].beyond[0].reach, Reach::Extension);
    assert!(replay.steps[1].beyond.is_empty(), "its owner may create it");
    let failure = failure(&replay, 2);
    let Cause::Missing { object } = &failure.cause else { panic!("{failure:?}") };
    assert_eq!(object.to_string(), "extension proofmark_nowhere");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_copy_are_sent_and_received() {
    let environment = environment();
    let sandbox = Sandbox::new(&environment).await.unwrap();
    let text = "CREATE TABLE t (id int, name text);\nCOPY t FROM stdin;\n1\ta\n2\tb\n\\.\nCOPY t TO STDOUT;\n\\echo done\n";
    let mut script = script("1.sql", text, true);
    let copy = text.find("COPY").unwrap();
    let rows = text.find("1\ta").unwrap()..text.find("\\.").unwrap();
    let at = |needle: &str| text.find(needle).unwrap();
    script.statements = vec![
        sql::Statement { range: 0..at(";\n"), input: Input::Sql },
        sql::Statement { range: copy..at(" stdin") + 6, input: Input::CopyFromStdin(rows) },
        sql::Statement { range: at("COPY t TO")..at("STDOUT") + 6, input: Input::Sql },
        sql::Statement { range: at("\\echo")..text.len() - 1, input: Input::PsqlCommand },
    ];
    let mut session = sandbox.session().await.unwrap();
    assert_eq!(session.run(&script).await.unwrap(), None);
    let found = strings(session.connection(), "SELECT id || name FROM t ORDER BY 1").await;
    assert_eq!(found, ["1a", "2b"]);
    // A row that does not fit is the script's fault, and the session goes on.
    let wrong = text.replace("2\tb", "x\tb");
    script.text = wrong.into();
    script.statements.remove(0);
    assert_eq!(session.run(&script).await.unwrap().unwrap().sqlstate, "22P02");
    assert_eq!(strings(session.connection(), "SELECT id || name FROM t ORDER BY 1").await, ["1a", "2b"]);
    // Rows that are missing are, too.
    script.statements = vec![sql::Statement { range: copy..at(" stdin") + 6, input: Input::Sql }];
    assert!(session.run(&script).await.unwrap().is_some());
    sandbox.release().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_replay_shows_every_first_error_and_its_cause() {
    let environment = environment();
    let files = [
        ("CREATE TABLE users (id int PRIMARY KEY)", true),
        ("CREATE TABLE orders (id int PRIMARY KEY, user_id int REFERENCES users (id), total nothing)", true),
        ("CREATE TABLE lines (order_id int REFERENCES orders (id))", true),
        ("CREATE VIEW totals AS SELECT * FROM late", true),
        ("ALTER TABLE users ADD COLUMN a int; COMMIT; ALTER TABLE users ADD COLUMN a int", true),
        ("CREATE TABLE one (id int); CREATE TABLE one (id int)", false),
        ("CREATE TABLE late (id int)", true),
        ("CREATE VIEW more AS SELECT * FROM totals", true),
        (
            "CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE child (id int REFERENCES parent (id) DEFERRABLE \
          INITIALLY DEFERRED); INSERT INTO child VALUES (1)",
            true,
        ),
        ("SELECT nowhere FROM users", true),
    ];
    let project = project(&files);
    let replay = Replay::run(&environment, &project, &Settings::default()).await.unwrap();
    let verdict = verdict(&project, &replay);
    let shown: Vec<String> = verdict
        .failures
        .iter()
        .map(|failure| {
            let place = &failure.place;
            format!(
                "{}:{}:{} {} {} {:?}",
                failure.file, place.line, place.column, failure.sqlstate, failure.statements_kept, failure.cause
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            "2.sql:1:83 42704 0 Missing { object: \"type nothing\" }",
            "3.sql:1:45 42P01 0 Consequence { of: \"2.sql\", object: \"relation orders\" }",
            "4.sql:1:37 42P01 0 WrongOrder { creator: \"7.sql\", object: \"relation late\" }",
            "5.sql:1:74 42701 2 Own",
            "6.sql:1:41 42P07 1 Own",
            "8.sql:1:35 42P01 0 Consequence { of: \"4.sql\", object: \"relation totals\" }",
            "9.sql:1:1 23503 0 Own",
            "10.sql:1:8 42703 0 Missing { object: \"column nowhere\" }",
        ]
    );
    assert_eq!((verdict.files, verdict.applied, verdict.best_applied), (10, 2, 4));
    assert_eq!(verdict.best_order[..4], ["1.sql", "7.sql", "4.sql", "8.sql"]);
    assert_eq!(verdict.best_order.len(), 10);
    let text = serde_json::to_string(&verdict).unwrap();
    assert_eq!(serde_json::from_str::<proofmark_harness::event::MigrationVerdict>(&text).unwrap(), verdict);
}

#[tokio::test(flavor = "multi_thread")]
async fn migrations_of_a_hosted_platform_apply_to_a_bare_server() {
    let environment = environment();
    let text = "
        CREATE TABLE public.profiles (
            id uuid PRIMARY KEY REFERENCES auth.users (id) ON DELETE CASCADE,
            token text DEFAULT encode(extensions.gen_random_bytes(8), 'hex'),
            other uuid DEFAULT uuid_generate_v4()
        );
        ALTER TABLE public.profiles OWNER TO postgres;
        ALTER TABLE public.profiles ENABLE ROW LEVEL SECURITY;
        CREATE POLICY \"own\" ON public.profiles FOR SELECT TO authenticated USING (auth.uid() = id);
        GRANT ALL ON public.profiles TO anon, authenticated, service_role, postgres;
        ALTER DEFAULT PRIVILEGES FOR ROLE postgres IN SCHEMA public GRANT ALL ON TABLES TO anon;
        ALTER PUBLICATION supabase_realtime ADD TABLE public.profiles;
        INSERT INTO storage.buckets (id, name, public) VALUES ('avatars', 'avatars', true);
        CREATE POLICY \"read\" ON storage.objects FOR SELECT
            USING (bucket_id = 'avatars' AND (storage.foldername(name))[1] = auth.uid()::text);
        CREATE FUNCTION public.handle_new_user() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
            $$ BEGIN INSERT INTO public.profiles (id) VALUES (new.id); RETURN new; END $$;
        CREATE TRIGGER on_auth_user_created AFTER INSERT ON auth.users
            FOR EACH ROW EXECUTE FUNCTION public.handle_new_user();
        INSERT INTO auth.users (id, email) VALUES (gen_random_uuid(), 'a@b.c');";
    let files = [(text, true)];
    let settings = Settings { profile: Profile::Supabase, ..Settings::default() };
    let hosted = replay_with(&environment, &settings, &files).await;
    assert!(hosted.failures().next().is_none(), "{:?}", hosted.steps);
    let again = replay_with(&environment, &settings, &files).await;
    assert_eq!(again.sandbox.schema().await.unwrap(), hosted.sandbox.schema().await.unwrap());
    let bare = replay_with(&environment, &Settings::default(), &files).await;
    let failure = failure(&bare, 0);
    let Cause::Missing { object } = &failure.cause else { panic!("{failure:?}") };
    assert_eq!(object.to_string(), "schema extensions");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_ours_runs_scripts_as_the_role_that_it_lets_in() {
    let host = own_environment();
    let database = host.empty_database().await.unwrap();
    let mut admin = database.connect().await.unwrap();
    sqlx::raw_sql("CREATE ROLE tester LOGIN CREATEDB PASSWORD 'secret'").execute(&mut admin).await.unwrap();
    let mut url = url::Url::parse(database.url()).unwrap();
    url.set_username("tester").unwrap();
    url.set_password(Some("secret")).unwrap();
    let guest = Environment::new(url.as_str().parse().unwrap());
    let files = ["CREATE TABLE t (id int)", "CREATE ROLE other", "CREATE EXTENSION pg_buffercache"];
    let files: Vec<(&str, bool)> = files.iter().map(|text| (*text, true)).collect();
    let project = project(&files);
    let replay = Replay::run(&guest, &project, &Settings::default()).await.unwrap();
    assert!(!replay.is_confined);
    assert_eq!(replay.failures().map(|(step, _)| step).collect::<Vec<_>>(), [1, 2]);
    assert!(verdict(&project, &replay).limitation.is_some_and(|text| text.contains("no superuser")));
    drop(replay);
    guest.shutdown().await.unwrap();
    let roles = "SELECT rolname::text FROM pg_roles WHERE rolname !~ '^(pg_|postgres$)'";
    assert_eq!(strings(&mut admin, roles).await, ["tester"]);
    let settings = "SELECT setting FROM pg_db_role_setting, unnest(setconfig) setting";
    assert!(strings(&mut admin, settings).await.is_empty());
    drop(admin);
    host.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_elsewhere_keeps_no_role_of_ours() {
    let host = own_environment();
    let database = host.empty_database().await.unwrap();
    let mut admin = database.connect().await.unwrap();
    let guest = Environment::new(database.url().parse().unwrap());
    let replay = replay(&guest, &["CREATE ROLE app; CREATE TABLE t (id int); GRANT SELECT ON t TO app"]).await;
    assert!(replay.is_confined && replay.failures().next().is_none());
    // The server is gone for the guest before its sandbox is.
    guest.shutdown().await.unwrap();
    drop(replay);
    let roles = "SELECT rolname::text FROM pg_roles WHERE rolname !~ '^(pg_|postgres$)'";
    assert!(strings(&mut admin, roles).await.is_empty());
    drop(admin);
    host.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verdict_is_told_once() {
    let environment = std::sync::Arc::new(environment());
    let files = [("CREATE TABLE t (id int PRIMARY KEY)", true), ("CREATE TABLE u (id nothing)", true)];
    let evidence = Evidence::new(project(&files), Policy::default(), Settings::default());
    let plan = MigrationSuite.plan_project(&std::sync::Arc::new(evidence), &[]);
    let options = Options { seed: 1, concurrency: 1, time_limit: Duration::from_secs(60), keep: false };
    let mut verdicts = Vec::new();
    for name in ["applies_to_an_empty_server", "order_applies"] {
        let case = plan.iter().find(|case| case.id.case == name).unwrap();
        let (record, told) = run_case(case, &environment, &options).await;
        assert!(record.findings.iter().all(|finding| finding.check == name));
        verdicts.push(told.verdict);
    }
    let [Some(verdict), None] = verdicts.as_slice() else { panic!("expected one verdict, found {verdicts:?}") };
    assert_eq!((verdict.files, verdict.applied, verdict.best_applied), (2, 1, 1));
    let skipped = |name: &str| plan.iter().find(|case| case.id.case == name).unwrap().skip.is_some();
    assert!(skipped("rerun_changes_nothing") && skipped("down_scripts_leave_nothing"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_says_beside_its_answers_is_kept() {
    let environment = environment();
    let endless = "DO $$ BEGIN FOR i IN 1..1000 LOOP RAISE NOTICE '%', repeat('é', 1000); END LOOP; END $$";
    let files = ["CREATE TABLE t (id int); CREATE TABLE IF NOT EXISTS t (id int); COMMIT; COMMIT", endless];
    let replay = replay(&environment, &files).await;
    let said: Vec<_> = replay.steps[0]
        .notices
        .iter()
        .map(|notice| (notice.statement, notice.is_warning, notice.message.as_str()))
        .collect();
    assert_eq!(
        said,
        [(1, false, "relation \"t\" already exists, skipping"), (3, true, "there is no transaction in progress"),]
    );
    assert_eq!(replay.steps[1].notices.len(), 100);
    assert!(replay.steps[1].notices.iter().all(|notice| notice.message.len() <= 500));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_lost_is_not_the_scripts_fault() {
    let host = own_environment();
    let database = host.empty_database().await.unwrap();
    let guest = Environment::new(database.url().parse().unwrap());
    let evidence =
        Evidence::new(project(&[("CREATE TABLE t (id int)", true)]), Policy::default(), Settings::default());
    let head = evidence.head(&guest).await.unwrap();
    assert!(head.sandbox.is_alive().await);
    let mut session = head.sandbox.session().await.unwrap();
    // As good as gone: it takes all sessions with it.
    let mut admin = database.connect().await.unwrap();
    let query = "SELECT count(pg_terminate_backend(pid))::text FROM pg_stat_activity
        WHERE datname LIKE 'proofmark_%' AND pid <> pg_backend_pid() AND datname <> current_database()";
    strings(&mut admin, query).await;
    let error = session.run(&script("2.sql", "SELECT 1", true)).await;
    assert!(error.is_err(), "{error:?}");
    assert!(!head.sandbox.is_alive().await);
    // What is lost is made again for the next who asks.
    drop((session, head));
    let head = evidence.head(&guest).await.unwrap();
    let mut session = head.sandbox.session().await.unwrap();
    assert_eq!(session.run(&script("2.sql", "INSERT INTO t VALUES (1)", true)).await.unwrap(), None);
    drop((session, head, evidence));
    guest.shutdown().await.unwrap();
    drop(admin);
    host.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_has_what_was_there_and_goes_by_itself() {
    let environment = own_environment();
    let sandbox = Sandbox::new(&environment).await.unwrap();
    let mut session = sandbox.session().await.unwrap();
    let text = "CREATE ROLE app; CREATE TABLE t (id int); INSERT INTO t VALUES (1)";
    assert_eq!(session.run(&script("1.sql", text, true)).await.unwrap(), None);
    session.close().await;
    let copy = sandbox.copy().await.unwrap();
    let mut session = copy.session().await.unwrap();
    let text = "CREATE TABLE u (id int); ALTER TABLE t ADD COLUMN a int; ALTER ROLE app LOGIN";
    assert_eq!(session.run(&script("2.sql", text, true)).await.unwrap(), None);
    assert_eq!(strings(session.connection(), "SELECT id::text FROM t").await, ["1"]);
    assert_ne!(copy.schema().await.unwrap(), sandbox.schema().await.unwrap());
    session.close().await;
    sandbox.drop_copy(copy).await.unwrap();
    let left = sandbox.copy().await;
    drop(sandbox);
    environment.shutdown().await.unwrap();
    drop(left);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_what_waits_for_them() {
    let environment = environment();
    // The first statement holds the role's own entry until the end of the transaction.
    let text = "ALTER ROLE CURRENT_USER PASSWORD 'mine'; CREATE EXTENSION pg_buffercache";
    let replay = replay(&environment, &[text, "CREATE TABLE t (id int)"]).await;
    assert_eq!(failure(&replay, 0).refusal.sqlstate, "42501");
    assert!(replay.applied(1));
}
