//! What happens in a run, as data: the only interface between the runner and every report.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::suite::{Batch, CaseId};

/// The version of the recorded run's layout; a reader refuses any other.
pub const SCHEMA_VERSION: u32 = 1;

/// Something that happened in a run.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum RunEvent {
    /// The run begins.
    Started(RunHeader),
    /// The database server answers.
    ServerReady(ServerRecord),
    /// A case begins.
    CaseStarted(CaseId),
    /// A case ended, or was found at plan time not to be run.
    CaseFinished(CaseRecord),
    /// A latency was measured.
    Measured(LatencyRecord),
    /// A directory of migrations was executed.
    Verdict(MigrationVerdict),
    /// The run is over.
    Finished(RunFooter),
}

/// The command that runs this project's own cases.
pub const RUN_COMMAND: &str = "proofmark run";

/// What is known when a run begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunHeader {
    /// The version of Proofmark.
    pub proofmark_version: String,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// The command that ran the cases, without the selection and the seed: what a repetition begins with.
    pub command: String,
    /// The directory that the subject's files were read from, as the command was given it; places are relative to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
    /// The seed of all generated data.
    pub seed: u64,
    /// How many cases are planned, those that will not run included.
    pub planned: usize,
    /// The machine.
    pub machine: MachineRecord,
}

/// The machine that a run ran on: what a latency must be read with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineRecord {
    /// The operating system and architecture, for example `linux x86_64`.
    pub platform: String,
    /// The processor's name where the system tells it.
    pub processor: String,
    /// How many threads can run at once.
    pub parallelism: usize,
}

/// The database server of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerRecord {
    /// The kind: `local` or `external`.
    pub kind: String,
    /// The version as the server tells it.
    pub version: String,
    /// Where it is and why it was chosen.
    pub origin: String,
    /// How long it took until the first query was answered, in milliseconds.
    pub ready_ms: u64,
}

/// How a case ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// The claim holds.
    Passed,
    /// The subject is wrong.
    Failed {
        /// What was expected and what was found.
        message: String,
        /// More, where it helps.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        detail: Option<String>,
    },
    /// The subject panicked: cases themselves have no code that does.
    Panicked {
        /// The panic's message and place.
        message: String,
    },
    /// The subject did not answer in time.
    TimedOut {
        /// The limit, in milliseconds.
        limit_ms: u64,
    },
    /// The harness or its environment is broken; says nothing about the subject.
    Errored {
        /// What is broken.
        message: String,
    },
    /// Not run.
    Skipped {
        /// Why.
        reason: String,
    },
}

impl Outcome {
    /// Whether the subject is to blame.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        matches!(self, Self::Failed { .. } | Self::Panicked { .. } | Self::TimedOut { .. })
    }

    /// A word for tables.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed { .. } => "failed",
            Self::Panicked { .. } => "panicked",
            Self::TimedOut { .. } => "timed out",
            Self::Errored { .. } => "errored",
            Self::Skipped { .. } => "not run",
        }
    }

    /// What there is to say about it; empty when it passed.
    #[must_use]
    pub fn explanation(&self) -> String {
        match self {
            Self::Passed => String::new(),
            Self::Failed { message, detail: None } | Self::Panicked { message } | Self::Errored { message } => {
                message.clone()
            }
            Self::Failed { message, detail: Some(detail) } => format!("{message}\n{detail}"),
            Self::TimedOut { limit_ms } => {
                format!("expected an answer within {:?}, found none", Duration::from_millis(*limit_ms))
            }
            Self::Skipped { reason } => reason.clone(),
        }
    }
}

/// A case and how it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaseRecord {
    /// The name.
    #[serde(flatten)]
    pub id: CaseId,
    /// What was checked.
    pub checks: String,
    /// With which others it ran.
    pub batch: Batch,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// Why its failure was expected, if it failed as is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known: Option<KnownFailure>,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// How to look at its databases, which stay for a while, if it did not pass.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<String>,
    /// What it found in the subject's files and databases, whether it counts or not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
}

impl CaseRecord {
    /// Whether the subject is to blame for something that is not known.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        self.known.is_none() && self.outcome.is_failure()
    }
}

/// A defect elsewhere that makes a case fail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownFailure {
    /// What is wrong.
    pub reason: String,
    /// Where that is reported: an address.
    pub upstream: String,
}

impl std::fmt::Display for KnownFailure {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} ({})", self.reason, self.upstream)
    }
}

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Worth knowing.
    Note,
    /// Likely to hurt one day.
    Warning,
    /// Wrong: fails its case.
    Error,
}

impl Level {
    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// Why a finding does not count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "by")]
#[non_exhaustive]
pub enum Waiver {
    /// Somebody has said so, in the configuration or beside the statement.
    Suppression {
        /// Their reason.
        reason: String,
        /// Where they said so.
        place: String,
    },
    /// It was there when the tool was adopted.
    Baseline,
}

/// Something that a case found, with its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The case that found it.
    pub check: String,
    /// How much it matters.
    pub level: Level,
    /// Where in the files, if it has a place there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// What it is about, such as `table public.models`: what tells it from others of the same case where lines move.
    pub object: String,
    /// What was expected, and what happened on the server or was found in the file.
    pub message: String,
    /// What to do.
    pub help: String,
    /// Why it does not count, if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiver: Option<Waiver>,
}

impl Finding {
    /// A finding that counts; `check` is filled in by whoever runs the case.
    pub fn new(
        level: Level,
        place: impl Into<Option<Place>>,
        object: impl Into<String>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self {
            check: String::new(),
            level,
            place: place.into(),
            object: object.into(),
            message: message.into(),
            help: help.into(),
            waiver: None,
        }
    }

    /// Whether it fails its case.
    #[must_use]
    pub fn counts(&self) -> bool {
        self.level == Level::Error && self.waiver.is_none()
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(place) = &self.place {
            write!(formatter, "{}:{}:{}: ", place.file, place.line, place.column)?;
        }
        write!(formatter, "{}: {}; {}", self.object, self.message, self.help)
    }
}

/// A part of a file, with enough of its text to be shown without the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The path, relative to the subject.
    pub file: String,
    /// The first line, from one.
    pub line: usize,
    /// The first column, in characters from one.
    pub column: usize,
    /// The last line.
    pub end_line: usize,
    /// The column behind the last character.
    pub end_column: usize,
    /// The text of some whole lines around the part.
    pub excerpt: String,
    /// The number of the excerpt's first line.
    pub excerpt_line: usize,
    /// Where in the excerpt the part begins, in bytes.
    pub excerpt_offset: usize,
    /// How long the part is in the excerpt, in bytes.
    pub excerpt_length: usize,
}

/// The most lines of an excerpt.
const EXCERPT_LINES_MAX: usize = 12;

/// The most bytes of an excerpt.
const EXCERPT_BYTES_MAX: usize = 2_000;

impl Place {
    /// The place of a range of bytes in a file's text; a range outside of it, or within a character, is cut to fit.
    #[must_use]
    pub fn new(file: &str, text: &str, range: std::ops::Range<usize>) -> Self {
        let start = text.floor_char_boundary(range.start);
        let end = text.floor_char_boundary(range.end.max(start));
        let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let end_line_start = text[..end].rfind('\n').map_or(0, |newline| newline + 1);
        let line = text[..start].matches('\n').count() + 1;
        let mut excerpt_end = line_start;
        for part in text[line_start..].split_inclusive('\n').take(EXCERPT_LINES_MAX) {
            excerpt_end += part.len();
            if excerpt_end >= end {
                break;
            }
        }
        let excerpt_end = text.floor_char_boundary(excerpt_end.min(line_start + EXCERPT_BYTES_MAX));
        let excerpt = text.get(line_start..excerpt_end).unwrap_or_default().trim_end().to_owned();
        let excerpt_offset = (start - line_start).min(excerpt.len());
        Self {
            file: file.to_owned(),
            line,
            column: text[line_start..start].chars().count() + 1,
            end_line: line + text[start..end].matches('\n').count(),
            end_column: text[end_line_start..end].chars().count() + 1,
            excerpt_line: line,
            excerpt_offset,
            excerpt_length: (end - start).min(excerpt.len() - excerpt_offset),
            excerpt,
        }
    }

    /// A file as a whole.
    #[must_use]
    pub fn file(file: &str, text: &str) -> Self {
        Self::new(file, text, 0..0)
    }
}

/// Explanation latency of one workload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LatencyRecord {
    /// The case that measured it.
    pub id: CaseId,
    /// The workload's name.
    pub workload: String,
    /// The model that was explained.
    pub model: String,
    /// Rows in a batch.
    pub batch_rows: usize,
    /// Worker threads.
    pub workers: usize,
    /// How many batches were measured.
    pub iterations: u64,
    /// Median time of a batch, in microseconds.
    pub p50_us: f64,
    /// 95th percentile, in microseconds.
    pub p95_us: f64,
    /// 99th percentile, in microseconds.
    pub p99_us: f64,
    /// Slowest batch, in microseconds.
    pub max_us: f64,
    /// Rows explained in a second, over all measured batches.
    pub rows_per_second: f64,
}

/// What a directory of migrations comes to: how many of its files apply, and why others do not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MigrationVerdict {
    /// The directory.
    pub subject: String,
    /// The layout, and why it is thought to be this one.
    pub layout: String,
    /// How many files there are that are to be applied.
    pub files: usize,
    /// How many of them apply in the given order.
    pub applied: usize,
    /// How many apply in the best order that was found.
    pub best_applied: usize,
    /// That order, if it is another than the given one; files that fail in any order stand at its end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub best_order: Vec<String>,
    /// The files that do not apply in the given order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<MigrationFailure>,
    /// What could not be judged on this server, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limitation: Option<String>,
}

/// A file that does not apply, with its first error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MigrationFailure {
    /// The file.
    pub file: String,
    /// Where in it.
    pub place: Place,
    /// The statement, or the beginning of it.
    pub statement: String,
    /// The server's code.
    pub sqlstate: String,
    /// What the server says.
    pub message: String,
    /// More about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What the server proposes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// In which function, if it happened in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// How many of the file's statements have an effect that was not rolled back.
    pub statements_kept: usize,
    /// Why.
    #[serde(flatten)]
    pub cause: FailureCause,
}

/// Why a file does not apply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "cause")]
#[non_exhaustive]
pub enum FailureCause {
    /// For a reason of its own.
    Own,
    /// It misses what an earlier file would have made, had it not failed.
    Consequence {
        /// That file.
        of: String,
        /// What it misses.
        object: String,
    },
    /// It misses what a later file makes.
    WrongOrder {
        /// That file.
        creator: String,
        /// What it misses.
        object: String,
    },
    /// It misses what no file makes.
    Missing {
        /// What it misses.
        object: String,
    },
}

/// A signal that ends a run early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Signal {
    /// Ctrl-C.
    #[serde(rename = "SIGINT")]
    Interrupt,
    /// What `kill` sends, and a CI system whose time is up.
    #[serde(rename = "SIGTERM")]
    Terminate,
}

impl Signal {
    /// The name that the system knows it by.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Interrupt => "SIGINT",
            Self::Terminate => "SIGTERM",
        }
    }
}

/// What is known when a run is over.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunFooter {
    /// How long the run took, in milliseconds.
    pub duration_ms: u64,
    /// The signal that ended it early, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interrupted: Option<Signal>,
}

/// A recorded run: all events, folded. The one source of every report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// The layout's version.
    pub schema_version: u32,
    /// What was known at the beginning.
    #[serde(flatten)]
    pub header: RunHeader,
    /// The database server, when one was needed.
    pub server: Option<ServerRecord>,
    /// The cases: in the order in which they end, and in the order of the plan once the run is over.
    pub cases: Vec<CaseRecord>,
    /// The latencies.
    pub latencies: Vec<LatencyRecord>,
    /// What a directory of migrations comes to, if one was executed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<MigrationVerdict>,
    /// What was known at the end.
    #[serde(flatten)]
    pub footer: RunFooter,
}

impl RunRecord {
    /// An empty record of a run that begins.
    #[must_use]
    pub fn new(header: RunHeader) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            header,
            server: None,
            cases: Vec::new(),
            latencies: Vec::new(),
            verdict: None,
            footer: RunFooter::default(),
        }
    }

    /// Takes an event in.
    pub fn apply(&mut self, event: &RunEvent) {
        match event {
            RunEvent::Started(header) => self.header = header.clone(),
            RunEvent::ServerReady(server) => self.server = Some(server.clone()),
            RunEvent::CaseStarted(_) => {}
            RunEvent::CaseFinished(case) => self.cases.push(case.clone()),
            RunEvent::Measured(latency) => self.latencies.push(latency.clone()),
            RunEvent::Verdict(verdict) => self.verdict = Some(verdict.clone()),
            RunEvent::Finished(footer) => self.footer = footer.clone(),
        }
    }

    /// How many cases ended in a way that the predicate accepts.
    pub fn count(&self, predicate: impl Fn(&Outcome) -> bool) -> usize {
        self.cases.iter().filter(|case| predicate(&case.outcome)).count()
    }
}
