//! The directory that holds everything a local server has: one `remove` and it was never there.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use uuid::Uuid;

use super::local::LocalError;
use super::owner::Owner;
use super::watchdog::Watchdog;
use crate::role::ROLE_VARIABLE;

/// How the names of directories begin whose server belongs to one process.
pub(crate) const OWN_PREFIX: &str = "proofmark-";

/// How the names of directories begin that the processes of a run share.
pub(crate) const SHARED_PREFIX: &str = "proofmark-shared-";

/// Names the directory that the files of servers are put into, instead of memory where there is room.
pub(crate) const RUN_DIRECTORY_VARIABLE: &str = "PROOFMARK_RUN_DIR";

/// Room that memory must have before it is used, in bytes. In a container it often has 64 MiB.
const MEMORY_MIN_BYTES: u64 = 512 * 1024 * 1024;

/// Room without which a server cannot even be started, in bytes.
const ROOM_MIN_BYTES: u64 = 96 * 1024 * 1024;

/// The longest path of a Unix socket that every system takes, in bytes.
const SOCKET_PATH_MAX_BYTES: usize = 103;

const REMOVE_RETRIES: u32 = 20;

const REMOVE_RETRY_INTERVAL: Duration = Duration::from_millis(50);

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
    pub(super) fn create(prefix: &str, owner: Option<Owner>) -> Result<Self, LocalError> {
        if let Some(named) = std::env::var_os(RUN_DIRECTORY_VARIABLE).filter(|value| !value.is_empty()) {
            let refused = |error| format!("{} ({RUN_DIRECTORY_VARIABLE}): {error}", Path::new(&named).display());
            let created = Self::create_in(Path::new(&named), prefix, owner);
            return created.map_err(|error| LocalError::NoDirectory { refused: refused(error) });
        }
        let temporary = std::env::temp_dir();
        let memory = Path::new("/dev/shm");
        let mut refused = Vec::new();
        for parent in [memory, &temporary, Path::new("/tmp")] {
            if parent == memory && room(memory).is_ok_and(|bytes| bytes < MEMORY_MIN_BYTES) {
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
        if let Some(owner) = owner {
            owner.check_reaches(&parent)?;
        }
        let bytes = room(&parent)?;
        if bytes < ROOM_MIN_BYTES {
            let message = format!("expected room for {ROOM_MIN_BYTES} bytes, found {bytes}");
            return Err(io::Error::new(io::ErrorKind::StorageFull, message));
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

    /// The user that the server runs as, if that is not ourselves.
    pub(super) fn owner(&self) -> Option<Owner> {
        self.owner
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
        gate.arg(command.get_program()).args(command.get_args()).env_remove(ROLE_VARIABLE);
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => gate.env(name, value),
                None => gate.env_remove(name),
            };
        }
        if let Some(owner) = self.owner {
            owner.take(&mut gate);
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

    /// Removes the piece of shared memory that a server which was killed has left, to keep others from its files.
    fn remove_segment(&self) {
        let Ok(file) = fs::read_to_string(self.data().join("postmaster.pid")) else { return };
        // The line has the key and the id.
        if let Some(id) = file.lines().nth(6).and_then(|line| line.split_whitespace().nth(1)) {
            let _ = Command::new("ipcrm").args(["-m", id]).stdin(Stdio::null()).output();
        }
    }

    /// Removes the directory; again if a process that is dying wrote to it meanwhile. What cannot be removed is left
    /// to the watchdog.
    pub(super) fn remove(&mut self) -> io::Result<()> {
        self.remove_segment();
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

/// What a file system has left, in bytes.
fn room(directory: &Path) -> io::Result<u64> {
    let status = rustix::fs::statvfs(directory)?;
    Ok(status.f_bavail.saturating_mul(status.f_frsize))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn nobody_else_gets_in() {
        let run = RunDirectory::create(OWN_PREFIX, Owner::needed().unwrap()).unwrap();
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
