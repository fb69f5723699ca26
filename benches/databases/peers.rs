//! The peers' test binaries, and runs of them under nextest.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::Result;

const PACKAGE: &str = "database-peers";

/// As many as every peer has.
const TESTS_MAX: u32 = 1000;

/// How many tests run at one time.
const JOBS: &str = "-j2";

/// How long a run may take; one that takes longer hangs.
const RUN_TIME_MAX: Duration = Duration::from_secs(1800);

const POLL_INTERVAL: Duration = Duration::from_millis(1);

/// Where what is said about a server or a run must not come from: this process may be part of one itself.
const FOREIGN_PREFIXES: [&str; 7] =
    ["CARGO_MANIFEST", "CARGO_PKG_", "DATABASE_", "NEXTEST", "PG", "PROOFMARK_", "__NEXTEST"];

/// The built binaries. What nextest needs to know of them is asked once, so that no run waits for cargo.
#[derive(Debug)]
pub(crate) struct Peers {
    directory: tempfile::TempDir,
    binaries: serde_json::Value,
}

impl Peers {
    /// Builds them as their users do: for tests, not for release. All have a thousand tests but that of sqlx, which has
    /// as many as are run.
    pub(crate) fn build(sqlx_tests: u32) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let started = Instant::now();
        let list = ["nextest", "list", "-p", PACKAGE, "--list-type", "binaries-only", "--message-format", "json"];
        let mut list_binaries = cargo();
        list_binaries.args(list).env("DATABASE_PEERS_SQLX_TESTS", sqlx_tests.to_string());
        let binaries: serde_json::Value = output(&mut list_binaries, &directory.path().join("binaries.json"))?;
        let host = &binaries["rust-build-meta"]["platforms"]["host"]["platform"]["triple"];
        let host = host.as_str().ok_or("expected the host's platform from `cargo nextest list`, found none")?;
        // For this platform alone, as cargo would ask the registry for what others need.
        let metadata = ["metadata", "--format-version", "1", "--filter-platform", host];
        let _: serde_json::Value = output(cargo().args(metadata), &directory.path().join("cargo.json"))?;
        println!("built the peers in {:.1} s", started.elapsed().as_secs_f64());
        Ok(Self { directory, binaries })
    }

    /// The program of a peer.
    pub(crate) fn binary(&self, peer: &str) -> Result<PathBuf> {
        let path = &self.binaries["rust-binaries"][format!("{PACKAGE}::{peer}")]["binary-path"];
        Ok(path.as_str().ok_or_else(|| format!("expected a test binary {peer}, found none"))?.into())
    }

    /// One test of a peer, without a runner.
    pub(crate) fn test(&self, peer: &str, number: u32) -> Result<Command> {
        let mut command = clean(Command::new(self.binary(peer)?));
        command.args(["--exact", &format!("test_{number:04}"), "--nocapture"]);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        Ok(command)
    }

    /// A run of a peer's first so many tests.
    pub(crate) fn run(&self, peer: &str, tests: u32) -> Result<Command> {
        let mut command = cargo();
        command.args(["nextest", "run", JOBS, "--no-fail-fast", "--retries", "0", "--color", "never"]);
        // Neither the user's configuration nor that of our own tests.
        command.args(["--user-config-file", "none", "--config-file"]).arg(self.configuration()?);
        command.args(["--status-level", "none", "--final-status-level", "fail", "--show-progress", "none"]);
        command.arg("--binaries-metadata").arg(self.directory.path().join("binaries.json"));
        command.arg("--cargo-metadata").arg(self.directory.path().join("cargo.json"));
        command.args(["-E", &format!("binary(={peer}) & {}", first(tests)?)]);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        Ok(command)
    }

    fn configuration(&self) -> Result<PathBuf> {
        let path = self.directory.path().join("nextest.toml");
        if !path.exists() {
            fs::write(&path, "[profile.default]\n")?;
        }
        Ok(path)
    }
}

/// A run that was started.
#[derive(Debug)]
pub(crate) struct Run {
    child: Child,
    log: PathBuf,
}

/// What a run has come to.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) passed: u32,
    pub(crate) failed: u32,
    log: String,
}

impl Run {
    /// Starts a run whose output goes to a file in a directory.
    pub(crate) fn start(mut command: Command, directory: &Path) -> Result<Self> {
        let log = directory.join(format!("nextest-{}.log", uuid::Uuid::new_v4().simple()));
        let child =
            command.stderr(File::create(&log)?).spawn().map_err(|error| format!("{command:?}: {error}"))?;
        Ok(Self { child, log })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn has_ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// Kills the runner, which cannot do anything about it.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Waits for the end.
    pub(crate) fn wait(self) -> Result<Ended> {
        self.wait_for(RUN_TIME_MAX)?.ok_or_else(|| format!("expected a run of at most {RUN_TIME_MAX:?}").into())
    }

    /// Waits for the end, for so long; a run that hangs is killed.
    pub(crate) fn wait_for(mut self, time_max: Duration) -> Result<Option<Ended>> {
        let started = Instant::now();
        while !self.has_ended()? {
            if started.elapsed() > time_max {
                self.kill()?;
                return Ok(None);
            }
            std::thread::sleep(POLL_INTERVAL);
        }
        let status = self.child.wait()?;
        let log = fs::read_to_string(&self.log)?;
        let count = |what| log.lines().rev().find_map(|line| counted(line, what)).unwrap_or(0);
        Ok(Some(Ended { status, passed: count("passed"), failed: count("failed"), log }))
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    /// Whether exactly so many tests ran, and all of them passed.
    pub(crate) fn expect(&self, tests: u32) -> Result<()> {
        if self.status.success() && self.passed == tests && self.failed == 0 {
            return Ok(());
        }
        let Self { status, passed, failed, log } = self;
        Err(format!("expected {tests} tests passed, found {passed} passed, {failed} failed, {status}:\n{log}")
            .into())
    }
}

/// The number before a word in nextest's `Summary [ 1.2s] 20 tests run: 19 passed, 1 failed, 980 skipped`.
fn counted(line: &str, what: &str) -> Option<u32> {
    let (_, counts) = line.trim_start().strip_prefix("Summary ")?.split_once("run: ")?;
    let mut words = counts.split([' ', ',']);
    let mut previous = words.next()?;
    for word in words {
        if word == what {
            return previous.parse().ok();
        }
        previous = word;
    }
    None
}

/// The filter for the first so many tests, in tens.
fn first(tests: u32) -> Result<String> {
    if tests == 0 || !tests.is_multiple_of(10) || tests > TESTS_MAX {
        return Err(format!("expected a number of tests in tens up to {TESTS_MAX}, found {tests}").into());
    }
    let tens: Vec<_> = (0..tests / 10).map(|ten| format!("{ten:03}")).collect();
    Ok(format!("test(/^test_({})[0-9]$/)", tens.join("|")))
}

/// The cargo that runs this bench, if one does.
fn cargo() -> Command {
    let mut command = clean(Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())));
    command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    command
}

fn clean(mut command: Command) -> Command {
    for (name, _) in std::env::vars_os() {
        if FOREIGN_PREFIXES.iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    // The same kind of server for all, and none that stays for somebody who looks at a failed test.
    command.envs([("PROOFMARK_SERVER", "local"), ("PROOFMARK_KEEP_MINUTES", "0")]);
    command
}

/// What a command prints, which is also left in a file.
fn output(command: &mut Command, file: &Path) -> Result<serde_json::Value> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| format!("{command:?}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{command:?} failed: {}", output.status).into());
    }
    fs::write(file, &output.stdout)?;
    Ok(serde_json::from_slice(&output.stdout)?)
}
