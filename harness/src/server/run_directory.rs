//! The directory that holds everything a local server has: one `remove` and it was never there.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::Pid;
use uuid::Uuid;

use super::local::LocalError;
use super::watchdog::Watchdog;

/// How the names of directories begin whose server belongs to one process.
pub(super) const OWN_PREFIX: &str = "proofmark-";

/// How the names of directories begin that the processes of a run share.
pub(super) const SHARED_PREFIX: &str = "proofmark-shared-";

/// Room that a file system must have before it is used, in bytes.
const ROOM_MIN_BYTES: u64 = 512 * 1024 * 1024;

/// The longest path of a Unix socket that every system takes, in bytes.
const SOCKET_PATH_MAX_BYTES: usize = 103;

const REMOVE_RETRIES: u32 = 20;

const REMOVE_RETRY_INTERVAL: Duration = Duration::from_millis(50);

/// The user that server processes run as when we are root: Postgres refuses to run as root.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owner {
    uid: u32,
    gid: u32,
}

impl Owner {
    /// Nobody but ourselves, unless we are root.
    fn needed() -> Result<Option<Self>, LocalError> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        ["postgres", "nobody"].into_iter().find_map(Self::named).map(Some).ok_or(LocalError::NoUser)
    }

    fn named(name: &str) -> Option<Self> {
        // `id` asks every source of users that the system has; a look into /etc/passwd would not.
        let ask = |flag: &str| {
            let output = Command::new("id").args([flag, name]).stdin(Stdio::null()).output().ok()?;
            String::from_utf8(output.stdout).ok()?.trim().parse().ok()
        };
        Some(Self { uid: ask("-u")?, gid: ask("-g")? })
    }
}

/// A private directory, removed when dropped, and by the watchdog when nobody is left to drop it.
#[derive(Debug)]
pub(super) struct RunDirectory {
    path: PathBuf,
    owner: Option<Owner>,
    watchdog: Watchdog,
}

impl RunDirectory {
    /// In memory where there is room (a database is cloned twenty times as fast there as on a disk), else in the
    /// directory for temporary files, else in `/tmp`.
    pub(super) fn create(prefix: &str) -> Result<Self, LocalError> {
        let owner = Owner::needed()?;
        let temporary = std::env::temp_dir();
        let memory = Path::new("/dev/shm");
        let mut refused = Vec::new();
        for parent in [memory, &temporary, Path::new("/tmp")] {
            if parent == memory && !has_room(memory) {
                continue;
            }
            match Self::create_in(parent, prefix, owner) {
                Ok(directory) => return Ok(directory),
                Err(error) => refused.push(format!("{}: {error}", parent.display())),
            }
        }
        Err(LocalError::NoDirectory { refused: refused.join("; ") })
    }

    fn create_in(parent: &Path, prefix: &str, owner: Option<Owner>) -> io::Result<Self> {
        let parent = parent.canonicalize()?;
        if owner.is_some() && !is_open_to_all(&parent)? {
            return Err(io::Error::other("the user that the server runs as cannot get there"));
        }
        let name = Uuid::new_v4().simple().to_string();
        let path = parent.join(format!("{prefix}{}", &name[..12]));
        let socket_bytes = socket(&path, u16::MAX).as_os_str().len();
        if socket_bytes > SOCKET_PATH_MAX_BYTES {
            return Err(io::Error::other(format!(
                "a socket's path would have {socket_bytes} bytes, and the most is {SOCKET_PATH_MAX_BYTES}"
            )));
        }
        let watchdog = Watchdog::start(&path)
            .map_err(|error| io::Error::other(format!("its watchdog does not run (it needs /bin/sh): {error}")))?;
        let run = Self { path, owner, watchdog };
        // Private, as whoever gets in may connect without a password.
        fs::DirBuilder::new().mode(0o700).create(&run.path)?;
        run.give(&run.path)?;
        Ok(run)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    /// Gives a file to the user that the server runs as.
    pub(super) fn give(&self, path: &Path) -> io::Result<()> {
        match self.owner {
            Some(Owner { uid, gid }) => std::os::unix::fs::chown(path, Some(uid), Some(gid)),
            None => Ok(()),
        }
    }

    /// Starts a command in the directory, as the user that owns it, out of reach of the terminal's signals. It
    /// begins when the watchdog knows of it: should this process be killed before, it ends without having begun.
    pub(super) fn spawn(&mut self, command: &Command, output: File) -> io::Result<Child> {
        let mut gate = Command::new("/bin/sh");
        gate.args(["-c", "read -r go && exec \"$@\" </dev/null", "proofmark-gate"]);
        gate.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => gate.env(name, value),
                None => gate.env_remove(name),
            };
        }
        if let Some(Owner { uid, gid }) = self.owner {
            gate.uid(uid).gid(gid);
        }
        gate.stdin(Stdio::piped()).stdout(output.try_clone()?).stderr(output);
        let mut child = gate.current_dir(&self.path).process_group(0).spawn()?;
        // An error ends the child as well: its end of the pipe is closed when this returns.
        self.watchdog.watch(&child)?;
        if let Some(mut pipe) = child.stdin.take() {
            pipe.write_all(b"go\n")?;
        }
        Ok(child)
    }

    /// Leaves the directory, and what runs in it, to another process's lifetime.
    pub(super) fn hand_over(&mut self, to: Pid, meeting_point: &Path) -> io::Result<()> {
        self.watchdog.hand_over(to, meeting_point)
    }

    /// Removes the directory; again if a process that is dying wrote to it meanwhile. What cannot be removed is left
    /// to the watchdog.
    pub(super) fn remove(&mut self) -> io::Result<()> {
        let mut result = fs::remove_dir_all(&self.path);
        for _ in 0..REMOVE_RETRIES {
            match &result {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    std::thread::sleep(REMOVE_RETRY_INTERVAL);
                    result = fs::remove_dir_all(&self.path);
                }
                Err(_) | Ok(()) => {
                    self.watchdog.release();
                    return Ok(());
                }
            }
        }
        result
    }
}

impl Drop for RunDirectory {
    fn drop(&mut self) {
        let _ = self.remove();
    }
}

fn socket(directory: &Path, port: u16) -> PathBuf {
    directory.join(format!(".s.PGSQL.{port}"))
}

fn has_room(directory: &Path) -> bool {
    rustix::fs::statvfs(directory)
        .is_ok_and(|status| status.f_bavail.saturating_mul(status.f_frsize) >= ROOM_MIN_BYTES)
}

/// Whether every user can get into the directory.
fn is_open_to_all(directory: &Path) -> io::Result<bool> {
    for ancestor in directory.ancestors() {
        if ancestor.metadata()?.mode() & 0o001 == 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_else_gets_in() {
        let run = RunDirectory::create(OWN_PREFIX).unwrap();
        assert_eq!(run.path().metadata().unwrap().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_directory_too_deep_for_a_socket_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        let deep = parent.path().join("d".repeat(90));
        std::fs::create_dir(&deep).unwrap();
        let error = RunDirectory::create_in(&deep, OWN_PREFIX, None).unwrap_err().to_string();
        assert!(error.contains("bytes"), "{error}");
        assert_eq!(std::fs::read_dir(&deep).unwrap().count(), 0);
    }
}
