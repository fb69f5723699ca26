//! The server layer against real Postgres: start, isolation, and what is left when it is gone.

#![expect(clippy::unwrap_used, reason = "what a test relies on may fail loudly")]

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use proofmark_harness::environment::{Environment, EnvironmentError};
use proofmark_harness::migration_set::{Migration, MigrationSet};
use proofmark_harness::server::{Server, ServerChoice};
use sqlx::postgres::PgPoolOptions;

/// Long enough for any machine; a test that waits this long has failed.
const HANG: Duration = Duration::from_secs(30);

fn set() -> MigrationSet {
    MigrationSet::new(vec![
        Migration::new(1, "things", "CREATE TABLE things (id int PRIMARY KEY);", Some("DROP TABLE things;")),
        Migration::new(2, "rows", "INSERT INTO things VALUES (1), (2);", Some("DELETE FROM things;")),
    ])
    .unwrap()
}

/// The directory that the record of a local server names.
fn run_directory(origin: &str) -> PathBuf {
    let path = origin.split("files in ").nth(1).unwrap().split(';').next().unwrap();
    assert!(path.contains("proofmark-"), "{origin}");
    PathBuf::from(path)
}

/// The processes whose arguments name the directory.
fn processes_of(directory: &Path) -> Vec<String> {
    let needle = directory.to_str().unwrap();
    let output = Command::new("ps").args(["-eo", "pid=,args="]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().filter(|line| line.contains(needle)).map(str::to_owned).collect()
}

fn wait_until_gone(directory: &Path) {
    let started = Instant::now();
    while directory.exists() || !processes_of(directory).is_empty() {
        assert!(started.elapsed() < HANG, "left: {:?}, {:?}", directory, processes_of(directory));
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn databases_are_isolated_and_nothing_is_left() {
    let environment = Environment::new(ServerChoice::Local);
    let record = environment.start().await.unwrap().clone();
    assert_eq!(record.kind, "local");
    let directory = run_directory(&record.origin);
    assert!(directory.exists());

    let set = set();
    let (one, two) = tokio::join!(environment.database(&set), environment.database(&set));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_ne!(one.name(), two.name());
    sqlx::query("DELETE FROM things").execute(one.pool()).await.unwrap();
    let count = "SELECT count(*) FROM things";
    assert_eq!(sqlx::query_scalar::<_, i64>(count).fetch_one(one.pool()).await.unwrap(), 0);
    assert_eq!(sqlx::query_scalar::<_, i64>(count).fetch_one(two.pool()).await.unwrap(), 2);

    // The URL is for clients that know nothing of our directory, and needs its password.
    let client = PgPoolOptions::new().connect(two.url()).await.unwrap();
    assert_eq!(sqlx::query_scalar::<_, i64>(count).fetch_one(&client).await.unwrap(), 2);
    let mut wrong = url::Url::parse(two.url()).unwrap();
    wrong.set_password(Some("wrong")).unwrap();
    let refused = PgPoolOptions::new().connect(wrong.as_str()).await.unwrap_err();
    assert_eq!(refused.as_database_error().unwrap().code().as_deref(), Some("28P01"));

    // Released although a client is still there.
    let name = two.name().to_owned();
    two.release().await;
    let sessions =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND application_name <> 'proofmark keeper'";
    let started = Instant::now();
    while sqlx::query_scalar::<_, i64>(sessions).bind(&name).fetch_one(one.pool()).await.unwrap() > 0 {
        assert!(started.elapsed() < HANG);
    }
    assert!(environment.health().await.is_some());

    environment.shutdown().await.unwrap();
    assert!(!directory.exists());
    assert_eq!(processes_of(&directory), Vec::<String>::new());
    assert!(matches!(environment.start().await, Err(EnvironmentError::Closed)));
    assert!(matches!(environment.database(&set).await, Err(EnvironmentError::Closed)));
    one.release().await;
    environment.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_environment_that_was_never_needed_starts_nothing() {
    let environment = Environment::new(ServerChoice::Local);
    assert!(environment.health().await.is_none());
    environment.shutdown().await.unwrap();
    assert!(matches!(environment.start().await, Err(EnvironmentError::Closed)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_server_leaves_nothing() {
    let environment = Environment::new(ServerChoice::Local);
    let directory = run_directory(&environment.start().await.unwrap().origin);
    drop(environment);
    assert!(!directory.exists());
    assert_eq!(processes_of(&directory), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_is_cancelled_leaves_nothing() {
    let before = run_directories();
    for delay_ms in [1, 20, 60, 120] {
        let start = Server::start(&ServerChoice::Local);
        let _ = tokio::time::timeout(Duration::from_millis(delay_ms), start).await;
    }
    tokio::task::spawn_blocking(move || wait_until_all_are_gone(&before)).await.unwrap();
}

/// Other tests may run beside this one and have directories of their own: all that were made since go away in time.
fn wait_until_all_are_gone(before: &[PathBuf]) {
    let started = Instant::now();
    let mut left = run_directories();
    left.retain(|directory| !before.contains(directory));
    while !left.is_empty() {
        assert!(started.elapsed() < HANG, "left: {left:?}");
        std::thread::sleep(Duration::from_millis(20));
        let now = run_directories();
        left.retain(|directory| now.contains(directory) || !processes_of(directory).is_empty());
    }
}

fn run_directories() -> Vec<PathBuf> {
    let parents = ["/dev/shm".into(), std::env::temp_dir()];
    let entries = parents.iter().filter_map(|parent| std::fs::read_dir(parent).ok()).flatten();
    let paths = entries.filter_map(|entry| entry.ok()).map(|entry| entry.path());
    // Those of servers that are shared last as long as the run that this test belongs to.
    let is_ours = |name: &str| name.starts_with("proofmark-") && !name.starts_with("proofmark-shared-");
    paths.filter(|path| is_ours(&path.file_name().unwrap().to_string_lossy())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn many_cases_at_once_get_their_databases() {
    let environment = Arc::new(Environment::new(ServerChoice::Local));
    let set = Arc::new(set());
    let mut cases = tokio::task::JoinSet::new();
    for _ in 0..24 {
        let (environment, set) = (Arc::clone(&environment), Arc::clone(&set));
        cases.spawn(async move {
            let database = environment.database(&set).await.unwrap();
            let query = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM things");
            assert_eq!(query.fetch_one(database.pool()).await.unwrap(), 2);
            database.release().await;
        });
    }
    while let Some(case) = cases.join_next().await {
        case.unwrap();
    }
    environment.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_fails_is_named_with_its_place() {
    let environment = Environment::new(ServerChoice::Local);
    let broken = set().edited(2, |migration| migration.up = "SELECT 1;\nINSERT INTO thing VALUES (1);\n".into());
    for _ in 0..2 {
        let error = environment.database(&broken).await.unwrap_err().to_string();
        assert_eq!(
            error,
            "no database with these migrations can be made: version 2, 0002_rows.up.sql, line 2, column 13 \
             (`INSERT INTO thing VALUES (1);`): relation \"thing\" does not exist (SQLSTATE 42P01)"
        );
    }
    // The server is none the worse for it.
    environment.database(&set()).await.unwrap();
    environment.shutdown().await.unwrap();
}

/// Not a test: a process with a server, for other tests to kill or to set up badly.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by other tests"]
async fn holder() {
    let environment = Environment::new(ServerChoice::Auto);
    match environment.start().await {
        Ok(record) => println!("origin: {}", record.origin),
        Err(error) => return println!("error: {error}"),
    }
    // Until told to end, or killed.
    tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new())).await.unwrap().unwrap();
    environment.shutdown().await.unwrap();
}

struct Holder(Child);

impl Holder {
    fn start(variables: &[(&str, &Path)]) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["holder", "--exact", "--ignored", "--nocapture"]).env("PROOFMARK_SERVER", "local");
        command.envs(variables.iter().copied()).stdin(Stdio::piped()).stdout(Stdio::piped());
        Self(command.spawn().unwrap())
    }

    /// What it says after the label, and all up to its end when it says that.
    fn says(&mut self, label: &str) -> String {
        let output = BufReader::new(self.0.stdout.take().unwrap());
        let mut text = String::new();
        for line in output.lines() {
            let line = line.unwrap();
            text.push_str(&line);
            text.push('\n');
            if label == "origin: " && line.contains(label) {
                break;
            }
        }
        assert!(text.contains(label), "expected {label:?}, found {text}");
        text.split_once(label).unwrap().1.to_owned()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_killed_process_leaves_nothing() {
    let mut holder = Holder::start(&[]);
    let directory = run_directory(&holder.says("origin: "));
    assert!(directory.exists() && !processes_of(&directory).is_empty());
    drop(holder);
    wait_until_gone(&directory);
}

#[test]
fn a_process_that_is_killed_while_it_starts_leaves_nothing() {
    let before = run_directories();
    let cache = tempfile::tempdir().unwrap();
    for delay_ms in [10, 100, 300, 500] {
        let holder = Holder::start(&[("PROOFMARK_CACHE_DIR", cache.path())]);
        std::thread::sleep(Duration::from_millis(delay_ms));
        drop(holder);
    }
    wait_until_all_are_gone(&before);
}

#[test]
fn processes_that_race_for_an_empty_cache_all_get_a_server() {
    let cache = tempfile::tempdir().unwrap();
    let mut holders: Vec<Holder> =
        (0..3).map(|_| Holder::start(&[("PROOFMARK_CACHE_DIR", cache.path())])).collect();
    for holder in &mut holders {
        holder.says("origin: ");
    }
    let entries = std::fs::read_dir(cache.path()).unwrap();
    let names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(names.len(), 1, "{names:?}");
    assert!(names[0].starts_with("golden-"), "{names:?}");
}

#[test]
fn a_cache_that_was_named_and_cannot_be_used_is_an_error_that_names_it() {
    let before = run_directories();
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = Holder::start(&[("PROOFMARK_CACHE_DIR", file.path())]).says("error: ");
    assert!(error.contains(file.path().to_str().unwrap()), "{error}");
    assert!(error.contains("unset PROOFMARK_CACHE_DIR"), "{error}");
    wait_until_all_are_gone(&before);
}

#[test]
fn a_default_cache_that_cannot_be_used_costs_time_and_no_more() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut holder = Holder::start(&[("XDG_CACHE_HOME", file.path()), ("PROOFMARK_CACHE_DIR", Path::new(""))]);
    holder.says("origin: ");
}

#[test]
fn missing_binaries_are_an_error_that_lists_where_they_were_looked_for() {
    let empty = tempfile::tempdir().unwrap();
    let error = Holder::start(&[("PROOFMARK_POSTGRES_BIN", empty.path())]).says("error: ");
    let line = format!("\n  - PROOFMARK_POSTGRES_BIN: {}: nothing\n", empty.path().display());
    assert!(error.contains(&line), "{error}");
    assert!(error.contains("PROOFMARK_DATABASE_URL"), "{error}");
}

#[test]
fn a_server_that_does_not_start_is_an_error_with_its_log() {
    let before = run_directories();
    let binaries = tempfile::tempdir().unwrap();
    let scripts = [
        (
            "postgres",
            "#!/bin/sh\n[ $1 = --version ] && echo 'postgres (PostgreSQL) 17.0' || { echo 'no way' >&2; exit 3; }\n",
        ),
        ("initdb", "#!/bin/sh\nfor last; do :; done; mkdir \"$last\"\n"),
    ];
    for (name, script) in scripts {
        let path = binaries.path().join(name);
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    std::fs::set_permissions(binaries.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let cache = tempfile::tempdir().unwrap();
    let variables = [
        ("PROOFMARK_POSTGRES_BIN", binaries.path()),
        ("PROOFMARK_POSTGRES_VERSION", Path::new("17")),
        ("PROOFMARK_CACHE_DIR", cache.path()),
    ];
    let error = Holder::start(&variables).says("error: ");
    for part in
        ["postgres failed: it ended with exit status: 3", "command: ", "process id: ", "directory: ", "no way"]
    {
        assert!(error.contains(part), "{part}: {error}");
    }
    wait_until_all_are_gone(&before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_given_server_keeps_what_is_not_ours() {
    let host = Environment::new(ServerChoice::Local);
    let theirs = host.empty_database().await.unwrap();
    let names = || async {
        let query = sqlx::query_scalar::<_, String>("SELECT datname::text FROM pg_database ORDER BY 1");
        query.fetch_all(theirs.pool()).await.unwrap()
    };
    let before = names().await;

    let guest = Environment::new(theirs.url().parse().unwrap());
    let record = guest.start().await.unwrap();
    assert_eq!(record.kind, "external");
    assert!(record.origin.contains("***@127.0.0.1"), "{}", record.origin);
    let ours = guest.database(&set()).await.unwrap();
    assert!(ours.name().starts_with("proofmark_"));
    let rows = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM things").fetch_one(ours.pool()).await.unwrap();
    assert_eq!(rows, 2);
    let client = PgPoolOptions::new().connect(ours.url()).await.unwrap();
    assert!(names().await.len() >= before.len() + 2);
    guest.shutdown().await.unwrap();
    drop(client);
    assert_eq!(names().await, before);
    assert!(host.health().await.is_some());
    host.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_be_used_is_told_why() {
    let host = Environment::new(ServerChoice::Local);
    let database = host.empty_database().await.unwrap();
    sqlx::query("CREATE ROLE weak LOGIN PASSWORD 'weak'").execute(database.pool()).await.unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let closed_port = closed.local_addr().unwrap().port();
    drop(closed);

    let secret = url::Url::parse(database.url()).unwrap();
    let url = |edit: &dyn Fn(&mut url::Url)| {
        let mut url = secret.clone();
        edit(&mut url);
        url.to_string()
    };
    let weak = |url: &mut url::Url| {
        url.set_username("weak").unwrap();
        url.set_password(Some("weak")).unwrap();
    };
    let cases = [
        (url(&|url| url.set_password(Some("wrong")).unwrap()), "does not let us in"),
        (url(&|url| url.set_path("nowhere")), "does not know the database: database \"nowhere\" does not exist"),
        (url(&weak), "expected a role that may create databases"),
        (url(&|url| url.set_port(Some(closed_port)).unwrap()), "found none"),
        (url(&|url| url.set_port(Some(silent.local_addr().unwrap().port())).unwrap()), "within 5s, found none"),
        ("postgres://host.invalid/db".to_owned(), "found none"),
        (url(&|url| url.set_query(Some("sslmode=often"))), "cannot be used"),
    ];
    for (url, says) in cases {
        let environment = Environment::new(url.parse().unwrap());
        let error = environment.start().await.unwrap_err().to_string();
        assert!(error.contains(says), "expected {says:?}, found {error}");
        assert!(!error.contains(secret.password().unwrap()), "{error}");
        environment.shutdown().await.unwrap();
    }
    host.shutdown().await.unwrap();
}
