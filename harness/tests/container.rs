//! A server in a container against a real engine: start, use, errors, and what is left when its owner is gone.
//!
//! Without an engine, or without the image that it would use, a test is listed as ignored and its name says why; in
//! CI (`CI` is set) it runs nonetheless, and fails.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "what a test relies on may fail loudly, and be told"
)]

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use libtest_mimic::{Arguments, Trial};
use proofmark_harness::environment::Environment;
use proofmark_harness::migration_set::{Migration, MigrationSet};
use proofmark_harness::server::{DEFAULT_IMAGE, IMAGE_VARIABLE, Server, ServerChoice, engine};
use sqlx::postgres::PgPoolOptions;
use sqlx::{Connection as _, Executor as _, PgConnection};
use testcontainers::bollard::query_parameters::{
    CreateImageOptionsBuilder, InspectContainerOptions, ListContainersOptionsBuilder, RemoveImageOptions,
};
use testcontainers::bollard::{Docker, body_full};
use testcontainers::core::client::docker_client_instance;
use tokio::runtime::Runtime;

/// Long enough for any machine; a test that waits this long has failed.
const HANG: Duration = Duration::from_secs(60);

/// A container that is still being made when its owner is killed appears within this time, or never.
const SETTLE: Duration = Duration::from_secs(2);

/// The first argument of a process that other tests kill, or set up badly.
const HOLDER: &str = "holder";

const TESTS: &[(&str, fn())] = &[
    ("databases_are_isolated_and_nothing_is_left", databases_are_isolated_and_nothing_is_left),
    ("a_dropped_server_leaves_nothing", a_dropped_server_leaves_nothing),
    ("a_start_that_is_cancelled_leaves_nothing", a_start_that_is_cancelled_leaves_nothing),
    ("a_killed_owner_leaves_nothing", a_killed_owner_leaves_nothing),
    (
        "an_owner_that_is_killed_while_it_starts_leaves_nothing",
        an_owner_that_is_killed_while_it_starts_leaves_nothing,
    ),
    ("what_a_killed_guardian_leaves_goes_at_the_next_start", what_a_killed_guardian_leaves_goes_at_the_next_start),
    ("a_parallel_query_has_room", a_parallel_query_has_room),
    ("an_image_that_nobody_has_is_an_error", an_image_that_nobody_has_is_an_error),
    ("an_image_that_is_no_postgres_is_an_error", an_image_that_is_no_postgres_is_an_error),
];

/// Tests that need no engine.
const TESTS_WITHOUT: &[(&str, fn())] = &[
    ("a_missing_engine_is_an_error", a_missing_engine_is_an_error),
    ("an_image_that_is_no_name_is_an_error", an_image_that_is_no_name_is_an_error),
];

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(HOLDER) {
        return run(hold());
    }
    let obstacle = if std::env::var_os("CI").is_some() { None } else { run(obstacle()) };
    let with = TESTS.iter().map(|(name, test)| {
        let trial = Trial::test(*name, move || {
            test();
            Ok(())
        });
        let kind = obstacle.map(|obstacle| format!("not run: {obstacle}")).unwrap_or_default();
        trial.with_kind(kind).with_ignored_flag(obstacle.is_some())
    });
    let without = TESTS_WITHOUT.iter().map(|(name, test)| {
        Trial::test(*name, move || {
            test();
            Ok(())
        })
    });
    // One at a time: each looks at all containers.
    let arguments = Arguments { test_threads: Some(1), ..Arguments::from_args() };
    libtest_mimic::run(&arguments, with.chain(without).collect()).exit_code()
}

/// Why the tests cannot run here: found out at once where there is no socket, and in milliseconds where there is one.
async fn obstacle() -> Option<&'static str> {
    if engine().await.is_err() {
        return Some("no container engine");
    }
    let named = std::env::var_os(IMAGE_VARIABLE).is_some_and(|image| !image.is_empty());
    if !named && docker().await.inspect_image(DEFAULT_IMAGE).await.is_err() {
        return Some("no image");
    }
    None
}

fn run<T>(future: impl Future<Output = T>) -> T {
    Runtime::new().unwrap().block_on(future)
}

fn container() -> ServerChoice {
    "container".parse().unwrap()
}

async fn docker() -> Docker {
    docker_client_instance().await.unwrap()
}

fn set() -> MigrationSet {
    MigrationSet::new(vec![
        Migration::new(1, "things", "CREATE TABLE things (id int PRIMARY KEY);", Some("DROP TABLE things;")),
        Migration::new(2, "rows", "INSERT INTO things VALUES (1), (2);", Some("DELETE FROM things;")),
    ])
    .unwrap()
}

/// The containers that were there before a test: what others have is none of its business.
struct Before(Vec<String>);

impl Before {
    fn now() -> Self {
        Self(run(containers()))
    }

    async fn since(&self) -> Vec<String> {
        let mut containers = containers().await;
        containers.retain(|id| !self.0.contains(id));
        containers
    }

    async fn wait_until_gone(&self) {
        let started = Instant::now();
        while !self.since().await.is_empty() {
            assert!(started.elapsed() < HANG, "left: {:?}", self.since().await);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn containers() -> Vec<String> {
    let filters = HashMap::from([("label", vec!["proofmark.run".to_owned()])]);
    let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
    let containers = docker().await.list_containers(Some(options)).await.unwrap().into_iter();
    containers.map(|container| container.id.unwrap()).collect()
}

fn databases_are_isolated_and_nothing_is_left() {
    let before = Before::now();
    run(async {
        let environment = Environment::new(container());
        let record = environment.start().await.unwrap().clone();
        assert_eq!(record.kind, "container");
        assert!(
            matches!(&before.since().await[..], [id] if record.origin.contains(&id[..12])),
            "{}",
            record.origin
        );
        if std::env::var_os("DOCKER_HOST").is_none() {
            let short_id = record.origin.split("container ").nth(1).unwrap().get(..12).unwrap();
            let container =
                docker().await.inspect_container(short_id, None::<InspectContainerOptions>).await.unwrap();
            let bindings = container.host_config.unwrap().port_bindings.unwrap()["5432/tcp"].clone().unwrap();
            // For this machine alone.
            assert!(
                bindings[0].host_ip.as_ref().is_some_and(|ip| !ip.is_empty() && ip != "0.0.0.0"),
                "{bindings:?}"
            );
        }

        let set = set();
        let (one, two) = tokio::join!(environment.database(&set), environment.database(&set));
        let (one, two) = (one.unwrap(), two.unwrap());
        sqlx::query("DELETE FROM things").execute(one.pool()).await.unwrap();
        let count = "SELECT count(*) FROM things";
        assert_eq!(sqlx::query_scalar::<_, i64>(count).fetch_one(one.pool()).await.unwrap(), 0);

        // The URL is for any client, and needs its password.
        let client = PgPoolOptions::new().connect(two.url()).await.unwrap();
        assert_eq!(sqlx::query_scalar::<_, i64>(count).fetch_one(&client).await.unwrap(), 2);
        let mut wrong = url::Url::parse(two.url()).unwrap();
        wrong.set_password(Some("wrong")).unwrap();
        let refused = PgPoolOptions::new().connect(wrong.as_str()).await.unwrap_err();
        assert_eq!(refused.as_database_error().unwrap().code().as_deref(), Some("28P01"));

        // As for a local server.
        for (setting, value) in [("fsync", "off"), ("server_encoding", "UTF8"), ("wal_segment_size", "1MB")] {
            let query = sqlx::query_scalar::<_, String>("SELECT current_setting($1)").bind(setting);
            assert_eq!(query.fetch_one(&client).await.unwrap(), value, "{setting}");
        }
        assert!(environment.health().await.is_some());
        environment.shutdown().await.unwrap();
        assert_eq!(before.since().await, Vec::<String>::new());
    });
}

fn a_dropped_server_leaves_nothing() {
    let before = Before::now();
    let environment = Environment::new(container());
    run(async { environment.start().await.map(drop) }).unwrap();
    // Outside of any runtime.
    drop(environment);
    run(before.wait_until_gone());
}

fn a_start_that_is_cancelled_leaves_nothing() {
    let before = Before::now();
    run(async {
        for delay_ms in [1, 30, 100, 300, 600] {
            let choice = container();
            let start = Server::start(&choice);
            let _ = tokio::time::timeout(Duration::from_millis(delay_ms), start).await;
        }
        tokio::time::sleep(SETTLE).await;
        before.wait_until_gone().await;
    });
}

fn a_killed_owner_leaves_nothing() {
    let before = Before::now();
    for victim in ["holder", "supervisor"] {
        let mut holder = Holder::start(&[]);
        holder.says("origin: ");
        assert_eq!(run(before.since()).len(), 1);
        if victim == "supervisor" {
            kill(&children(&holder.0.id().to_string(), "supervisor"));
        }
        drop(holder);
        run(before.wait_until_gone());
    }
}

fn an_owner_that_is_killed_while_it_starts_leaves_nothing() {
    let before = Before::now();
    for delay_ms in [20, 60, 120, 250, 500, 1000] {
        let holder = Holder::start(&[]);
        std::thread::sleep(Duration::from_millis(delay_ms));
        drop(holder);
    }
    std::thread::sleep(SETTLE);
    run(before.wait_until_gone());
}

fn what_a_killed_guardian_leaves_goes_at_the_next_start() {
    let before = Before::now();
    let mut holder = Holder::start(&[]);
    holder.says("origin: ");
    let supervisor = children(&holder.0.id().to_string(), "supervisor");
    kill(&children(&supervisor, "guardian"));
    kill(&supervisor);
    drop(holder);
    std::thread::sleep(SETTLE);
    assert_eq!(run(before.since()).len(), 1);
    run(async {
        let environment = Environment::new(container());
        let origin = environment.start().await.unwrap().origin.clone();
        assert!(matches!(&before.since().await[..], [id] if origin.contains(&id[..12])), "{origin}");
        environment.shutdown().await.unwrap();
    });
}

/// The one child of a process that has a role.
fn children(parent: &str, role: &str) -> String {
    let role = format!("proofmark-role {role}");
    let found = Command::new("pgrep").args(["-P", parent, "-f", &role]).output().unwrap();
    let found = String::from_utf8(found.stdout).unwrap();
    assert_eq!(found.lines().count(), 1, "{role}: {found}");
    found.trim().to_owned()
}

fn kill(process: &str) {
    assert!(Command::new("kill").args(["-KILL", process]).status().unwrap().success());
}

fn a_parallel_query_has_room() {
    run(async {
        let environment = Environment::new(container());
        let database = environment.empty_database().await.unwrap();
        let mut connection = PgConnection::connect(database.url()).await.unwrap();
        for statement in [
            "CREATE TABLE wide AS SELECT id, repeat(md5(id::text), 4) AS text FROM generate_series(1, 700000) AS id",
            "ANALYZE wide",
            "SET work_mem = '512MB'",
            "SET max_parallel_workers_per_gather = 2",
            "SET min_parallel_table_scan_size = 0",
            "SET parallel_setup_cost = 0",
            "SET parallel_tuple_cost = 0",
            "SET enable_mergejoin = off",
        ] {
            connection.execute(statement).await.unwrap();
        }
        let query = "SELECT count(*), sum(length(two.text)) FROM wide AS one JOIN wide AS two USING (id)";
        let explain = sqlx::AssertSqlSafe(format!("EXPLAIN {query}"));
        let plan: Vec<String> = sqlx::query_scalar(explain).fetch_all(&mut connection).await.unwrap();
        assert!(plan.join("\n").contains("Parallel Hash"), "{plan:#?}");
        // The table that the workers share takes more than the 64 MB of memory that engines let containers share.
        let (rows, bytes): (i64, i64) = sqlx::query_as(query).fetch_one(&mut connection).await.unwrap();
        assert_eq!((rows, bytes), (700_000, 700_000 * 128));
        environment.shutdown().await.unwrap();
    });
}

fn an_image_that_nobody_has_is_an_error() {
    let mut holder = Holder::start(&[(IMAGE_VARIABLE, "proofmark.invalid/nobody/has:this")]);
    let error = holder.says("error: ");
    for part in ["the image proofmark.invalid/nobody/has:this", "--image", ".ci/postgres-image"] {
        assert!(error.contains(part), "{part}: {error}");
    }
}

fn an_image_that_is_no_postgres_is_an_error() {
    let before = Before::now();
    let image = format!("proofmark-test-{}:empty", std::process::id());
    run(async {
        let (name, tag) = image.split_once(':').unwrap();
        let options = CreateImageOptionsBuilder::new().from_src("-").repo(name).tag(tag).build();
        let archive = body_full(vec![0; 1024].into());
        let docker = docker().await;
        let mut importing = std::pin::pin!(docker.create_image(Some(options), Some(archive), None));
        while let Some(message) = importing.next().await {
            message.unwrap();
        }
    });
    let mut holder = Holder::start(&[(IMAGE_VARIABLE, &image)]);
    let error = holder.says("error: ");
    run(async { docker().await.remove_image(&image, None::<RemoveImageOptions>, None).await }).unwrap();
    assert!(error.contains(&format!("{image} cannot run `postgres`")), "{error}");
    assert_eq!(run(before.since()), Vec::<String>::new());
}

fn a_missing_engine_is_an_error() {
    let nowhere = "unix:///nowhere/docker.sock";
    let error = Holder::start(&[("DOCKER_HOST", nowhere)]).says("error: ");
    assert!(error.contains(&format!("expected a container engine at {nowhere}, found none")), "{error}");
    assert!(error.contains("set DOCKER_HOST"), "{error}");

    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("tcp://{}", silent.local_addr().unwrap());
    let error = Holder::start(&[("DOCKER_HOST", &address)]).says("error: ");
    assert!(error.contains(&format!("{address} within 1s, found none")), "{error}");
}

fn an_image_that_is_no_name_is_an_error() {
    let error = Holder::start(&[(IMAGE_VARIABLE, "no name")]).says("error: ");
    assert!(error.contains("in PROOFMARK_POSTGRES_IMAGE: expected the name"), "{error}");
}

/// Starts a server, says so, and keeps it until told to end, or killed.
async fn hold() -> ExitCode {
    let environment = Environment::new(container());
    match environment.start().await {
        Ok(record) => println!("origin: {}", record.origin),
        Err(error) => {
            println!("error: {error}");
            return ExitCode::FAILURE;
        }
    }
    tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new())).await.unwrap().unwrap();
    environment.shutdown().await.unwrap();
    ExitCode::SUCCESS
}

/// A process with a server, killed when dropped.
struct Holder(Child);

impl Holder {
    fn start(variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg(HOLDER).envs(variables.iter().copied()).stdin(Stdio::piped()).stdout(Stdio::piped());
        Self(command.spawn().unwrap())
    }

    /// What it says after the label.
    fn says(&mut self, label: &str) -> String {
        let mut line = String::new();
        BufReader::new(self.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with(label), "expected {label:?}, found {line:?}");
        line[label.len()..].to_owned()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
