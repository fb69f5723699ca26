//! A fresh data directory: a copy of a golden one in the cache, which takes a tenth of the time of `initdb`.
//!
//! The cache holds one directory per server version and settings. It is made under another name and renamed
//! when it is complete, so that processes that race for it, or are killed at it, do no harm; the number and
//! size of its files are recorded, so that one that lost files is noticed and made anew.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::num::NonZeroUsize;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::binaries::Binaries;
use super::cache::Cache;
use super::local::LocalError;
use super::owner::Owner;
use super::process::Process;
use super::run_directory::RunDirectory;
use crate::age;

/// Changes whenever the cache's layout does.
const LAYOUT: u32 = 2;

/// Small segments: sixteen times less to write, to copy and to keep in memory. An initdb that is stopped leaves its
/// directory to us, so that its helpers can end in order.
const INITDB_ARGUMENTS: [&str; 7] = [
    "--no-sync",
    "--no-clean",
    "--auth=trust",
    "--encoding=UTF8",
    "--locale=C",
    "--username=postgres",
    "--wal-segsize=1",
];

/// The first version that makes checksums of pages unless told not to.
const CHECKSUMS_BY_DEFAULT: u32 = 18;

const INITDB_TIME_MAX: Duration = Duration::from_secs(120);

/// More threads than this wait for each other in the file system.
const COPY_THREADS_MAX: usize = 4;

/// The largest file of a fresh data directory has a megabyte.
const FILE_MAX_BYTES: u64 = 64 * 1024 * 1024;

/// What is in the cache is removed when it is older than this: unfinished, it belongs to a process that was killed;
/// finished, often to a version that is no longer installed, and else it is made anew in a second.
const STALE_AFTER: [(&str, Duration); 2] =
    [("building-", Duration::from_secs(600)), ("golden-", Duration::from_secs(30 * 24 * 3600))];

/// What a directory holds.
#[derive(Debug, Default, PartialEq, Eq)]
struct Contents {
    files: u64,
    bytes: u64,
}

impl Contents {
    fn text(&self) -> String {
        format!("{} files, {} bytes\n", self.files, self.bytes)
    }
}

/// Fills the run directory's data directory.
pub(super) fn prepare(binaries: &Binaries, run: &mut RunDirectory) -> Result<(), super::ServerError> {
    let Some(cache) = Cache::find() else {
        return Ok(initdb(binaries, run)?);
    };
    let golden = cache.directory.join(format!("golden-{}", key(binaries)));
    match copy_golden(&golden, run) {
        Ok(true) => return Ok(()),
        Ok(false) => {}
        Err(error) => return Err(LocalError::Directory { path: run.data(), source: error }.into()),
    }
    // Before the work, so that a cache that refuses is found at once.
    let building = match begin(&cache) {
        Ok(building) => Some(building),
        Err(error) => {
            cache.tolerate(error)?;
            None
        }
    };
    initdb(binaries, run)?;
    if let Some(building) = building
        && let Err(error) = finish(building, &golden, run)
    {
        cache.tolerate(error)?;
    }
    Ok(())
}

/// Sixteen hexadecimal digits that stand for all that the golden directory depends on.
fn key(binaries: &Binaries) -> String {
    let text = format!("{LAYOUT}\n{}\n{}\n{INITDB_ARGUMENTS:?}", binaries.directory.display(), binaries.version);
    Sha256::digest(text).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// Copies the golden directory if there is a complete one.
fn copy_golden(golden: &Path, run: &RunDirectory) -> io::Result<bool> {
    let Ok(expected) = fs::read_to_string(golden.join("contents")) else {
        // There is none, or what there is will not do.
        let _ = fs::remove_dir_all(golden);
        return Ok(false);
    };
    match copy(&golden.join("data"), &run.data(), run.owner()) {
        Ok(copied) if copied.text() == expected => Ok(true),
        // No fault of the golden one.
        Err(error) if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
            Err(error)
        }
        copied => {
            tracing::warn!(golden = %golden.display(), ?copied, expected, "a spoiled golden copy is made anew");
            if run.data().exists() {
                fs::remove_dir_all(run.data())?;
            }
            // Should it not go away, the new one cannot take its place, and that is told then.
            let _ = fs::remove_dir_all(golden);
            Ok(false)
        }
    }
}

/// A place in the cache for a new golden directory; what is stale makes room for it.
fn begin(cache: &Cache) -> io::Result<tempfile::TempDir> {
    cache.create()?;
    for entry in fs::read_dir(&cache.directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let limit = STALE_AFTER.iter().find(|(prefix, _)| name.as_encoded_bytes().starts_with(prefix.as_bytes()));
        if let (Some((_, limit)), Some(age)) = (limit, age::since_change(&entry.path()))
            && age > *limit
        {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    tempfile::Builder::new().prefix("building-").tempdir_in(&cache.directory)
}

/// Makes the run's pristine data directory the golden one.
fn finish(building: tempfile::TempDir, golden: &Path, run: &RunDirectory) -> io::Result<()> {
    let contents = copy(&run.data(), &building.path().join("data"), None)?;
    fs::write(building.path().join("contents"), contents.text())?;
    match fs::rename(building.path(), golden) {
        Ok(()) => {
            let _ = building.keep();
            Ok(())
        }
        // Another process was faster; ours is removed when dropped.
        Err(_) if golden.join("contents").exists() => Ok(()),
        Err(error) => Err(error),
    }
}

/// Copies a tree of directories and regular files, which is all that a fresh data directory consists of, and gives
/// it to a user. The files are many and small, so that threads share them.
fn copy(from: &Path, to: &Path, owner: Option<Owner>) -> io::Result<Contents> {
    let mut directories = vec![PathBuf::new()];
    let mut files = Vec::new();
    while let Some(directory) = directories.pop() {
        make_directory(&to.join(&directory), owner)?;
        for entry in fs::read_dir(from.join(&directory))? {
            let entry = entry?;
            let path = directory.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                directories.push(path);
            } else {
                files.push(path);
            }
        }
    }
    let files = Mutex::new(files.into_iter());
    let copy_files = || {
        let mut contents = Contents::default();
        let mut buffer = Vec::new();
        loop {
            // In a statement of its own, so that the lock is released at its end.
            let next = files.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some(path) = next else { return io::Result::Ok(contents) };
            contents.bytes += copy_file(&from.join(&path), &to.join(&path), owner, &mut buffer)?;
            contents.files += 1;
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get).min(COPY_THREADS_MAX);
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(copy_files)).collect();
        let mut total: Contents = copy_files()?;
        for other in others {
            let contents = other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            total.files += contents.files;
            total.bytes += contents.bytes;
        }
        Ok(total)
    })
}

fn make_directory(path: &Path, owner: Option<Owner>) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o700).create(path)?;
    match owner {
        Some(Owner { uid, gid }) => std::os::unix::fs::chown(path, Some(uid), Some(gid)),
        None => Ok(()),
    }
}

/// Copies a file through memory, as that takes the fewest calls, and returns its size; the largest is a segment of
/// the log.
fn copy_file(from: &Path, to: &Path, owner: Option<Owner>, buffer: &mut Vec<u8>) -> io::Result<u64> {
    buffer.clear();
    let bytes = File::open(from)?.take(FILE_MAX_BYTES + 1).read_to_end(buffer)? as u64;
    if bytes > FILE_MAX_BYTES {
        return Err(io::Error::other(format!("{} has more than {FILE_MAX_BYTES} bytes", from.display())));
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
    file.write_all(buffer)?;
    if let Some(Owner { uid, gid }) = owner {
        std::os::unix::fs::fchown(&file, Some(uid), Some(gid))?;
    }
    Ok(bytes)
}

fn initdb(binaries: &Binaries, run: &mut RunDirectory) -> Result<(), LocalError> {
    let log = run.path().join("initdb.log");
    let mut command = binaries.command("initdb");
    command.args(INITDB_ARGUMENTS);
    if binaries.major >= CHECKSUMS_BY_DEFAULT {
        command.arg("--no-data-checksums");
    }
    command.arg("--pgdata").arg(run.data());
    let mut process = Process::spawn(&command, run, &log)?;
    match process.wait(INITDB_TIME_MAX) {
        Ok(Some(status)) if status.success() => Ok(()),
        Ok(Some(status)) => Err(process.failure(status.to_string())),
        Ok(None) => Err(process.failure(format!("no end within {INITDB_TIME_MAX:?}"))),
        Err(error) => Err(process.failure(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::super::run_directory::OWN_PREFIX;
    use super::*;

    fn tree() -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir_all(directory.path().join("data/base/1")).unwrap();
        fs::write(directory.path().join("data/PG_VERSION"), "15").unwrap();
        fs::write(directory.path().join("data/base/1/112"), [0; 8192]).unwrap();
        directory
    }

    #[test]
    fn a_golden_copy_that_lost_a_file_is_noticed_and_removed() {
        let golden = tree();
        fs::write(golden.path().join("contents"), Contents { files: 2, bytes: 8194 }.text()).unwrap();
        let run = RunDirectory::create(OWN_PREFIX, Owner::needed().unwrap()).unwrap();
        assert!(copy_golden(golden.path(), &run).unwrap());
        fs::remove_dir_all(run.data()).unwrap();
        fs::remove_file(golden.path().join("data/base/1/112")).unwrap();
        assert!(!copy_golden(golden.path(), &run).unwrap());
        assert!(!run.data().exists());
        assert!(!golden.path().exists());
    }

    #[test]
    fn what_is_stale_is_removed_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache { directory: directory.path().to_owned(), explicit: true };
        let hour = Duration::from_secs(3600);
        let entries = [
            ("building-now", Duration::ZERO, true),
            ("building-then", hour, false),
            ("golden-then", hour, true),
            ("golden-last-year", hour * 9000, false),
            ("something-else", hour * 9000, true),
        ];
        for (name, age, _) in entries {
            let path = directory.path().join(name);
            fs::create_dir(&path).unwrap();
            fs::File::open(&path).unwrap().set_modified(SystemTime::now() - age).unwrap();
        }
        drop(begin(&cache).unwrap());
        for (name, _, stays) in entries {
            assert_eq!(directory.path().join(name).exists(), stays, "{name}");
        }
    }

    #[test]
    fn only_a_cache_that_the_user_named_is_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for explicit in [true, false] {
            let cache = Cache { directory: file.path().to_owned(), explicit };
            let error = begin(&cache).unwrap_err();
            assert_eq!(cache.tolerate(error).is_err(), explicit);
        }
    }
}
