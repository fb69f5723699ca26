//! The user that a server runs as when we are root: Postgres refuses to run as root.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::local::LocalError;

/// Who it may be, in the order of preference.
const NAMES: [&str; 2] = ["postgres", "nobody"];

/// A user without privileges. It is in one group only, as further ones are dropped when a process becomes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl Owner {
    /// Nobody but ourselves, unless we are root.
    pub(super) fn needed() -> Result<Option<Self>, LocalError> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let find = |name| Self::listed(&users, name).or_else(|| Self::named(name));
        NAMES.into_iter().find_map(find).map(Some).ok_or(LocalError::NoUser)
    }

    /// As /etc/passwd lists it, which nearly always does, and is read a hundred times as fast as `id` is run.
    fn listed(users: &str, name: &str) -> Option<Self> {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut ids = line.split(':').skip(2).map(|id| id.parse().ok());
        Self::unprivileged(ids.next()??, ids.next()??)
    }

    /// As `id` says, which asks every source of users that the system has.
    fn named(name: &str) -> Option<Self> {
        let ask = |flag: &str| {
            let output = Command::new("id").args([flag, name]).stdin(Stdio::null()).output().ok()?;
            String::from_utf8(output.stdout).ok()?.trim().parse().ok()
        };
        Self::unprivileged(ask("-u")?, ask("-g")?)
    }

    fn unprivileged(uid: u32, gid: u32) -> Option<Self> {
        (uid != 0).then_some(Self { uid, gid })
    }

    /// Makes a command run as this user.
    pub(super) fn take(self, command: &mut Command) {
        command.uid(self.uid).gid(self.gid);
    }

    /// Makes sure that this user can get into the directory.
    ///
    /// # Errors
    /// When it cannot; the error names the directory on the way that is closed to it.
    pub(super) fn check_reaches(self, directory: &Path) -> io::Result<()> {
        match self.closed_ancestor(directory)? {
            None => Ok(()),
            Some(closed) => Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!("the user that the server runs as (id {}) cannot get into {}", self.uid, closed.display()),
            )),
        }
    }

    fn closed_ancestor(self, directory: &Path) -> io::Result<Option<PathBuf>> {
        let directory = directory.canonicalize()?;
        for ancestor in directory.ancestors() {
            if !self.may_enter(&ancestor.metadata()?) {
                return Ok(Some(ancestor.to_owned()));
            }
        }
        Ok(None)
    }

    /// The system looks at the first of the three that applies.
    fn may_enter(self, metadata: &Metadata) -> bool {
        let bit = if metadata.uid() == self.uid {
            0o100
        } else if metadata.gid() == self.gid {
            0o010
        } else {
            0o001
        };
        metadata.mode() & bit != 0
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn users_are_read_and_root_is_refused() {
        let users = "root:x:0:0:root:/root:/bin/bash\npostgres:x:101:104:PostgreSQL:/var/lib:/bin/bash\n\
                     nobody:*:-2:-2:Nobody:/:/usr/bin/false\n";
        assert_eq!(Owner::listed(users, "postgres"), Some(Owner { uid: 101, gid: 104 }));
        for name in ["root", "nobody", "post", "someone"] {
            assert_eq!(Owner::listed(users, name), None, "{name}");
        }
    }

    #[test]
    fn a_closed_directory_on_the_way_is_named() {
        let outer = tempfile::tempdir().unwrap();
        let inner = outer.path().canonicalize().unwrap().join("inner");
        fs::create_dir(&inner).unwrap();
        let metadata = outer.path().metadata().unwrap();
        fs::set_permissions(outer.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let stranger = Owner { uid: metadata.uid() + 1, gid: metadata.gid() + 1 };
        let closed = stranger.closed_ancestor(&inner).unwrap();
        assert_eq!(closed, Some(outer.path().canonicalize().unwrap()));
        let group = Owner { gid: metadata.gid(), ..stranger };
        fs::set_permissions(outer.path(), fs::Permissions::from_mode(0o710)).unwrap();
        assert_eq!(group.closed_ancestor(&inner).unwrap(), None);
        assert!(stranger.check_reaches(&inner).is_err());
    }
}
