//! The `proofmark` binary from the outside: what it prints, what it exits with, what it leaves behind.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "what a test relies on may fail loudly")]

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

use proofmark_harness::event::Outcome;
use proofmark_harness::report::json;
use proofmark_harness::suites;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// No test waits longer than this; none is meant to come near it.
const GUARD: Duration = Duration::from_secs(120);

/// A case that takes no time and needs no server.
const QUICK: &str = "explanations::tree-path-dependent::an_empty_batch_is_no_error";

/// A directory to run in. It has a `target`, so that runs are recorded in it.
struct Place {
    directory: TempDir,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("target")).unwrap();
        Self { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn last_run(&self) -> PathBuf {
        self.path("target/proofmark/run.json")
    }

    fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_proofmark"));
        command.args(arguments).current_dir(self.directory.path()).stdin(Stdio::null());
        for variable in ["PROOFMARK_SEED", "PROOFMARK_DATABASE_URL", "PROOFMARK_LOG"] {
            command.env_remove(variable);
        }
        // Not what else the machine may have; and nothing is kept for a user who does not come.
        command.envs([("PROOFMARK_SERVER", "local"), ("PROOFMARK_KEEP_MINUTES", "0")]);
        command
    }

    fn run(&self, line: &str) -> Ended {
        Ended::new(&self.command(line.split(' ')).output().unwrap())
    }
}

struct Ended {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Ended {
    fn new(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let ended = Self {
            code: output.status.code().expect("an exit code, not a signal"),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        };
        for stream in [&ended.stdout, &ended.stderr] {
            assert!(!stream.contains("panicked at"), "{stream}");
            assert!(!stream.contains('\x1b'), "colour without a terminal: {stream}");
        }
        ended
    }

    /// Expects an exit code, and fragments of what went to the standard error.
    fn expect(self, code: i32, fragments: &[&str]) -> Self {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        for fragment in fragments {
            assert!(self.stderr.contains(fragment), "expected {fragment:?} in: {}", self.stderr);
        }
        self
    }
}

#[test]
fn help_and_version_are_no_errors() {
    let place = Place::new();
    let help = place.run("--help").expect(0, &[]);
    for word in ["run", "list", "report", "audit", "Exit codes", "nothing ran"] {
        assert!(help.stdout.contains(word), "expected {word:?} in: {}", help.stdout);
    }
    let version = place.run("--version").expect(0, &[]);
    assert_eq!(version.stdout, format!("proofmark {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_wrong_command_line_is_refused() {
    let place = Place::new();
    place.run("frobnicate").expect(2, &["unrecognized subcommand 'frobnicate'"]);
    place.run("run --suite nope").expect(2, &["nope", "possible values", "explanations"]);
    place.run("run --batch nope").expect(2, &["nope", "database", "compute", "latency"]);
    place.run("run --seed some").expect(2, &["--seed"]);
    place.run("run --jobs 0").expect(2, &["--jobs"]);
    place.run("run --time-limit 0").expect(2, &["--time-limit"]);
    place.run("report run.json").expect(2, &["--junit", "--html", "--sarif"]);
    let bare = Ended::new(&place.command::<&str>([]).output().unwrap());
    bare.expect(2, &["Usage: proofmark"]);
}

#[test]
fn a_wrong_server_is_refused_without_its_password() {
    let place = Place::new();
    place.run("run --server nonsense").expect(2, &["`auto`", "`local`", "postgres://"]);
    let ended = place.run("run --server mysql://me:secret@host/db").expect(2, &["postgres://", "mysql://"]);
    assert!(!ended.stderr.contains("secret"), "{}", ended.stderr);
    let output = place
        .command(["run"])
        .env("PROOFMARK_SERVER", "")
        .env("PROOFMARK_DATABASE_URL", "mysql://me:secret@host/db")
        .output();
    let ended = Ended::new(&output.unwrap()).expect(2, &["PROOFMARK_DATABASE_URL", "mysql://"]);
    assert!(!ended.stderr.contains("secret"), "{}", ended.stderr);
    let output = place.command(["run"]).env("PROOFMARK_SERVER", "somewhere").output();
    Ended::new(&output.unwrap()).expect(2, &["PROOFMARK_SERVER", "somewhere"]);
}

#[test]
fn a_server_that_does_not_answer_is_an_environment_error() {
    let place = Place::new();
    let ended = place.run("run --server postgres://me:secret@127.0.0.1:1/db").expect(3, &["127.0.0.1:1"]);
    assert!(!(ended.stdout + &ended.stderr).contains("secret"));
    assert!(!place.last_run().exists(), "a run without cases was recorded");
}

#[test]
fn without_postgres_it_says_where_it_looked() {
    let place = Place::new();
    let empty = place.path("empty");
    fs::create_dir(&empty).unwrap();
    let output = place.command(["run"]).env("PROOFMARK_POSTGRES_BIN", &empty).output().unwrap();
    Ended::new(&output).expect(3, &["looked at", "PROOFMARK_POSTGRES_BIN", "--server"]);
}

#[test]
fn a_selection_without_a_case_is_not_green() {
    let place = Place::new();
    place.run("run --case no_such_case").expect(4, &["--case \"no_such_case\"", "explanations::"]);
    place.run("run --suite latency --batch compute").expect(4, &["--suite latency --batch compute"]);
    place.run("list --case no_such_case").expect(4, &["no_such_case"]);
}

#[test]
fn the_list_holds_every_case() {
    let place = Place::new();
    let plan = suites::plan();
    let text = place.run("list").expect(0, &[]).stdout;
    assert_eq!(text.lines().filter(|line| line.starts_with("  ")).count(), plan.len());
    let listed: Vec<serde_json::Value> =
        serde_json::from_str(&place.run("list --format json").expect(0, &[]).stdout).unwrap();
    let names: Vec<String> = listed
        .iter()
        .map(|case| ["suite", "subject", "case"].map(|part| case[part].as_str().unwrap()).join("::"))
        .collect();
    assert_eq!(names, plan.iter().map(|case| case.id.to_string()).collect::<Vec<_>>());
    // A full name selects its case alone.
    assert!(place.run(&format!("list --case {QUICK}")).expect(0, &[]).stdout.ends_with("\n1 case\n"));
}

#[test]
fn outputs_that_cannot_be_written_are_found_before_the_run() {
    let place = Place::new();
    let too_early = |line: &str, fragments: &[&str]| {
        let ended = place.run(line).expect(2, fragments);
        assert_eq!(ended.stdout, "", "the run began all the same");
    };
    too_early("run --json absent/run.json", &["absent/run.json", "no directory"]);
    too_early("run --junit target", &["target"]);
    too_early("run --json out --html ./out", &["twice"]);
    too_early("run --html /proc/report.html", &["/proc/report.html"]);
    assert!(!place.path("out").exists());
}

#[test]
fn a_run_is_recorded_and_every_report_follows_from_the_record() {
    let place = Place::new();
    fs::write(place.path("old.html"), "old").unwrap();
    std::os::unix::fs::symlink("old.html", place.path("link.html")).unwrap();
    let line =
        format!("run --case {QUICK} --seed 5 --json run.json --junit run.xml --html link.html --sarif run.sarif");
    let run = place.run(&line).expect(0, &[]);
    for fragment in ["1 case", "seed 5", "AUDIT", "1 passed", "target/proofmark/run.json", "link.html"] {
        assert!(run.stdout.contains(fragment), "expected {fragment:?} in: {}", run.stdout);
    }
    let record = json::read(&place.path("run.json")).unwrap();
    assert_eq!(record, json::read(&place.last_run()).unwrap());
    assert_eq!((record.header.seed, record.cases.len()), (5, 1));
    assert!(place.path("link.html").is_symlink());

    let audit = place.run("audit").expect(0, &[]);
    assert!(run.stdout.contains(audit.stdout.split_once("AUDIT").unwrap().1), "{}", audit.stdout);
    place
        .run("report run.json --junit again.xml --html again.html --sarif again.sarif")
        .expect(0, &["again.xml", "again.html"]);
    for (one, other) in [("run.xml", "again.xml"), ("old.html", "again.html"), ("run.sarif", "again.sarif")] {
        assert_eq!(fs::read(place.path(one)).unwrap(), fs::read(place.path(other)).unwrap(), "{one} and {other}");
    }
}

#[test]
fn the_audit_exits_as_the_run_did() {
    let place = Place::new();
    place.run("audit").expect(2, &["no run is recorded at", "proofmark run"]);
    place.run("audit --run absent.json").expect(2, &["absent.json"]);
    place.run(&format!("run --case {QUICK}")).expect(0, &[]);
    let record = fs::read_to_string(place.last_run()).unwrap();
    let passed = "\"status\": \"passed\"";
    assert!(record.contains(passed));
    for (status, code) in [
        (r#""status": "failed", "message": "m""#, 1),
        (r#""status": "panicked", "message": "m""#, 1),
        (r#""status": "timed_out", "limit_ms": 1"#, 1),
        (r#""status": "errored", "message": "m""#, 3),
        (r#""status": "skipped", "reason": "r""#, 4),
    ] {
        fs::write(place.path("other.json"), record.replace(passed, status)).unwrap();
        place.run("audit --run other.json").expect(code, &[]);
    }
}

#[test]
fn what_is_not_a_recorded_run_is_refused() {
    let place = Place::new();
    let refuse = |text: &str, fragments: &[&str]| {
        fs::write(place.path("bad.json"), text).unwrap();
        place.run("report bad.json --html out.html").expect(2, fragments);
        place.run("audit --run bad.json").expect(2, fragments);
        assert!(!place.path("out.html").exists());
    };
    refuse(r#"{"schema_version": 1, "cases": ["#, &["bad.json", "line 1 column"]);
    refuse(r#"{"schema_version": 99}"#, &["bad.json", "schema version 1", "found version 99"]);
    refuse("not JSON", &["bad.json", "line 1 column"]);
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let place = Place::new();
    for line in ["list", "--help", "run --case an_empty_batch"] {
        let mut child =
            place.command(line.split(' ')).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        Ended::new(&output).expect(0, &[]);
    }
}

/// Begins a run and returns once it has a server, with the server's directory.
fn begin(place: &Place, line: &str) -> (Child, BufReader<ChildStdout>, PathBuf) {
    let mut child = place.command(line.split(' ')).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut text = String::new();
    while !text.contains("ready in") {
        assert_ne!(stdout.read_line(&mut text).unwrap(), 0, "the run ended without a server: {text}");
    }
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let directory = words.split_once("files in ").expect("the server's directory").1;
    let directory = PathBuf::from(directory.split([';', ' ']).next().unwrap());
    assert!(directory.is_dir(), "{text}");
    (child, stdout, directory)
}

fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

fn wait_until_gone(directory: &Path) {
    let begun = Instant::now();
    while directory.exists() {
        assert!(begun.elapsed() < GUARD, "{} is left behind", directory.display());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn an_interrupted_run_cleans_up_and_shows_what_it_has() {
    for (signal, name, code) in [(Signal::INT, "SIGINT", 130), (Signal::TERM, "SIGTERM", 143)] {
        let place = Place::new();
        let (mut child, mut stdout, directory) = begin(&place, "run --server local --jobs 1");
        send(&child, signal);
        let mut text = String::new();
        stdout.read_to_string(&mut text).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(code), "{text}");
        assert!(!directory.exists(), "{} is left behind", directory.display());
        for fragment in ["AUDIT", "not run (the run was interrupted)", &format!("interrupted by {name}")] {
            assert!(text.contains(fragment), "expected {fragment:?} in: {text}");
        }
        let record = json::read(&place.last_run()).unwrap();
        assert_eq!(record.cases.len(), suites::plan().len());
        place.run("audit").expect(code, &[]);
    }
}

#[test]
fn nothing_outlives_a_run_that_is_killed() {
    let place = Place::new();
    let (mut child, _stdout, directory) = begin(&place, "run --server local --jobs 1");
    send(&child, Signal::KILL);
    child.wait().unwrap();
    wait_until_gone(&directory);
}

#[test]
fn a_server_that_dies_is_not_the_subjects_fault() {
    let place = Place::new();
    let (mut child, mut stdout, directory) =
        begin(&place, "run --server local --case repositories::postgres:: --jobs 1");
    let pid = fs::read_to_string(directory.join("data/postmaster.pid")).unwrap();
    let pid = pid.lines().next().unwrap().parse().unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    let mut text = String::new();
    stdout.read_to_string(&mut text).unwrap();
    // Another takes its place; what ran at that moment is told apart from what failed.
    assert!(matches!(child.wait().unwrap().code(), Some(0 | 3)), "{text}");
    let record = json::read(&place.last_run()).unwrap();
    let unexpected = record.cases.iter().filter(|case| case.outcome.is_failure() && case.known.is_none());
    assert_eq!(unexpected.count(), 0, "{text}");
    assert!(record.count(|outcome| matches!(outcome, Outcome::Errored { .. })) <= 1, "{text}");
    wait_until_gone(&directory);
}

#[test]
fn a_directory_of_migrations_is_put_through_the_suite() {
    let place = Place::new();
    place.run("migrations nowhere").expect(2, &["nowhere"]);
    let files = [
        ("0001_users.up.sql", "CREATE TABLE users (id int PRIMARY KEY);"),
        ("0001_users.down.sql", "DROP TABLE users;"),
        ("0002_orders.up.sql", "CREATE TABLE orders (\n  id int PRIMARY KEY, state order_state);"),
        ("0002_orders.down.sql", "DROP TABLE orders;"),
    ];
    fs::create_dir(place.path("db")).unwrap();
    for (name, script) in files {
        fs::write(place.path("db").join(name), script).unwrap();
    }
    let ended = place.run("migrations db --case applies_to --seed 7").expect(1, &[]);
    for fragment in [
        "0002_orders.up.sql:2:29",
        "type \"order_state\" does not exist",
        "failed for the findings above",
        "proofmark migrations db --case 'migrations::",
    ] {
        assert!(ended.stdout.contains(fragment), "expected {fragment:?} in: {}", ended.stdout);
    }
    assert!(!ended.stdout.contains("nextest"), "no test repeats it: {}", ended.stdout);
    let create_type =
        "CREATE TYPE order_state AS ENUM ('open', 'closed');\nCREATE TABLE users (id int PRIMARY KEY);";
    fs::write(place.path("db/0001_users.up.sql"), create_type).unwrap();
    fs::write(place.path("db/0001_users.down.sql"), "DROP TABLE users; DROP TYPE order_state;").unwrap();
    let ended = place.run("migrations db").expect(0, &[]);
    assert!(ended.stdout.contains("no schema snapshots are committed"), "{}", ended.stdout);
}
