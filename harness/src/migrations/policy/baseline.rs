//! What was there when the tool was adopted: only what is new counts.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::event::{Finding, Level, Waiver};

/// The layout of the file.
const VERSION: u32 = 1;

/// The longest file that is read, in bytes.
const BYTES_MAX: u64 = 64 * 1024 * 1024;

/// How many hexadecimal digits of a statement's hash are kept.
const DIGITS: usize = 16;

/// What tells a finding from others, wherever its lines move.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Fingerprint {
    /// The check.
    pub check: String,
    /// The file; empty for a finding without a place.
    pub file: String,
    /// The object.
    pub object: String,
    /// A hash of the SQL that it is about, without regard to white space.
    pub text: String,
}

impl Fingerprint {
    /// That of a finding.
    #[must_use]
    pub fn of(finding: &Finding) -> Self {
        let (file, text) = finding.place.as_ref().map_or(("", ""), |place| {
            let end = place.excerpt_offset.saturating_add(place.excerpt_length);
            (place.file.as_str(), place.excerpt.get(place.excerpt_offset..end).unwrap_or_default())
        });
        let mut hash = Sha256::new();
        for word in text.split_whitespace() {
            hash.update(word.as_bytes());
            hash.update(b" ");
        }
        let mut digits = hash.finalize().iter().fold(String::new(), |mut digits, byte| {
            let _ = write!(digits, "{byte:02x}");
            digits
        });
        digits.truncate(DIGITS);
        Self { check: finding.check.clone(), file: file.to_owned(), object: finding.object.clone(), text: digits }
    }
}

/// Findings that do not count, and how often each may occur.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Baseline {
    counts: BTreeMap<Fingerprint, usize>,
}

/// Why a baseline cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BaselineError {
    /// The file cannot be read.
    #[error("expected a baseline, found that {} cannot be read: {source}; write one with --write-baseline", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: std::io::Error,
    },
    /// The file cannot be written.
    #[error("the baseline {} cannot be written: {source}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: std::io::Error,
    },
    /// The file is something else.
    #[error("expected a baseline in {}, found something else: {message}; write it again with --write-baseline", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    findings: Vec<Counted>,
}

#[derive(Serialize, Deserialize)]
struct Counted {
    #[serde(flatten)]
    fingerprint: Fingerprint,
    count: usize,
}

impl Baseline {
    /// What is found now: errors and warnings, but not what somebody has suppressed with a reason.
    #[must_use]
    pub fn of<'a>(findings: impl IntoIterator<Item = &'a Finding>) -> Self {
        let mut counts = BTreeMap::new();
        for finding in findings {
            if finding.level > Level::Note && matches!(finding.waiver, None | Some(Waiver::Baseline)) {
                *counts.entry(Fingerprint::of(finding)).or_default() += 1;
            }
        }
        Self { counts }
    }

    /// How often a finding may occur.
    #[must_use]
    pub fn count(&self, fingerprint: &Fingerprint) -> usize {
        self.counts.get(fingerprint).copied().unwrap_or(0)
    }

    /// All findings, and how often each may occur.
    pub fn entries(&self) -> impl Iterator<Item = (&Fingerprint, usize)> {
        self.counts.iter().map(|(fingerprint, count)| (fingerprint, *count))
    }

    /// The baseline in a file.
    ///
    /// # Errors
    /// When the file cannot be read, or is something else.
    pub fn read(path: &Path) -> Result<Self, BaselineError> {
        let unreadable = |source| BaselineError::Unreadable { path: path.to_owned(), source };
        if !fs::metadata(path).map_err(unreadable)?.is_file() {
            return Err(unreadable(std::io::Error::other("expected a regular file")));
        }
        let mut bytes = Vec::new();
        File::open(path).and_then(|file| file.take(BYTES_MAX).read_to_end(&mut bytes)).map_err(unreadable)?;
        let wrong = |message: String| BaselineError::Content { path: path.to_owned(), message };
        let document: Document = serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
        if document.version != VERSION {
            return Err(wrong(format!("expected version {VERSION}, found {}", document.version)));
        }
        let mut counts = BTreeMap::new();
        for Counted { fingerprint, count } in document.findings {
            let known: &mut usize = counts.entry(fingerprint).or_default();
            *known = known.saturating_add(count);
        }
        Ok(Self { counts })
    }

    /// Writes it to a file, in an order that keeps differences small.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), BaselineError> {
        let unwritable = |source| BaselineError::Unwritable { path: path.to_owned(), source };
        let findings =
            self.entries().map(|(fingerprint, count)| Counted { fingerprint: fingerprint.clone(), count });
        let document = Document { version: VERSION, findings: findings.collect() };
        let mut text = serde_json::to_string_pretty(&document).map_err(|error| unwritable(error.into()))?;
        text.push('\n');
        File::create(path).and_then(|mut file| file.write_all(text.as_bytes())).map_err(unwritable)
    }
}
