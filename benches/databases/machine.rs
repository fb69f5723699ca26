//! What a run leaves on the machine: processes, directories, shared memory, containers, databases.
//!
//! Others may use the harness on the same machine meanwhile. What has our mark is ours. So is what is new and has no
//! living owner; what is new and has one is ours if the owner has our mark.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use crate::Result;
use crate::server::PeerServer;

/// Inherited by every process of a run, however often it was handed on.
const MARK_VARIABLE: &str = "PROOFMARK_BENCH_MARK";

/// Where the harness makes directories, other than in the directory for temporary files, which a run has to itself.
const PARENTS: [&str; 2] = ["/dev/shm", "/tmp"];

/// How the names of its directories begin, and those of shared memory.
const PREFIXES: [&str; 2] = ["proofmark-", "PostgreSQL."];

/// How many parents are asked for the owner of a process.
const PARENTS_MAX: u32 = 16;

/// Whether there is a container engine that answers.
static HAS_ENGINE: LazyLock<bool> = LazyLock::new(|| containers().is_some());

/// A living process.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) id: u32,
    pub(crate) parent: u32,
    /// Its arguments; Postgres replaces them, and its variables with them, by what it is doing.
    pub(crate) arguments: String,
    variables: Vec<u8>,
    directory: PathBuf,
}

impl Process {
    fn read(id: u32) -> Option<Self> {
        let proc = PathBuf::from(format!("/proc/{id}"));
        let stat = fs::read_to_string(proc.join("stat")).ok()?;
        // What follows the name: the state, then the parent. One that has ended and was not waited for is gone.
        let mut fields = stat.rsplit_once(") ")?.1.split(' ');
        if matches!(fields.next()?, "Z" | "X") {
            return None;
        }
        Some(Self {
            id,
            parent: fields.next()?.parse().ok()?,
            arguments: String::from_utf8_lossy(&fs::read(proc.join("cmdline")).ok()?).replace('\0', " "),
            // Not readable are those of other users, and of the kernel.
            variables: fs::read(proc.join("environ")).unwrap_or_default(),
            directory: fs::read_link(proc.join("cwd")).unwrap_or_default(),
        })
    }

    fn all() -> Result<Vec<Self>> {
        let ids = fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        Ok(ids.filter_map(Self::read).collect())
    }

    /// Whether it was started with a variable.
    pub(crate) fn has(&self, name: &str, value: Option<&str>) -> bool {
        self.variables.split(|byte| *byte == 0).any(|variable| {
            let variable = variable.strip_prefix(name.as_bytes()).and_then(|rest| rest.strip_prefix(b"="));
            variable.is_some_and(|found| value.is_none_or(|value| found == value.as_bytes()))
        })
    }

    fn is_postgres(&self) -> bool {
        let program = self.arguments.split(' ').next().unwrap_or_default().trim_end_matches(':');
        Path::new(program).file_name() == Some(OsStr::new("postgres"))
    }

    fn uses(&self, path: &Path) -> bool {
        let path = path.as_os_str().as_bytes();
        let names = |text: &[u8]| text.windows(path.len()).any(|window| window == path);
        names(self.arguments.as_bytes()) || names(self.directory.as_os_str().as_bytes())
    }
}

/// Whether a process is one of Postgres, also when it has ended meanwhile.
pub(crate) fn is_postgres(id: u32) -> bool {
    Process::read(id).is_some_and(|process| process.is_postgres())
}

/// Kills a process as `kill -9` does.
pub(crate) fn kill(id: u32) -> Result<()> {
    let id = rustix::process::Pid::from_raw(i32::try_from(id)?).ok_or("expected the id of a process, found 0")?;
    match rustix::process::kill_process(id, rustix::process::Signal::KILL) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The machine from before a run on.
#[derive(Debug)]
pub(crate) struct Watch {
    mark: String,
    temporary: tempfile::TempDir,
    before: Things,
}

/// What processes can leave behind.
#[derive(Debug)]
struct Things {
    paths: BTreeSet<PathBuf>,
    /// System V shared memory: its id, and its creator.
    segments: BTreeSet<(String, u32)>,
    /// Their ids, and the processes that made them.
    containers: BTreeSet<(String, u32)>,
}

impl Things {
    fn find() -> Result<Self> {
        let mut paths = BTreeSet::new();
        for parent in PARENTS {
            let Ok(entries) = fs::read_dir(parent) else { continue };
            let names = entries.filter_map(|entry| Some(entry.ok()?.path()));
            paths.extend(names.filter(|path| {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                PREFIXES.iter().any(|prefix| name.starts_with(prefix))
            }));
        }
        let segments = fs::read_to_string("/proc/sysvipc/shm").unwrap_or_default();
        let segments = segments.lines().skip(1).filter_map(|line| {
            let fields: Vec<_> = line.split_whitespace().collect();
            Some(((*fields.get(1)?).to_owned(), fields.get(4)?.parse().ok()?))
        });
        let containers = if *HAS_ENGINE { containers().unwrap_or_default() } else { BTreeSet::new() };
        Ok(Self { paths, segments: segments.collect(), containers })
    }
}

impl Watch {
    /// Looks at what is there already.
    pub(crate) fn begin() -> Result<Self> {
        let mark = uuid::Uuid::new_v4().simple().to_string();
        Ok(Self { mark, temporary: tempfile::tempdir()?, before: Things::find()? })
    }

    /// Marks what a command starts, and gives it a directory for temporary files to itself.
    pub(crate) fn mark(&self, command: &mut Command) {
        command.env(MARK_VARIABLE, &self.mark);
        command.env("TMPDIR", self.temporary.path()).env("XDG_RUNTIME_DIR", self.temporary.path());
    }

    /// The living processes that have the mark. Those of Postgres lose it.
    pub(crate) fn marked(&self) -> Result<Vec<Process>> {
        let mut processes = Process::all()?;
        processes.retain(|process| process.has(MARK_VARIABLE, Some(&self.mark)));
        Ok(processes)
    }

    /// All that is left, in words.
    pub(crate) fn leftovers(&self, server: Option<&PeerServer>) -> Result<Vec<String>> {
        let processes = Process::all()?;
        let things = Things::find()?;
        let mut left = Vec::new();
        for process in processes.iter().filter(|process| self.is_left(process, &processes)) {
            left.push(format!("process {} of {}: {}", process.id, process.parent, process.arguments));
        }
        for path in things.paths.difference(&self.before.paths) {
            let mut users = processes.iter().filter(|process| process.uses(path)).peekable();
            if users.peek().is_none() || users.any(|user| self.is_ours(user, &processes)) {
                left.push(path.display().to_string());
            }
        }
        let temporary = fs::read_dir(self.temporary.path())?;
        left.extend(temporary.filter_map(|entry| Some(entry.ok()?.path().display().to_string())));
        let is_ours = |creator: u32| {
            let creator = processes.iter().find(|process| process.id == creator);
            creator.is_none_or(|creator| self.is_ours(creator, &processes))
        };
        for (segment, creator) in things.segments.difference(&self.before.segments) {
            if is_ours(*creator) {
                left.push(format!("System V shared memory {segment}"));
            }
        }
        for (container, creator) in things.containers.difference(&self.before.containers) {
            if is_ours(*creator) {
                left.push(format!("container {container}"));
            }
        }
        if let Some(server) = server {
            left.extend(server.databases()?.into_iter().map(|name| format!("database {name}")));
        }
        Ok(left)
    }

    /// A process that has our mark, or that uses a directory of ours.
    fn is_left(&self, process: &Process, all: &[Process]) -> bool {
        if process.has(MARK_VARIABLE, Some(&self.mark)) || process.uses(self.temporary.path()) {
            return true;
        }
        let known = |path: &PathBuf| process.uses(path);
        let uses_any = PARENTS.iter().any(|parent| process.uses(&Path::new(parent).join("proofmark-")));
        uses_any && !self.before.paths.iter().any(known) && self.is_ours(process, all)
    }

    /// Whether the first process that is not Postgres, up from a process, has our mark, or there is none: the owner
    /// was killed, and it might have been ours.
    fn is_ours(&self, process: &Process, all: &[Process]) -> bool {
        let mut owner = process;
        for _ in 0..PARENTS_MAX {
            if !owner.is_postgres() {
                return owner.has(MARK_VARIABLE, Some(&self.mark));
            }
            match all.iter().find(|process| process.id == owner.parent && process.id > 1) {
                Some(parent) => owner = parent,
                None => return true,
            }
        }
        true
    }

    /// Ends and removes what is left, so that it does not disturb what follows.
    pub(crate) fn clean(self, server: Option<&PeerServer>) -> Result<()> {
        let processes = Process::all()?;
        for process in processes.iter().filter(|process| self.is_left(process, &processes)) {
            kill(process.id)?;
        }
        if let Some(server) = server {
            server.drop_databases(&server.databases()?)?;
        }
        for path in Things::find()?.paths.difference(&self.before.paths) {
            if !processes.iter().any(|process| process.uses(path) && !self.is_ours(process, &processes)) {
                let _ = fs::remove_dir_all(path);
            }
        }
        Ok(())
    }
}

/// The containers that the harness made; none if there is no engine that answers.
fn containers() -> Option<BTreeSet<(String, u32)>> {
    let mut list = Command::new("docker");
    list.args(["ps", "--all", "--no-trunc", "--filter", "label=proofmark.owner"]);
    list.args(["--format", "{{.ID}} {{.Label \"proofmark.owner\"}}"]);
    let output = list.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let lines = String::from_utf8_lossy(&output.stdout);
    // The label begins with the id of the process.
    let containers = lines.lines().filter_map(|line| {
        let mut words = line.split(' ');
        Some((words.next()?.to_owned(), words.next()?.parse().unwrap_or_default()))
    });
    output.status.success().then(|| containers.collect())
}
