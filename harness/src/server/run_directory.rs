//! The directory that holds everything a local server has: one `remove` and it was never there.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::local::LocalError;

/// Room that a file system must have before it is used, in bytes.
const ROOM_MIN_BYTES: u64 = 512 * 1024 * 1024;

/// The longest path of a Unix socket that every system takes, in bytes.
const SOCKET_PATH_MAX_BYTES: usize = 103;

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

/// A private directory, removed when dropped.
#[derive(Debug)]
pub(super) struct RunDirectory {
    directory: TempDir,
    owner: Option<Owner>,
}

impl RunDirectory {
    /// In memory where there is room (a database is cloned twenty times as fast there as on a disk), else in the
    /// directory for temporary files, else in `/tmp`.
    pub(super) fn create() -> Result<Self, LocalError> {
        let owner = Owner::needed()?;
        let temporary = std::env::temp_dir();
        let memory = Path::new("/dev/shm");
        let mut refused = Vec::new();
        for parent in [memory, &temporary, Path::new("/tmp")] {
            if parent == memory && !has_room(memory) {
                continue;
            }
            match Self::create_in(parent, owner) {
                Ok(directory) => return Ok(directory),
                Err(error) => refused.push(format!("{}: {error}", parent.display())),
            }
        }
        Err(LocalError::NoDirectory { refused: refused.join("; ") })
    }

    fn create_in(parent: &Path, owner: Option<Owner>) -> io::Result<Self> {
        let parent = parent.canonicalize()?;
        if owner.is_some() && !is_open_to_all(&parent)? {
            return Err(io::Error::other("the user that the server runs as cannot get there"));
        }
        // Whoever gets in may connect without a password.
        let private = Permissions::from_mode(0o700);
        let directory = tempfile::Builder::new().prefix("proofmark-").permissions(private).tempdir_in(parent)?;
        if let Some(Owner { uid, gid }) = owner {
            std::os::unix::fs::chown(directory.path(), Some(uid), Some(gid))?;
        }
        let run = Self { directory, owner };
        let socket_bytes = run.socket(u16::MAX).as_os_str().len();
        if socket_bytes > SOCKET_PATH_MAX_BYTES {
            return Err(io::Error::other(format!(
                "a socket's path would have {socket_bytes} bytes, and the most is {SOCKET_PATH_MAX_BYTES}"
            )));
        }
        Ok(run)
    }

    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(super) fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    pub(super) fn socket(&self, port: u16) -> PathBuf {
        self.path().join(format!(".s.PGSQL.{port}"))
    }

    /// Gives a file to the user that the server runs as.
    pub(super) fn give(&self, path: &Path) -> io::Result<()> {
        match self.owner {
            Some(Owner { uid, gid }) => std::os::unix::fs::chown(path, Some(uid), Some(gid)),
            None => Ok(()),
        }
    }

    /// Makes a command run as the user that owns the directory, out of reach of the terminal's signals.
    pub(super) fn confine(&self, command: &mut Command) {
        if let Some(Owner { uid, gid }) = self.owner {
            command.uid(uid).gid(gid);
        }
        command.current_dir(self.path()).process_group(0);
    }

    /// Removes the directory; once more if a process that is dying wrote to it meanwhile.
    pub(super) fn remove(&self) -> io::Result<()> {
        let gone = |result: io::Result<()>| match result {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        };
        gone(std::fs::remove_dir_all(self.path())).or_else(|_| {
            std::thread::sleep(std::time::Duration::from_millis(50));
            gone(std::fs::remove_dir_all(self.path()))
        })
    }
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
        let run = RunDirectory::create().unwrap();
        assert_eq!(run.path().metadata().unwrap().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_directory_too_deep_for_a_socket_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        let deep = parent.path().join("d".repeat(90));
        std::fs::create_dir(&deep).unwrap();
        let error = RunDirectory::create_in(&deep, None).unwrap_err().to_string();
        assert!(error.contains("bytes"), "{error}");
        assert_eq!(std::fs::read_dir(&deep).unwrap().count(), 0);
    }
}
