//! One server for all processes of a run, as under nextest: here the runner is a `sleep`, and the tests are processes
//! of this binary.

#![expect(clippy::unwrap_used, reason = "what a test relies on may fail loudly")]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use proofmark_harness::environment::Environment;
use proofmark_harness::migration_set::{Migration, MigrationSet};
use proofmark_harness::server::ServerChoice;
use proofmark_harness::supervisor::{RUNNER_VARIABLE, SHARE_VARIABLE};
use sqlx::postgres::PgPool;

/// Long enough for any machine; a test that waits this long has failed.
const HANG: Duration = Duration::from_secs(30);

/// Not a test: a process of a run, with a database.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by other tests"]
async fn member() {
    let table = "CREATE TABLE things (id int PRIMARY KEY);";
    let set = MigrationSet::new(vec![Migration::new(1, "things", table, None)]).unwrap();
    let environment = Environment::shared(ServerChoice::Local);
    let record = environment.start().await.unwrap().clone();
    assert_eq!(record.kind, "local");
    let database = environment.database(&set).await.unwrap();
    sqlx::query("INSERT INTO things VALUES (1)").execute(database.pool()).await.unwrap();
    println!("\norigin: {}\ndatabase: {}\nurl: {}", record.origin, database.name(), database.url());
    // Until told to end, or killed.
    tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new())).await.unwrap().unwrap();
    environment.shutdown().await.unwrap();
}

/// A run: a runner to be followed, and a directory for what is left.
struct Run {
    runner: Child,
    directory: tempfile::TempDir,
}

impl Run {
    fn begin() -> Self {
        let runner = Command::new("sleep").arg("600").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        Self { runner, directory: tempfile::tempdir().unwrap() }
    }

    fn member(&self) -> Process {
        self.member_with(&[])
    }

    fn member_with(&self, variables: &[(&str, &str)]) -> Process {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["member", "--exact", "--ignored", "--nocapture"])
            .env("NEXTEST_RUN_ID", "a run of shared.rs")
            .env(RUNNER_VARIABLE, self.runner.id().to_string())
            .env("XDG_RUNTIME_DIR", self.directory.path())
            .env_remove(SHARE_VARIABLE)
            .envs(variables.iter().copied());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        Process { input: child.stdin.take(), child }
    }

    /// Kills the runner; it was not waited for, as nobody may be there to wait for a real one.
    fn kill(&mut self) {
        self.runner.kill().unwrap();
    }

    fn meeting_points(&self) -> usize {
        std::fs::read_dir(self.directory.path()).unwrap().count()
    }

    /// The processes that own a server of the run.
    fn supervisors(&self) -> Vec<String> {
        processes(&format!("proofmark-role supervisor {}", self.directory.path().display()))
    }

    /// Waits until nothing is left of a server, nor of the run.
    fn wait_until_gone(&self, server: &Path) {
        wait_until(&format!("{} is gone", server.display()), || is_gone(server));
        wait_until("no supervisor", || self.supervisors().is_empty());
        wait_until("no meeting point", || self.meeting_points() == 0);
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.runner.kill();
        let _ = self.runner.wait();
    }
}

struct Process {
    child: Child,
    input: Option<ChildStdin>,
}

/// What a member says.
#[derive(Debug)]
struct Member {
    server: PathBuf,
    origin: String,
    database: String,
    url: String,
}

impl Process {
    fn says(&mut self) -> Member {
        let mut lines = BufReader::new(self.child.stdout.take().unwrap()).lines();
        let mut after = |label: &str| {
            let mut lines = lines.by_ref().map(Result::unwrap);
            lines.find_map(|line| line.strip_prefix(label).map(str::to_owned)).unwrap()
        };
        let origin = after("origin: ");
        let server = origin.split("files in ").nth(1).unwrap().split(';').next().unwrap().into();
        let said = Member { server, origin, database: after("database: "), url: after("url: ") };
        // It must be able to say more.
        std::thread::spawn(move || lines.for_each(drop));
        said
    }

    fn end(mut self) {
        drop(self.input.take());
        assert!(self.child.wait().unwrap().success());
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn processes(needle: &str) -> Vec<String> {
    let output = Command::new("ps").args(["-eo", "pid=,args="]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().filter(|line| line.contains(needle)).map(|line| line.trim().to_owned()).collect()
}

fn is_gone(server: &Path) -> bool {
    !server.exists() && processes(server.to_str().unwrap()).is_empty()
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < HANG, "expected that {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn kill_dead(process: &str) {
    let id = process.split_whitespace().next().unwrap();
    assert!(Command::new("kill").args(["-KILL", id]).status().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn members_share_the_server_and_the_template_and_nothing_else() {
    let mut run = Run::begin();
    let mut first = run.member();
    let one = first.says();
    assert!(one.origin.contains("shared by the processes of nextest run"), "{}", one.origin);
    // Its end, orderly or not, is not the server's.
    let mut killed = run.member();
    let lost = killed.says();
    killed.kill();
    first.end();
    let mut second = run.member();
    let two = second.says();
    assert_eq!((&one.server, &one.server), (&two.server, &lost.server));
    assert_ne!(one.database, lost.database);

    let pool = PgPool::connect(&two.url).await.unwrap();
    let names = "SELECT datname::text FROM pg_database WHERE starts_with(datname, 'proofmark')";
    let names: Vec<String> = sqlx::query_scalar(names).fetch_all(&pool).await.unwrap();
    assert!(names.contains(&two.database), "{names:?}");
    assert_eq!(names.iter().filter(|name| name.contains("template")).count(), 1, "{names:?}");
    pool.close().await;
    second.end();
    assert_eq!(run.supervisors().len(), 1);
    run.kill();
    run.wait_until_gone(&one.server);
}

#[test]
fn members_that_race_start_one_server() {
    let mut run = Run::begin();
    let mut members: Vec<Process> = (0..4).map(|_| run.member()).collect();
    let said: Vec<Member> = members.iter_mut().map(Process::says).collect();
    assert!(said.iter().all(|member| member.server == said[0].server), "{said:?}");
    assert_eq!(run.supervisors().len(), 1);
    // With its members still there.
    run.kill();
    run.wait_until_gone(&said[0].server);
}

#[test]
fn a_server_that_was_lost_is_replaced() {
    let mut run = Run::begin();
    let one = run.member().says().server;
    kill_dead(&run.supervisors()[0]);
    wait_until("the server goes with its supervisor", || is_gone(&one));
    let two = run.member().says().server;
    assert_ne!(one, two);
    let postmaster = std::fs::read_to_string(two.join("data/postmaster.pid")).unwrap();
    kill_dead(postmaster.lines().next().unwrap());
    let three = run.member().says().server;
    assert_ne!(two, three);
    run.kill();
    for server in [&two, &three] {
        run.wait_until_gone(server);
    }
}

#[test]
fn a_runner_that_is_gone_already_keeps_nothing_alive() {
    let mut run = Run::begin();
    run.kill();
    run.runner.wait().unwrap();
    let mut member = run.member();
    // No server is started for a run that is over.
    member.input = None;
    assert!(!member.child.wait().unwrap().success());
    wait_until("no supervisor", || run.supervisors().is_empty());
    wait_until("no meeting point", || run.meeting_points() == 0);
}

#[test]
fn a_runner_that_ends_while_the_server_is_starting_leaves_nothing() {
    for moment in [0, 30, 60, 90, 120, 150] {
        let mut run = Run::begin();
        let mut members: Vec<Process> = (0..2).map(|_| run.member()).collect();
        std::thread::sleep(Duration::from_millis(moment));
        run.kill();
        for member in &mut members {
            member.input = None;
            let _ = member.child.wait().unwrap();
        }
        wait_until("no supervisor", || run.supervisors().is_empty());
        wait_until("no meeting point", || run.meeting_points() == 0);
    }
}

#[test]
fn nothing_is_shared_where_nothing_can_be() {
    let run = Run::begin();
    // Without an id of the runner it would be the parent, and we are not nextest.
    for variables in [("NEXTEST_RUN_ID", ""), (SHARE_VARIABLE, "0"), (RUNNER_VARIABLE, "")] {
        let (mut one, mut two) = (run.member_with(&[variables]), run.member_with(&[variables]));
        let (first, second) = (one.says(), two.says());
        assert_ne!(first.server, second.server);
        assert!(!first.origin.contains("shared"), "{}", first.origin);
        one.end();
        assert!(is_gone(&first.server));
        two.kill();
        wait_until("a killed process leaves nothing", || is_gone(&second.server));
        assert_eq!((run.meeting_points(), run.supervisors().len()), (0, 0));
    }
}
