//! A disk that is soon full: a small file system in memory.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The most that a disk is filled with, in octets: more than one has.
const FILLER_OCTETS_MAX: u64 = 1 << 30;

/// Why there is no small disk.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiskError {
    /// A file or directory cannot be made.
    #[error("{} cannot be made or read", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: std::io::Error,
    },
    /// It cannot be mounted.
    #[error("mount of a file system of {octets} octets at {}: {message}", path.display())]
    Mount {
        /// Where.
        path: PathBuf,
        /// How large.
        octets: u64,
        /// What the program said.
        message: String,
    },
}

/// Whether this process may mount file systems, as far as can be said without trying.
#[must_use]
pub fn can_mount() -> bool {
    rustix::process::geteuid().is_root()
}

/// A file system of limited size, which belongs to whoever owns another directory. It is unmounted when this is
/// dropped, or when this process ends in whatever way.
#[derive(Debug)]
pub struct SmallDisk {
    path: PathBuf,
    filler: Option<PathBuf>,
    guard: Child,
}

impl SmallDisk {
    /// Mounts one of so many octets, for the owner of that directory.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn mount(octets: u64, like: &Path) -> Result<Self, DiskError> {
        let failed = |path: &Path, source| DiskError::File { path: path.to_owned(), source };
        let owner = std::fs::metadata(like).map_err(|error| failed(like, error))?;
        let place = tempfile::Builder::new()
            .prefix("proofmark-disk-")
            .permissions(std::fs::Permissions::from_mode(0o755))
            .tempdir()
            .map_err(|error| failed(&std::env::temp_dir(), error))?;
        // Ends with our end of its pipe, however we end, and is not hit by what is sent to our group.
        let script = "read -r _; umount -l \"$1\"; rmdir \"$1\"";
        let guard = Command::new("sh")
            .args(["-c", script, "proofmark-disk"])
            .arg(place.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(|error| failed(place.path(), error))?;
        // From here on the directory is the guard's.
        let path = place.keep();
        let disk = Self { path, filler: None, guard };
        let options = format!("size={octets},mode=700,uid={},gid={}", owner.uid(), owner.gid());
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "proofmark"])
            .arg(&disk.path)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| failed(&disk.path, error))?;
        if !mounted.status.success() {
            let message = String::from_utf8_lossy(&mounted.stderr).trim().to_owned();
            return Err(DiskError::Mount { path: disk.path.clone(), octets, message });
        }
        Ok(disk)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Fills it to the last octet.
    ///
    /// # Errors
    /// When no file can be made.
    pub fn fill(&mut self) -> Result<(), DiskError> {
        let path = self.path.join("filler");
        let mut file = File::create(&path).map_err(|source| DiskError::File { path: path.clone(), source })?;
        self.filler = Some(path);
        let mut written = 0;
        while written < FILLER_OCTETS_MAX && file.write_all(&[0; 4096]).is_ok() {
            written += 4096;
        }
        Ok(())
    }

    /// Makes room again.
    ///
    /// # Errors
    /// When the file cannot be removed.
    pub fn make_room(&mut self) -> Result<(), DiskError> {
        if let Some(path) = self.filler.take() {
            std::fs::remove_file(&path).map_err(|source| DiskError::File { path, source })?;
        }
        Ok(())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}
