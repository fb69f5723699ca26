//! Finds `initdb` and `postgres`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::VERSION_MIN;
use super::cache::Cache;
use super::install;
use super::owner::Owner;

/// Names the directory of the binaries; when it is set, no other place is looked at.
pub(crate) const BINARIES_VARIABLE: &str = "PROOFMARK_POSTGRES_BIN";

/// Names the major version to take, wherever it is; unless it is set, the first that will do is taken.
pub const POSTGRES_VERSION_VARIABLE: &str = "PROOFMARK_POSTGRES_VERSION";

/// A directory with `initdb` and `postgres` of a version that will do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    /// The directory.
    pub directory: PathBuf,
    /// What `postgres --version` says.
    pub version: String,
    /// The major version.
    pub major: u32,
}

/// A place that was looked at in vain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looked {
    /// The place, and why it was looked at.
    pub place: String,
    /// What was found there.
    pub found: String,
}

/// There are no binaries that will do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BinariesError {
    /// None of the places has them.
    #[error(
        "expected the Postgres binaries initdb and postgres, {wanted}, found none; looked at:{}\nto get them, do one \
         of these:\n  - run `proofmark db install{}`, which needs npm or pip and no privileges\n  - install Postgres \
         (Debian, Ubuntu: apt-get install postgresql; Fedora: dnf install postgresql-server; macOS: brew install \
         postgresql)\n  - set {BINARIES_VARIABLE} to the directory that holds them\n  - set {} or --server to the \
         URL of a server that runs already",
        List(looked),
        wanted.install_option(),
        super::DATABASE_URL_VARIABLE
    )]
    NotFound {
        /// The version.
        wanted: Wanted,
        /// The places in the order in which they were looked at.
        looked: Vec<Looked>,
    },
    /// What is asked for is no version.
    #[error(
        "expected a major version such as 17, {VERSION_MIN} or later, in {POSTGRES_VERSION_VARIABLE}, found {found:?}"
    )]
    Version {
        /// What the variable holds.
        found: String,
    },
}

/// Which versions will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// All that the harness supports.
    Any,
    /// This major version, which `PROOFMARK_POSTGRES_VERSION` names.
    Major(u32),
}

impl Wanted {
    fn from_env() -> Result<Self, BinariesError> {
        let Some(text) = std::env::var_os(POSTGRES_VERSION_VARIABLE).filter(|text| !text.is_empty()) else {
            return Ok(Self::Any);
        };
        let major = text.to_str().and_then(|text| text.parse().ok()).filter(|major| *major >= VERSION_MIN);
        let error = || BinariesError::Version { found: text.to_string_lossy().into_owned() };
        major.map(Self::Major).ok_or_else(error)
    }

    fn install_option(self) -> String {
        match self {
            Self::Any => String::new(),
            Self::Major(major) => format!(" --version {major}"),
        }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => write!(formatter, "version {VERSION_MIN} or later"),
            Self::Major(major) => write!(formatter, "version {major}, which {POSTGRES_VERSION_VARIABLE} asks for"),
        }
    }
}

struct List<'a>(&'a [Looked]);

impl fmt::Display for List<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|looked| write!(formatter, "\n  - {}: {}", looked.place, looked.found))
    }
}

/// Lists directories that may hold binaries.
type Directories = fn() -> Vec<PathBuf>;

impl Binaries {
    /// The first that will do: of `PROOFMARK_POSTGRES_BIN` alone if it is set, else of the search path, of
    /// `pg_config --bindir`, of the places where packages put them, and of what `proofmark db install` installed,
    /// later versions first. With `PROOFMARK_POSTGRES_VERSION`, only that major version will do.
    ///
    /// # Errors
    /// When there are none; the error lists where they were looked for.
    pub fn find() -> Result<Self, BinariesError> {
        // Without a user to run as, no server can be started; that is told when one is.
        Self::find_for(Owner::needed().ok().flatten())
    }

    /// The same; the user that the server runs as can get at them.
    pub(super) fn find_for(owner: Option<Owner>) -> Result<Self, BinariesError> {
        let mut search = Search { wanted: Wanted::from_env()?, owner, looked: Vec::new() };
        if let Some(directory) = std::env::var_os(BINARIES_VARIABLE).filter(|value| !value.is_empty()) {
            return search.first_of(BINARIES_VARIABLE, &[directory.into()]).ok_or_else(|| search.not_found());
        }
        // In this order, each only when those before it had none.
        let places: [(&str, Directories); 9] = [
            ("PATH", search_path),
            ("pg_config --bindir", || pg_config().into_iter().collect()),
            ("/usr/lib/postgresql/*/bin", || children("/usr/lib/postgresql", "", "bin")),
            ("/usr/pgsql-*/bin", || children("/usr", "pgsql-", "bin")),
            ("/opt/homebrew/opt/postgresql*/bin", || children("/opt/homebrew/opt", "postgresql", "bin")),
            ("/usr/local/opt/postgresql*/bin", || children("/usr/local/opt", "postgresql", "bin")),
            ("/usr/local/pgsql/bin", || vec!["/usr/local/pgsql/bin".into()]),
            ("Postgres.app", || children("/Applications/Postgres.app/Contents/Versions", "", "bin")),
            ("proofmark db install", || Cache::all().iter().flat_map(install::installed).collect()),
        ];
        let found = places.into_iter().find_map(|(place, list)| search.first_of(place, &list()));
        found.ok_or_else(|| search.not_found())
    }

    /// The binaries of a directory; else what is there instead, if anything is.
    pub(super) fn inspect(directory: &Path) -> Result<Self, Option<String>> {
        let postgres = directory.join("postgres");
        match (postgres.is_file(), directory.join("initdb").is_file()) {
            (false, false) => return Err(None),
            (false, true) => return Err(Some("initdb without postgres".to_owned())),
            (true, false) => return Err(Some("postgres without initdb".to_owned())),
            (true, true) => {}
        }
        let output = Command::new(&postgres)
            .arg("--version")
            .stdin(Stdio::null())
            .output()
            .map_err(|error| Some(format!("postgres does not run: {error}")))?;
        let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        match major_version(&version) {
            Some(major) if major >= VERSION_MIN => Ok(Self { directory: directory.to_owned(), version, major }),
            Some(major) => Err(Some(format!("version {major}, which is older than {VERSION_MIN}"))),
            None => Err(Some(format!("postgres --version says {version:?} ({})", output.status))),
        }
    }

    pub(super) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.directory.join(program));
        // Messages in English, whatever the user's language: the port's retry reads them.
        command.env("LC_ALL", "C").env_remove("LANGUAGE").stdin(Stdio::null());
        command
    }
}

/// What is looked for, and what was found instead so far.
struct Search {
    wanted: Wanted,
    owner: Option<Owner>,
    looked: Vec<Looked>,
}

impl Search {
    fn first_of(&mut self, place: &str, directories: &[PathBuf]) -> Option<Binaries> {
        let before = self.looked.len();
        for directory in directories {
            match self.inspect(directory) {
                Ok(binaries) => return Some(binaries),
                // A search path has many directories, and few of them are worth a line.
                Err(None) => {}
                Err(Some(found)) => {
                    self.looked.push(Looked { place: format!("{place}: {}", directory.display()), found });
                }
            }
        }
        if self.looked.len() == before {
            let place = match directories {
                [directory] => format!("{place}: {}", directory.display()),
                _ => place.to_owned(),
            };
            self.looked.push(Looked { place, found: "nothing".to_owned() });
        }
        None
    }

    fn inspect(&self, directory: &Path) -> Result<Binaries, Option<String>> {
        let binaries = Binaries::inspect(directory)?;
        if let Wanted::Major(major) = self.wanted
            && major != binaries.major
        {
            return Err(Some(format!("version {}", binaries.major)));
        }
        if let Some(owner) = self.owner {
            // Where the programs are, not where links to them are.
            let programs = directory.join("postgres").canonicalize();
            let reached = programs.and_then(|path| owner.check_reaches(path.parent().unwrap_or(directory)));
            reached.and_then(|()| owner.check_reaches(directory)).map_err(|error| Some(error.to_string()))?;
        }
        Ok(binaries)
    }

    fn not_found(&mut self) -> BinariesError {
        BinariesError::NotFound { wanted: self.wanted, looked: std::mem::take(&mut self.looked) }
    }
}

/// The major version in `postgres (PostgreSQL) 15.18 (Debian ...)` or `... 18beta1`.
pub(super) fn major_version(text: &str) -> Option<u32> {
    let version = text.split("(PostgreSQL) ").nth(1)?;
    let digits = version.find(|c: char| !c.is_ascii_digit()).unwrap_or(version.len());
    version[..digits].parse().ok()
}

fn search_path() -> Vec<PathBuf> {
    std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default()
}

fn pg_config() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").stdin(Stdio::null()).output().ok()?;
    let directory = String::from_utf8(output.stdout).ok()?;
    let directory = directory.trim();
    (output.status.success() && !directory.is_empty()).then(|| directory.into())
}

/// `parent/<prefix><version>/<last>` for every version there is, later ones first.
fn children(parent: &str, prefix: &str, last: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(parent) else { return Vec::new() };
    let mut found: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let name = entry.file_name().into_string().ok()?;
            let version = name.strip_prefix(prefix)?;
            let digits: String = version.chars().filter(char::is_ascii_digit).take(2).collect();
            Some((digits.parse().unwrap_or(0), entry.path().join(last)))
        })
        .collect();
    found.sort_unstable_by(|a, b| b.cmp(a));
    found.into_iter().map(|(_, path)| path).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn versions_are_read() {
        assert_eq!(major_version("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"), Some(15));
        assert_eq!(major_version("postgres (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(major_version("something else"), None);
    }

    #[test]
    fn an_old_version_is_told_from_none() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(Binaries::inspect(directory.path()), Err(None));
        for program in ["postgres", "initdb"] {
            let path = directory.path().join(program);
            std::fs::write(&path, "#!/bin/sh\necho 'postgres (PostgreSQL) 14.9'\n").unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        let mut search = Search { wanted: Wanted::Any, owner: None, looked: Vec::new() };
        assert_eq!(search.first_of("here", &[directory.path().to_owned()]), None);
        assert_eq!(search.first_of("there", &["/nowhere".into()]), None);
        let message = search.not_found().to_string();
        assert!(message.contains("version 14, which is older than 15"), "{message}");
        assert!(message.contains("\n  - there: /nowhere: nothing"), "{message}");
        assert!(message.contains(BINARIES_VARIABLE), "{message}");
    }
}
