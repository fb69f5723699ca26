//! Where things are kept from one run to the next: golden data directories, and Postgres itself if we installed it.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Names the directory of the cache.
pub(crate) const CACHE_VARIABLE: &str = "PROOFMARK_CACHE_DIR";

/// The cache of the whole machine, which root installs into when nobody else gets into its own.
const SYSTEM_CACHE: &str = "/var/cache/proofmark";

/// The cache that the user named cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(
    "the cache directory {} that {CACHE_VARIABLE} names cannot be used: {source}; expected a directory that can \
     be written to: name another, or unset {CACHE_VARIABLE}", directory.display()
)]
pub struct CacheError {
    /// The directory.
    pub directory: PathBuf,
    /// What went wrong.
    #[source]
    pub source: io::Error,
}

/// A directory of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cache {
    pub(super) directory: PathBuf,
    /// Whether the user named it.
    pub(super) explicit: bool,
}

impl Cache {
    /// The user's choice, else the customary place; none without a home directory.
    pub(super) fn find() -> Option<Self> {
        Self::named().or_else(Self::customary)
    }

    fn named() -> Option<Self> {
        let directory = variable(CACHE_VARIABLE)?;
        Some(Self { directory, explicit: true })
    }

    fn customary() -> Option<Self> {
        let absolute = |name| variable(name).filter(|path| path.is_absolute());
        let parent = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
        Some(Self { directory: parent.join("proofmark"), explicit: false })
    }

    /// That of the whole machine.
    fn system() -> Self {
        Self { directory: SYSTEM_CACHE.into(), explicit: false }
    }

    /// All that may hold something, wherever new things go: the user's choice, the customary place, the machine's.
    pub(super) fn all() -> Vec<Self> {
        Self::named().into_iter().chain(Self::customary()).chain([Self::system()]).collect()
    }

    /// Where root may put what others are to reach: the user's choice and nowhere else, if there is one.
    pub(super) fn for_root() -> Vec<Self> {
        match Self::named() {
            Some(named) => vec![named],
            None => Self::all(),
        }
    }

    /// Where Postgres is installed, a directory for every major version.
    pub(super) fn postgres(&self) -> PathBuf {
        self.directory.join("postgres")
    }

    /// Makes the directory. Others may pass through, as a server that root starts runs as another user, but see
    /// nothing of it.
    pub(super) fn create(&self) -> io::Result<()> {
        create_directory(&self.directory, 0o711)
    }

    /// An error of a cache that the user named is told; any other cache is only there to save time.
    pub(super) fn tolerate(&self, error: io::Error) -> Result<(), CacheError> {
        if self.explicit {
            return Err(CacheError { directory: self.directory.clone(), source: error });
        }
        tracing::warn!(directory = %self.directory.display(), %error, "the cache cannot be used");
        Ok(())
    }
}

fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// Makes a directory and those above it, unless it is there; with this mode, whatever the process's mask says.
pub(super) fn create_directory(directory: &Path, mode: u32) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(directory)?;
    fs::set_permissions(directory, Permissions::from_mode(mode))
}
