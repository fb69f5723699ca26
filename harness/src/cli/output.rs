//! The files that a command writes: found out to be writable before the work begins, replaced as a whole after it.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use clap::Args;
use proofmark_harness::event::RunRecord;
use proofmark_harness::report::{html, json, junit, sarif};
use tempfile::NamedTempFile;

use super::error::CliError;

/// Reports that are derived from a recorded run.
#[derive(Debug, Args)]
#[group(id = "reports", multiple = true)]
pub(crate) struct Reports {
    /// Write a JUnit XML report for a CI system
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write an HTML report, one page that needs nothing else
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write the findings as SARIF 2.1.0, for annotations where code is reviewed
    #[arg(long, value_name = "FILE")]
    sarif: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy)]
enum Format {
    Json,
    Junit,
    Html,
    Sarif,
}

/// Files to be written once there is a record.
#[derive(Debug)]
pub(crate) struct Outputs {
    files: Vec<(Format, PathBuf)>,
}

impl Outputs {
    /// Makes sure that every file can be written, without touching what is there.
    pub(crate) fn check(json: Option<&Path>, reports: &Reports) -> Result<Self, CliError> {
        let wanted = [
            (Format::Json, json),
            (Format::Junit, reports.junit.as_deref()),
            (Format::Html, reports.html.as_deref()),
            (Format::Sarif, reports.sarif.as_deref()),
        ];
        let mut files: Vec<(Format, PathBuf)> = Vec::new();
        for (format, path) in wanted {
            let Some(path) = path else { continue };
            check(path).map_err(|source| CliError::Output { path: path.to_owned(), source })?;
            if files.iter().any(|(_, other)| is_same(other, path)) {
                return Err(CliError::SameOutput { path: path.to_owned() });
            }
            files.push((format, path.to_owned()));
        }
        Ok(Self { files })
    }

    /// Writes the files and returns their paths.
    pub(crate) fn write(&self, record: &RunRecord) -> Result<Vec<&Path>, CliError> {
        for (format, path) in &self.files {
            let render = |source| CliError::Render { path: path.clone(), source };
            let text = match format {
                Format::Json => json::to_string(record).map_err(|error| render(error.into()))?,
                Format::Junit => junit::render(record).map_err(|error| render(error.into()))?,
                Format::Html => html::render(record).map_err(|error| render(error.into()))?,
                Format::Sarif => sarif::render(record).map_err(|error| render(error.into()))?,
            };
            replace(path, &text).map_err(|source| CliError::Write { path: path.clone(), source })?;
        }
        Ok(self.files.iter().map(|(_, path)| path.as_path()).collect())
    }
}

/// Where `run` records the last run and `audit` finds it: `target/proofmark/run.json` if there is a directory
/// `target` here, else `run.json` in the cache directory: `$PROOFMARK_CACHE_DIR`, `$XDG_CACHE_HOME/proofmark` or
/// `~/.cache/proofmark`.
pub(crate) fn last_run() -> Option<PathBuf> {
    let directory = |variable| std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = || {
        directory("PROOFMARK_CACHE_DIR").or_else(|| {
            let base = directory("XDG_CACHE_HOME").or_else(|| directory("HOME").map(|home| home.join(".cache")));
            base.map(|base| base.join("proofmark"))
        })
    };
    let target = Path::new("target");
    let place = if target.is_dir() { Some(target.join("proofmark")) } else { cache() };
    place.map(|place| place.join("run.json"))
}

/// Records a run as the last one.
pub(crate) fn record_last(path: &Path, record: &RunRecord) -> io::Result<()> {
    fs::create_dir_all(parent(path))?;
    replace(path, &json::to_string(record)?)
}

/// Whether a file can be written: whether its directory takes a new file.
pub(super) fn check(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        // A pipe or a device is written as it is.
        Ok(found) if !found.is_file() => Ok(()),
        _ if path.file_name().is_none() => Err(io::ErrorKind::InvalidInput.into()),
        _ => {
            let directory = followed(path);
            let directory = parent(&directory);
            if !directory.is_dir() {
                let message = format!("there is no directory {}", directory.display());
                return Err(io::Error::new(io::ErrorKind::NotFound, message));
            }
            // The temporary file's own error names a path that nobody has asked for.
            NamedTempFile::new_in(directory).map(drop).map_err(|error| error.kind().into())
        }
    }
}

/// Replaces a file as a whole: a reader finds the old text or the new one, and a failure keeps the old one.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    replace_with(path, |file| file.write_all(text.as_bytes()))
}

/// The same with something that writes.
pub(super) fn replace_with(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return write(&mut File::create(path)?);
    }
    let path = followed(path);
    // What the process's mask leaves of these, as for any other new file.
    let permissions = Permissions::from_mode(0o666);
    let mut file = tempfile::Builder::new().permissions(permissions).tempfile_in(parent(&path))?;
    write(&mut file)?;
    file.persist(&path)?;
    Ok(())
}

/// The file behind a symbolic link, so that the link stays one.
fn followed(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

fn is_same(one: &Path, other: &Path) -> bool {
    let place = |path: &Path| {
        let followed = followed(path);
        let directory = fs::canonicalize(parent(&followed)).ok();
        (directory, followed.file_name().map(ToOwned::to_owned))
    };
    place(one) == place(other)
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
