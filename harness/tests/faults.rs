//! What goes wrong around tests with databases, and what becomes of the tests then.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "what a test relies on may fail loudly")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use proofmark_harness::case::{CaseError, CaseResult};
use proofmark_harness::context::CaseContext;
use proofmark_harness::environment::Environment;
use proofmark_harness::event::Outcome;
use proofmark_harness::migration_set::Migration;
use proofmark_harness::runner::{Options, run_case};
use proofmark_harness::server::ServerChoice;
use proofmark_harness::suite::{Batch, PlannedCase, Suite};
use proofmark_harness::{Migrations, TestDatabase, case};
use rustix::process::{Pid, Signal, kill_process};
use sqlx::{Connection as _, PgConnection};

/// Long enough for any machine; a test that waits this long has failed.
const HANG: Duration = Duration::from_secs(30);

fn set() -> Migrations {
    let tables = "CREATE TABLE things (id int PRIMARY KEY); CREATE SEQUENCE tickets;";
    Migrations::new(vec![Migration::new(1, "things", tables, None)]).unwrap()
}

/// The directory that the record of a local server names.
fn run_directory(origin: &str) -> PathBuf {
    origin.split("files in ").nth(1).unwrap().split(';').next().unwrap().into()
}

fn postmaster(directory: &Path) -> Pid {
    let file = std::fs::read_to_string(directory.join("data/postmaster.pid")).unwrap();
    Pid::from_raw(file.lines().next().unwrap().parse().unwrap()).unwrap()
}

fn processes(needle: &str) -> Vec<String> {
    let output = Command::new("ps").args(["-eo", "pid=,args="]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().filter(|line| line.contains(needle)).map(|line| line.trim().to_owned()).collect()
}

fn kill_dead(process: &str) {
    let id = process.split_whitespace().next().unwrap().parse().unwrap();
    kill_process(Pid::from_raw(id).unwrap(), Signal::KILL).unwrap();
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < HANG, "expected that {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn wait_until_gone(directory: &Path) {
    let name = directory.to_str().unwrap().to_owned();
    wait_until(&format!("{name} is gone"), || !directory.exists() && processes(&name).is_empty());
}

async fn is_like_new(database: &TestDatabase) -> bool {
    let query = "SELECT count(*) = 0 AND nextval('tickets') = 1 FROM things";
    sqlx::query_scalar(query).fetch_one(database.pool()).await.unwrap()
}

struct Faults;

impl Suite for Faults {
    fn name(&self) -> &'static str {
        "faults"
    }

    fn plan(&self) -> Vec<PlannedCase> {
        Vec::new()
    }
}

/// The subject fails at the moment when the server is killed.
async fn is_hit(context: CaseContext) -> CaseResult {
    let database = context.database(&set()).await?;
    let directory: String =
        sqlx::query_scalar("SHOW unix_socket_directories").fetch_one(database.pool()).await.unwrap();
    kill_process(postmaster(Path::new(&directory)), Signal::KILL).unwrap();
    wait_until("the server is gone", || UnixStream::connect(Path::new(&directory).join("nowhere")).is_err());
    while sqlx::query("SELECT 1").execute(database.pool()).await.is_ok() {}
    Err(CaseError::failed("expected a row, found none"))
}

const IS_HIT: proofmark_harness::case::Case<CaseContext> = case!(is_hit, "what happens when the server is killed");

#[tokio::test(flavor = "multi_thread")]
async fn a_case_whose_server_was_killed_is_not_the_subjects_failure() {
    let environment = Arc::new(Environment::new(ServerChoice::Local));
    let case = PlannedCase::new(&Faults, "subject", &IS_HIT, Batch::Database, &[], |context| {
        Box::pin(async move { Ok(context) })
    });
    let options = Options { seed: 1, concurrency: 1, time_limit: HANG, keep: false };
    for _ in 0..2 {
        let (record, _) = run_case(&case, &environment, &options).await;
        let Outcome::Errored { message } = &record.outcome else { panic!("{:?}", record.outcome) };
        assert!(message.contains("lost") && message.contains("found none"), "{message}");
    }
    environment.shutdown().await.unwrap();
}

/// Whether a process is gone, or has ended and was not waited for.
fn has_ended(process: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero()));
    stat.map_or(true, |stat| stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['Z', 'X'])))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_is_replaced() {
    let environment = Environment::new(ServerChoice::Local);
    let first = run_directory(&environment.start().await.unwrap().origin);
    let mut directory = first.clone();
    for signal in [Signal::KILL, Signal::QUIT, Signal::SEGV] {
        let database = environment.database(&set()).await.unwrap();
        let before = environment.health().await;
        assert!(before.is_some());
        let process = postmaster(&directory);
        kill_process(process, signal).unwrap();
        // A signal takes its time; what is asked for meanwhile may still come from the server that is about to end.
        wait_until("its process ends", || has_ended(process));
        wait_until("its sessions end", || {
            !directory.join("data/postmaster.pid").exists() || signal != Signal::QUIT
        });
        database.release().await;
        let next = environment.database(&set()).await.unwrap();
        assert!(is_like_new(&next).await);
        assert_ne!(environment.health().await, before);
        wait_until_gone(&directory);
        let socket: String =
            sqlx::query_scalar("SHOW unix_socket_directories").fetch_one(next.pool()).await.unwrap();
        directory = socket.into();
        next.release().await;
    }
    environment.shutdown().await.unwrap();
    wait_until_gone(&directory);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_is_killed_takes_sessions_with_it_and_no_more() {
    let environment = Environment::new(ServerChoice::Local);
    let (one, two) = (environment.database(&set()).await.unwrap(), environment.database(&set()).await.unwrap());
    sqlx::query("INSERT INTO things VALUES (1)").execute(one.pool()).await.unwrap();
    let mut session = two.connect().await.unwrap();
    let id: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut session).await.unwrap();
    // The server ends all sessions and recovers.
    kill_process(Pid::from_raw(id).unwrap(), Signal::KILL).unwrap();
    let started = Instant::now();
    while sqlx::query("SELECT 1").execute(one.pool()).await.is_err() {
        assert!(started.elapsed() < HANG);
    }
    one.release().await;
    two.release().await;
    for _ in 0..3 {
        let next = environment.database(&set()).await.unwrap();
        assert!(is_like_new(&next).await);
    }
    environment.shutdown().await.unwrap();
}

/// Needs to mount a small file system, which root may: `.ci/run` runs it.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "mounts a file system"]
async fn a_full_disk_is_an_error_that_says_so_and_passes() {
    let place = tempfile::Builder::new().permissions(std::fs::Permissions::from_mode(0o755)).tempdir().unwrap();
    let mount = |arguments: &[&str]| {
        let status = Command::new("mount").args(arguments).arg(place.path()).status().unwrap();
        assert!(status.success(), "mount {arguments:?}");
    };
    mount(&["-t", "tmpfs", "-o", "size=8m,mode=755", "none"]);
    let here = [("PROOFMARK_RUN_DIR", place.path().to_str().unwrap())];
    let refused = Holder::start(&here);
    let error = refused.says("error: ").to_owned();
    assert!(error.contains(place.path().to_str().unwrap()) && error.contains("expected room"), "{error}");
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);

    mount(&["-o", "remount,size=160m", "none"]);
    let holder = Holder::start(&here);
    let mut connection = PgConnection::connect(holder.says("url: ")).await.unwrap();
    let filler = place.path().join("filler");
    let mut file = std::fs::File::create(&filler).unwrap();
    while file.write_all(&[0; 65536]).is_ok() {}
    let many = "CREATE TABLE many AS SELECT repeat('x', 1000) FROM generate_series(1, 100000)";
    let error = sqlx::query(many).execute(&mut connection).await.unwrap_err();
    assert_eq!(error.as_database_error().unwrap().code().as_deref(), Some("53100"), "{error}");
    drop(file);
    std::fs::remove_file(&filler).unwrap();
    sqlx::query("CREATE TABLE few (id int)").execute(&mut connection).await.unwrap();
    drop((connection, holder));
    wait_until("nothing is left", || std::fs::read_dir(place.path()).unwrap().count() == 0);
    assert!(Command::new("umount").arg(place.path()).status().unwrap().success());
}

/// Needs to mount a file system, too.
#[test]
#[ignore = "mounts a file system"]
fn a_read_only_checkout_without_a_home_is_no_obstacle() {
    let checkout = tempfile::tempdir().unwrap();
    let mount = |arguments: &[&str]| {
        let status = Command::new("mount").args(arguments).arg(checkout.path()).status().unwrap();
        assert!(status.success(), "mount {arguments:?}");
    };
    mount(&["-t", "tmpfs", "-o", "size=1m,mode=755,ro", "none"]);
    let home = checkout.path().to_str().unwrap();
    let variables = [("HOME", home), ("XDG_CACHE_HOME", ""), ("PROOFMARK_CACHE_DIR", "")];
    let holder = Holder::start_in(checkout.path(), &variables);
    let found = holder.text.clone();
    drop(holder);
    assert!(Command::new("umount").arg(checkout.path()).status().unwrap().success());
    assert!(found.contains("\nurl: "), "{found}");
}

/// Not a test: a process with a database, for other tests to kill.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by other tests"]
async fn holder() {
    let environment = Environment::shared(ServerChoice::Auto);
    let database = match environment.database(&set()).await {
        Ok(database) => database,
        Err(error) => return println!("\nerror: {error}"),
    };
    let mut open = database.pool().begin().await.unwrap();
    sqlx::raw_sql("INSERT INTO things VALUES (1); LOCK TABLE things").execute(&mut *open).await.unwrap();
    println!("\norigin: {}\nurl: {}", environment.start().await.unwrap().origin, database.url());
    // Until told to end, or killed.
    tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new())).await.unwrap().unwrap();
    drop(open);
    environment.shutdown().await.unwrap();
}

struct Holder {
    child: Child,
    text: String,
}

impl Holder {
    fn start(variables: &[(&str, &str)]) -> Self {
        Self::start_in(Path::new("."), variables)
    }

    fn start_in(directory: &Path, variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .current_dir(directory)
            .args(["holder", "--exact", "--ignored", "--nocapture"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        for variable in ["NEXTEST_RUN_ID", "PROOFMARK_DATABASE_URL", "PROOFMARK_KEEP_MINUTES", "PROOFMARK_RUN_DIR"]
        {
            command.env_remove(variable);
        }
        command.env("PROOFMARK_SERVER", "local").envs(variables.iter().copied());
        let mut child = command.spawn().unwrap();
        let mut text = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while output.read_line(&mut line).unwrap() > 0 {
            text.push_str(&line);
            if line.starts_with("url: ") || line.starts_with("error: ") {
                break;
            }
            line.clear();
        }
        // It must be able to say more.
        std::thread::spawn(move || output.lines().for_each(drop));
        Self { child, text }
    }

    fn says(&self, label: &str) -> &str {
        let lines = &mut self.text.lines();
        lines.find_map(|line| line.strip_prefix(label)).expect("a line with the label")
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// A run with a runner of its own, whose members share a server.
struct Run {
    runner: Child,
    directory: tempfile::TempDir,
}

impl Run {
    fn begin() -> Self {
        let runner = Command::new("sleep").arg("600").stdout(Stdio::null()).spawn().unwrap();
        Self { runner, directory: tempfile::tempdir().unwrap() }
    }

    fn member(&self, more: &[(&str, &str)]) -> Holder {
        let runner = self.runner.id().to_string();
        let mut variables = vec![
            ("NEXTEST_RUN_ID", "a run of faults.rs"),
            ("PROOFMARK_RUNNER_PID", runner.as_str()),
            ("XDG_RUNTIME_DIR", self.directory.path().to_str().unwrap()),
        ];
        variables.extend(more);
        Holder::start(&variables)
    }

    fn meeting_point(&self) -> PathBuf {
        std::fs::read_dir(self.directory.path()).unwrap().next().unwrap().unwrap().path()
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.runner.kill().unwrap();
        self.runner.wait().unwrap();
        wait_until("nothing is left of a run", || std::fs::read_dir(self.directory.path()).unwrap().count() == 0);
    }
}

#[test]
fn a_test_that_is_killed_gives_its_database_back_without_its_sessions() {
    let run = Run::begin();
    let killed = run.member(&[]);
    let url = killed.says("url: ").to_owned();
    killed.kill();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut connection = runtime.block_on(PgConnection::connect(&url)).unwrap();
    let started = Instant::now();
    let locks = "SELECT count(*) FROM pg_locks WHERE relation = 'things'::regclass AND pid <> pg_backend_pid()";
    // Our own session may be terminated as well, as that of nobody who has a lease.
    while runtime
        .block_on(sqlx::query_scalar::<_, i64>(locks).fetch_one(&mut connection))
        .is_ok_and(|locks| locks > 0)
    {
        assert!(started.elapsed() < HANG);
    }
    // It inserts the same row.
    for _ in 0..3 {
        run.member(&[]).says("url: ");
    }
}

#[test]
fn a_supervisor_that_is_killed_is_replaced_and_leaves_nothing() {
    let run = Run::begin();
    let one = run.member(&[]);
    let directory = run_directory(one.says("origin: "));
    kill_dead(&processes(&format!("proofmark-role supervisor {}", run.directory.path().display()))[0]);
    wait_until_gone(&directory);
    let two = run.member(&[]);
    assert_ne!(run_directory(two.says("origin: ")), directory);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_goes_on_after_its_supervisor_was_killed() {
    let environment = Environment::new(ServerChoice::Local);
    for _ in 0..2 {
        let database = environment.database(&set()).await.unwrap();
        let socket: String =
            sqlx::query_scalar("SHOW unix_socket_directories").fetch_one(database.pool()).await.unwrap();
        let is_ours = |line: &String| {
            let id = line.split_whitespace().next().unwrap();
            let parent = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
            let parent =
                parent.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok());
            parent == Some(std::process::id())
        };
        let supervisor = processes("proofmark-role supervisor").into_iter().find(is_ours).unwrap();
        kill_dead(&supervisor);
        wait_until_gone(Path::new(&socket));
    }
    assert!(is_like_new(&environment.database(&set()).await.unwrap()).await);
    environment.shutdown().await.unwrap();
}

#[test]
fn what_a_dead_run_left_is_no_obstacle() {
    let run = Run::begin();
    // Where it would listen: the name depends on the run alone.
    let first = run.member(&[]);
    let meeting_point = run.meeting_point();
    let directory = run_directory(first.says("origin: "));
    first.kill();
    kill_dead(&processes(&format!("proofmark-role supervisor {}", run.directory.path().display()))[0]);
    wait_until_gone(&directory);
    wait_until("the meeting point is gone", || !meeting_point.exists());
    std::fs::DirBuilder::new().mode(0o700).create(&meeting_point).unwrap();
    std::fs::write(meeting_point.join("lock"), "").unwrap();
    // A socket that nobody listens at any more.
    drop(UnixListener::bind(meeting_point.join("supervisor")).unwrap());
    run.member(&[]).says("url: ");
}

#[test]
fn a_meeting_point_that_others_can_enter_is_refused() {
    let run = Run::begin();
    let member = run.member(&[]);
    let meeting_point = run.meeting_point();
    std::fs::set_permissions(&meeting_point, std::fs::Permissions::from_mode(0o777)).unwrap();
    kill_dead(&processes(&format!("proofmark-role supervisor {}", run.directory.path().display()))[0]);
    wait_until("the meeting point is gone", || !meeting_point.exists());
    drop(member);
    std::fs::create_dir(&meeting_point).unwrap();
    std::fs::set_permissions(&meeting_point, std::fs::Permissions::from_mode(0o777)).unwrap();
    let refused = run.member(&[]);
    assert!(refused.says("error: ").contains(meeting_point.to_str().unwrap()), "{}", refused.text);
    std::fs::remove_dir_all(&meeting_point).unwrap();
}

#[test]
fn a_runtime_directory_too_deep_for_a_socket_is_not_used() {
    let parent = tempfile::tempdir().unwrap();
    let deep = parent.path().join("d".repeat(150));
    std::fs::create_dir(&deep).unwrap();
    let deep = deep.to_str().unwrap();
    for variables in [[("XDG_RUNTIME_DIR", deep), ("TMPDIR", "/tmp")], [("XDG_RUNTIME_DIR", ""), ("TMPDIR", deep)]]
    {
        Holder::start(&variables).says("url: ");
    }
    assert_eq!(std::fs::read_dir(deep).unwrap().count(), 0);
}

#[test]
fn a_home_that_cannot_be_written_to_costs_time_and_no_more() {
    // As root, permissions are none of our business: a file in the place of a directory is.
    let file = tempfile::NamedTempFile::new().unwrap();
    let home = file.path().to_str().unwrap();
    Holder::start(&[("HOME", home), ("XDG_CACHE_HOME", ""), ("PROOFMARK_CACHE_DIR", "")]).says("url: ");
    Holder::start(&[("HOME", ""), ("XDG_CACHE_HOME", ""), ("PROOFMARK_CACHE_DIR", "")]).says("url: ");
}

#[test]
fn clients_that_speak_nonsense_or_nothing_disturb_nobody() {
    let run = Run::begin();
    let member = run.member(&[]);
    let socket = run.meeting_point().join("supervisor");
    let silent: Vec<UnixStream> = (0..300).map(|_| UnixStream::connect(&socket).unwrap()).collect();
    let nonsense: [&[u8]; 4] = [b"\n", b"{\"Lease\":", b"\"Nothing\"\n", &[0xff; 4096]];
    for bytes in nonsense {
        let mut stream = UnixStream::connect(&socket).unwrap();
        let _ = stream.write_all(bytes);
    }
    let mut long = UnixStream::connect(&socket).unwrap();
    let chunk = vec![b'x'; 1 << 20];
    for _ in 0..4 {
        long.write_all(&chunk).unwrap();
    }
    run.member(&[]).says("url: ");
    drop((silent, long, member));
}

#[test]
fn a_bad_value_of_a_variable_is_told_with_its_name() {
    for (name, value) in [
        ("PROOFMARK_KEEP_MINUTES", "forever"),
        ("PROOFMARK_SERVER", "somewhere"),
        ("PROOFMARK_DATABASE_URL", "x://"),
    ] {
        let mut variables = vec![(name, value)];
        if name == "PROOFMARK_DATABASE_URL" {
            variables.push(("PROOFMARK_SERVER", ""));
        }
        let holder = Holder::start(&variables);
        assert!(holder.says("error: ").contains(name), "{}", holder.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dirty_neighbour_is_never_seen() {
    let environment = Arc::new(Environment::new(ServerChoice::Local));
    let neighbour = {
        let environment = Arc::clone(&environment);
        tokio::spawn(async move {
            for statements in [
                "BEGIN; INSERT INTO things VALUES (1)",
                "DROP TABLE things",
                "LISTEN x; SELECT nextval('tickets'); INSERT INTO things VALUES (7)",
                "CREATE TABLE other (id int)",
                "CREATE ROLE neighbour; GRANT ALL ON things TO neighbour",
            ]
            .iter()
            .cycle()
            .take(25)
            {
                let database = environment.database(&set()).await.unwrap();
                assert!(is_like_new(&database).await);
                let mut connection = database.connect().await.unwrap();
                // The role may be there: its maker was not alone.
                let _ = sqlx::raw_sql(*statements).execute(&mut connection).await;
                std::mem::forget(connection);
            }
        })
    };
    for _ in 0..50 {
        let database = environment.database(&set()).await.unwrap();
        assert!(is_like_new(&database).await);
        sqlx::query("INSERT INTO things VALUES (1)").execute(database.pool()).await.unwrap();
    }
    neighbour.await.unwrap();
    environment.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn databases_on_a_given_server_go_when_their_owner_is_killed() {
    let host = Environment::new(ServerChoice::Local);
    let theirs = host.empty_database().await.unwrap();
    sqlx::query("CREATE ROLE guest LOGIN CREATEDB PASSWORD 'guest'").execute(theirs.pool()).await.unwrap();
    let names = || async {
        let names = "SELECT array_agg(datname::text ORDER BY datname) FROM pg_database";
        sqlx::query_scalar::<_, Vec<String>>(names).fetch_one(theirs.pool()).await.unwrap()
    };
    let before = names().await;
    let mut guest = url::Url::parse(theirs.url()).unwrap();
    guest.set_username("guest").unwrap();
    guest.set_password(Some("guest")).unwrap();
    for url in [theirs.url(), guest.as_str()] {
        for victim in ["owner", "supervisor"] {
            let run = Run::begin();
            let holder = run.member(&[("PROOFMARK_SERVER", url)]);
            assert!(names().await.len() > before.len());
            if victim == "supervisor" {
                kill_dead(&processes(&format!("proofmark-role supervisor {}", run.directory.path().display()))[0]);
            } else {
                holder.kill();
                drop(run);
            }
            let started = Instant::now();
            while names().await != before {
                assert!(started.elapsed() < HANG, "{:?}", names().await);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
    host.shutdown().await.unwrap();
}
