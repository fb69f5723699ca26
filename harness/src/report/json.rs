//! The recorded run as JSON: what `proofmark run` writes and every other report is derived from.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::event::{RunRecord, SCHEMA_VERSION};

/// The largest record that is read; one with ten thousand cases takes a few megabytes.
pub const SIZE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Why a recorded run cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The file system refused.
    #[error("failed to read the recorded run {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Too large to be a recorded run.
    #[error("expected a recorded run of at most {SIZE_BYTES_MAX} bytes in {}, found more", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// Not a recorded run.
    #[error("expected a recorded run as `proofmark run --json` writes it in {}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong, with line and column.
        source: serde_json::Error,
    },
    /// A recorded run of another version of Proofmark.
    #[error(
        "expected a recorded run of schema version {SCHEMA_VERSION} in {}, found version {found}; \
         read it with the version of proofmark that wrote it, or run again",
        path.display()
    )]
    SchemaVersion {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u64,
    },
}

/// Writes a record.
///
/// # Errors
/// When the record cannot be put into JSON.
pub fn to_string(record: &RunRecord) -> Result<String, serde_json::Error> {
    let mut text = serde_json::to_string_pretty(record)?;
    text.push('\n');
    Ok(text)
}

/// Reads a record.
///
/// # Errors
/// When there is none at the path, or one of another version.
pub fn read(path: &Path) -> Result<RunRecord, ReadError> {
    let io_error = |source| ReadError::Io { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(io_error)?;
    file.take(SIZE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(io_error)?;
    if u64::try_from(bytes.len()).is_ok_and(|size| size > SIZE_BYTES_MAX) {
        return Err(ReadError::TooLarge { path: path.to_owned() });
    }
    let malformed = |source| ReadError::Malformed { path: path.to_owned(), source };
    // The version first: what else is wrong with another version's record says nothing.
    let Version { schema_version } = serde_json::from_slice(&bytes).map_err(malformed)?;
    if schema_version != u64::from(SCHEMA_VERSION) {
        return Err(ReadError::SchemaVersion { path: path.to_owned(), found: schema_version });
    }
    serde_json::from_slice(&bytes).map_err(malformed)
}

#[derive(Deserialize)]
struct Version {
    schema_version: u64,
}
