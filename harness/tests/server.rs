//! The server layer against real Postgres: start, isolation, and what is left when it is gone.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
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
    environment.release(two).await.unwrap();
    let left = "SELECT count(*) FROM pg_database WHERE datname = $1";
    let left: i64 = sqlx::query_scalar(left).bind(name).fetch_one(one.pool()).await.unwrap();
    assert_eq!(left, 0);
    assert!(environment.is_healthy().await);

    environment.shutdown().await.unwrap();
    assert!(!directory.exists());
    assert_eq!(processes_of(&directory), Vec::<String>::new());
    assert!(matches!(environment.start().await, Err(EnvironmentError::Closed)));
    assert!(matches!(environment.database(&set).await, Err(EnvironmentError::Closed)));
    environment.release(one).await.unwrap();
    environment.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_environment_that_was_never_needed_starts_nothing() {
    let environment = Environment::new(ServerChoice::Local);
    assert!(environment.is_healthy().await);
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
    let started = Instant::now();
    // Other tests of this binary may run beside this one: only what stays is ours.
    let mut left = run_directories();
    while left.iter().any(|directory| !before.contains(directory)) {
        assert!(started.elapsed() < HANG, "left: {left:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
        let now = run_directories();
        left.retain(|directory| now.contains(directory));
    }
}

fn run_directories() -> Vec<PathBuf> {
    let parents = ["/dev/shm".into(), std::env::temp_dir()];
    let entries = parents.iter().filter_map(|parent| std::fs::read_dir(parent).ok()).flatten();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("proofmark-")).collect()
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
            environment.release(database).await.unwrap();
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

/// Not a test: the process that `a_killed_process_leaves_nothing` kills.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by another test"]
async fn holder() {
    let environment = Environment::new(ServerChoice::Local);
    println!("{}", environment.start().await.unwrap().origin);
    tokio::time::sleep(HANG).await;
}

#[test]
fn a_killed_process_leaves_nothing() {
    use std::io::{BufRead as _, BufReader};
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args(["holder", "--exact", "--ignored", "--nocapture"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(holder.stdout.take().unwrap()).lines().map(Result::unwrap);
    let origin = lines.into_iter().find(|line| line.contains("files in ")).unwrap();
    let directory = run_directory(&origin);
    assert!(directory.exists() && !processes_of(&directory).is_empty());
    holder.kill().unwrap();
    holder.wait().unwrap();
    wait_until_gone(&directory);
}
